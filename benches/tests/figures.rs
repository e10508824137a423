//! The figures of the README that are the same each time, as literals: bytes on the wire and bytes on the
//! heap. A binary of its own, because it counts the heap of the whole process.

use benches::systems::GODWIT;
use benches::workload::{ALLOCATOR, WORKLOADS};
use stats_alloc::StatsAlloc;

#[global_allocator]
static GLOBAL: &StatsAlloc<std::alloc::System> = ALLOCATOR;

/// One thread at a time counts what lives on the heap, so this is one test.
#[test]
fn bytes_are_what_the_readme_says() {
    for (name, figure) in FIGURES {
        let workload = WORKLOADS.iter().find(|workload| workload.name == name);
        let measured = workload.map(|workload| (workload.run)(GODWIT).figure.number());
        assert_eq!(measured, Some(figure), "{name}");
    }
}

const FIGURES: [(&str, u64); 12] = [
    ("one_int_in_session", 7),
    ("one_int_reconnect", 50),
    ("idle_reconnect", 27),
    ("full_sync", 562),
    ("day_one_key", 62),
    ("day_ten_keys", 131),
    ("one_int_after_day", 50),
    ("fleet_idle_reconnect", 956),
    ("fleet_idle_reconnect_warm", 33),
    ("heap_config_doc", 5_123),
    ("heap_before_day", 6_869),
    ("heap_after_day", 6_869),
];
