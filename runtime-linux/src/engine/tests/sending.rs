//! When changes leave, in frames and bytes.

use super::*;
use crdt_core::Role;
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

const HOUR: u64 = 3_600;
const DAY: u64 = 86_400;

fn replica() -> Replica<Heap, ChaCha12Rng> {
    Replica::new(
        &DocumentName::new("pump").unwrap(),
        Config::new(Role::Member),
        ChaCha12Rng::seed_from_u64(7),
    )
}

/// A device with these rules that has just opened its document.
fn ruled(rules: &[&str]) -> World {
    let mut world = world_under(replica(), None, rules);
    world.sleep(seconds(1));
    assert!(world.status().connected);
    world.sends.clear();
    world
}

/// When frames were handed over, in whole seconds, and how many bytes they had; each time in one frame.
fn sends(world: &World) -> Vec<(u64, usize)> {
    world
        .sends
        .iter()
        .map(|(at, frames)| {
            assert_eq!(frames.len(), 1, "{:?}", world.sends);
            (at.as_secs(), frames[0])
        })
        .collect()
}

fn cloud_sets(world: &mut World, path: &str, value: &str) {
    let moment = world.moment();
    let write = match value {
        "" => Write::delete(Path::new(path).unwrap()),
        value => Write::set(Path::new(path).unwrap(), value),
    };
    world.cloud.update(moment, &[write]).unwrap();
    world.run();
}

#[test]
fn a_value_written_each_second_costs_a_frame_a_minute() {
    let mut world = ruled(&["speed=max-delay:1m"]);
    let commits = world.commits;
    for second in 0..DAY {
        drop(world.set("speed", (second % 100) as i64));
        world.sleep(seconds(1));
    }
    let sends = sends(&world);
    assert_eq!(sends.len(), 1_440);
    assert!(sends.windows(2).all(|pair| pair[1].0 - pair[0].0 == 60), "{:?}", &sends[..10]);
    // Its path once, and then the value and the time: 7 or 8 bytes a minute.
    assert_eq!(sends.iter().map(|(_, bytes)| bytes).sum::<usize>(), 10_662);
    assert_eq!(world.commits - commits, DAY as usize, "each value is durable here at once");
    assert_eq!(world.cloud_get("speed"), Some(Scalar::I64(99)));
    assert_eq!(world.disconnects, [""; 0]);
}

#[test]
fn what_waits_goes_with_the_first_that_has_to_leave() {
    let mut world = ruled(&["sensors=max-delay:15m", "logs=background", "alarms=urgent"]);
    drop(world.set("sensors/1", 20));
    drop(world.set("logs/boot", "ok"));
    world.sleep(seconds(600));
    assert_eq!(sends(&world), []);
    drop(world.set("alarms/door", true));
    world.run();
    assert_eq!(sends(&world), [(601, 47)]);
    assert_eq!(world.cloud_get("sensors/1"), Some(Scalar::I64(20)));
    assert_eq!(world.cloud_get("logs/boot"), Some(Scalar::Str("ok".to_owned())));

    // And what comes then has its own time.
    drop(world.set("sensors/1", 21));
    world.sleep(seconds(899));
    assert_eq!(sends(&world).len(), 1);
    world.sleep(seconds(1));
    assert_eq!(sends(&world)[1..], [(1501, 5)]);
}

#[test]
fn the_background_does_not_speak_first() {
    let mut world = ruled(&["logs=background", "brief=background,max-delay:5h"]);
    drop(world.set("logs/boot", "ok"));
    drop(world.set("brief/x", 1));
    world.sleep(seconds(5 * HOUR - 1));
    assert_eq!(sends(&world), []);
    world.sleep(seconds(1));
    assert_eq!(world.cloud_get("brief/x"), Some(Scalar::I64(1)));
    assert_eq!(world.cloud_get("logs/boot"), Some(Scalar::Str("ok".to_owned())));
}

#[test]
fn small_changes_are_kept_here_and_a_drift_is_reported() {
    let mut world = ruled(&["t=dead-band:0.5"]);
    drop(world.set("t", 20.0));
    world.sleep(seconds(1));
    world.sends.clear();
    // 0.1 each: five of them are as much as the band.
    for tenths in 1..=4 {
        drop(world.set("t", 20.0 + f64::from(tenths) / 10.0));
        world.sleep(seconds(HOUR));
    }
    assert_eq!(sends(&world), []);
    let waits_for =
        "company: 1 change waits that is no reason to send: an equal value, or one within its dead band";
    assert_eq!(world.status().waits_for, waits_for);
    drop(world.set("t", 20.5));
    world.sleep(seconds(1));
    assert_eq!(sends(&world).len(), 1);
    assert_eq!(world.cloud_get("t"), Some(Scalar::F64(20.5)));
    // Anything else that leaves takes along what is within the band.
    drop(world.set("t", 20.7));
    world.sleep(seconds(1));
    assert_eq!(world.cloud_get("t"), Some(Scalar::F64(20.5)));
    drop(world.set("mode", "auto"));
    world.sleep(seconds(1));
    assert_eq!(world.cloud_get("t"), Some(Scalar::F64(20.7)));
}

