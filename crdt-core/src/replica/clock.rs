//! Wrong clocks: a device takes the time from its aggregator, and reissues what it wrote in the future.
//!
//! Stamps are never clamped. An aggregator refuses a batch with stamps too far ahead of its own clock
//! ([`Config::admission_ahead_ms`](crate::Config::admission_ahead_ms)). The device still has all its data,
//! and writes it again by the aggregator's clock. It uses a new id, because the old one has a future that
//! nobody may see.

use rand_core::Rng;

use super::Replica;
use crate::causal::Stamp;
use crate::document::Document;
use crate::limits::CLOCK_TOLERANCE_MS;
use crate::storage::CellStore;
use crate::sync::{Memory, Stop};
use crate::time::Time;

impl<S: Memory, R: Rng> Replica<S, R> {
    /// The correction added to the driver's clock, in milliseconds. Not stored: each session with the
    /// aggregator determines it again.
    pub fn clock_correction_ms(&self) -> i64 {
        self.context.clock_correction_ms
    }

    /// The aggregator refused stamps from the future. If a fork helps, writes what it has not acknowledged
    /// again under a new id, and closes the sessions.
    pub(super) fn write_again_by_the_right_clock(&mut self, index: usize) -> Result<(), Stop> {
        let session = &self.sessions[index];
        let Some(now) = session.opened().and_then(|opened| opened.peer_time) else { return Ok(()) };
        let acked = self.acknowledged_by(session.carrier.peer);
        let acked = acked.map_or(Time::ZERO, |acked| acked.time_of(self.id()));
        let context = &mut self.context;
        let own = context.document.replica;
        let common = acked.min(context.document.knowledge.vv().time_of(own));
        // Only own writes can move back; other replicas must reissue theirs. While a foreign write from the
        // future is stored here, the aggregator would refuse the new id like the old one, over and over.
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

/// The highest time that remains once the own writes after `common` are gone.
fn past_of<S: Memory>(document: &Document<S>, common: Time) -> Time {
    let own = document.replica;
    let stays = |stamp: Stamp| stamp.replica != own || stamp.time <= common;
    let known = document.knowledge.vv().iter().filter(|e| e.replica != own).map(|e| e.time);
    let held = document.cells.below(None).filter(|c| stays(c.stamp)).map(|c| c.stamp.time);
    let forgotten = Some(document.knowledge.horizon()).filter(|stamp| stays(*stamp)).map(|stamp| stamp.time);
    known.chain(held).chain(forgotten).fold(common, Time::max)
}
