//! The ledger over time: what the link cost on each day and in each billing period, by cause.
//!
//! | setting | content |
//! |---|---|
//! | `ledger/day/N` | JSON: first day of the record, and a [`Ledger`]; N is the day modulo [`DAYS_KEPT`] |
//! | `ledger/clock` | 8 bytes, little endian: the time of the last save, in milliseconds since 1970 |
//! | `ledger/month/N` | the same for the billing period that begins in calendar month N, modulo [`MONTHS_KEPT`] |
//!
//! A new record takes the place of the oldest one, so the history is bounded whatever happens to the clock, and a save
//! writes two records however long the history is. A record has less than 1.5 kB.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use storage_redb::{Batch, Store, StoreError};
use transport_quic::Ledger;

use crate::calendar::Day;
use crate::report::{LedgerReport, ReportRow};

/// Days whose traffic is remembered.
pub const DAYS_KEPT: u32 = 92;
/// Billing periods whose traffic is remembered.
pub const MONTHS_KEPT: u64 = 36;

/// Traffic by day and by billing period.
#[derive(Clone, Debug, Default)]
pub struct Books {
    reset_day: u8,
    days: BTreeMap<Day, Ledger>,
    /// By the first day of the period; one for each calendar month.
    months: BTreeMap<Day, Ledger>,
    /// The time that was noted last, in milliseconds since 1970.
    clock_ms: u64,
    unsaved_days: BTreeSet<Day>,
    unsaved_months: BTreeSet<Day>,
}

impl Books {
    /// Empty books, for billing periods that begin on `reset_day`; values outside of 1 to 28 count as the nearer end.
    #[must_use]
    pub fn new(reset_day: u8) -> Self {
        Self { reset_day: reset_day.clamp(1, 28), ..Self::default() }
    }

    /// The books in a store. A record that a newer version wrote and this one cannot read counts as missing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub fn load(store: &Store, reset_day: u8) -> Result<Self, StoreError> {
        let mut books = Self::new(reset_day);
        for slot in 0..u64::from(DAYS_KEPT) {
            if let Some(record) = read(store, &day_setting(slot))? {
                books.days.insert(record.start, record.ledger);
            }
        }
        for slot in 0..MONTHS_KEPT {
            if let Some(record) = read(store, &month_setting(slot))? {
                books.months.insert(record.start, record.ledger);
            }
        }
        let clock = store.setting(CLOCK_SETTING)?.and_then(|bytes| bytes.try_into().ok());
        books.clock_ms = clock.map_or(0, u64::from_le_bytes);
        books.follow_reset_day();
        Ok(books)
    }

    /// Counts traffic of a day.
    pub fn record(&mut self, day: Day, added: Ledger) {
        if added == Ledger::default() {
            return;
        }
        let period = day.period_start(self.reset_day);
        *self.days.entry(day).or_default() += added;
        *self.months.entry(period).or_default() += added;
        self.unsaved_days.insert(day);
        self.unsaved_months.insert(period);
        self.days.retain(|old, _| *old == day || old.0 % DAYS_KEPT != day.0 % DAYS_KEPT);
        let slot = period.month() % MONTHS_KEPT;
        self.months.retain(|old, _| *old == period || old.month() % MONTHS_KEPT != slot);
    }

    /// Notes the time, for a device without a clock: after a restart it counts on from there.
    pub fn note_time(&mut self, ms: u64) {
        self.clock_ms = ms;
    }

    /// The last time that is known, in milliseconds since 1970: the one that was noted, or the newest day with traffic.
    #[must_use]
    pub fn known_ms(&self) -> u64 {
        self.newest_day().map_or(0, Day::start_ms).max(self.clock_ms)
    }

    /// Adds what changed since the last call to a batch. Cost: two records in a day, and the time.
    pub fn stage(&mut self, batch: &mut Batch<'_>) {
        if self.clock_ms > 0 {
            batch.set(CLOCK_SETTING, self.clock_ms.to_le_bytes().to_vec());
        }
        for start in std::mem::take(&mut self.unsaved_days) {
            if let Some(ledger) = self.days.get(&start) {
                batch.set(day_setting((start.0 % DAYS_KEPT).into()), write(start, *ledger));
            }
        }
        for start in std::mem::take(&mut self.unsaved_months) {
            if let Some(ledger) = self.months.get(&start) {
                batch.set(month_setting(start.month() % MONTHS_KEPT), write(start, *ledger));
            }
        }
    }

    /// Whether [`stage`](Self::stage) has something to write.
    #[must_use]
    pub fn has_unsaved(&self) -> bool {
        !self.unsaved_days.is_empty()
    }

    /// IP bytes of the billing period that a day belongs to.
    #[must_use]
    pub fn period_bytes(&self, day: Day) -> u64 {
        self.months.get(&day.period_start(self.reset_day)).map_or(0, Ledger::bytes)
    }

    /// IP bytes of a day.
    #[must_use]
    pub fn day_bytes(&self, day: Day) -> u64 {
        self.days.get(&day).map_or(0, Ledger::bytes)
    }

    /// The newest day that has traffic.
    #[must_use]
    pub fn newest_day(&self) -> Option<Day> {
        self.days.keys().next_back().copied()
    }

    /// All of it, oldest first.
    #[must_use]
    pub fn report(&self) -> LedgerReport {
        let row = |(start, ledger): (&Day, &Ledger), end: Day| ReportRow {
            from: start.to_string(),
            until: end.to_string(),
            total: ledger.total(),
            sent: ledger.sent,
            received: ledger.received,
        };
        LedgerReport {
            reset_day: self.reset_day,
            months: self.months.iter().map(|it| row(it, it.0.period_end(self.reset_day))).collect(),
            days: self.days.iter().map(|it| row(it, Day(it.0.0.saturating_add(1)))).collect(),
        }
    }

    /// The plan's reset day may be another one than when the records were made: then the period of the newest day is
    /// put together from its days, and takes the place of the one that began in the same calendar month.
    fn follow_reset_day(&mut self) {
        let Some(newest) = self.newest_day() else { return };
        let period = newest.period_start(self.reset_day);
        if self.months.contains_key(&period) {
            return;
        }
        let mut sum = Ledger::default();
        self.days.range(period..).for_each(|(_, ledger)| sum += *ledger);
        self.months.retain(|old, _| old.month() != period.month());
        self.months.insert(period, sum);
        self.unsaved_months.insert(period);
    }
}

