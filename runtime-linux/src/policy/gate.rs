//! The gate between what was written here and the link; one for all documents of a device.
//!
//! It opens when the time of the first change that waits is over, and then everything goes: the headers are paid, and
//! what goes along costs its own bytes only. When all of it is handed to the link it is shut again.
//!
//! A write is *quiet* when it is no reason to send: its value equals the one that stands there, or is a number within the
//! dead band. A quiet write waits until something else leaves, until somebody wants a receipt, or until the heartbeat of
//! its rule.
//!
//! Whether a number is within the dead band is judged against the value *that the other side has*, never against the one
//! written last, so a slow drift is reported as soon as it has left the band. Equal values do not drift: what stands here
//! is enough to know them. A report that is due is not called off when the value comes back.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use control::Scalar;
use crdt_core::Time;

use super::dead_band::{is_same, number};
use super::rule::{Rule, Terms};
use crate::clock::Now;
use crate::duration::as_ms;

/// See the [module](self).
#[derive(Debug)]
pub(crate) struct Gate {
    /// For a device without a clock: periods are counted from here.
    start: Instant,
    /// Where in a period this device reports: any number, the same for all periods.
    phase: u64,
    is_open: bool,
    /// What waits, of each rule; at most as many as there are rules.
    waiting: Vec<Waiting>,
    /// What the other side has, of numbers with a dead band that were written since; by document and path.
    sent: BTreeMap<(usize, String), f64>,
    /// When what was written under a heartbeat was reported; by document and path.
    reports: BTreeMap<(usize, String), Report>,
}

/// Writes that wait under one rule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Waiting {
    pub(crate) document: usize,
    pub(crate) prefix: String,
    pub(crate) terms: Terms,
    /// When the gate opens for them. Never for quiet writes alone.
    pub(crate) until: Option<Instant>,
}

/// The last report of a path.
#[derive(Clone, Copy, Debug)]
struct Report {
    /// When; `None` if that is not known, or before this machine was started.
    at: Option<Instant>,
    /// Something was written there since.
    is_overwritten: bool,
}

/// What stood where something is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Before {
    /// The value; `None` for nothing, and for what is no value.
    pub(crate) value: Option<Scalar>,
    /// Whether the other side has it.
    pub(crate) is_sent: bool,
    /// When it was written.
    pub(crate) written: Option<Time>,
}

