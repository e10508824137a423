//! A device and an aggregator, their disks, and the link between them, in virtual time.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use sim::access_link::DirectionTraffic;
use sim::clock::{Clock, SimTime};
use sim::link_profiles::{Link, LinkProfile};
use sim::network::{Network, NodeId};

use super::{Transport, TransportEvent};
use crate::systems::{Side, System, Values};
use crate::workload::normal;

/// Both ends, joined by one access link. Each end is driven as the runtimes do it: what it received or wrote is committed,
/// which takes [`COMMIT`], and only then it says something about it.
///
/// Nothing happens but in [`World::run_for`]: it goes from event to event.
pub struct World {
    network: Network,
    clock: Clock,
    now: SimTime,
    device: End,
    cloud: End,
    system: Box<dyn System>,
    /// The time that the system was told, in milliseconds.
    told_ms: u64,
    /// A new connection carries the document at once.
    opens: bool,
    /// The next report asks what is durable.
    asks: bool,
    payload_bytes: u64,
    /// When the oldest report began that is not delivered.
    reported_at: Option<SimTime>,
    delays: Vec<Duration>,
}

/// What passed the device's link, both ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// IP bytes from the device.
    pub up_bytes: u64,
    /// IP bytes to the device.
    pub down_bytes: u64,
    /// IP packets, both ways.
    pub packets: u64,
    /// Of the bytes: frames of the document, as the core gave them to the transport, each counted once.
    pub payload_bytes: u64,
}

/// One conversation of the two, begun by the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// What it cost.
    pub counts: Counts,
    /// How long it took until the device had heard the last of it: that its messages are delivered, or an answer.
    pub took: Duration,
}

/// How long a commit takes, on either side.
pub const COMMIT: Duration = Duration::from_millis(5);

impl World {
    /// Two ends that have not met, the device behind `profile`.
    pub fn new(
        profile: LinkProfile,
        seed: u64,
        (device, cloud): (Box<dyn Transport>, Box<dyn Transport>),
        system: Box<dyn System>,
    ) -> Self {
        let mut network = Network::new(seed);
        let at_device = network.attach(SocketAddr::from(([10, 0, 0, 2], 5_000)), profile).expect(FREE);
        let at_cloud =
            network.attach(SocketAddr::from(([192, 0, 2, 1], 4_433)), Link::Loopback.profile()).expect(FREE);
        Self {
            network,
            clock: Clock::new(),
            now: SimTime::ZERO,
            device: End::new(at_device, device),
            cloud: End::new(at_cloud, cloud),
            system,
            told_ms: 0,
            opens: true,
            asks: false,
            payload_bytes: 0,
            reported_at: None,
            delays: Vec::new(),
        }
    }

    /// Starts a connection that carries no document, and runs for `time`.
    pub fn set_up(&mut self, time: Duration) -> Exchange {
        self.opens = false;
        self.exchange(time, Self::connect)
    }

    /// The application on the device writes. Nothing is sent before [`World::report`].
    pub fn write(&mut self, values: &Values) {
        self.tell_time();
        self.system.write(Side::Device, values);
    }

    /// The device reports what has changed, over a new connection if it has none, and `time` passes.
    pub fn report(&mut self, time: Duration) -> Exchange {
        self.exchange(time, |world| {
            world.reported_at.get_or_insert(world.now);
            if world.device.is_connected {
                world.device.commit(world.now);
            } else {
                world.opens = true;
                world.connect();
            }
        })
    }

    /// The device sends an empty message, which keeps the operator's address mapping.
    pub fn keep_alive(&mut self) {
        if self.device.is_connected {
            self.device.undelivered += 1;
            self.device.transport.send(self.clock.instant(self.now), &[]);
            self.work(Side::Device);
        }
    }

    /// The device asks the aggregator to say what is durable there, with its next report.
    pub fn ask(&mut self) {
        self.asks = true;
    }

