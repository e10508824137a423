//! Reliable ordered messages between mutually authenticated peers, over QUIC, with as few bytes as it can be done,
//! and every datagram counted.
//!
//! It is no general QUIC library: there are no streams to choose, no certificates and no names. A message is some
//! bytes; what is in them is not this crate's business.
//!
//! ```
//! use std::time::Instant;
//! use transport_quic::{Config, Identity, Link, LinkEvent};
//!
//! let now = Instant::now();
//! let (ours, theirs) = (Identity::from_bytes([1; 32]), Identity::from_bytes([2; 32]));
//! let (device, cloud) = ("10.0.0.1:5000".parse().unwrap(), "10.0.0.2:4433".parse().unwrap());
//! let mut client = Link::client(ours.clone(), Config::cat_m1(), [3; 32]);
//! let mut server = Link::server(theirs.clone(), Config::cat_m1(), [4; 32], [5; 32]);
//!
//! let conn = client.connect(now, cloud, theirs.public_key())?;
//! client.send(now, conn, b"pump/3/setpoint = 21.5")?;
//!
//! // The network: in a program it is a socket, and `Driver` runs this loop.
//! let mut datagram = Vec::new();
//! let mut received = Vec::new();
//! for _ in 0..8 {
//!     while client.poll_transmit(now, &mut datagram).is_some() {
//!         server.handle_datagram(now, device, &datagram);
//!     }
//!     while let Some(event) = server.poll_event() {
//!         received.push(event);
//!     }
//!     while server.poll_transmit(now, &mut datagram).is_some() {
//!         client.handle_datagram(now, cloud, &datagram);
//!     }
//! }
//! let [LinkEvent::Connected { peer, .. }, LinkEvent::Message { message, .. }] = &received[..] else {
//!     panic!("{received:?}");
//! };
//! assert_eq!(*peer, ours.public_key());
//! assert_eq!(message, b"pump/3/setpoint = 21.5");
//! println!("it cost {} bytes of IP", client.ledger().bytes());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The loop
//!
//! [`Link`] is a state machine without a clock or a socket; its documentation tells the loop that a driver runs.
//! [`Driver`] is that loop for tokio. A simulation writes its own, and the same transport runs in virtual time.
//!
//! # What holds
//!
//! - **Identity.** Both sides prove an Ed25519 key ([`Identity`]). A client connects to one [`PublicKey`] and to
//!   nobody else; a server accepts every key and reports it, and the application closes what it does not want.
//! - **Order.** Messages of one connection arrive complete, once, and in order, or the connection ends. One message
//!   is one finished unidirectional stream.
//! - **Delivery.** [`LinkEvent::Delivered`] says that the peer's transport acknowledged the message and all before it.
//!   Where the peer sets [`Config::hold_max`], it acknowledges nothing that its application did not call durable
//!   ([`Link::release`]): then delivered is durable, and a receipt costs no byte.
//! - **Roaming.** A server follows its clients to new addresses, without a byte of cost: it answers to where the newest
//!   authentic packet came from, and sends at most three times the received bytes to an address until something
//!   sent there was acknowledged. Forged packets and replays move nothing; who overhears a packet and is faster with a
//!   copy gets one acknowledgement. A client expects its server where it was.
//! - **Radio sleep.** After ten seconds of silence the first message does not trust the round trip measured before, so
//!   that a radio that takes seconds to wake up is not taken for a loss.
//! - **Bounds.** What waits on either side is bounded by [`Config`]; sending fails with [`SendError::Full`] instead.
//! - **Connections last.** There is no idle timeout and no keep-alive: silence costs nothing. A peer that is gone is
//!   noticed when something is sent: a restarted server answers with a reset, an absent one not at all, and it is
//!   the application that decides how long to wait for `Delivered`.
//! - **Cost.** Every datagram is counted with its headers ([`Ledger`]).
//! - **Harm.** What is malformed, forged, repeated or too much is dropped and counted ([`Faults`]).
//!
//! # Layers
//!
//! `identity`, `config`, `cause`, `ledger`, `faults`, `event` and `error` are data. `tls` and `cid` set QUIC up, `witness` sees which
//! of a server's packets are authentic. `outbox` and `inbox` map messages to streams, `roaming` knows where the peer is,
//! `hold` keeps silence until what came is durable, `connection` joins them to one QUIC connection, `link` holds all
//! connections of a socket, and `driver` is the socket; `handle` is what an application holds of it.
//!
//! # Compatibility
//!
//! Peers agree on [`PROTOCOL`] in the handshake. Rust 1.95.

mod cause;
mod cid;
mod config;
mod connection;
mod driver;
mod error;
mod event;
mod faults;
mod handle;
mod hold;
mod identity;
mod inbox;
mod ledger;
mod link;
mod outbox;
mod roaming;
mod tls;
mod witness;

pub use cause::{Cause, MessageKind};
pub use config::{Config, MESSAGE_LEN_MAX, MESSAGE_OVERHEAD, WINDOW_BYTES_MIN};
pub use connection::ConnectionStats;
pub use driver::Driver;
pub use error::{ConnectError, SendError};
pub use event::{CloseCode, CloseReason, ConnectionId, LinkEvent, MessageId};
pub use faults::Faults;
pub use handle::{EventReceiver, Handle, HandleError, Stopped};
pub use identity::{Identity, KEY_LEN, ParseKeyError, PublicKey};
pub use ledger::{Count, IPV4_UDP_HEADER_BYTES, IPV6_UDP_HEADER_BYTES, Ledger, Traffic, ip_bytes};
pub use link::{Link, Transmit};
pub use tls::PROTOCOL;
