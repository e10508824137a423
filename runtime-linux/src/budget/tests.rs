use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const START: Day = Day(20_758); // 2026-11-01

fn plan() -> Plan {
    Plan::try_new(50_000_000, 1, 10).unwrap()
}

#[test]
fn plans_that_cannot_be_followed_are_refused() {
    assert_eq!(Plan::try_new(249_999, 1, 10), Err(PlanError::Cap { bytes: 249_999 }));
    assert_eq!(Plan::try_new(250_000, 32, 10), Err(PlanError::ResetDay { day: 32 }));
    assert_eq!(Plan::try_new(250_000, 0, 10), Err(PlanError::ResetDay { day: 0 }));
    assert_eq!(Plan::try_new(250_000, 31, 91), Err(PlanError::Reserve { percent: 91 }));
    let share = PlanError::Share { cap_bytes: 250_000, percent: 60, share_bytes: 2_419 };
    assert_eq!(Plan::try_new(250_000, 31, 60), Err(share));
    // What is allowed suffices on the first day of the longest month.
    for percent in 0..=90 {
        for cap in (250_000..3_000_000).step_by(10_000) {
            let first = Day(START.0 + 30);
            let level = Plan::try_new(cap, 1, percent).map(|plan| Budget::new(plan, first, 0, 0).level());
            assert!(matches!(level, Ok(Level::Everything) | Err(PlanError::Share { .. })), "{cap} {percent}");
        }
    }
}

#[test]
fn a_day_has_its_share_and_what_is_left_goes_to_the_days_after_it() {
    let mut budget = Budget::new(plan(), START, 0, 0);
    let first = budget.allowance_bytes();
    assert_eq!(first, (50_000_000 - MARGIN_BYTES - 5_000_000) / 30);
    budget.spend(first - ROOM_MIN + 1);
    assert_eq!((budget.level(), budget.resumes()), (Level::Urgent, Some(Day(START.0 + 1))));
    budget.advance(Day(START.0 + 15));
    assert!(budget.allowance_bytes() > first * 19 / 10, "half of the month passed in silence");
    assert_eq!((budget.level(), budget.resumes()), (Level::Everything, None));
}

#[test]
fn near_the_cap_only_what_is_urgent_goes_and_then_nothing() {
    let mut budget = Budget::new(plan(), Day(START.0 + 29), 45_000_000, 0);
    assert_eq!(budget.level(), Level::Urgent);
    assert_eq!(budget.resumes().unwrap().to_string(), "2026-12-01");
    assert_eq!((budget.lease(false), budget.lease(true)), (0, LEASE_BYTES));
    budget.spend(5_000_000 - MARGIN_BYTES);
    assert_eq!((budget.level(), budget.lease(true)), (Level::Nothing, 0));
    budget.advance(Day(START.0 + 30));
    assert_eq!(budget.level(), Level::Everything);
}

#[test]
fn a_clock_that_is_set_back_opens_no_period_twice() {
    let mut budget = Budget::new(plan(), Day(START.0 - 1), 0, 0);
    budget.advance(START);
    budget.spend(44_000_000);
    budget.advance(Day(START.0 - 1));
    budget.advance(START);
    assert_eq!(budget.spent().in_period_bytes, 44_000_000);
    // A clock that stood in 2099 for a moment does not stop the device for the rest of its life.
    budget.advance(Day(47_481));
    budget.spend(1_000);
    budget.advance(START);
    assert_eq!(budget.spent().in_period_bytes, 44_001_000);
    // One that begins in the year of its image and is set later opens no period twice either.
    budget.advance(Day(START.0 - 400));
    budget.spend(1_000);
    budget.advance(START);
    assert_eq!(budget.spent().in_period_bytes, 44_002_000);
    budget.advance(Day(START.0 + 31));
    assert_eq!(budget.level(), Level::Everything);
}

