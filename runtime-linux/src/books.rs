//! The ledger over time: what the link cost on each day and in each billing period, by cause.
//!
//! | setting | content |
//! |---|---|
//! | `ledger/day/N` | JSON: first day of the record, its zone, and a [`Ledger`]; N is the day modulo [`DAYS_KEPT`] |
//! | `ledger/month/N` | the same for a billing period, with its end and its number; N is below [`MONTHS_KEPT`] |
//! | `ledger/clock` | 8 bytes, little endian: the time of the last save, in milliseconds since 1970 |
//!
//! A new record takes the place of the oldest one, so the history is bounded whatever happens to the clock, and a save
//! writes two records however long the history is. A record has less than 1.5 kB.
//!
//! # Another reset day
//!
//! The rows of the periods never overlap, and what was counted is in one of them. A row that is followed by another one
//! stays as it is. When the reset day changes, the last row, if it is not over, is cut where the period under way by the new
//! day begins; if that is before the row, then the row is this period's, and shorter than it. It ends on the next reset day.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use serde::{Deserialize, Serialize};
use storage_redb::{Batch, Store, StoreError};
use transport_quic::Ledger;

use crate::billing::{Billing, Day};
use crate::report::{LedgerReport, ReportRow, utc};
use crate::zone::Zone;

/// Days whose traffic is remembered.
pub const DAYS_KEPT: u32 = 92;
/// Billing periods whose traffic is remembered.
pub const MONTHS_KEPT: u64 = 36;

/// Traffic by day and by billing period.
#[derive(Clone, Debug, Default)]
pub struct Books {
    billing: Billing,
    days: BTreeMap<Day, Row>,
    /// By their first days. They do not overlap.
    periods: BTreeMap<Day, Period>,
    /// The time that was noted last, in milliseconds since 1970.
    clock_ms: u64,
    unsaved_days: BTreeSet<Day>,
    unsaved_periods: BTreeSet<Day>,
}

/// What was counted.
#[derive(Clone, Debug, Default)]
struct Row {
    /// The name of the zone in which it was counted last.
    zone: String,
    ledger: Ledger,
}

/// A row of the months.
#[derive(Clone, Debug)]
struct Period {
    /// The first day that is not in it.
    until: Day,
    /// Where it is in the store, below [`MONTHS_KEPT`].
    slot: u64,
    /// Rows that were begun later have higher ones.
    number: u64,
    row: Row,
}

impl Books {
    /// Empty books, for days and billing periods that begin as `billing` says.
    #[must_use]
    pub fn new(billing: Billing) -> Self {
        Self { billing, ..Self::default() }
    }

