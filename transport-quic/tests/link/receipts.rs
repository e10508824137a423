//! A server whose acknowledgements are receipts.

use std::time::Duration;

use transport_quic::{CloseCode, CloseReason, Config, ConnectionId, LinkEvent, MESSAGE_LEN_MAX, MessageId};

use crate::pipe::{Pipe, Weather, delivered, messages, server_link};

const HOLD_MAX: Duration = Duration::from_secs(30);

/// One report with its receipt, the group commit aside. At most 130 is wanted.
const UPDATE_WARM_RECEIPT_BYTES: u64 = 121;

/// One message that is not made durable: its repetitions in 30 s and the end of the connection.
const STUCK_DISK_BYTES: u64 = 861;

/// What a server says after a hold of 29 s during which a message of its own was lost: an acknowledgement, two questions
/// whether the peer is there, and that message again.
const AFTER_A_HOLD_BYTES: u64 = 214;

/// A connection in use, with a server that holds back until it is told.
fn in_use(seed: u64) -> (Pipe, ConnectionId, ConnectionId) {
    let (mut pipe, ours, theirs) =
        Pipe::connected(seed, Config { hold_max: Some(HOLD_MAX), ..Config::cat_m1() });
    for n in 0..20_u8 {
        pipe.send(ours, &[n; 7]);
        pipe.run_for(Duration::from_millis(105));
        pipe.server.release(pipe.now, theirs, 1);
        pipe.run_for(Duration::from_secs(5));
    }
    pipe.client_events.clear();
    pipe.server_events.clear();
    (pipe, ours, theirs)
}

#[test]
fn a_receipt_costs_nothing() {
    let (mut pipe, ours, theirs) = in_use(0);
    for _ in 0..10 {
        let before = pipe.seen_bytes();
        pipe.send(ours, &[0; 7]);
        pipe.run_for(Duration::from_millis(150));
        assert_eq!(delivered(&pipe.client_events), []);
        assert_eq!(messages(&pipe.server_events), [&[0; 7]]);
        pipe.server.release(pipe.now, theirs, 1);
        pipe.run_for(Duration::from_secs(900));
        assert_eq!(delivered(&pipe.client_events).len(), 1);
        assert_eq!(pipe.seen_bytes() - before, UPDATE_WARM_RECEIPT_BYTES);
        pipe.client_events.clear();
        pipe.server_events.clear();
    }
}

#[test]
fn nothing_leaves_while_something_is_not_durable() {
    let (mut pipe, ours, theirs) = in_use(1);
    for n in 0..3 {
        pipe.send(ours, &[n; 7]);
        pipe.run_for(Duration::from_millis(20));
    }
    pipe.run_for(Duration::from_millis(100));
    assert_eq!(messages(&pipe.server_events).len(), 3);
    let before = pipe.seen[1];
    // What it has to say itself waits too, because it would carry acknowledgements.
    pipe.server.send(pipe.now, theirs, b"news").unwrap();
    pipe.server.release(pipe.now, theirs, 2);
    pipe.run_for(Duration::from_secs(5));
    assert_eq!((pipe.seen[1], &pipe.client_events[..]), (before, &[][..]));
    pipe.server.release(pipe.now, theirs, 1);
    pipe.run_for(Duration::from_secs(5));
    assert_eq!(messages(&pipe.client_events), [b"news"]);
    assert_eq!(delivered(&pipe.client_events).len(), 3);
}

/// What nobody has taken yet is not durable either.
#[test]
fn an_application_that_does_not_listen_gives_no_receipts() {
    let (mut pipe, ours, theirs) = in_use(2);
    pipe.server_listens = false;
    pipe.send(ours, b"hello");
    pipe.run_for(Duration::from_secs(20));
    assert_eq!(delivered(&pipe.client_events), []);
    pipe.server_listens = true;
    pipe.run_for(Duration::from_millis(1));
    pipe.server.release(pipe.now, theirs, 1);
    pipe.run_for(Duration::from_secs(20));
    assert_eq!(delivered(&pipe.client_events).len(), 1);
}

