//! Where a line comes in, and which documents may be opened on it.

use std::fmt;
use std::hash::Hasher;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;
use std::str::FromStr;

use crdt_core::PeerId;
use serial2_tokio::SerialPort;
use siphasher::sip128::{Hasher128, SipHasher13};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use transport_serial::Timing;

/// A line, and what it is for. Whoever has the wire may speak: there is no key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineOptions {
    /// Where it comes in.
    pub port: Port,
    /// The documents that the device may open; none for the main one.
    pub documents: Vec<String>,
}

/// Where a line comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Port {
    /// A serial port, 8 bits without parity.
    Serial {
        /// Such as `/dev/ttyUSB0`; a path below `/dev/serial/by-id` stays the same when it is plugged in again.
        path: PathBuf,
        /// Bits a second.
        baud: u32,
    },
    /// Connections to this address, one at a time: a newer one takes the line over.
    Tcp(SocketAddr),
    /// Connections to a Unix socket that is made here, one at a time.
    Unix(PathBuf),
}

/// A line is not written as one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PortError {
    /// No address.
    #[error("{text:?} is no address and port, such as 127.0.0.1:7000")]
    Address {
        /// What was given.
        text: String,
    },
    /// No speed.
    #[error("{text:?} is no speed between 300 and 12000000 bits a second, such as 115200")]
    Baud {
        /// What was given.
        text: String,
    },
    /// No path.
    #[error("a path is missing before {text:?}")]
    Path {
        /// What was given.
        text: String,
    },
}

/// A line that somebody can speak on.
pub(crate) trait Wire: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Wire for T {}

/// A port that was opened.
pub(crate) enum Opened {
    Serial(Option<SerialPort>),
    Tcp(TcpListener),
    Unix(UnixListener),
}

impl LineOptions {
    /// A serial port, as `PATH`, `PATH:BAUD` and either with `=DOCUMENT,DOCUMENT`; 115,200 baud without another.
    ///
    /// # Errors
    /// [`PortError`].
    pub fn serial(text: &str) -> Result<Self, PortError> {
        let (place, documents) = split(text);
        let is_speed = |baud: &str| !baud.is_empty() && !baud.contains('/');
        let (path, baud) = match place.rsplit_once(':') {
            Some((path, baud)) if is_speed(baud) => {
                let speed = baud.parse().ok().filter(|baud| BAUDS.contains(baud));
                (path, speed.ok_or_else(|| PortError::Baud { text: baud.to_owned() })?)
            }
            _ => (place, BAUD),
        };
        Ok(Self { port: Port::Serial { path: checked_path(path, text)?, baud }, documents })
    }

    /// A TCP address to listen at, as `ADDRESS:PORT`, also with `=DOCUMENT,DOCUMENT`.
    ///
    /// # Errors
    /// [`PortError`].
    pub fn tcp(text: &str) -> Result<Self, PortError> {
        let (place, documents) = split(text);
        let address =
            SocketAddr::from_str(place).map_err(|_| PortError::Address { text: place.to_owned() })?;
        Ok(Self { port: Port::Tcp(address), documents })
    }

    /// A Unix socket to be made, as `PATH`, also with `=DOCUMENT,DOCUMENT`.
    ///
    /// # Errors
    /// [`PortError`].
    pub fn unix(text: &str) -> Result<Self, PortError> {
        let (place, documents) = split(text);
        Ok(Self { port: Port::Unix(checked_path(place, text)?), documents })
    }
}

impl Port {
    /// Opens it. A serial port is there or not; the others wait for whoever connects.
    pub(crate) async fn open(&self) -> io::Result<Opened> {
        match self {
            Self::Serial { path, baud } => {
                SerialPort::open(path, *baud).map(|port| Opened::Serial(Some(port)))
            }
            Self::Tcp(address) => TcpListener::bind(address).await.map(Opened::Tcp),
            Self::Unix(path) => {
                // A socket is what a former process left behind; anything else is somebody's.
                if std::fs::symlink_metadata(path).is_ok_and(|found| found.file_type().is_socket()) {
                    std::fs::remove_file(path)?;
                }
                UnixListener::bind(path).map(Opened::Unix)
            }
        }
    }

