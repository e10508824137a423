//! The gate against a model that remembers everything.

use crdt_core::Time;
use proptest::prelude::*;

use super::*;

const MS_AT_START: u64 = 1_800_000_000_000;

/// Rules that differ in what matters, by the paths at which they hold.
const RULES: [&str; 8] = [
    "at-once=normal",
    "minute=max-delay:1m",
    "band=max-delay:2m,dead-band:1",
    "percent=max-delay:30s,dead-band:10%",
    "aligned=max-delay:5m,align:2m",
    "behind=background,dead-band:3",
    "alive=max-delay:20s,heartbeat:3m",
    "alive-band=max-delay:1m,dead-band:2,heartbeat:10m",
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

    fn write(&mut self, rule: usize, before: &Before, new: impl Into<Scalar>) -> bool {
        let (now, rule) = (self.now(), self.rules[rule].clone());
        let path = format!("{}/x", rule.prefix);
        self.gate.note_write(now, (0, &path), &rule, before, Some(&new.into()))
    }

    fn is_open(&mut self) -> bool {
        let now = self.now().at;
        self.gate.follow(now)
    }
}

/// The other side has it.
fn sent(value: Option<f64>) -> Before {
    Before { value: value.map(Scalar::F64), is_sent: true, written: None }
}

/// The other side has something older.
fn unsent(value: Option<f64>) -> Before {
    Before { is_sent: false, ..sent(value) }
}

/// One path, as naive as can be: what the other side has, what stands here since when, what the gate must be open for, and
/// when the last report was.
#[derive(Clone, Default)]
struct Model {
    there: Option<f64>,
    here: Option<f64>,
    written_ms: Option<u64>,
    is_unsent: bool,
    was_written: bool,
    until_ms: Option<u64>,
    reported_ms: Option<Option<u64>>,
}

#[derive(Clone, Debug)]
enum Step {
    /// Somebody waits for a receipt.
    Await,
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
        1 => Just(Step::Await),
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
                Step::Await => {
                    let now = world.now();
                    world.gate.note_awaited(now, 0);
                    for (path, rule) in paths.iter_mut().zip(&world.rules).filter(|(path, _)| path.was_written) {
                        path.until_ms.get_or_insert(now_ms + as_ms(rule.terms.max_delay));
                    }
                }
                Step::Flush => {
                    world.gate.open();
                    is_flushed = true;
                }
                Step::Overwrite(rule, value) => {
                    let value = f64::from(value) / 2.0;
                    let (there, written_ms) = (Some(value), Some(now_ms));
                    paths[rule] = Model { there, here: there, written_ms, is_unsent: false, ..paths[rule] };
                }
                Step::Send => {
                    let now = world.now().at;
                    world.gate.note_sent(now);
                    is_flushed = false;
                    for path in &mut paths {
                        let is_reported = std::mem::take(&mut path.was_written);
                        let reported_ms = if is_reported { Some(Some(now_ms)) } else { path.reported_ms };
                        *path = Model { there: path.here, is_unsent: false, until_ms: None, reported_ms, ..*path };
                    }
                }
                Step::Wait(ms) => world.elapsed_ms += ms,
                Step::Write(rule, value) => {
                    let (value, path) = (f64::from(value) / 2.0, &mut paths[rule]);
                    let clock_ms = |ms: u64| Time::from_clock_ms(MS_AT_START + ms);
                    let before = if path.is_unsent { unsent(path.here) } else { sent(path.here) };
                    let before = Before { written: path.written_ms.map(clock_ms), ..before };
                    let terms = world.rules[rule].terms;
                    let is_near = path.there.is_some_and(|there| {
                        let wide = terms.dead_band.absolute.max(there.abs() * terms.dead_band.percent / 100.0);
                        (there - value).abs() < wide
                    });
                    let known_ms = path.written_ms.filter(|_| has_clock);
                    let reported_ms = *path.reported_ms.get_or_insert(known_ms);
                    let due_ms = match terms.heartbeat {
                        _ if !is_near && path.here != Some(value) => Some(now_ms + as_ms(terms.max_delay)),
                        Some(pause) => Some(reported_ms.map_or(now_ms, |ms| now_ms.max(ms + as_ms(pause)))),
                        None => None,
                    };
                    path.until_ms = [path.until_ms, due_ms].into_iter().flatten().min();
                    (path.was_written, path.written_ms) = (true, Some(now_ms));
                    (path.here, path.is_unsent) = (Some(value), true);
                    world.write(rule, &before, value);
                }
            }
            let now_ms = world.elapsed_ms;
            let deadlines: Vec<u64> = paths.iter().filter_map(|path| path.until_ms).collect();
            let must_be_open = is_flushed || deadlines.iter().any(|deadline| *deadline <= now_ms);
            let opens = world.is_open();
            prop_assert!(opens || !must_be_open, "later than the longest delay");
            if deadlines.is_empty() && !is_flushed {
                prop_assert!(!opens, "open for nothing");
                prop_assert_eq!(world.gate.deadline(), None);
            }
            // Alignment alone opens earlier than the longest delay.
            if paths[4].until_ms.is_none() && !must_be_open && !is_open {
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
        let mut before = sent(Some(there));
        for step in steps {
            here += step;
            world.write(2, &before, here);
            before = unsent(Some(here));
            world.elapsed_ms += 120_000;
            if world.is_open() {
                let now = world.now().at;
                world.gate.note_sent(now);
                (there, before) = (here, sent(Some(here)));
            }
            prop_assert!((there - here).abs() < 1.0, "{there} there, {here} here");
        }
    }

    /// Aligned reports leave at a multiple, shifted the same for all periods of one device.
    #[test]
    fn an_aligned_report_leaves_at_a_multiple(wait_ms in 0..10_000_000_u64, has_clock in any::<bool>()) {
        let mut world = World::new(has_clock);
        world.elapsed_ms = wait_ms;
        world.write(4, &unsent(None), 1);
        let until = world.gate.deadline().unwrap();
        let left = until - world.now().at;
        prop_assert!(left <= Duration::from_secs(300) && left > Duration::from_secs(180), "the last one: {left:?}");
        let ms = (until - world.start).as_millis() as u64 + if has_clock { MS_AT_START } else { 0 };
        prop_assert_eq!(ms % 120_000, world.gate.phase % 120_000);
    }
}

