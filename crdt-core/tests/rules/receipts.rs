//! A delivery as a receipt: over a transport whose peer acknowledges only what it has made durable.

use crate::common::{Side, connect, disconnect, settle};
use crdt_core::{Connect, CountingRng, Event, Heap, Role, SessionId, Time, VersionVector};

fn pair() -> (Side<Heap>, Side<Heap>) {
    let (mut device, mut cloud) = (Side::new(1, Role::Member), Side::new(2, Role::Aggregator));
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    device.events.clear();
    (device, cloud)
}

/// One write, sent and not yet taken: its frames, the claims that were sent by then, and the time of the write.
fn report(device: &mut Side<Heap>, value: i64) -> (Vec<Vec<u8>>, u32, Time) {
    device.set("pump/rpm", value);
    let frames = device.poll();
    device.events.clear();
    (frames, device.replica.claims_sent(device.session.unwrap()), own_time(device))
}

fn own_time(side: &Side<Heap>) -> Time {
    side.replica.document().version_vector().time_of(side.replica.id())
}

fn delivered(device: &mut Side<Heap>, session: SessionId, claims: u32) -> Vec<Event> {
    device.replica.note_delivered(session, claims);
    let frames = device.poll();
    assert!(frames.is_empty(), "a receipt costs nothing");
    std::mem::take(&mut device.events)
}

#[test]
fn a_delivery_is_a_receipt_and_costs_nothing() {
    let (mut device, mut cloud) = pair();
    let (session, peer) = (device.session.unwrap(), cloud.peer);
    let (frames, claims, time) = report(&mut device, 1);
    frames.iter().for_each(|frame| cloud.take(frame).unwrap());
    assert!(cloud.poll().is_empty(), "nothing is said about it");
    assert!(device.replica.acknowledged_through(peer) < time);
    let told = delivered(&mut device, session, claims);
    assert_eq!(told, [Event::Acknowledged { peer, through: time }]);
    assert_eq!(device.replica.acknowledged_through(peer), time);
    assert_eq!(delivered(&mut device, session, claims), [], "once");
}

#[test]
fn what_may_be_forgotten_rests_on_what_the_peer_says() {
    let (mut device, mut cloud) = pair();
    let (session, peer) = (device.session.unwrap(), cloud.peer);
    let told = |device: &Side<Heap>| {
        device
            .replica
            .acknowledged_by(peer)
            .map_or(Time::ZERO, |vv: &VersionVector<Heap>| vv.time_of(device.replica.id()))
    };
    let before = told(&device);
    let (frames, claims, time) = report(&mut device, 1);
    frames.iter().for_each(|frame| cloud.take(frame).unwrap());
    delivered(&mut device, session, claims);
    assert_eq!(told(&device), before);
    // With the session, the belief ends.
    disconnect(&mut device, &mut cloud);
    assert_eq!(device.replica.acknowledged_through(peer), before);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    assert_eq!((told(&device), device.replica.acknowledged_through(peer)), (time, time));
}

#[test]
fn a_delivery_of_an_older_claim_is_a_receipt_for_no_more() {
    let (mut device, cloud) = pair();
    let (session, peer) = (device.session.unwrap(), cloud.peer);
    let (_, first, first_time) = report(&mut device, 1);
    device.now_ms += 1_000;
    let (_, second, second_time) = report(&mut device, 2);
    assert!(first < second && first_time < second_time);
    delivered(&mut device, session, first);
    assert_eq!(device.replica.acknowledged_through(peer), first_time);
    delivered(&mut device, session, second);
    assert_eq!(device.replica.acknowledged_through(peer), second_time);
    // Late and out of order, it takes nothing back.
    assert_eq!(delivered(&mut device, session, first), []);
    assert_eq!(device.replica.acknowledged_through(peer), second_time);
}

/// A part of a batch is no claim: what came of it may be seen there, and is not acknowledged.
#[test]
fn a_delivered_part_of_a_batch_is_no_receipt() {
    let (mut device, cloud) = pair();
    let (session, peer) = (device.session.unwrap(), cloud.peer);
    let before = device.replica.acknowledged_through(peer);
    device.frame_len = 512;
    (0..300).for_each(|n| device.set(&format!("log/{n:03}"), n));
    let part = device.poll_frames(1);
    assert_eq!(part.len(), 1);
    device.replica.note_delivered(session, device.replica.claims_sent(session));
    assert_eq!(device.replica.acknowledged_through(peer), before);
}

