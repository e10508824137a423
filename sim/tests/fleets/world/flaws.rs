//! Bugs that are planted, to see that they are noticed. Each has its twin without the bug, which passes.

use super::*;

/// The power goes 1 ms after an update: before the commit, and after a frame that does not wait for it.
fn power_goes_before_the_commit(flaw: Option<Flaw>) -> World {
    let (mut world, device) = connected(21, Device::new(cat_m1(), "pump-1"));
    world.act(Action::Start(device));
    if let Some(flaw) = flaw {
        world.plant(device, flaw);
    }
    world.set(device, "pump/pressure", 1_i64).unwrap();
    world.run_for(Duration::from_millis(1));
    world.act(Action::Crash(device));
    world.run_for(a_minute());
    world.act(Action::Start(device));
    world.run_until_converged(a_minute()).unwrap();
    world
}

#[test]
fn a_frame_that_leaves_before_its_commit_is_noticed() {
    power_goes_before_the_commit(None).check().unwrap();
    let broken = power_goes_before_the_commit(Some(Flaw::SendsBeforeCommit)).check().unwrap_err();
    assert!(broken.to_string().contains("had to become"), "{broken}");
}

/// The aggregator acknowledges what its slow disk has not stored.
#[test]
fn an_acknowledgement_before_the_commit_is_noticed() {
    let acknowledged = |flaw: Option<Flaw>| {
        let (mut world, device) = connected(22, Device::new(cat_m1(), "pump-1"));
        let aggregator = world.aggregator();
        world.set_commit_delay(aggregator, Duration::from_secs(5));
        if let Some(flaw) = flaw {
            world.plant(aggregator, flaw);
        }
        world.set(device, "pump/pressure", 1_i64).unwrap();
        world.run_for(a_minute());
        assert_eq!(world.counters(device).acknowledged, 2);
        world.check()
    };
    acknowledged(None).unwrap();
    let broken = acknowledged(Some(Flaw::SendsBeforeCommit)).unwrap_err();
    assert!(broken.to_string().contains("were acknowledged through"), "{broken}");
}

/// A device is told that its update is safe, and its disk dies; then the aggregator's power goes.
fn the_aggregator_alone_has_it(flaw: Option<Flaw>) -> World {
    let (mut world, device) = connected(23, Device::new(cat_m1(), "pump-1"));
    let aggregator = world.aggregator();
    if let Some(flaw) = flaw {
        world.plant(aggregator, flaw);
    }
    world.set(device, "pump/mode", "auto").unwrap();
    world.run_for(a_minute());
    assert_eq!(world.counters(device).acknowledged, 2);
    world.act(Action::Crash(aggregator));
    world.act(Action::Wipe(device));
    world.act(Action::Start(aggregator));
    world.run_until_converged(Duration::from_secs(300)).unwrap();
    world
}

#[test]
fn a_disk_that_lies_is_noticed() {
    the_aggregator_alone_has_it(None).check().unwrap();
    let broken = the_aggregator_alone_has_it(Some(Flaw::DiskLies)).check().unwrap_err().to_string();
    assert!(broken.contains("was acknowledged, and is lost"), "{broken}");
}

/// The random scenarios find both bugs too, within a few seeds.
#[test]
fn random_scenarios_find_planted_bugs() {
    for flaw in [Flaw::DiskLies, Flaw::SendsBeforeCommit] {
        let options = Options { hours: 6, flaw: Some(flaw), ..Options::default() };
        let found = (0..40).find_map(|seed| fleet::run(seed, &options).err());
        assert!(found.is_some(), "{flaw:?} was not noticed");
    }
}
