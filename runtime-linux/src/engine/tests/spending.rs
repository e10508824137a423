//! Budgets, and aggregators that would spend them.

use super::*;
use crate::billing::{Billing, Day};
use crate::budget::{LEASE_BYTES, Plan};
use crate::meter::WASTE_BYTES_MAX;
use crdt_core::Role;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

/// The test's clock begins on 2027-01-15.
const TODAY: Day = Day((MS_AT_START / 86_400_000) as u32);
const DAY: u64 = 86_400;
const CAP: u64 = 5_000_000;

fn budget(spent: u64, spent_today: u64) -> Option<Budget> {
    Some(Budget::new(Plan::try_new(CAP, 1, 10).unwrap(), TODAY, spent, spent_today))
}

/// Midnight, so many days after today.
fn start_ms(days: u32) -> u64 {
    Billing::default().start_ms(Day(TODAY.0 + days))
}

/// Bytes that went by, as the link counted them.
fn spent(world: &World) -> u64 {
    world.ledger.bytes()
}

/// A link that carries what the engine hands over costs at least this much; so the tests count it for each connection.
fn handshake(world: &mut World) {
    world.count(Cause::Handshake, true, 2_500);
    world.count(Cause::Handshake, false, 1_300);
}

#[test]
fn the_link_may_spend_only_what_was_leased_on_the_disk_before() {
    let mut world = world_with(budget(0, 0));
    let now = world.now();
    let mut has_committed_lease = false;
    loop {
        match world.engine.poll_output(now) {
            Some(Output::Commit(batch)) => {
                has_committed_lease |= format!("{batch:?}").contains("\"budget\"");
                assert!(world.engine.poll_output(now).is_none(), "nothing happens during a commit");
                world.engine.handle_committed(Ok(()));
            }
            Some(Output::Limit(limit)) => {
                assert!(has_committed_lease);
                assert_eq!(limit, LEASE_BYTES);
                break;
            }
            Some(_) => {}
            None => panic!("there is a lease"),
        }
    }
}

#[test]
fn a_used_lease_is_followed_by_another_one_and_a_lot_of_work_by_none_in_the_end() {
    let mut world = world_with(budget(0, 0));
    world.sleep(seconds(1));
    let allowance = world.status().budget.unwrap().allowance_today_bytes;
    for i in 0..100_000 {
        drop(world.set("speed", i));
        world.run();
        world.count(Cause::Cells, true, 240);
        world.sleep(seconds(1));
        if world.limit.unwrap() < spent(&world) + 1_248 {
            break;
        }
    }
    let total = spent(&world);
    assert!(total <= allowance && total > allowance - 2 * LEASE_BYTES, "{total} of {allowance}");
    assert_eq!(world.levels, [Level::Urgent]);
    assert_eq!((world.disconnects.len(), world.status().link), (1, LinkState::Waiting));
    assert!(world.status().waits_for.contains("2027-01-16"), "{}", world.status().waits_for);
    assert!(matches!(world.status().problem, Some(Problem::Budget { level: Level::Urgent, .. })));

    // Edits go on, and nothing is tried until the next day.
    let connects = world.connects.len();
    let mut answer = world.set("speed", -1);
    world.sleep(seconds(3600));
    assert!(answer.try_recv().unwrap().is_ok());
    assert_eq!(world.connects.len(), connects);
    world.sleep(seconds(DAY));
    assert_eq!(world.cloud_get("speed"), Some(Scalar::I64(-1)));
    assert!(world.connects[connects] >= seconds(16 * 3600), "not before midnight: {:?}", world.connects);
    assert_eq!(world.levels, [Level::Urgent, Level::Everything]);
    assert!(world.status().problem.is_none());
}

#[test]
fn the_reserve_is_for_what_is_urgent() {
    let mut world = world_with(budget(CAP - 400_000, 0));
    drop(world.set("speed", 1));
    world.sleep(seconds(3600));
    assert!(world.connects.is_empty() && world.limit.is_none(), "{:?}", world.connects);
    assert_eq!(world.status().budget.unwrap().resumes.as_deref(), Some("2027-02-01"));

    drop(world.set("alarm/3", true));
    world.sleep(seconds(5));
    assert_eq!(world.cloud_get("alarm/3"), Some(Scalar::Bool(true)));
    assert_eq!(world.disconnects.len(), 1, "it is there, so the connection ends");
    world.sleep(seconds(3600));
    assert_eq!(world.connects.len(), 1);
    // What only looks like it is not urgent.
    drop(world.set("alarms", true));
    world.sleep(seconds(3600));
    assert_eq!(world.connects.len(), 1);
}

