//! The cost of sync and of memory does not grow with history: a thousand times the writes, the same bytes, cells and heap.

use crate::common::{Side, connect, disconnect, path, settle, write_w1};
use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{CountingRng, Fixed, Heap, Memory, Replica, Role, Size, Value, Write};

/// What a history left behind.
#[derive(Debug, PartialEq, Eq)]
struct Cost {
    /// Payload bytes of both directions, until both are silent.
    sync_bytes: usize,
    /// The same, when the two meet once more.
    idle_bytes: usize,
    /// Of the device after the sync.
    size: Size,
    /// Of the device's replica after the sync, in bytes.
    heap_bytes: usize,
    /// Of the device's state record on disk, in bytes.
    state_bytes: usize,
}

const DAY_MS: u64 = 86_400_000;

/// A day offline with `writes` writes by `write`, the last of them at the same time and with the same value whatever
/// their number; then a sync.
fn cost<S: Memory>(writes: u64, write: impl Fn(&mut Side<S>, u64)) -> Cost {
    let before = dhat::HeapStats::get().curr_bytes;
    let (mut device, mut cloud) = (Side::<S>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
    device.frame_len = 512;
    write_w1(&mut device);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    let start = device.now_ms;
    for n in (0..writes).rev() {
        device.now_ms = start + DAY_MS - n * (DAY_MS / writes);
        write(&mut device, n);
    }
    cloud.now_ms = device.now_ms;
    connect(&mut device, &mut cloud);
    let sync_bytes = settle(&mut device, &mut cloud);
    assert_eq!(device.replica.document(), cloud.replica.document());
    disconnect(&mut device, &mut cloud);
    connect(&mut device, &mut cloud);
    let idle_bytes = settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    let size = device.replica.document().size();
    let state_bytes = device.replica.state_record().encode(&mut [0; 4096]).unwrap();
    drop(cloud);
    let replica = alone(device);
    let heap_bytes = dhat::HeapStats::get().curr_bytes - before;
    drop(replica);
    Cost { sync_bytes, idle_bytes, size, heap_bytes, state_bytes }
}

/// What the test itself remembers is no cost.
fn alone<S: Memory>(side: Side<S>) -> Replica<S, CountingRng> {
    side.replica
}

fn overwrites<S: Memory>(side: &mut Side<S>, n: u64) {
    let value = (n % 50) as i64;
    side.set("sense/report_period_s", value);
}

/// A key comes, changes and goes; each time another. At the end the last one is gone.
fn comes_and_goes<S: Memory>(side: &mut Side<S>, n: u64) {
    let moment = side.moment();
    let at = path("live/alarm");
    match n % 2 {
        1 => side.replica.update(moment, &[Write::set(at, Value::I64(n as i64))]).unwrap(),
        _ => side.replica.update(moment, &[Write::delete(at)]).unwrap(),
    };
}

/// Each write to another path: this does grow.
fn new_paths<S: Memory>(side: &mut Side<S>, n: u64) {
    side.set(&format!("live/{n}"), 1);
}

/// One test: the heap of a process is one.
pub(crate) fn a_thousand_times_the_history_costs_the_same() {
    type Small = Fixed<Cells<48>, Bytes<1280>, Replicas<4>>;

    let _profiler = dhat::Profiler::builder().testing().build();
    // On the heap, the order of changes is kept as a log of at most twice the cells: after few changes it is shorter.
    let heap = cost::<Heap>(200, overwrites);
    let later = cost::<Heap>(200_000, overwrites);
    assert!(later.heap_bytes <= heap.heap_bytes + heap.heap_bytes / 4, "{heap:?} {later:?}");
    assert_eq!(Cost { heap_bytes: 0, ..heap }, Cost { heap_bytes: 0, ..later });
    let fixed = cost::<Small>(20, overwrites);
    assert_eq!(fixed, cost::<Small>(20_000, overwrites));
    let (deleted, later) = (cost::<Heap>(200, comes_and_goes), cost::<Heap>(200_000, comes_and_goes));
    assert!(later.heap_bytes <= deleted.heap_bytes + deleted.heap_bytes / 4, "{deleted:?} {later:?}");
    assert_eq!(Cost { heap_bytes: 0, ..deleted }, Cost { heap_bytes: 0, ..later });

    // Not the same for any history: the comparison can fail, in each of its figures.
    let (few, many) = (cost::<Heap>(6, new_paths), cost::<Heap>(60, new_paths));
    assert!(few.sync_bytes < many.sync_bytes && few.heap_bytes < many.heap_bytes, "{few:?} {many:?}");
    assert_eq!(many.size.cells - few.size.cells, 54);
}