    /// The operator gives the device another public address, and does not tell it.
    pub fn rebind(&mut self) {
        self.network.rebind(self.device.node);
    }

    /// Time passes.
    pub fn run_for(&mut self, time: Duration) {
        let until = self.now + time;
        while let Some(at) = self.next_event().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.step();
        }
        self.now = until;
    }

    /// What has passed so far.
    pub fn counts(&self) -> Counts {
        let traffic = self.network.traffic(self.device.node);
        let charged = |direction: &DirectionTraffic| {
            let (offered, too_big) = (direction.offered, direction.dropped.too_big);
            (offered.ip_bytes - too_big.ip_bytes, offered.packets - too_big.packets)
        };
        let ((up_bytes, up), (down_bytes, down)) = (charged(&traffic.uplink), charged(&traffic.downlink));
        Counts { up_bytes, down_bytes, packets: up + down, payload_bytes: self.payload_bytes }
    }

    /// Whether the device's messages are all delivered.
    pub fn is_settled(&self) -> bool {
        self.device.undelivered == 0 && self.device.commits_until.is_none()
    }

    /// Mean time in seconds until the device's messages of a report were all delivered, of all reports so far.
    pub fn mean_delay(&self) -> Option<f64> {
        let sum: Duration = self.delays.iter().sum();
        (!self.delays.is_empty()).then(|| sum.as_secs_f64() / self.delays.len() as f64)
    }

    /// Whether both have the same document.
    pub fn has_converged(&mut self) -> bool {
        normal(self.system.json(Side::Device)) == normal(self.system.json(Side::Cloud))
    }

    fn exchange(&mut self, time: Duration, begin: impl FnOnce(&mut Self)) -> Exchange {
        let (start, before) = (self.now, self.counts());
        begin(self);
        self.run_for(time);
        Exchange { counts: self.counts().since(before), took: self.device.last_news.since(start) }
    }

    fn connect(&mut self) {
        let cloud = self.network.public_addr(self.cloud.node);
        self.device.transport.connect(self.clock.instant(self.now), cloud);
        self.work(Side::Device);
    }

    fn next_event(&mut self) -> Option<SimTime> {
        let ends = [&mut self.device, &mut self.cloud].map(|end| end.next_event(&self.clock));
        ends.into_iter().chain([self.network.next_event()]).flatten().min()
    }

    fn step(&mut self) {
        while let Some(delivery) = self.network.deliver(self.now) {
            let end = if delivery.node == self.device.node { &mut self.device } else { &mut self.cloud };
            end.socket.push_back((delivery.from, delivery.bytes));
        }
        self.work(Side::Device);
        self.work(Side::Cloud);
    }

    /// One turn of the driver of an end.
    fn work(&mut self, side: Side) {
        self.tell_time();
        let now = self.clock.instant(self.now);
        let cloud = self.network.public_addr(self.cloud.node);
        let end = match side {
            Side::Cloud => &mut self.cloud,
            Side::Device => &mut self.device,
        };
        let holds_back = end.transport.acknowledges_durable_only();
        if holds_back && end.is_committing(self.now) {
            return;
        }
        if end.commits_until.is_some_and(|until| until <= self.now) {
            end.commits_until = None;
            if end.is_connected {
                if side == Side::Device && std::mem::take(&mut self.asks) {
                    self.system.ask();
                }
                for frame in self.system.send(side) {
                    self.payload_bytes += frame.len() as u64;
                    for piece in frame.chunks(PIECE_BYTES) {
                        end.undelivered += 1;
                        end.transport.send(now, piece);
                    }
                }
            }
        }
        for (from, datagram) in end.socket.drain(..) {
            end.transport.handle_datagram(now, from, &datagram);
        }
        if end.transport.poll_timeout().is_some_and(|at| at <= now) {
            end.transport.handle_timeout(now);
        }
        while let Some(event) = end.transport.poll_event() {
            if event != TransportEvent::Closed {
                end.last_news = self.now;
            }
            match event {
                TransportEvent::Closed => {
                    let is_cut = !end.is_connected || end.undelivered > 0;
                    end.is_connected = false;
                    end.undelivered = 0;
                    end.partial.clear();
                    // A device that has something to say tries again; one that has not waits until it has.
                    if side == Side::Device && self.opens && is_cut {
                        end.transport.connect(now, cloud);
                    }
                }
                TransportEvent::Connected => {
                    end.is_connected = true;
                    if side == Side::Device && self.opens {
                        self.system.reconnect();
                    }
                    if self.opens {
                        end.commit(self.now);
                    }
                }
                TransportEvent::Delivered => {
                    end.undelivered -= 1;
                    if side == Side::Device
                        && end.undelivered == 0
                        && let Some(at) = self.reported_at.take()
                    {
                        self.delays.push(self.now.since(at));
                    }
                }
                TransportEvent::Message(message) if message.is_empty() => {}
                TransportEvent::Message(piece) => {
                    end.partial.extend_from_slice(&piece);
                    if piece.len() < PIECE_BYTES {
                        self.system.receive(side, &std::mem::take(&mut end.partial));
                    }
                    end.commit(self.now);
                }
            }
        }
        if holds_back && end.is_committing(self.now) {
            return;
        }
        let mut datagram = Vec::new();
        while let Some(to) = end.transport.poll_transmit(now, &mut datagram) {
            self.network.send(self.now, end.node, to, datagram.clone());
        }
    }

    fn tell_time(&mut self) {
        let ms = self.now.as_ms();
        if ms > self.told_ms {
            self.system.wait(ms - self.told_ms);
            self.told_ms = ms;
        }
    }
}