#[test]
fn an_alarm_from_before_a_restart_is_still_urgent() {
    let name = DocumentName::new("pump").unwrap();
    let mut replica = Replica::new(&name, Config::new(Role::Member), ChaCha12Rng::seed_from_u64(7));
    let moment = Moment::new(MS_AT_START - 1_000);
    replica.update(moment, &[Write::set(Path::new("alarm/3").unwrap(), true)]).unwrap();
    let mut world = world_of(replica, budget(CAP - 400_000, 0));
    world.sleep(seconds(30));
    assert_eq!(world.cloud_get("alarm/3"), Some(Scalar::Bool(true)));
}

#[test]
fn an_alarm_by_a_wrong_clock_is_confirmed_and_the_connection_ends() {
    let mut world = world_with(budget(CAP - 400_000, 0));
    world.cloud_is_behind_ms = 3_600_000;
    drop(world.set("alarm/3", true));
    world.sleep(seconds(60));
    assert_eq!(world.cloud_get("alarm/3"), Some(Scalar::Bool(true)));
    assert!(world.connects.len() <= 3, "{:?}", world.connects);
    assert_eq!(world.status().link, LinkState::Waiting, "it is there, so the connection ends");
}

#[test]
fn at_the_end_nothing_goes_until_the_next_month() {
    let mut world = world_with(budget(CAP, 0));
    drop(world.set("alarm/3", true));
    world.sleep(seconds(10 * DAY));
    assert!(world.connects.is_empty() && world.limit.is_none());
    let status = world.status().budget.unwrap();
    assert_eq!((status.level, status.resumes_ms), (Level::Nothing, Some(start_ms(17))));
    world.sleep(seconds(8 * DAY));
    assert_eq!(world.cloud_get("alarm/3"), Some(Scalar::Bool(true)));
    let midnight = Duration::from_millis(start_ms(17) - MS_AT_START);
    assert!(world.connects[0] >= midnight && world.connects[0] <= midnight + seconds(600));
}

/// In Kolkata it is half past one in the afternoon, and midnight is at half past six in the evening of UTC.
#[test]
fn a_day_ends_at_midnight_in_the_zone_of_the_plan() {
    let plan = Plan::try_new(CAP, 1, 10).unwrap().in_zone("Asia/Kolkata".parse().unwrap());
    let mut world = world_with(Some(Budget::new(plan, TODAY, 0, 0)));
    world.sleep(seconds(1));
    world.count(Cause::Cells, true, 300_000);
    world.sleep(seconds(60));
    let waits_for = world.status().waits_for;
    assert!(waits_for.contains("from 2027-01-16 (Asia/Kolkata) on"), "{waits_for}");
    let status = world.status().budget.unwrap();
    let midnight = seconds(10 * 3600 + 1800);
    assert_eq!(status.resumes_ms, Some(MS_AT_START + midnight.as_millis() as u64));
    assert_eq!((status.zone.as_str(), status.period_until.as_str()), ("Asia/Kolkata", "2027-02-01"));
    world.sleep(seconds(11 * 3600));
    assert!(world.connects[1] >= midnight && world.connects[1] <= midnight + seconds(600));
}

/// Devices that write a value each minute would all be there in the first one of the day.
#[test]
fn what_is_written_just_after_midnight_does_not_bring_the_fleet_back_at_once() {
    let midnight = Duration::from_millis(start_ms(1) - MS_AT_START);
    let mut back = Vec::new();
    for seed in 0..20 {
        let mut world = world_with(budget(0, 0));
        // A fleet that was started in the same second, with other randomness in each device.
        (0..seed).for_each(|_| _ = world.engine.random());
        world.sleep(seconds(1));
        world.count(Cause::Cells, true, 300_000);
        while world.connects.len() < 2 && world.elapsed < midnight + seconds(3600) {
            drop(world.set("speed", world.elapsed.as_secs() as i64));
            world.sleep(seconds(20));
        }
        let after = world.connects[1] - midnight;
        assert!(after <= seconds(620), "{after:?}");
        back.push(after);
    }
    assert!(back.iter().filter(|after| **after < seconds(60)).count() < 10, "{back:?}");
}

