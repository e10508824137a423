//! Real UDP through a simulated access link, in real time.
//!
//! A [`Lane`] stands between one device and the aggregator. The device sends to the lane's address and hears from it; the
//! aggregator sees one of the lane's own ports, as it would see a carrier's NAT. In between, every datagram passes the
//! same [`AccessLink`] that the virtual network of [`sim`] uses: rate, queue, latency, loss, radio and outages are that
//! code's, and only the waiting is done here.
//!
//! Each lane is one task, which ends when the last [`Lane`] handle is dropped. Timers have a resolution of a millisecond.
//!
//! ```
//! use examples::relay::{Lane, LaneConfig};
//! use sim::link_profiles::Link;
//! use sim::outages::Cut;
//! # use tokio::net::UdpSocket;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let aggregator = UdpSocket::bind("127.0.0.1:0").await?;
//! # let upstream = aggregator.local_addr()?;
//!
//! let config = LaneConfig { upstream, profile: Link::CatM1.profile(), seed: 42, index: 0 };
//! let lane = Lane::start("127.0.0.1:0".parse()?, config).await?;
//! println!("the device connects to {}", lane.addr());
//!
//! lane.cut(Cut::Both).await?;
//! lane.restore().await?;
//! println!("the aggregator now sees {}", lane.rebind().await?);
//! println!("charged so far: {} bytes", lane.traffic().await?.carried_ip_bytes());
//! # Ok(())
//! # }
//! ```

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

use sim::access_link::{AccessLink, Traffic};
use sim::clock::SimTime;
use sim::link_profiles::LinkProfile;
use sim::network::ip_packet_len;
use sim::outages::{Cut, Direction};
use sim::pipe::Fate;
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// What a [`Lane`] leads to, and over which link.
#[derive(Clone, Copy, Debug)]
pub struct LaneConfig {
    /// The aggregator's address.
    pub upstream: SocketAddr,
    /// The link of the device.
    pub profile: LinkProfile,
    /// Decides loss and jitter, together with `index`. Real time keeps a run from being repeatable, though.
    pub seed: u64,
    /// The number of the device, so that each draws its own luck from a common seed.
    pub index: u32,
}

/// A handle to the relay of one device. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Lane {
    addr: SocketAddr,
    commands: mpsc::Sender<Command>,
}

impl Lane {
    /// Starts a relay that the device reaches at `listen`; port 0 lets the system choose. Must be called inside a tokio
    /// runtime, which then drives the lane.
    ///
    /// # Errors
    ///
    /// [`LaneError::Socket`] if one of the two sockets cannot be opened.
    pub async fn start(listen: SocketAddr, config: LaneConfig) -> Result<Self, LaneError> {
        let device_side = bind(listen).await?;
        let addr = device_side.local_addr().map_err(|source| LaneError::Socket { addr: listen, source })?;
        let upstream_side = bind(any_port_towards(config.upstream)).await?;
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let task = LaneTask {
            begun: Instant::now(),
            link: AccessLink::new(config.profile, config.seed, config.index),
            upstream: config.upstream,
            device: None,
            device_side,
            upstream_side,
            under_way: BTreeMap::new(),
            next_sequence: 0,
        };
        tokio::spawn(task.run(inbox));
        Ok(Self { addr, commands })
    }

    /// Where the device sends to: its aggregator's address, as far as it knows.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Cuts the device off until [`restore`](Self::restore). What is on the way is lost.
    ///
    /// # Errors
    ///
    /// [`LaneError::Stopped`] if the runtime has ended the lane.
    pub async fn cut(&self, cut: Cut) -> Result<(), LaneError> {
        self.ask(|done| Command::Cut(cut, done)).await
    }

    /// Ends what [`cut`](Self::cut) began.
    ///
    /// # Errors
    ///
    /// [`LaneError::Stopped`] if the runtime has ended the lane.
    pub async fn restore(&self) -> Result<(), LaneError> {
        self.ask(Command::Restore).await
    }

    /// Gives the device a new public address, as a carrier's NAT does, and returns it. The old one is dead at once; the
    /// device is not told.
    ///
    /// # Errors
    ///
    /// [`LaneError::Socket`] if no other socket can be opened; then the old address stays. [`LaneError::Stopped`] if the
    /// runtime has ended the lane.
    pub async fn rebind(&self) -> Result<SocketAddr, LaneError> {
        self.ask(Command::Rebind).await?
    }

    /// Changes the link for later datagrams.
    ///
    /// # Errors
    ///
    /// [`LaneError::Stopped`] if the runtime has ended the lane.
    pub async fn set_profile(&self, profile: LinkProfile) -> Result<(), LaneError> {
        self.ask(|done| Command::SetProfile(Box::new(profile), done)).await
    }

    /// What the device has sent and received so far, in IP bytes and packets.
    ///
    /// # Errors
    ///
    /// [`LaneError::Stopped`] if the runtime has ended the lane.
    pub async fn traffic(&self) -> Result<Traffic, LaneError> {
        self.ask(Command::Traffic).await
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, LaneError> {
        let (answer, answered) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| LaneError::Stopped)?;
        answered.await.map_err(|_| LaneError::Stopped)
    }
}

