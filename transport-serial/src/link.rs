//! One end of a line.

use crate::counters::Counters;
use crate::limits::{CAPACITY_UNBOUNDED, FRAME_LEN_MAX, LINE_LEN_MAX, VERSION, WINDOW_MAX};
use crate::packet::{self, Assembler, Ended, HEAD_LEN, Head, Kind};
use crate::timing::Timing;
use crate::window::{Reorder, SendWindow};

/// One end of a line, with capacity for `SEND` frames that are not acknowledged and `REORDER` that came before their turn.
///
/// See the [crate docs](crate) for the loop of a driver. Nothing that comes in makes it panic or grow.
#[derive(Debug)]
pub struct Link<const SEND: usize, const REORDER: usize> {
    is_initiator: bool,
    timing: Timing,
    state: State,
    /// Names the last beginning.
    beginning: u32,
    /// The number of the last connection.
    connection: u16,
    out: SendWindow<SEND>,
    early: Reorder<REORDER>,
    /// Number of the frame that is waited for.
    next_in: u8,
    /// Frames that the reader takes; see [`set_capacity`](Self::set_capacity).
    capacity: u8,
    /// Number of the first frame that the peer does not take.
    credit_end: u8,
    /// Runs while something of ours is not acknowledged.
    timer: Option<Timer>,
    /// What was sent before this number went out before a long silence: it is repeated as soon as it shows to be missing.
    recover_until: Option<u8>,
    due: Due,
    /// A damaged packet was answered since the last good one.
    is_nak_spent: bool,
    over: Option<Over>,
    assembler: Assembler,
    line: [u8; LINE_LEN_MAX],
    counters: Counters,
}

/// What came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input<'a> {
    /// A connection is open. The one before it, if there was one, is gone, with all that was not given out.
    Begun,
    /// The next frame of the connection.
    Frame(&'a [u8]),
    /// The connection is over. The initiator may [`begin`](Link::begin) another.
    Over(Over),
}

/// Why a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Over {
    /// The peer said so, or does not know the connection: it may have restarted.
    #[error("the other end of the line has ended the connection, or restarted")]
    Ended,
    /// Nobody answered.
    #[error(
        "nobody at the other end of the line answered {repeats} repetitions: is it connected, at this speed?"
    )]
    Silent {
        /// How often was tried again.
        repeats: u8,
    },
}

/// The frame was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// No connection is open.
    #[error("no connection is open on the line")]
    Closed,
    /// An empty frame means nothing.
    #[error("the frame is empty")]
    Empty,
    /// As many frames as there is capacity for wait to be acknowledged.
    #[error(
        "{frames} frames wait to be acknowledged, which is all there is capacity for: ask `has_capacity` first"
    )]
    Full {
        /// How many.
        frames: usize,
    },
    /// It is longer than a frame may be.
    #[error("the frame has {len} bytes, the line takes {FRAME_LEN_MAX}: write it to a buffer of that length")]
    TooLong {
        /// Length of the frame, in bytes.
        len: usize,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Beginning(Option<Timer>),
    Closed,
    Open,
}

/// Since when something is waited for, and how often it was tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Timer {
    since_ms: u32,
    repeats: u8,
}

/// What is to be said.
#[derive(Debug, Default)]
struct Due {
    end: Option<u16>,
    accept: bool,
    ack: bool,
    nak: bool,
}

/// What a packet has come to.
enum Taken {
    Begun,
    Frame,
    Nothing,
    Over(Over),
}

impl<const SEND: usize, const REORDER: usize> Link<SEND, REORDER> {
    /// The end that begins connections: the device. `random` is unpredictable and new at each start: it keeps what an
    /// earlier life of this device has sent from looking new.
    #[must_use]
    pub fn initiator(timing: Timing, random: u32) -> Self {
        Self::new(true, timing, random)
    }

