//! The sessions that are open.

use super::Memory;
use core::ops::{Deref, DerefMut, Index, IndexMut};

use super::{Session, SessionId};
use crate::list::List;

/// The sessions in the order of their ids, and a queue of those that may have something to send.
///
/// Indexing is not inlined, and panics in one place: over a hundred callers would each contain the check, and
/// the location that a panic reports.
pub(crate) struct Sessions<S: Memory> {
    list: S::Sessions,
    ready: S::Ready,
    /// Some are being closed.
    has_closing: bool,
}

impl<S: Memory> Sessions<S> {
    pub(crate) fn index_of(&self, session: SessionId) -> Option<usize> {
        self.list.binary_search_by_key(&session, |open| open.id).ok()
    }

    /// Adds a session with the highest id. It has something to send. `Err` when there is no capacity for another.
    pub(crate) fn add(&mut self, session: Session<S>) -> Result<(), ()> {
        self.list.push(session).map_err(|_| ())?;
        self.wake(self.list.len() - 1);
        Ok(())
    }

    pub(crate) fn remove(&mut self, session: SessionId) {
        if let Some(index) = self.index_of(session) {
            self.list.remove(index);
            self.ready.retain(|ready| *ready != session);
        }
    }

    /// Adds the session to the queue, unless it is queued already.
    #[inline(never)]
    pub(crate) fn wake(&mut self, index: usize) {
        let Some(session) = self.list.get_mut(index).filter(|session| !session.is_ready) else { return };
        session.is_ready = true;
        let pushed = self.ready.push(session.id);
        debug_assert!(pushed.is_ok(), "each session stands in the queue once");
    }

    pub(crate) fn wake_all(&mut self) {
        for index in 0..self.list.len() {
            self.wake(index);
        }
    }

    /// Removes the next session from the queue.
    pub(crate) fn next_ready(&mut self) -> Option<usize> {
        if self.ready.is_empty() {
            return None;
        }
        let id = self.ready.remove(0);
        let index = self.index_of(id)?;
        self.list[index].is_ready = false;
        Some(index)
    }

    /// Closes a session: it accepts no more input, and ends once a pending refusal is sent.
    pub(crate) fn close(&mut self, index: usize) {
        if let Some(session) = self.list.get_mut(index) {
            session.close();
            self.has_closing = true;
            self.wake(index);
        }
    }

    /// Closes the sessions for which `wanted` returns true. Nothing more is sent in them.
    pub(crate) fn close_where(&mut self, wanted: impl Fn(&Session<S>) -> bool) {
        for session in self.list.iter_mut().filter(|session| wanted(session)) {
            session.close_silently();
            self.has_closing = true;
        }
    }

    /// A session that is closed and has nothing left to send.
    pub(crate) fn over(&mut self) -> Option<SessionId> {
        if !self.has_closing {
            return None;
        }
        self.has_closing = self.list.iter().any(Session::is_closing);
        self.list.iter().find(|session| session.is_over()).map(|over| over.id)
    }
}

impl<S: Memory> Default for Sessions<S> {
    fn default() -> Self {
        Self { list: S::Sessions::default(), ready: S::Ready::default(), has_closing: false }
    }
}

impl<S: Memory> Deref for Sessions<S> {
    type Target = S::Sessions;

    fn deref(&self) -> &S::Sessions {
        &self.list
    }
}

impl<S: Memory> DerefMut for Sessions<S> {
    fn deref_mut(&mut self) -> &mut S::Sessions {
        &mut self.list
    }
}

impl<S: Memory> Index<usize> for Sessions<S> {
    type Output = Session<S>;

    #[inline(never)]
    fn index(&self, index: usize) -> &Session<S> {
        self.list.get(index).unwrap_or_else(|| gone())
    }
}

impl<S: Memory> IndexMut<usize> for Sessions<S> {
    #[inline(never)]
    fn index_mut(&mut self, index: usize) -> &mut Session<S> {
        self.list.get_mut(index).unwrap_or_else(|| gone())
    }
}

#[cold]
#[inline(never)]
fn gone() -> ! {
    panic!("a session stays while its frame is taken or written")
}
