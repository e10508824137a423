//! Bad input of every kind: what it costs, and that it is counted under its own name.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::SocketAddr;
use std::time::Duration;

use transport_quic::{Config, ConnectionId, Faults, Identity, Link, LinkEvent};

use crate::pipe::{Pipe, Side, client_identity, delivered, messages, server_identity};

const STRANGER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9)), 999);

/// A connection in use, and the datagrams that the server got over it, newest last.
fn in_use(config: Config) -> (Pipe, ConnectionId, Vec<Vec<u8>>) {
    let (mut pipe, ours, _) = Pipe::connected(1, config);
    for n in 0..5_u8 {
        pipe.send(ours, &[n; 7]);
        pipe.run_for(Duration::from_secs(5));
    }
    pipe.server_events.clear();
    pipe.client_events.clear();
    assert_eq!(pipe.server.faults(), Faults::default(), "a quiet network");
    assert_eq!(pipe.client.faults(), Faults::default(), "a quiet network");
    let to_server = pipe.record.iter().filter(|(to, _)| *to == Side::Server);
    let record = to_server.map(|(_, bytes)| bytes.clone()).collect();
    (pipe, ours, record)
}

/// The first packet of a device with this number, which never comes to a handshake.
fn first_packet(pipe: &Pipe, number: u32) -> Vec<u8> {
    let mut seed = [0x77; 32];
    seed[..4].copy_from_slice(&number.to_le_bytes());
    let mut link = Link::client(Identity::from_bytes(seed), Config::cat_m1(), seed);
    let _ = link.connect(pipe.now, pipe.cloud, server_identity().public_key()).unwrap();
    let mut datagram = Vec::new();
    assert!(link.poll_transmit(pipe.now, &mut datagram).is_some());
    datagram
}

fn other_version() -> Vec<u8> {
    [&[0xc0, 0xba, 0xbe, 0xfa, 0xce, 8][..], &[7; 1300]].concat()
}

fn damaged(datagram: &[u8]) -> Vec<u8> {
    let mut bytes = datagram.to_vec();
    *bytes.last_mut().unwrap() ^= 1;
    bytes
}

fn cut(datagram: &[u8]) -> Vec<u8> {
    datagram[..datagram.len() - 1].to_vec()
}

fn spoofed(number: u32) -> SocketAddr {
    SocketAddr::new(std::net::Ipv4Addr::from(0xcb00_7100 | number).into(), 4000)
}

#[test]
fn every_kind_of_bad_datagram_is_counted_once_and_answered_with_little() {
    type Make = fn(&[Vec<u8>]) -> Vec<u8>;
    let none = Faults::default();
    let cases: [(&str, Make, Faults); 10] = [
        ("empty", |_| vec![], Faults { datagrams_malformed: 1, ..none }),
        ("short", |_| vec![0x40; 9], Faults { datagrams_malformed: 1, ..none }),
        ("no packet", |_| vec![0x00; 100], Faults { datagrams_malformed: 1, ..none }),
        ("first packet cut", |all| all[0][..1199].to_vec(), Faults { datagrams_malformed: 1, ..none }),
        ("other version", |_| other_version(), Faults { datagrams_unversioned: 1, ..none }),
        ("other connection", |_| vec![0x40; 100], Faults { datagrams_unknown: 1, ..none }),
        ("bit flipped", |all| damaged(&all[all.len() - 1]), Faults { datagrams_unauthentic: 1, ..none }),
        ("truncated", |all| cut(&all[all.len() - 1]), Faults { datagrams_unauthentic: 1, ..none }),
        ("replayed", |all| all[all.len() - 1].clone(), Faults { datagrams_replayed: 1, ..none }),
        ("oversized", |all| [&all[0][..], &[0; 300]].concat(), Faults { datagrams_oversized: 1, ..none }),
    ];
    for (kind, make, expected) in cases {
        let (mut pipe, ours, record) = in_use(Config::cat_m1());
        let datagram = make(&record);
        pipe.hand_to_server(STRANGER, &datagram);
        pipe.run_for(Duration::from_secs(60));
        assert_eq!(pipe.server.faults(), expected, "{kind}");
        let (got, sent) = pipe.accounts[&STRANGER];
        assert!(sent <= 3 * got, "{kind}: {sent} bytes for {got}");
        assert_eq!((&pipe.server_events[..], pipe.server.connections().count()), (&[][..], 1), "{kind}");
        pipe.send(ours, b"fine");
        pipe.run_for(Duration::from_secs(60));
        assert_eq!(messages(&pipe.server_events), [b"fine"], "{kind}");
    }
}