/// A value that changes its type, a delete, and the first value are changes within each band.
#[test]
fn what_cannot_be_compared_is_a_change() {
    for new in [Some(Scalar::Bool(true)), Some(Scalar::from("x")), Some(Scalar::F64(f64::NAN)), None] {
        let mut world = World::new(true);
        let (now, rule) = (world.now(), world.rules[2].clone());
        assert!(!world.write(2, &sent(Some(1.0)), 1.5), "within the dead band");
        assert_eq!(world.gate.deadline(), None);
        let before = unsent(Some(1.5));
        assert!(world.gate.note_write(now, (0, "band/x"), &rule, &before, new.as_ref()));
        assert!(world.gate.deadline().is_some(), "{new:?}");
    }
    assert!(World::new(true).write(0, &sent(None), 1.5));
}

/// As the field report has it: 2 % of nothing is nothing, and still a zero is no news after a zero.
#[test]
fn an_equal_value_is_no_change_with_any_band() {
    let values = [
        Scalar::F64(0.0),
        Scalar::I64(0),
        Scalar::Null,
        Scalar::Bool(true),
        Scalar::from("on"),
        Scalar::F64(f64::NAN),
        Scalar::F64(f64::INFINITY),
        Scalar::Bytes(vec![1, 2]),
    ];
    for rule in 0..RULES.len() {
        for value in &values {
            for is_sent in [true, false] {
                let mut world = World::new(true);
                let (now, rule) = (world.now(), world.rules[rule].clone());
                let written = now.wall;
                let before = Before { value: Some(value.clone()), is_sent, written };
                assert!(
                    !world.gate.note_write(now, (0, "x"), &rule, &before, Some(value)),
                    "{rule} {value:?}"
                );
                let heartbeat = rule.terms.heartbeat.map(|pause| now.at + pause);
                assert_eq!(world.gate.deadline(), heartbeat, "{rule} {value:?}");
            }
        }
    }
    let (zero, whole) = (Scalar::F64(0.0), Scalar::I64(0));
    let before = Before { value: Some(zero), is_sent: true, written: None };
    let mut world = World::new(true);
    let (now, exact, banded) = (world.now(), world.rules[0].clone(), world.rules[2].clone());
    assert!(world.gate.note_write(now, (0, "x"), &exact, &before, Some(&whole)), "another type");
    assert!(
        !world.gate.note_write(now, (0, "x"), &banded, &before, Some(&whole)),
        "with a band, numbers compare"
    );
}

#[test]
fn a_path_that_is_deleted_begins_anew() {
    let mut world = World::new(true);
    let rule = world.rules[6].clone();
    let write = |world: &mut World, document, path: &str, new: Option<Scalar>| {
        let now = world.now();
        let before = Before { value: new.clone(), is_sent: true, written: now.wall };
        world.gate.note_write(now, (document, path), &rule, &before, new.as_ref());
    };
    for (document, path) in [(0, "alive"), (0, "alive/x"), (0, "alive/x/y"), (0, "alive/xy"), (1, "alive/x")]
    {
        write(&mut world, document, path, Some(Scalar::I64(1)));
    }
    write(&mut world, 0, "alive/x", None);
    let left: Vec<_> = world.gate.reports.keys().map(|(document, path)| (*document, path.as_str())).collect();
    assert_eq!(left, [(0, "alive"), (0, "alive/xy"), (1, "alive/x")]);
}

#[test]
fn the_same_path_in_another_document_is_another_one() {
    let mut world = World::new(true);
    let (now, rule) = (world.now(), world.rules[2].clone());
    let near = Scalar::F64(1.5);
    world.gate.note_write(now, (0, "band/x"), &rule, &sent(Some(1.0)), Some(&near));
    world.gate.note_write(now, (1, "band/x"), &rule, &unsent(Some(1.4)), Some(&near));
    assert_eq!(world.gate.next().map(|(waiting, _)| waiting.document), Some(1));
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
            gate.note_write(now, (0, "a/x"), rule, &unsent(None), None);
            (gate.deadline().unwrap() - at).as_secs()
        });
        left.collect::<std::collections::BTreeSet<_>>().len()
    };
    assert!(seconds(&rule) > 200, "{} different seconds", seconds(&rule));
    assert_eq!(seconds(&in_step), 1);
}