/// An alarm does not wait for its turn.
#[test]
fn an_alarm_just_after_midnight_goes_at_once() {
    let mut world = world_with(budget(0, 0));
    world.sleep(seconds(1));
    world.count(Cause::Cells, true, 300_000);
    let midnight = Duration::from_millis(start_ms(1) - MS_AT_START);
    world.sleep(midnight - world.elapsed);
    assert_eq!(world.connects.len(), 1);
    drop(world.set("alarm/1", true));
    world.sleep(seconds(1));
    assert_eq!(world.connects.len(), 2);
}

/// A device without a clock counts the days while it runs, also if it never runs for one.
#[test]
fn days_pass_over_restarts_without_a_clock() {
    let directory = tempfile::tempdir().unwrap();
    let store = storage_redb::Store::open(&directory.path().join("store.redb")).unwrap();
    let at = Instant::now();
    let mut known = Vec::new();
    for _ in 0..5 {
        let books = Books::load(&store, Billing::default()).unwrap();
        let mut spending = Spending::new(Now { at, wall: None }, books, None);
        let later = Now { at: at + seconds(10 * 3600), wall: None };
        known.push(spending.today(later).0);
        spending.note_time(later);
        let mut batch = Batch::new();
        spending.stage(&mut batch);
        store.commit(&batch).unwrap();
    }
    assert_eq!(known, [0, 0, 1, 1, 2]);
}

/// A clock 40 days ahead opens the next period, until the aggregator says what time it is.
#[test]
fn a_period_that_a_wrong_clock_opened_is_taken_back() {
    let early = Budget::new(Plan::try_new(CAP, 1, 10).unwrap(), Day(TODAY.0 - 40), CAP - 300_000, 0);
    let mut world = world_with(Some(early));
    world.cloud_is_behind_ms = 40 * 86_400_000;
    world.sleep(seconds(10));
    let status = world.status().budget.unwrap();
    assert_eq!((status.period_from.as_str(), status.spent_bytes), ("2026-12-01", CAP - 300_000));
    assert_eq!(status.level, Level::Urgent);
}

/// Runs a hostile aggregator for a day: `act` is what it does each second while there is a connection.
fn wasted_in_a_day(world: &mut World, mut act: impl FnMut(&mut World, Attempt)) -> u64 {
    let mut connects = world.connects.len();
    let mut after_first_pause = None;
    for _ in 0..DAY {
        world.sleep(seconds(1));
        if world.connects.len() > connects {
            connects = world.connects.len();
            handshake(world);
        }
        if let Some(attempt) = world.attempt {
            act(world, attempt);
        }
        if matches!(world.status().problem, Some(Problem::Wasted { .. })) && after_first_pause.is_none() {
            after_first_pause = Some(spent(world));
        }
    }
    let first = after_first_pause.expect("the waste was noticed");
    assert!(first <= WASTE_BYTES_MAX + 2 * 1_300 * 64, "{first}");
    // After the window, one quarter of it for each pause: 1, 2, 4, 8 hours.
    assert!(spent(world) <= first + 6 * (WASTE_BYTES_MAX / 4 + 2 * 1_300 * 64), "{}", spent(world));
    spent(world)
}

#[test]
fn the_same_snapshot_again_and_again_wastes_a_window() {
    let mut world = world_with(budget(0, 0));
    let moment = world.moment();
    world.cloud.update(moment, &[Write::set(Path::new("a").unwrap(), "x")]).unwrap();
    world.sleep(seconds(1));
    let cells: Vec<_> = (0..20).map(|_| (Cause::Cells, 1_248)).collect();
    let wasted = wasted_in_a_day(&mut world, |world, attempt| {
        for (cause, bytes) in &cells {
            world.count(*cause, false, *bytes);
        }
        // The frame says nothing new: an acknowledgement request is the shortest of that sort.
        world.link(attempt, LinkInput::Message(vec![0, 0x0e]));
    });
    assert!(wasted > WASTE_BYTES_MAX);
}

