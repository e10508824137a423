//! Writes that say nothing new: they are no reason to send, and go along with what is.

use super::*;
use crdt_core::Role;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

/// A device with these rules that has opened its document, and the aggregator has had this value of `x` for an hour.
///
/// Whoever is silent for six hours makes the connection anew, and what waits goes along: the tests are quiet for four.
fn after(rules: &[&str], value: &Scalar) -> World {
    let name = DocumentName::new("pump").unwrap();
    let replica = Replica::new(&name, Config::new(Role::Member), ChaCha12Rng::seed_from_u64(7));
    let mut world = world_under(replica, None, rules);
    drop(world.set("x", value.clone()));
    world.sleep(seconds(HOUR));
    assert_eq!(format!("{:?}", world.cloud_get("x").unwrap()), format!("{value:?}"));
    world.sends.clear();
    world
}

/// One of each type, and those that are like no other number.
fn values() -> Vec<Scalar> {
    let numbers = [0.0, 21.5, f64::NAN, f64::INFINITY].map(Scalar::F64);
    let others = [Scalar::Null, Scalar::Bool(true), Scalar::I64(0), Scalar::I64(-3), Scalar::from("on")];
    numbers.into_iter().chain(others).chain([Scalar::Bytes(vec![0, 1])]).collect()
}

fn frames(world: &World) -> (usize, usize) {
    let lengths = world.sends.iter().flat_map(|(_, frames)| frames);
    (lengths.clone().count(), lengths.sum())
}

/// A receipt for a write that was just made.
fn awaited(
    world: &mut World,
    mut written: oneshot::Receiver<Result<Updated, EdgeError>>,
) -> oneshot::Receiver<Result<(), EdgeError>> {
    world.run();
    let basis = written.try_recv().unwrap().unwrap().basis;
    world.command(|reply| DocumentCommand::Receipt { basis: Some(basis), reply })
}

/// Each minute. Before, each of them cost a frame.
#[test]
fn a_value_that_stays_what_it_is_costs_nothing() {
    for rules in [&[][..], &["x=urgent"], &["x=dead-band:2%"], &["x=max-delay:1m"], &["x=align:5m"]] {
        for value in values() {
            let mut world = after(rules, &value);
            for _ in 0..4 * HOUR / 60 {
                drop(world.set("x", value.clone()));
                world.sleep(seconds(60));
            }
            assert_eq!(frames(&world), (0, 0), "{rules:?} {value:?}");
            let status = world.status();
            assert_eq!(
                status.waits_for,
                "company: 1 change waits that is no reason to send: an equal value, or one within its dead band"
            );
            assert_eq!((status.company, status.documents[0].unsent_cells), (None, 1));
            // It goes along with what is a change, and is there then.
            drop(world.set("y", 1));
            world.sleep(seconds(HOUR));
            assert_eq!(world.sends.len(), 1, "{rules:?} {value:?}");
            assert_eq!(world.status().waits_for, "nothing: everything is at the aggregator");
        }
    }
}

#[test]
fn a_change_after_many_equal_values_is_sent_at_once() {
    for value in values() {
        for changed in values().into_iter().filter(|other| format!("{other:?}") != format!("{value:?}")) {
            let mut world = after(&[], &value);
            for _ in 0..3 {
                drop(world.set("x", value.clone()));
                world.sleep(seconds(60));
            }
            drop(world.set("x", changed.clone()));
            world.run();
            assert_eq!(world.sends.len(), 1, "{value:?} {changed:?}");
            drop(world.set("x", value.clone()));
            world.run();
            assert_eq!(world.sends.len(), 2, "and so is the way back: {value:?} {changed:?}");
        }
    }
}

/// There and back again while it waits: what was due is not called off, and what stands there in the end arrives.
#[test]
fn a_value_that_comes_back_before_it_was_sent_is_reported() {
    let mut world = after(&["x=max-delay:1m"], &Scalar::I64(1));
    drop(world.set("x", 2));
    world.sleep(seconds(10));
    drop(world.set("x", 1));
    world.sleep(seconds(49));
    assert_eq!(world.sends.len(), 0);
    world.sleep(seconds(1));
    assert_eq!(world.sends.len(), 1);
    assert_eq!(world.status().waits_for, "nothing: everything is at the aggregator");
}

