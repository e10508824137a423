//! The driver over real sockets on the loopback interface.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use tokio::time::timeout;
use transport_quic::{
    CloseCode, CloseReason, Config, ConnectionId, Driver, EventReceiver, Handle, HandleError, Identity, Link,
    LinkEvent, MESSAGE_LEN_MAX, MessageId, SendError, Stopped,
};

const LOOPBACK: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
const DUAL_STACK: SocketAddr = SocketAddr::new(IpAddr::V6(Ipv6Addr::UNSPECIFIED), 0);

fn client(local: SocketAddr) -> (Handle, EventReceiver) {
    let link = Link::client(Identity::from_bytes([1; 32]), Config::cat_m1(), [2; 32]);
    Driver::bind(local, link).expect("a free port")
}

fn server(local: SocketAddr) -> (Handle, EventReceiver) {
    let link = Link::server(Identity::from_bytes([3; 32]), Config::cat_m1(), [4; 32], [5; 32]);
    Driver::bind(local, link).expect("a free port")
}

async fn next(events: &mut EventReceiver) -> LinkEvent {
    timeout(Duration::from_secs(10), events.recv()).await.expect("an event in time").expect("the link runs")
}

async fn connected(events: &mut EventReceiver) -> ConnectionId {
    match next(events).await {
        LinkEvent::Connected { conn, .. } => conn,
        event => panic!("{event:?}"),
    }
}

#[tokio::test]
async fn messages_that_are_handed_over_together_share_a_datagram() {
    let (device, mut device_events) = client(LOOPBACK);
    let (cloud, mut cloud_events) = server(LOOPBACK);
    let conn = device.connect(cloud.local_addr(), cloud.public_key()).await.expect("the link runs");
    assert_eq!(connected(&mut device_events).await, conn);
    connected(&mut cloud_events).await;
    let packets = async || device.ledger().await.expect("the link runs").sent.cells.packets;
    let before = packets().await;
    let messages: Vec<_> = (0..10).map(|number| vec![number; 16]).collect();
    let sent = device.send_all(conn, messages.clone()).await.expect("there is capacity");
    assert_eq!(sent, (0..10).map(MessageId).collect::<Vec<_>>());
    for expected in messages {
        let LinkEvent::Message { message, .. } = next(&mut cloud_events).await else { panic!("no message") };
        assert_eq!(message, expected);
    }
    // A repetition would be none of the first sending.
    assert_eq!(packets().await - before, 1);
    let too_long = vec![vec![1], vec![0; MESSAGE_LEN_MAX + 1], vec![2]];
    assert!(matches!(
        device.send_all(conn, too_long).await,
        Err(HandleError::Link(SendError::TooLong { .. }))
    ));
    let LinkEvent::Message { message, .. } = next(&mut cloud_events).await else { panic!("no message") };
    assert_eq!(message, [1], "what came before is on its way");
}

/// Both ways at once, more than the channels and the credit hold.
async fn exchange(local: SocketAddr, reach: impl Fn(SocketAddr) -> SocketAddr) {
    const MESSAGES: u64 = 2_000;
    let (device, mut device_events) = client(local);
    let (cloud, mut cloud_events) = server(local);
    let conn = device.connect(reach(cloud.local_addr()), cloud.public_key()).await.expect("the link runs");
    assert_eq!(connected(&mut device_events).await, conn);
    let back = connected(&mut cloud_events).await;

    let echo = tokio::spawn(async move {
        while let Some(event) = cloud_events.recv().await {
            let LinkEvent::Message { message, .. } = event else { continue };
            cloud.send(back, message).await.expect("the link runs");
        }
        cloud
    });
    let (mut sent, mut answered, mut delivered) = (0, 0, 0);
    while answered < MESSAGES || delivered < MESSAGES {
        while sent < MESSAGES && sent < answered + 500 {
            assert_eq!(device.send(conn, sent.to_le_bytes().to_vec()).await, Ok(MessageId(sent)));
            sent += 1;
        }
        match next(&mut device_events).await {
            LinkEvent::Message { message, .. } => {
                assert_eq!(message, answered.to_le_bytes());
                answered += 1;
            }
            LinkEvent::Delivered { .. } => delivered += 1,
            event => panic!("{event:?}"),
        }
    }
    let ledger = device.ledger().await.expect("the link runs");
    assert!(ledger.sent.total().bytes > MESSAGES * 8 && ledger.received.total().bytes > MESSAGES * 8);
    let stats = device.stats(conn).await.expect("the link runs").expect("an open connection");
    assert!(stats.rtt < Duration::from_secs(1));

    device.shutdown(CloseCode::Normal.into(), "done").await;
    assert_eq!(device.ledger().await, Err(Stopped));
    assert_eq!(device.send(conn, vec![]).await, Err(HandleError::Stopped));
    let reason = CloseReason::Local { code: 0 };
    assert_eq!(device_events.recv().await, Some(LinkEvent::Closed { conn, reason }));
    assert_eq!(device_events.recv().await, None);
    echo.abort();
}

