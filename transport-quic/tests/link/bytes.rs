//! What things cost. The numbers repeat exactly; a change of any of them is a change of what users pay.

use std::time::Duration;

use transport_quic::{Config, Count, Ledger, Traffic};

use crate::pipe::{Pipe, Weather, delivered, messages};

/// At most 3,900 is wanted.
const SET_UP_BYTES: u64 = 3_789;
/// Messages 17 to 1,000 of 16 bytes each, 15 minutes apart: 133.7 bytes a message. At most 136 is wanted.
const WARM_BYTES: u64 = 131_557;
/// A packet that asks whether the peer is there, and its acknowledgement. At most 120 is wanted.
const KEEP_ALIVE_BYTES: u64 = 111;

#[test]
fn a_connection_costs_this_much() {
    for seed in 0..3 {
        let (pipe, _, _) = Pipe::connected(seed, Config::cat_m1());
        assert_eq!(pipe.seen_bytes(), SET_UP_BYTES, "seed {seed}");
        assert_eq!(pipe.seen, [(3, 2_511), (2, 1_278)]);
    }
}

#[test]
fn a_message_costs_this_much() {
    let (mut pipe, conn, _) = Pipe::connected(0, Config::cat_m1());
    let mut costs = Vec::new();
    for n in 0..1000_u64 {
        let before = pipe.seen_bytes();
        pipe.send(conn, &[n as u8; 16]);
        pipe.run_for(Duration::from_secs(900));
        costs.push(pipe.seen_bytes() - before);
    }
    assert_eq!(delivered(&pipe.client_events).len(), 1000);
    let warm = &costs[16..];
    assert_eq!(warm.iter().sum::<u64>(), WARM_BYTES);
    assert!(WARM_BYTES <= 136 * warm.len() as u64);
    // One in 32 brings back credit, and that is acknowledged with a packet of its own.
    let (common, with_credit): (Vec<u64>, Vec<u64>) = warm.iter().partition(|&&cost| cost < 180);
    assert_eq!(common.iter().max(), Some(&132));
    assert_eq!((with_credit.len(), with_credit.iter().max()), (30, Some(&191)));
}

#[test]
fn silence_costs_nothing() {
    let (mut pipe, conn, _) = Pipe::connected(0, Config::cat_m1());
    pipe.run_for(Duration::from_secs(30 * 24 * 3600));
    assert_eq!(pipe.seen_bytes(), SET_UP_BYTES);
    assert_eq!((pipe.client.poll_timeout(), pipe.server.poll_timeout()), (None, None));
    pipe.send(conn, b"still there?");
    pipe.run_for(Duration::from_secs(1));
    assert_eq!(messages(&pipe.server_events), [b"still there?"]);
}

/// A link in use moves to a network where a round trip takes 4 s; it usually takes 0.2 s.
fn bytes_on_a_new_network(is_told: bool) -> u64 {
    let (mut pipe, conn, _) = Pipe::connected(0, Config::cat_m1());
    for n in 0..20 {
        pipe.send(conn, &[n; 16]);
        pipe.run_for(Duration::from_secs(5));
    }
    let before = pipe.seen_bytes();
    pipe.delay = Duration::from_secs(2);
    if is_told {
        pipe.client.path_changed(pipe.now, conn);
    }
    pipe.send(conn, &[0; 16]);
    pipe.run_for(Duration::from_secs(60));
    assert_eq!(delivered(&pipe.client_events).len(), 21);
    pipe.seen_bytes() - before
}

#[test]
fn a_link_that_is_told_of_a_new_network_repeats_nothing() {
    assert_eq!(bytes_on_a_new_network(true), 130);
    assert_eq!(bytes_on_a_new_network(false), 786);
}

#[test]
fn bytes_repeat_in_any_weather() {
    let run = |seed| {
        let mut pipe = Pipe::new(seed);
        pipe.weather = Weather { lose: 100, repeat: 50, damage: 20, jitter: Duration::from_millis(300) };
        let conn = pipe.client.connect(pipe.now, pipe.cloud, pipe.server.public_key()).unwrap();
        for n in 0..300_u16 {
            pipe.send(conn, &n.to_le_bytes());
            pipe.run_for(Duration::from_millis(100));
        }
        pipe.run_for(Duration::from_secs(600));
        assert_eq!(messages(&pipe.server_events).len(), 300);
        (pipe.seen, pipe.arrived, pipe.client.ledger(), pipe.server.ledger())
    };
    assert_eq!(run(5), run(5));
    assert_ne!(run(5), run(6));
}