/// Why a [`Lane`] could not do what it was asked to.
#[derive(Debug, thiserror::Error)]
pub enum LaneError {
    /// A UDP socket could not be opened.
    #[error("no UDP socket at {addr}: use an address of this machine and a free port, or port 0")]
    Socket {
        /// The address asked for.
        addr: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The lane's task is gone: its runtime was shut down.
    #[error("the relay of this device has stopped: start another one")]
    Stopped,
}

enum Command {
    Cut(Cut, oneshot::Sender<()>),
    Rebind(oneshot::Sender<Result<SocketAddr, LaneError>>),
    Restore(oneshot::Sender<()>),
    SetProfile(Box<LinkProfile>, oneshot::Sender<()>),
    Traffic(oneshot::Sender<Traffic>),
}

/// The owner of a lane's state.
struct LaneTask {
    begun: Instant,
    link: AccessLink,
    upstream: SocketAddr,
    /// Where the device last sent from: it may have been restarted.
    device: Option<SocketAddr>,
    device_side: UdpSocket,
    upstream_side: UdpSocket,
    /// By the time they leave the link, then by the order in which they entered it.
    under_way: BTreeMap<(SimTime, u64), Datagram>,
    next_sequence: u64,
}

struct Datagram {
    direction: Direction,
    bytes: Vec<u8>,
}

impl LaneTask {
    async fn run(mut self, mut inbox: mpsc::Receiver<Command>) {
        loop {
            let next_exit = self.under_way.first_key_value().map(|(&(at, _), _)| self.begun + at.elapsed());
            tokio::select! {
                command = inbox.recv() => match command {
                    Some(command) => self.obey(command).await,
                    None => return,
                },
                ready = self.device_side.readable() => self.receive(ready, Direction::Uplink),
                ready = self.upstream_side.readable() => self.receive(ready, Direction::Downlink),
                () = sleep_until(next_exit) => {}
            }
            self.forward_due().await;
        }
    }

    async fn obey(&mut self, command: Command) {
        // An answer that nobody waits for any more is no error: the asker was dropped.
        match command {
            Command::Cut(cut, done) => {
                self.link.cut(cut);
                done.send(()).ok();
            }
            Command::Rebind(done) => {
                done.send(self.rebind().await).ok();
            }
            Command::Restore(done) => {
                self.link.restore();
                done.send(()).ok();
            }
            Command::SetProfile(profile, done) => {
                self.link.set_profile(*profile);
                done.send(()).ok();
            }
            Command::Traffic(done) => {
                done.send(*self.link.traffic()).ok();
            }
        }
    }

    async fn rebind(&mut self) -> Result<SocketAddr, LaneError> {
        let any = any_port_towards(self.upstream);
        // The old socket is still open here, so the system chooses another port.
        let fresh = bind(any).await?;
        let addr = fresh.local_addr().map_err(|source| LaneError::Socket { addr: any, source })?;
        self.upstream_side = fresh;
        Ok(addr)
    }

    /// Takes what has arrived on one side into the link.
    fn receive(&mut self, ready: io::Result<()>, direction: Direction) {
        if let Err(error) = ready {
            tracing::warn!(%error, ?direction, "relay socket is not readable");
            return;
        }
        let mut buffer = [0; DATAGRAM_LEN_MAX];
        for _ in 0..RECEIVED_AT_ONCE_MAX {
            let socket = match direction {
                Direction::Downlink => &self.upstream_side,
                Direction::Uplink => &self.device_side,
            };
            match socket.try_recv_from(&mut buffer) {
                Ok((len, from)) => self.enter(direction, from, &buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => {
                    tracing::warn!(%error, ?direction, "relay could not receive");
                    return;
                }
            }
        }
    }

    fn enter(&mut self, direction: Direction, from: SocketAddr, bytes: &[u8]) {
        match direction {
            Direction::Uplink => self.device = Some(from),
            // A NAT lets in only what comes from where the device has sent to.
            Direction::Downlink if self.device.is_none() || from != self.upstream => return,
            Direction::Downlink => {}
        }
        let ip_len = ip_packet_len(self.upstream, bytes.len());
        match self.link.enter(direction, self.now(), ip_len) {
            Fate::Arrives { at, copy_at } => {
                for at in [Some(at), copy_at].into_iter().flatten() {
                    let datagram = Datagram { direction, bytes: bytes.to_vec() };
                    self.under_way.insert((at, self.next_sequence), datagram);
                    self.next_sequence += 1;
                }
            }
            Fate::Dropped(cause) => tracing::debug!(?cause, ?direction, ip_len, "relay dropped a datagram"),
        }
    }

    async fn forward_due(&mut self) {
        let now = self.now();
        while let Some(entry) = self.under_way.first_entry().filter(|entry| entry.key().0 <= now) {
            let Datagram { direction, bytes } = entry.remove();
            if !self.link.leave(direction, now, ip_packet_len(self.upstream, bytes.len())) {
                continue;
            }
            let (socket, to) = match direction {
                Direction::Downlink => (&self.device_side, self.device),
                Direction::Uplink => (&self.upstream_side, Some(self.upstream)),
            };
            let Some(to) = to else { continue };
            if let Err(error) = socket.send_to(&bytes, to).await {
                tracing::debug!(%error, %to, "relay could not send; as good as lost");
            }
        }
    }

    fn now(&self) -> SimTime {
        SimTime::ZERO + self.begun.elapsed()
    }
}

/// Sockets are not connected, so a peer that is not there yet causes no error here, as it would cause none across a NAT.
async fn bind(addr: SocketAddr) -> Result<UdpSocket, LaneError> {
    UdpSocket::bind(addr).await.map_err(|source| LaneError::Socket { addr, source })
}

fn any_port_towards(peer: SocketAddr) -> SocketAddr {
    match peer {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    }
}

/// Waits until `at`; for ever if there is none.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}

/// Commands that wait before a sender of one has to.
const COMMANDS_MAX: usize = 16;
/// The largest UDP payload, in bytes.
const DATAGRAM_LEN_MAX: usize = 65_535;
/// Datagrams taken from one socket before the other side and the timers get their turn.
const RECEIVED_AT_ONCE_MAX: usize = 64;

#[cfg(test)]
mod tests;
