//! Sessions between two replicas: what they say, and what it costs. Byte counts are exact and meant to be read.

use crate::common::{Image, Side, connect, disconnect, path, settle, write_w1};
use crdt_core::capacity::{Bytes, Cells, Peers, Replicas};
use crdt_core::{
    Config, CountingRng, Event, Fixed, Heap, Memory, Moment, Output, PeerError, Refusal, Replica, ReplicaId,
    Resource, Role, Value, Write,
};

type Small = Fixed<Cells<64>, Bytes<4096>, Replicas<4>>;

const QUARTER_HOUR_MS: u64 = 15 * 60 * 1000;

fn wait(device: &mut Side<Heap>, cloud: &mut Side<Heap>) {
    device.now_ms += QUARTER_HOUR_MS;
    cloud.now_ms += QUARTER_HOUR_MS;
}

fn pair() -> (Side<Heap>, Side<Heap>) {
    (Side::new(1, Role::Member), Side::new(2, Role::Aggregator))
}

#[test]
fn a_full_sync_to_an_empty_peer_takes_few_bytes() {
    let (mut device, mut cloud) = pair();
    write_w1(&mut device);
    connect(&mut device, &mut cloud);
    let bytes = settle(&mut device, &mut cloud);
    assert_eq!(device.replica.document(), cloud.replica.document());
    assert_eq!(bytes, 562, "payload bytes of both directions");
}

/// A device with a buffer of 700 bytes is sent frames of at most 512; what does not fit into one is named, and does not
/// stand in the way of anything once it is gone.
#[test]
fn a_device_is_sent_no_longer_frames_than_it_takes() {
    let (mut device, mut cloud) = pair();
    let config = Config { frame_len_max: 700, ..Config::new(Role::Member) };
    let like = Replica::new(device.replica.name(), config, CountingRng::new(device.replica.id().get()));
    device.replica = like;
    let text = "x".repeat(120);
    let names: Vec<String> = (0..30).map(|i| format!("log/{i}")).collect();
    names.iter().for_each(|name| cloud.set(name, &*text));
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    assert_eq!(device.replica.document(), cloud.replica.document());
    let longest = cloud.frames.iter().map(Vec::len).max().unwrap();
    assert!(longest > 256 && longest <= 512, "{longest}");

    let long = "y".repeat(600);
    cloud.set("log/last", &*long);
    settle(&mut device, &mut cloud);
    let told = cloud.events.iter().find_map(|event| match event {
        Event::ShortBuffer { len, needed, path_len, .. } => Some((*len, *needed, *path_len)),
        _ => None,
    });
    let (len, needed, path_len) = told.expect("the application hears of it");
    assert_eq!((len, path_len), (512, "log/last".len()));
    assert!((600..700).contains(&needed), "{needed}");

    disconnect(&mut device, &mut cloud);
    cloud.delete("log/last");
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    assert_eq!(device.replica.document(), cloud.replica.document());
}

/// Room for one session: it is enough for a device that ends one before it begins the next.
#[test]
fn one_peer_takes_one_session_after_another() {
    let mut device = Side::<Fixed<Cells<64>, Bytes<4096>, Replicas<4>, Peers<1>>>::new(1, Role::Member);
    let mut cloud = Side::<Heap>::new(2, Role::Aggregator);
    for value in 0..3 {
        device.set("pump/setpoint", value);
        connect(&mut device, &mut cloud);
        settle(&mut device, &mut cloud);
        assert_eq!(device.replica.document(), cloud.replica.document());
        disconnect(&mut device, &mut cloud);
    }
    assert!(
        size_of::<Replica<Fixed<Cells<64>, Bytes<4096>, Replicas<4>, Peers<1>>, CountingRng>>() + 2048
            < size_of::<Replica<Fixed<Cells<64>, Bytes<4096>, Replicas<4>>, CountingRng>>()
    );
}

