//! A transaction that is put together on a replica.

use super::Replica;
use crate::causal::Stamp;
use crate::document::{Document, UpdateError};
use crate::sync::Memory;
use crate::time::Moment;
use crate::transaction::{Sealed, Transact, Transaction};
use crate::write::Write;

impl<S: Memory> Replica<S> {
    /// Begins a transaction that reads its own writes; its [`commit`](Transaction::commit) is one [`update`](Self::update).
    pub fn transaction<'w>(&mut self) -> Transaction<'_, 'w, Self> {
        Transaction::new(self)
    }
}

impl<S: Memory> Sealed for Replica<S> {}

impl<S: Memory> Transact for Replica<S> {
    type Storage = S;

    fn document(&self) -> &Document<S> {
        Replica::document(self)
    }

    fn update(&mut self, moment: Moment, writes: &[Write<'_>]) -> Result<Option<Stamp>, UpdateError> {
        Replica::update(self, moment, writes)
    }
}
