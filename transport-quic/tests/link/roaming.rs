//! Devices whose address changes, and observers who would like the server to believe that it did.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::net::SocketAddr;
use std::time::Duration;

use rustls::Side as TlsSide;
use rustls::crypto::ring::cipher_suite::TLS13_AES_128_GCM_SHA256;
use rustls::quic::Version;
use transport_quic::{Config, ConnectionId, LinkEvent};

use crate::pipe::{Pipe, Side, delivered, messages, server_identity};

const STRANGER: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 9)), 999);

/// What the server sends to the source of a copy that overtook the original: one acknowledgement.
const RACED_COPY_BYTES: u64 = 52;

/// A connection in use.
fn in_use(seed: u64) -> (Pipe, ConnectionId, ConnectionId) {
    let (mut pipe, ours, theirs) = Pipe::connected(seed, Config::cat_m1());
    for n in 0..20_u8 {
        pipe.send(ours, &[n; 7]);
        pipe.run_for(Duration::from_secs(5));
    }
    pipe.client_events.clear();
    pipe.server_events.clear();
    (pipe, ours, theirs)
}

fn remote(pipe: &Pipe, conn: ConnectionId) -> SocketAddr {
    pipe.server.stats(conn).expect("an open connection").remote
}

/// IP bytes that the server got from this address, and that it sent there.
fn account(pipe: &Pipe, address: SocketAddr) -> (u64, u64) {
    pipe.accounts.get(&address).copied().unwrap_or_default()
}

/// The device says something, and a stranger's copy of it is faster.
fn race(pipe: &mut Pipe, conn: ConnectionId, stranger: SocketAddr) {
    pipe.send(conn, b"raced");
    for copy in pipe.overhear() {
        pipe.hand_to_server(stranger, &copy);
    }
}

#[test]
fn forged_packets_and_replays_move_nothing() {
    let (mut pipe, ours, theirs) = in_use(1);
    let record: Vec<Vec<u8>> =
        pipe.record.iter().filter(|(to, _)| *to == Side::Server).map(|(_, bytes)| bytes.clone()).collect();
    let established: Vec<&Vec<u8>> = record.iter().filter(|bytes| bytes[0] & 0x80 == 0).collect();
    assert!(established.len() > 20);
    let home = pipe.device;
    for round in 0..500_u16 {
        for original in &established {
            pipe.hand_to_server(STRANGER, original);
            let mut forged = (*original).clone();
            // The connection id stays, so that it comes to the connection.
            let at = 5 + pipe.below(forged.len() as u64 - 5) as usize;
            forged[at] ^= 1 << pipe.below(8);
            pipe.hand_to_server(STRANGER, &forged);
        }
        if round % 100 == 0 {
            pipe.run_for(Duration::from_secs(1));
        }
        assert_eq!(remote(&pipe, theirs), home);
    }
    // First packets too: they may begin handshakes, which come to nothing.
    for original in record.iter().filter(|bytes| bytes[0] & 0x80 != 0) {
        pipe.hand_to_server(STRANGER, original);
    }
    pipe.run_for(Duration::from_secs(120));
    assert_eq!(account(&pipe, STRANGER).1, 0, "not one byte");
    assert_eq!((&pipe.client_events[..], &pipe.server_events[..]), (&[][..], &[][..]));

    let before = pipe.seen_bytes();
    pipe.send(ours, b"still me");
    pipe.run_for(Duration::from_secs(60));
    assert_eq!(messages(&pipe.server_events), [b"still me"]);
    assert_eq!(pipe.seen_bytes() - before, 122);
}

#[test]
fn a_copy_that_overtakes_gets_one_acknowledgement_and_the_device_comes_back() {
    let (mut pipe, ours, theirs) = in_use(2);
    race(&mut pipe, ours, STRANGER);
    assert_eq!(remote(&pipe, theirs), STRANGER);
    pipe.run_for(Duration::from_secs(1));
    // The device misses its acknowledgement, and repeats.
    pipe.run_for(Duration::from_secs(60));
    assert_eq!(remote(&pipe, theirs), pipe.device);
    assert_eq!(delivered(&pipe.client_events).len(), 1);
    assert_eq!(messages(&pipe.server_events), [b"raced"]);
    assert_eq!(account(&pipe, STRANGER).1, RACED_COPY_BYTES);
}