#[test]
fn one_small_int_in_an_open_session() {
    let (mut device, mut cloud) = pair();
    write_w1(&mut device);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    let mut counts = Vec::new();
    for value in 1..4 {
        wait(&mut device, &mut cloud);
        device.set("sense/report_period_s", value);
        counts.push(settle(&mut device, &mut cloud));
        assert_eq!(
            cloud.replica.document().get(path("sense/report_period_s")),
            Some(Value::I64(value.into()))
        );
    }
    // The first goes with its path: the first flight, which is written before the peer is heard, names nothing.
    assert_eq!(counts, [20, 7, 7], "payload bytes of both directions");
}

#[test]
fn one_small_int_with_a_durable_acknowledgement() {
    let (mut device, mut cloud) = pair();
    write_w1(&mut device);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    device.replica.request_acknowledgement();
    device.set("sense/report_period_s", 1);
    settle(&mut device, &mut cloud);
    device.events.clear();
    wait(&mut device, &mut cloud);
    device.set("sense/report_period_s", 2);
    device.replica.request_acknowledgement();
    let bytes = settle(&mut device, &mut cloud);
    let own = device.replica.document().version_vector().time_of(device.replica.id());
    let peer = cloud.peer;
    assert!(device.events.contains(&Event::Acknowledged { peer, through: own }), "{:?}", device.events);
    assert_eq!(bytes, 10, "payload bytes of both directions");
}

#[test]
fn an_idle_reconnect() {
    let (mut device, mut cloud) = pair();
    write_w1(&mut device);
    cloud.set("meta/site", "rotterdam-west");
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    connect(&mut device, &mut cloud);
    let bytes = settle(&mut device, &mut cloud);
    assert_eq!(bytes, 27, "payload bytes of both directions");
}

/// A vector is named by its hash only to a peer that should know it; one that does not asks for it.
#[test]
fn an_aggregator_that_lost_its_memory_asks_for_the_vector() {
    let (mut device, mut cloud) = pair();
    write_w1(&mut device);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    cloud.set("meta/site", "rotterdam-west");
    settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    let mut empty = Side::<Heap>::new(3, Role::Aggregator);
    empty.peer = cloud.peer;
    // It knows the device, and nothing of what the device knows.
    let mut image = Side::<Heap>::new(1, Role::Member);
    connect(&mut image, &mut empty);
    settle(&mut image, &mut empty);
    disconnect(&mut image, &mut empty);
    device.set("sense/report_period_s", 1);
    connect(&mut device, &mut empty);
    let first = device.poll();
    assert_eq!(first.len(), 1, "Open and the change");
    empty.take(&first[0]).unwrap();
    let answer = empty.poll();
    assert_eq!(answer, [[0, 0x10]], "the handle, and the wish for another Open");
    // What was in flight meanwhile is left unread.
    device.set("sense/report_period_s", 2);
    for frame in device.poll() {
        empty.take(&frame).unwrap();
    }
    device.take(&answer[0]).unwrap();
    settle(&mut device, &mut empty);
    assert_eq!(device.replica.document(), empty.replica.document());
    assert_eq!(empty.replica.document().get(path("sense/report_period_s")), Some(Value::I64(2)));
    // It is asked for once a session: a peer cannot make a device talk without end.
    assert!(matches!(device.take(&answer[0]), Err(PeerError::OutOfTurn { .. })));
}

#[test]
fn ten_changed_cells_in_an_open_session() {
    let (mut device, mut cloud) = pair();
    write_w1(&mut device);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    for round in 0..2 {
        wait(&mut device, &mut cloud);
        for (at, value) in crate::common::w1().iter().take(10) {
            device.set(at, *value);
        }
        let bytes = settle(&mut device, &mut cloud);
        assert_eq!(bytes, [155, 89][round], "payload bytes of both directions");
    }
}

#[test]
fn history_costs_nothing() {
    let sync_after = |overwrites: i64| {
        let (mut device, mut cloud) = pair();
        write_w1(&mut device);
        connect(&mut device, &mut cloud);
        settle(&mut device, &mut cloud);
        disconnect(&mut device, &mut cloud);
        for n in 0..overwrites {
            device.now_ms += 86_400_000 / overwrites as u64;
            device.set("sense/report_period_s", n % 50);
        }
        cloud.now_ms = device.now_ms;
        connect(&mut device, &mut cloud);
        settle(&mut device, &mut cloud)
    };
    assert_eq!(sync_after(86), 53, "payload bytes of both directions");
    assert_eq!(sync_after(86_000), 53, "payload bytes of both directions");
}

