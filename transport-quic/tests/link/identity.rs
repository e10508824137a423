//! Who may talk to whom, and what a connection that does not come about says.

use std::time::Duration;

use transport_quic::{
    CloseCode, CloseReason, Config, ConnectError, Identity, Link, LinkEvent, MessageId, SendError,
};

use crate::pipe::{Pipe, client_identity, messages, server_identity};

#[test]
fn both_sides_learn_the_other_key() {
    let mut pipe = Pipe::new(1);
    let conn = pipe.client.connect(pipe.now, pipe.cloud, server_identity().public_key()).unwrap();
    pipe.run_for(Duration::from_secs(5));
    let peer = server_identity().public_key();
    assert_eq!(pipe.client_events, [LinkEvent::Connected { conn, peer, initiated: true }]);
    let [LinkEvent::Connected { conn, peer, initiated: false }] = pipe.server_events[..] else {
        panic!("{:?}", pipe.server_events);
    };
    assert_eq!(peer, client_identity().public_key());
    let stats = pipe.server.stats(conn).unwrap();
    assert_eq!((stats.peer, stats.remote), (Some(peer), pipe.device));
    assert_eq!(stats.rtt, Duration::from_millis(200));
}

/// The message queued for the real server must not reach whoever answered in its place.
#[test]
fn a_server_with_another_key_gets_nothing_and_both_keys_are_named() {
    let mut pipe = Pipe::new(1);
    let expected = Identity::from_bytes([0x99; 32]).public_key();
    let conn = pipe.client.connect(pipe.now, pipe.cloud, expected).unwrap();
    pipe.send(conn, b"secret");
    pipe.run_for(Duration::from_secs(90));
    let presented = server_identity().public_key();
    let reason = CloseReason::WrongServerKey { expected, presented };
    let text = reason.to_string();
    assert!(text.contains(&expected.to_string()) && text.contains(&presented.to_string()), "{text}");
    assert_eq!(pipe.client_events, [LinkEvent::Closed { conn, reason }]);
    assert_eq!(pipe.server_events, [], "it never became a connection");
    assert_eq!(pipe.server.connections().count(), 0);
    assert_eq!((pipe.client.poll_timeout(), pipe.server.poll_timeout()), (None, None), "nothing lingers");
}

#[test]
fn a_key_that_is_not_allowed_is_told_why() {
    let (mut pipe, ours, theirs) = Pipe::connected(1, Config::cat_m1());
    pipe.server.close(pipe.now, theirs, CloseCode::AccessDenied.into(), "key is not enrolled");
    pipe.run_for(Duration::from_secs(1));
    let reason = CloseReason::ByPeer { code: 1, text: "key is not enrolled".into() };
    assert_eq!(pipe.client_events, [LinkEvent::Closed { conn: ours, reason }]);
    let reason = CloseReason::Local { code: 1 };
    assert_eq!(pipe.server_events, [LinkEvent::Closed { conn: theirs, reason }]);
    let error = pipe.client.send(pipe.now, ours, b"x").unwrap_err();
    assert_eq!(error, SendError::Closed { conn: ours });
    pipe.run_for(Duration::from_secs(60));
    assert_eq!((pipe.client.stats(ours), pipe.server.stats(theirs)), (None, None));
    assert_eq!((pipe.client.poll_timeout(), pipe.server.poll_timeout()), (None, None), "nothing lingers");
}

#[test]
fn a_full_server_refuses() {
    let mut pipe = Pipe::with_config(1, Config { connections_max: 0, ..Config::cat_m1() });
    let conn = pipe.client.connect(pipe.now, pipe.cloud, server_identity().public_key()).unwrap();
    pipe.run_for(Duration::from_secs(1));
    let [LinkEvent::Closed { conn: closed, reason: CloseReason::Refused { code: 2, .. } }] =
        &pipe.client_events[..]
    else {
        panic!("{:?}", pipe.client_events);
    };
    assert_eq!(*closed, conn);
}

#[test]
fn a_server_that_is_busy_with_handshakes_is_silent() {
    let mut pipe = Pipe::with_config(1, Config { handshakes_max: 0, ..Config::cat_m1() });
    let conn = pipe.client.connect(pipe.now, pipe.cloud, server_identity().public_key()).unwrap();
    pipe.run_for(Duration::from_secs(60));
    let after = Duration::from_secs(60);
    assert_eq!(
        pipe.client_events,
        [LinkEvent::Closed { conn, reason: CloseReason::HandshakeTimeout { after } }]
    );
    assert_eq!(pipe.seen[1], (0, 0));
}

#[test]
fn an_address_that_does_not_answer_costs_five_datagrams_in_a_minute() {
    let mut pipe = Pipe::new(1);
    pipe.weather.lose = 1000;
    let conn = pipe.client.connect(pipe.now, pipe.cloud, server_identity().public_key()).unwrap();
    pipe.run_for(Duration::from_secs(59));
    assert_eq!(pipe.client_events, []);
    pipe.run_for(Duration::from_secs(1));
    let after = Duration::from_secs(60);
    assert_eq!(
        pipe.client_events,
        [LinkEvent::Closed { conn, reason: CloseReason::HandshakeTimeout { after } }]
    );
    pipe.run_for(Duration::from_secs(3600));
    // At once, two after 9 s, two after 27 s.
    assert_eq!(pipe.seen, [(5, 5 * 1228), (0, 0)]);
    assert_eq!(pipe.client.poll_timeout(), None);
}

