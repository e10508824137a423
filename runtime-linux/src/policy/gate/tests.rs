//! The gate against a model that remembers everything.

use crdt_core::Time;
use proptest::prelude::*;

use super::*;

const MS_AT_START: u64 = 1_800_000_000_000;

/// Rules that differ in what matters, by the paths at which they hold.
const RULES: [&str; 6] = [
    "at-once=normal",
    "minute=max-delay:1m",
    "band=max-delay:2m,dead-band:1",
    "percent=max-delay:30s,dead-band:10%",
    "aligned=max-delay:5m,align:2m",
    "behind=background,dead-band:3",
];

struct World {
    gate: Gate,
    start: Instant,
    elapsed_ms: u64,
    has_clock: bool,
    rules: Vec<Rule>,
}

impl World {
    fn new(has_clock: bool) -> Self {
        let start = Instant::now();
        let rules = RULES.iter().map(|text| text.parse().unwrap()).collect();
        Self { gate: Gate::new(start, &[7; 32]), start, elapsed_ms: 0, has_clock, rules }
    }

    fn now(&self) -> Now {
        let at = self.start + Duration::from_millis(self.elapsed_ms);
        Now { at, wall: self.has_clock.then(|| Time::from_clock_ms(MS_AT_START + self.elapsed_ms)) }
    }

    fn write(&mut self, rule: usize, before: Before, new: impl Into<Scalar>) {
        let (now, rule) = (self.now(), self.rules[rule].clone());
        let path = format!("{}/x", rule.prefix);
        self.gate.note_write(now, (0, &path), &rule, before, Some(&new.into()));
    }

    fn is_open(&mut self) -> bool {
        let now = self.now().at;
        self.gate.follow(now)
    }
}

/// One path, as naive as can be: what the other side has, what stands here, and when the first change was that counts.
#[derive(Clone, Default)]
struct Model {
    there: Option<f64>,
    here: Option<f64>,
    is_unsent: bool,
    waits_since_ms: Option<u64>,
}

#[derive(Clone, Debug)]
enum Step {
    Flush,
    /// The other side overwrites the value of a rule's path.
    Overwrite(usize, i8),
    Send,
    Wait(u64),
    Write(usize, i8),
}

