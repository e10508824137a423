//! Whole fleets in virtual time: what they cost, to the byte, and that nothing is lost whatever happens to them.

use std::time::Duration;

use sim::link_profiles::{Link, LinkProfile};
use sim::network::NodeId;
use sim::outages::Cut;
use sim::world::fleet::{self, Options};
use sim::world::{Action, Counters, Device, Edit, Flaw, Scalar, Trace, World};

mod bytes;
mod faults;
mod flaws;
mod month;
mod times;

fn cat_m1() -> LinkProfile {
    Link::CatM1.profile().lossless()
}

fn a_minute() -> Duration {
    Duration::from_secs(60)
}

/// A world with one device that has converged with its aggregator, and is at rest.
fn connected(seed: u64, device: Device) -> (World, NodeId) {
    let mut world = World::new(seed);
    let id = world.device(device);
    world.set(id, "pump/pressure", 0_i64).unwrap();
    world.run_until_converged(a_minute()).unwrap();
    world.run_for(a_minute());
    (world, id)
}

/// What a device did while `body` ran.
fn spent(world: &mut World, device: NodeId, body: impl FnOnce(&mut World)) -> Counters {
    let before = world.counters(device);
    body(world);
    world.counters(device).since(&before)
}