    /// The books in a store. A record that a newer version wrote and this one cannot read counts as missing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn load(store: &Store, billing: Billing) -> Result<Self, StoreError> {
        let mut books = Self::new(billing);
        for slot in 0..u64::from(DAYS_KEPT) {
            if let Some(record) = read(store, &day_setting(slot))? {
                books.days.insert(record.start, record.row());
            }
        }
        let mut old = Vec::new();
        for slot in 0..MONTHS_KEPT {
            let Some(record) = read(store, &month_setting(slot))? else { continue };
            let start = record.start;
            old.extend(record.until.is_none().then_some(start));
            let until = record
                .until
                .unwrap_or_else(|| Billing::new(start.day_of_month(), Zone::UTC).period_end(start));
            let until = until.max(start.next());
            let number = record.number;
            books.periods.insert(start, Period { until, slot, number, row: record.row() });
        }
        let clock = store.setting(CLOCK_SETTING)?.and_then(|bytes| bytes.try_into().ok());
        books.clock_ms = clock.map_or(0, u64::from_le_bytes);
        books.take_over(old);
        Ok(books)
    }

    /// When its days and periods begin.
    #[must_use]
    pub fn billing(&self) -> &Billing {
        &self.billing
    }

    /// Counts traffic of a day.
    pub fn record(&mut self, day: Day, added: Ledger) {
        if added == Ledger::default() {
            return;
        }
        let day = day.min(Day::LAST);
        self.follow(day);
        let start = self.row_of(day);
        let zone = self.billing.zone().name();
        self.days.entry(day).or_default().add(zone, added);
        if let Some(period) = self.periods.get_mut(&start) {
            period.row.add(zone, added);
        }
        self.unsaved_days.insert(day);
        self.unsaved_periods.insert(start);
        self.days.retain(|old, _| *old == day || old.0 % DAYS_KEPT != day.0 % DAYS_KEPT);
    }

    /// Gives the last row the bounds that the reset day says, if `today` is in it: that may be another one than when the row was
    /// begun. Rows never overlap.
    pub fn follow(&mut self, today: Day) {
        let (from, until) = (self.billing.period_start(today), self.billing.period_end(today));
        if let Some(start) = self.last_row_with(today)
            && start < from
        {
            self.cut(start, from);
        }
        let Some(start) = self.last_row_with(today) else { return };
        let end = self.periods[&start].until;
        if until < end {
            self.cut(start, until);
        } else if end < until
            && let Some(period) = self.periods.get_mut(&start)
        {
            period.until = until;
            self.unsaved_periods.insert(start);
        }
    }

    /// Notes the time, for a device without a clock: after a restart it counts on from there.
    pub fn note_time(&mut self, ms: u64) {
        self.clock_ms = ms;
    }

    /// The last time that is known, in milliseconds since 1970: the one that was noted, or the newest day with traffic.
    #[must_use]
    pub fn known_ms(&self) -> u64 {
        self.newest_day().map_or(0, |day| self.billing.start_ms(day)).max(self.clock_ms)
    }

    /// Adds what changed since the last call to a batch. Cost: two records in a day, and the time.
    pub fn stage(&mut self, batch: &mut Batch<'_>) {
        if self.clock_ms > 0 {
            batch.set(CLOCK_SETTING, self.clock_ms.to_le_bytes().to_vec());
        }
        for start in std::mem::take(&mut self.unsaved_days) {
            if let Some(row) = self.days.get(&start) {
                batch.set(day_setting((start.0 % DAYS_KEPT).into()), Record::of_day(start, row).write());
            }
        }
        for start in std::mem::take(&mut self.unsaved_periods) {
            if let Some(period) = self.periods.get(&start) {
                batch.set(month_setting(period.slot), Record::of_period(start, period).write());
            }
        }
    }

    /// Whether [`stage`](Self::stage) has something to write.
    #[must_use]
    pub fn has_unsaved(&self) -> bool {
        !self.unsaved_days.is_empty() || !self.unsaved_periods.is_empty()
    }

    /// IP bytes of the billing period that a day belongs to.
    #[must_use]
    pub fn period_bytes(&self, day: Day) -> u64 {
        let period = self.billing.period_start(day)..self.billing.period_end(day);
        let rows = || self.periods.range(period.clone());
        // A row that is older than the reset day begins later than the period, or before it.
        let first = rows().next().map_or(period.end, |(start, _)| *start);
        let in_rows = rows().map(|(_, of)| of.row.ledger.bytes()).fold(0, u64::saturating_add);
        self.days_bytes(period.start..first).saturating_add(in_rows)
    }

    /// IP bytes of days, as far as they are remembered.
    #[must_use]
    pub fn days_bytes(&self, days: Range<Day>) -> u64 {
        if days.is_empty() {
            return 0;
        }
        self.days.range(days).map(|(_, row)| row.ledger.bytes()).fold(0, u64::saturating_add)
    }

    /// IP bytes of a day.
    #[must_use]
    pub fn day_bytes(&self, day: Day) -> u64 {
        self.days.get(&day).map_or(0, |row| row.ledger.bytes())
    }

    /// The newest day that has traffic.
    #[must_use]
    pub fn newest_day(&self) -> Option<Day> {
        self.days.keys().next_back().copied()
    }

    /// All of it, oldest first.
    #[must_use]
    pub fn report(&self) -> LedgerReport {
        let shown = |start: Day, until: Day, row: &Row| ReportRow {
            from: start.to_string(),
            until: until.to_string(),
            zone: row.zone.clone(),
            total: row.ledger.total(),
            sent: row.ledger.sent,
            received: row.ledger.received,
        };
        LedgerReport {
            reset_day: self.billing.reset_day(),
            zone: self.billing.zone().name().to_owned(),
            months: self.periods.iter().map(|(start, of)| shown(*start, of.until, &of.row)).collect(),
            days: self.days.iter().map(|(day, row)| shown(*day, day.next(), row)).collect(),
        }
    }

    /// The first day of the row in which a day counts. One is begun if there is none.
    fn row_of(&mut self, day: Day) -> Day {
        let before = self.periods.range(..=day).next_back().map(|(start, of)| (*start, of.until));
        if let Some((start, _)) = before.filter(|(_, until)| day < *until) {
            return start;
        }
        let (from, until) = (self.billing.period_start(day), self.billing.period_end(day));
        let next = self.periods.range(day..).next().map(|(start, _)| *start);
        let start = before.map_or(from, |(_, end)| from.max(end));
        self.begin(start, next.map_or(until, |next| until.min(next)), Row::default());
        start
    }

    /// The last row, if a day is in it.
    fn last_row_with(&self, day: Day) -> Option<Day> {
        let (start, of) = self.periods.last_key_value()?;
        (*start..of.until).contains(&day).then_some(*start)
    }

    /// Ends a row, and makes another one of the days that are cut off. Neither of them is kept without traffic in it, unless
    /// both have none.
    fn cut(&mut self, start: Day, at: Day) {
        let Some(period) = self.periods.get_mut(&start) else { return };
        let cut_off = at..std::mem::replace(&mut period.until, at);
        let mut rest = Row { zone: period.row.zone.clone(), ledger: Ledger::default() };
        self.days.range(cut_off.clone()).for_each(|(_, day)| rest.ledger += day.ledger);
        period.row.ledger = period.row.ledger.since(&rest.ledger);
        self.unsaved_periods.insert(start);
        if rest.ledger == Ledger::default() {
            return;
        }
        if period.row.ledger == Ledger::default()
            && let Some(emptied) = self.periods.remove(&start)
        {
            self.periods.insert(at, Period { until: cut_off.end, row: rest, ..emptied });
            self.unsaved_periods.insert(at);
        } else {
            self.begin(at, cut_off.end, rest);
        }
    }

    /// Puts a row into a free place, or into that of the one that was begun first.
    fn begin(&mut self, start: Day, until: Day, row: Row) {
        let taken: BTreeSet<u64> = self.periods.values().map(|of| of.slot).collect();
        let free = (0..MONTHS_KEPT).find(|slot| !taken.contains(slot));
        let slot = free.or_else(|| {
            let oldest = self.periods.iter().min_by_key(|(_, of)| of.number).map(|(start, _)| *start)?;
            self.periods.remove(&oldest).map(|of| of.slot)
        });
        let number =
            self.periods.values().map(|of| of.number).max().map_or(0, |number| number.saturating_add(1));
        self.periods.insert(start, Period { until, slot: slot.unwrap_or(0), number, row });
        self.unsaved_periods.insert(start);
    }

    /// Rows of an earlier version have no ends, and overlap where the reset day was changed: then what is in both is in the
    /// later one.
    fn take_over(&mut self, old: Vec<Day>) {
        for start in old {
            let next = self.periods.range(start.next()..).next().map(|(next, _)| *next);
            if let (Some(next), Some(of)) = (next, self.periods.get_mut(&start))
                && next < of.until
            {
                let overlap = next..std::mem::replace(&mut of.until, next);
                self.days
                    .range(overlap)
                    .for_each(|(_, day)| of.row.ledger = of.row.ledger.since(&day.ledger));
                self.unsaved_periods.insert(start);
            }
        }
    }
}