impl Gate {
    /// A gate that is shut. `key`: what tells this device from others.
    pub(crate) fn new(now: Instant, key: &[u8; 32]) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *key;
        let phase = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
        Self {
            start: now,
            phase,
            is_open: false,
            waiting: Vec::new(),
            sent: BTreeMap::new(),
            reports: BTreeMap::new(),
        }
    }

    /// Takes note of a write (`None`: a delete) under the rule that counts at its path. True if it is a reason to send,
    /// false if it is quiet. O(log paths + rules).
    pub(crate) fn note_write(
        &mut self,
        now: Now,
        (document, path): (usize, &str),
        rule: &Rule,
        before: &Before,
        new: Option<&Scalar>,
    ) -> bool {
        let key = (document, path.to_owned());
        let is_quiet = self.is_quiet(&key, rule, before, new);
        let reported = self.note_reported(now, key, rule, before, new);
        let terms = &rule.terms;
        let most = match terms.heartbeat {
            _ if !is_quiet => Some(terms.max_delay),
            Some(pause) => {
                let since = reported.map(|at| now.at.saturating_duration_since(at));
                Some(since.map_or(Duration::ZERO, |since| pause.saturating_sub(since)))
            }
            None => None,
        };
        self.wait(document, rule, most.map(|most| self.until(now, terms, most)));
        !is_quiet
    }

    /// Somebody waits for a receipt of what was written in a document: what is quiet there has its time as a change has.
    pub(crate) fn note_awaited(&mut self, now: Now, document: usize) {
        for index in 0..self.waiting.len() {
            let waiting = &self.waiting[index];
            if waiting.document == document && waiting.until.is_none() {
                let until = self.until(now, &waiting.terms, waiting.terms.max_delay);
                self.waiting[index].until = Some(until);
            }
        }
    }

    /// Everything goes now.
    pub(crate) fn open(&mut self) {
        self.is_open = true;
    }

    /// Opens if a time is over; tells whether it is open.
    pub(crate) fn follow(&mut self, now: Instant) -> bool {
        self.is_open |= self.next().is_some_and(|(_, until)| until <= now);
        self.is_open
    }

    /// Whether everything may go.
    pub(crate) fn is_open(&self) -> bool {
        self.is_open
    }

    /// All that waited is handed to the link.
    pub(crate) fn note_sent(&mut self, now: Instant) {
        self.is_open = false;
        self.waiting.clear();
        self.sent.clear();
        for report in self.reports.values_mut().filter(|report| report.is_overwritten) {
            *report = Report { at: Some(now), is_overwritten: false };
        }
    }

    /// When it opens by itself, if it is shut.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.is_open { None } else { self.next().map(|(_, until)| until) }
    }

    /// What it opens for first, and when.
    pub(crate) fn next(&self) -> Option<(&Waiting, Instant)> {
        let timed = self.waiting.iter().filter_map(|waiting| Some((waiting, waiting.until?)));
        timed.min_by_key(|(_, until)| *until)
    }

    /// Something waits under a rule, until a time or for company alone. When the gate is open it does not wait.
    fn wait(&mut self, document: usize, rule: &Rule, until: Option<Instant>) {
        if self.is_open {
            return;
        }
        let same = |waiting: &&mut Waiting| waiting.document == document && waiting.prefix == rule.prefix;
        match self.waiting.iter_mut().find(same) {
            Some(waiting) => waiting.until = [waiting.until, until].into_iter().flatten().min(),
            None => {
                let prefix = rule.prefix.clone();
                self.waiting.push(Waiting { document, prefix, terms: rule.terms, until });
            }
        }
    }

    /// Whether a write says no more than what the other side has, or will have.
    fn is_quiet(
        &mut self,
        key: &(usize, String),
        rule: &Rule,
        before: &Before,
        new: Option<&Scalar>,
    ) -> bool {
        let is_near = !rule.terms.dead_band.is_empty() && self.is_within(key, rule, before, new);
        is_near || before.value.as_ref().zip(new).is_some_and(|(before, new)| is_same(before, new))
    }

    /// Whether a number is so near to what the other side has that it is no change.
    fn is_within(
        &mut self,
        key: &(usize, String),
        rule: &Rule,
        before: &Before,
        new: Option<&Scalar>,
    ) -> bool {
        let sent = match before.value.as_ref().and_then(number) {
            Some(sent) if before.is_sent => {
                self.sent.insert(key.clone(), sent);
                Some(sent)
            }
            None if before.is_sent => {
                self.sent.remove(key);
                None
            }
            _ => self.sent.get(key).copied(),
        };
        match (sent, new.and_then(number)) {
            (Some(sent), Some(new)) => rule.terms.dead_band.contains(sent, new),
            _ => false,
        }
    }

    /// Notes that a path under a heartbeat is written; tells when it was reported. What this process has not seen leave
    /// was reported when it was written, for all that is known.
    fn note_reported(
        &mut self,
        now: Now,
        key: (usize, String),
        rule: &Rule,
        before: &Before,
        new: Option<&Scalar>,
    ) -> Option<Instant> {
        if new.is_none() {
            self.forget_reports(&key);
        }
        new.filter(|_| rule.terms.heartbeat.is_some())?;
        let age = || Some(now.wall?.as_ms().saturating_sub(before.written?.as_ms()));
        let known = || age().and_then(|ms| now.at.checked_sub(Duration::from_millis(ms)));
        let report = self.reports.entry(key).or_insert_with(|| Report { at: known(), is_overwritten: false });
        report.is_overwritten = true;
        report.at
    }

    /// Forgets the reports at a path and below: it is deleted.
    fn forget_reports(&mut self, (document, path): &(usize, String)) {
        let below = format!("{path}/");
        let from = self.reports.range((*document, path.clone())..);
        let is_there = |other: &&(usize, String)| other.1 == *path || other.1.starts_with(&below);
        let near =
            from.map(|(key, _)| key).take_while(|(at, other)| at == document && other.starts_with(path));
        let gone: Vec<_> = near.filter(is_there).cloned().collect();
        for key in gone {
            self.reports.remove(&key);
        }
    }

    /// When a write of now has waited long enough: at the last multiple of the period that `most` leaves room for, or when
    /// that is over.
    fn until(&self, now: Now, terms: &Terms, most: Duration) -> Instant {
        let latest = now.at + most;
        let Some(period_ms) = terms.align.map(as_ms).filter(|ms| *ms > 0) else {
            return latest;
        };
        let since_start = || as_ms(now.at.saturating_duration_since(self.start));
        let now_ms = now.wall.map_or_else(since_start, Time::as_ms);
        let phase = if terms.is_in_step { 0 } else { self.phase % period_ms };
        // Times from one that is a multiple, and not later than 1970.
        let latest_ms = now_ms + as_ms(most) + (period_ms - phase);
        let over_ms = latest_ms % period_ms;
        if over_ms > as_ms(most) { latest } else { latest - Duration::from_millis(over_ms) }
    }
}

#[cfg(test)]
mod tests;