fn step() -> impl Strategy<Value = Step> {
    let rule = 0..RULES.len();
    prop_oneof![
        1 => Just(Step::Flush),
        1 => (rule.clone(), -6..6_i8).prop_map(|(rule, value)| Step::Overwrite(rule, value)),
        2 => Just(Step::Send),
        4 => prop_oneof![0..90_000_u64, 0..400_000_u64].prop_map(Step::Wait),
        8 => (rule, -6..6_i8).prop_map(|(rule, value)| Step::Write(rule, value)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// It is never open later than the longest delay after a change that counts, never for one that does not, and after
    /// a flush always.
    #[test]
    fn the_gate_does_what_a_naive_one_does(
        has_clock in any::<bool>(),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let mut world = World::new(has_clock);
        let mut paths = vec![Model::default(); RULES.len()];
        let mut is_flushed = false;
        for step in steps {
            let is_open = world.is_open();
            let now_ms = world.elapsed_ms;
            match step {
                Step::Flush => {
                    world.gate.open();
                    is_flushed = true;
                }
                Step::Overwrite(rule, value) => {
                    let value = f64::from(value) / 2.0;
                    paths[rule] = Model { there: Some(value), here: Some(value), is_unsent: false, ..paths[rule] };
                }
                Step::Send => {
                    world.gate.note_sent();
                    is_flushed = false;
                    for path in &mut paths {
                        *path = Model { there: path.here, here: path.here, ..Model::default() };
                    }
                }
                Step::Wait(ms) => world.elapsed_ms += ms,
                Step::Write(rule, value) => {
                    let (value, path) = (f64::from(value) / 2.0, &mut paths[rule]);
                    let before = if path.is_unsent { Before::Unsent } else { Before::Sent(path.here) };
                    let band = world.rules[rule].terms.dead_band;
                    let is_near = path.there.is_some_and(|there| {
                        let wide = band.absolute.max(there.abs() * band.percent / 100.0);
                        (there - value).abs() < wide
                    });
                    if !is_near {
                        path.waits_since_ms.get_or_insert(now_ms);
                    }
                    (path.here, path.is_unsent) = (Some(value), true);
                    world.write(rule, before, value);
                }
            }
            let now_ms = world.elapsed_ms;
            let waits = |(path, rule): (&Model, &Rule)| {
                let max_ms = rule.terms.max_delay.as_ms();
                path.waits_since_ms.map(|since| since + max_ms)
            };
            let deadlines: Vec<u64> = paths.iter().zip(&world.rules).filter_map(waits).collect();
            let must_be_open = is_flushed || deadlines.iter().any(|deadline| *deadline <= now_ms);
            let opens = world.is_open();
            prop_assert!(opens || !must_be_open, "later than the longest delay");
            if deadlines.is_empty() && !is_flushed {
                prop_assert!(!opens, "open for nothing");
                prop_assert_eq!(world.gate.deadline(), None);
            }
            // Alignment alone opens earlier than the longest delay.
            if paths[4].waits_since_ms.is_none() && !must_be_open && !is_open {
                prop_assert!(!opens, "too early");
                let first = deadlines.iter().min().map(|ms| world.start + Duration::from_millis(*ms));
                prop_assert_eq!(world.gate.deadline(), first);
            }
        }
    }

    /// However slowly a value creeps, what the other side has is never further away than the dead band and a step.
    #[test]
    fn a_drift_does_not_creep(steps in proptest::collection::vec(-0.4..0.5_f64, 1..200)) {
        let mut world = World::new(true);
        let (mut there, mut here) = (100.0, 100.0);
        let mut before = Before::Sent(Some(there));
        for step in steps {
            here += step;
            world.write(2, before, here);
            before = Before::Unsent;
            world.elapsed_ms += 120_000;
            if world.is_open() {
                world.gate.note_sent();
                (there, before) = (here, Before::Sent(Some(here)));
            }
            prop_assert!((there - here).abs() < 1.0, "{there} there, {here} here");
        }
    }

    /// Aligned reports leave at a multiple, shifted the same for all periods of one device.
    #[test]
    fn an_aligned_report_leaves_at_a_multiple(wait_ms in 0..10_000_000_u64, has_clock in any::<bool>()) {
        let mut world = World::new(has_clock);
        world.elapsed_ms = wait_ms;
        world.write(4, Before::Unsent, 1);
        let until = world.gate.deadline().unwrap();
        let left = until - world.now().at;
        prop_assert!(left <= Duration::from_secs(300) && left > Duration::from_secs(180), "the last one: {left:?}");
        let ms = (until - world.start).as_millis() as u64 + if has_clock { MS_AT_START } else { 0 };
        prop_assert_eq!(ms % 120_000, world.gate.phase % 120_000);
    }
}

#[test]
fn what_is_no_number_is_always_a_change() {
    for new in [Some(Scalar::Bool(true)), Some(Scalar::from("x")), Some(Scalar::F64(f64::NAN)), None] {
        let mut world = World::new(true);
        let (now, rule) = (world.now(), world.rules[2].clone());
        world.gate.note_write(now, (0, "band/x"), &rule, Before::Sent(Some(1.0)), Some(&Scalar::F64(1.5)));
        assert_eq!(world.gate.deadline(), None, "within the dead band");
        world.gate.note_write(now, (0, "band/x"), &rule, Before::Unsent, new.as_ref());
        assert!(world.gate.deadline().is_some(), "{new:?}");
    }
}

#[test]
fn the_same_path_in_another_document_is_another_one() {
    let mut world = World::new(true);
    let (now, rule) = (world.now(), world.rules[2].clone());
    let near = Scalar::F64(1.5);
    world.gate.note_write(now, (0, "band/x"), &rule, Before::Sent(Some(1.0)), Some(&near));
    world.gate.note_write(now, (1, "band/x"), &rule, Before::Unsent, Some(&near));
    assert_eq!(world.gate.next().map(|waiting| waiting.document), Some(1));
}

#[test]
fn devices_do_not_speak_in_one_second_unless_they_are_to() {
    let rule: Rule = "a=align:15m".parse().unwrap();
    let in_step: Rule = "a=align:15m,no-spread".parse().unwrap();
    let at = Instant::now();
    let now = Now { at, wall: Time::from_ms(MS_AT_START + 1) };
    let seconds = |rule: &Rule| {
        let left = (0..=255_u8).map(|key| {
            let mut gate = Gate::new(at, &[key; 32]);
            gate.note_write(now, (0, "a/x"), rule, Before::Unsent, None);
            (gate.deadline().unwrap() - at).as_secs()
        });
        left.collect::<std::collections::BTreeSet<_>>().len()
    };
    assert!(seconds(&rule) > 200, "{} different seconds", seconds(&rule));
    assert_eq!(seconds(&in_step), 1);
}