#[test]
fn a_server_with_much_to_say_says_little_to_an_address_that_is_not_proved() {
    let (mut pipe, ours, theirs) = in_use(3);
    race(&mut pipe, ours, STRANGER);
    let all: Vec<[u8; 1000]> = (0..50).map(|n| [n; 1000]).collect();
    for message in &all {
        pipe.server.send(pipe.now, theirs, message).unwrap();
    }
    pipe.run_for(Duration::from_secs(60));
    let (got, sent) = account(&pipe, STRANGER);
    assert!(got > 0 && sent <= 3 * got, "{sent} bytes for {got}");
    assert!(messages(&pipe.client_events).into_iter().eq(&all));
    assert_eq!(remote(&pipe, theirs), pipe.device);
}

/// The copied packet asks for no answer, so the device will not speak again by itself.
#[test]
fn a_diverted_connection_goes_back_by_itself() {
    let (mut pipe, ours, theirs) = in_use(4);
    pipe.server.send(pipe.now, theirs, b"hello").unwrap();
    pipe.run_for(Duration::from_millis(150));
    let copies = pipe.overhear();
    assert_eq!(copies.len(), 1, "the device's acknowledgement");
    pipe.hand_to_server(STRANGER, &copies[0]);
    pipe.run_for(Duration::from_secs(1));
    assert_eq!(remote(&pipe, theirs), STRANGER);
    pipe.server.send(pipe.now, theirs, &[7; 5_000]).unwrap();
    pipe.run_for(Duration::from_secs(120));
    assert_eq!(messages(&pipe.client_events), [&b"hello"[..], &[7; 5_000]]);
    assert_eq!(remote(&pipe, theirs), pipe.device);
    let (got, sent) = account(&pipe, STRANGER);
    assert!(sent <= 3 * got, "{sent} bytes for {got}");
    assert_eq!(pipe.client.stats(ours).unwrap().queued_bytes, 0);
}

#[test]
fn no_address_gets_more_than_three_times_what_came_from_there() {
    for seed in 0..20 {
        let (mut pipe, ours, theirs) = in_use(seed);
        let home = pipe.device;
        for n in 0..200_u64 {
            let stranger = SocketAddr::new(STRANGER.ip(), 1 + pipe.below(5) as u16);
            match pipe.below(4) {
                0 => race(&mut pipe, ours, stranger),
                1 => {
                    let len = 1 + pipe.below(3_000) as usize;
                    // Full is as good as sent: the server has much to say.
                    let _ = pipe.server.send(pipe.now, theirs, &vec![n as u8; len]);
                }
                2 => {
                    let back = 1 + pipe.below(20) as usize;
                    let (_, bytes) = pipe.record[pipe.record.len() - back].clone();
                    pipe.hand_to_server(stranger, &bytes);
                }
                _ => {
                    for copy in pipe.overhear() {
                        pipe.hand_to_server(stranger, &copy);
                    }
                }
            }
            let pause = pipe.below(300);
            pipe.run_for(Duration::from_millis(pause));
            for (address, (got, sent)) in pipe.accounts.iter().filter(|(address, _)| **address != home) {
                assert!(*sent <= 3 * got, "seed {seed}: {address} got {sent} bytes for {got}");
            }
        }
        pipe.run_for(Duration::from_secs(600));
        pipe.send(ours, b"the last word");
        pipe.run_for(Duration::from_secs(600));
        assert_eq!(remote(&pipe, theirs), home, "seed {seed}");
        assert_eq!(messages(&pipe.server_events).last(), Some(&&b"the last word"[..]), "seed {seed}");
        for side in [&pipe.client, &pipe.server] {
            let conn = side.connections().next().unwrap();
            assert_eq!(side.stats(conn).unwrap().queued_bytes, 0, "seed {seed}: all is delivered");
        }
    }
}

#[test]
fn a_long_answer_to_a_new_address_follows_a_proof_of_it() {
    let (mut pipe, ours, theirs) = in_use(5);
    pipe.device.set_port(6000);
    pipe.send(ours, b"what is new?");
    pipe.run_for(Duration::from_millis(150));
    let before = (pipe.now, pipe.server.stats(theirs).unwrap().lost_packets);
    for n in 0..20 {
        pipe.server.send(pipe.now, theirs, &[n; 500]).unwrap();
    }
    pipe.run_until(Duration::from_secs(10), |pipe| messages(&pipe.client_events).len() == 20);
    // One round trip more than without a new address.
    assert_eq!(pipe.now - before.0, Duration::from_millis(300));
    pipe.run_for(Duration::from_secs(60));
    assert_eq!(pipe.server.stats(theirs).unwrap().lost_packets, before.1);
}