/// Its later parts could not come if the earlier ones were not acknowledged.
#[test]
fn a_message_of_many_packets_is_held_at_its_end_only() {
    let (mut pipe, ours, theirs) = in_use(3);
    pipe.send(ours, &[1; MESSAGE_LEN_MAX]);
    pipe.run_for(Duration::from_secs(20));
    assert_eq!(messages(&pipe.server_events), [&[1; MESSAGE_LEN_MAX]]);
    assert_eq!(delivered(&pipe.client_events), []);
    pipe.server.release(pipe.now, theirs, 1);
    pipe.run_for(Duration::from_secs(20));
    assert_eq!(delivered(&pipe.client_events).len(), 1);
}

#[test]
fn a_disk_that_is_stuck_ends_the_connection_and_gives_no_receipt() {
    let (mut pipe, ours, theirs) = in_use(4);
    let before = pipe.seen_bytes();
    pipe.send(ours, b"hello");
    pipe.run_for(Duration::from_secs(600));
    let LinkEvent::Closed { conn, reason: CloseReason::ByPeer { code, text } } = &pipe.client_events[0]
    else {
        panic!("{:?}", pipe.client_events)
    };
    assert_eq!(
        (pipe.client_events.len(), *conn, *code),
        (1, ours, u64::from(u32::from(CloseCode::Overloaded)))
    );
    assert!(text.contains("durable"), "{text}");
    let closed =
        LinkEvent::Closed { conn: theirs, reason: CloseReason::Local { code: CloseCode::Overloaded.into() } };
    assert_eq!(pipe.server_events.last(), Some(&closed));
    assert_eq!(pipe.seen_bytes() - before, STUCK_DISK_BYTES);
}

#[test]
fn a_server_that_closes_or_dies_before_its_commit_gave_no_receipt() {
    for dies in [false, true] {
        let (mut pipe, ours, theirs) = in_use(5);
        pipe.send(ours, b"hello");
        pipe.run_for(Duration::from_millis(150));
        assert_eq!(messages(&pipe.server_events), [b"hello"]);
        if dies {
            pipe.server = server_link(Config::cat_m1(), 0x55);
        } else {
            pipe.server.close(pipe.now, theirs, CloseCode::ShuttingDown.into(), "");
        }
        pipe.run_for(Duration::from_secs(60));
        assert!(matches!(pipe.client_events[..], [LinkEvent::Closed { conn, .. }] if conn == ours), "{dies}");
    }
}

/// In bad weather a message may arrive before the one that was sent before it. Its receipt must wait for that one.
#[test]
fn receipts_come_in_order_and_never_before_the_release() {
    for seed in 0..10 {
        let (mut pipe, ours, theirs) = in_use(seed);
        pipe.weather = Weather { lose: 150, repeat: 50, damage: 20, jitter: Duration::from_millis(200) };
        let mut durable = 0;
        for n in 0..200_u64 {
            let len = 1 + pipe.below(1500) as usize;
            pipe.send(ours, &vec![n as u8; len]);
            pipe.run_for(Duration::from_millis(50));
            let taken = messages(&pipe.server_events).len() as u64;
            if n % 3 == 0 || n > 190 {
                pipe.server.release(pipe.now, theirs, taken - durable);
                durable = taken;
            }
            let receipts = delivered(&pipe.client_events);
            assert!(receipts.len() as u64 <= durable, "seed {seed}: {} of {durable}", receipts.len());
            assert!(
                receipts.into_iter().eq((20..).map(MessageId).take(delivered(&pipe.client_events).len()))
            );
        }
        for _ in 0..600 {
            pipe.run_for(Duration::from_secs(1));
            let taken = messages(&pipe.server_events).len() as u64;
            pipe.server.release(pipe.now, theirs, taken - durable);
            durable = taken;
        }
        assert_eq!(delivered(&pipe.client_events).len(), 200, "seed {seed}");
    }
}

