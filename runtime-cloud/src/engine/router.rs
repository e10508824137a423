//! Connections: whose they are, what their handles mean, and what waits to be sent on them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crdt_core::Time;
use transport_quic::{ConnectionId, MESSAGE_OVERHEAD, MessageId, PublicKey};

use crate::limits::{OUTBOX_BYTES_MAX, OUTBOX_TOTAL_BYTES_MAX, STALLED_AFTER};

/// All open connections.
#[derive(Debug, Default)]
pub(super) struct Router {
    connections: BTreeMap<ConnectionId, Connection>,
    /// The connection of each key: a device has one at a time.
    by_key: BTreeMap<PublicKey, ConnectionId>,
    /// The sum over all outboxes.
    outbox_bytes: usize,
    /// What the transport lets one connection have under way.
    window_bytes: usize,
}

/// One connection of an allowed device.
///
/// What is handed to the transport counts until it is delivered, just as the transport counts it; so it never refuses
/// a frame for lack of capacity, and what waits here waits in order.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) key: PublicKey,
    pub(super) since: Time,
    /// The documents that the device opened, by the number it gave them.
    pub(super) handles: BTreeMap<u16, Arc<str>>,
    /// Numbers of documents that the device may not open.
    pub(super) refused: BTreeSet<u16>,
    next_message: MessageId,
    /// What each message counts that was not delivered yet.
    sent: BTreeMap<MessageId, usize>,
    sent_bytes: usize,
    outbox: VecDeque<Vec<u8>>,
    outbox_bytes: usize,
    /// When something was delivered, or began to wait.
    progress_at: Time,
}

/// What became of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Queued {
    /// The connection is gone.
    Gone,
    /// It is to be sent now.
    Now(Vec<u8>),
    /// More waits than may.
    TooMuch {
        /// Bytes that wait on this connection.
        waiting: usize,
    },
    /// It waits.
    Waits,
}

impl Router {
    pub(super) fn new(window_bytes: usize) -> Self {
        Self { window_bytes, ..Self::default() }
    }

    /// A device came. Gives the connection that it had before.
    pub(super) fn connect(&mut self, now: Time, conn: ConnectionId, key: PublicKey) -> Option<ConnectionId> {
        let connection = Connection {
            key,
            since: now,
            handles: BTreeMap::new(),
            refused: BTreeSet::new(),
            next_message: MessageId(0),
            sent: BTreeMap::new(),
            sent_bytes: 0,
            outbox: VecDeque::new(),
            outbox_bytes: 0,
            progress_at: now,
        };
        self.connections.insert(conn, connection);
        self.by_key.insert(key, conn)
    }

    pub(super) fn remove(&mut self, conn: ConnectionId) -> Option<Connection> {
        let connection = self.connections.remove(&conn)?;
        self.outbox_bytes -= connection.outbox_bytes;
        if self.by_key.get(&connection.key) == Some(&conn) {
            self.by_key.remove(&connection.key);
        }
        Some(connection)
    }

    pub(super) fn get_mut(&mut self, conn: ConnectionId) -> Option<&mut Connection> {
        self.connections.get_mut(&conn)
    }

    /// Takes a frame to be sent after those that wait.
    pub(super) fn queue(&mut self, now: Time, conn: ConnectionId, frame: Vec<u8>) -> Queued {
        let Some(connection) = self.connections.get_mut(&conn) else { return Queued::Gone };
        if connection.outbox.is_empty() && connection.has_capacity(frame.len(), self.window_bytes) {
            connection.note_sent(frame.len());
            return Queued::Now(frame);
        }
        let cost = frame.len() + MESSAGE_OVERHEAD;
        let waiting = connection.outbox_bytes + cost;
        if waiting > OUTBOX_BYTES_MAX || self.outbox_bytes + cost > OUTBOX_TOTAL_BYTES_MAX {
            return Queued::TooMuch { waiting };
        }
        if connection.outbox.is_empty() {
            connection.progress_at = now;
        }
        connection.outbox.push_back(frame);
        connection.outbox_bytes = waiting;
        self.outbox_bytes += cost;
        Queued::Waits
    }

    /// A message was delivered; gives the frames that there is capacity for now.
    pub(super) fn delivered(&mut self, now: Time, conn: ConnectionId, id: MessageId) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let Some(connection) = self.connections.get_mut(&conn) else { return frames };
        connection.progress_at = now;
        connection.sent_bytes -= connection.sent.remove(&id).unwrap_or(0);
        while let Some(frame) = connection.outbox.front()
            && connection.has_capacity(frame.len(), self.window_bytes)
            && let Some(frame) = connection.outbox.pop_front()
        {
            connection.outbox_bytes -= frame.len() + MESSAGE_OVERHEAD;
            self.outbox_bytes -= frame.len() + MESSAGE_OVERHEAD;
            connection.note_sent(frame.len());
            frames.push(frame);
        }
        frames
    }

    /// Connections that have frames waiting and deliver nothing.
    pub(super) fn stalled(&self, now: Time) -> Vec<ConnectionId> {
        let limit_ms = STALLED_AFTER.as_millis() as u64;
        let is_stalled = |connection: &Connection| {
            !connection.outbox.is_empty()
                && now.as_ms().saturating_sub(connection.progress_at.as_ms()) > limit_ms
        };
        self.connections
            .iter()
            .filter(|(_, connection)| is_stalled(connection))
            .map(|(&conn, _)| conn)
            .collect()
    }

    pub(super) fn of_key(&self, key: PublicKey) -> Option<ConnectionId> {
        self.by_key.get(&key).copied()
    }

    pub(super) fn connections(&self) -> impl ExactSizeIterator<Item = (ConnectionId, &Connection)> {
        self.connections.iter().map(|(&conn, connection)| (conn, connection))
    }

    pub(super) fn outbox_bytes(&self) -> usize {
        self.outbox_bytes
    }
}

