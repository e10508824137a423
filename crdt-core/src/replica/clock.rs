//! Clocks that are wrong: the device learns the time from its aggregator, and writes again what it wrote in the future.
//!
//! Nothing is clamped: a stamp stays what it is. An aggregator refuses a batch with stamps too far ahead of its own clock
//! (see [`Config::admission_ahead_ms`](crate::Config::admission_ahead_ms)), and the device, which still has everything,
//! writes it again by the aggregator's clock and under a new id, because the old one has a future that nobody may see.

use rand_core::Rng;

use super::Replica;
use crate::causal::Stamp;
use crate::document::Document;
use crate::limits::CLOCK_TOLERANCE_MS;
use crate::storage::CellStore;
use crate::sync::{Memory, Stop};
use crate::time::Time;

impl<S: Memory, R: Rng> Replica<S, R> {
    /// What is added to the readings of the driver's clock, in milliseconds. It is not stored: each session with the
    /// aggregator finds it anew.
    pub fn clock_correction_ms(&self) -> i64 {
        self.context.clock_correction_ms
    }

    /// The aggregator found stamps from the future. What it has not acknowledged is written again, under a new id; the
    /// session is over.
    pub(super) fn write_again_by_the_right_clock(&mut self, index: usize) -> Result<(), Stop> {
        let session = &self.sessions[index];
        let Some(now) = session.opened().and_then(|opened| opened.peer_time) else { return Ok(()) };
        let acked = self.acknowledged_by(session.carrier.peer);
        let acked = acked.map_or(Time::ZERO, |acked| acked.time_of(self.id()));
        let context = &mut self.context;
        let own = context.document.replica;
        let common = acked.min(context.document.knowledge.vv().time_of(own));
        // Only the own id goes back: what others wrote in the future is theirs to write again. While that is held, a new id
        // would be refused like the old one, over and over.
        let past = past_of(&context.document, common);
        let helps =
            past.as_ms() <= now.as_ms() + CLOCK_TOLERANCE_MS && context.document.knowledge.vv().fits(1);
        if !helps {
            return Ok(());
        }
        context.document.knowledge.turn_back(own, common, past);
        context.moment.now = Some(now);
        self.fork(common)
    }
}

/// The highest time that is left once the own writes after `common` are gone.
fn past_of<S: Memory>(document: &Document<S>, common: Time) -> Time {
    let own = document.replica;
    let stays = |stamp: Stamp| stamp.replica != own || stamp.time <= common;
    let known = document.knowledge.vv().iter().filter(|e| e.replica != own).map(|e| e.time);
    let held = document.cells.below(None).filter(|c| stays(c.stamp)).map(|c| c.stamp.time);
    let forgotten = Some(document.knowledge.horizon()).filter(|stamp| stays(*stamp)).map(|stamp| stamp.time);
    known.chain(held).chain(forgotten).fold(common, Time::max)
}