    /// How long to wait for answers on it.
    pub(crate) fn timing(&self) -> Timing {
        match self {
            Self::Serial { baud, .. } => Timing::for_baud(*baud),
            Self::Tcp(_) | Self::Unix(_) => Timing::default(),
        }
    }

    /// Names whoever is at the other end to the document. It stays the same over restarts: a device that is plugged in
    /// elsewhere is another one to the document, which costs it its replica id and nothing else.
    pub(crate) fn peer(&self) -> PeerId {
        let place = match self {
            Self::Serial { path, .. } => format!("serial {}", path.display()),
            other => other.to_string(),
        };
        let mut hasher = SipHasher13::new();
        hasher.write(place.as_bytes());
        let mut peer = [0; 32];
        peer[..16].copy_from_slice(b"godwit line     ");
        peer[16..].copy_from_slice(&hasher.finish128().as_bytes());
        PeerId(peer)
    }
}

impl Opened {
    /// The next wire. Nothing is lost if the future is dropped. A serial port has one.
    pub(crate) async fn next(&mut self) -> io::Result<Box<dyn Wire>> {
        match self {
            Self::Serial(port) => match port.take() {
                Some(port) => Ok(Box::new(port)),
                None => std::future::pending().await,
            },
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(listener) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Serial { path, baud } => write!(f, "serial {}:{baud}", path.display()),
            Self::Tcp(address) => write!(f, "tcp {address}"),
            Self::Unix(path) => write!(f, "unix {}", path.display()),
        }
    }
}

/// The place, and the documents after the last equals sign.
fn split(text: &str) -> (&str, Vec<String>) {
    match text.rsplit_once('=') {
        Some((place, names)) => (place, names.split(',').map(str::to_owned).collect()),
        None => (text, Vec::new()),
    }
}

fn checked_path(path: &str, text: &str) -> Result<PathBuf, PortError> {
    match path {
        "" => Err(PortError::Path { text: text.to_owned() }),
        path => Ok(PathBuf::from(path)),
    }
}

const BAUD: u32 = 115_200;
const BAUDS: std::ops::RangeInclusive<u32> = 300..=12_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_written_like_this() {
        let serial = |path: &str, baud, documents: &[&str]| LineOptions {
            port: Port::Serial { path: path.into(), baud },
            documents: documents.iter().map(|name| (*name).to_owned()).collect(),
        };
        for (text, line) in [
            ("/dev/ttyUSB0", serial("/dev/ttyUSB0", 115_200, &[])),
            ("/dev/ttyUSB0:9600", serial("/dev/ttyUSB0", 9_600, &[])),
            ("/dev/ttyUSB0:9600=pump", serial("/dev/ttyUSB0", 9_600, &["pump"])),
            (
                "/dev/serial/by-id/usb-FTDI:1/x=a,b",
                serial("/dev/serial/by-id/usb-FTDI:1/x", 115_200, &["a", "b"]),
            ),
        ] {
            assert_eq!(LineOptions::serial(text), Ok(line), "{text}");
        }
        let tcp = LineOptions::tcp("127.0.0.1:7000=pump").unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(
            (tcp.port.to_string(), tcp.documents),
            ("tcp 127.0.0.1:7000".to_owned(), vec!["pump".to_owned()])
        );
        assert_eq!(LineOptions::serial("/dev/ttyS0:12"), Err(PortError::Baud { text: "12".to_owned() }));
        assert_eq!(LineOptions::serial("/dev/ttyS0:fast"), Err(PortError::Baud { text: "fast".to_owned() }));
        assert_eq!(LineOptions::serial("=pump"), Err(PortError::Path { text: "=pump".to_owned() }));
        assert_eq!(LineOptions::tcp("localhost"), Err(PortError::Address { text: "localhost".to_owned() }));
    }

    #[test]
    fn a_line_has_the_same_peer_at_any_speed_and_another_elsewhere() {
        let port = |baud| Port::Serial { path: "/dev/ttyUSB0".into(), baud };
        assert_eq!(port(9_600).peer(), port(115_200).peer());
        assert_ne!(port(9_600).peer(), Port::Unix("/dev/ttyUSB0".into()).peer());
        // It is stored: it must not change between versions.
        assert_eq!(port(9_600).peer().0[16..], STORED);
    }

    const STORED: [u8; 16] = [149, 25, 221, 207, 247, 179, 91, 24, 203, 138, 105, 169, 136, 61, 218, 163];
}