#[tokio::test]
async fn messages_go_both_ways_on_one_thread() {
    exchange(LOOPBACK, |addr| addr).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_go_both_ways_on_two_threads() {
    exchange(LOOPBACK, |addr| addr).await;
}

/// A socket for both families must not show IPv4 peers as something else, nor fail to reach them.
#[tokio::test]
async fn an_ipv6_socket_reaches_ipv4() {
    let local = |addr: SocketAddr| SocketAddr::new(LOOPBACK.ip(), addr.port());
    exchange(DUAL_STACK, local).await;
}

#[tokio::test]
async fn a_close_tells_the_peer_why() {
    let (device, mut device_events) = client(LOOPBACK);
    let (cloud, mut cloud_events) = server(LOOPBACK);
    let conn = device.connect(cloud.local_addr(), cloud.public_key()).await.expect("the link runs");
    let there = connected(&mut cloud_events).await;
    connected(&mut device_events).await;
    cloud.close(there, CloseCode::AccessDenied.into(), "not enrolled").await.expect("the link runs");
    let reason = CloseReason::ByPeer { code: 1, text: "not enrolled".into() };
    assert_eq!(next(&mut device_events).await, LinkEvent::Closed { conn, reason });
    let error = device.send(conn, vec![1]).await.unwrap_err();
    assert_eq!(error, HandleError::Link(SendError::Closed { conn }));
}

#[tokio::test]
async fn dropping_all_handles_closes_the_connections() {
    let (device, mut device_events) = client(LOOPBACK);
    let (cloud, mut cloud_events) = server(LOOPBACK);
    device.connect(cloud.local_addr(), cloud.public_key()).await.expect("the link runs");
    connected(&mut device_events).await;
    let there = connected(&mut cloud_events).await;
    drop(device);
    let reason = CloseReason::ByPeer { code: 4, text: String::new() };
    assert_eq!(next(&mut cloud_events).await, LinkEvent::Closed { conn: there, reason });
}

/// Nobody takes the server's events: the device is held back, and nothing is lost when the server listens again.
#[tokio::test]
async fn a_slow_application_holds_its_peer_back() {
    const MESSAGES: usize = 1_500;
    let (device, mut device_events) = client(LOOPBACK);
    let (cloud, mut cloud_events) = server(LOOPBACK);
    let conn = device.connect(cloud.local_addr(), cloud.public_key()).await.expect("the link runs");
    connected(&mut device_events).await;
    for n in 0..MESSAGES {
        device.send(conn, n.to_le_bytes().to_vec()).await.expect("the link runs");
    }
    let mut delivered = 0;
    while let Ok(Some(event)) = timeout(Duration::from_millis(300), device_events.recv()).await {
        assert!(matches!(event, LinkEvent::Delivered { .. }), "{event:?}");
        delivered += 1;
    }
    assert!(
        delivered < 600,
        "{delivered} delivered to an application that has capacity for 256 and gave credit for 256"
    );
    connected(&mut cloud_events).await;
    for n in 0..MESSAGES {
        let LinkEvent::Message { message, .. } = next(&mut cloud_events).await else { panic!("no message") };
        assert_eq!(message, n.to_le_bytes());
    }
}

/// What the system does not send at all needs no patience: the socket of the loopback interface has no way out.
#[tokio::test]
async fn an_address_that_the_system_does_not_send_to_ends_the_handshake_at_once() {
    let (device, mut device_events) = client(LOOPBACK);
    let outside = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(203, 0, 113, 1)), 4433);
    let nobody = Identity::from_bytes([3; 32]).public_key();
    let conn = device.connect(outside, nobody).await.expect("the link runs");
    let LinkEvent::Closed { conn: closed, reason } = next(&mut device_events).await else { panic!("no end") };
    assert_eq!(closed, conn);
    assert!(matches!(&reason, CloseReason::Unsent { detail } if !detail.is_empty()), "{reason}");
    // The address is free for another attempt.
    assert!(device.connect(outside, nobody).await.is_ok());
}
