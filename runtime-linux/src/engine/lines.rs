//! Devices on lines: each has sessions of its own with documents of this edge.
//!
//! To a device the edge is what the aggregator is to the edge: it opens, and the edge answers; what the edge acknowledges
//! is on the edge's disk. To the edge a device is another member: the documents that devices may open are
//! [meshes](crdt_core::Role::Mesh).

use control::LogLimit;
use crdt_core::{Connect, Event, PeerId, Refusal, Role, SessionId, peek_handle, peek_open, write_refusal};
use transport_serial::Counters;

use super::{Engine, Output};
use crate::clock::Now;
use crate::status::LineStatus;

/// A line of an edge: its place among those that the edge was opened with, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LineIndex(pub usize);

/// What a line is made of.
#[derive(Clone, Debug)]
pub struct LineParts {
    /// What it is called in the status and the log.
    pub name: String,
    /// Names the device to the documents; the same at each start.
    pub peer: PeerId,
    /// The documents that the device may open, by their index.
    pub documents: Vec<usize>,
}

/// What happened on a line.
#[derive(Debug)]
pub enum LineInput {
    /// A connection is open, instead of the one before.
    Begun,
    /// What the line has counted since somebody was last at its other end.
    Counted(Counters),
    /// The port cannot be used now; it is tried again.
    Failed(String),
    /// A frame of the connection.
    Frame(Vec<u8>),
    /// The port can be used.
    Listening,
    /// The connection is over.
    Over,
    /// So many frames went on, or were dropped with their connection: there is capacity for others.
    Sent(usize),
}

/// A line with what is open on it.
#[derive(Debug)]
pub(super) struct Line {
    parts: LineParts,
    sessions: Vec<LineSession>,
    /// Frames that the line takes now.
    capacity: usize,
    is_open: bool,
    /// How many there were.
    connection: u64,
    problem: Option<String>,
    /// A port that opens and fails in turn does not fill the log.
    failures: LogLimit,
    counters: Counters,
}

/// A document that is open on a line.
#[derive(Clone, Copy, Debug)]
struct LineSession {
    /// The document's number on the line, chosen by the device.
    handle: u16,
    document: usize,
    id: SessionId,
}

impl Line {
    pub(super) fn new(parts: LineParts) -> Self {
        Self {
            parts,
            sessions: Vec::new(),
            capacity: LINE_FRAMES_MAX,
            is_open: false,
            connection: 0,
            problem: None,
            failures: LogLimit::default(),
            counters: Counters::default(),
        }
    }
}

impl Engine {
    /// Takes what happened on a line.
    pub fn handle_line(&mut self, now: Now, line: LineIndex, input: LineInput) {
        let Some(state) = self.lines.get_mut(line.0).filter(|_| self.failed.is_none()) else { return };
        match input {
            LineInput::Begun => {
                tracing::info!(line = state.parts.name, "a device is on the line");
                (state.is_open, state.problem) = (true, None);
                state.connection += 1;
                self.leave_line(line);
            }
            LineInput::Counted(counters) => state.counters = counters,
            LineInput::Failed(text) => {
                let is_news = state.problem.as_ref() != Some(&text);
                if is_news && let Some(times) = state.failures.note(now.at) {
                    tracing::error!(
                        line = state.parts.name,
                        text,
                        times,
                        "the line cannot be used; it is tried again"
                    );
                }
                state.problem = Some(text);
            }
            LineInput::Frame(frame) => self.handle_line_frame(now, line, &frame),
            LineInput::Listening => state.problem = None,
            LineInput::Over => {
                state.is_open = false;
                self.leave_line(line);
            }
            LineInput::Sent(frames) => {
                state.capacity += frames;
                self.tell_room(line);
            }
        }
    }

    pub(super) fn line_status(&self) -> Vec<LineStatus> {
        let status = |line: &Line| LineStatus {
            line: line.parts.name.clone(),
            documents: line.parts.documents.iter().map(|index| self.name_of(*index)).collect(),
            open: line.is_open,
            problem: line.problem.clone(),
            frames_received: line.counters.frames_in,
            frames_sent: line.counters.frames_out,
            frames_repeated: line.counters.repeated,
            packets_dropped: [
                line.counters.damaged,
                line.counters.too_long,
                line.counters.malformed,
                line.counters.stale,
                line.counters.duplicate,
                line.counters.unwelcome,
            ]
            .into_iter()
            .fold(0, u32::saturating_add),
        };
        self.lines.iter().map(status).collect()
    }

    /// A document wants to say something in a session: true if that is on a line.
    pub(super) fn send_on_line(&mut self, session: SessionId, document: usize, len: usize) -> bool {
        let Some(line) = self.line_of(session, document) else { return false };
        let frame = self.buffer[..len].to_vec();
        self.put_on_line(line, frame);
        true
    }

    /// A document is done with a session: true if that was on a line.
    pub(super) fn close_on_line(&mut self, session: SessionId, document: usize) -> bool {
        let Some(line) = self.line_of(session, document) else { return false };
        let state = &mut self.lines[line.0];
        state.sessions.retain(|open| open.id != session || open.document != document);
        // The device begins anew, with all its documents.
        self.end_line(line);
        true
    }

