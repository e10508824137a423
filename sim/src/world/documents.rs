//! The documents that a process has open: each with what waits to be given to it.
//!
//! While a document's changes are on their way to the disk nothing is given to it, so that it becomes quiet: only then
//! do its frames leave.

use std::collections::{BTreeMap, VecDeque};

use crdt_core::{
    Connect, CountingRng, Event, Heap, Output, PeerError, PeerId, Refusal, Replica, Role, SessionId,
    UpdateError, Write,
};
use transport_quic::ConnectionId;

use super::Edit;
use super::disk::Change;
use super::host::{Host, Note, UpdateId};
use super::process::Outgoing;

/// A document on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Channel {
    pub(super) conn: ConnectionId,
    pub(super) handle: u16,
}

/// What a document is given, in the order in which it came.
#[derive(Debug)]
pub(super) enum Input {
    Connect {
        channel: Channel,
        peer: PeerId,
        initiator: bool,
    },
    /// The transport delivered a frame, after which the session had sent so many claims.
    Delivered(Channel, u32),
    Disconnect(Channel),
    ForgetStable,
    Frame(Channel, Vec<u8>),
    Update(UpdateId, Vec<Edit>),
}

/// What a document wants from its process.
#[derive(Debug)]
pub(super) enum Effect {
    /// The channel is of no use any more.
    Close(Channel),
    /// The peer refuses what this side sends.
    Refused(Channel),
    /// So many more frames that came on this connection are durable.
    Release(ConnectionId, u64),
    Send(Outgoing),
    Persist(Change),
}

pub(super) struct OpenDocument {
    pub(super) replica: Replica<Heap, CountingRng>,
    inbox: VecDeque<Input>,
    sessions: BTreeMap<Channel, SessionId>,
    /// Its changes are on their way to the disk.
    is_committing: bool,
    /// Frames taken that may not be durable yet, by connection.
    taken: BTreeMap<ConnectionId, u64>,
    /// Updates of the application that no commit has taken yet.
    uncommitted: Vec<UpdateId>,
    /// Updates in the commit under way.
    committing: Vec<UpdateId>,
    /// Where frames are written before they are sent; empty while that happens.
    buffer: Vec<u8>,
}

impl OpenDocument {
    pub(super) fn new(replica: Replica<Heap, CountingRng>) -> Self {
        Self {
            replica,
            inbox: VecDeque::new(),
            sessions: BTreeMap::new(),
            is_committing: false,
            taken: BTreeMap::new(),
            uncommitted: Vec::new(),
            committing: Vec::new(),
            buffer: vec![0; FRAME_BUFFER_LEN],
        }
    }

    pub(super) fn give(&mut self, input: Input) {
        self.inbox.push_back(input);
    }

    /// Whether nothing waits here or on the way to the disk.
    pub(super) fn is_quiet(&self) -> bool {
        self.inbox.is_empty() && !self.is_committing && !self.replica.has_unsaved()
    }

    /// The commit that took its changes is durable.
    pub(super) fn committed(&mut self, change: Change, host: &mut Host<'_>) {
        self.is_committing = false;
        self.replica.handle_persisted(change.token);
        host.notes.push(Note::Durable { updates: std::mem::take(&mut self.committing) });
    }