#[test]
fn a_handshake_packet_is_repeated_when_the_config_says() {
    for config in [Config::cat_m1(), Config::nb_iot()] {
        let mut pipe = Pipe::with_config(1, config);
        pipe.weather.lose = 1000;
        let _ = pipe.client.connect(pipe.now, pipe.cloud, server_identity().public_key()).unwrap();
        pipe.run_for(config.handshake_repetition() - Duration::from_millis(1));
        assert_eq!(pipe.seen[0].0, 1);
        pipe.run_for(Duration::from_millis(1));
        assert!(pipe.seen[0].0 > 1);
    }
}

/// The server answers, and repeats its answers, to nobody.
#[test]
fn a_client_says_nothing_to_answers_that_come_too_late() {
    let mut pipe = Pipe::new(1);
    let conn = pipe.client.connect(pipe.now, pipe.cloud, server_identity().public_key()).unwrap();
    pipe.run_for(Duration::from_millis(150));
    pipe.client.abandon(conn, CloseCode::Normal.into());
    pipe.run_for(Duration::from_secs(90));
    assert_eq!(pipe.seen[0], (1, 1228), "the first packet, and no other");
    assert!(pipe.arrived[0].0 > 1, "{:?}", pipe.arrived);
    let reason = CloseReason::Local { code: 0 };
    assert_eq!(pipe.client_events, [LinkEvent::Closed { conn, reason }]);
}

/// There is no idle timeout, so a server must end by itself what a client left half-way.
#[test]
fn half_a_handshake_is_forgotten() {
    let mut pipe = Pipe::new(1);
    let _ = pipe.client.connect(pipe.now, pipe.cloud, server_identity().public_key()).unwrap();
    pipe.run_for(Duration::from_millis(150));
    assert_eq!(pipe.server.connections().count(), 1);
    pipe.weather.lose = 1000;
    pipe.run_for(Duration::from_secs(61));
    assert_eq!(pipe.server.connections().count(), 0);
    assert_eq!((pipe.server.poll_timeout(), &pipe.server_events[..]), (None, &[][..]));
    let (sent, got) = (pipe.seen[1].1, pipe.arrived[1].1);
    assert!(sent <= 3 * got, "{sent} bytes to an address that sent {got}");
}

#[test]
fn a_client_link_has_one_connection_to_an_address() {
    let (mut pipe, conn, _) = Pipe::connected(1, Config::cat_m1());
    let remote = pipe.cloud;
    let key = server_identity().public_key();
    let error = pipe.client.connect(pipe.now, remote, key).unwrap_err();
    assert_eq!(error, ConnectError::AlreadyConnected { conn, remote });
    for remote in ["0.0.0.0:1", "192.0.2.1:0"] {
        let remote = remote.parse().unwrap();
        let error = pipe.client.connect(pipe.now, remote, key).unwrap_err();
        assert_eq!(error, ConnectError::InvalidAddress { remote });
    }
}

#[test]
fn a_connection_that_was_closed_makes_way_at_once() {
    let (mut pipe, old, old_there) = Pipe::connected(1, Config::cat_m1());
    pipe.client.close(pipe.now, old, CloseCode::Normal.into(), "");
    let new = pipe.client.connect(pipe.now, pipe.cloud, server_identity().public_key()).unwrap();
    assert_ne!(old, new);
    let id = pipe.send(new, b"again");
    assert_eq!(id, MessageId(0));
    pipe.run_for(Duration::from_secs(30));
    let closed = LinkEvent::Closed { conn: old, reason: CloseReason::Local { code: 0 } };
    assert!(pipe.client_events.contains(&closed), "{:?}", pipe.client_events);
    let reason = CloseReason::ByPeer { code: 0, text: String::new() };
    assert!(
        pipe.server_events.contains(&LinkEvent::Closed { conn: old_there, reason }),
        "its last words left"
    );
    assert_eq!(messages(&pipe.server_events), [b"again"]);
}

#[test]
fn what_a_server_abandons_costs_nothing_until_the_peer_speaks() {
    let (mut pipe, ours, theirs) = Pipe::connected(1, Config::cat_m1());
    let before = pipe.seen_bytes();
    pipe.server.abandon(theirs, CloseCode::Replaced.into());
    pipe.run_for(Duration::from_secs(60));
    let reason = CloseReason::Local { code: 3 };
    assert_eq!(pipe.server_events, [LinkEvent::Closed { conn: theirs, reason }]);
    assert_eq!(pipe.seen_bytes(), before);
    pipe.send(ours, b"hello?");
    pipe.run_for(Duration::from_secs(60));
    assert_eq!(pipe.client_events, [LinkEvent::Closed { conn: ours, reason: CloseReason::Reset }]);
}

#[test]
fn a_server_link_can_connect_too() {
    let mut pipe = Pipe::new(1);
    pipe.client = Link::server(client_identity(), Config::cat_m1(), [1; 32], [2; 32]);
    let (ours, theirs) = pipe.connect();
    pipe.send(ours, b"from a server");
    pipe.server.send(pipe.now, theirs, b"to a server").unwrap();
    pipe.run_for(Duration::from_secs(5));
    assert_eq!(messages(&pipe.server_events), [b"from a server"]);
    assert_eq!(messages(&pipe.client_events), [b"to a server"]);
}