#[test]
fn the_ledger_is_the_sum_of_what_the_pipe_saw() {
    let mut pipe = Pipe::new(8);
    pipe.weather = Weather { lose: 100, repeat: 50, damage: 50, jitter: Duration::from_millis(300) };
    let conn = pipe.client.connect(pipe.now, pipe.cloud, pipe.server.public_key()).unwrap();
    for n in 0..100_u16 {
        pipe.send(conn, &[n as u8; 700]);
        pipe.run_for(Duration::from_millis(500));
    }
    pipe.run_for(Duration::from_secs(600));
    assert_eq!(messages(&pipe.server_events).len(), 100);
    pipe.client.handle_datagram(pipe.now, "203.0.113.9:53".parse().unwrap(), &[0; 72]);
    pipe.arrived[0].0 += 1;
    pipe.arrived[0].1 += 100;

    let pair = |Count { packets, bytes }| (packets, bytes);
    let (client, server) = (pipe.client.ledger(), pipe.server.ledger());
    assert_eq!([pair(client.sent.total()), pair(server.sent.total())], pipe.seen);
    assert_eq!([pair(client.received.total()), pair(server.received.total())], pipe.arrived);
    // The one connection of the client and what belonged to none are all there is.
    let Ledger { sent, received } = pipe.client.stats(conn).unwrap().ledger;
    assert_eq!(sent, client.sent);
    assert_eq!(Traffic { unrouted: client.received.unrouted, ..received }, client.received);
    assert!(sent.retransmissions.packets > 0 && client.received.acknowledgements.packets > 0);
    assert!(client.sent.cells.bytes > 100 * 700 && client.sent.cells.bytes < 130 * 700, "{client:?}");
    assert!(client.received.unrouted.packets > 0 && client.received.handshake.packets > 0);
}

#[test]
fn a_slow_link_pays_no_more_for_its_connection() {
    for (config, round_trip) in [(Config::cat_m1(), 8), (Config::nb_iot(), 28)] {
        let mut pipe = Pipe::with_config(0, config);
        pipe.delay = Duration::from_secs(round_trip) / 2;
        let _ = pipe.client.connect(pipe.now, pipe.cloud, pipe.server.public_key()).unwrap();
        pipe.run_for(Duration::from_secs(300));
        assert_eq!(pipe.seen_bytes(), SET_UP_BYTES, "round trip {round_trip} s");
    }
}

#[test]
fn messages_sent_together_share_a_datagram() {
    let (mut pipe, conn, _) = Pipe::connected(0, Config::cat_m1());
    let before = pipe.seen_bytes();
    for n in 0..10 {
        pipe.send(conn, &[n; 16]);
    }
    pipe.run_for(Duration::from_secs(60));
    assert_eq!(messages(&pipe.server_events).len(), 10);
    assert_eq!(pipe.seen_bytes() - before, 300);
}

#[test]
fn a_link_at_its_limit_is_silent_and_goes_on_later() {
    let (mut pipe, conn, _) = Pipe::connected(0, Config::cat_m1());
    let before = pipe.client.ledger().bytes();
    let limit = before + 5_000;
    pipe.client.set_limit(Some(limit));
    for _ in 0..20 {
        pipe.send(conn, &[7; 1000]);
    }
    pipe.run_for(Duration::from_secs(3600));
    let spent = pipe.client.ledger().bytes();
    assert!(spent > before + 3_000 && spent <= limit, "{before} {spent}");
    let received = messages(&pipe.server_events).len();
    assert!(received < 20);

    pipe.client.set_limit(Some(limit + 1_000_000));
    pipe.run_for(Duration::from_secs(3600));
    assert_eq!(messages(&pipe.server_events).len(), 20);
    pipe.client.set_limit(None);
}

#[test]
fn a_keep_alive_costs_this_much() {
    let config = Config { keep_alive: Some(Duration::from_secs(60)), ..Config::cat_m1() };
    let mut pipe = Pipe::with_config(0, config);
    let _ = pipe.client.connect(pipe.now, pipe.cloud, pipe.server.public_key()).unwrap();
    pipe.run_for(Duration::from_secs(30));
    let before = (pipe.seen_bytes(), pipe.client.ledger());
    pipe.run_for(Duration::from_secs(3600));
    let each = (pipe.seen_bytes() - before.0) / 60;
    assert_eq!(each, KEEP_ALIVE_BYTES);
    let added = pipe.client.ledger().since(&before.1);
    assert!(added.sent.path.packets + added.received.path.packets >= 30, "{added:?}");
}
