//! The link to the aggregator: look-ups, addresses and connections behind the attempts of the engine.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use transport_quic::{
    CloseCode, CloseReason, ConnectionId, Driver as LinkDriver, EventReceiver, Handle as LinkHandle, Ledger,
    Link, LinkEvent,
};

use crate::addresses::{Addresses, Failure, Next};
use crate::connection::Attempt;
use crate::engine::LinkInput;
use crate::frames::kind_of;
use crate::lookup::{Found, LookUp, Target, check};
use crate::options::Aggregator;
use crate::status::Problem;

/// The link to the aggregator; there is none without an aggregator.
pub(crate) struct Network {
    pub(crate) handle: LinkHandle,
    pub(crate) events: EventReceiver,
    pub(crate) ledger: watch::Receiver<Ledger>,
    pub(crate) aggregator: Aggregator,
    look_up: LookUp,
    addresses: Addresses,
    /// The attempt that has no connection yet.
    dialing: Option<Dialing>,
    by_attempt: HashMap<Attempt, ConnectionId>,
    by_connection: HashMap<ConnectionId, Attempt>,
}

/// How far an attempt is.
#[derive(Clone, Copy, Debug)]
struct Dialing {
    attempt: Attempt,
    stage: Stage,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The name is being looked up.
    LookUp { until: Instant },
    /// An address is being tried.
    Handshake {
        connection: ConnectionId,
        /// Packets of handshakes that had been received before.
        received_before: u64,
    },
}

/// What comes from the network.
pub(crate) enum NetworkEvent {
    /// The link's ledger has changed.
    Counted,
    /// The link says something; it has stopped if there is nothing.
    Link(Option<LinkEvent>),
    /// A look-up has ended.
    LookedUp(Found),
    /// Time has passed: see [`Network::handle_timeout`].
    Timeout,
}

/// What an event means to the engine.
pub(crate) type Input = Option<(Attempt, LinkInput)>;

impl Network {
    /// Takes a free port. The device's side of a connection has no fixed address, so IPv6 or IPv4 is taken as it comes.
    pub(crate) fn start(mut link: Link, aggregator: Aggregator, addresses: Addresses) -> io::Result<Self> {
        // One link cannot be tried twice, so the address is tried with a socket first.
        let has_ipv6 = UdpSocket::bind(any(true)).is_ok();
        link.classify_messages(kind_of);
        let (handle, events) = LinkDriver::bind(any(has_ipv6), link)?;
        let ledger = handle.watch_ledger();
        Ok(Self {
            handle,
            events,
            ledger,
            aggregator,
            look_up: LookUp::default(),
            addresses,
            dialing: None,
            by_attempt: HashMap::new(),
            by_connection: HashMap::new(),
        })
    }

    /// Begins an attempt: looks the address up, which takes long when there is no network. Nothing else waits for it.
    pub(crate) fn connect(&mut self, now: Instant, attempt: Attempt) -> Input {
        let address = &self.aggregator.address;
        let target = match Target::parse(address) {
            Ok(target) => target,
            Err(detail) => {
                let (address, detail) = (address.clone(), detail.to_owned());
                return Some((attempt, LinkInput::Closed(Problem::Address { address, detail })));
            }
        };
        self.dialing = Some(Dialing { attempt, stage: Stage::LookUp { until: now + LOOKUP_MAX } });
        let error = self.look_up.start(&target).err()?;
        self.fail_look_up(format!("no thread can be started for it: {error}"))
    }

