//! What happens to fleets, one fault at a time and all together.

use super::*;

#[test]
fn a_change_reaches_every_device_of_the_document() {
    let mut world = World::new(11);
    let devices = [0; 4].map(|_| world.device(Device::new(cat_m1(), "site")));
    world.run_for(a_minute());
    for (n, device) in (0_i64..).zip(devices) {
        world.set(device, &format!("pump/{n}"), n).unwrap();
    }
    let aggregator = world.aggregator();
    let document = world.document_of(devices[0]).clone();
    let edits = vec![Edit::set("pump/limit", 7_i64).unwrap()];
    world.act(Action::Update { node: aggregator, document: document.clone(), edits });
    world.run_until_converged(a_minute()).unwrap();
    world.check().unwrap();
    for device in devices {
        assert_eq!(world.replica(device, &document).unwrap().document().iter(None).count(), 5);
    }
}

#[test]
fn a_device_that_was_cut_off_catches_up() {
    let (mut world, device) = connected(12, Device::new(cat_m1(), "pump-1"));
    world.act(Action::Cut(device, Cut::Both));
    for n in 0..16_i64 {
        world.set(device, "pump/pressure", n).unwrap();
        world.run_for(Duration::from_secs(900));
    }
    let stuck = world.run_until_converged(a_minute()).unwrap_err().to_string();
    assert!(stuck.contains("node 1, pump-1: it lacks 0 cells, the aggregator lacks 0, 1 differ"), "{stuck}");
    world.act(Action::Heal(device));
    let cost = spent(&mut world, device, |world| {
        world.run_until_converged(Duration::from_secs(1_200)).unwrap();
    });
    // Overwritten values never travel.
    assert!(cost.payload_bytes() <= 100, "{cost:?}");
    world.check().unwrap();
}

/// A restarted aggregator answers with a reset, so its devices need not wait.
#[test]
fn a_restarted_aggregator_is_noticed_with_the_next_report() {
    let (mut world, device) = connected(13, Device::new(cat_m1(), "pump-1"));
    let aggregator = world.aggregator();
    world.act(Action::Crash(aggregator));
    world.run_for(a_minute());
    world.act(Action::Start(aggregator));
    world.run_for(Duration::from_secs(600));
    world.set(device, "pump/pressure", 9_i64).unwrap();
    let before = world.now();
    let after = world.run_until_converged(a_minute()).unwrap();
    assert!(after.since(before) < Duration::from_secs(15), "{}", after);
    world.check().unwrap();
}

#[test]
fn an_old_backup_takes_a_new_id_and_loses_nothing() {
    let (mut world, device) = connected(14, Device::new(cat_m1(), "pump-1"));
    world.act(Action::Backup(device));
    world.set(device, "pump/mode", "auto").unwrap();
    world.run_until_converged(a_minute()).unwrap();
    world.act(Action::Restore(device));
    world.set(device, "pump/pressure", 3_i64).unwrap();
    world.run_until_converged(a_minute()).unwrap();
    assert_eq!(world.counters(device).forks, 1);
    world.check().unwrap();
}

/// A device restarted, wrote, was verified and sent what it had written; its disk still said that it was unverified. At
/// its next start the aggregator held more than the disk knew to be verified, and the device took itself for an old copy.
#[test]
fn a_copy_that_was_verified_stays_so() {
    let (mut world, device) = connected(17, Device::new(cat_m1(), "pump-1"));
    world.act(Action::Crash(device));
    world.act(Action::Start(device));
    world.set(device, "pump/pressure", 3_i64).unwrap();
    world.run_until_converged(a_minute()).unwrap();
    world.act(Action::Crash(device));
    world.act(Action::Start(device));
    world.run_for(a_minute());
    assert_eq!(world.counters(device).forks, 0);
    world.check().unwrap();
}

#[test]
fn a_wiped_device_gets_everything_back() {
    let (mut world, device) = connected(15, Device::new(cat_m1(), "pump-1"));
    world.act(Action::Wipe(device));
    world.run_until_converged(a_minute()).unwrap();
    world.check().unwrap();
    let document = world.document_of(device).clone();
    assert_eq!(world.replica(device, &document).unwrap().document().iter(None).count(), 1);
}

#[test]
fn a_device_behind_a_new_address_goes_on() {
    let (mut world, device) = connected(16, Device::new(cat_m1(), "pump-1"));
    world.act(Action::Rebind(device));
    world.set(device, "pump/pressure", 3_i64).unwrap();
    world.run_until_converged(a_minute()).unwrap();
    assert_eq!(world.counters(device).connections, 1);
    world.check().unwrap();
}

/// `SIM_SEED=n` runs scenario n alone.
#[test]
fn fleets_converge_and_lose_nothing_whatever_happens() {
    let seeds = match std::env::var("SIM_SEED") {
        Ok(seed) => seed.parse().map(|seed| seed..seed + 1).unwrap(),
        Err(_) => 0..SCENARIOS,
    };
    for seed in seeds {
        if let Err(failure) = fleet::run(seed, &Options { hours: 6, ..Options::default() }) {
            panic!("{failure}\nagain: SIM_SEED={seed} cargo test -p sim whatever_happens");
        }
    }
}

#[test]
fn the_same_seed_is_the_same_scenario() {
    let options = Options { hours: 6, ..Options::default() };
    assert_eq!(fleet::run(3, &options), fleet::run(3, &options));
    assert_ne!(fleet::run(3, &options), fleet::run(4, &options));
}

const SCENARIOS: u64 = 60;