#[test]
fn deletes_and_what_follows_them_are_changes() {
    let mut world = after(&[], &Scalar::I64(1));
    let delete = |world: &mut World| {
        let writes = vec![("x".to_owned(), None)];
        drop(world.command(|reply| DocumentCommand::Update { writes, reply }));
        world.run();
    };
    delete(&mut world);
    assert_eq!((world.sends.len(), world.cloud_get("x")), (1, None));
    delete(&mut world);
    assert_eq!(world.sends.len(), 1, "there was nothing to delete");
    drop(world.set("x", 1));
    world.run();
    assert_eq!((world.sends.len(), world.cloud_get("x")), (2, Some(Scalar::I64(1))));
    drop(world.set("x/below", 1));
    drop(world.set("x", 1));
    world.run();
    assert_eq!(world.cloud_get("x/below"), None);
}

/// What the cloud has written is what an equal value equals.
#[test]
fn a_value_is_compared_with_what_stands_here_whoever_wrote_it() {
    let mut world = after(&[], &Scalar::I64(1));
    let moment = world.moment();
    world.cloud.update(moment, &[Write::set(Path::new("x").unwrap(), 2)]).unwrap();
    world.run();
    world.sends.clear();
    drop(world.set("x", 2));
    world.sleep(seconds(4 * HOUR));
    assert_eq!(frames(&world).0, 0);
    drop(world.set("x", 1));
    world.run();
    assert_eq!((world.sends.len(), world.cloud_get("x")), (1, Some(Scalar::I64(1))));
}

/// Whoever wants to know that it is there makes it a change: it has the time that its rule gives to changes.
#[test]
fn a_receipt_is_a_reason_to_send() {
    for (rules, wait) in [(&[][..], 0), (&["x=max-delay:1h"][..], HOUR), (&["x=dead-band:2"][..], 0)] {
        let mut world = after(rules, &Scalar::I64(1));
        let written = world.set("x", 1);
        let mut receipt = awaited(&mut world, written);
        if wait > 0 {
            world.sleep(seconds(wait - 1));
            assert!(receipt.try_recv().is_err(), "{rules:?}");
            world.sleep(seconds(1));
        }
        world.run();
        assert_eq!(receipt.try_recv().unwrap().unwrap(), (), "{rules:?}");
        assert_eq!(world.sends.len(), 1);
        // One that has come long ago is none.
        drop(world.set("x", 1));
        world.run();
        let own = world.engine.documents[0].replica.id();
        let mut old = world.command(|reply| DocumentCommand::Receipt {
            basis: Some(Stamp::new(Time::from_ms(MS_AT_START).unwrap(), own).into()),
            reply,
        });
        world.sleep(seconds(4 * HOUR));
        assert_eq!(old.try_recv().unwrap().unwrap(), ());
        assert_eq!(world.sends.len(), 1);
    }
}

#[test]
fn a_flush_sends_what_says_nothing_new() {
    let mut world = after(&["x=max-delay:1h"], &Scalar::Null);
    drop(world.set("x", Scalar::Null));
    world.sleep(seconds(4 * HOUR));
    assert_eq!(world.sends.len(), 0);
    let (reply, _flushed) = oneshot::channel();
    let now = world.now();
    world.engine.handle_command(now, Command::Flush { reply });
    world.run();
    assert_eq!((world.sends.len(), world.status().documents[0].unsent_cells), (1, 0));
}

/// A sensor that reads the same each minute is confirmed each hour: 24 frames a day of 9 bytes, and one at its beginning.
#[test]
fn a_heartbeat_confirms_a_quiet_value() {
    for rules in
        [&["x=heartbeat:1h"][..], &["x=urgent,heartbeat:1h"], &["x=dead-band:5,heartbeat:1h,max-delay:15m"]]
    {
        let mut world = after(rules, &Scalar::F64(21.5));
        let begin = world.elapsed;
        for _ in 0..DAY / 60 {
            drop(world.set("x", 21.5));
            world.sleep(seconds(60));
        }
        assert_eq!(frames(&world), (25, 226), "{rules:?}");
        let at: Vec<_> = world.sends.iter().map(|(at, _)| (*at - begin).as_secs()).collect();
        // The first one at once: the last report is an hour old.
        let hourly: Vec<_> = (0..=24).map(|hour| hour * HOUR).collect();
        assert_eq!(at, hourly, "{rules:?}");
    }
}