/// QUIC acknowledges all that it has, so what arrives during a commit would keep the one before from being acknowledged,
/// for ever.
#[test]
fn steady_traffic_gets_its_receipts() {
    const COMMIT: Duration = Duration::from_millis(100);
    let (mut pipe, ours, theirs) = in_use(6);
    let before = pipe.client.ledger();
    let (mut sent, mut durable, mut late_most) = (0, 0, 0);
    let mut commit = None;
    for tick in 0..3_000_u64 {
        // A message every 30 ms, and one commit after the other.
        if tick % 3 == 0 && tick < 2_900 {
            pipe.send(ours, &[tick as u8; 7]);
            sent += 1;
        }
        pipe.run_for(Duration::from_millis(10));
        let taken = messages(&pipe.server_events).len() as u64;
        if let Some((_, holds)) = commit.take_if(|(until, _)| *until <= pipe.now) {
            pipe.server.release(pipe.now, theirs, holds);
            durable += holds;
        }
        if commit.is_none() && taken > durable {
            commit = Some((pipe.now + COMMIT, taken - durable));
        }
        let receipts = delivered(&pipe.client_events).len() as u64;
        assert!(receipts <= durable, "{receipts} receipts for {durable} durable messages");
        late_most = late_most.max(sent - receipts);
    }
    assert_eq!((delivered(&pipe.client_events).len() as u64, durable), (sent, sent));
    assert!(late_most <= 20, "{late_most} messages, or {} ms, without a receipt", 30 * late_most);
    let repeated = pipe.client.ledger().since(&before).sent.retransmissions;
    assert_eq!(repeated.packets, 0, "{repeated:?}");
}

/// What nobody acknowledged is asked for again and again. During a hold nothing of that may leave, and it must not be
/// saved up until the hold ends.
#[test]
fn timers_rest_during_a_hold() {
    let (mut pipe, ours, theirs) = in_use(7);
    pipe.weather.lose = 1000;
    pipe.server.send(pipe.now, theirs, b"lost").unwrap();
    pipe.run_for(Duration::from_millis(10));
    pipe.weather.lose = 0;
    pipe.send(ours, b"hello");
    pipe.run_for(Duration::from_millis(100));
    assert_eq!(messages(&pipe.server_events), [b"hello"]);
    let deadline = pipe.now + HOLD_MAX;
    let before = pipe.seen[1];
    for _ in 0..29 {
        assert_eq!(pipe.server.poll_timeout(), Some(deadline));
        pipe.run_for(Duration::from_secs(1));
    }
    assert_eq!(pipe.seen[1], before);
    pipe.server.release(pipe.now, theirs, 1);
    pipe.run_until(Duration::from_secs(5), |pipe| messages(&pipe.client_events).len() == 1);
    pipe.client.release(pipe.now, ours, 1);
    pipe.run_for(Duration::from_secs(60));
    assert_eq!(messages(&pipe.client_events), [b"lost"]);
    assert_eq!(pipe.seen[1].1 - before.1, AFTER_A_HOLD_BYTES);
}

/// An application that takes a message makes progress, whenever it came.
#[test]
fn the_time_of_a_hold_begins_when_a_message_is_taken() {
    let (mut pipe, ours, theirs) = in_use(8);
    pipe.server_listens = false;
    pipe.send(ours, b"hello");
    pipe.run_for(HOLD_MAX - Duration::from_secs(5));
    pipe.server.handle_timeout(pipe.now);
    pipe.server_listens = true;
    pipe.run_for(HOLD_MAX - Duration::from_secs(5));
    pipe.server.release(pipe.now, theirs, 1);
    pipe.run_for(Duration::from_secs(60));
    assert_eq!(delivered(&pipe.client_events).len(), 1, "{:?}", pipe.client_events);
}
