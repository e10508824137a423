//! The sessions that are open.

use super::Memory;
use core::ops::{Deref, DerefMut, Index, IndexMut};

use super::Session;

/// The list of them.
///
/// Indexing is not inlined, and panics in one place: there are over a hundred callers, and for each the check, and the
/// location that a panic names, would take room in the program.
pub(crate) struct Sessions<S: Memory>(S::Sessions);

impl<S: Memory> Default for Sessions<S> {
    fn default() -> Self {
        Self(S::Sessions::default())
    }
}

impl<S: Memory> Deref for Sessions<S> {
    type Target = S::Sessions;

    fn deref(&self) -> &S::Sessions {
        &self.0
    }
}

impl<S: Memory> DerefMut for Sessions<S> {
    fn deref_mut(&mut self) -> &mut S::Sessions {
        &mut self.0
    }
}

impl<S: Memory> Index<usize> for Sessions<S> {
    type Output = Session<S>;

    #[inline(never)]
    fn index(&self, index: usize) -> &Session<S> {
        self.0.get(index).unwrap_or_else(|| gone())
    }
}

impl<S: Memory> IndexMut<usize> for Sessions<S> {
    #[inline(never)]
    fn index_mut(&mut self, index: usize) -> &mut Session<S> {
        self.0.get_mut(index).unwrap_or_else(|| gone())
    }
}

#[cold]
#[inline(never)]
fn gone() -> ! {
    panic!("a session stays while its frame is taken or written")
}