    /// The end that answers. `random` as for [`initiator`](Self::initiator).
    #[must_use]
    pub fn responder(timing: Timing, random: u32) -> Self {
        // Whoever is there learns that its connection is gone.
        let due = Due { end: Some(ANY_CONNECTION), ..Due::default() };
        Self { due, ..Self::new(false, timing, random) }
    }

    fn new(is_initiator: bool, timing: Timing, random: u32) -> Self {
        const {
            assert!(SEND > 0 && SEND <= WINDOW_MAX, "1 to 8 frames are sent before an acknowledgement");
            assert!(REORDER < WINDOW_MAX, "0 to 7 frames are kept before their turn");
        }
        Self {
            is_initiator,
            timing,
            state: State::Closed,
            beginning: random,
            connection: random as u16,
            out: SendWindow::new(),
            early: Reorder::new(),
            next_in: 0,
            capacity: CAPACITY_UNBOUNDED,
            credit_end: 0,
            timer: None,
            recover_until: None,
            due: Due::default(),
            is_nak_spent: false,
            over: None,
            assembler: Assembler::new(),
            line: [0; LINE_LEN_MAX],
            counters: Counters::default(),
        }
    }

    /// Begins a connection instead of the one there may be; [`Input::Begun`] follows once the peer has accepted. Only the
    /// initiator can: for a responder nothing happens.
    pub fn begin(&mut self) {
        if self.is_initiator {
            self.reset();
            self.beginning = self.beginning.wrapping_add(1);
            self.state = State::Beginning(None);
        }
    }

    /// Ends the connection, and tells the peer. No [`Input::Over`] follows.
    pub fn end(&mut self) {
        if self.state == State::Open {
            self.due.end = Some(self.connection);
        }
        self.reset();
        self.state = State::Closed;
    }

    /// Takes a frame of 1 to [`FRAME_LEN_MAX`] bytes. It is copied.
    ///
    /// # Errors
    /// [`SendError`]; nothing has changed then.
    pub fn send(&mut self, frame: &[u8]) -> Result<(), SendError> {
        match frame.len() {
            0 => return Err(SendError::Empty),
            1..=FRAME_LEN_MAX if self.state == State::Open => {}
            1..=FRAME_LEN_MAX => return Err(SendError::Closed),
            len => return Err(SendError::TooLong { len }),
        }
        if self.out.push(frame) { Ok(()) } else { Err(SendError::Full { frames: SEND }) }
    }

