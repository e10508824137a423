//! The side that answers.

use std::fmt::Display;
use std::fs;
use std::io;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crdt_core::typed::{JsonTextError, parse_json};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::AsyncWriteExt;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{UnixListener, UnixSocket, UnixStream};
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::task::JoinSet;

use crate::address::Address;
use crate::code;
use crate::limits::{CONNECTIONS_MAX, REQUEST_LEN_MAX, SOCKET_PATH_LEN_MAX};
use crate::line::{Line, LineReader};
use crate::log_limit::LogLimit;
use crate::owner::{Owner, OwnerRequest};
use crate::reply::{ErrorReply, Reply};
use crate::scalar::ScalarError;

/// Listens on a socket. Dropping it removes the socket's file.
#[derive(Debug)]
pub struct Server {
    listener: UnixListener,
    file: SocketFile,
    owner: Option<Arc<Owner>>,
}

/// A socket cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BindError {
    /// Another process answers there.
    #[error("another process answers at {}: stop it first, or talk to it", .path.display())]
    InUse {
        /// The socket.
        path: PathBuf,
    },
    /// The system refused it.
    #[error("no socket can be made at {}", .path.display())]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Something else has the name of the socket. It was left as it is.
    #[error("{} is there already and is not a socket: move it away", .path.display())]
    NotASocket {
        /// The path.
        path: PathBuf,
    },
    /// The system allows no socket with so long a name. A long directory is no matter.
    #[error(
        "the path of a socket has at most {SOCKET_PATH_LEN_MAX} bytes, and there are ways around that for its directory; but \
         {} has {len} bytes in its name alone: use a shorter name",
        .path.display()
    )]
    PathTooLong {
        /// The socket.
        path: PathBuf,
        /// The length of its name in bytes.
        len: usize,
    },
}

/// The client went away, or the server stops: there is nobody to reply to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the client is gone")]
pub struct Gone;

/// Where a handler puts its reply, or a stream of them.
#[derive(Debug)]
pub struct Replies {
    writer: Arc<Mutex<OwnedWriteHalf>>,
    is_gone: watch::Receiver<bool>,
    has_replied: Arc<AtomicBool>,
}

