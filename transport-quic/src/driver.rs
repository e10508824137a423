//! A link with a real socket: one tokio task that owns both.

use std::io;
use std::net::{IpAddr, SocketAddr, SocketAddrV6};
use std::time::{Duration, Instant};

use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::UdpSocket;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, watch};

use crate::event::{CloseCode, LinkEvent};
use crate::handle::{Command, EventReceiver, Handle};
use crate::ledger::Ledger;
use crate::link::{Link, Transmit};

/// Starts links on sockets.
#[derive(Debug)]
pub struct Driver;

impl Driver {
    /// Binds a UDP socket (port 0 takes a free one; an IPv6 wildcard serves IPv4 too) and runs the link on it, in a
    /// task of the current tokio runtime.
    ///
    /// The task ends after [`Handle::shutdown`], when all handles are dropped, or when the receiver is dropped. Then
    /// all connections are closed with [`CloseCode::ShuttingDown`].
    ///
    /// Events have a bounded channel. While it is full, the link takes no more messages from its peers, and they are
    /// held back by flow control; so an application that waits for capacity to send must go on receiving.
    ///
    /// # Errors
    /// What the system says about the address.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub fn bind(local: SocketAddr, link: Link) -> io::Result<(Handle, EventReceiver)> {
        let socket = bind(local)?;
        let local_addr = socket.local_addr()?;
        let (commands, command_receiver) = mpsc::channel(COMMANDS_MAX);
        let (ledger_sender, ledger) = watch::channel(link.ledger());
        let (event_sender, events) = mpsc::channel(EVENTS_MAX);
        let public_key = link.public_key();
        let is_ipv6 = local_addr.is_ipv6();
        let task = Task {
            socket,
            is_ipv6,
            link,
            commands: command_receiver,
            events: event_sender,
            ledger: ledger_sender,
            unsent: None,
            datagram: Vec::new(),
        };
        tokio::spawn(task.run());
        Ok((Handle { commands, local_addr, public_key, ledger }, EventReceiver { events }))
    }
}

/// Why the task goes on.
enum Wake {
    Command(Option<Command>),
    EventsHaveCapacity,
    NobodyListens,
    Readable(io::Result<()>),
    Timeout,
}

struct Task {
    socket: UdpSocket,
    is_ipv6: bool,
    link: Link,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<LinkEvent>,
    ledger: watch::Sender<Ledger>,
    /// The event that had no capacity in the channel.
    unsent: Option<LinkEvent>,
    /// Buffer for the datagram that is being sent.
    datagram: Vec<u8>,
}

impl Task {
    async fn run(mut self) {
        let mut incoming = vec![0; DATAGRAM_LEN_MAX];
        loop {
            self.pass_events();
            if !self.transmit().await {
                self.pass_events();
            }
            self.tell_ledger();
            let timeout = self.link.poll_timeout();
            let wake = tokio::select! {
                ready = self.socket.readable() => Wake::Readable(ready),
                command = self.commands.recv() => Wake::Command(command),
                () = sleep_until(timeout) => Wake::Timeout,
                // The place is given back at once; the next turn of the loop takes it again.
                _ = self.events.reserve(), if self.unsent.is_some() => Wake::EventsHaveCapacity,
                () = self.events.closed() => Wake::NobodyListens,
            };
            match wake {
                Wake::Readable(Ok(())) => self.receive(&mut incoming).await,
                Wake::Readable(Err(error)) => pause_after(&error).await,
                Wake::Command(Some(command)) => {
                    // What is waiting too may share a datagram with it.
                    let mut next = Some(command);
                    let mut budget = COMMANDS_AT_ONCE;
                    while let Some(command) = next {
                        if let Command::Shutdown { code, reason, reply } = command {
                            self.stop(code, &reason).await;
                            // Fails if nobody waits for it any more.
                            let _ = reply.send(());
                            return;
                        }
                        self.execute(command);
                        budget -= 1;
                        next = if budget > 0 { self.commands.try_recv().ok() } else { None };
                    }
                }
                Wake::Command(None) => return self.stop(CloseCode::ShuttingDown.into(), "").await,
                Wake::Timeout => self.link.handle_timeout(Instant::now()),
                // The link learns the time at which they are taken.
                Wake::EventsHaveCapacity => self.link.handle_timeout(Instant::now()),
                Wake::NobodyListens => {
                    return self.stop(CloseCode::ShuttingDown.into(), "nobody listens any more").await;
                }
            }
        }
    }

    /// Hands events over while there is capacity.
    fn pass_events(&mut self) {
        while let Some(event) = self.unsent.take().or_else(|| self.link.poll_event()) {
            match self.events.try_send(event) {
                Ok(()) => {}
                Err(TrySendError::Full(event)) => {
                    self.unsent = Some(event);
                    return;
                }
                Err(TrySendError::Closed(_)) => return,
            }
        }
    }

    fn tell_ledger(&self) {
        let ledger = self.link.ledger();
        self.ledger.send_if_modified(|told| std::mem::replace(told, ledger) != ledger);
    }