/// What the cloud has is the measure, also if it wrote it itself.
#[test]
fn a_value_that_the_cloud_has_overwritten_is_measured_against_the_new_one() {
    let mut world = ruled(&["t=dead-band:1"]);
    drop(world.set("t", 10));
    world.sleep(seconds(1));
    drop(world.set("t", 10.5));
    world.sleep(seconds(1));
    let moment = world.moment();
    world.cloud.update(moment, &[Write::set(Path::new("t").unwrap(), 20)]).unwrap();
    world.sleep(seconds(1));
    drop(world.set("t", 10.2));
    world.sleep(seconds(1));
    assert_eq!(world.cloud_get("t"), Some(Scalar::F64(10.2)));
}

#[test]
fn a_receipt_waits_with_its_change_and_a_flush_does_not() {
    let mut world = ruled(&["speed=max-delay:5h"]);
    let mut stamp = world.set("speed", 1);
    world.run();
    let stamp = stamp.try_recv().unwrap().unwrap().stamp.unwrap();
    let mut receipt = world.command(|reply| DocumentCommand::Receipt { basis: Some(stamp.into()), reply });
    world.sleep(seconds(4 * HOUR));
    assert!(receipt.try_recv().is_err() && sends(&world).is_empty());
    world.sleep(seconds(HOUR));
    assert_eq!(receipt.try_recv().unwrap().unwrap(), ());

    let mut stamp = world.set("speed", 2);
    world.run();
    let stamp = stamp.try_recv().unwrap().unwrap().stamp.unwrap();
    let mut receipt = world.command(|reply| DocumentCommand::Receipt { basis: Some(stamp.into()), reply });
    let (reply, mut flushed) = oneshot::channel();
    let now = world.now();
    world.engine.handle_command(now, Command::Flush { reply });
    world.run();
    assert!(flushed.try_recv().unwrap().is_ok());
    assert_eq!(receipt.try_recv().unwrap().unwrap(), ());
    assert_eq!(world.cloud_get("speed"), Some(Scalar::I64(2)));
    assert_eq!(world.disconnects, [""; 0]);
    // A flush of nothing costs nothing, and leaves nothing open.
    world.sends.clear();
    let (reply, _) = oneshot::channel();
    let now = world.now();
    world.engine.handle_command(now, Command::Flush { reply });
    world.run();
    drop(world.set("speed", 3));
    world.sleep(seconds(HOUR));
    assert_eq!(sends(&world), []);
}

#[test]
fn an_answer_that_the_aggregator_waits_for_is_not_held_back_and_takes_along_what_waits() {
    let mut world = ruled(&["=max-delay:1d"]);
    drop(world.set("speed", 1));
    cloud_sets(&mut world, "setpoint", "high");
    world.sleep(seconds(60));
    assert_eq!(sends(&world), [], "what comes in is no reason to speak");
    world.cloud.request_acknowledgement();
    world.run();
    assert_eq!(sends(&world).len(), 1);
    assert_eq!(world.cloud_get("speed"), Some(Scalar::I64(1)));
    assert!(world.cloud.acknowledged_through(PeerId(key(1).0)) > Time::ZERO);
}

#[test]
fn the_cloud_changes_the_policy_while_the_device_runs() {
    let mut world = ruled(&[]);
    cloud_sets(&mut world, "config/policy/speed", "speed=max-delay:1h");
    drop(world.set("speed", 1));
    world.sleep(seconds(HOUR - 1));
    assert_eq!(sends(&world), []);
    world.sleep(seconds(1));
    assert_eq!(world.cloud_get("speed"), Some(Scalar::I64(1)));

    // What waits does not wait for the end of a time that does not hold any more.
    drop(world.set("speed", 2));
    world.sleep(seconds(60));
    cloud_sets(&mut world, "config", "");
    assert_eq!(world.cloud_get("speed"), Some(Scalar::I64(2)));
    drop(world.set("speed", 3));
    world.sleep(seconds(1));
    assert_eq!(world.cloud_get("speed"), Some(Scalar::I64(3)));

    cloud_sets(&mut world, "config/policy/bad", "speed=max-delay:-1h");
    let status = world.status();
    assert_eq!(status.documents[0].bad_rules[0].path, "config/policy/bad");
    drop(world.set("speed", 4));
    world.sleep(seconds(1));
    assert_eq!(world.cloud_get("speed"), Some(Scalar::I64(4)));
}