/// The first flight goes out before anybody has said that he is there; what he makes of it comes with his Open.
#[test]
fn before_the_peer_has_opened_nothing_is_a_receipt() {
    let (mut device, mut cloud) = pair();
    let peer = cloud.peer;
    disconnect(&mut device, &mut cloud);
    let before = device.replica.acknowledged_through(peer);
    connect(&mut device, &mut cloud);
    let session = device.session.unwrap();
    let (_, claims, time) = report(&mut device, 1);
    assert!(claims > 0 && time > before, "it rides along with the Open");
    assert_eq!(delivered(&mut device, session, claims), []);
    assert_eq!(device.replica.acknowledged_through(peer), before);
}

/// The aggregator lost its disk: it cannot take what rests on what it had, asks for everything, and its transport
/// acknowledges the message all the same.
#[test]
fn what_is_needed_anew_is_no_receipt() {
    let (mut device, mut cloud) = pair();
    report(&mut device, 1).0.iter().for_each(|frame| cloud.take(frame).unwrap());
    device.replica.request_acknowledgement();
    settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    let mut empty = Side::<Heap>::with_id(2, Role::Aggregator, crdt_core::ReplicaId::new(0x3333));
    connect(&mut device, &mut empty);
    let (frames, claims, time) = report(&mut device, 2);
    frames.iter().for_each(|frame| empty.take(frame).unwrap());
    empty.poll().iter().for_each(|frame| device.take(frame).unwrap());
    let session = device.session.unwrap();
    device.replica.note_delivered(session, claims);
    assert!(device.replica.acknowledged_through(empty.peer) < time, "it did not take it");
    // What is sent instead is a receipt when it is there.
    settle(&mut device, &mut empty);
    device.replica.note_delivered(session, claims);
    assert!(device.replica.acknowledged_through(empty.peer) < time, "the first one never is");
    device.replica.note_delivered(session, device.replica.claims_sent(session));
    assert!(device.replica.acknowledged_through(empty.peer) >= time);
    assert_eq!(device.replica.document().size(), empty.replica.document().size());
}

/// The peer has no capacity, says so, and its transport acknowledges the message all the same.
#[test]
fn what_was_refused_is_no_receipt() {
    let (mut device, mut cloud) = (Side::<Heap>::new(1, Role::Member), small_cloud());
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    let (session, peer) = (device.session.unwrap(), cloud.peer);
    let before = device.replica.acknowledged_through(peer);
    (0..4).for_each(|n| device.set(&format!("log/{n}"), "a long text that takes a good deal of room"));
    let frames = device.poll();
    let claims = device.replica.claims_sent(session);
    frames.iter().for_each(|frame| cloud.take(frame).unwrap());
    let answers = cloud.poll();
    answers.iter().for_each(|frame| device.take(frame).unwrap());
    device.poll();
    assert!(device.events.iter().any(|event| matches!(event, Event::Refused { .. })), "{:?}", device.events);
    device.events.clear();
    assert_eq!(delivered(&mut device, session, claims), []);
    assert_eq!(device.replica.acknowledged_through(peer), before);
}

fn small_cloud() -> Side<Heap> {
    let mut cloud = Side::new(2, Role::Aggregator);
    let mut config = crdt_core::Config::new(Role::Aggregator);
    config.limits = crdt_core::Limits { cells: 3, bytes: 100 };
    let name = crdt_core::DocumentName::new("w1").unwrap();
    cloud.replica = crdt_core::Replica::new(&name, config, CountingRng::new(0x2222));
    cloud
}

/// Writes come faster than deliveries: more claims are under way than are remembered.
#[test]
fn receipts_come_while_writes_go_on() {
    let (mut device, cloud) = pair();
    let (session, peer) = (device.session.unwrap(), cloud.peer);
    let mut under_way = Vec::new();
    let mut last = device.replica.acknowledged_through(peer);
    let mut receipts = 0;
    for n in 0..400 {
        device.now_ms += 10;
        let (_, claims, time) = report(&mut device, n);
        under_way.push((claims, time));
        if under_way.len() > 50 {
            device.replica.note_delivered(session, under_way.remove(0).0);
            let through = device.replica.acknowledged_through(peer);
            assert!(through < under_way[0].1, "none is ahead of its delivery");
            receipts += u32::from(through > last);
            last = through;
        }
    }
    assert!(receipts >= 40, "{receipts} of 350");
    let (claims, time) = under_way[under_way.len() - 1];
    device.replica.note_delivered(session, claims);
    assert_eq!(device.replica.acknowledged_through(peer), time);
}

