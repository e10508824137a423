//! What an application holds of a link that runs in its own task.

use std::net::SocketAddr;

use tokio::sync::{mpsc, oneshot, watch};

use crate::connection::ConnectionStats;
use crate::error::{ConnectError, SendError};
use crate::event::{ConnectionId, LinkEvent, MessageId};
use crate::faults::Faults;
use crate::identity::PublicKey;
use crate::ledger::Ledger;

/// Speaks to a running link. Clones speak to the same one.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) local_addr: SocketAddr,
    pub(crate) public_key: PublicKey,
    pub(crate) ledger: watch::Receiver<Ledger>,
}

impl Handle {
    /// See [`Link::connect`](crate::Link::connect).
    ///
    /// # Errors
    /// [`HandleError::Stopped`], or what the link says.
    pub async fn connect(
        &self,
        remote: SocketAddr,
        expected: PublicKey,
    ) -> Result<ConnectionId, HandleError<ConnectError>> {
        self.ask(|reply| Command::Connect { remote, expected, reply }).await?.map_err(HandleError::Link)
    }

    /// See [`Link::send`](crate::Link::send). Messages of one caller keep their order.
    ///
    /// # Errors
    /// [`HandleError::Stopped`], or what the link says.
    pub async fn send(
        &self,
        conn: ConnectionId,
        message: Vec<u8>,
    ) -> Result<MessageId, HandleError<SendError>> {
        self.ask(|reply| Command::Send { conn, message, reply }).await?.map_err(HandleError::Link)
    }

    /// Sends messages in order, all of them before the link speaks again, so that short ones share a datagram. The
    /// first one that is not taken ends it: those before it are on their way.
    ///
    /// # Errors
    /// As for [`send`](Self::send).
    pub async fn send_all(
        &self,
        conn: ConnectionId,
        messages: Vec<Vec<u8>>,
    ) -> Result<Vec<MessageId>, HandleError<SendError>> {
        self.ask(|reply| Command::SendAll { conn, messages, reply }).await?.map_err(HandleError::Link)
    }

    /// See [`Link::close`](crate::Link::close).
    ///
    /// # Errors
    /// If the link has stopped.
    pub async fn close(
        &self,
        conn: ConnectionId,
        code: u32,
        reason: impl Into<String>,
    ) -> Result<(), Stopped> {
        self.tell(Command::Close { conn, code, reason: reason.into() }).await
    }

    /// See [`Link::abandon`](crate::Link::abandon).
    ///
    /// # Errors
    /// If the link has stopped.
    pub async fn abandon(&self, conn: ConnectionId, code: u32) -> Result<(), Stopped> {
        self.tell(Command::Abandon { conn, code }).await
    }

    /// See [`Link::path_changed`](crate::Link::path_changed).
    ///
    /// # Errors
    /// If the link has stopped.
    pub async fn path_changed(&self, conn: ConnectionId) -> Result<(), Stopped> {
        self.tell(Command::PathChanged { conn }).await
    }

    /// See [`Link::release`](crate::Link::release).
    ///
    /// # Errors
    /// If the link has stopped.
    pub async fn release(&self, conn: ConnectionId, messages: u64) -> Result<(), Stopped> {
        self.tell(Command::Release { conn, messages }).await
    }

    /// See [`Link::ledger`](crate::Link::ledger).
    ///
    /// # Errors
    /// If the link has stopped.
    pub async fn ledger(&self) -> Result<Ledger, Stopped> {
        self.ask(|reply| Command::Ledger { reply }).await
    }

    /// See [`Link::faults`](crate::Link::faults).
    ///
    /// # Errors
    /// If the link has stopped.
    pub async fn faults(&self) -> Result<Faults, Stopped> {
        self.ask(|reply| Command::Faults { reply }).await
    }

    /// See [`Link::set_limit`](crate::Link::set_limit).
    ///
    /// # Errors
    /// If the link has stopped.
    pub async fn set_limit(&self, limit_bytes: Option<u64>) -> Result<(), Stopped> {
        self.tell(Command::SetLimit { limit_bytes }).await
    }

    /// The [ledger](crate::Link::ledger) as it grows: up to date after each turn of the link.
    #[must_use]
    pub fn watch_ledger(&self) -> watch::Receiver<Ledger> {
        self.ledger.clone()
    }

    /// See [`Link::stats`](crate::Link::stats).
    ///
    /// # Errors
    /// If the link has stopped.
    pub async fn stats(&self, conn: ConnectionId) -> Result<Option<ConnectionStats>, Stopped> {
        self.ask(|reply| Command::Stats { conn, reply }).await
    }

    /// Closes all connections and stops the link. Returns once the peers have been told.
    pub async fn shutdown(&self, code: u32, reason: impl Into<String>) {
        // An error says that it has stopped before.
        let _ = self.ask(|reply| Command::Shutdown { code, reason: reason.into(), reply }).await;
    }

    /// The address of the socket.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Our own key.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    async fn tell(&self, command: Command) -> Result<(), Stopped> {
        self.commands.send(command).await.map_err(|_| Stopped)
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, Stopped> {
        let (reply, answer) = oneshot::channel();
        self.tell(command(reply)).await?;
        answer.await.map_err(|_| Stopped)
    }
}

/// The events of a running link.
#[derive(Debug)]
pub struct EventReceiver {
    pub(crate) events: mpsc::Receiver<LinkEvent>,
}

impl EventReceiver {
    /// Waits for the next event; `None` once the link has stopped. Nothing is lost if the future is dropped.
    pub async fn recv(&mut self) -> Option<LinkEvent> {
        self.events.recv().await
    }

    /// The next event, if there is one now.
    pub fn try_recv(&mut self) -> Option<LinkEvent> {
        self.events.try_recv().ok()
    }
}

/// The link has stopped; its handle is good for nothing more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the link has stopped")]
pub struct Stopped;

/// A call through a [`Handle`] failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HandleError<E> {
    /// The link refused it.
    #[error(transparent)]
    Link(E),
    /// The link has stopped.
    #[error("the link has stopped")]
    Stopped,
}

impl<E> From<Stopped> for HandleError<E> {
    fn from(Stopped: Stopped) -> Self {
        Self::Stopped
    }
}

/// What a handle asks of the task.
pub(crate) enum Command {
    Abandon {
        conn: ConnectionId,
        code: u32,
    },
    Close {
        conn: ConnectionId,
        code: u32,
        reason: String,
    },
    Connect {
        remote: SocketAddr,
        expected: PublicKey,
        reply: oneshot::Sender<Result<ConnectionId, ConnectError>>,
    },
    Faults {
        reply: oneshot::Sender<Faults>,
    },
    Ledger {
        reply: oneshot::Sender<Ledger>,
    },
    PathChanged {
        conn: ConnectionId,
    },
    Release {
        conn: ConnectionId,
        messages: u64,
    },
    Send {
        conn: ConnectionId,
        message: Vec<u8>,
        reply: oneshot::Sender<Result<MessageId, SendError>>,
    },
    SendAll {
        conn: ConnectionId,
        messages: Vec<Vec<u8>>,
        reply: oneshot::Sender<Result<Vec<MessageId>, SendError>>,
    },
    SetLimit {
        limit_bytes: Option<u64>,
    },
    Shutdown {
        code: u32,
        reason: String,
        reply: oneshot::Sender<()>,
    },
    Stats {
        conn: ConnectionId,
        reply: oneshot::Sender<Option<ConnectionStats>>,
    },
}
