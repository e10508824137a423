//! Messages arrive complete, once and in order, and the limits hold.

use std::time::Duration;

use transport_quic::{
    CloseCode, CloseReason, Config, ConnectionId, LinkEvent, MESSAGE_LEN_MAX, MESSAGE_OVERHEAD, MessageId,
    SendError, WINDOW_BYTES_MIN,
};

use crate::pipe::{Pipe, Weather, delivered, messages};

/// Message `n`: its number, and bytes that follow from it.
fn message(n: u32, len: usize) -> Vec<u8> {
    let mut bytes = n.to_le_bytes().to_vec();
    bytes.extend((0..len).map(|at| (n as usize * 31 + at * 7) as u8));
    bytes
}

/// Sends all of these as fast as the link takes them, and waits for the last delivery.
fn send_all(pipe: &mut Pipe, conn: ConnectionId, count: u32, len: impl Fn(u32) -> usize) {
    let mut next = 0;
    pipe.run_until(Duration::from_secs(24 * 3600), |pipe| {
        while next < count {
            match pipe.client.send(pipe.now, conn, &message(next, len(next))) {
                Ok(id) => assert_eq!(id, MessageId(next.into())),
                Err(SendError::Full { queued, limit }) => {
                    assert!(queued <= limit && limit == pipe_limit());
                    break;
                }
                Err(error) => panic!("{error}"),
            }
            next += 1;
        }
        delivered(&pipe.client_events).len() == count as usize
    });
}

fn pipe_limit() -> usize {
    Config::cat_m1().send_window_bytes as usize
}

#[test]
fn five_thousand_messages_arrive_in_order_whatever_the_weather() {
    for seed in [1, 2] {
        let (mut pipe, conn, _) = Pipe::connected(seed, Config::cat_m1());
        pipe.weather = Weather { lose: 50, repeat: 30, damage: 10, jitter: Duration::from_millis(250) };
        let len = |n| if n % 100 == 0 { 3000 } else { (n % 200) as usize };
        send_all(&mut pipe, conn, 5000, len);
        let got = messages(&pipe.server_events);
        assert_eq!(got.len(), 5000, "seed {seed}");
        for (n, got) in (0..).zip(got) {
            assert_eq!(got, message(n, len(n)), "seed {seed}, message {n}");
        }
        let mut ids = delivered(&pipe.client_events);
        ids.sort_unstable();
        assert!(ids.iter().copied().eq((0..5000).map(MessageId)), "each is reported once");
        assert_eq!(pipe.client.stats(conn).unwrap().queued_bytes, 0);
    }
}

#[test]
fn a_server_sends_as_well_as_it_receives() {
    let (mut pipe, _, conn) = Pipe::connected(3, Config::cat_m1());
    pipe.weather = Weather { lose: 100, jitter: Duration::from_millis(250), ..Weather::default() };
    for n in 0..300 {
        pipe.server.send(pipe.now, conn, &message(n, 100)).unwrap();
    }
    pipe.run_for(Duration::from_secs(600));
    let got = messages(&pipe.client_events);
    assert!(got.into_iter().eq((0..300).map(|n| message(n, 100))));
    assert_eq!(delivered(&pipe.server_events).len(), 300);
}

#[test]
fn without_credit_messages_wait_in_order() {
    let config = Config { message_credit: 4, ..Config::cat_m1() };
    let (mut pipe, conn, _) = Pipe::connected(4, config);
    pipe.weather = Weather { lose: 50, jitter: Duration::from_millis(250), ..Weather::default() };
    for n in 0..1000 {
        pipe.send(conn, &message(n, 0));
    }
    pipe.run_for(Duration::from_secs(3600));
    let got = messages(&pipe.server_events);
    assert!(got.into_iter().eq((0..1000).map(|n| message(n, 0))));
    assert_eq!(delivered(&pipe.client_events).len(), 1000);
}

/// What the application does not take stays with the sender, not in memory here.
#[test]
fn an_application_that_does_not_listen_holds_the_sender_back() {
    for (len, most) in [(0, 256), (20_000, WINDOW_BYTES_MIN as usize / 20_000)] {
        let config = Config { receive_window_bytes: 0, ..Config::cat_m1() };
        let (mut pipe, conn, _) = Pipe::connected(5, config);
        pipe.server_listens = false;
        let mut sent = 0;
        while pipe.client.send(pipe.now, conn, &message(sent, len)).is_ok() {
            sent += 1;
            assert!(sent < 100_000, "the queue has no end");
        }
        pipe.run_for(Duration::from_secs(600));
        let arrived = delivered(&pipe.client_events).len();
        assert!(
            // One message is taken over ahead, for the ledger to see its kind.
            arrived <= most + 1 && arrived + 1 >= most,
            "{arrived} of at most {most} + 1 messages of {len} bytes"
        );
        assert!(arrived < sent as usize);
        pipe.server_listens = true;
        pipe.run_for(Duration::from_secs(600));
        let got = messages(&pipe.server_events);
        assert!(got.into_iter().eq((0..sent).map(|n| message(n, len))));
        assert_eq!(delivered(&pipe.client_events).len(), sent as usize);
    }
}

