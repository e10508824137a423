//! The scenarios that a data plan is made of, each with what it costs: IP bytes, both directions, acknowledgements
//! included. A message here has 7 bytes, what a document needs to tell of one small value that changed.

use std::time::Duration;

use transport_quic::{Config, ConnectionId};

use crate::pipe::{Pipe, delivered};

const MESSAGE: [u8; 7] = *b"\x01\x10\x02\x55\x2a\x00\x11";
const QUARTER: Duration = Duration::from_secs(900);

/// Messages 17 to 1,000 of a connection, 15 minutes apart: 124.7 bytes a message. At most 126 is wanted.
const UPDATES_WARM_BYTES: u64 = 122_701;
/// Most that one of them costs, where it brings no credit back.
const UPDATE_WARM_BYTES_MAX: u64 = 123;
/// Ten changed cells in one message, which then has 52 bytes. At most 190 is wanted.
const BATCH_TEN_BYTES: u64 = 166;
/// Ten messages handed over together.
const TEN_MESSAGES_BYTES: u64 = 220;
/// The next message after a NAT gave the device another address. At most 128 is wanted.
const UPDATE_AFTER_REBIND_BYTES: u64 = 121;
/// The first exchange takes 1 to 5 s because the radio slept; it usually takes 0.2 s. At most 140 is wanted.
const UPDATE_AFTER_RADIO_SLEEP_BYTES: u64 = 121;
/// A message of the server to such a device. Its packets carry no connection id.
const MESSAGE_TO_SLEEPER_BYTES: u64 = 119;

/// A connection in use for some time, as most are.
fn in_use(config: Config) -> (Pipe, ConnectionId, ConnectionId) {
    let (mut pipe, ours, theirs) = Pipe::connected(0, config);
    for _ in 0..20 {
        update(&mut pipe, ours);
    }
    (pipe, ours, theirs)
}

/// One report and the quarter of an hour after it: what it cost.
fn update(pipe: &mut Pipe, conn: ConnectionId) -> u64 {
    let before = pipe.seen_bytes();
    pipe.send(conn, &MESSAGE);
    pipe.run_for(QUARTER);
    pipe.seen_bytes() - before
}

#[test]
fn an_update_costs_this_much() {
    let (mut pipe, conn, _) = Pipe::connected(0, Config::cat_m1());
    let costs: Vec<u64> = (0..1000).map(|_| update(&mut pipe, conn)).collect();
    assert_eq!(delivered(&pipe.client_events).len(), 1000);
    let warm = &costs[16..];
    let sum: u64 = warm.iter().sum();
    let common = warm.iter().filter(|&&cost| cost < 170);
    assert_eq!(sum, UPDATES_WARM_BYTES);
    assert_eq!(common.max(), Some(&UPDATE_WARM_BYTES_MAX));
}

#[test]
fn ten_updates_together_cost_this_much() {
    let (mut pipe, conn, _) = in_use(Config::cat_m1());
    let before = pipe.seen_bytes();
    pipe.send(conn, &[0; 52]);
    pipe.run_for(QUARTER);
    assert_eq!(pipe.seen_bytes() - before, BATCH_TEN_BYTES);
    let before = pipe.seen_bytes();
    for _ in 0..10 {
        pipe.send(conn, &MESSAGE);
    }
    pipe.run_for(QUARTER);
    assert_eq!(pipe.seen_bytes() - before, TEN_MESSAGES_BYTES);
}

#[test]
fn an_update_after_a_rebind_costs_this_much() {
    let (mut pipe, conn, _) = in_use(Config::cat_m1());
    for port in 6000..6010 {
        pipe.device.set_port(port);
        assert_eq!(update(&mut pipe, conn), UPDATE_AFTER_REBIND_BYTES, "port {port}");
    }
}

#[test]
fn an_update_after_radio_sleep_costs_this_much() {
    for (config, seconds) in
        [(Config::cat_m1(), 1), (Config::cat_m1(), 3), (Config::cat_m1(), 5), (Config::nb_iot(), 10)]
    {
        let (mut pipe, conn, there) = in_use(config);
        pipe.delay = Duration::from_secs(seconds) / 2;
        assert_eq!(update(&mut pipe, conn), UPDATE_AFTER_RADIO_SLEEP_BYTES, "{seconds} s");
        // And so does what the server has to say to a device that sleeps.
        let before = pipe.seen_bytes();
        pipe.server.send(pipe.now, there, &MESSAGE).unwrap();
        pipe.run_for(QUARTER);
        assert_eq!(pipe.seen_bytes() - before, MESSAGE_TO_SLEEPER_BYTES, "{seconds} s");
    }
}

#[test]
fn a_day_of_silence_costs_nothing() {
    let (mut pipe, _, _) = in_use(Config::cat_m1());
    let before = pipe.seen_bytes();
    pipe.run_for(Duration::from_secs(24 * 3600));
    assert_eq!(pipe.seen_bytes() - before, 0);
}
