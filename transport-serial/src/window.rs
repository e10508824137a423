//! Frames under way: those that the peer has not acknowledged, and those that came before their turn.

use crate::limits::FRAME_LEN_MAX;

/// Frames from the oldest that is not acknowledged to the newest, in the order of their numbers.
#[derive(Debug)]
pub(crate) struct SendWindow<const N: usize> {
    slots: [Slot; N],
    /// Where the oldest stands.
    first: usize,
    len: usize,
    /// Its number.
    base: u8,
}

/// A frame with its state.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Slot {
    pub(crate) was_sent: bool,
    /// It is to be sent once more, now.
    pub(crate) is_due: bool,
    /// It was repeated before its time was over; that is done once.
    pub(crate) was_resent_early: bool,
    /// The peer has it, and misses an older one.
    pub(crate) has_arrived: bool,
    len: u16,
    frame: [u8; FRAME_LEN_MAX],
}

impl<const N: usize> SendWindow<N> {
    pub(crate) fn new() -> Self {
        Self { slots: [Slot::EMPTY; N], first: 0, len: 0, base: 0 }
    }

    pub(crate) fn clear(&mut self) {
        (self.first, self.len, self.base) = (0, 0, 0);
    }

    /// Takes a frame of at most [`FRAME_LEN_MAX`] bytes; false when there is no capacity.
    pub(crate) fn push(&mut self, frame: &[u8]) -> bool {
        if self.len == N {
            return false;
        }
        let slot = &mut self.slots[(self.first + self.len) % N];
        slot.was_sent = false;
        slot.is_due = false;
        slot.was_resent_early = false;
        slot.has_arrived = false;
        slot.len = frame.len() as u16;
        slot.frame[..frame.len()].copy_from_slice(frame);
        self.len += 1;
        true
    }

    /// Forgets the oldest `count`.
    pub(crate) fn acknowledge(&mut self, count: usize) {
        let count = count.min(self.len);
        self.first = (self.first + count) % N;
        self.len -= count;
        self.base = self.base.wrapping_add(count as u8);
    }

    pub(crate) fn slot_mut(&mut self, offset: usize) -> Option<&mut Slot> {
        (offset < self.len).then(|| &mut self.slots[(self.first + offset) % N])
    }

    pub(crate) fn slot(&self, offset: usize) -> Option<&Slot> {
        (offset < self.len).then(|| &self.slots[(self.first + offset) % N])
    }

    /// How many were sent: they are the oldest ones.
    pub(crate) fn sent(&self) -> usize {
        (0..self.len).take_while(|offset| self.slot(*offset).is_some_and(|slot| slot.was_sent)).count()
    }

    pub(crate) fn base(&self) -> u8 {
        self.base
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn has_capacity(&self) -> bool {
        self.len < N
    }
}

impl Slot {
    const EMPTY: Self = Self {
        was_sent: false,
        is_due: false,
        was_resent_early: false,
        has_arrived: false,
        len: 0,
        frame: [0; FRAME_LEN_MAX],
    };

    pub(crate) fn frame(&self) -> &[u8] {
        &self.frame[..usize::from(self.len)]
    }

    /// Sends it once more before its time, unless that was done.
    pub(crate) fn resend_now(&mut self) -> bool {
        let is_early = self.was_sent && !self.has_arrived && !self.was_resent_early;
        if is_early {
            self.was_resent_early = true;
            self.is_due = true;
        }
        is_early
    }
}

/// Frames that came while an older one is missing. The slot of offset 0 is for the frame after the missing one.
#[derive(Debug)]
pub(crate) struct Reorder<const N: usize> {
    slots: [Early; N],
    first: usize,
    /// The slot of the frame that is missing no more: it is the next to be given out, and no offset names it.
    ready: Option<usize>,
}

/// A frame before its turn; none with length 0.
#[derive(Clone, Copy, Debug)]
struct Early {
    len: u16,
    frame: [u8; FRAME_LEN_MAX],
}

impl<const N: usize> Reorder<N> {
    pub(crate) fn new() -> Self {
        Self { slots: [Early { len: 0, frame: [0; FRAME_LEN_MAX] }; N], first: 0, ready: None }
    }

    pub(crate) fn clear(&mut self) {
        self.slots.iter_mut().for_each(|slot| slot.len = 0);
        self.ready = None;
    }

    /// Keeps a frame; false when something stands there. `offset` is below `N`.
    pub(crate) fn put(&mut self, offset: usize, frame: &[u8]) -> bool {
        let slot = &mut self.slots[(self.first + offset) % N];
        if slot.len > 0 {
            return false;
        }
        slot.len = frame.len() as u16;
        slot.frame[..frame.len()].copy_from_slice(frame);
        true
    }

    /// The missing frame was given out; the one after it is the missing one now, or [ready](Self::is_ready).
    pub(crate) fn advance(&mut self) {
        if N > 0 {
            let index = self.first;
            self.first = (self.first + 1) % N;
            self.ready = (self.slots[index].len > 0).then_some(index);
        }
    }

    /// Whether the frame that is next has been here for some time.
    pub(crate) fn is_ready(&self) -> bool {
        self.ready.is_some()
    }

    /// Gives the ready frame out. Its slot may be used again.
    pub(crate) fn take_ready(&mut self) -> &[u8] {
        let Some(index) = self.ready.take() else { return &[] };
        // Before going on: with one slot, the next one is this one.
        let len = core::mem::take(&mut self.slots[index].len);
        self.advance();
        &self.slots[index].frame[..usize::from(len)]
    }

    /// Which are here: bit 0 for offset 0.
    pub(crate) fn bits(&self) -> u8 {
        let is_here = |offset: &usize| {
            let index = (self.first + offset) % N;
            self.slots[index].len > 0 && self.ready != Some(index)
        };
        (0..N).filter(is_here).fold(0, |bits, offset| bits | 1 << offset)
    }
}
