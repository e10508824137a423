//! A replica behind a serial line: the aggregator of one device. Sans-IO, like what it is made of.

use crdt_core::{
    Config, Connect, CountingRng, DocumentName, Heap, Moment, Output, Path, PeerId, Replica, Role, SessionId,
    UpdateError, Value, Write,
};
use transport_serial::{FRAME_LEN_MAX, Input, Link, Timing};

/// The aggregator's end of the line. It keeps its document in memory only: a real one writes to its disk at `Persist`,
/// as `runtime-cloud` does.
#[derive(Debug)]
pub(crate) struct Gateway {
    replica: Replica<Heap, CountingRng>,
    link: Link<4, 3>,
    session: Option<SessionId>,
    /// Bytes for the line.
    output: Vec<u8>,
    last_packet: Vec<u8>,
}

impl Gateway {
    pub(crate) fn new(random: u64) -> Self {
        let name = DocumentName::new("pump-42").expect("1 to 64 bytes");
        let replica = Replica::new(&name, Config::new(Role::Aggregator), CountingRng::new(random));
        let link = Link::responder(TIMING, (random >> 32) as u32);
        Self { replica, link, session: None, output: Vec::new(), last_packet: Vec::new() }
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
    pub(crate) fn receive(&mut self, now: Moment, mut bytes: &[u8]) {
        loop {
            match self.link.receive(&mut bytes) {
                Some(Input::Begun) => {
                    self.leave();
                    self.session = self.replica.connect(DOWNLINK).ok();
                }
                Some(Input::Frame(frame)) => take_frame(&mut self.replica, now, self.session, frame),
                Some(Input::Over(_)) => self.leave(),
                None => return self.work(now),
            }
        }
    }

    /// Does what is due, after an edit and every now and then.
    pub(crate) fn work(&mut self, now: Moment) {
        self.poll(now);
        // The line counts milliseconds from anywhere.
        let now_ms = now.now.map_or(0, crdt_core::Time::as_ms) as u32;
        while let Some(bytes) = self.link.poll_line(now_ms) {
            self.output.extend_from_slice(bytes);
            self.last_packet = bytes.to_vec();
        }
    }

    /// The bytes to be put on the line.
    pub(crate) fn take_output(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.output)
    }

    /// Sends a frame that is none, as a peer that breaks the protocol on purpose.
    pub(crate) fn forge(&mut self, now: Moment, frame: &[u8]) {
        self.work(now);
        // Without a connection there is nothing to break.
        self.link.send(frame).ok();
        self.work(now);
    }

    /// The packet that was put on the line last.
    pub(crate) fn last_packet(&self) -> &[u8] {
        &self.last_packet
    }

    pub(crate) fn get(&self, path: &str) -> Option<Value<'_>> {
        self.replica.document().get(Path::new(path).ok()?)
    }

    /// How often the device has measured since it started, as far as is known here.
    pub(crate) fn measurements(&self) -> i64 {
        match self.get("pump/measurements") {
            Some(Value::I64(measurements)) => measurements,
            _ => 0,
        }
    }

    pub(crate) fn replica(&self) -> &Replica<Heap, CountingRng> {
        &self.replica
    }

    fn leave(&mut self) {
        if let Some(session) = self.session.take() {
            self.replica.disconnect(session);
        }
    }

    fn poll(&mut self, now: Moment) {
        let mut frame = [0; FRAME_LEN_MAX];
        while (self.link.has_capacity() || self.replica.has_unsaved())
            && let Some(output) = self.replica.poll_output(now, &mut frame)
        {
            match output {
                // The device learns that the connection is over, and begins another.
                Output::Close { session } if self.session == Some(session) => {
                    self.session = None;
                    self.link.end();
                }
                Output::Close { .. } | Output::Event(_) => {}
                Output::Persist => {
                    let token = self.replica.take_unsaved(|_| {});
                    self.replica.handle_persisted(token);
                }
                // Of a connection that has just ended it is dropped: the next one begins anew.
                Output::Transmit { len, .. } => drop(self.link.send(&frame[..len])),
            }
        }
    }
}

/// A frame that is refused closes its session, and the replica says so by an output.
fn take_frame(
    replica: &mut Replica<Heap, CountingRng>,
    now: Moment,
    session: Option<SessionId>,
    frame: &[u8],
) {
    if let Some(session) = session {
        replica.handle_frame(now, session, frame).ok();
    }
}

const DEVICE: PeerId = PeerId([2; 32]);
const DOWNLINK: Connect = Connect::responder(DEVICE, Role::Member, 0);
/// For an emulated port, which has no speed.
const TIMING: Timing = Timing { repeat_ms: 200, repeats_max: 5 };
