//! The same traffic over IPv6: the same packets, each with 20 bytes more of header.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use std::time::Duration;

use transport_quic::{CloseCode, CloseReason, Config, Link, LinkEvent};

use crate::pipe::{Pipe, client_identity, delivered, messages};

/// Runs a story over IPv4 and over IPv6, and compares what it cost.
fn costs_headers_more(story: impl Fn(&mut Pipe)) {
    let [v4, v6] = [false, true].map(|is_ipv6| {
        let mut pipe = Pipe::with_config(3, Config::cat_m1());
        if is_ipv6 {
            pipe.device = "[2001:db8::1]:5000".parse().unwrap();
            pipe.cloud = "[2001:db8:1::1]:4433".parse().unwrap();
        }
        story(&mut pipe);
        [pipe.client.ledger(), pipe.server.ledger()]
    });
    for (v4, v6) in v4.into_iter().zip(v6) {
        for (v4, v6) in [(v4.sent, v6.sent), (v4.received, v6.received)] {
            let (v4, v6) = (v4.total(), v6.total());
            assert_eq!(v6.packets, v4.packets);
            assert_eq!(v6.bytes, v4.bytes + 20 * v4.packets);
        }
    }
}

#[test]
fn messages_a_new_address_and_an_orderly_close() {
    costs_headers_more(|pipe| {
        let (ours, theirs) = pipe.connect();
        for n in 0..10_u8 {
            pipe.device.set_port(6000 + u16::from(n / 3));
            pipe.send(ours, &[n; 500]);
            pipe.run_for(Duration::from_secs(60));
        }
        assert_eq!((messages(&pipe.server_events).len(), delivered(&pipe.client_events).len()), (10, 10));
        pipe.client.close(pipe.now, ours, CloseCode::Normal.into(), "");
        pipe.run_for(Duration::from_secs(60));
        let reason = CloseReason::ByPeer { code: 0, text: String::new() };
        assert_eq!(pipe.server_events.last(), Some(&LinkEvent::Closed { conn: theirs, reason }));
    });
}

#[test]
fn a_link_that_swallows_everything() {
    costs_headers_more(|pipe| {
        let (ours, _) = pipe.connect();
        pipe.weather.lose = 1000;
        pipe.send(ours, b"anybody");
        pipe.run_for(Duration::from_secs(3_600));
        assert_eq!(delivered(&pipe.client_events), []);
        pipe.weather.lose = 0;
        pipe.send(ours, b"at last");
        pipe.run_for(Duration::from_secs(600));
        assert_eq!(delivered(&pipe.client_events).len(), 2);
    });
}

/// The device is gone and came again; the server knows of two.
#[test]
fn a_connection_that_is_open_at_one_side_only() {
    costs_headers_more(|pipe| {
        let (_, theirs) = pipe.connect();
        pipe.client = Link::client(client_identity(), Config::cat_m1(), [9; 32]);
        pipe.device.set_port(7000);
        pipe.server.send(pipe.now, theirs, b"anybody").unwrap();
        pipe.run_for(Duration::from_secs(3_600));
        let (ours, _) = pipe.connect();
        pipe.send(ours, b"again");
        pipe.run_for(Duration::from_secs(60));
        assert_eq!(messages(&pipe.server_events), [b"again"]);
        assert_eq!(pipe.server.connections().count(), 2);
    });
}