#[test]
fn bait_for_retransmissions_wastes_a_window() {
    let mut world = world_with(budget(0, 0));
    drop(world.set("speed", 1));
    world.sleep(seconds(1));
    wasted_in_a_day(&mut world, |world, _| {
        for _ in 0..10 {
            world.count(Cause::Retransmissions, true, 1_228);
            world.count(Cause::Acknowledgements, false, 60);
        }
    });
}

#[test]
fn a_flood_of_empty_messages_wastes_a_window() {
    let mut world = world_with(budget(0, 0));
    world.sleep(seconds(1));
    wasted_in_a_day(&mut world, |world, attempt| {
        for _ in 0..50 {
            world.count(Cause::Control, false, 61);
            world.count(Cause::Acknowledgements, true, 59);
            world.link(attempt, LinkInput::Message(Vec::new()));
        }
    });
}

#[test]
fn bait_for_reconnections_wastes_a_window() {
    let mut world = world_with(budget(0, 0));
    drop(world.set("speed", 1));
    wasted_in_a_day(&mut world, |world, attempt| {
        world.attempt = None;
        if let Some(session) = world.session.take() {
            world.cloud.disconnect(session);
        }
        world.link(attempt, CloseReason::Reset.into());
    });
}

#[test]
fn who_never_acknowledges_wastes_a_window() {
    let mut world = world_with(budget(0, 0));
    world.sleep(seconds(1));
    world.answers = false;
    for i in 0..50 {
        drop(world.set(&format!("a/{i}"), "x".repeat(100)));
    }
    let backlog = world.status().backlog_bytes as u64;
    let mut connects = world.connects.len();
    for _ in 0..DAY {
        world.sleep(seconds(1));
        if world.connects.len() > connects {
            connects = world.connects.len();
            handshake(&mut world);
            world.count(Cause::Cells, true, backlog * 5 / 4);
        }
    }
    // A window, then a quarter of one after pauses of 1, 2, 4, 8, 16 hours, and one connection more each time.
    let quarter = WASTE_BYTES_MAX / 4 + 2 * backlog + 3_800 + backlog * 5 / 4;
    assert!(spent(&world) <= WASTE_BYTES_MAX + 2 * backlog + 6 * quarter, "{}", spent(&world));
    assert!(matches!(world.status().problem, Some(Problem::Wasted { .. } | Problem::NoAnswer { .. })));
}

#[test]
fn what_comes_without_being_asked_for_is_counted_and_silences_this_side() {
    let mut world = world_with(budget(0, 0));
    world.sleep(seconds(1));
    world.count(Cause::Unrouted, false, 2 * CAP);
    world.sleep(seconds(60));
    assert_eq!((world.status().link, world.levels.last()), (LinkState::Waiting, Some(&Level::Nothing)));
    assert_eq!(world.status().budget.unwrap().spent_bytes, 2 * CAP);
}

#[test]
fn the_ledger_is_saved_within_15_minutes_and_told_by_day() {
    let mut world = world();
    world.sleep(seconds(1));
    let commits = world.commits;
    world.count(Cause::Handshake, true, 1_228);
    world.sleep(seconds(899));
    assert_eq!(world.commits, commits);
    world.sleep(seconds(2));
    assert_eq!(world.commits, commits + 1);
    world.sleep(seconds(DAY));
    let commits = world.commits;
    world.count(Cause::Cells, false, 130);
    drop(world.set("speed", 1));
    world.run();
    assert_eq!(world.commits, commits + 1, "it rides along with what is saved anyway");
    let (reply, mut answer) = oneshot::channel();
    let now = world.now();
    world.engine.handle_command(now, Command::Ledger { reply });
    world.run();
    let report = answer.try_recv().unwrap().unwrap();
    assert_eq!((report.days.len(), report.months.len()), (2, 1));
    assert_eq!((report.days[0].from.as_str(), report.days[0].sent.handshake.bytes), ("2027-01-15", 1_228));
    assert_eq!((report.days[1].received.cells.bytes, report.months[0].total.bytes), (130, 1_358));
    assert!(report.to_string().contains("2027-01-16"), "{report}");
}