/// One record in the store.
#[derive(Serialize, Deserialize)]
struct Record {
    start: Day,
    #[serde(flatten)]
    ledger: Ledger,
}

fn read(store: &Store, setting: &str) -> Result<Option<Record>, StoreError> {
    let Some(bytes) = store.setting(setting)? else { return Ok(None) };
    let record = serde_json::from_slice(&bytes);
    if let Err(error) = &record {
        tracing::warn!(setting, %error, "a record of the ledger cannot be read");
    }
    Ok(record.ok())
}

fn write(start: Day, ledger: Ledger) -> Vec<u8> {
    serde_json::to_vec(&Record { start, ledger }).expect("numbers under fixed names are JSON")
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
mod tests {
    use proptest::prelude::*;
    use transport_quic::{Cause, Count};

    use super::*;

    fn ledger(seed: u64) -> Ledger {
        let mut ledger = Ledger::default();
        for (i, cause) in Cause::ALL.into_iter().enumerate() {
            let n = seed.wrapping_mul(i as u64 + 3) % 997;
            ledger.sent[cause] = Count { packets: n / 100, bytes: n };
            ledger.received[cause] = Count { packets: n / 90, bytes: n * 3 % 1009 };
        }
        ledger
    }

    fn reopened(books: &mut Books, store: &Store, reset_day: u8) -> Books {
        let mut batch = Batch::new();
        books.stage(&mut batch);
        store.commit(&batch).unwrap();
        Books::load(store, reset_day).unwrap()
    }

    #[test]
    fn the_books_come_back_as_they_were_saved_and_stay_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::open(&directory.path().join("store.redb")).unwrap();
        let mut books = Books::new(10);
        for day in 20_000..21_500 {
            books.record(Day(day), ledger(day.into()));
        }
        let again = reopened(&mut books, &store, 10);
        assert_eq!(again.report(), books.report());
        let report = again.report();
        assert_eq!((report.days.len(), report.months.len()), (92, 36));
        assert_eq!(report.days.last().unwrap().from, "2028-11-11");
        assert_eq!(report.months.last().unwrap().from, "2028-11-10");
        assert!(!books.has_unsaved() && !again.has_unsaved());

        // The period of the new reset day is the sum of its days.
        let moved = reopened(&mut books, &store, 5);
        let bytes = (0..7).map(|i| books.day_bytes(Day(21_499 - i))).sum::<u64>();
        assert_eq!((moved.newest_day(), moved.period_bytes(Day(21_499))), (Some(Day(21_499)), bytes));
    }

    proptest! {
        /// Whatever the clock does: what was counted is in the days, in the months, and under the causes.
        #[test]
        fn days_months_and_causes_add_up(
            steps in prop::collection::vec((20_000_u32..20_080, any::<u64>()), 1..60),
            reset_day in 1_u8..=28,
        ) {
            let mut books = Books::new(reset_day);
            let mut total = Ledger::default();
            for (day, seed) in steps {
                books.record(Day(day), ledger(seed));
                total += ledger(seed);
            }
            let report = books.report();
            for rows in [&report.days, &report.months] {
                let mut sum = Ledger::default();
                for row in rows {
                    let by_cause: u64 = Cause::ALL.iter().map(|c| row.sent[*c].bytes + row.received[*c].bytes).sum();
                    prop_assert_eq!(by_cause, row.total.bytes);
                    sum += Ledger { sent: row.sent, received: row.received };
                }
                prop_assert_eq!(sum, total);
            }
        }
    }
}