impl Server {
    /// Listens at `path`, with mode 0600. A socket that a dead process left behind is removed.
    ///
    /// Nobody else can slip in: the mode is set after the file is there and before the socket listens, and until it
    /// listens the system lets nobody connect. Two processes that start at the same moment may take each other for
    /// dead; hold a lock, such as that of the open store, while calling this.
    ///
    /// # Errors
    /// [`BindError`].
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    pub async fn bind(path: &Path) -> Result<Self, BindError> {
        let fail = |source| BindError::Io { path: path.to_owned(), source };
        let Some(address) = Address::of(path).map_err(fail)? else {
            let len = path.file_name().unwrap_or_default().len();
            return Err(BindError::PathTooLong { path: path.to_owned(), len });
        };
        match fs::symlink_metadata(path) {
            Ok(metadata) if !metadata.file_type().is_socket() => {
                return Err(BindError::NotASocket { path: path.to_owned() });
            }
            Ok(_) => match UnixStream::connect(address.path()).await {
                Ok(_) => return Err(BindError::InUse { path: path.to_owned() }),
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
                    fs::remove_file(path).map_err(fail)?;
                }
                // A full backlog: somebody listens, but is busy.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Err(BindError::InUse { path: path.to_owned() });
                }
                Err(error) => return Err(fail(error)),
            },
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(fail(error)),
        }
        let socket = UnixSocket::new_stream().map_err(fail)?;
        socket.bind(address.path()).map_err(fail)?;
        let file = SocketFile::of(path).map_err(fail)?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).map_err(fail)?;
        let listener = socket.listen(BACKLOG).map_err(fail)?;
        Ok(Self { listener, file, owner: None })
    }

    /// The same, which tells clients that it is this program with the store that is at this path now, so that those of
    /// another store leave again ([`Client::connect_to_store`](crate::Client::connect_to_store)).
    ///
    /// # Errors
    /// [`BindError::Io`] if the store cannot be looked at.
    pub fn for_store(self, program: &str, store: &Path) -> Result<Self, BindError> {
        let owner = Owner::of(program, store);
        let owner = owner.map_err(|source| BindError::Io { path: store.to_owned(), source })?;
        Ok(Self { owner: Some(Arc::new(owner)), ..self })
    }

    /// Serves until `stop` resolves. Each request goes to `handler`, which puts its reply, or a stream of them, into
    /// [`Replies`]; one that puts none has an error sent for it.
    ///
    /// A line that is no request of type `R`, or has a number that would become another, gets an error with the code
    /// [`BAD_REQUEST`](code::BAD_REQUEST), and the next line is read; a line longer than [`REQUEST_LEN_MAX`] gets one and the
    /// connection is closed.
    ///
    /// After `stop`, no connection is accepted, streams are told ([`Replies::gone`]), and the handlers under way have
    /// two seconds to finish.
    pub async fn run<R, H, F>(self, handler: H, stop: impl Future<Output = ()>)
    where
        R: DeserializeOwned + Send + 'static,
        H: Fn(R, Replies) -> F + Send + Sync + 'static,
        F: Future<Output = Result<(), Gone>> + Send + 'static,
    {
        let Self { listener, file, owner } = self;
        let handler = Arc::new(handler);
        let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let (stopping, is_stopping) = watch::channel(false);
        let mut connections = JoinSet::new();
        let mut failures = LogLimit::default();
        tokio::pin!(stop);
        loop {
            let accept = async {
                let place = room.clone().acquire_owned().await.expect("the semaphore is never closed");
                (listener.accept().await, place)
            };
            tokio::select! {
                () = &mut stop => break,
                (accepted, place) = accept => match accepted {
                    Ok((stream, _)) => {
                        let connection = Connection::new(stream, owner.clone(), is_stopping.clone());
                        let handler = handler.clone();
                        connections.spawn(async move {
                            connection.serve(&*handler).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        if let Some(times) = failures.note(Instant::now()) {
                            tracing::warn!(%error, times, "no connection is accepted on the control socket");
                        }
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                },
                Some(ended) = connections.join_next(), if !connections.is_empty() => {
                    if let Err(error) = ended {
                        tracing::error!(%error, "a handler of the control socket failed");
                    }
                }
            }
        }
        drop((listener, file));
        stopping.send_replace(true);
        let finish = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(GRACE, finish).await.is_err() {
            connections.shutdown().await;
        }
    }
}

impl Replies {
    /// Says that it was done. Waits while the client does not read.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn ok(&mut self, answer: &impl Serialize) -> Result<(), Gone> {
        match serde_json::to_value(answer) {
            Ok(answer) => self.reply(&Reply::Ok(answer)).await,
            Err(error) => self.reply(&Reply::Error(ErrorReply::new(code::INTERNAL, error))).await,
        }
    }

    /// Says that it was not done.
    ///
    /// # Errors
    /// [`Gone`].
    pub async fn error(&mut self, error: &ErrorReply) -> Result<(), Gone> {
        self.reply(&Reply::Error(error.clone())).await
    }

    /// Resolves when the client has hung up (or has closed its sending side), or the server stops: the end of a
    /// stream. A handler with one reply need not look at it.
    pub async fn gone(&self) {
        is_true(&mut self.is_gone.clone()).await;
    }

    async fn reply(&mut self, reply: &Reply) -> Result<(), Gone> {
        self.has_replied.store(true, Ordering::Relaxed);
        write_line(&self.writer, reply).await.map_err(|_| Gone)
    }
}

/// One client.
struct Connection {
    reader: LineReader<OwnedReadHalf>,
    writer: Arc<Mutex<OwnedWriteHalf>>,
    owner: Option<Arc<Owner>>,
    is_stopping: watch::Receiver<bool>,
}

impl Connection {
    fn new(stream: UnixStream, owner: Option<Arc<Owner>>, is_stopping: watch::Receiver<bool>) -> Self {
        let (reader, writer) = stream.into_split();
        let reader = LineReader::new(reader, REQUEST_LEN_MAX);
        Self { reader, writer: Arc::new(Mutex::new(writer)), owner, is_stopping }
    }

    async fn serve<R, H, F>(mut self, handler: &H)
    where
        R: DeserializeOwned,
        H: Fn(R, Replies) -> F,
        F: Future<Output = Result<(), Gone>>,
    {
        loop {
            let line = tokio::select! {
                line = self.reader.next() => line,
                () = is_true(&mut self.is_stopping) => return,
            };
            let done = match line {
                Ok(Line::Text(line)) if line.iter().all(u8::is_ascii_whitespace) => Ok(()),
                Ok(Line::Text(line)) if self.asks_for_owner(&line) => self.tell_owner().await,
                Ok(Line::Text(line)) => match request(&line) {
                    Ok(request) => self.answer(request, handler).await,
                    Err(message) => self.refuse(message).await,
                },
                Ok(Line::TooLong) => {
                    let message = format!("a request has at most {REQUEST_LEN_MAX} bytes: split it");
                    // The connection ends in any case.
                    let _ = self.refuse(message).await;
                    return;
                }
                Ok(Line::End) | Err(_) => return,
            };
            if done.is_err() {
                return;
            }
        }
    }

    /// Runs the handler, and sees meanwhile whether the client hangs up.
    async fn answer<R, H, F>(&mut self, request: R, handler: &H) -> Result<(), Gone>
    where
        H: Fn(R, Replies) -> F,
        F: Future<Output = Result<(), Gone>>,
    {
        let (gone, is_gone) = watch::channel(false);
        let has_replied = Arc::new(AtomicBool::new(false));
        let replies = Replies { writer: self.writer.clone(), is_gone, has_replied: has_replied.clone() };
        let handling = handler(request, replies);
        tokio::pin!(handling);
        let done = tokio::select! {
            done = &mut handling => Some(done),
            () = self.reader.ended() => None,
            () = is_true(&mut self.is_stopping) => None,
        };
        let done = match done {
            Some(done) => done,
            None => {
                gone.send_replace(true);
                handling.await
            }
        };
        if done.is_ok() && !has_replied.load(Ordering::Relaxed) {
            let error = ErrorReply::new(code::INTERNAL, "the request has no answer; this is a bug");
            return write_line(&self.writer, &Reply::Error(error)).await.map_err(|_| Gone);
        }
        done
    }

    fn asks_for_owner(&self, line: &[u8]) -> bool {
        self.owner.is_some() && serde_json::from_slice::<OwnerRequest>(line).is_ok()
    }

    async fn tell_owner(&self) -> Result<(), Gone> {
        let owner = serde_json::to_value(self.owner.as_deref()).unwrap_or_default();
        write_line(&self.writer, &Reply::Ok(owner)).await.map_err(|_| Gone)
    }

    async fn refuse(&self, message: String) -> Result<(), Gone> {
        let error = ErrorReply::new(code::BAD_REQUEST, message);
        write_line(&self.writer, &Reply::Error(error)).await.map_err(|_| Gone)
    }
}

/// The request that a line is, or why it is none.
fn request<R: DeserializeOwned>(line: &[u8]) -> Result<R, String> {
    let unknown = |why: &dyn Display| format!("no request that is known here: {why}");
    let text = std::str::from_utf8(line).map_err(|error| unknown(&error))?;
    // Some types are read from an array too, which names no fields.
    if !text.trim_start().starts_with('{') {
        return Err(unknown(&"a request is one JSON object on one line"));
    }
    parse_json(text).map_err(|error| match error {
        JsonTextError::Number(error) => ScalarError::from(error).to_string(),
        error => unknown(&error),
    })
}

/// Resolves when the flag is set, or when nobody can set it any more.
async fn is_true(flag: &mut watch::Receiver<bool>) {
    let _ = flag.wait_for(|is_set| *is_set).await;
}

async fn write_line(writer: &Mutex<OwnedWriteHalf>, reply: &Reply) -> io::Result<()> {
    let mut line = serde_json::to_vec(reply)?;
    line.push(b'\n');
    writer.lock().await.write_all(&line).await
}

/// The file of a socket: removed at the end, if it is still the same.
#[derive(Debug)]
struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

impl SocketFile {
    fn of(path: &Path) -> io::Result<Self> {
        let metadata = fs::symlink_metadata(path)?;
        Ok(Self { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() })
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let is_ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|found| (found.dev(), found.ino()) == (self.device, self.inode));
        // What cannot be removed is a stale socket, which the next start removes.
        if is_ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "the control socket was not removed");
        }
    }
}

/// Connections that wait to be accepted.
const BACKLOG: u32 = 64;
/// How long handlers may go on after the server was told to stop.
const GRACE: Duration = Duration::from_secs(2);
/// The pause after a connection could not be accepted: the cause, such as too many open files, passes or does not.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
