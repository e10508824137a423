//! A link that may not spend any more.

use std::time::Duration;

use transport_quic::Config;

use crate::pipe::{Pipe, delivered};

/// Two copies of the message that was not acknowledged, as after any silence, and the acknowledgements of both.
const AFTER_THE_LIFT_BYTES: u64 = 281;

/// QUIC asks again and again after what is not acknowledged. What it asks must not be saved up until the limit is
/// lifted, and a timer that nothing can come of must not keep the driver awake.
#[test]
fn what_is_not_acknowledged_rests_while_the_limit_holds() {
    let (mut pipe, conn, _) = Pipe::connected(0, Config::cat_m1());
    for n in 0..20_u8 {
        pipe.send(conn, &[n; 7]);
        pipe.run_for(Duration::from_secs(5));
    }
    pipe.client_events.clear();
    pipe.weather.lose = 1000;
    pipe.send(conn, b"anybody");
    pipe.run_for(Duration::from_millis(10));
    pipe.client.set_limit(Some(0));

    let mut timeouts = 0;
    let mut datagram = Vec::new();
    let end = pipe.now + Duration::from_secs(24 * 3600);
    while let Some(at) = pipe.client.poll_timeout().filter(|at| *at < end && timeouts < 1000) {
        pipe.now = pipe.now.max(at);
        pipe.client.handle_timeout(pipe.now);
        assert_eq!(pipe.client.poll_transmit(pipe.now, &mut datagram), None);
        timeouts += 1;
    }
    assert_eq!(timeouts, 0);

    pipe.now = end;
    pipe.weather.lose = 0;
    let before = pipe.seen_bytes();
    pipe.client.set_limit(None);
    pipe.run_for(Duration::from_secs(60));
    assert_eq!(delivered(&pipe.client_events).len(), 1);
    assert_eq!(pipe.seen_bytes() - before, AFTER_THE_LIFT_BYTES);
}
