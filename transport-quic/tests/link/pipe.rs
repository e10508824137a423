//! The pipe: it loses, delays, repeats and damages datagrams as told, from a seed, and counts what it sees.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use transport_quic::{Config, ConnectionId, Identity, Link, LinkEvent, MessageId};

/// What the pipe does to a datagram, each with a chance in 1,000.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Weather {
    pub(crate) lose: u64,
    pub(crate) repeat: u64,
    pub(crate) damage: u64,
    /// Added to the delay, up to this much: what overtakes is reordered.
    pub(crate) jitter: Duration,
}

pub(crate) struct Pipe {
    pub(crate) now: Instant,
    pub(crate) client: Link,
    pub(crate) server: Link,
    pub(crate) client_events: Vec<LinkEvent>,
    pub(crate) server_events: Vec<LinkEvent>,
    /// Whether the application of each side takes its events.
    pub(crate) client_listens: bool,
    pub(crate) server_listens: bool,
    /// Where the server sees the device. What goes to a former address is lost.
    pub(crate) device: SocketAddr,
    pub(crate) cloud: SocketAddr,
    pub(crate) delay: Duration,
    pub(crate) weather: Weather,
    /// Longest UDP payload that gets through, in bytes.
    pub(crate) payload_max: usize,
    /// Packets and IP bytes that the links put in, from the client and from the server.
    pub(crate) seen: [(u64, u64); 2],
    /// Packets and IP bytes that came out at the client and at the server.
    pub(crate) arrived: [(u64, u64); 2],
    /// IP bytes that the server got from an address, and that it sent there.
    pub(crate) accounts: BTreeMap<SocketAddr, (u64, u64)>,
    /// The datagrams that came out, for tests that replay or damage them.
    pub(crate) record: Vec<(Side, Vec<u8>)>,
    on_the_way: BTreeMap<(Instant, u64), Datagram>,
    put_in: u64,
    rng: ChaCha8Rng,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Server,
}

struct Datagram {
    to: Side,
    from: SocketAddr,
    bytes: Vec<u8>,
    /// Where it was sent, if that is not fixed.
    device: SocketAddr,
}

pub(crate) fn client_identity() -> Identity {
    Identity::from_bytes([0x11; 32])
}

pub(crate) fn server_identity() -> Identity {
    Identity::from_bytes([0x22; 32])
}

pub(crate) fn server_link(config: Config, rng_seed: u8) -> Link {
    Link::server(server_identity(), config, [0x33; 32], [rng_seed; 32])
}

impl Pipe {
    pub(crate) fn new(seed: u64) -> Self {
        Self::with_config(seed, Config::cat_m1())
    }