    /// Sends what there is to send; false if the system did not take all of it.
    async fn transmit(&mut self) -> bool {
        let mut is_all_sent = true;
        while let Some(Transmit { to, len }) = self.link.poll_transmit(Instant::now(), &mut self.datagram) {
            if let Err(error) = self.socket.send_to(&self.datagram[..len], self.to_socket(to)).await {
                tracing::debug!(%to, len, %error, "datagram not sent");
                self.link.note_unsent(to, &error.to_string());
                is_all_sent = false;
            }
        }
        is_all_sent
    }

    /// Takes what has come in, so that one acknowledgement can answer it.
    async fn receive(&mut self, buffer: &mut [u8]) {
        let now = Instant::now();
        for _ in 0..DATAGRAMS_AT_ONCE {
            match self.socket.try_recv_from(buffer) {
                Ok((len, from)) => self.link.handle_datagram(now, from_socket(from), &buffer[..len]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(error) => return pause_after(&error).await,
            }
        }
    }

    fn execute(&mut self, command: Command) {
        let now = Instant::now();
        // A reply fails if the caller went away; what was asked is done all the same.
        match command {
            Command::Abandon { conn, code } => self.link.abandon(conn, code),
            Command::Close { conn, code, reason } => self.link.close(now, conn, code, &reason),
            Command::Connect { remote, expected, reply } => {
                let _ = reply.send(self.link.connect(now, remote, expected));
            }
            Command::Faults { reply } => {
                let _ = reply.send(self.link.faults());
            }
            Command::Ledger { reply } => {
                let _ = reply.send(self.link.ledger());
            }
            Command::PathChanged { conn } => self.link.path_changed(now, conn),
            Command::Release { conn, messages } => self.link.release(now, conn, messages),
            Command::Send { conn, message, reply } => {
                let _ = reply.send(self.link.send(now, conn, &message));
            }
            Command::SendAll { conn, messages, reply } => {
                let sent = messages.iter().map(|message| self.link.send(now, conn, message)).collect();
                let _ = reply.send(sent);
            }
            Command::SetLimit { limit_bytes } => self.link.set_limit(limit_bytes),
            Command::Shutdown { .. } => {}
            Command::Stats { conn, reply } => {
                let _ = reply.send(self.link.stats(conn));
            }
        }
    }

    async fn stop(&mut self, code: u32, reason: &str) {
        let now = Instant::now();
        let open: Vec<_> = self.link.connections().collect();
        for conn in open {
            self.link.close(now, conn, code, reason);
        }
        self.transmit().await;
        self.tell_ledger();
        while let Some(event) = self.unsent.take().or_else(|| self.link.poll_event()) {
            // Whoever still listens learns of the end by the end of the channel.
            if self.events.try_send(event).is_err() {
                return;
            }
        }
    }

    fn to_socket(&self, to: SocketAddr) -> SocketAddr {
        match to {
            SocketAddr::V4(v4) if self.is_ipv6 => {
                SocketAddr::V6(SocketAddrV6::new(v4.ip().to_ipv6_mapped(), v4.port(), 0, 0))
            }
            _ => to,
        }
    }
}

/// An IPv4 peer looks the same whatever the socket is.
fn from_socket(from: SocketAddr) -> SocketAddr {
    match from.ip().to_canonical() {
        IpAddr::V4(v4) => SocketAddr::new(v4.into(), from.port()),
        IpAddr::V6(_) => from,
    }
}

fn bind(local: SocketAddr) -> io::Result<UdpSocket> {
    let socket = Socket::new(Domain::for_address(local), Type::DGRAM, Some(Protocol::UDP))?;
    if local.is_ipv6() && local.ip().is_unspecified() {
        socket.set_only_v6(false)?;
    }
    // A fleet that comes back at once fills a small buffer in milliseconds. The system may give less; so be it.
    let _ = socket.set_recv_buffer_size(RECEIVE_BUFFER_BYTES);
    socket.set_nonblocking(true)?;
    socket.bind(&local.into())?;
    UdpSocket::from_std(socket.into())
}

async fn sleep_until(timeout: Option<Instant>) {
    match timeout {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

/// A socket's error is about one datagram, or about the network's state: both pass. The pause keeps an error that
/// does not pass from taking the processor.
async fn pause_after(error: &io::Error) {
    tracing::debug!(%error, "socket error");
    tokio::time::sleep(Duration::from_millis(20)).await;
}

/// Commands that wait; more wait in their callers.
const COMMANDS_MAX: usize = 256;
/// Commands done before anything is sent.
const COMMANDS_AT_ONCE: usize = 64;
/// Events that wait; more hold back the peers.
const EVENTS_MAX: usize = 256;
/// Longest datagram to be read, in bytes; QUIC's limit in this transport is 1472.
const DATAGRAM_LEN_MAX: usize = 2048;
/// Datagrams taken before anything is answered.
const DATAGRAMS_AT_ONCE: usize = 64;
/// Wanted size of the socket's receive buffer, in bytes.
const RECEIVE_BUFFER_BYTES: usize = 4 << 20;