impl Counts {
    /// IP bytes in both directions.
    pub fn ip_bytes(&self) -> u64 {
        self.up_bytes + self.down_bytes
    }

    /// What has passed since `earlier`, counts of the same world.
    #[must_use]
    pub fn since(self, earlier: Self) -> Self {
        Self {
            up_bytes: self.up_bytes - earlier.up_bytes,
            down_bytes: self.down_bytes - earlier.down_bytes,
            packets: self.packets - earlier.packets,
            payload_bytes: self.payload_bytes - earlier.payload_bytes,
        }
    }
}

/// One end: its transport, and what its driver remembers.
struct End {
    node: NodeId,
    transport: Box<dyn Transport>,
    is_connected: bool,
    /// Datagrams that came while the driver waited for its disk.
    socket: VecDeque<(SocketAddr, Vec<u8>)>,
    commits_until: Option<SimTime>,
    /// Messages that the peer's transport has not acknowledged.
    undelivered: usize,
    /// The pieces so far of a long message.
    partial: Vec<u8>,
    last_news: SimTime,
}

impl End {
    fn new(node: NodeId, transport: Box<dyn Transport>) -> Self {
        Self {
            node,
            transport,
            is_connected: false,
            socket: VecDeque::new(),
            commits_until: None,
            undelivered: 0,
            partial: Vec::new(),
            last_news: SimTime::ZERO,
        }
    }

    fn commit(&mut self, now: SimTime) {
        self.commits_until.get_or_insert(now + COMMIT);
    }

    fn is_committing(&self, now: SimTime) -> bool {
        self.commits_until.is_some_and(|until| until > now)
    }

    fn next_event(&mut self, clock: &Clock) -> Option<SimTime> {
        let timer = self.transport.poll_timeout().map(|at| clock.sim_time(at));
        match self.commits_until {
            Some(until) if self.transport.acknowledges_durable_only() => Some(until),
            Some(until) => Some(timer.map_or(until, |timer| timer.min(until))),
            None => timer,
        }
    }
}

/// Longer messages go in pieces of this length, the last of which is shorter. Ours never are so long.
const PIECE_BYTES: usize = 60_000;
const FREE: &str = "a new network has no addresses";