    /// An event of a session with a device, or of what a device has acknowledged: true if it was one.
    pub(super) fn handle_line_event(&mut self, document: usize, event: &Event) -> bool {
        let (session, what) = match event {
            Event::Acknowledged { peer, .. } => {
                return self.lines.iter().any(|line| line.parts.peer == *peer);
            }
            Event::Converged { session } => (*session, None),
            Event::Damaged { session } => {
                (*session, Some("its copy differs although it should not; both repair it".to_owned()))
            }
            Event::Refused { session, reason, .. } => {
                (*session, Some(format!("it refuses what it was sent: {reason}")))
            }
            Event::RefusedPeer { session, reason, .. } => {
                (*session, Some(format!("what it sent was refused: {reason}")))
            }
            Event::ShortBuffer { session, needed, .. } => {
                (*session, Some(format!("a cell of {needed} bytes does not fit into its frames")))
            }
            _ => return false,
        };
        if self.documents[document].last_session == Some(session) {
            return false;
        }
        // Of a connection that is over already, it concerns nobody.
        let Some(line) = self.line_of(session, document) else { return true };
        if let Some(text) = what {
            let (document, line) = (self.name_of(document), &mut self.lines[line.0]);
            tracing::warn!(line = line.parts.name, document, text, "the device on the line");
            line.problem = Some(format!("{document}: {text}"));
        }
        true
    }

    /// Ends what is open on all lines.
    pub(super) fn end_lines(&mut self) {
        for index in 0..self.lines.len() {
            self.end_line(LineIndex(index));
        }
    }

    fn handle_line_frame(&mut self, now: Now, line: LineIndex, frame: &[u8]) {
        let moment = self.moment(now);
        let state = &self.lines[line.0];
        if !state.is_open {
            return;
        }
        let known =
            peek_handle(frame).and_then(|handle| state.sessions.iter().find(|open| open.handle == handle));
        let open = match known.copied() {
            Some(open) => open,
            None => match self.open_on_line(line, frame) {
                Some(open) => open,
                None => return,
            },
        };
        let hosted = &mut self.documents[open.document];
        let floor = hosted.replica.document().floor().clone();
        hosted.look_before_device();
        if let Err(error) = hosted.replica.handle_frame(moment, open.id, frame) {
            // The replica says what is left to be said, and then wants the session closed.
            tracing::warn!(line = self.lines[line.0].parts.name, %error, "the device sent what this side does not take");
            self.lines[line.0].problem = Some(error.to_string());
        }
        let hosted = &mut self.documents[open.document];
        if *hosted.replica.document().floor() != floor {
            hosted.forgotten_at = hosted.replica.document().seq();
        }
        self.note_writes_of_device(now, open.document);
    }

    /// The first frame of a handle: names the document.
    fn open_on_line(&mut self, line: LineIndex, frame: &[u8]) -> Option<LineSession> {
        let Some((handle, name)) = peek_open(frame) else {
            tracing::warn!(
                line = self.lines[line.0].parts.name,
                "a frame of a document that was never opened"
            );
            self.end_line(line);
            return None;
        };
        let parts = &self.lines[line.0].parts;
        let served = |index: &&usize| self.documents[**index].replica.name().as_str() == name;
        let Some(document) = parts.documents.iter().find(served).copied() else {
            let names: Vec<_> = parts.documents.iter().map(|index| self.name_of(*index)).collect();
            let text =
                format!("the device asks for the document {name:?}; this line serves {}", names.join(", "));
            tracing::error!(line = parts.name, text);
            self.lines[line.0].problem = Some(text);
            if let Some(len) = write_refusal(handle, Refusal::Access, &mut self.buffer) {
                let frame = self.buffer[..len].to_vec();
                self.put_on_line(line, frame);
            }
            return None;
        };
        let peer = parts.peer;
        let connect = Connect::responder(peer, Role::Member, handle);
        match self.documents[document].replica.connect(connect) {
            Ok(id) => {
                let open = LineSession { handle, document, id };
                let state = &mut self.lines[line.0];
                // One session a document: the replica has just closed the one before.
                state.sessions.retain(|other| other.document != document);
                state.sessions.push(open);
                self.tell_room(line);
                Some(open)
            }
            Err(error) => {
                tracing::error!(line = self.lines[line.0].parts.name, %error, "the device's document is not opened");
                self.lines[line.0].problem = Some(error.to_string());
                self.end_line(line);
                None
            }
        }
    }

    fn put_on_line(&mut self, line: LineIndex, frame: Vec<u8>) {
        let state = &mut self.lines[line.0];
        let Some(capacity) = state.capacity.checked_sub(1) else { return };
        state.capacity = capacity;
        let connection = state.connection;
        self.outputs.push_back(Output::SendOnLine { line, connection, frame });
        self.tell_room(line);
    }

    /// Documents are asked for frames on a line only while it takes some.
    fn tell_room(&mut self, line: LineIndex) {
        let state = &self.lines[line.0];
        for open in &state.sessions {
            self.documents[open.document].replica.set_capacity(open.id, state.capacity > 0);
        }
    }

    fn end_line(&mut self, line: LineIndex) {
        self.leave_line(line);
        let state = &mut self.lines[line.0];
        state.is_open = false;
        let connection = state.connection;
        self.outputs.push_back(Output::EndLine { line, connection });
    }

    fn leave_line(&mut self, line: LineIndex) {
        for open in std::mem::take(&mut self.lines[line.0].sessions) {
            self.documents[open.document].replica.disconnect(open.id);
        }
    }

    fn line_of(&self, session: SessionId, document: usize) -> Option<LineIndex> {
        let has =
            |line: &Line| line.sessions.iter().any(|open| open.id == session && open.document == document);
        self.lines.iter().position(has).map(LineIndex)
    }

    fn name_of(&self, document: usize) -> String {
        self.documents[document].replica.name().as_str().to_owned()
    }
}

/// Frames that wait on a line in each direction, at most.
pub(crate) const LINE_FRAMES_MAX: usize = 8;
