//! Every system ends a workload with the same document. The byte figures of the README that repeat, as literals.

use benches::workload::WORKLOADS;
use rivals::systems::CONTENDERS;

#[test]
fn bytes_are_what_the_readme_says_and_documents_are_equal() {
    for (name, figures) in FIGURES {
        let workload = WORKLOADS.iter().find(|workload| workload.name == name).unwrap();
        let measured = CONTENDERS.map(|who| (workload.run)(who));
        assert_eq!(measured.each_ref().map(|measured| measured.figure.number()), figures, "{name}");
        assert!(measured.iter().all(|other| other.json == measured[0].json), "{name}");
    }
}

/// In the order of [`CONTENDERS`].
const FIGURES: [(&str, [u64; 4]); 9] = [
    ("one_int_in_session", [7, 273, 103, 39]),
    ("one_int_reconnect", [50, 436, 157, 99]),
    ("idle_reconnect", [27, 122, 44, 74]),
    ("full_sync", [562, 964, 840, 1_043]),
    ("day_one_key", [62, 292_720, 710_330, 152]),
    ("day_ten_keys", [131, 461_368, 827_526, 996_498]),
    ("one_int_after_day", [50, 204_942, 166, 173]),
    ("fleet_idle_reconnect", [956, 9_749, 2_100, 1_810]),
    ("fleet_idle_reconnect_warm", [33, 9_749, 2_100, 1_810]),
];
