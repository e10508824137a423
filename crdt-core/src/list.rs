//! Lists with a fixed capacity, and lists that grow: the basis of both storages.

use core::ops::{Deref, DerefMut};

/// A list of `T` with a stated capacity.
pub trait List<T>: Default + Deref<Target = [T]> + DerefMut {
    /// Appends. Returns the value if the list is full.
    fn push(&mut self, value: T) -> Result<(), T>;
    /// Inserts before `index`. Returns the value if the list is full.
    fn insert(&mut self, index: usize, value: T) -> Result<(), T>;
    /// Removes and returns the element at `index`; later elements shift by one.
    fn remove(&mut self, index: usize) -> T;
    /// Keeps the elements for which `keep` returns true.
    fn retain(&mut self, keep: impl FnMut(&T) -> bool);
    /// Keeps the first `len` elements.
    fn truncate(&mut self, len: usize);
    /// Removes all elements.
    fn clear(&mut self);
    /// Most elements that fit.
    fn capacity(&self) -> usize;
}

/// Elements move by swaps of two. A single move would link the `memmove` of the target's library, and 1.6 KB
/// of flash cost a small device more than the time for its few elements.
impl<T, const N: usize> List<T> for heapless::Vec<T, N> {
    fn push(&mut self, value: T) -> Result<(), T> {
        heapless::Vec::push(self, value)
    }

    fn insert(&mut self, index: usize, value: T) -> Result<(), T> {
        heapless::Vec::push(self, value)?;
        for at in (index + 1..self.len()).rev() {
            exchange(self, at - 1, at);
        }
        Ok(())
    }

    fn remove(&mut self, index: usize) -> T {
        for at in index + 1..self.len() {
            exchange(self, at - 1, at);
        }
        heapless::Vec::pop(self).expect("there is an element at the index")
    }

    fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        let mut kept = 0;
        for at in 0..self.len() {
            if keep(&self[at]) {
                if kept < at {
                    exchange(self, kept, at);
                }
                kept += 1;
            }
        }
        self.truncate(kept);
    }

    fn truncate(&mut self, len: usize) {
        heapless::Vec::truncate(self, len);
    }

    fn clear(&mut self) {
        heapless::Vec::clear(self);
    }

    fn capacity(&self) -> usize {
        N
    }
}

/// Swaps two elements. `slice::swap` uses `memmove`, because both indices may be equal; if inlined, so does
/// this.
#[inline(never)]
fn exchange<T>(list: &mut [T], low: usize, high: usize) {
    if let Some((head, tail)) = list.split_at_mut_checked(high)
        && let (Some(low), Some(high)) = (head.get_mut(low), tail.first_mut())
    {
        core::mem::swap(low, high);
    }
}

/// A growing list of at most `MAX` elements.
#[cfg(feature = "alloc")]
#[derive(Clone, Debug)]
pub struct Growing<T, const MAX: usize>(alloc::vec::Vec<T>);

#[cfg(feature = "alloc")]
mod growing {
    use super::{Deref, DerefMut, Growing, List};

    impl<T, const MAX: usize> Default for Growing<T, MAX> {
        fn default() -> Self {
            Self(alloc::vec::Vec::new())
        }
    }

    impl<T, const MAX: usize> Deref for Growing<T, MAX> {
        type Target = [T];

        fn deref(&self) -> &[T] {
            &self.0
        }
    }

    impl<T, const MAX: usize> DerefMut for Growing<T, MAX> {
        fn deref_mut(&mut self) -> &mut [T] {
            &mut self.0
        }
    }

    impl<T, const MAX: usize> List<T> for Growing<T, MAX> {
        fn push(&mut self, value: T) -> Result<(), T> {
            if self.0.len() == MAX {
                return Err(value);
            }
            self.0.push(value);
            Ok(())
        }

        fn insert(&mut self, index: usize, value: T) -> Result<(), T> {
            if self.0.len() == MAX {
                return Err(value);
            }
            self.0.insert(index, value);
            Ok(())
        }

        fn remove(&mut self, index: usize) -> T {
            self.0.remove(index)
        }

        fn retain(&mut self, keep: impl FnMut(&T) -> bool) {
            self.0.retain(keep);
        }

        fn truncate(&mut self, len: usize) {
            self.0.truncate(len);
        }

        fn clear(&mut self) {
            self.0.clear();
        }

        fn capacity(&self) -> usize {
            MAX
        }
    }
}