#[test]
fn fixed_and_heap_storage_send_identical_bytes() {
    fn frames<S: Memory>() -> (Vec<Vec<u8>>, Vec<Vec<u8>>) {
        let (mut device, mut cloud) =
            (Side::<S>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
        device.frame_len = 512;
        write_w1(&mut device);
        device.delete("net/apn");
        connect(&mut device, &mut cloud);
        settle(&mut device, &mut cloud);
        for value in 0..5 {
            device.set("power/sleep_s", value);
            cloud.set("sense/unit", "kelvin");
            settle(&mut device, &mut cloud);
        }
        assert_eq!(device.replica.document(), cloud.replica.document());
        (device.frames, cloud.frames)
    }
    let (small, heap) = (frames::<Small>(), frames::<Heap>());
    // Their Opens announce different capacity for names, in one byte; everything else is the same.
    let differing = |(a, b): (&Vec<Vec<u8>>, &Vec<Vec<u8>>)| {
        assert_eq!(a.len(), b.len());
        let all = a.iter().flatten().zip(b.iter().flatten());
        assert_eq!(a.iter().flatten().count(), b.iter().flatten().count());
        all.filter(|(a, b)| a != b).count()
    };
    assert_eq!(differing((&small.0, &heap.0)), 2);
    assert_eq!(differing((&small.1, &heap.1)), 0);
}

#[test]
fn nothing_leaves_before_it_is_durable() {
    let (mut device, mut cloud) = pair();
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    device.set("a", 1);
    let mut buffer = [0; 1024];
    let moment = Moment::new(device.now_ms);
    assert_eq!(device.replica.poll_output(moment, &mut buffer), Some(Output::Persist));
    let first = device.replica.take_unsaved(|_| {});
    assert_eq!(device.replica.poll_output(moment, &mut buffer), None, "nothing else until it is");
    device.set("b", 2);
    assert_eq!(device.replica.poll_output(moment, &mut buffer), Some(Output::Persist));
    let second = device.replica.take_unsaved(|_| {});
    device.replica.handle_persisted(first);
    assert_eq!(device.replica.poll_output(moment, &mut buffer), None, "the second change is not durable");
    device.replica.handle_persisted(second);
    assert!(matches!(device.replica.poll_output(moment, &mut buffer), Some(Output::Transmit { .. })));
}

#[test]
fn a_full_replica_refuses_with_the_numbers_and_loses_nothing() {
    let mut device = Side::<Heap>::new(1, Role::Member);
    let mut tiny = Side::<Fixed<Cells<4>, Bytes<64>, Replicas<4>>>::new(2, Role::Aggregator);
    for n in 0..6 {
        device.set(["a", "b", "c", "d", "e", "f"][n], n as i64);
    }
    connect(&mut device, &mut tiny);
    settle(&mut device, &mut tiny);
    let reason = Refusal::Capacity { what: Resource::Cells, needed: 5, limit: 4 };
    assert!(
        device.events.iter().any(|e| matches!(e, Event::Refused { reason: r, .. } if *r == reason)),
        "{:?}",
        device.events
    );
    assert!(tiny.events.iter().any(|e| matches!(e, Event::RefusedPeer { reason: r, .. } if *r == reason)));
    assert_eq!(device.replica.document().cells().count(), 6);
    assert_eq!(device.replica.acknowledged_through(tiny.peer).as_ms(), 0);
}

#[test]
fn another_protocol_version_is_refused_with_both() {
    let (mut device, mut cloud) = pair();
    connect(&mut device, &mut cloud);
    let mut open = device.poll().remove(0);
    open[2] = (open[2] & 0xf0) | 9;
    let refused = Refusal::Version { theirs: 1, ours: 9 };
    assert_eq!(cloud.take(&open), Err(PeerError::Refused(refused)));
    let answer = cloud.poll();
    assert_eq!(answer.len(), 1, "the peer learns why");
    device.take(&answer[0]).unwrap();
    device.poll();
    assert!(device.events.iter().any(|e| matches!(e, Event::Refused { reason, .. } if *reason == refused)));
    assert_eq!(cloud.session, None, "closed after that");
}

#[test]
fn a_replica_id_belongs_to_one_key() {
    let (mut device, mut cloud) = pair();
    device.set("a", 1);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    let mut twin = Side::<Heap>::new(1, Role::Member);
    twin.peer.0[0] = 77;
    twin.set("a", 2);
    connect(&mut twin, &mut cloud);
    let frames = twin.poll();
    assert_eq!(cloud.take(&frames[0]), Err(PeerError::Refused(Refusal::Fenced)));
}

#[test]
fn a_device_that_runs_from_anothers_image_takes_an_id_of_its_own() {
    let (mut device, mut cloud) = pair();
    device.set("a", 1);
    let image = Image::of(&device);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    let mut copy = image.restore(&device);
    copy.peer.0[0] = 77;
    copy.set("b", 2);
    connect(&mut copy, &mut cloud);
    let frames = copy.poll();
    assert_eq!(cloud.take(&frames[0]), Err(PeerError::Refused(Refusal::Fenced)));
    for frame in cloud.poll() {
        copy.take(&frame).unwrap();
    }
    copy.poll();
    disconnect(&mut copy, &mut cloud);
    let shared = device.replica.id();
    assert!(copy.events.iter().any(|e| matches!(e, Event::Refused { reason: Refusal::Fenced, .. })));
    assert!(copy.events.iter().any(|e| matches!(e, Event::Forked { from, .. } if *from == shared)));
    for side in [&mut copy, &mut device] {
        side.set("c", 3);
        connect(side, &mut cloud);
        settle(side, &mut cloud);
        disconnect(side, &mut cloud);
    }
    connect(&mut copy, &mut cloud);
    settle(&mut copy, &mut cloud);
    for (at, value) in [("a", 1), ("b", 2), ("c", 3)] {
        assert_eq!(cloud.replica.document().get(path(at)), Some(Value::I64(value)));
    }
    assert_eq!(copy.replica.document(), cloud.replica.document());
    assert_ne!(copy.replica.id(), device.replica.id());
}

#[test]
fn a_restored_copy_asks_first_and_forks_when_the_world_knows_more() {
    let (mut device, mut cloud) = pair();
    device.set("a", 1);
    let image = Image::of(&device);
    device.now_ms += 10;
    device.set("b", 2);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);

    let mut restored = image.restore(&device);
    let old = restored.replica.id();
    restored.now_ms += 20;
    restored.set("c", 3);
    assert!(restored.replica.is_unverified());
    connect(&mut restored, &mut cloud);
    settle(&mut restored, &mut cloud);
    assert!(restored.events.iter().any(|e| matches!(e, Event::Forked { from, .. } if from == &old)));
    assert_eq!(cloud.replica.document().get(path("c")), None, "its sessions were closed");
    disconnect(&mut restored, &mut cloud);
    connect(&mut restored, &mut cloud);
    settle(&mut restored, &mut cloud);
    for (at, value) in [("a", 1), ("b", 2), ("c", 3)] {
        assert_eq!(restored.replica.document().get(path(at)), Some(Value::I64(value)));
    }
    assert_eq!(restored.replica.document(), cloud.replica.document());
    assert_ne!(restored.replica.id(), old);
}

