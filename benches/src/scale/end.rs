//! A replica in heap storage with a clock, and a driver whose disk takes no time.

use crdt_core::{
    Config, Connect, CountingRng, DocumentName, Event, Heap, Moment, Output, Path, PeerId, Replica, Role,
    SessionId, Write,
};

/// One side of conversations.
pub struct End {
    /// The replica.
    pub replica: Replica<Heap, CountingRng>,
    /// Its key.
    pub peer: PeerId,
    /// Its clock, in milliseconds since 1970.
    pub now_ms: u64,
    /// Longest frame that it sends, in bytes.
    pub frame_len: usize,
    /// What it told since somebody looked.
    pub events: Vec<Event>,
}

impl End {
    /// A new replica; `n` tells it from others.
    ///
    /// # Errors
    /// Never: the name is one.
    pub fn new(n: u64, role: Role) -> anyhow::Result<Self> {
        let name = DocumentName::new("scale")?;
        Ok(Self::of(Replica::new(&name, Config::new(role), CountingRng::new(n + 1)), n))
    }

    /// A replica that was loaded.
    #[must_use]
    pub fn of(replica: Replica<Heap, CountingRng>, n: u64) -> Self {
        let mut key = [0; 32];
        key[..8].copy_from_slice(&n.to_le_bytes());
        Self {
            replica,
            peer: PeerId(key),
            now_ms: 1_790_000_000_000,
            frame_len: 16 * 1024,
            events: Vec::new(),
        }
    }

    /// Now.
    pub fn moment(&self) -> Moment {
        Moment::new(self.now_ms)
    }

    /// Opens a session with another one.
    ///
    /// # Errors
    /// Without capacity for another session.
    pub fn connect(&mut self, peer: PeerId, initiator: bool) -> anyhow::Result<SessionId> {
        let connect = if initiator {
            Connect::initiator(peer, Role::Aggregator, 0)
        } else {
            Connect::responder(peer, Role::Member, 0)
        };
        Ok(self.replica.connect(connect)?)
    }

    /// Writes one integer.
    ///
    /// # Errors
    /// As [`Replica::update`].
    pub fn write(&mut self, at: &str, value: i64) -> anyhow::Result<()> {
        let moment = self.moment();
        self.replica.update(moment, &[Write::set(Path::new(at)?, value)])?;
        Ok(())
    }

    /// Everything that there is to be sent now; what is unsaved is saved.
    pub fn frames(&mut self) -> Vec<(SessionId, Vec<u8>)> {
        let mut frames = Vec::new();
        let mut buffer = vec![0; self.frame_len];
        loop {
            let moment = self.moment();
            let Some(output) = self.replica.poll_output(moment, &mut buffer) else { return frames };
            match output {
                Output::Persist => {
                    let token = self.replica.take_unsaved(|_| {});
                    self.replica.handle_persisted(token);
                }
                Output::Transmit { session, len } => frames.push((session, buffer[..len].to_vec())),
                Output::Event(event) => self.events.push(event),
                Output::Close { .. } => {}
            }
        }
    }

    /// Takes a frame.
    ///
    /// # Errors
    /// As [`Replica::handle_frame`].
    pub fn take(&mut self, session: SessionId, frame: &[u8]) -> anyhow::Result<()> {
        let moment = self.moment();
        Ok(self.replica.handle_frame(moment, session, frame)?)
    }
}

/// Frames to and fro between two ends in session until neither has anything to send.
///
/// # Errors
/// As [`End::take`].
pub fn settle(
    (device, up): (&mut End, SessionId),
    (cloud, down): (&mut End, SessionId),
) -> anyhow::Result<()> {
    loop {
        let (sent, answered) = (device.frames(), cloud.frames());
        if sent.is_empty() && answered.is_empty() {
            return Ok(());
        }
        sent.iter().try_for_each(|(_, frame)| cloud.take(down, frame))?;
        answered.iter().try_for_each(|(_, frame)| device.take(up, frame))?;
    }
}
