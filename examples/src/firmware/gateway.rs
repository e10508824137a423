//! A replica behind a serial line: the aggregator of one device. Sans-IO, like what it is made of.

use crdt_core::{
    Config, Connect, DocumentName, Heap, Moment, Output, Path, PeerId, Replica, ReplicaId, Role, SessionId,
    UpdateError, Value, Write,
};
use device_io::{FRAME_LEN_MAX, Input, Link};

/// The aggregator's end of the line. It keeps its document in memory only: a real one writes to its disk at `Persist`,
/// as `runtime-cloud` does.
#[derive(Debug)]
pub(crate) struct Gateway {
    replica: Replica<Heap>,
    link: Link,
    session: Option<SessionId>,
    /// When there was last nothing to wait for, in milliseconds since 1970.
    content_at_ms: u64,
    /// Bytes for the line.
    output: Vec<u8>,
}

impl Gateway {
    pub(crate) fn new(random: u64) -> Self {
        let name = DocumentName::new("pump-42").expect("1 to 64 bytes");
        let replica = Replica::new(&name, ReplicaId::new(random), Config::new(Role::Aggregator));
        Self { replica, link: Link::responder(), session: None, content_at_ms: 0, output: Vec::new() }
    }

    /// Writes a value, and asks the device to tell when it has it.
    ///
    /// # Errors
    /// [`UpdateError`]; nothing has changed then.
    pub(crate) fn set<'a>(
        &mut self,
        now: Moment,
        path: &'a str,
        value: impl Into<Value<'a>>,
    ) -> Result<(), UpdateError> {
        let path = Path::new(path).expect("the paths of this program are paths");
        self.replica.update(now, &[Write::set(path, value)])?;
        self.replica.request_acknowledgement();
        Ok(())
    }

    /// Takes bytes off the line.
    pub(crate) fn receive(&mut self, now: Moment, bytes: &[u8]) {
        for byte in bytes {
            match self.link.receive(*byte) {
                Some(Input::Begin(frame)) => {
                    if let Some(session) = self.session.take() {
                        self.replica.disconnect(session);
                    }
                    self.session = self.replica.connect(DOWNLINK).ok();
                    take_frame(&mut self.replica, now, self.session, frame);
                }
                Some(Input::Frame(frame)) => take_frame(&mut self.replica, now, self.session, frame),
                Some(Input::Over) => self.begin_again(),
                None => {}
            }
            self.poll(now);
        }
    }

    /// Does what is due, after an edit and every now and then.
    pub(crate) fn work(&mut self, now: Moment) {
        self.poll(now);
        let now_ms = now.now.map_or(0, crdt_core::Time::as_ms);
        if self.replica.is_connected(DEVICE) && self.is_delivered() {
            self.content_at_ms = now_ms;
        }
        if now_ms.saturating_sub(self.content_at_ms) > PATIENCE_MS {
            self.content_at_ms = now_ms;
            self.begin_again();
        }
    }

    /// The bytes to be put on the line.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// What the line would carry for a frame that is none: for a peer that breaks the protocol on purpose.
    pub(crate) fn forge(&mut self, frame: &[u8]) -> Vec<u8> {
        self.link.send(frame).map(<[u8]>::to_vec).unwrap_or_default()
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value<'_>> {
        self.replica.document().get(Path::new(path).ok()?)
    }

    /// The time of the device's newest write that is here, in milliseconds, as its own clock has it.
    pub(crate) fn device_time_ms(&self) -> u64 {
        let own = self.replica.id();
        let others = self.replica.document().version_vector().iter().filter(|entry| entry.replica != own);
        others.map(|entry| entry.time.as_ms()).max().unwrap_or(0)
    }

    pub(crate) fn replica(&self) -> &Replica<Heap> {
        &self.replica
    }

    fn is_delivered(&self) -> bool {
        let replica = &self.replica;
        replica.acknowledged_through(DEVICE) >= replica.document().version_vector().time_of(replica.id())
    }

    fn begin_again(&mut self) {
        if let Some(session) = self.session.take() {
            self.replica.disconnect(session);
        }
        self.output.extend_from_slice(self.link.end());
    }

    fn poll(&mut self, now: Moment) {
        let mut frame = [0; FRAME_LEN_MAX];
        while let Some(output) = self.replica.poll_output(now, &mut frame) {
            match output {
                Output::Close { session } if self.session == Some(session) => self.begin_again(),
                Output::Close { .. } | Output::Event(_) => {}
                Output::Persist(token) => {
                    self.replica.take_unsaved(|_| {});
                    self.replica.handle_persisted(token);
                }
                Output::Transmit { len, .. } => {
                    let line = self.link.send(&frame[..len]).expect("it fits the buffer it was written to");
                    self.output.extend_from_slice(line);
                }
            }
        }
    }
}

/// A frame that is refused closes its session, and the replica says so by an output.
fn take_frame(replica: &mut Replica<Heap>, now: Moment, session: Option<SessionId>, frame: &[u8]) {
    if let Some(session) = session {
        replica.handle_frame(now, session, frame).ok();
    }
}

const DEVICE: PeerId = PeerId([2; 32]);
const DOWNLINK: Connect =
    Connect { peer: DEVICE, with_aggregator: false, initiator: false, confirmed: true, handle: 0 };
/// How long an edit may go without acknowledgement before the device is told to begin again.
const PATIENCE_MS: u64 = 500;