/// A gateway passes on what it did not write: that, too, is known to be there.
#[test]
fn what_others_wrote_is_no_backlog_when_it_is_delivered() {
    let (mut gateway, mut cloud) = pair();
    let (to_cloud, peer) = (gateway.session.take().unwrap(), cloud.peer);
    let mut sensor = Side::<Heap>::new(3, Role::Member);
    // Nothing leaves for the cloud until the sensor has said all.
    gateway.replica.set_capacity(to_cloud, false);
    gateway.session =
        Some(gateway.replica.connect(Connect::responder(sensor.peer, Role::Member, 0)).unwrap());
    sensor.session =
        Some(sensor.replica.connect(Connect::initiator(gateway.peer, Role::Aggregator, 0)).unwrap());
    sensor.set("probe/t", 21);
    settle(&mut gateway, &mut sensor);
    assert_eq!(gateway.replica.backlog(peer).cells, 1);
    gateway.replica.set_capacity(to_cloud, true);
    let frames = gateway.poll();
    gateway.events.clear();
    gateway.replica.note_delivered(to_cloud, gateway.replica.claims_sent(to_cloud));
    gateway.poll();
    let through = Time::ZERO;
    assert_eq!(gateway.events, [Event::Acknowledged { peer, through }], "nothing of it is its own");
    assert_eq!(gateway.replica.backlog(peer).cells, 0);
    assert_eq!(gateway.replica.delivered_seq(peer), gateway.replica.document().seq());
    frames.iter().for_each(|frame| cloud.take(frame).unwrap());
    assert_eq!(cloud.replica.document().size(), sensor.replica.document().size());
}

/// The peer of an early session says what it has, and then proves that it is there. What counts is its vector, not the own.
#[test]
fn what_a_peer_said_before_it_was_confirmed_counts_as_it_was_said() {
    let (mut device, mut cloud) =
        (Side::<Heap>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
    (0..200).for_each(|n| device.set(&format!("log/{n:03}"), n));
    device.frame_len = 512;
    device.session =
        Some(device.replica.connect(Connect::initiator(cloud.peer, Role::Aggregator, 0).early()).unwrap());
    cloud.session =
        Some(cloud.replica.connect(Connect::responder(device.peer, Role::Member, 0).early()).unwrap());
    // The Open and a part of the batch, no claim.
    let part = device.poll_frames(1);
    part.iter().for_each(|frame| cloud.take(frame).unwrap());
    cloud.poll().iter().for_each(|frame| device.take(frame).unwrap());
    let (moment, session, peer) = (device.moment(), device.session.unwrap(), cloud.peer);
    device.replica.confirm(moment, session);
    assert_eq!(device.replica.acknowledged_through(peer), Time::ZERO, "the cloud has claimed nothing");
    assert!(device.replica.acknowledged_by(peer).unwrap().is_empty());
    assert!(!device.events.iter().any(|event| matches!(event, Event::Acknowledged { .. })));

    // What it says then is counted.
    let (moment, session) = (cloud.moment(), cloud.session.unwrap());
    cloud.replica.confirm(moment, session);
    device.replica.request_acknowledgement();
    settle(&mut device, &mut cloud);
    assert_eq!(device.replica.acknowledged_through(peer), own_time(&device));
}

#[test]
fn an_application_sees_who_has_a_write() {
    let (mut device, mut cloud) = pair();
    cloud.set("setpoint", 5);
    let stamp = cloud.replica.document().stamp_of(crdt_core::path!("setpoint")).unwrap();
    let has = |side: &Side<Heap>| side.replica.confirmed_by(stamp).collect::<Vec<_>>();
    assert_eq!(has(&cloud), []);
    settle(&mut device, &mut cloud);
    assert_eq!(has(&cloud), [], "it was sent, and nobody has said that it is there");
    cloud.replica.request_acknowledgement();
    settle(&mut device, &mut cloud);
    assert_eq!(has(&cloud), [device.peer]);
    // For the device's own writes, a delivery says it, too.
    let session = device.session.unwrap();
    let (_, claims, time) = report(&mut device, 1);
    let own = crdt_core::Stamp::new(time, device.replica.id());
    assert_eq!(device.replica.confirmed_by(own).count(), 0);
    device.replica.note_delivered(session, claims);
    assert_eq!(device.replica.confirmed_by(own).collect::<Vec<_>>(), [cloud.peer]);
    assert_eq!(
        device.replica.document().stamp_of(crdt_core::path!("pump")),
        None,
        "a map that has no marker"
    );
}
