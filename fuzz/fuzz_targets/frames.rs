//! Any bytes as the frames of a peer, before and after a real Open.
#![no_main]

use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{Fixed, Heap, Role};
use godwit_fuzz::{Side, connect};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (bool, Vec<Vec<u8>>)| {
    let (opened, frames) = input;
    let mut device = Side::<Fixed<Cells<16>, Bytes<512>, Replicas<4>>>::new(1, Role::Member);
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    connect(&mut device, &mut cloud);
    if opened {
        for frame in device.poll(1, 512) {
            let (moment, session) = (cloud.moment(), cloud.session.expect("just connected"));
            cloud.replica.handle_frame(moment, session, &frame).expect("an honest Open");
        }
        for frame in cloud.poll(4, 512) {
            let (moment, session) = (device.moment(), device.session.expect("just connected"));
            device.replica.handle_frame(moment, session, &frame).expect("an honest Open");
        }
    }
    for frame in frames {
        let (moment, session) = (cloud.moment(), cloud.session);
        session.map(|session| cloud.replica.handle_frame(moment, session, &frame));
        cloud.poll(4, 512);
        let (moment, session) = (device.moment(), device.session);
        session.map(|session| device.replica.handle_frame(moment, session, &frame));
        device.poll(4, 512);
        cloud.replica.document().check_invariants().expect("invariants");
        device.replica.document().check_invariants().expect("invariants");
    }
});