/// Both copies of an image were verified before either wrote: neither is older than what the world knows.
fn verified_twins() -> (Side<Heap>, Side<Heap>, Side<Heap>) {
    let (mut device, mut cloud) = pair();
    device.set("a", 1);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    let image = Image::of(&device);
    let (mut one, mut two) = (image.restore(&device), image.restore(&device));
    two.random += 1_000_000;
    for twin in [&mut one, &mut two] {
        connect(twin, &mut cloud);
        settle(twin, &mut cloud);
        disconnect(twin, &mut cloud);
        assert!(!twin.replica.is_unverified());
    }
    assert_eq!(one.replica.id(), two.replica.id());
    (one, two, cloud)
}

/// Sessions by turns until nothing is left to say.
fn by_turns(one: &mut Side<Heap>, two: &mut Side<Heap>, cloud: &mut Side<Heap>) {
    for _ in 0..4 {
        for twin in [&mut *one, &mut *two] {
            connect(twin, cloud);
            settle(twin, cloud);
            disconnect(twin, cloud);
        }
    }
}

fn was_repaired(side: &Side<Heap>) -> bool {
    side.events.iter().any(|e| matches!(e, Event::Damaged { .. }))
}

#[test]
fn two_devices_with_one_image_part_and_keep_what_both_wrote() {
    for one_is_first in [true, false] {
        let (mut one, mut two, mut cloud) = verified_twins();
        one.now_ms += 10;
        two.now_ms += 20;
        one.set("x", 1);
        two.set("y", 2);
        if one_is_first {
            by_turns(&mut one, &mut two, &mut cloud);
        } else {
            by_turns(&mut two, &mut one, &mut cloud);
        }
        for side in [&one, &two, &cloud] {
            for (at, value) in [("a", 1), ("x", 1), ("y", 2)] {
                assert_eq!(side.replica.document().get(path(at)), Some(Value::I64(value)), "{at}");
            }
            assert_eq!(side.replica.document(), cloud.replica.document());
        }
        assert_ne!(one.replica.id(), two.replica.id(), "each goes its own way now");
        // The one that is behind finds it out by itself. The other one seems to know all there is.
        assert_eq!(was_repaired(&one) || was_repaired(&two), one_is_first);
        let forked = |side: &Side<Heap>| side.events.iter().any(|e| matches!(e, Event::Forked { .. }));
        assert!(forked(&one) || forked(&two), "and it is told");
    }
}

