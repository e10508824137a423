//! What a metered link is charged for godwit, to the byte: a change of any of these is a change of what users pay.

use benches::link::{GODWIT, SCENARIOS};
use sim::link_profiles::Link;

/// IP bytes of all exchanges of a scenario, and how many there are, on `cat-m1` and on `nb-iot`.
const FIGURES: [(&str, [(u64, u64); 2]); 11] = [
    ("set_up", [(3_789, 1), (3_789, 1)]),
    ("cold_sync", [(3_814, 1), (3_815, 1)]),
    ("update_warm", [(122_136, 984), (121_752, 984)]),
    ("update_warm_receipt", [(122_136, 984), (121_752, 984)]),
    ("update_after_rebind", [(12_287, 100), (12_287, 100)]),
    ("update_after_radio_sleep", [(12_386, 100), (12_386, 100)]),
    ("batch_ten", [(15_187, 100), (15_287, 100)]),
    ("month_2880_reports", [(369_936, 1), (376_634, 1)]),
    ("month_every_receipt", [(367_801, 1), (374_426, 1)]),
    ("day_million_overwrites", [(188_096, 1), (189_051, 1)]),
    ("idle_day", [(0, 1), (0, 1)]),
];

const LINKS: [Link; 2] = [Link::CatM1, Link::NbIot];

#[test]
fn every_figure_is_what_it_was() {
    assert_eq!(SCENARIOS.map(|scenario| scenario.name), FIGURES.map(|(name, _)| name));
    let mut differing = Vec::new();
    for (scenario, (name, figures)) in SCENARIOS.iter().zip(FIGURES) {
        for (link, figure) in LINKS.into_iter().zip(figures) {
            let measured = scenario.run(GODWIT, link).unwrap();
            let measured = (measured.total_bytes, measured.exchanges);
            if measured != figure {
                differing.push(format!("{name} on {link}: {measured:?}, was {figure:?}"));
            }
        }
    }
    assert!(differing.is_empty(), "\n{}", differing.join("\n"));
}

#[test]
fn figures_repeat() {
    let warm = SCENARIOS.iter().find(|scenario| scenario.name == "update_after_rebind").unwrap();
    let run = || warm.run(GODWIT, Link::CatM1).unwrap();
    assert_eq!(run(), run());
}

/// An update is durable at the aggregator within 1.5 round trips of at most 300 ms, a packet's time on the air, and the
/// commits of both sides.
#[test]
fn a_warm_update_is_known_to_be_durable_within_one_and_a_half_round_trips() {
    let warm = SCENARIOS.iter().find(|scenario| scenario.name == "update_warm_receipt").unwrap();
    let seconds = warm.run(GODWIT, Link::CatM1).unwrap().seconds.unwrap();
    assert!(seconds <= 1.5 * 0.3 + 0.01, "{seconds} s");
}