/// A clock 40 days ahead is believed, until the aggregator's tells better: the cap of the real month holds.
#[test]
fn a_period_that_was_opened_too_early_is_taken_back() {
    let mut budget = Budget::new(plan(), START, 44_000_000, 0);
    budget.advance(Day(START.0 + 40));
    assert_eq!((budget.level(), budget.spent().in_period_bytes), (Level::Everything, 0));
    budget.spend(10_000);
    assert!(!budget.correct(Day(START.0 - 1)), "it did not come from there");
    // Also where the own clock is right again, and has only gone back within the period that it opened.
    budget.advance(START);
    assert!(budget.correct(START));
    assert_eq!((budget.spent().period, budget.spent().in_period_bytes), (START, 44_010_000));
    assert!(!budget.correct(START) && !budget.correct(Day(START.0 - 1)));
    // And the real next one is opened once.
    budget.advance(Day(START.0 + 30));
    assert_eq!(budget.spent().in_period_bytes, 0);
}

#[test]
fn a_lease_that_is_nearly_used_up_is_followed_by_whatever_there_is() {
    let mut budget = Budget::new(plan(), START, 0, 0);
    let allowance = budget.allowance_bytes();
    budget.spend(allowance - 3_000);
    assert_eq!((budget.level(), budget.lease(false)), (Level::Everything, 3_000));
    // A lease that was used up but for less than a datagram.
    budget.spent.leased_bytes = 1_000;
    assert!(budget.wants_lease(false));
    assert_eq!(budget.lease(false), 3_000);
}

fn date(text: &str) -> Day {
    text.parse::<jiff::civil::Date>().unwrap().into()
}

fn on_day(reset_day: u8) -> Plan {
    Plan::try_new(50_000_000, reset_day, 10).unwrap()
}

/// Books with so many bytes on each of these days.
fn books(days: &[(&str, u64)]) -> Books {
    let mut books = Books::default();
    for (day, bytes) in days {
        let mut ledger = transport_quic::Ledger::default();
        ledger.sent.cells.bytes = *bytes;
        books.record(date(day), ledger);
    }
    books
}

/// The month began on the 1st. The plan says on the 20th that it begins on the 15th.
#[test]
fn another_reset_day_forgets_nothing_before_the_month_would_have_ended() {
    let books = books(&[("2026-11-03", 30_000_000), ("2026-11-16", 5_000_000)]);
    let mut budget = Budget::new(on_day(1), date("2026-11-20"), 0, 0);
    budget.raise(35_000_000, 0);
    budget.lease(false);
    let saved = budget.spent();
    let lost = saved.leased_bytes;
    for (today, counted) in [
        ("2026-11-20", 35_000_000 + lost),
        ("2026-11-30", 35_000_000 + lost),
        // What was spent since the 15th remains.
        ("2026-12-01", 5_000_000 + lost),
        ("2026-12-14", 5_000_000 + lost),
        ("2026-12-15", lost),
    ] {
        let mut there = Budget::resume(on_day(15), saved, date(today), &books);
        assert_eq!(there.spent().counted_bytes(), counted, "{today}");
        // The same for a process that was running.
        let mut running = Budget::resume(on_day(15), saved, date("2026-11-20"), &books);
        running.advance(date(today));
        assert_eq!(running.spent().counted_bytes(), counted, "{today}");
        // And for one that starts with the same plan once more.
        let saved = Spent { leased_bytes: 0, ..running.spent() };
        running = Budget::resume(on_day(15), saved, date(today), &books);
        assert_eq!(running.spent(), saved, "{today}");
        there.advance(date("2026-12-15"));
        assert_eq!((there.spent().period, there.held()), (date("2026-12-15"), None));
    }
    let budget = Budget::resume(on_day(15), saved, date("2026-11-20"), &books);
    assert_eq!((budget.spent().period, budget.period_end()), (date("2026-11-15"), date("2026-12-15")));
    assert_eq!(budget.held(), Some(Held { bytes: 30_000_000, older_bytes: 0, until: date("2026-12-01") }));
}

/// The month began on the 15th. The plan says on the 20th that it begins on the 1st.
#[test]
fn a_month_that_began_sooner_has_more_behind_it() {
    let books = books(&[("2026-11-03", 30_000_000), ("2026-11-16", 5_000_000)]);
    let spent = Budget::new(on_day(15), date("2026-11-20"), 5_500_000, 0).spent();
    let mut budget = Budget::resume(on_day(1), spent, date("2026-11-20"), &books);
    assert_eq!((budget.spent().period, budget.spent().counted_bytes()), (date("2026-11-01"), 35_500_000));
    assert_eq!(budget.period_end(), date("2026-12-01"));
    budget.spend(1_000_000);
    // A new month, but not one more of the old plan, which ends on the 15th.
    budget.advance(date("2026-12-01"));
    assert_eq!((budget.spent().period, budget.spent().counted_bytes()), (date("2026-12-01"), 6_500_000));
    budget.advance(date("2026-12-15"));
    assert_eq!(budget.spent().counted_bytes(), 0);
}

