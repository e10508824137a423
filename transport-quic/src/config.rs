//! The settings of a link, and the QUIC parameters that follow from them.

use std::sync::Arc;
use std::time::Duration;

use quinn_proto::{TransportConfig, VarInt};

/// Longest message, in bytes.
pub const MESSAGE_LEN_MAX: usize = 64 * 1024;

/// What a queued message counts beside its own bytes, in bytes: without it a million empty messages would be free.
pub const MESSAGE_OVERHEAD: usize = 64;

/// Least value of both windows, in bytes. A longest message and its overhead fit in.
pub const WINDOW_BYTES_MIN: u32 = 2 * MESSAGE_LEN_MAX as u32;

/// The settings of a link. Every value is valid; those outside the stated range count as its nearer end.
///
/// What is not here is fixed, because on a metered link each of them costs bytes: no path-MTU discovery, no
/// idle timeout, no ECN, no session tickets and no address tokens. Connections last until somebody
/// closes them; a server ends the ones it no longer needs.
///
/// ```
/// use transport_quic::Config;
///
/// let config = Config { handshake_timeout: std::time::Duration::from_secs(20), ..Config::cat_m1() };
/// assert_eq!(config.initial_rtt.as_secs(), 3);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// The round trip to expect before the first one is measured; 1 ms to 60 s. A handshake packet is repeated after
    /// three times this. Too low a value sends 1.2 kB copies of packets that are only late.
    pub initial_rtt: Duration,
    /// How long a handshake may take, on either side, before it is given up; 1 ms to 1 h.
    pub handshake_timeout: Duration,
    /// Messages the peer may have on the way at once; 1 to 65,535. More costs memory for each connection (18 kB at
    /// 16, 30 kB at 256, 69 kB at 1024), less costs bytes (151, 134 and 132 bytes a message): the credit comes back
    /// in frames of its own.
    pub message_credit: u16,
    /// Bytes that a peer may have sent and that the application has not taken yet, for each connection; at least
    /// 128 KiB. This bounds what a connection can make this side remember.
    pub receive_window_bytes: u32,
    /// Bytes that wait in this side until the peer has acknowledged them, for each connection; at least 128 KiB.
    /// Each message counts 64 bytes more than it has. Beyond it, sending fails with [`SendError::Full`].
    ///
    /// [`SendError::Full`]: crate::SendError::Full
    pub send_window_bytes: u32,
    /// Connections that a server has open at once. More are refused, and the peer is told.
    pub connections_max: u32,
    /// After so long a silence a packet asks whether the peer is still there, which also keeps the mapping of a NAT
    /// alive, so that the peer can reach this side. `None`, the default, sends none: each costs about 110 bytes, 10 MB a
    /// month at every 30 s. At least 1 s.
    pub keep_alive: Option<Duration>,
    /// Handshakes that a server has under way at once. More are ignored; the peer repeats its first packet later.
    pub handshakes_max: u32,
    /// Makes this side's acknowledgements receipts: a connection transmits nothing while a message that came on it
    /// waits for [`Link::release`](crate::Link::release), which the application calls once the message is durable.
    /// So what the peer hears of as delivered is durable here. Where there is no progress for this long, the
    /// connection is closed with [`CloseCode::Overloaded`](crate::CloseCode::Overloaded) and nothing more is
    /// acknowledged; until then the peer repeats what it sent at growing intervals, some 900 bytes in 30 s. `None`
    /// acknowledges what arrives.
    pub hold_max: Option<Duration>,
}

impl Config {
    /// For LTE Cat-M1 and for anything faster: a round trip of up to 3 s before the first measurement.
    #[must_use]
    pub const fn cat_m1() -> Self {
        Self {
            initial_rtt: Duration::from_secs(3),
            handshake_timeout: Duration::from_secs(60),
            message_credit: 256,
            receive_window_bytes: 256 * 1024,
            send_window_bytes: 256 * 1024,
            connections_max: 65_536,
            handshakes_max: 4_096,
            hold_max: None,
            keep_alive: None,
        }
    }

    /// For NB-IoT at poor coverage: a round trip of up to 10 s before the first measurement, and time for two
    /// repetitions of a handshake packet.
    #[must_use]
    pub const fn nb_iot() -> Self {
        Self {
            initial_rtt: Duration::from_secs(10),
            handshake_timeout: Duration::from_secs(180),
            ..Self::cat_m1()
        }
    }

    /// How long the first packet of a handshake waits for an answer before it is repeated: three times
    /// [`initial_rtt`](Self::initial_rtt).
    #[must_use]
    pub fn handshake_repetition(&self) -> Duration {
        3 * self.in_range().initial_rtt
    }

    /// The same settings with each value in its range.
    pub(crate) fn in_range(self) -> Self {
        Self {
            initial_rtt: self.initial_rtt.clamp(Duration::from_millis(1), Duration::from_secs(60)),
            handshake_timeout: self
                .handshake_timeout
                .clamp(Duration::from_millis(1), Duration::from_secs(3600)),
            message_credit: self.message_credit.max(1),
            keep_alive: self.keep_alive.map(|pause| pause.max(Duration::from_secs(1))),
            receive_window_bytes: self.receive_window_bytes.max(WINDOW_BYTES_MIN),
            send_window_bytes: self.send_window_bytes.max(WINDOW_BYTES_MIN),
            ..self
        }
    }

    pub(crate) fn transport(&self) -> Arc<TransportConfig> {
        let mut transport = TransportConfig::default();
        transport
            // Probing for a larger packet size costs megabytes a month where the address changes often.
            .mtu_discovery_config(None)
            .max_idle_timeout(None)
            .keep_alive_interval(self.keep_alive)
            .initial_rtt(self.initial_rtt)
            .max_concurrent_uni_streams(self.message_credit.into())
            .max_concurrent_bidi_streams(0_u8.into())
            // The window of a connection bounds its streams too. A stream window above it is never used up, so it
            // needs no frame to be renewed.
            .stream_receive_window(VarInt::from_u32(self.receive_window_bytes.saturating_mul(2)))
            .receive_window(VarInt::from_u32(self.receive_window_bytes))
            .send_window(self.send_window_bytes.into())
            // Messages leave one after the other. Shared turns would only make the first one arrive later.
            .send_fairness(false)
            // Nobody reads unreliable datagrams here, so nobody may fill memory with them.
            .datagram_receive_buffer_size(None)
            .enable_segmentation_offload(false);
        Arc::new(transport)
    }
}

impl Default for Config {
    /// [`Config::cat_m1`].
    fn default() -> Self {
        Self::cat_m1()
    }
}