/// What the aggregator has acknowledged is no longer the twin's to write again: the other one may have written over it.
#[test]
fn a_twin_that_parts_writes_again_only_what_nobody_has() {
    let (mut one, mut two, mut cloud) = verified_twins();
    two.now_ms += 10;
    two.set("y", 1);
    connect(&mut two, &mut cloud);
    settle(&mut two, &mut cloud);
    two.replica.request_acknowledgement();
    settle(&mut two, &mut cloud);
    disconnect(&mut two, &mut cloud);
    let acknowledged = two.replica.acknowledged_through(cloud.peer);
    assert!(acknowledged.as_ms() >= two.now_ms);
    for side in [&mut one, &mut two, &mut cloud] {
        side.now_ms += 100;
    }
    one.now_ms += 50;
    one.set("x", 1);
    two.set("z", 1);
    by_turns(&mut one, &mut two, &mut cloud);
    for event in &two.events {
        if let Event::LateWrite { original, .. } = event {
            assert!(original.time > acknowledged, "{event:?}");
        }
    }
    for side in [&one, &two, &cloud] {
        for at in ["a", "x", "y", "z"] {
            assert_eq!(side.replica.document().get(path(at)), Some(Value::I64(1)), "{at}");
        }
        assert_eq!(side.replica.document(), cloud.replica.document());
    }
}

/// The whole document holds a cell of its own id that it never wrote.
#[test]
fn a_twin_that_is_ahead_finds_the_other_one_in_a_full_batch() {
    let (mut one, mut two, mut cloud) = verified_twins();
    one.now_ms += 10;
    one.set("x", 1);
    connect(&mut one, &mut cloud);
    settle(&mut one, &mut cloud);
    disconnect(&mut one, &mut cloud);
    cloud.now_ms += 10;
    cloud.set("gone", 1);
    cloud.delete("gone");
    assert_eq!(cloud.replica.forget_all_tombstones(), 1);
    two.now_ms += 20;
    two.set("y", 2);
    by_turns(&mut two, &mut one, &mut cloud);
    assert!(two.events.iter().any(|e| matches!(e, Event::Forked { .. })), "{:?}", two.events);
    assert!(!was_repaired(&two), "{:?}", two.events);
    for side in [&one, &two, &cloud] {
        for (at, value) in [("a", 1), ("x", 1), ("y", 2)] {
            assert_eq!(side.replica.document().get(path(at)), Some(Value::I64(value)), "{at}");
        }
        assert_eq!(side.replica.document(), cloud.replica.document());
    }
}

