//! The side that asks.

use std::io;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde_json::Value as Json;
use tokio::io::AsyncWriteExt;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};

use crate::address::Address;
use crate::limits::{REPLY_LEN_MAX, REQUEST_LEN_MAX};
use crate::line::{Line, LineReader};
use crate::owner::{Owner, OwnerRequest};
use crate::reply::{ErrorReply, Reply};

/// A connection to a running process.
#[derive(Debug)]
pub struct Client {
    reader: LineReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

/// Nobody could be reached.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The system refused it.
    #[error("{} cannot be opened", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No process is running: there is no socket, or it was left behind by a dead one.
    #[error("no process is running at {}: start it first", .path.display())]
    NotRunning {
        /// The socket.
        path: PathBuf,
    },
    /// The process has another store, so that nothing was asked of it.
    #[error(
        "the process that answers at {} is {program:?} with the store {served}, which is not the file that is at {} now; if \
         that was moved or replaced while the process runs, stop the process first",
        .path.display(), .wanted.display()
    )]
    OtherStore {
        /// The socket.
        path: PathBuf,
        /// The program that answers.
        program: String,
        /// The store that it has.
        served: String,
        /// The store that was meant.
        wanted: PathBuf,
    },
    /// The process does not tell which store it has.
    #[error(
        "the process that answers at {} does not tell which store it has: it is of another version; stop it and start it again",
        .path.display()
    )]
    OtherVersion {
        /// The socket.
        path: PathBuf,
        /// Its answer.
        source: Box<RequestError>,
    },
}

/// A request failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The process ended before it answered. Whether it did what was asked is not known.
    #[error(
        "the process ended before it answered; whether it did what was asked is not known: look with get"
    )]
    Closed,
    /// The connection broke.
    #[error("the connection to the process broke")]
    Io(#[from] io::Error),
    /// The answer is no reply: the process is of another version, or something else.
    #[error("the answer is no reply of this protocol")]
    NotAReply(#[source] serde_json::Error),
    /// The process says why it was not done.
    #[error(transparent)]
    Refused(ErrorReply),
    /// The request is too long. It was not sent.
    #[error("a request has at most {REQUEST_LEN_MAX} bytes, this one has {len}: split it")]
    RequestTooLong {
        /// Its length in bytes.
        len: usize,
    },
    /// The reply is too long.
    #[error("the reply has more than {REPLY_LEN_MAX} bytes: ask for a part of it")]
    ReplyTooLong,
    /// The request cannot be written as JSON. It was not sent.
    #[error("the request cannot be written as JSON")]
    Unwritable(#[source] serde_json::Error),
}

impl Client {
    /// Connects to the process that serves the socket, whoever that is.
    ///
    /// # Errors
    /// [`ConnectError::NotRunning`] when there is none.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn connect(path: &Path) -> Result<Self, ConnectError> {
        let fail = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::NotADirectory | io::ErrorKind::ConnectionRefused => {
                ConnectError::NotRunning { path: path.to_owned() }
            }
            _ => ConnectError::Io { path: path.to_owned(), source },
        };
        // Nobody can listen where a name is too long.
        let not_running = || ConnectError::NotRunning { path: path.to_owned() };
        let address = Address::of(path).map_err(fail)?.ok_or_else(not_running)?;
        let stream = UnixStream::connect(address.path()).await.map_err(fail)?;
        let (reader, writer) = stream.into_split();
        Ok(Self { reader: LineReader::new(reader, REPLY_LEN_MAX), writer })
    }

    /// Connects to the process that serves the socket, if it is this program with the store that is at this path now
    /// (see [`Server::for_store`](crate::Server::for_store)).
    ///
    /// # Errors
    /// [`ConnectError::NotRunning`] when there is none, [`ConnectError::OtherStore`] when it has another one.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn connect_to_store(path: &Path, program: &str, store: &Path) -> Result<Self, ConnectError> {
        let mut client = Self::connect(path).await?;
        let path = path.to_owned();
        let answer = match client.request(&OwnerRequest::Owner).await {
            Ok(answer) => answer,
            // It was about to end.
            Err(RequestError::Closed | RequestError::Io(_)) => return Err(ConnectError::NotRunning { path }),
            Err(error) => return Err(ConnectError::OtherVersion { path, source: Box::new(error) }),
        };
        let served: Owner = serde_json::from_value(answer).map_err(|error| ConnectError::OtherVersion {
            path: path.clone(),
            source: Box::new(RequestError::NotAReply(error)),
        })?;
        if Owner::of(program, store).is_ok_and(|wanted| wanted.is_same(&served)) {
            return Ok(client);
        }
        let Owner { program, store: served, .. } = served;
        Err(ConnectError::OtherStore { path, program, served, wanted: store.to_owned() })
    }

    /// Sends a request and waits for its one reply.
    ///
    /// # Errors
    /// [`RequestError`]; after [`RequestError::Refused`] the connection goes on, after the others it is of no more use.
    pub async fn request(&mut self, request: &impl Serialize) -> Result<Json, RequestError> {
        self.send(request).await?;
        self.next().await?.ok_or(RequestError::Closed)
    }

    /// Sends a request whose replies are a stream; take them with [`next`](Self::next). Dropping the client ends it.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn send(&mut self, request: &impl Serialize) -> Result<(), RequestError> {
        let mut line = serde_json::to_vec(request).map_err(RequestError::Unwritable)?;
        if line.len() > REQUEST_LEN_MAX {
            return Err(RequestError::RequestTooLong { len: line.len() });
        }
        line.push(b'\n');
        Ok(self.writer.write_all(&line).await?)
    }

    /// The next reply of a stream; `None` at its end. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn next(&mut self) -> Result<Option<Json>, RequestError> {
        match self.reader.next().await? {
            Line::End => Ok(None),
            Line::TooLong => Err(RequestError::ReplyTooLong),
            Line::Text(line) => match serde_json::from_slice(&line).map_err(RequestError::NotAReply)? {
                Reply::Ok(answer) => Ok(Some(answer)),
                Reply::Error(error) => Err(RequestError::Refused(error)),
            },
        }
    }
}