#[test]
fn a_transfer_survives_a_new_address_in_its_middle() {
    let (mut pipe, ours, theirs) = in_use(6);
    for n in 0..3 {
        pipe.server.send(pipe.now, theirs, &vec![n; 60_000]).unwrap();
    }
    pipe.run_for(Duration::from_millis(250));
    pipe.device.set_port(6000);
    // Whatever the server sends now is lost, until the device has something to say.
    pipe.run_for(Duration::from_secs(30));
    assert!(messages(&pipe.client_events).len() < 3);
    pipe.send(ours, b"hello?");
    // How long it takes then is a matter of how far the server's repetitions have backed off.
    pipe.run_for(Duration::from_secs(600));
    let lens: Vec<_> = messages(&pipe.client_events).iter().map(|message| message.len()).collect();
    assert_eq!(lens, [60_000; 3]);
    assert_eq!(delivered(&pipe.client_events).len(), 1);
}

#[test]
fn a_new_address_in_the_handshake_costs_no_connection() {
    for millis in [50, 150, 250, 350] {
        let mut pipe = Pipe::new(7);
        let conn = pipe.client.connect(pipe.now, pipe.cloud, pipe.server.public_key()).unwrap();
        pipe.run_for(Duration::from_millis(millis));
        pipe.device.set_port(6000);
        pipe.send(conn, b"hello");
        pipe.run_for(Duration::from_secs(55));
        assert_eq!(messages(&pipe.server_events), [b"hello"], "after {millis} ms");
        let LinkEvent::Connected { conn, .. } = pipe.server_events[0] else {
            panic!("{:?}", pipe.server_events)
        };
        assert_eq!(remote(&pipe, conn), pipe.device);
    }
}

/// A first packet of QUIC with a question in it, number 1, as anybody can make it who knows the connection's first id.
fn initial_packet(connection_id: &[u8]) -> Vec<u8> {
    const NUMBER: u64 = 1;
    let suite = TLS13_AES_128_GCM_SHA256.tls13().unwrap().quic_suite().unwrap();
    let keys = suite.keys(connection_id, TlsSide::Client, Version::V1);
    let mut payload = vec![0; 40];
    payload[0] = 0x01;
    let len = 1 + payload.len() + keys.local.packet.tag_len();
    let mut header = vec![0xc0, 0, 0, 0, 1, connection_id.len() as u8];
    header.extend_from_slice(connection_id);
    header.extend_from_slice(&[0, 0, 0x40, len as u8, NUMBER as u8]);
    let tag = keys.local.packet.encrypt_in_place(NUMBER, &header, &mut payload).unwrap();
    payload.extend_from_slice(tag.as_ref());
    let sample = payload[3..19].to_vec();
    let (first, rest) = header.split_first_mut().unwrap();
    let number = rest.len() - 1;
    keys.local.header.encrypt_in_place(&sample, first, &mut rest[number..]).unwrap();
    [header, payload].concat()
}

/// A device may begin with two packets in one datagram. The second one must not vouch for where the next datagram comes
/// from.
#[test]
fn a_first_datagram_of_two_packets_lets_nobody_in_behind_it() {
    let mut pipe = Pipe::new(8);
    let _ = pipe.client.connect(pipe.now, pipe.cloud, server_identity().public_key()).unwrap();
    let first = pipe.overhear().remove(0);
    let second = initial_packet(&first[6..26]);
    let device = pipe.device;
    pipe.hand_to_server(device, &[&first[..], &second].concat());
    let conn = pipe.server.connections().next().unwrap();
    let mut forged = second;
    *forged.last_mut().unwrap() ^= 1;
    pipe.hand_to_server(STRANGER, &forged);
    assert_eq!(remote(&pipe, conn), device);
    pipe.run_for(Duration::from_secs(10));
    assert_eq!(account(&pipe, STRANGER).1, 0, "not one byte");
}
