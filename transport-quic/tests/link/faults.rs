//! Addresses that change, datagrams that lie, and servers that restart.

use std::net::SocketAddr;
use std::time::Duration;

use transport_quic::{CloseCode, CloseReason, Config, Link, LinkEvent, MESSAGE_LEN_MAX};

use crate::pipe::{Pipe, Side, client_identity, delivered, messages, server_link};

#[test]
fn a_connection_follows_a_new_nat_address() {
    let (mut pipe, ours, theirs) = Pipe::connected(1, Config::cat_m1());
    for n in 0..5_u8 {
        pipe.device = SocketAddr::new("10.0.0.1".parse().unwrap(), 6000 + u16::from(n));
        pipe.run_for(Duration::from_secs(900));
        // Until the device speaks, what the cloud sends goes to the old address and is lost; it is repeated.
        pipe.server.send(pipe.now, theirs, &[n]).unwrap();
        pipe.send(ours, &[n]);
        pipe.run_for(Duration::from_secs(60));
        assert_eq!(pipe.server.stats(theirs).unwrap().remote, pipe.device);
    }
    let all: [&[u8]; 5] = [&[0], &[1], &[2], &[3], &[4]];
    assert_eq!(messages(&pipe.server_events), all);
    assert_eq!(messages(&pipe.client_events), all);
    assert_eq!((delivered(&pipe.client_events).len(), delivered(&pipe.server_events).len()), (5, 5));
}

#[test]
fn a_restarted_server_says_so_at_once() {
    let (mut pipe, conn, _) = Pipe::connected(2, Config::cat_m1());
    pipe.server = server_link(Config::cat_m1(), 0x55);
    pipe.run_for(Duration::from_secs(3600));
    assert_eq!(pipe.client_events, [], "nobody asked");
    let asked = pipe.now;
    pipe.send(conn, b"old friend");
    pipe.run_until(Duration::from_secs(60), |pipe| !pipe.client_events.is_empty());
    assert_eq!(pipe.client_events, [LinkEvent::Closed { conn, reason: CloseReason::Reset }]);
    assert_eq!(pipe.now - asked, Duration::from_millis(200), "one round trip");
    assert_eq!(pipe.server.ledger().sent.unrouted.packets, 1);

    pipe.client_events.clear();
    let (conn, _) = pipe.connect();
    pipe.send(conn, b"old friend");
    pipe.run_for(Duration::from_secs(60));
    assert_eq!(messages(&pipe.server_events), [b"old friend"]);
}

#[test]
fn damaged_datagrams_do_nothing() {
    let (mut pipe, ours, theirs) = Pipe::connected(3, Config::cat_m1());
    for n in 0..50_u8 {
        pipe.send(ours, &[n; 40]);
        pipe.server.send(pipe.now, theirs, &[n; 40]).unwrap();
        pipe.run_for(Duration::from_secs(5));
    }
    pipe.client_events.clear();
    pipe.server_events.clear();
    let record = pipe.record.clone();
    let strangers: [SocketAddr; 2] = ["203.0.113.9:53".parse().unwrap(), pipe.device];
    for n in 0..10_000_usize {
        let (to, datagram) = &record[pipe.below(record.len() as u64) as usize];
        let mut datagram = datagram.clone();
        pipe.damage(&mut datagram);
        match to {
            Side::Client => pipe.client.handle_datagram(pipe.now, pipe.cloud, &datagram),
            Side::Server => pipe.server.handle_datagram(pipe.now, strangers[n % 2], &datagram),
        }
        if n % 100 == 0 {
            pipe.run_for(Duration::from_millis(50));
        }
    }
    pipe.run_for(Duration::from_secs(600));
    assert_eq!((&pipe.client_events[..], &pipe.server_events[..]), (&[][..], &[][..]));
    assert_eq!(pipe.server.connections().count(), 1, "handshakes of strangers are forgotten");

    pipe.send(ours, b"still here");
    pipe.run_for(Duration::from_secs(60));
    assert_eq!(messages(&pipe.server_events), [b"still here"]);
    assert_eq!(pipe.server.stats(theirs).unwrap().remote, pipe.device);
}

#[test]
fn replayed_datagrams_deliver_nothing_twice() {
    let (mut pipe, ours, _) = Pipe::connected(4, Config::cat_m1());
    for n in 0..100_u8 {
        pipe.send(ours, &[n]);
    }
    pipe.run_for(Duration::from_secs(60));
    let record = pipe.record.clone();
    for (to, datagram) in &record {
        match to {
            Side::Client => pipe.client.handle_datagram(pipe.now, pipe.cloud, datagram),
            Side::Server => pipe.server.handle_datagram(pipe.now, pipe.device, datagram),
        }
    }
    pipe.run_for(Duration::from_secs(600));
    assert!(messages(&pipe.server_events).into_iter().eq((0..100_u8).map(|n| [n])));
    assert_eq!(delivered(&pipe.client_events).len(), 100);
}