#[test]
fn a_copy_that_is_up_to_date_is_verified_and_keeps_its_id() {
    let (mut device, mut cloud) = pair();
    device.set("a", 1);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    let mut restarted = Image::of(&device).restore(&device);
    restarted.now_ms += 5;
    restarted.set("a", 2);
    connect(&mut restarted, &mut cloud);
    settle(&mut restarted, &mut cloud);
    assert!(restarted.events.contains(&Event::Verified) && !restarted.replica.is_unverified());
    assert_eq!(cloud.replica.document().get(path("a")), Some(Value::I64(2)));
    assert_eq!(restarted.replica.id(), device.replica.id());
}

/// A device got a cell whose claim was cut off, and the aggregator that had written it is set back to before that: nobody will
/// ever claim it. It comes with the device's own next write.
#[test]
fn a_cell_that_nobody_will_claim_is_adopted_with_the_devices_own_claim() {
    let (mut device, mut cloud) = pair();
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    let backup = Image::of(&cloud);
    cloud.set("note", "x".repeat(60).as_str());
    cloud.set("claimed/with", "y".repeat(60).as_str());
    // A life later: the device never hears the id that wrote.
    let mut cloud = Image::of(&cloud).restore_as(Role::Aggregator, &cloud);
    cloud.frame_len = 130;
    connect(&mut device, &mut cloud);
    for frame in device.poll() {
        cloud.take(&frame).unwrap();
    }
    let frames = cloud.poll();
    for frame in &frames[..frames.len() - 1] {
        device.take(frame).unwrap();
    }
    disconnect(&mut device, &mut cloud);
    let unclaimed = |side: &Side<Heap>| {
        let document = side.replica.document();
        document.changes_since(0).filter(|cell| !document.covers(cell.stamp)).count()
    };
    assert_eq!(unclaimed(&device), 1, "the claim did not come");

    let mut cloud = backup.restore_as(Role::Aggregator, &cloud);
    device.set("mode", 5);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    assert_eq!((unclaimed(&device), unclaimed(&cloud)), (0, 0));
    assert_eq!(cloud.replica.document().get(path("note")), device.replica.document().get(path("note")));
    assert!(cloud.replica.document().get(path("note")).is_some());
}

#[test]
fn damage_behind_the_cores_back_is_found_and_healed() {
    let (mut device, mut cloud) = pair();
    write_w1(&mut device);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    disconnect(&mut device, &mut cloud);
    // A disk that lost one record and its place in the sum, and kept the rest.
    let mut image = Image::of(&device);
    image.cells.retain(|(at, _)| at != "meta/owner_id");
    image.forge_fingerprint(&device);
    let mut damaged = image.restore(&device);
    assert_eq!(damaged.replica.document().get(path("meta/owner_id")), None);
    connect(&mut damaged, &mut cloud);
    settle(&mut damaged, &mut cloud);
    assert!(damaged.events.iter().any(|e| matches!(e, Event::Damaged { .. })), "{:?}", damaged.events);
    assert_eq!(damaged.replica.document().get(path("meta/owner_id")), Some(Value::I64(100_234)));
    assert_eq!(damaged.replica.document(), cloud.replica.document());
}

#[test]
fn a_write_above_a_scalar_turns_it_into_a_map_and_a_delete_of_nothing_writes_nothing() {
    let mut device = Side::<Heap>::new(1, Role::Member);
    device.set("a", 1);
    device.set("a/b", 2);
    assert_eq!(device.replica.document().get(path("a")), None, "a container now");
    assert_eq!(device.replica.document().get(path("a/b")), Some(Value::I64(2)));
    let moment = device.moment();
    assert_eq!(device.replica.update(moment, &[Write::delete(path("zzz"))]), Ok(None));
    assert_eq!(device.replica.document().cells().count(), 2);
    assert_eq!(device.replica.id(), ReplicaId::new(0x1111_1111_1111_1111));
}