#[test]
fn the_queue_is_bounded_and_says_so() {
    let config = Config { send_window_bytes: 0, ..Config::cat_m1() };
    let (mut pipe, conn, _) = Pipe::connected(6, config);
    let limit = WINDOW_BYTES_MIN as usize;
    let error = pipe.client.send(pipe.now, conn, &vec![0; MESSAGE_LEN_MAX + 1]).unwrap_err();
    assert_eq!(error, SendError::TooLong { len: 65_537, limit: 65_536 });
    pipe.send(conn, &vec![1; MESSAGE_LEN_MAX]);
    pipe.send(conn, &vec![2; MESSAGE_LEN_MAX - 2 * MESSAGE_OVERHEAD - 1]);
    assert_eq!(pipe.client.stats(conn).unwrap().queued_bytes, limit - 1);
    let error = pipe.client.send(pipe.now, conn, b"").unwrap_err();
    assert_eq!(error, SendError::Full { queued: limit - 1, limit });
    // Only a delivery that has been reported makes room.
    pipe.client_listens = false;
    pipe.run_for(Duration::from_secs(60));
    assert!(pipe.client.send(pipe.now, conn, b"").is_err());
    pipe.client_listens = true;
    pipe.run_for(Duration::ZERO);
    assert_eq!(pipe.send(conn, b""), MessageId(2));
    pipe.run_for(Duration::from_secs(60));
    let lengths: Vec<_> = messages(&pipe.server_events).iter().map(|message| message.len()).collect();
    assert_eq!(lengths, [MESSAGE_LEN_MAX, MESSAGE_LEN_MAX - 129, 0]);
}

#[test]
fn delivered_means_that_the_acknowledgement_came_back() {
    let (mut pipe, conn, _) = Pipe::connected(7, Config::cat_m1());
    let id = pipe.send(conn, b"are you there?");
    pipe.run_for(Duration::from_millis(110));
    assert_eq!(messages(&pipe.server_events), [b"are you there?"]);
    // The acknowledgement is lost on its way, and so are its repetitions.
    pipe.weather.lose = 1000;
    pipe.run_for(Duration::from_secs(60));
    assert_eq!(delivered(&pipe.client_events), []);
    pipe.weather.lose = 0;
    pipe.run_for(Duration::from_secs(120));
    assert_eq!(delivered(&pipe.client_events), [id]);
    assert_eq!(messages(&pipe.server_events).len(), 1);
}

#[test]
fn what_arrived_before_the_end_is_reported_before_it() {
    let (mut pipe, ours, theirs) = Pipe::connected(8, Config::cat_m1());
    pipe.client_listens = false;
    pipe.server.send(pipe.now, theirs, b"one").unwrap();
    pipe.server.send(pipe.now, theirs, b"two").unwrap();
    pipe.run_for(Duration::from_secs(1));
    assert_eq!(delivered(&pipe.server_events).len(), 2);
    pipe.server.close(pipe.now, theirs, CloseCode::ShuttingDown.into(), "back in a minute");
    pipe.run_for(Duration::from_secs(60));
    pipe.client_listens = true;
    pipe.run_for(Duration::ZERO);
    let reason = CloseReason::ByPeer { code: 4, text: "back in a minute".into() };
    let message = |text: &[u8]| LinkEvent::Message { conn: ours, message: text.into() };
    assert_eq!(
        pipe.client_events,
        [message(b"one"), message(b"two"), LinkEvent::Closed { conn: ours, reason }]
    );
    assert_eq!(pipe.client.stats(ours), None);
}

#[test]
fn messages_sent_before_the_handshake_follow_it() {
    let mut pipe = Pipe::new(9);
    let conn = pipe.client.connect(pipe.now, pipe.cloud, pipe.server.public_key()).unwrap();
    for n in 0..300 {
        pipe.send(conn, &message(n, 10));
    }
    pipe.run_for(Duration::from_secs(60));
    let got = messages(&pipe.server_events);
    assert!(got.into_iter().eq((0..300).map(|n| message(n, 10))));
}
