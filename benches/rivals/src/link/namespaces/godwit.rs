//! Ours over real sockets, to see that virtual time counts what a kernel counts.

use std::io::ErrorKind;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{bail, ensure};
use benches::link::scenario::{GODWIT, Losses, integers};
use benches::link::{COMMIT, Ours, Transport, TransportEvent};
use benches::systems::{Side, System};
use serde::{Deserialize, Serialize};
use sim::link_profiles::Link;

use super::veth::{CLOUD, Ends, Namespaces, passed_ip_bytes};
use super::{Agreement, Inside};

#[derive(Serialize, Deserialize)]
struct Counted {
    kernel_bytes: u64,
    ledger_bytes: u64,
}

/// Plays the same exchanges between the namespaces and in virtual time.
pub(super) fn measure(namespaces: &Namespaces) -> anyhow::Result<Agreement> {
    let cloud = namespaces.start(Inside::GodwitCloud)?.stdin(Stdio::null()).spawn()?;
    let _cloud = Ends(cloud);
    let output = namespaces.start(Inside::GodwitDevice)?.stderr(Stdio::inherit()).output()?;
    ensure!(output.status.success(), "the device failed");
    let Counted { kernel_bytes, ledger_bytes } = serde_json::from_slice(&output.stdout)?;

    let mut world = GODWIT.world(Link::Loopback, Losses::None);
    let mut virtual_bytes = 0;
    for n in 0..UPDATES {
        world.write(&integers(1, n));
        let exchange = world.report(GAP);
        if n > 0 {
            virtual_bytes += exchange.counts.ip_bytes();
        }
    }
    Ok(Agreement { kernel_bytes, ledger_bytes, virtual_bytes })
}

/// The aggregator: serves until it is ended.
pub(super) fn run_cloud() -> anyhow::Result<()> {
    let mut end = End::new(Side::Cloud, Ours::cloud(Link::Loopback), SocketAddr::from((CLOUD, PORT)))?;
    loop {
        end.run_for(Duration::from_secs(1))?;
    }
}

/// The device: prints what was counted.
pub(super) fn run_device() -> anyhow::Result<()> {
    let any = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
    let mut end = End::new(Side::Device, Ours::device(Link::Loopback), any)?;
    // The aggregator starts at the same time: its socket must be there, or a packet goes to nobody.
    std::thread::sleep(Duration::from_secs(1));
    let mut before = (0, 0);
    for n in 0..UPDATES {
        end.tell_time();
        end.system.write(Side::Device, &integers(1, n));
        if n == 0 {
            end.transport.connect(Instant::now(), SocketAddr::from((CLOUD, PORT)));
        } else {
            end.commit_and_send();
        }
        end.run_for(if n == 0 { 10 * GAP } else { GAP })?;
        if n == 0 {
            // The set-up is left out: how many of its packets share a datagram depends on how busy the machine is.
            before = (passed_ip_bytes()?, end.transport.ledger_bytes());
        }
    }
    ensure!(end.undelivered == 0, "{} messages were not delivered", end.undelivered);
    let kernel_bytes = passed_ip_bytes()? - before.0;
    let ledger_bytes = end.transport.ledger_bytes() - before.1;
    println!("{}", serde_json::to_string(&Counted { kernel_bytes, ledger_bytes })?);
    Ok(())
}

/// One end with its socket.
struct End {
    side: Side,
    socket: UdpSocket,
    transport: Ours,
    system: Box<dyn System>,
    begun: Instant,
    told_ms: u64,
    undelivered: usize,
}

impl End {
    fn new(side: Side, transport: Ours, address: SocketAddr) -> anyhow::Result<Self> {
        Ok(Self {
            side,
            socket: UdpSocket::bind(address)?,
            transport,
            system: (GODWIT.document.pair)(),
            begun: Instant::now(),
            told_ms: 0,
            undelivered: 0,
        })
    }

    fn run_for(&mut self, time: Duration) -> anyhow::Result<()> {
        let until = Instant::now() + time;
        let mut datagram = [0; 2_048];
        loop {
            while let Some(event) = self.transport.poll_event() {
                self.tell_time();
                match event {
                    TransportEvent::Closed => bail!("the connection ended"),
                    TransportEvent::Connected => self.system.reconnect(),
                    TransportEvent::Delivered => {
                        self.undelivered -= 1;
                        continue;
                    }
                    TransportEvent::Message(message) => self.system.receive(self.side, &message),
                }
                self.commit_and_send();
            }
            let mut bytes = Vec::new();
            while let Some(to) = self.transport.poll_transmit(Instant::now(), &mut bytes) {
                self.socket.send_to(&bytes, to)?;
            }
            let now = Instant::now();
            if now >= until {
                return Ok(());
            }
            let wake = self.transport.poll_timeout().map_or(until, |at| at.min(until));
            self.socket.set_read_timeout(Some((wake - now).max(Duration::from_millis(1))))?;
            match self.socket.recv_from(&mut datagram) {
                Ok((len, from)) => self.transport.handle_datagram(Instant::now(), from, &datagram[..len]),
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
                Err(error) => return Err(error.into()),
            }
            self.transport.handle_timeout(Instant::now());
        }
    }

    /// The disk of virtual time, which is as slow: how long an acknowledgement waited is written in it.
    fn commit_and_send(&mut self) {
        std::thread::sleep(COMMIT);
        for frame in self.system.send(self.side) {
            self.undelivered += 1;
            self.transport.send(Instant::now(), &frame);
        }
    }

    fn tell_time(&mut self) {
        let ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.system.wait(ms.saturating_sub(self.told_ms));
        self.told_ms = ms;
    }
}

const UPDATES: u64 = 100;
const GAP: Duration = Duration::from_millis(100);
const PORT: u16 = 4_433;
