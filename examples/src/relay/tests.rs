use std::num::NonZeroU64;
use std::time::Duration;

use sim::link_profiles::{Loss, PipeProfile};
use sim::rng::Probability;
use tokio::time::timeout;

use super::*;

const QUICK: LinkProfile = LinkProfile {
    uplink: PipeProfile { latency_us: 30_000, ..PipeProfile::IDEAL },
    downlink: PipeProfile { latency_us: 20_000, ..PipeProfile::IDEAL },
    mtu_bytes: 1_358,
    radio: None,
};

/// Longer than anything takes that arrives.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long to wait for what must not arrive.
const SILENCE: Duration = Duration::from_millis(150);

/// A device, its lane, and an aggregator, all on this machine.
struct Scene {
    device: UdpSocket,
    lane: Lane,
    aggregator: UdpSocket,
}

impl Scene {
    async fn new(profile: LinkProfile) -> Self {
        let device = loopback_socket().await;
        let aggregator = loopback_socket().await;
        let config = LaneConfig { upstream: aggregator.local_addr().unwrap(), profile, seed: 1, index: 0 };
        let lane = Lane::start("127.0.0.1:0".parse().unwrap(), config).await.unwrap();
        Self { device, lane, aggregator }
    }

    async fn send_up(&self, bytes: &[u8]) {
        self.device.send_to(bytes, self.lane.addr()).await.unwrap();
    }

    async fn send_down(&self, bytes: &[u8], to: SocketAddr) {
        self.aggregator.send_to(bytes, to).await.unwrap();
    }
}

async fn loopback_socket() -> UdpSocket {
    UdpSocket::bind("127.0.0.1:0").await.unwrap()
}

async fn receive(socket: &UdpSocket) -> (Vec<u8>, SocketAddr) {
    let mut buffer = [0; 2_048];
    let (len, from) = timeout(PATIENCE, socket.recv_from(&mut buffer)).await.expect("in time").unwrap();
    (buffer[..len].to_vec(), from)
}

async fn hears_nothing(socket: &UdpSocket) -> bool {
    timeout(SILENCE, socket.recv_from(&mut [0; 2_048])).await.is_err()
}

#[tokio::test]
async fn datagrams_pass_both_ways_late_and_counted() {
    let scene = Scene::new(QUICK).await;
    let begun = Instant::now();
    scene.send_up(b"question").await;
    let (bytes, public) = receive(&scene.aggregator).await;
    assert_eq!(bytes, b"question");
    assert!(begun.elapsed() >= Duration::from_millis(30));
    scene.send_down(b"the answer", public).await;
    let (bytes, from) = receive(&scene.device).await;
    assert_eq!((bytes.as_slice(), from), (b"the answer".as_slice(), scene.lane.addr()));
    assert!(begun.elapsed() >= Duration::from_millis(50));

    let traffic = scene.lane.traffic().await.unwrap();
    assert_eq!(traffic.uplink.carried.ip_bytes, 8 + 28);
    assert_eq!(traffic.downlink.carried.ip_bytes, 10 + 28);
}

#[tokio::test]
async fn the_rate_is_kept_and_the_buffer_is_bounded() {
    let uplink =
        PipeProfile { rate_bps: NonZeroU64::new(200_000), buffer_bytes: 10_000, ..PipeProfile::IDEAL };
    let scene = Scene::new(LinkProfile { uplink, ..QUICK }).await;
    let begun = Instant::now();
    for number in 0..20 {
        scene.send_up(&[number; 972]).await;
    }
    for number in 0..10 {
        assert_eq!(receive(&scene.aggregator).await.0[0], number);
    }
    // Ten packets of 1,000 bytes at 200 kb/s.
    assert!(begun.elapsed() >= Duration::from_millis(400), "{:?}", begun.elapsed());
    while !hears_nothing(&scene.aggregator).await {}
    let uplink = scene.lane.traffic().await.unwrap().uplink;
    assert_eq!(uplink.carried.packets + uplink.dropped.buffer_full.packets, 20);
    // On a busy machine, what left the queue while the others were being sent made room for a few more.
    assert!((1..=10).contains(&uplink.dropped.buffer_full.packets), "{uplink:?}");
}

