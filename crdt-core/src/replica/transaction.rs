//! Transactions that read their own writes, on a replica.

use rand_core::Rng;

use super::Replica;
use crate::causal::Stamp;
use crate::document::{Document, UpdateError};
use crate::sync::Memory;
use crate::time::Moment;
use crate::transaction::{Sealed, Transact, Transaction};
use crate::write::Write;

impl<S: Memory, R: Rng> Replica<S, R> {
    /// Begins a transaction that reads its own writes; its [`commit`](Transaction::commit) is one [`update`](Self::update).
    pub fn transaction<'w>(&mut self) -> Transaction<'_, 'w, Self> {
        Transaction::new(self)
    }
}

impl<S: Memory, R: Rng> Sealed for Replica<S, R> {}

impl<S: Memory, R: Rng> Transact for Replica<S, R> {
    type Storage = S;

    fn document(&self) -> &Document<S> {
        Replica::document(self)
    }

    fn update(&mut self, moment: Moment, writes: &[Write<'_>]) -> Result<Option<Stamp>, UpdateError> {
        Replica::update(self, moment, writes)
    }
}