#[test]
fn noise_of_every_length_is_harmless() {
    let mut pipe = Pipe::new(5);
    for len in 0..2_000_usize {
        let noise: Vec<u8> = (0..len).map(|_| pipe.below(256) as u8).collect();
        pipe.server.handle_datagram(pipe.now, pipe.device, &noise);
        pipe.client.handle_datagram(pipe.now, pipe.cloud, &noise);
        pipe.run_for(Duration::from_millis(2));
    }
    let (ours, _) = pipe.connect();
    pipe.send(ours, b"fine");
    pipe.run_for(Duration::from_secs(60));
    assert_eq!(messages(&pipe.server_events), [b"fine"]);
    let (received, sent) = (pipe.server.ledger().received.unrouted, pipe.server.ledger().sent.unrouted);
    assert!(received.packets >= 2_000 && sent.bytes < received.bytes, "{received:?} {sent:?}");
}

/// A link that swallows everything must not become expensive: repetitions grow ever rarer.
#[test]
fn a_link_that_swallows_everything_costs_this_much_in_a_day() {
    let (mut pipe, ours, _) = Pipe::connected(6, Config::cat_m1());
    for n in 0..20_u8 {
        pipe.send(ours, &[n; 7]);
        pipe.run_for(Duration::from_secs(5));
    }
    let before = pipe.seen_bytes();
    pipe.weather.lose = 1000;
    pipe.send(ours, b"anybody");
    pipe.run_for(Duration::from_secs(60));
    assert_eq!(pipe.seen_bytes() - before, SWALLOWED_MINUTE_BYTES);
    pipe.run_for(Duration::from_secs(24 * 3600 - 60));
    assert_eq!(pipe.seen_bytes() - before, SWALLOWED_DAY_BYTES);
    // Once it is open again the next message takes the waiting one along.
    pipe.weather.lose = 0;
    pipe.client_events.clear();
    pipe.send(ours, b"at last");
    pipe.run_for(Duration::from_secs(1));
    assert_eq!(delivered(&pipe.client_events).len(), 2);
}

/// The device was switched off without a word. Its address belongs to nobody, or to somebody who does not answer.
#[test]
fn a_device_that_is_gone_costs_its_server_this_much_in_a_day() {
    let (mut pipe, _, theirs) = Pipe::connected(7, Config::cat_m1());
    pipe.client = Link::client(client_identity(), Config::cat_m1(), [9; 32]);
    let before = pipe.seen_bytes();
    pipe.server.send(pipe.now, theirs, b"anybody").unwrap();
    pipe.run_for(Duration::from_secs(24 * 3600));
    assert_eq!(pipe.seen_bytes() - before, GONE_DAY_BYTES);
    assert_eq!(pipe.seen[0], (3, 2_511), "the device answers nothing");
    // It comes again, and the old connection is the application's to forget.
    let _ = pipe.connect();
    assert_eq!(pipe.server.connections().count(), 2);
    pipe.server.abandon(theirs, CloseCode::Replaced.into());
    assert_eq!(pipe.server.connections().count(), 1);
}

/// IPv6 promises 1,280 bytes to a packet, and no less: everything must fit, and what fits more is not used.
#[test]
fn every_path_from_1280_to_1500_bytes_will_do() {
    for mtu in [1_280, 1_358, 1_500] {
        let mut pipe = Pipe::new(8);
        pipe.payload_max = mtu - 48;
        let (ours, theirs) = pipe.connect();
        for n in 0..4 {
            pipe.send(ours, &[n; MESSAGE_LEN_MAX / 2]);
            pipe.server.send(pipe.now, theirs, &[n; MESSAGE_LEN_MAX / 2]).unwrap();
        }
        pipe.run_for(Duration::from_secs(60));
        assert_eq!((delivered(&pipe.client_events).len(), delivered(&pipe.server_events).len()), (4, 4));
        assert_eq!(pipe.client.stats(ours).unwrap().lost_packets, 0, "path of {mtu} bytes");
        assert_eq!(pipe.record.iter().map(|(_, bytes)| bytes.len()).max(), Some(1_200));
    }
}

#[test]
fn an_orderly_end_costs_one_datagram_and_leaves_nothing() {
    let (mut pipe, ours, theirs) = Pipe::connected(9, Config::cat_m1());
    let before = pipe.seen_bytes();
    pipe.client.close(pipe.now, ours, CloseCode::ShuttingDown.into(), "");
    pipe.run_for(Duration::from_secs(60));
    let reason = CloseReason::ByPeer { code: CloseCode::ShuttingDown as u64, text: String::new() };
    assert_eq!(pipe.server_events, [LinkEvent::Closed { conn: theirs, reason }]);
    assert_eq!(pipe.seen_bytes() - before, ORDERLY_END_BYTES);
    assert_eq!((pipe.client.poll_timeout(), pipe.server.poll_timeout()), (None, None));
}

const SWALLOWED_MINUTE_BYTES: u64 = 860;
const SWALLOWED_DAY_BYTES: u64 = 2_349;
const GONE_DAY_BYTES: u64 = 1_445;
const ORDERLY_END_BYTES: u64 = 61;