    /// Gives the document what waits for it and takes what it wants done.
    pub(super) fn run(&mut self, host: &mut Host<'_>, effects: &mut Vec<Effect>) {
        if self.is_committing {
            return;
        }
        let durable = std::mem::take(&mut self.taken);
        while let Some(input) = self.inbox.pop_front() {
            self.take(input, host, effects);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        while let Some(output) = self.replica.poll_output(host.moment(), &mut buffer) {
            match output {
                Output::Close { session } => {
                    if let Some(channel) = self.channel(session) {
                        self.sessions.remove(&channel);
                        effects.push(Effect::Close(channel));
                    }
                }
                Output::Event(event) => self.tell(event, host, effects),
                Output::Persist => {
                    let change = Change::take(&mut self.replica);
                    self.committing.append(&mut self.uncommitted);
                    if host.sends_before_commit {
                        let token = self.replica.take_unsaved(|_| {});
                        self.replica.handle_persisted(token);
                    } else {
                        self.is_committing = true;
                    }
                    effects.push(Effect::Persist(change));
                }
                Output::Transmit { session, len } => {
                    if let Some(channel) = self.channel(session) {
                        let claims = self.replica.claims_sent(session);
                        effects.push(Effect::Send(Outgoing {
                            channel,
                            frame: buffer[..len].to_vec(),
                            claims,
                        }));
                    }
                }
            }
        }
        self.buffer = buffer;
        // What there is to say about them goes first.
        release(durable, effects);
        if !self.is_committing {
            release(std::mem::take(&mut self.taken), effects);
        }
    }

    fn take(&mut self, input: Input, host: &mut Host<'_>, effects: &mut Vec<Effect>) {
        match input {
            Input::Connect { channel, peer, initiator } => {
                let connect = if initiator {
                    Connect::initiator(peer, Role::Aggregator, channel.handle)
                } else {
                    Connect::responder(peer, Role::Member, channel.handle)
                };
                match self.replica.connect(connect) {
                    Ok(session) => {
                        self.sessions.insert(channel, session);
                        if initiator && host.wants_receipts {
                            self.replica.request_acknowledgement();
                        }
                    }
                    Err(error) => host.violation(format!("no session: {error}")),
                }
            }
            Input::Delivered(channel, claims) => {
                if let Some(&session) = self.sessions.get(&channel) {
                    self.replica.note_delivered(session, claims);
                }
            }
            Input::Disconnect(channel) => {
                if let Some(session) = self.sessions.remove(&channel) {
                    self.replica.disconnect(session);
                }
            }
            Input::ForgetStable => {
                self.replica.forget_stable(host.moment());
            }
            Input::Frame(channel, frame) => {
                *self.taken.entry(channel.conn).or_default() += 1;
                self.take_frame(channel, &frame, host, effects);
            }
            Input::Update(update, edits) => self.take_update(update, &edits, host),
        }
    }

    fn take_frame(&mut self, channel: Channel, frame: &[u8], host: &mut Host<'_>, effects: &mut Vec<Effect>) {
        let Some(&session) = self.sessions.get(&channel) else { return };
        match self.replica.handle_frame(host.moment(), session, frame) {
            // The session was closed meanwhile; a refusal has its event.
            Ok(()) | Err(PeerError::UnknownSession | PeerError::Refused(_)) => {}
            Err(error) => {
                host.violation(format!("an honest peer broke the protocol: {error}"));
                effects.push(Effect::Close(channel));
            }
        }
    }

    fn take_update(&mut self, update: UpdateId, edits: &[Edit], host: &mut Host<'_>) {
        let writes: Vec<Write<'_>> = edits.iter().map(Edit::write).collect();
        match self.replica.update(host.moment(), &writes) {
            Ok(Some(stamp)) => {
                host.counters.updates += 1;
                self.uncommitted.push(update);
                host.notes.push(Note::Written { update, stamp });
                if host.wants_receipts {
                    self.replica.request_acknowledgement();
                }
            }
            // Nothing to delete, or the same value again.
            Ok(None) => {}
            Err(UpdateError::Capacity(error)) => {
                host.violation(format!("no capacity for an update: {error}"));
            }
            Err(error) => host.violation(format!("an update was refused: {error}")),
        }
    }

    fn tell(&mut self, event: Event, host: &mut Host<'_>, effects: &mut Vec<Effect>) {
        let document = self.replica.name().clone();
        match event {
            Event::Acknowledged { through, .. } => {
                host.notes.push(Note::Acknowledged { document, replica: self.replica.id(), through });
            }
            Event::Damaged { .. } => {
                host.violation(format!("{document}: fingerprints differ under equal vectors"));
            }
            Event::Forked { from, to } => {
                host.counters.forks += 1;
                host.notes.push(Note::Forked { document, from, to });
            }
            Event::LateWrite { original, reissued } => {
                host.counters.late_writes += 1;
                host.notes.push(Note::LateWrite { document, original, reissued });
            }
            Event::Refused { session, reason } => {
                host.counters.refusals += 1;
                if !matches!(reason, Refusal::Clock { .. }) {
                    host.violation(format!("{document}: refused by an honest peer: {reason}"));
                }
                if let Some(channel) = self.channel(session) {
                    effects.push(Effect::Refused(channel));
                }
            }
            Event::ShortBuffer { len, .. } => {
                host.violation(format!("{document}: a frame does not fit into {len} bytes"));
            }
            // The peer has its own event, or there is nothing to be done.
            _ => {}
        }
    }

    fn channel(&self, session: SessionId) -> Option<Channel> {
        self.sessions.iter().find(|(_, open)| **open == session).map(|(channel, _)| *channel)
    }
}

fn release(frames: BTreeMap<ConnectionId, u64>, effects: &mut Vec<Effect>) {
    effects.extend(frames.into_iter().map(|(conn, frames)| Effect::Release(conn, frames)));
}

/// Buffer for the longest cell, in bytes.
const FRAME_BUFFER_LEN: usize = 8 * 1024;
