//! Two replicas in conversation: any edits, any cut of the wire, crashes, forgetting; then both must have the same.
#![no_main]

use arbitrary::Arbitrary;
use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{Cell, Fixed, Heap, Role};
use godwit_fuzz::{AnyValue, Side, connect, disconnect};
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Step {
    Ask,
    Connect,
    CrashCloud,
    CrashDevice,
    Disconnect,
    Exchange { up: u8, down: u8, frame_len: u8 },
    Forget { cloud: bool, all: bool },
    Update { cloud: bool, writes: Vec<(u8, Option<AnyValue>)> },
}

type Device = Side<Fixed<Cells<24>, Bytes<4096>, Replicas<64>>>;

fn exchange(device: &mut Device, cloud: &mut Side<Heap>, up: usize, down: usize, frame_len: usize) -> bool {
    let (ups, downs) = (device.poll(up, frame_len), cloud.poll(down, frame_len));
    let any = !(ups.is_empty() && downs.is_empty());
    for frame in ups {
        let moment = cloud.moment();
        if let Some(session) = cloud.session {
            cloud.replica.handle_frame(moment, session, &frame).ok();
        }
    }
    for frame in downs {
        let moment = device.moment();
        if let Some(session) = device.session {
            device.replica.handle_frame(moment, session, &frame).ok();
        }
    }
    any
}

fn is_alive(cell: &Cell<'_>) -> bool {
    !cell.content.is_tombstone()
}

fuzz_target!(|steps: Vec<Step>| {
    let mut device = Device::new(1, Role::Member);
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    for step in steps.iter().take(48) {
        match step {
            Step::Ask => device.replica.request_acknowledgement(),
            Step::Connect => connect(&mut device, &mut cloud),
            Step::Disconnect => disconnect(&mut device, &mut cloud),
            Step::CrashCloud => cloud.crash(Role::Aggregator),
            Step::CrashDevice => device.crash(Role::Member),
            Step::Exchange { up, down, frame_len } => {
                let len = 512 + usize::from(*frame_len);
                exchange(&mut device, &mut cloud, usize::from(up % 4), usize::from(down % 4), len);
            }
            Step::Forget { cloud: at_cloud, all } => {
                let _forgotten = match (at_cloud, all) {
                    (true, true) => cloud.replica.forget_all_tombstones(),
                    (true, false) => cloud.forget_stable(),
                    (false, _) => device.replica.forget_all_tombstones(),
                };
            }
            Step::Update { cloud: at_cloud, writes } => {
                let list: Vec<_> =
                    writes.iter().take(4).map(|(path, value)| AnyValue::write(value, *path)).collect();
                if *at_cloud {
                    let moment = cloud.moment();
                    cloud.replica.update(moment, &list).ok();
                } else {
                    let moment = device.moment();
                    device.replica.update(moment, &list).ok();
                }
            }
        }
        device.replica.document().check_invariants().expect("invariants");
        cloud.replica.document().check_invariants().expect("invariants");
    }
    for _ in 0..8 {
        connect(&mut device, &mut cloud);
        let mut rounds = 0;
        while exchange(&mut device, &mut cloud, usize::MAX, usize::MAX, 1024) {
            rounds += 1;
            assert!(rounds < 1_000, "they never stop talking");
        }
    }
    // One side may have forgotten a tombstone that the other one keeps: what is alive is the same.
    let (device, cloud) = (device.replica.document(), cloud.replica.document());
    assert!(device.cells().filter(is_alive).eq(cloud.cells().filter(is_alive)));
    assert_eq!(device.fingerprint(), cloud.fingerprint());
});