#[test]
fn what_is_held_for_a_while_comes_back_with_a_clock_that_is_set_back() {
    let books = books(&[("2026-11-03", 30_000_000)]);
    let spent = Budget::new(on_day(1), date("2026-11-20"), 30_000_000, 0).spent();
    let mut budget = Budget::resume(on_day(15), spent, date("2026-11-20"), &books);
    for wrong in ["2026-12-05", "2026-12-20", "2099-06-01"] {
        budget.advance(date(wrong));
        budget.spend(1_000);
        budget.advance(date("2026-11-21"));
        budget.correct(date("2026-11-21"));
    }
    assert_eq!(budget.spent().counted_bytes(), 30_003_000, "{:?}", budget.spent());
}

#[test]
fn sending_goes_on_when_what_is_held_does_not_count_any_more() {
    let books = books(&[("2026-11-03", 49_000_000)]);
    let spent = Budget::new(on_day(1), date("2026-11-20"), 49_990_000, 0).spent();
    let budget = Budget::resume(on_day(15), spent, date("2026-11-20"), &books);
    assert_eq!((budget.level(), budget.resumes()), (Level::Nothing, Some(date("2026-12-01"))));
}

/// Midnight moves with the zone; the date at which the month begins does not.
#[test]
fn another_zone_opens_no_month_twice() {
    let (west, east) = ("America/Los_Angeles".parse().unwrap(), "Asia/Tokyo".parse().unwrap());
    let [west, east] = [west, east].map(|zone| on_day(1).in_zone(zone));
    let mut budget = Budget::new(on_day(1), date("2026-11-30"), 44_000_000, 1_000_000);
    for plan in [&west, &east, &west] {
        budget = Budget::resume(plan.clone(), budget.spent(), date("2026-11-30"), &Books::default());
        assert_eq!((budget.spent().period, budget.spent().in_period_bytes), (date("2026-11-01"), 44_000_000));
    }
    // In Tokyo it is December already; when the plan is one of Los Angeles again, it stays so.
    budget = Budget::resume(east, budget.spent(), date("2026-12-01"), &Books::default());
    budget.spend(7_000);
    budget = Budget::resume(west, budget.spent(), date("2026-11-30"), &Books::default());
    budget.advance(date("2026-12-01"));
    assert_eq!((budget.spent().period, budget.spent().in_period_bytes), (date("2026-12-01"), 7_000));
}

#[test]
fn what_an_earlier_version_left_goes_on() {
    let text = r#"{"day":20777,"period":20772,"in_period_bytes":44000000,"in_day_bytes":5,"leased_bytes":7,
        "forfeited_bytes":0,"left":[20742,1]}"#;
    let saved: Spent = serde_json::from_str(text).unwrap();
    let budget = Budget::resume(on_day(15), saved, Day(20_777), &Books::default());
    assert_eq!((budget.spent().period, budget.period_end()), (Day(20_772), date("2026-12-15")));
    assert_eq!((budget.spent().counted_bytes(), budget.held()), (44_000_007, None));
    // It was a plan of the 15th, and not of the 1st.
    let budget = Budget::resume(on_day(1), saved, Day(20_777), &Books::default());
    assert_eq!((budget.spent().period, budget.spent().counted_bytes()), (date("2026-11-01"), 44_000_007));
    let plan = r#"{"cap_bytes":50000000,"reset_day":15,"reserve_percent":10}"#;
    assert_eq!(serde_json::from_str::<Plan>(plan).unwrap(), on_day(15));
}

#[derive(Clone, Debug)]
enum Step {
    Days(i32),
    Kill,
    Lease(bool),
    Spend(u64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        1 => (-3_i32..20).prop_map(Step::Days),
        1 => Just(Step::Kill),
        8 => any::<bool>().prop_map(Step::Lease),
        8 => (0_u64..20_000).prop_map(Step::Spend),
    ]
}

