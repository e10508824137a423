//! The fixed path never allocates: every allocation of the process is counted while a session runs.

use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{
    Config, Connect, CountingRng, DocumentName, Fixed, Moment, Output, Path, PeerId, Replica, Role, Value,
    Write,
};

type Small = Fixed<Cells<32>, Bytes<1024>, Replicas<4>>;

/// Frames from `from` to `to`; true when there were any.
fn pump(
    from: &mut Replica<Small, CountingRng>,
    to: &mut Replica<Small, CountingRng>,
    session: crdt_core::SessionId,
    moment: Moment,
    buffer: &mut [u8; 512],
) -> bool {
    let mut any = false;
    while let Some(output) = from.poll_output(moment, buffer) {
        match output {
            Output::Persist => {
                let token = from.take_unsaved(|_| {});
                let mut state = [0; 1024];
                from.state_record().encode(&mut state).expect("the state record fits");
                from.handle_persisted(token);
            }
            Output::Transmit { len, .. } => {
                to.handle_frame(moment, session, &buffer[..len]).expect("frames of an honest peer are taken");
                any = true;
            }
            Output::Event(_) | Output::Close { .. } => {}
        }
    }
    any
}

pub(crate) fn a_session_in_fixed_storage_never_allocates() {
    let name = DocumentName::new("pump").unwrap();
    let path = |text| Path::new(text).unwrap();
    let _profiler = dhat::Profiler::builder().testing().build();
    // The counter works: a test that cannot fail is none.
    let before = dhat::HeapStats::get().total_blocks;
    drop(std::hint::black_box(vec![1_u8]));
    assert_eq!(dhat::HeapStats::get().total_blocks - before, 1);

    let before = dhat::HeapStats::get().total_blocks;
    let mut device = Replica::<Small, _>::new(&name, Config::new(Role::Member), CountingRng::new(1));
    let mut cloud = Replica::<Small, _>::new(&name, Config::new(Role::Aggregator), CountingRng::new(2));
    let up = device.connect(Connect::initiator(PeerId([2; 32]), Role::Aggregator, 0)).unwrap();
    let down = cloud.connect(Connect::responder(PeerId([1; 32]), Role::Member, 0)).unwrap();
    let mut buffer = [0; 512];
    for round in 0..20_u64 {
        let moment = Moment::new(1_000 + round);
        device
            .update(
                moment,
                &[Write::set(path("pump/speed"), round as i64), Write::set(path("pump/mode"), "auto")],
            )
            .unwrap();
        cloud.update(moment, &[Write::set(path("pump/setpoint"), 0.5 * round as f64)]).unwrap();
        if round % 5 == 4 {
            device.update(moment, &[Write::delete(path("pump"))]).unwrap();
            cloud.forget_stable(moment);
        }
        device.request_acknowledgement();
        while pump(&mut device, &mut cloud, down, moment, &mut buffer)
            | pump(&mut cloud, &mut device, up, moment, &mut buffer)
        {}
    }
    assert!(device.update(Moment::new(0), &[Write::set(path("full"), [b'x'; 1024].as_slice())]).is_err());
    let after = dhat::HeapStats::get().total_blocks;
    assert_eq!(after - before, 0, "allocations");
    assert!(device.document() == cloud.document());
    assert_eq!(device.document().get(path("pump/setpoint")), cloud.document().get(path("pump/setpoint")));
    assert_eq!(device.document().get(path("pump/speed")), None::<Value<'_>>);
}