    pub(crate) fn with_config(seed: u64, config: Config) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let mut client_seed = [0; 32];
        rng.fill_bytes(&mut client_seed);
        Self {
            now: Instant::now(),
            client: Link::client(client_identity(), config, client_seed),
            server: server_link(config, 0x44),
            client_events: Vec::new(),
            server_events: Vec::new(),
            client_listens: true,
            server_listens: true,
            device: SocketAddr::from(([10, 0, 0, 1], 5000)),
            cloud: SocketAddr::from(([192, 0, 2, 1], 4433)),
            delay: Duration::from_millis(100),
            weather: Weather::default(),
            payload_max: usize::MAX,
            seen: [(0, 0); 2],
            arrived: [(0, 0); 2],
            accounts: BTreeMap::new(),
            record: Vec::new(),
            on_the_way: BTreeMap::new(),
            put_in: 0,
            rng,
        }
    }

    /// A pipe with a connection that has come to rest, and the connection's names on both sides.
    pub(crate) fn connected(seed: u64, config: Config) -> (Self, ConnectionId, ConnectionId) {
        let mut pipe = Self::with_config(seed, config);
        let (ours, theirs) = pipe.connect();
        (pipe, ours, theirs)
    }

    pub(crate) fn connect(&mut self) -> (ConnectionId, ConnectionId) {
        let conn = self
            .client
            .connect(self.now, self.cloud, server_identity().public_key())
            .expect("nothing is open");
        self.run_for(Duration::from_secs(30));
        let LinkEvent::Connected { conn: ours, .. } = self.client_events.remove(0) else {
            panic!("not connected")
        };
        let LinkEvent::Connected { conn: theirs, .. } = self.server_events.remove(0) else {
            panic!("not connected")
        };
        assert_eq!(ours, conn);
        (ours, theirs)
    }

    pub(crate) fn send(&mut self, conn: ConnectionId, message: &[u8]) -> MessageId {
        self.client.send(self.now, conn, message).expect("there is capacity")
    }

    /// Lets this much time pass.
    pub(crate) fn run_for(&mut self, duration: Duration) {
        let end = self.now + duration;
        while self.step(end) {}
        self.now = end;
    }

    /// Lets time pass until this is so.
    pub(crate) fn run_until(&mut self, limit: Duration, mut is_reached: impl FnMut(&mut Self) -> bool) {
        let end = self.now + limit;
        while !is_reached(self) {
            assert!(self.step(end), "not reached within {limit:?}");
        }
    }

    /// Both directions.
    pub(crate) fn seen_bytes(&self) -> u64 {
        self.seen[0].1 + self.seen[1].1
    }

    pub(crate) fn chance(&mut self, in_1000: u64) -> bool {
        self.below(1000) < in_1000
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.rng.next_u64() % bound
    }

    /// Lets both sides speak, and then the next thing happen. Whether there was one before this time.
    fn step(&mut self, end: Instant) -> bool {
        self.poll();
        let arrival = self.on_the_way.first_key_value().map(|(&(at, _), _)| at);
        let next =
            [arrival, self.client.poll_timeout(), self.server.poll_timeout()].into_iter().flatten().min();
        let Some(next) = next.filter(|&next| next <= end) else { return false };
        self.now = self.now.max(next);
        // All that is due arrives before anybody answers.
        while let Some(entry) = self.on_the_way.first_entry()
            && entry.key().0 <= self.now
        {
            let datagram = entry.remove();
            self.deliver(datagram);
        }
        self.client.handle_timeout(self.now);
        self.server.handle_timeout(self.now);
        self.poll();
        true
    }

    fn poll(&mut self) {
        if self.client_listens {
            self.client_events.extend(std::iter::from_fn(|| self.client.poll_event()));
        }
        if self.server_listens {
            self.server_events.extend(std::iter::from_fn(|| self.server.poll_event()));
        }
        let mut buffer = Vec::new();
        while let Some(transmit) = self.client.poll_transmit(self.now, &mut buffer) {
            assert_eq!((transmit.to, transmit.len), (self.cloud, buffer.len()));
            self.put(Side::Server, self.device, self.device, &buffer);
        }
        while let Some(transmit) = self.server.poll_transmit(self.now, &mut buffer) {
            assert_eq!(transmit.len, buffer.len());
            self.accounts.entry(transmit.to).or_default().1 += IPV4_AND_UDP + buffer.len() as u64;
            self.put(Side::Client, self.cloud, transmit.to, &buffer);
        }
    }

    fn put(&mut self, to: Side, from: SocketAddr, device: SocketAddr, bytes: &[u8]) {
        count(&mut self.seen[usize::from(to == Side::Client)], bytes);
        let weather = self.weather;
        let copies = if self.chance(weather.repeat) { 2 } else { 1 };
        for _ in 0..copies {
            if self.chance(weather.lose) || bytes.len() > self.payload_max {
                continue;
            }
            let mut bytes = bytes.to_vec();
            if self.chance(weather.damage) {
                self.damage(&mut bytes);
            }
            let jitter = self.below(weather.jitter.as_micros() as u64 + 1);
            let at = self.now + self.delay + Duration::from_micros(jitter);
            self.put_in += 1;
            self.on_the_way.insert((at, self.put_in), Datagram { to, from, bytes, device });
        }
    }

    /// Flips a bit, cuts the end off, or replaces a part.
    pub(crate) fn damage(&mut self, bytes: &mut Vec<u8>) {
        let at = self.below(bytes.len() as u64) as usize;
        match self.below(3) {
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes.truncate(at),
            _ => self.rng.fill_bytes(&mut bytes[at..]),
        }
    }

    /// The server gets this datagram at once, whoever sent it.
    pub(crate) fn hand_to_server(&mut self, from: SocketAddr, bytes: &[u8]) {
        self.accounts.entry(from).or_default().0 += IPV4_AND_UDP + bytes.len() as u64;
        self.server.handle_datagram(self.now, from, bytes);
    }

    /// What somebody sees who listens between the device and the server: what is on its way to the server.
    pub(crate) fn overhear(&mut self) -> Vec<Vec<u8>> {
        self.poll();
        let to_server = self.on_the_way.values().filter(|datagram| datagram.to == Side::Server);
        to_server.map(|datagram| datagram.bytes.clone()).collect()
    }

    fn deliver(&mut self, datagram: Datagram) {
        let Datagram { to, from, bytes, device } = datagram;
        match to {
            Side::Server => self.hand_to_server(from, &bytes),
            Side::Client if device == self.device => self.client.handle_datagram(self.now, from, &bytes),
            Side::Client => return,
        }
        count(&mut self.arrived[usize::from(to == Side::Server)], &bytes);
        self.record.push((to, bytes));
    }
}

fn count(counter: &mut (u64, u64), bytes: &[u8]) {
    counter.0 += 1;
    counter.1 += IPV4_AND_UDP + bytes.len() as u64;
}

/// The messages among these events, in order.
pub(crate) fn messages(events: &[LinkEvent]) -> Vec<&[u8]> {
    let mut messages = Vec::new();
    for event in events {
        if let LinkEvent::Message { message, .. } = event {
            messages.push(&message[..]);
        }
    }
    messages
}

/// The delivered messages among these events, in the order of the events.
pub(crate) fn delivered(events: &[LinkEvent]) -> Vec<MessageId> {
    let id = |event: &LinkEvent| match event {
        LinkEvent::Delivered { id, .. } => Some(*id),
        _ => None,
    };
    events.iter().filter_map(id).collect()
}

const IPV4_AND_UDP: u64 = 28;
