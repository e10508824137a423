//! Days and billing periods, in UTC, without leap seconds.
//!
//! The conversions are those of Howard Hinnant, "chrono-compatible low-level date algorithms", 2013 (`civil_from_days`,
//! `days_from_civil`), for the years from 1970 on.

use std::fmt;

use crdt_core::Time;
use serde::{Deserialize, Serialize};

/// A day: how many have passed since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Day(pub u32);

impl Day {
    /// The day of a time.
    #[must_use]
    pub fn of(time: Time) -> Self {
        Self((time.as_ms() / DAY_MS).try_into().unwrap_or(u32::MAX))
    }

    /// Its first moment, in milliseconds since 1970.
    #[must_use]
    pub fn start_ms(self) -> u64 {
        u64::from(self.0) * DAY_MS
    }

    /// The first day of the billing period that this day belongs to, where periods begin on `reset_day`, 1 to 28.
    pub(crate) fn period_start(self, reset_day: u8) -> Self {
        let (year, month, day) = self.civil();
        let months = months(year, month);
        let months = if day >= u64::from(reset_day) { months } else { months.saturating_sub(1) };
        first_of(months, reset_day)
    }

    /// The first day of the next billing period.
    pub(crate) fn period_end(self, reset_day: u8) -> Self {
        let (year, month, _) = self.period_start(reset_day).civil();
        first_of(months(year, month) + 1, reset_day)
    }

    /// Calendar months since the year 0.
    pub(crate) fn month(self) -> u64 {
        let (year, month, _) = self.civil();
        months(year, month)
    }

    /// Year, month from 1, day from 1.
    fn civil(self) -> (u64, u64, u64) {
        let z = u64::from(self.0) + DAYS_BEFORE_1970;
        let era = z / DAYS_PER_ERA;
        let day_of_era = z % DAYS_PER_ERA;
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * from_march + 2) / 5 + 1;
        let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
        (year_of_era + era * 400 + u64::from(month <= 2), month, day)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

fn months(year: u64, month: u64) -> u64 {
    year * 12 + month - 1
}

/// A day of the month that is so many months after the year 0.
fn first_of(months: u64, day: u8) -> Day {
    let (year, month) = (months / 12, months % 12 + 1);
    let year = if month <= 2 { year - 1 } else { year };
    let from_march = if month > 2 { month - 3 } else { month + 9 };
    let year_of_era = year % 400;
    let day_of_year = (153 * from_march + 2) / 5 + u64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (year / 400 * DAYS_PER_ERA + day_of_era).saturating_sub(DAYS_BEFORE_1970);
    Day(days.try_into().unwrap_or(u32::MAX))
}

/// Milliseconds of a day.
pub(crate) const DAY_MS: u64 = 24 * 3600 * 1000;
/// From 0000-03-01 to 1970-01-01.
const DAYS_BEFORE_1970: u64 = 719_468;
/// Days in 400 years.
const DAYS_PER_ERA: u64 = 146_097;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (days, text) in
            [(0, "1970-01-01"), (11_016, "2000-02-29"), (20_779, "2026-11-22"), (47_481, "2099-12-31")]
        {
            assert_eq!(Day(days).to_string(), text);
        }
        for days in 0..60_000 {
            let (year, month, day) = Day(days).civil();
            assert_eq!(first_of(months(year, month), day as u8), Day(days));
        }
    }

    #[test]
    fn periods_begin_on_their_day_and_leave_no_gap() {
        assert_eq!(Day(20_779).period_start(1).to_string(), "2026-11-01");
        assert_eq!(Day(20_779).period_end(1).to_string(), "2026-12-01");
        assert_eq!(Day(20_779).period_start(23).to_string(), "2026-10-23");
        assert_eq!(Day(20_779).period_start(22).to_string(), "2026-11-22");
        for reset_day in 1..=28 {
            for days in 20_000..21_000 {
                let (start, end) = (Day(days).period_start(reset_day), Day(days).period_end(reset_day));
                assert!(start <= Day(days) && Day(days) < end && (28..=31).contains(&(end.0 - start.0)));
                assert_eq!(end.period_start(reset_day), end);
            }
        }
    }
}
