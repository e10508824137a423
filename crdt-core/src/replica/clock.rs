//! Clocks that are wrong: the device learns the time from its aggregator, and writes again what it wrote in the future.
//!
//! Nothing is clamped: a stamp stays what it is. An aggregator refuses a batch with stamps too far ahead of its own clock
//! (see [`Config::admission_ahead_ms`](super::Config::admission_ahead_ms)), and the device, which still has everything,
//! writes it again by the aggregator's clock and under a new id, because the old one has a future that nobody may see.

use super::stop::Stop;
use super::{Event, Replica, Role};
use crate::causal::Stamp;
use crate::limits::CLOCK_TOLERANCE_MS;
use crate::storage::CellStore;
use crate::sync::Memory;
use crate::time::{Moment, Time};

impl<S: Memory> Replica<S> {
    /// What is added to the readings of the driver's clock, in milliseconds. It is not stored: each session with the
    /// aggregator finds it anew.
    pub fn clock_correction_ms(&self) -> i64 {
        self.clock_correction_ms
    }

    pub(crate) fn corrected(&self, moment: Moment) -> Moment {
        moment.moved_by(self.clock_correction_ms)
    }

    /// The aggregator's Open tells its time. Gives the moment by the clock as it is corrected now.
    pub(super) fn learn_time(&mut self, moment: Moment, index: usize, time: Option<u64>) -> Moment {
        let session = &mut self.sessions[index];
        let trusted = session.carrier.with_aggregator
            && session.carrier.confirmed
            && self.config.role != Role::Aggregator;
        let Some(time) = time.and_then(Time::from_ms).filter(|_| trusted) else { return moment };
        session.peer_time = Some(time);
        let Some(now) = moment.now else {
            self.events.push(Event::ClockCorrected { now: time, by_ms: None });
            return moment;
        };
        let off_ms = time.as_ms() as i64 - now.as_ms() as i64;
        if off_ms.unsigned_abs() <= CLOCK_TOLERANCE_MS {
            return moment;
        }
        self.clock_correction_ms += off_ms;
        self.events.push(Event::ClockCorrected { now: time, by_ms: Some(self.clock_correction_ms) });
        moment.moved_by(off_ms)
    }

    /// The aggregator found stamps from the future. What it has not acknowledged is written again, under a new id; the
    /// session is over.
    pub(super) fn write_again_by_the_right_clock(
        &mut self,
        moment: Moment,
        index: usize,
    ) -> Result<(), Stop> {
        let session = &self.sessions[index];
        let Some(now) = session.peer_time else { return Ok(()) };
        let own = self.document.replica;
        let acked = self.acknowledged_by(session.carrier.peer).map_or(Time::ZERO, |acked| acked.time_of(own));
        let common = acked.min(self.document.knowledge.vv().time_of(own));
        // Only the own id goes back: what others wrote in the future is theirs to write again. While that is held, a new id
        // would be refused like the old one, over and over.
        let past = self.past_of(common);
        let helps = past.as_ms() <= now.as_ms() + CLOCK_TOLERANCE_MS && self.document.knowledge.vv().fits(1);
        if !helps {
            return Ok(());
        }
        self.document.knowledge.turn_back(own, common, past);
        self.fork(Moment { now: Some(now), ..moment }, common)
    }

    /// The highest time that is left once the own writes after `common` are gone.
    fn past_of(&self, common: Time) -> Time {
        let document = &self.document;
        let own = document.replica;
        let stays = |stamp: Stamp| stamp.replica != own || stamp.time <= common;
        let known = document.knowledge.vv().iter().filter(|e| e.replica != own).map(|e| e.time);
        let held = document.cells.below(None).filter(|c| stays(c.stamp)).map(|c| c.stamp.time);
        let forgotten =
            Some(document.knowledge.horizon()).filter(|stamp| stays(*stamp)).map(|stamp| stamp.time);
        known.chain(held).chain(forgotten).fold(common, Time::max)
    }
}