#[test]
fn a_policy_from_before_a_restart_holds_offline_too() {
    let mut replica = replica();
    let moment = Moment::new(MS_AT_START - 1_000);
    let rule = Write::set(Path::new("config/policy/a").unwrap(), "speed=max-delay:1h");
    replica.update(moment, &[rule]).unwrap();
    let mut world = world_under(replica, None, &[]);
    world.accepts = false;
    for minute in 0..30 {
        drop(world.set("speed", minute));
        world.sleep(seconds(60));
    }
    world.accepts = true;
    world.sleep(seconds(400));
    assert_eq!(world.cloud_get("speed"), Some(Scalar::I64(29)), "opening the document takes it along");
    world.sends.clear();
    drop(world.set("speed", 30));
    world.sleep(seconds(HOUR - 1));
    assert_eq!(sends(&world), []);
    world.sleep(seconds(1));
    assert_eq!(world.cloud_get("speed"), Some(Scalar::I64(30)));
}

#[test]
fn a_time_that_is_over_while_the_device_is_offline_is_over() {
    let mut world = ruled(&["=max-delay:1m"]);
    world.accepts = false;
    let attempt = world.attempt.take().unwrap();
    world.cloud.disconnect(world.session.take().unwrap());
    world.link(attempt, CloseReason::Reset.into());
    for value in 0..100 {
        drop(world.set("speed", value));
        world.sleep(seconds(60));
    }
    world.accepts = true;
    world.sleep(seconds(400));
    assert_eq!(world.cloud_get("speed"), Some(Scalar::I64(99)));
    let cells = world.cloud.document().cells().count();
    assert_eq!(cells, 1, "and only the last value travelled");
}

#[test]
fn the_status_tells_what_waits_and_until_when() {
    let mut world = ruled(&["sensors=max-delay:15m", "logs=background"]);
    for i in 0..3 {
        drop(world.set(&format!("sensors/{i}"), 1));
        world.run();
    }
    drop(world.set("logs/x", 1));
    world.run();
    let status = world.status();
    assert_eq!(
        status.waits_for,
        "company: 4 changes wait until 2027-01-15 08:15:01 UTC at the latest (policy sensors: max-delay:15m)"
    );
    let company = status.company.unwrap();
    assert_eq!((company.in_ms, company.until_ms), (900_000, Some(MS_AT_START + 901_000)));
    assert_eq!(status.documents[0].unsent_cells, 4);
    world.sleep(seconds(900));
    let status = world.status();
    assert_eq!((status.company, status.documents[0].unsent_cells), (None, 0));
}

#[test]
fn a_rule_in_the_document_says_what_is_urgent_for_the_budget() {
    use crate::billing::Day;
    use crate::budget::Plan;

    let mut replica = replica();
    let moment = Moment::new(MS_AT_START - 1_000);
    let write = |path, rule| Write::set(Path::new(path).unwrap(), rule);
    let rules = [write("config/policy/a", "doors=urgent"), write("config/policy/b", "alarm=normal")];
    replica.update(moment, &rules).unwrap();
    let plan = Plan::try_new(5_000_000, 1, 10).unwrap();
    let today = Day((MS_AT_START / 86_400_000) as u32);
    let budget = Budget::new(plan, today, 4_600_000, 0);
    let mut world = world_under(replica, Some(budget), &["alarm=urgent"]);
    drop(world.set("alarm/1", true));
    world.sleep(seconds(HOUR));
    assert!(world.connects.is_empty(), "the document says that it is not urgent");
    drop(world.set("doors/1", true));
    world.sleep(seconds(60));
    assert_eq!(world.cloud_get("doors/1"), Some(Scalar::Bool(true)));
    assert_eq!(world.cloud_get("alarm/1"), Some(Scalar::Bool(true)), "it goes along");
}

#[test]
fn aligned_reports_share_a_frame() {
    let mut world = ruled(&["a=align:15m,no-spread", "b=align:5m,max-delay:1h,no-spread"]);
    // MS_AT_START is at a multiple of 15 minutes.
    for minute in 0..60 {
        drop(world.set("a", minute));
        drop(world.set("b", minute));
        world.sleep(seconds(60));
    }
    let at: Vec<_> = sends(&world).iter().map(|(at, _)| *at).collect();
    assert_eq!(at, [900, 1_800, 2_700, 3_600]);
}
