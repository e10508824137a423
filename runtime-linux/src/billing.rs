//! Days and billing periods, as a carrier counts them.

use std::fmt;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::zone::Zone;

/// A day of the calendar: how many have passed since 1970-01-01. Which moments it has depends on the zone, see
/// [`Billing::start_ms`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Day(pub u32);

/// When days and billing periods begin: at midnight in a time zone, and on a day of the month.
///
/// A period begins on the reset day of each month, or on the last day of a month that is shorter. Days and periods follow
/// one another without gap and overlap, whatever the clocks of the zone do at midnight.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Billing {
    reset_day: u8,
    #[serde(default)]
    zone: Zone,
}

impl Day {
    /// 9999-12-31.
    pub(crate) const LAST: Self = Self(2_932_896);

    /// The day after it.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }

    /// The day of the month, from 1.
    pub(crate) fn day_of_month(self) -> u8 {
        u8::try_from(self.date().day()).unwrap_or(1)
    }

    fn date(self) -> Date {
        EPOCH.saturating_add(SignedDuration::from_hours(24 * i64::from(self.0)))
    }
}

impl From<Date> for Day {
    /// Days before 1970 count as the first one.
    fn from(date: Date) -> Self {
        let hours = date.duration_since(EPOCH).as_hours();
        Self((hours / 24).clamp(0, u32::MAX.into()) as u32)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.date(), f)
    }
}

impl Billing {
    /// Periods that begin on a day of the month; values outside of 1 to 31 count as the nearer end.
    #[must_use]
    pub const fn new(reset_day: u8, zone: Zone) -> Self {
        let reset_day = match reset_day {
            0 => 1,
            1..=RESET_DAY_MAX => reset_day,
            _ => RESET_DAY_MAX,
        };
        Self { reset_day, zone }
    }

    /// The day of the month on which periods begin; a shorter month has its last day instead.
    #[must_use]
    pub const fn reset_day(&self) -> u8 {
        self.reset_day
    }

    /// Where it is midnight when a day begins.
    #[must_use]
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The day of a moment, in milliseconds since 1970. Moments after the year 9999 are on its last day.
    #[must_use]
    pub fn day(&self, ms: u64) -> Day {
        let at = i64::try_from(ms).ok().and_then(|ms| Timestamp::from_millisecond(ms).ok());
        let date = self.zone.rules().to_datetime(at.unwrap_or(Timestamp::MAX)).date();
        let day = Day::from(date);
        // A clock that is set back over midnight shows the end of a day twice. The next day has begun all the same.
        let next = date.tomorrow().map(Day::from);
        next.ok().filter(|next| self.start_ms(*next) <= ms).unwrap_or(day)
    }

    /// The first moment of a day, in milliseconds since 1970: midnight, or when the clocks that left midnight out go on.
    #[must_use]
    pub fn start_ms(&self, day: Day) -> u64 {
        if day == Day::default() {
            return 0;
        }
        let midnight = self.zone.rules().to_ambiguous_timestamp(day.date().at(0, 0, 0, 0)).compatible();
        u64::try_from(midnight.unwrap_or(Timestamp::MAX).as_millisecond()).unwrap_or(0)
    }

    /// The first day of the period that a day belongs to.
    #[must_use]
    pub fn period_start(&self, day: Day) -> Day {
        let date = day.date();
        let reset = self.reset_in(date);
        if reset <= date {
            return reset.into();
        }
        date.first_of_month().yesterday().map_or(Day::default(), |before| self.reset_in(before).into())
    }

    /// The first day of the period after the one that a day belongs to.
    #[must_use]
    pub fn period_end(&self, day: Day) -> Day {
        let date = day.date();
        let reset = self.reset_in(date);
        let end = if reset > date {
            reset.into()
        } else {
            date.last_of_month().tomorrow().map_or(Day::default(), |after| self.reset_in(after).into())
        };
        // The calendar ends with the year 9999.
        end.max(day.next())
    }

    /// The reset day of the month of a date.
    fn reset_in(&self, date: Date) -> Date {
        let day = i8::try_from(self.reset_day).unwrap_or(i8::MAX).clamp(1, date.days_in_month());
        date.with().day(day).build().unwrap_or(date)
    }
}

/// Midnight UTC on the first of each month.
impl Default for Billing {
    fn default() -> Self {
        Self::new(1, Zone::UTC)
    }
}

/// The last day of the longest months.
pub(crate) const RESET_DAY_MAX: u8 = 31;
const EPOCH: Date = Date::constant(1970, 1, 1);

#[cfg(test)]
mod tests;