impl Connection {
    /// Bytes that wait here or are not delivered yet.
    pub(super) fn unsent_bytes(&self) -> usize {
        self.sent_bytes + self.outbox_bytes
    }

    fn has_capacity(&self, len: usize, window_bytes: usize) -> bool {
        self.sent_bytes + len + MESSAGE_OVERHEAD <= window_bytes
    }

    fn note_sent(&mut self, len: usize) {
        let cost = len + MESSAGE_OVERHEAD;
        self.sent.insert(self.next_message, cost);
        self.sent_bytes += cost;
        self.next_message.0 += 1;
    }
}

#[cfg(test)]
mod tests {
    use transport_quic::{Config, Identity, Link};

    use super::*;

    const NOW: Time = Time::from_clock_ms(1_000);

    fn conns(count: u16) -> Vec<ConnectionId> {
        let mut link = Link::client(Identity::from_bytes([1; 32]), Config::cat_m1(), [1; 32]);
        let key = Identity::from_bytes([2; 32]).public_key();
        let now = std::time::Instant::now();
        (1..=count).map(|port| link.connect(now, ([127, 0, 0, 1], port).into(), key).unwrap()).collect()
    }

    #[test]
    fn frames_wait_for_deliveries_and_keep_their_order() {
        let conn = conns(1)[0];
        let mut router = Router::new(3 * (10 + MESSAGE_OVERHEAD));
        assert_eq!(router.queue(NOW, conn, vec![0; 10]), Queued::Gone);
        assert_eq!(router.connect(NOW, conn, PublicKey([1; 32])), None);
        for number in 0..3 {
            assert_eq!(router.queue(NOW, conn, vec![number; 10]), Queued::Now(vec![number; 10]));
        }
        assert_eq!(router.queue(NOW, conn, vec![3; 10]), Queued::Waits);
        assert_eq!(router.queue(NOW, conn, vec![4; 1]), Queued::Waits, "a short one does not overtake");
        assert_eq!(router.outbox_bytes(), 11 + 2 * MESSAGE_OVERHEAD);
        assert_eq!(router.delivered(NOW, conn, MessageId(1)), [vec![3; 10]]);
        assert_eq!(router.delivered(NOW, conn, MessageId(1)), Vec::<Vec<u8>>::new(), "told twice");
        assert_eq!(router.delivered(NOW, conn, MessageId(0)), [vec![4; 1]]);
        assert_eq!(router.outbox_bytes(), 0);
    }

    #[test]
    fn what_waits_is_bounded() {
        let conn = conns(1)[0];
        let mut router = Router::new(0);
        router.connect(NOW, conn, PublicKey([1; 32]));
        let frame = vec![0; 1 << 20];
        let refused = std::iter::repeat_with(|| router.queue(NOW, conn, frame.clone()))
            .take(OUTBOX_BYTES_MAX >> 19)
            .find(|queued| *queued != Queued::Waits);
        assert!(matches!(refused, Some(Queued::TooMuch { waiting }) if waiting > OUTBOX_BYTES_MAX));
        let connection = router.remove(conn).unwrap();
        assert!(connection.outbox_bytes <= OUTBOX_BYTES_MAX);
        assert_eq!(router.outbox_bytes(), 0);
    }

    #[test]
    fn a_connection_that_delivers_nothing_is_found() {
        let [idle, slow] = conns(2)[..] else { panic!() };
        let mut router = Router::new(100);
        router.connect(NOW, idle, PublicKey([1; 32]));
        router.connect(NOW, slow, PublicKey([2; 32]));
        assert!(matches!(router.queue(NOW, idle, vec![1]), Queued::Now(_)));
        assert!(matches!(router.queue(NOW, slow, vec![1]), Queued::Now(_)));
        assert_eq!(router.queue(NOW, slow, vec![2; 90]), Queued::Waits);
        let later = Time::from_clock_ms(NOW.as_ms() + STALLED_AFTER.as_millis() as u64 + 1);
        assert_eq!(router.stalled(NOW), []);
        assert_eq!(router.stalled(later), [slow]);
    }

    #[test]
    fn a_newer_connection_of_a_key_takes_the_place_of_the_older_one() {
        let [old, new] = conns(2)[..] else { panic!() };
        let key = PublicKey([1; 32]);
        let mut router = Router::new(100);
        assert_eq!(router.connect(NOW, old, key), None);
        assert_eq!(router.connect(NOW, new, key), Some(old));
        router.remove(old);
        assert_eq!(router.of_key(key), Some(new), "the end of the old one is not the end of the new one");
    }
}