#[test]
fn a_heartbeat_counts_from_the_last_report_whatever_it_was_for() {
    let mut world = after(&["x=heartbeat:1h"], &Scalar::I64(1));
    drop(world.set("x", 2));
    world.run();
    let reported = world.elapsed;
    world.sleep(seconds(1_800));
    drop(world.set("x", 2));
    drop(world.set("y", 1));
    world.run();
    assert_eq!(world.sends.len(), 2, "it went along with y after half an hour");
    drop(world.set("x", 2));
    world.run();
    let status = world.status();
    assert_eq!(
        status.company.map(|company| (company.terms, company.in_ms)),
        Some(("heartbeat:1h".to_owned(), 3_600_000))
    );
    world.sleep(seconds(HOUR));
    let at: Vec<_> = world.sends.iter().map(|(at, _)| (*at - reported).as_secs()).collect();
    assert_eq!(at, [0, 1_800, 5_400]);
}

/// Nothing is confirmed for a sensor that is dead, and one that writes less often than its heartbeat is confirmed each time.
#[test]
fn a_heartbeat_confirms_only_what_was_written() {
    let mut world = after(&["x=heartbeat:1h"], &Scalar::Bool(true));
    world.sleep(seconds(4 * HOUR));
    assert_eq!(frames(&world), (0, 0));
    for _ in 0..10 {
        drop(world.set("x", true));
        world.sleep(seconds(3 * HOUR));
    }
    assert_eq!(world.sends.len(), 10);
}

/// A device that wakes up now and then has no memory of its reports but the time at which the value was written.
#[test]
fn a_heartbeat_goes_on_after_a_restart() {
    for (asleep, frames_expected) in [(1_800, 0), (2 * HOUR, 1)] {
        let name = DocumentName::new("pump").unwrap();
        let mut replica =
            Replica::<Heap, _>::new(&name, Config::new(Role::Member), ChaCha12Rng::seed_from_u64(7));
        let written = Moment::new(MS_AT_START - asleep * 1_000);
        replica.update(written, &[Write::set(Path::new("x").unwrap(), 1)]).unwrap();
        let mut world = world_under(replica, None, &["x=heartbeat:1h"]);
        world.sleep(seconds(1));
        assert_eq!(world.cloud_get("x"), Some(Scalar::I64(1)), "opening the document took it along");
        world.sends.clear();
        drop(world.set("x", 1));
        world.sleep(seconds(60));
        assert_eq!(world.sends.len(), frames_expected, "asleep for {asleep} s");
    }
}

/// The budget allows only what is urgent: an equal value at an urgent path is not.
#[test]
fn an_equal_value_is_not_urgent() {
    use crate::billing::Day;
    use crate::budget::Plan;

    let name = DocumentName::new("pump").unwrap();
    let today = Day((MS_AT_START / 86_400_000) as u32);
    let budget = Budget::new(Plan::try_new(5_000_000, 1, 10).unwrap(), today, 4_600_000, 0);
    let replica = Replica::new(&name, Config::new(Role::Member), ChaCha12Rng::seed_from_u64(7));
    let mut world = world_under(replica, Some(budget), &["x=urgent"]);
    drop(world.set("x", true));
    world.sleep(seconds(HOUR));
    assert_eq!((world.cloud_get("x"), world.connects.len()), (Some(Scalar::Bool(true)), 1));
    drop(world.set("x", true));
    world.sleep(seconds(HOUR));
    assert_eq!(world.connects.len(), 1);
    drop(world.set("x", false));
    world.sleep(seconds(HOUR));
    assert_eq!((world.cloud_get("x"), world.connects.len()), (Some(Scalar::Bool(false)), 2));
}
