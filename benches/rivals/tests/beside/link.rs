//! Every system is played over a link, and pays more than ours.

use benches::link::SCENARIOS;
use rivals::link::SYSTEMS;
use sim::link_profiles::Link;

#[test]
fn all_are_played_and_ours_costs_least() {
    let cold = SCENARIOS.iter().find(|scenario| scenario.name == "cold_sync").unwrap();
    let costs = SYSTEMS.map(|system| cold.run(system, Link::CatM1).unwrap().ip_bytes());
    assert!(costs.is_sorted_by(|less, more| less < more), "{costs:?}");
}
