//! The gate between what was written here and the link; one for all documents of a device.
//!
//! It opens when the time of the first change that waits is over, and then everything goes: the headers are paid, and
//! what goes along costs its own bytes only. When all of it is handed to the link it is shut again.
//!
//! Whether a change of a number is one is judged against the value *that the other side has*, never against the one
//! written last, so a slow drift is reported as soon as it has left the dead band. A report that is due is not called
//! off when the value comes back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use control::Scalar;
use crdt_core::Time;

use super::period::Period;
use super::rule::{Rule, Terms};
use crate::clock::Now;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Gate {
    /// For a device without a clock: periods are counted from here.
    start: Instant,
    /// Where in a period this device reports: any number, the same for all periods.
    phase: u64,
    is_open: bool,
    /// The first change that waits, of each rule; at most as many as there are rules.
    waiting: Vec<Waiting>,
    /// What the other side has, of numbers with a dead band that were written since; by document and path.
    sent: BTreeMap<(usize, String), f64>,
}

/// Changes that wait under one rule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Waiting {
    pub(crate) document: usize,
    pub(crate) prefix: String,
    pub(crate) terms: Terms,
    /// When the gate opens for them.
    pub(crate) until: Instant,
}

/// What stood where something is written.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Before {
    /// The other side has it; a number, or nothing that could be compared with one.
    Sent(Option<f64>),
    /// The other side has something older.
    Unsent,
}

impl Gate {
    /// A gate that is shut. `key`: what tells this device from others.
    pub(crate) fn new(now: Instant, key: &[u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *key;
        let phase = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        Self { start: now, phase, is_open: false, waiting: Vec::new(), sent: BTreeMap::new() }
    }

    /// Takes note of a write (`None`: a delete) under the rule that counts at its path. O(log paths + rules).
    pub(crate) fn note_write(
        &mut self,
        now: Now,
        (document, path): (usize, &str),
        rule: &Rule,
        before: Before,
        new: Option<&Scalar>,
    ) {
        if rule.terms.dead_band.is_empty() || !self.is_within(document, path, rule, before, new) {
            self.note_change(now, document, rule);
        }
    }

    /// Takes note of a change that is one whatever the dead band says.
    pub(crate) fn note_change(&mut self, now: Now, document: usize, rule: &Rule) {
        if self.is_open {
            return;
        }
        let until = self.until(now, &rule.terms);
        let same = |waiting: &&mut Waiting| waiting.document == document && waiting.prefix == rule.prefix;
        match self.waiting.iter_mut().find(same) {
            Some(waiting) => waiting.until = waiting.until.min(until),
            None => {
                let prefix = rule.prefix.clone();
                self.waiting.push(Waiting { document, prefix, terms: rule.terms, until });
            }
        }
    }

    /// Everything goes now.
    pub(crate) fn open(&mut self) {
        self.is_open = true;
    }

    /// Opens if a time is over; tells whether it is open.
    pub(crate) fn follow(&mut self, now: Instant) -> bool {
        self.is_open |= self.next().is_some_and(|waiting| waiting.until <= now);
        self.is_open
    }

    /// Whether everything may go.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// All that waited is handed to the link.
    pub(crate) fn note_sent(&mut self) {
        self.is_open = false;
        self.waiting.clear();
        self.sent.clear();
    }

    /// When it opens by itself, if it is shut.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.is_open { None } else { self.next().map(|waiting| waiting.until) }
    }

    /// What it opens for first.
    pub(crate) fn next(&self) -> Option<&Waiting> {
        self.waiting.iter().min_by_key(|waiting| waiting.until)
    }

    /// Whether a write is so near to what the other side has that it is no change.
    fn is_within(
        &mut self,
        document: usize,
        path: &str,
        rule: &Rule,
        before: Before,
        new: Option<&Scalar>,
    ) -> bool {
        let key = (document, path.to_owned());
        let sent = match before {
            Before::Sent(Some(sent)) => {
                self.sent.insert(key, sent);
                Some(sent)
            }
            Before::Sent(None) => {
                self.sent.remove(&key);
                None
            }
            Before::Unsent => self.sent.get(&key).copied(),
        };
        match (sent, new.and_then(number)) {
            (Some(sent), Some(new)) => rule.terms.dead_band.contains(sent, new),
            _ => false,
        }
    }

    /// When a change of now has waited long enough: at the last multiple of the period that the longest delay leaves room
    /// for, or when that is over.
    fn until(&self, now: Now, terms: &Terms) -> Instant {
        let latest = now.at + terms.max_delay.as_duration();
        let Some(period_ms) = terms.align.map(Period::as_ms).filter(|ms| *ms > 0) else {
            return latest;
        };
        let since_start = || now.at.saturating_duration_since(self.start).as_millis() as u64;
        let now_ms = now.wall.map_or_else(since_start, Time::as_ms);
        let phase = if terms.is_in_step { 0 } else { self.phase % period_ms };
        // Times from one that is a multiple, and not later than 1970.
        let latest_ms = now_ms + terms.max_delay.as_ms() + (period_ms - phase);
        let over_ms = latest_ms % period_ms;
        if over_ms > terms.max_delay.as_ms() { latest } else { latest - Duration::from_millis(over_ms) }
    }
}

/// The number that a scalar is.
pub(crate) fn number(scalar: &Scalar) -> Option<f64> {
    match scalar {
        Scalar::F64(number) => Some(*number),
        Scalar::I64(number) => Some(*number as f64),
        Scalar::Bool(_) | Scalar::Bytes(_) | Scalar::Null | Scalar::Str(_) => None,
    }
}

#[cfg(test)]
mod tests;