#[test]
fn what_is_overtaken_is_counted_and_what_comes_again_too() {
    let (mut pipe, ours, _) = in_use(Config::cat_m1());
    pipe.send(ours, b"first");
    assert_eq!(pipe.overhear().len(), 1);
    pipe.run_for(Duration::from_millis(10));
    pipe.send(ours, b"second");
    let second = pipe.overhear().pop().unwrap();
    let device = pipe.device;
    pipe.hand_to_server(device, &second);
    pipe.run_for(Duration::from_secs(60));
    assert_eq!(messages(&pipe.server_events), [&b"first"[..], b"second"]);
    let expected = Faults { datagrams_reordered: 1, datagrams_replayed: 1, ..Faults::default() };
    assert_eq!(pipe.server.faults(), expected);
}

#[test]
fn a_full_server_counts_whom_it_refuses() {
    let (mut pipe, _, _) = in_use(Config { connections_max: 1, ..Config::cat_m1() });
    let datagram = first_packet(&pipe, 1);
    pipe.hand_to_server(STRANGER, &datagram);
    pipe.run_for(Duration::from_secs(60));
    assert_eq!(pipe.server.faults(), Faults { connections_refused: 1, ..Faults::default() });
    let (got, sent) = pipe.accounts[&STRANGER];
    assert!(sent <= got, "{sent} bytes for {got}");
}

/// First packets are cheap to forge, source and all. What they can take is bounded in number and in time, and devices
/// that are connected do not notice.
#[test]
fn a_flood_of_spoofed_first_packets_takes_a_bounded_place_for_a_bounded_time() {
    const HANDSHAKES: u32 = 32;
    const FLOOD: u32 = 150;
    let (mut pipe, ours, _) = in_use(Config { handshakes_max: HANDSHAKES, ..Config::cat_m1() });
    let began = pipe.now;
    for number in 0..FLOOD {
        let datagram = first_packet(&pipe, number);
        pipe.hand_to_server(spoofed(number), &datagram);
        pipe.run_for(Duration::from_millis(1));
        assert!(pipe.server.connections().count() <= 1 + HANDSHAKES as usize);
    }
    let before = pipe.now;
    pipe.send(ours, b"established");
    pipe.run_until(Duration::from_secs(1), |pipe| !delivered(&pipe.client_events).is_empty());
    // One round trip, and the 25 ms that an acknowledgement waits for company.
    assert_eq!(pipe.now - before, Duration::from_millis(225), "as ever");
    pipe.run_for(Duration::from_secs(60));
    assert_eq!(pipe.server.connections().count(), 1);
    assert!(pipe.now - began < Duration::from_secs(62));
    let expected = Faults {
        handshakes_ignored: u64::from(FLOOD - HANDSHAKES),
        handshakes_overdue: u64::from(HANDSHAKES),
        ..Faults::default()
    };
    assert_eq!(pipe.server.faults(), expected);
    for number in 0..FLOOD {
        let (got, sent) = pipe.accounts[&spoofed(number)];
        assert!(sent <= 3 * got, "{sent} bytes for {got}");
        assert_eq!(sent == 0, number >= HANDSHAKES, "those that are ignored get nothing");
    }

    // Afterwards there is capacity again.
    pipe.server_events.clear();
    let seed = [0x78; 32];
    pipe.client = Link::client(client_identity(), Config::cat_m1(), seed);
    pipe.device.set_port(6000);
    pipe.client_events.clear();
    let (ours, _) = pipe.connect();
    pipe.send(ours, b"new");
    pipe.run_for(Duration::from_secs(60));
    assert!(matches!(&pipe.server_events[..], [LinkEvent::Message { message, .. }] if message == b"new"));
}