proptest! {
    /// Whatever comes: who spends only what is leased stays below the cap in each period, and what was really
    /// spent in it was counted, though the process is killed at any moment.
    #[test]
    fn no_period_costs_more_than_its_cap(
        steps in prop::collection::vec(step(), 1..400),
        cap in 250_000_u64..600_000,
        reset_day in 1_u8..=31,
        reserve in 0_u8..=90,
    ) {
        let Ok(plan) = Plan::try_new(cap, reset_day, reserve) else { return Ok(()) };
        let mut budget = Budget::new(plan.clone(), START, 0, 0);
        let mut saved = budget.spent();
        let mut left = 0_u64;
        let mut really: BTreeMap<Day, u64> = BTreeMap::new();
        // Leases that were lost while the clock was behind the period: their bytes count in the period of the clock.
        let mut misplaced = 0_u64;
        let mut day = START;
        for step in steps {
            match step {
                Step::Days(days) => {
                    day = Day(day.0.saturating_add_signed(days));
                    budget.advance(day);
                }
                Step::Kill => {
                    if budget.spent().period > plan.billing().period_start(day) {
                        misplaced += saved.leased_bytes;
                    }
                    budget = Budget::resume(plan.clone(), saved, day, &Books::default());
                    saved = budget.spent();
                    left = 0;
                }
                Step::Lease(is_urgent) => {
                    left = budget.lease(is_urgent);
                    saved = budget.spent();
                }
                Step::Spend(wanted) => {
                    let bytes = wanted.min(left);
                    left -= bytes;
                    budget.spend(bytes);
                    *really.entry(budget.spent().period).or_default() += bytes;
                }
            }
            let spent = budget.spent();
            prop_assert_eq!(spent.leased_bytes, left);
            prop_assert!(spent.in_period_bytes + left <= cap + LEASE_BYTES);
            let counted = spent.in_period_bytes + misplaced;
            prop_assert!(really.get(&spent.period).copied().unwrap_or(0) <= counted);
        }
        for (period, bytes) in really {
            prop_assert!(bytes <= cap, "{}: {} of {}", period, bytes, cap);
        }
    }
}

/// A month of some plan that was under way: what may not be exceeded.
struct Window {
    until: Day,
    bytes: u64,
}

proptest! {
    /// However often the reset day changes: no month, of the plan that was and of the plan that is, costs more than its cap.
    #[test]
    fn another_reset_day_opens_no_month_anew(
        steps in prop::collection::vec((0..9_u32, 0..60_000_u64, prop::option::weighted(0.2, 1_u8..=31)), 1..200),
        first in 1_u8..=31,
    ) {
        let plan = |reset_day| Plan::try_new(300_000, reset_day, 0).unwrap();
        let mut budget = Budget::new(plan(first), START, 0, 0);
        let mut books = Books::new(budget.plan().billing().clone());
        let mut windows = vec![Window { until: budget.period_end(), bytes: 0 }];
        let (mut day, mut period) = (START, budget.spent().period);
        for (days, wanted, reset_day) in steps {
            day = Day(day.0 + days);
            if let Some(reset_day) = reset_day {
                budget.end_lease();
                budget = Budget::resume(plan(reset_day), budget.spent(), day, &books);
                // What was spent since the new month began counts in it.
                let bytes = books.days_bytes(budget.spent().period..day.next());
                windows.push(Window { until: budget.period_end(), bytes });
                period = budget.spent().period;
            }
            budget.advance(day);
            if budget.spent().period > period {
                windows.push(Window { until: budget.period_end(), bytes: 0 });
                period = budget.spent().period;
            }
            let bytes = wanted.min(budget.lease(true));
            budget.spend(bytes);
            let mut ledger = transport_quic::Ledger::default();
            ledger.sent.cells.bytes = bytes;
            books.record(day, ledger);
            for window in windows.iter_mut().filter(|window| day < window.until) {
                window.bytes += bytes;
                prop_assert!(window.bytes <= 300_000, "until {}: {}", window.until, window.bytes);
            }
        }
    }
}
