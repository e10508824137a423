//! Values of the application's types, stored as cells.

use rand_core::Rng;

use serde::Serialize;

use super::Replica;
use crate::causal::Stamp;
use crate::cell::Path;
use crate::sync::Memory;
use crate::time::Moment;
use crate::typed::WriteError;

impl<S: Memory, R: Rng> Replica<S, R> {
    /// Stores `value` at `path`. See [`Document::write`](crate::Document::write).
    ///
    /// # Errors
    /// As [`Document::write`](crate::Document::write).
    #[expect(clippy::result_large_err, reason = "the error owns its path, and there is no heap to put it on")]
    pub fn write<'p, T: Serialize + ?Sized>(
        &mut self,
        moment: Moment,
        path: impl Into<Option<Path<'p>>>,
        value: &T,
    ) -> Result<Option<Stamp>, WriteError> {
        let context = &mut self.context;
        context.begin(moment);
        let before = context.document.seq();
        let written = context.document.write(context.moment, path, value);
        context.unsaved |= context.document.seq() != before;
        context.note_forgotten();
        written
    }
}

#[cfg(feature = "std")]
impl<S: Memory, R: Rng> Replica<S, R> {
    /// Stores `json` at `path`. See [`Document::write_json`](crate::Document::write_json).
    ///
    /// # Errors
    /// As [`Document::write_json`](crate::Document::write_json).
    #[expect(clippy::result_large_err, reason = "the error owns its path, and there is no heap to put it on")]
    pub fn write_json<'p>(
        &mut self,
        moment: Moment,
        path: impl Into<Option<Path<'p>>>,
        json: &serde_json::Value,
    ) -> Result<Option<Stamp>, WriteError> {
        let context = &mut self.context;
        context.begin(moment);
        let before = context.document.seq();
        let written = context.document.write_json(context.moment, path, json);
        context.unsaved |= context.document.seq() != before;
        context.note_forgotten();
        written
    }
}