impl Row {
    fn add(&mut self, zone: &str, added: Ledger) {
        if self.zone != zone {
            zone.clone_into(&mut self.zone);
        }
        self.ledger += added;
    }
}

/// One record in the store.
#[derive(Serialize, Deserialize)]
struct Record {
    start: Day,
    /// None for a day, and for what an earlier version wrote.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    until: Option<Day>,
    /// Earlier versions counted in UTC.
    #[serde(default = "utc")]
    zone: String,
    #[serde(default)]
    number: u64,
    #[serde(flatten)]
    ledger: Ledger,
}

impl Record {
    fn of_day(start: Day, row: &Row) -> Self {
        Self { start, until: None, zone: row.zone.clone(), number: 0, ledger: row.ledger }
    }

    fn of_period(start: Day, Period { until, number, row, .. }: &Period) -> Self {
        Self { until: Some(*until), number: *number, ..Self::of_day(start, row) }
    }

    fn row(self) -> Row {
        Row { zone: self.zone, ledger: self.ledger }
    }

    fn write(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("numbers and texts under fixed names are JSON")
    }
}

fn read(store: &Store, setting: &str) -> Result<Option<Record>, StoreError> {
    let Some(bytes) = store.setting(setting)? else { return Ok(None) };
    let record = serde_json::from_slice(&bytes);
    if let Err(error) = &record {
        tracing::warn!(setting, %error, "a record of the ledger cannot be read");
    }
    Ok(record.ok())
}

/// See the [module](self).
const CLOCK_SETTING: &str = "ledger/clock";

fn day_setting(slot: u64) -> String {
    format!("ledger/day/{slot}")
}

fn month_setting(slot: u64) -> String {
    format!("ledger/month/{slot}")
}

#[cfg(test)]
mod tests;