    /// Takes bytes from the front of `bytes` until something has happened. When it gives `None`, all bytes were taken;
    /// until then it is called again, with whatever is left. O(bytes).
    pub fn receive(&mut self, bytes: &mut &[u8]) -> Option<Input<'_>> {
        if let Some(over) = self.over.take() {
            return Some(Input::Over(over));
        }
        if self.capacity > 0 && self.early.is_ready() {
            self.note_given();
            let frame = self.early.take_ready();
            self.counters.frame_bytes_in = self.counters.frame_bytes_in.wrapping_add(frame.len() as u32);
            return Some(Input::Frame(frame));
        }
        while let Some((&byte, rest)) = bytes.split_first() {
            *bytes = rest;
            let (head, end) = match self.assembler.take(byte) {
                Some(Ended::Packet(head, end)) => (head, end),
                Some(bad) => {
                    self.note_bad(bad);
                    continue;
                }
                None => continue,
            };
            match self.take_packet(head, end) {
                Taken::Begun => return Some(Input::Begun),
                Taken::Frame => return Some(Input::Frame(self.assembler.payload(end))),
                Taken::Nothing => {}
                Taken::Over(over) => return Some(Input::Over(over)),
            }
        }
        None
    }

    /// How many more frames the reader takes; each one that is given out counts down. At first, and after
    /// [`CAPACITY_UNBOUNDED`], it takes all. While it is 0 nothing is given out, and the peer is told to wait.
    pub fn set_capacity(&mut self, frames: u8) {
        let was_closed = self.credit() == 0;
        self.capacity = frames;
        self.due.ack |= was_closed && self.credit() > 0 && self.state == State::Open;
    }

    /// The next bytes for the line, all of them to be written; `None` when there is nothing to be said now.
    pub fn poll_line(&mut self, now_ms: u32) -> Option<&[u8]> {
        if let Some(connection) = self.due.end.take() {
            let head = Head { kind: Kind::End, credit: 0, connection, number: 0, next: 0 };
            return Some(self.write(head, Payload::None));
        }
        match self.state {
            State::Beginning(timer) => {
                let is_due = timer.is_none_or(|timer| timer.is_over(now_ms, self.timing));
                if !is_due {
                    return None;
                }
                let repeats = timer.map_or(0, |timer| timer.repeats.saturating_add(1));
                self.state = State::Beginning(Some(Timer { since_ms: now_ms, repeats }));
                let head = Head { connection: ANY_CONNECTION, ..self.head(Kind::Begin, VERSION) };
                Some(self.write(head, Payload::Beginning))
            }
            State::Closed => None,
            State::Open => self.poll_open(now_ms),
        }
    }

    /// In how many milliseconds [`poll_line`](Self::poll_line) is to be called if nothing happens before.
    #[must_use]
    pub fn poll_timeout(&self, now_ms: u32) -> Option<u32> {
        if self.over.is_some() {
            // `receive` tells it.
            return Some(0);
        }
        let timer = match self.state {
            State::Beginning(timer) => timer,
            State::Closed => return None,
            State::Open => self.timer,
        };
        timer.map(|timer| timer.remaining_ms(now_ms, self.timing))
    }

    /// Whether [`send`](Self::send) takes another frame; also when no connection is open.
    #[must_use]
    pub fn has_capacity(&self) -> bool {
        self.out.has_capacity()
    }

    /// Whether a connection is open, as far as this end knows.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.state == State::Open
    }

    /// Whether the peer has acknowledged every frame.
    #[must_use]
    pub fn is_acknowledged(&self) -> bool {
        self.out.is_empty()
    }

    /// What was seen so far.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters
    }

    // ---- sending ----

    fn poll_open(&mut self, now_ms: u32) -> Option<&[u8]> {
        if core::mem::take(&mut self.due.accept) {
            let head = self.head(Kind::Accept, VERSION);
            return Some(self.write(head, Payload::Beginning));
        }
        if !self.out.is_empty() {
            let timer = *self.timer.get_or_insert(Timer { since_ms: now_ms, repeats: 0 });
            if timer.is_over(now_ms, self.timing) && !self.run_out(now_ms, timer) {
                // It was the last one; the peer may hear at least that.
                return self.poll_line(now_ms);
            }
        }
        if let Some(offset) = self.frame_due() {
            return Some(self.write_frame(now_ms, offset));
        }
        if core::mem::take(&mut self.due.nak) {
            self.due.ack = false;
            let head = self.head(Kind::Nak, self.early.bits());
            return Some(self.write(head, Payload::None));
        }
        if core::mem::take(&mut self.due.ack) {
            let head = self.head(Kind::Ack, self.early.bits());
            return Some(self.write(head, Payload::None));
        }
        None
    }

    /// Nothing was answered for long: repeats, or gives up and says false.
    fn run_out(&mut self, now_ms: u32, timer: Timer) -> bool {
        if timer.repeats >= self.timing.repeats_max {
            self.counters.given_up = self.counters.given_up.wrapping_add(1);
            self.end();
            self.over = Some(Over::Silent { repeats: timer.repeats });
            return false;
        }
        self.timer = Some(Timer { since_ms: now_ms, repeats: timer.repeats + 1 });
        let sent = self.out.sent();
        match self.out.slot_mut(0) {
            Some(oldest) if sent > 0 => {
                oldest.is_due = true;
                oldest.was_resent_early = false;
                self.recover_until = Some(self.out.base().wrapping_add(sent as u8));
            }
            // All waits for credit: is there still none?
            _ => self.due.nak = true,
        }
        true
    }

    /// The offset of the frame to be sent now: an old one once more, or the next new one.
    fn frame_due(&self) -> Option<usize> {
        let sent = self.out.sent();
        let repeated = (0..sent).find(|offset| self.out.slot(*offset).is_some_and(|slot| slot.is_due));
        let has_credit = || {
            let number = self.out.base().wrapping_add(sent as u8);
            (self.credit_end.wrapping_sub(number) as i8) > 0
        };
        repeated.or_else(|| self.out.slot(sent).filter(|_| has_credit()).map(|_| sent))
    }

    fn write_frame(&mut self, now_ms: u32, offset: usize) -> &[u8] {
        let number = self.out.base().wrapping_add(offset as u8);
        let head = self.head(Kind::Data, number);
        // What came early is told by an Ack alone.
        self.due.ack &= self.early.bits() != 0;
        if let Some(slot) = self.out.slot_mut(offset) {
            let (counter, bytes) = (&mut self.counters, slot.frame().len() as u32);
            if core::mem::replace(&mut slot.was_sent, true) {
                counter.repeated = counter.repeated.wrapping_add(1);
                // It has its time anew.
                self.timer.iter_mut().for_each(|timer| timer.since_ms = now_ms);
            } else {
                counter.frames_out = counter.frames_out.wrapping_add(1);
                counter.frame_bytes_out = counter.frame_bytes_out.wrapping_add(bytes);
            }
            slot.is_due = false;
        }
        self.write(head, Payload::Frame(offset))
    }

    fn head(&self, kind: Kind, number: u8) -> Head {
        Head { kind, credit: self.credit(), connection: self.connection, number, next: self.next_in }
    }

    fn write(&mut self, head: Head, payload: Payload) -> &[u8] {
        let beginning = self.beginning.to_le_bytes();
        let payload = match payload {
            Payload::Beginning => &beginning[..],
            Payload::Frame(offset) => self.out.slot(offset).map_or(&[][..], |slot| slot.frame()),
            Payload::None => &[],
        };
        let len = packet::write(&mut self.line, head, payload);
        self.counters.line_bytes_out = self.counters.line_bytes_out.wrapping_add(len as u32);
        &self.line[..len]
    }

    // ---- receiving ----

    fn note_bad(&mut self, bad: Ended) {
        let counter = match bad {
            Ended::TooLong => &mut self.counters.too_long,
            Ended::Malformed => &mut self.counters.malformed,
            Ended::Damaged | Ended::Packet(..) => &mut self.counters.damaged,
        };
        *counter = counter.wrapping_add(1);
        // Once, or two ends on a bad line would answer each other's answers for ever.
        if self.state == State::Open && !core::mem::replace(&mut self.is_nak_spent, true) {
            self.due.nak = true;
        }
    }

    fn take_packet(&mut self, head: Head, end: usize) -> Taken {
        let is_current = self.state == State::Open && head.connection == self.connection;
        let has_payload = end > HEAD_LEN;
        match head.kind {
            Kind::Begin if !self.is_initiator && head.number == VERSION => match self.beginning_in(end) {
                Some(beginning) => self.take_begin(head, beginning),
                None => self.malformed(),
            },
            Kind::Accept if self.is_initiator && head.number == VERSION => match self.beginning_in(end) {
                Some(beginning) => self.take_accept(head, beginning),
                None => self.malformed(),
            },
            Kind::Begin | Kind::Accept => self.malformed(),
            Kind::End if has_payload => self.malformed(),
            Kind::End => self.take_end(head),
            Kind::Ack | Kind::Nak if has_payload => self.malformed(),
            Kind::Data if !has_payload || end - HEAD_LEN > FRAME_LEN_MAX => self.malformed(),
            Kind::Ack | Kind::Nak | Kind::Data if !is_current => {
                // Whoever waits for an answer is told that there will be none. Not while beginning: the connection may be
                // the new one, and its Accept was lost.
                if head.kind != Kind::Ack && !matches!(self.state, State::Beginning(_)) {
                    self.due.end = Some(head.connection);
                }
                self.stale()
            }
            Kind::Ack | Kind::Nak | Kind::Data => self.take_current(head, end),
        }
    }

    fn take_begin(&mut self, head: Head, beginning: u32) -> Taken {
        if self.state == State::Open && beginning == self.beginning {
            self.counters.duplicate = self.counters.duplicate.wrapping_add(1);
            self.due.accept = true;
            return Taken::Nothing;
        }
        self.beginning = beginning;
        let connection = self.connection.wrapping_add(1).max(1);
        self.open(connection, head.credit);
        self.due.accept = true;
        Taken::Begun
    }

    fn take_accept(&mut self, head: Head, beginning: u32) -> Taken {
        let is_ours = matches!(self.state, State::Beginning(Some(_))) && beginning == self.beginning;
        if !is_ours {
            return self.stale();
        }
        self.open(head.connection, head.credit);
        Taken::Begun
    }

    fn take_end(&mut self, head: Head) -> Taken {
        let names_all = self.is_initiator && head.connection == ANY_CONNECTION;
        match &mut self.state {
            State::Open if names_all || head.connection == self.connection => {
                self.reset();
                self.state = State::Closed;
                Taken::Over(Over::Ended)
            }
            // Somebody has started there: no need to wait for the end of a long pause.
            State::Beginning(Some(timer)) if names_all => {
                timer.repeats = 0;
                Taken::Nothing
            }
            _ => self.stale(),
        }
    }

    /// A packet of the open connection.
    fn take_current(&mut self, head: Head, end: usize) -> Taken {
        let Some(acknowledged) = self.acknowledged_by(head) else { return self.malformed() };
        self.is_nak_spent = false;
        if let Some(timer) = &mut self.timer {
            timer.repeats = 0;
        }
        self.take_acknowledgement(head, acknowledged);
        match head.kind {
            Kind::Nak => {
                // Of ours, something was damaged: a frame, or else an acknowledgement.
                if !self.out.slot_mut(0).is_some_and(crate::window::Slot::resend_now) {
                    self.due.ack = true;
                }
                Taken::Nothing
            }
            Kind::Data => self.take_frame(head.number, end),
            _ => Taken::Nothing,
        }
    }

    /// How many of the frames under way the packet acknowledges; negative for one that was overtaken; `None` when it
    /// acknowledges what was never sent.
    fn acknowledged_by(&self, head: Head) -> Option<i8> {
        let acknowledged = head.next.wrapping_sub(self.out.base()) as i8;
        (i32::from(acknowledged) <= self.out.sent() as i32).then_some(acknowledged)
    }

    fn take_acknowledgement(&mut self, head: Head, acknowledged: i8) {
        let Ok(count) = usize::try_from(acknowledged) else { return };
        self.credit_end = head.next.wrapping_add(head.credit.min(WINDOW_MAX as u8));
        if count > 0 {
            self.out.acknowledge(count);
            // It starts anew when the next packet is looked for.
            self.timer = None;
            let before_silence = |until: u8| (until.wrapping_sub(head.next) as i8) > 0;
            if self.recover_until.is_some_and(before_silence) {
                if let Some(oldest) = self.out.slot_mut(0) {
                    oldest.resend_now();
                }
            } else {
                self.recover_until = None;
            }
        }
        let bits = if head.kind == Kind::Data { 0 } else { head.number };
        // Bit 0 is for the frame after the one that is missing.
        for offset in 1..=usize::from(8 - bits.leading_zeros() as u8) {
            if bits >> (offset - 1) & 1 == 1
                && let Some(slot) = self.out.slot_mut(offset).filter(|slot| slot.was_sent)
            {
                slot.has_arrived = true;
                slot.is_due = false;
            }
        }
        let newest = (0..self.out.sent()).rev().find(|o| self.out.slot(*o).is_some_and(|s| s.has_arrived));
        for offset in 0..newest.unwrap_or(0) {
            if let Some(missing) = self.out.slot_mut(offset) {
                missing.resend_now();
            }
        }
    }

    fn take_frame(&mut self, number: u8, end: usize) -> Taken {
        self.due.ack = true;
        let ahead = number.wrapping_sub(self.next_in) as i8;
        match usize::try_from(ahead) {
            Err(_) => {
                self.counters.duplicate = self.counters.duplicate.wrapping_add(1);
                Taken::Nothing
            }
            Ok(0) if self.early.is_ready() => {
                self.counters.duplicate = self.counters.duplicate.wrapping_add(1);
                Taken::Nothing
            }
            Ok(0) if self.capacity > 0 => {
                self.note_given();
                self.early.advance();
                let bytes = (end - HEAD_LEN) as u32;
                self.counters.frame_bytes_in = self.counters.frame_bytes_in.wrapping_add(bytes);
                Taken::Frame
            }
            Ok(ahead @ 1..) if ahead <= REORDER && ahead < usize::from(self.capacity) => {
                if !self.early.put(ahead - 1, self.assembler.payload(end)) {
                    self.counters.duplicate = self.counters.duplicate.wrapping_add(1);
                }
                Taken::Nothing
            }
            Ok(_) => {
                self.counters.unwelcome = self.counters.unwelcome.wrapping_add(1);
                Taken::Nothing
            }
        }
    }

    /// A frame is given to the reader.
    fn note_given(&mut self) {
        if self.capacity != CAPACITY_UNBOUNDED {
            self.capacity -= 1;
        }
        self.next_in = self.next_in.wrapping_add(1);
        self.due.ack = true;
        self.counters.frames_in = self.counters.frames_in.wrapping_add(1);
    }

    /// Frames from `next_in` on that this side takes.
    fn credit(&self) -> u8 {
        self.capacity.min(REORDER as u8 + 1)
    }

    fn beginning_in(&self, end: usize) -> Option<u32> {
        self.assembler.payload(end).try_into().ok().map(u32::from_le_bytes)
    }

    fn malformed(&mut self) -> Taken {
        self.counters.malformed = self.counters.malformed.wrapping_add(1);
        Taken::Nothing
    }

    fn stale(&mut self) -> Taken {
        self.counters.stale = self.counters.stale.wrapping_add(1);
        Taken::Nothing
    }

    fn open(&mut self, connection: u16, credit: u8) {
        self.reset();
        self.connection = connection;
        self.credit_end = credit.min(WINDOW_MAX as u8);
        self.state = State::Open;
        self.counters.connections = self.counters.connections.wrapping_add(1);
    }

    /// Forgets what belongs to a connection. An End that is due stays: it is about another one.
    fn reset(&mut self) {
        self.out.clear();
        self.early.clear();
        self.next_in = 0;
        self.credit_end = 0;
        self.timer = None;
        self.recover_until = None;
        self.due = Due { end: self.due.end, ..Due::default() };
        self.is_nak_spent = false;
        self.over = None;
    }
}

/// What follows the head of a packet to be written.
enum Payload {
    /// The number that names the beginning.
    Beginning,
    /// The frame at this offset of those under way.
    Frame(usize),
    None,
}

impl Timer {
    fn is_over(self, now_ms: u32, timing: Timing) -> bool {
        self.remaining_ms(now_ms, timing) == 0
    }

    fn remaining_ms(self, now_ms: u32, timing: Timing) -> u32 {
        timing.pause_ms(self.repeats).saturating_sub(now_ms.wrapping_sub(self.since_ms))
    }
}

/// In an End: whatever connection there is.
const ANY_CONNECTION: u16 = 0;

#[cfg(test)]
mod tests;