#[tokio::test]
async fn a_cut_device_is_unreachable_until_it_is_restored() {
    let scene = Scene::new(QUICK).await;
    scene.send_up(b"1").await;
    let (_, public) = receive(&scene.aggregator).await;
    scene.lane.cut(Cut::Both).await.unwrap();
    scene.send_up(b"2").await;
    scene.send_down(b"3", public).await;
    assert!(hears_nothing(&scene.aggregator).await);
    assert!(hears_nothing(&scene.device).await);
    scene.lane.restore().await.unwrap();
    scene.send_up(b"4").await;
    assert_eq!(receive(&scene.aggregator).await.0, b"4");
    let traffic = scene.lane.traffic().await.unwrap();
    assert_eq!([traffic.uplink, traffic.downlink].map(|way| way.dropped.partitioned.packets), [1, 1]);
}

#[tokio::test]
async fn after_a_rebind_only_the_new_address_reaches_the_device() {
    let scene = Scene::new(QUICK).await;
    scene.send_up(b"1").await;
    let (_, old) = receive(&scene.aggregator).await;
    let new = scene.lane.rebind().await.unwrap();
    assert_ne!(new.port(), old.port());
    scene.send_down(b"lost", old).await;
    assert!(hears_nothing(&scene.device).await);
    scene.send_up(b"2").await;
    let (_, seen) = receive(&scene.aggregator).await;
    assert_eq!(seen.port(), new.port());
    scene.send_down(b"found", seen).await;
    assert_eq!(receive(&scene.device).await.0, b"found");
}

#[tokio::test]
async fn a_restarted_device_is_followed_and_strangers_are_not_let_in() {
    let mut scene = Scene::new(QUICK).await;
    scene.send_up(b"1").await;
    let (_, public) = receive(&scene.aggregator).await;
    scene.device = loopback_socket().await;
    scene.send_up(b"2").await;
    receive(&scene.aggregator).await;
    loopback_socket().await.send_to(b"spam", public).await.unwrap();
    assert!(hears_nothing(&scene.device).await);
    scene.send_down(b"for the new one", public).await;
    assert_eq!(receive(&scene.device).await.0, b"for the new one");
    assert_eq!(scene.lane.traffic().await.unwrap().downlink.offered.packets, 1);
}

#[tokio::test]
async fn a_link_that_loses_everything_carries_nothing() {
    let loss = Loss::Independent { loss: Probability::ALWAYS };
    let scene = Scene::new(QUICK).await;
    let lossy = LinkProfile { uplink: PipeProfile { loss, ..QUICK.uplink }, ..QUICK };
    scene.lane.set_profile(lossy).await.unwrap();
    scene.send_up(b"gone").await;
    assert!(hears_nothing(&scene.aggregator).await);
    let uplink = scene.lane.traffic().await.unwrap().uplink;
    assert_eq!((uplink.carried.packets, uplink.dropped.lost.packets), (0, 1));
}

#[tokio::test]
async fn a_taken_port_is_an_error_that_names_it() {
    let taken = loopback_socket().await;
    let addr = taken.local_addr().unwrap();
    let config = LaneConfig { upstream: addr, profile: QUICK, seed: 1, index: 0 };
    let error = Lane::start(addr, config).await.unwrap_err();
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
}

#[test]
fn a_lane_whose_runtime_is_gone_says_so() {
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let first = runtime();
    let lane = first.block_on(async { Scene::new(QUICK).await.lane });
    drop(first);
    let answer = runtime().block_on(lane.traffic());
    assert!(matches!(answer, Err(LaneError::Stopped)), "{answer:?}");
}
