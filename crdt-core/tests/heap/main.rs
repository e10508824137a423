//! What the heap sees. A binary of its own, because `dhat` is its allocator and counts the whole process: one after the
//! other, and without the test harness, whose own thread allocates when it pleases.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

#[expect(dead_code, reason = "this binary uses a part of it")]
#[path = "../rules/common/mod.rs"]
mod common;
mod history_free;
mod no_alloc;
mod no_alloc_interface;
mod no_alloc_types;
mod typed_no_alloc;

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

/// Runs those whose name contains the first argument; all without one.
fn main() {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    for (name, run) in TESTS.into_iter().filter(|(name, _)| name.contains(&wanted)) {
        run();
        println!("test {name} ... ok");
    }
}

const TESTS: [(&str, fn()); 5] = [
    (
        "history_free::a_thousand_times_the_history_costs_the_same",
        history_free::a_thousand_times_the_history_costs_the_same,
    ),
    (
        "no_alloc::a_session_in_fixed_storage_never_allocates",
        no_alloc::a_session_in_fixed_storage_never_allocates,
    ),
    (
        "no_alloc_interface::transactions_and_defaults_in_fixed_storage_never_allocate",
        no_alloc_interface::transactions_and_defaults_in_fixed_storage_never_allocate,
    ),
    (
        "no_alloc_types::no_type_allocates_in_fixed_storage",
        no_alloc_types::no_type_allocates_in_fixed_storage,
    ),
    (
        "typed_no_alloc::structs_in_fixed_storage_never_allocate",
        typed_no_alloc::structs_in_fixed_storage_never_allocate,
    ),
];