    /// Waits for what happens next. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self) -> NetworkEvent {
        let deadline = self.deadline();
        tokio::select! {
            event = self.events.recv() => NetworkEvent::Link(event),
            // An error says that the link has stopped, which its events tell.
            Ok(()) = self.ledger.changed() => NetworkEvent::Counted,
            found = self.look_up.finished() => NetworkEvent::LookedUp(found),
            () = sleep_until(deadline) => NetworkEvent::Timeout,
        }
    }

    /// A look-up has ended: tries the first address.
    pub(crate) async fn handle_found(&mut self, now: Instant, found: Found) -> Input {
        // Of an attempt that was given up meanwhile it serves nobody.
        let Some(Dialing { attempt, stage: Stage::LookUp { .. } }) = self.dialing else { return None };
        let found = match check(self.host(), found) {
            Ok(found) => found,
            Err(problem) => return self.end(attempt, problem),
        };
        self.addresses.begin(&found, |address| way_to(address).err().map(|error| error.to_string()));
        self.go_on(now, attempt).await
    }

    /// What an event of the link means to the engine.
    pub(crate) async fn handle_event(&mut self, now: Instant, event: LinkEvent) -> Input {
        let connection = event.conn();
        let attempt = *self.by_connection.get(&connection)?;
        let received_before = match self.dialing {
            Some(Dialing { stage: Stage::Handshake { connection: dialed, received_before }, .. }) => {
                (dialed == connection).then_some(received_before)
            }
            _ => None,
        };
        let input = match event {
            LinkEvent::Closed { reason, .. } => {
                self.forget(connection);
                if let Some(received_before) = received_before {
                    let failure = self.failure_of(reason, received_before);
                    self.addresses.fail(now, failure);
                    return self.go_on(now, attempt).await;
                }
                reason.into()
            }
            LinkEvent::Connected { .. } => {
                if received_before.is_some() {
                    self.dialing = None;
                    self.addresses.succeed();
                }
                LinkInput::Connected
            }
            LinkEvent::Delivered { id, .. } => LinkInput::Delivered(id.0),
            LinkEvent::Message { message, .. } => LinkInput::Message(message),
            _ => return None,
        };
        Some((attempt, input))
    }

    /// Gives up what takes too long: a look-up, or an address that is silent while there is another one.
    pub(crate) async fn handle_timeout(&mut self, now: Instant) -> Input {
        let Dialing { attempt, stage } = self.dialing?;
        match stage {
            Stage::LookUp { until } if until <= now => {
                self.fail_look_up(format!("no answer in {} s", LOOKUP_MAX.as_secs()))
            }
            Stage::LookUp { .. } => None,
            Stage::Handshake { connection, received_before } => {
                let has_answered = self.received() > received_before;
                if !self.addresses.is_overdue(now, has_answered) {
                    return None;
                }
                self.forget(connection);
                // Nothing is said to whoever does not answer. An error says that the link has stopped.
                let _ = self.handle.abandon(connection, CloseCode::Normal.into()).await;
                self.addresses.fail(now, Failure::Silent);
                self.go_on(now, attempt).await
            }
        }
    }

    pub(crate) async fn send(&self, attempt: Attempt, frames: Vec<Vec<u8>>) {
        let Some(&connection) = self.by_attempt.get(&attempt) else { return };
        if let Err(error) = self.handle.send_all(connection, frames).await {
            // The end of a connection comes as an event too. The engine sends no more than there is capacity for; if that
            // went wrong nevertheless, the connection must end, because what follows would lack this message.
            tracing::debug!(%error, "a message was not sent");
            let _ =
                self.handle.close(connection, CloseCode::ProtocolError.into(), "a message was lost").await;
        }
    }

    pub(crate) async fn disconnect(&mut self, attempt: Attempt, code: CloseCode, reason: String) {
        if self.dialing.is_some_and(|dialing| dialing.attempt == attempt) {
            self.dialing = None;
            self.addresses.cancel();
        }
        if let Some(&connection) = self.by_attempt.get(&attempt) {
            // An error says that the link has stopped.
            let _ = self.handle.close(connection, code.into(), reason).await;
        }
    }

    /// What is to be kept over a restart, if the disk does not have it: for the next commit, whatever that is about.
    pub(crate) fn take_unsaved(&mut self) -> Option<Vec<u8>> {
        self.addresses.take_unsaved(&self.aggregator.address)
    }

    /// Tries the next address, or ends the attempt.
    async fn go_on(&mut self, now: Instant, attempt: Attempt) -> Input {
        loop {
            let address = match self.addresses.next(now) {
                Next::Failed(problem) => return self.end(attempt, problem),
                Next::Try(address) => address,
            };
            let received_before = self.received();
            match self.handle.connect(address, self.aggregator.key).await {
                Ok(connection) => {
                    self.by_attempt.insert(attempt, connection);
                    self.by_connection.insert(connection, attempt);
                    let stage = Stage::Handshake { connection, received_before };
                    self.dialing = Some(Dialing { attempt, stage });
                    return Some((attempt, LinkInput::Trying(address)));
                }
                Err(error) => self.addresses.fail(now, Failure::NotSent(error.to_string())),
            }
        }
    }

    fn end(&mut self, attempt: Attempt, problem: Problem) -> Input {
        self.dialing = None;
        self.addresses.cancel();
        Some((attempt, LinkInput::Closed(problem)))
    }

    fn fail_look_up(&mut self, detail: String) -> Input {
        let attempt = self.dialing?.attempt;
        let name = self.host().to_owned();
        self.end(attempt, Problem::LookUpFailed { name, detail })
    }

    /// How an address failed, by what the link says of its handshake.
    fn failure_of(&self, reason: CloseReason, received_before: u64) -> Failure {
        match reason {
            CloseReason::HandshakeTimeout { after } if self.received() > received_before => {
                let seconds = after.as_secs_f32().round();
                let text = format!("it answered, but the handshake did not end in {seconds} s");
                Failure::Answered(Problem::Closed { text })
            }
            CloseReason::HandshakeTimeout { .. } => Failure::Silent,
            CloseReason::Unsent { detail } => Failure::NotSent(detail),
            reason => Failure::Answered(reason.into()),
        }
    }

    /// Packets of handshakes that were received so far.
    fn received(&self) -> u64 {
        self.ledger.borrow().received.handshake.packets
    }

    fn forget(&mut self, connection: ConnectionId) {
        if let Some(attempt) = self.by_connection.remove(&connection) {
            self.by_attempt.remove(&attempt);
        }
    }

    fn deadline(&self) -> Option<Instant> {
        match self.dialing?.stage {
            Stage::LookUp { until } => Some(until),
            Stage::Handshake { .. } => self.addresses.deadline(),
        }
    }

    /// The aggregator's name without its port.
    fn host(&self) -> &str {
        let address = &self.aggregator.address;
        address.rsplit_once(':').map_or(address, |(host, _)| host)
    }
}

/// Whether the system knows a way to an address. Nothing is sent, so nothing is counted.
fn way_to(address: SocketAddr) -> io::Result<()> {
    if let SocketAddr::V6(v6) = address
        && v6.ip().is_unicast_link_local()
        && v6.scope_id() == 0
    {
        return Err(io::Error::other("it lacks its interface, such as in [fe80::7%eth0]:4433"));
    }
    UdpSocket::bind(any(address.is_ipv6()))?.connect(address)
}

/// No address of this device in particular, and a free port.
fn any(is_ipv6: bool) -> SocketAddr {
    let ip: IpAddr = if is_ipv6 { Ipv6Addr::UNSPECIFIED.into() } else { Ipv4Addr::UNSPECIFIED.into() };
    SocketAddr::new(ip, 0)
}

pub(crate) async fn sleep_until(timeout: Option<Instant>) {
    match timeout {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// How long a look-up may take before the attempt goes on without it: longer than the system's own limit with three
/// servers that do not answer.
const LOOKUP_MAX: Duration = Duration::from_secs(60);
