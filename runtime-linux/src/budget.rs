//! What may be spent: a cap for each billing period, a smooth allowance for each day, a reserve for what is urgent.
//!
//! A pure type: it is told the day and what was counted, and reads no clock.
//!
//! # Leases
//!
//! What leaves is counted before it leaves: the transport may send only within a *lease*, and a lease counts as spent on
//! the disk before the transport learns of it. A process that is killed loses what was left of its lease
//! ([`LEASE_BYTES`] at the most), and never spends a byte that was not counted.
//!
//! # What comes in
//!
//! Nobody can hold back what others send. It is counted like the rest, it uses up the lease, and a part of the cap is
//! kept back for it ([`MARGIN_BYTES`], a tenth of a small plan). Beyond that, unsolicited packets can exceed any cap.
//!
//! # Another reset day
//!
//! A plan whose reset day changes in mid-month does not begin anew. What was spent in the period under way counts until
//! that one would have ended; from then on there counts what was spent since the beginning of the new one. So neither the
//! month of the old reset day nor that of the new one costs more than its cap. Another zone moves midnight, and no date.

use serde::{Deserialize, Serialize};

use crate::billing::{Billing, Day, RESET_DAY_MAX};
use crate::books::Books;
use crate::zone::Zone;

/// The longest lease, in bytes of IP: some round trips, or two handshakes.
pub const LEASE_BYTES: u64 = 16 * 1024;
/// Kept back at the end of a cap for what is on its way to this side when it falls silent, in bytes of IP.
pub const MARGIN_BYTES: u64 = 32 * 1024;
/// The least cap, in bytes: a handshake and some reports a day.
pub const CAP_BYTES_MIN: u64 = 250_000;

/// A data plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    cap_bytes: u64,
    #[serde(flatten)]
    billing: Billing,
    reserve_percent: u8,
}

/// A plan that cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PlanError {
    /// The cap is too low.
    #[error(
        "a budget of {bytes} bytes a month does not suffice for a connection a day; {CAP_BYTES_MIN} is the least"
    )]
    Cap {
        /// What was given, in bytes.
        bytes: u64,
    },
    /// No month has that day.
    #[error(
        "a plan can begin on day 1 to {RESET_DAY_MAX} of the month, and not on day {day}; a month that is shorter has its \
         last day instead"
    )]
    ResetDay {
        /// What was given.
        day: u8,
    },
    /// Too much is kept for what is urgent.
    #[error(
        "at most 90 % of a budget can be kept for what is urgent, {percent} % leaves nothing for the rest"
    )]
    Reserve {
        /// What was given.
        percent: u8,
    },
    /// The reserve leaves so little that nothing else would ever be sent.
    #[error(
        "with {percent} % of {cap_bytes} bytes a month kept for what is urgent, {share_bytes} bytes a day are left for the rest, \
         and {ROOM_MIN} are the least: keep less, or plan with more"
    )]
    Share {
        /// The cap, in bytes.
        cap_bytes: u64,
        /// What is kept for what is urgent.
        percent: u8,
        /// What is left for a day, in bytes.
        share_bytes: u64,
    },
}

/// What may be sent now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Everything.
    Everything,
    /// What is urgent: the day's allowance, or all but the reserve, is used up.
    Urgent,
    /// Nothing until the next billing period.
    Nothing,
}

/// How much of a plan is spent.
#[derive(Clone, Debug)]
pub struct Budget {
    plan: Plan,
    spent: Spent,
    /// What a former process may have spent after its last word, in a period that it did not name.
    lost_bytes: u64,
}

/// What a [`Budget`] keeps on the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spent {
    /// The day of the last input.
    pub day: Day,
    /// The first day of the billing period.
    pub period: Day,
    /// The first day of the next one. A record of an earlier version does not have it.
    #[serde(default)]
    pub until: Option<Day>,
    /// Bytes of the period, those of this day included.
    pub in_period_bytes: u64,
    /// Bytes of the day.
    pub in_day_bytes: u64,
    /// Bytes that the transport may spend without asking. They are lost if the process is killed.
    pub leased_bytes: u64,
    /// Bytes that were lost that way in this period; part of the bytes of the period.
    pub forfeited_bytes: u64,
    /// The period before, and its bytes: a wrong clock may come back to it.
    #[serde(default)]
    pub left: Option<(Day, u64)>,
    /// What counts beside the bytes of the period, because the reset day was changed.
    #[serde(default)]
    pub held: Option<Held>,
    /// The same as it was in the period before.
    #[serde(default)]
    pub left_held: Option<Held>,
}

/// What was spent in the billing period of another reset day, before the one that is under way, and counts for a while.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// How much.
    pub bytes: u64,
    /// Bytes of the period under way that were spent before that other one.
    pub older_bytes: u64,
    /// The first day on which it does not count.
    pub until: Day,
}

impl Plan {
    /// A plan with this many bytes in each billing period, which begin on `reset_day` in UTC; of them, `reserve_percent`
    /// are kept for what is urgent. A month that is shorter has its last day as the reset day.
    ///
    /// # Errors
    /// [`PlanError`].
    pub const fn try_new(cap_bytes: u64, reset_day: u8, reserve_percent: u8) -> Result<Self, PlanError> {
        if cap_bytes < CAP_BYTES_MIN {
            return Err(PlanError::Cap { bytes: cap_bytes });
        }
        if reset_day == 0 || reset_day > RESET_DAY_MAX {
            return Err(PlanError::ResetDay { day: reset_day });
        }
        if reserve_percent > 90 {
            return Err(PlanError::Reserve { percent: reserve_percent });
        }
        let share_bytes =
            usable_bytes(cap_bytes).saturating_sub(reserve_bytes(cap_bytes, reserve_percent)) / 31;
        if share_bytes < ROOM_MIN {
            return Err(PlanError::Share { cap_bytes, percent: reserve_percent, share_bytes });
        }
        Ok(Self { cap_bytes, billing: Billing::new(reset_day, Zone::UTC), reserve_percent })
    }

    /// The same in the carrier's zone: days and periods begin at midnight there.
    #[must_use]
    pub fn in_zone(self, zone: Zone) -> Self {
        Self { billing: Billing::new(self.billing.reset_day(), zone), ..self }
    }

    /// The cap of a period, in bytes of IP, both directions.
    #[must_use]
    pub const fn cap_bytes(&self) -> u64 {
        self.cap_bytes
    }

    /// When its days and periods begin.
    #[must_use]
    pub const fn billing(&self) -> &Billing {
        &self.billing
    }

    /// What is kept for what is urgent, in bytes.
    #[must_use]
    pub const fn reserve_bytes(&self) -> u64 {
        reserve_bytes(self.cap_bytes, self.reserve_percent)
    }

    /// What this side lets itself spend: the cap without the part that is kept back for what comes in.
    const fn usable_bytes(&self) -> u64 {
        usable_bytes(self.cap_bytes)
    }
}

const fn reserve_bytes(cap_bytes: u64, percent: u8) -> u64 {
    cap_bytes / 100 * percent as u64
}

const fn usable_bytes(cap_bytes: u64) -> u64 {
    let tenth = cap_bytes / 10;
    cap_bytes - if tenth < MARGIN_BYTES { tenth } else { MARGIN_BYTES }
}

impl Spent {
    /// Takes the bounds of another plan, on a day of the period under way. What was spent in it counts until it would have
    /// ended. Bytes that are `lost` may have been spent on that day.
    fn take_bounds(&mut self, billing: &Billing, day: Day, lost: u64, books: &Books) {
        let (start, end) = (billing.period_start(day), billing.period_end(day));
        let old_end = self.until();
        let mut held = self.held_on(day).unwrap_or(Held { bytes: 0, older_bytes: 0, until: old_end });
        held.until = held.until.max(old_end);
        if start > self.period {
            let known = self.in_period_bytes.saturating_sub(lost);
            let before =
                if self.day < start { known } else { books.days_bytes(self.period..start).min(known) };
            self.in_period_bytes -= before;
            held.bytes = held.bytes.saturating_add(before.saturating_sub(held.older_bytes));
            held.older_bytes = held.older_bytes.saturating_sub(before);
        } else {
            let before = books.days_bytes(start..self.period);
            self.in_period_bytes = self.in_period_bytes.saturating_add(before);
            held.older_bytes = held.older_bytes.saturating_add(before.saturating_sub(held.bytes));
            held.bytes = held.bytes.saturating_sub(before);
        }
        self.forfeited_bytes = self.forfeited_bytes.min(self.in_period_bytes);
        (self.period, self.until, self.held) = (start, Some(end), Some(held));
    }

    /// What counts against the cap on its day: the bytes of the period, and what is held beside them.
    #[must_use]
    pub fn counted_bytes(&self) -> u64 {
        self.in_period_bytes.saturating_add(self.held_on(self.day).map_or(0, |held| held.bytes))
    }

    /// What is held on a day.
    fn held_on(&self, day: Day) -> Option<Held> {
        self.held.filter(|held| day < held.until)
    }

    /// The first day of the next period; for a record that does not have it, a month after the period's first day.
    fn until(&self) -> Day {
        let day = self.period;
        self.until.unwrap_or_else(|| Billing::new(day.day_of_month(), Zone::UTC).period_end(day))
    }
}

impl Budget {
    /// A budget of which so much was spent before, in the period and on the day of `today`.
    #[must_use]
    pub fn new(plan: Plan, today: Day, in_period_bytes: u64, in_day_bytes: u64) -> Self {
        let (period, until) = (plan.billing.period_start(today), Some(plan.billing.period_end(today)));
        let spent = Spent { day: today, period, until, in_period_bytes, in_day_bytes, ..Spent::default() };
        Self { plan, spent, lost_bytes: 0 }
    }

    /// The budget that a former process left, as it is `today`. What was left of its lease counts as spent. If the plan has
    /// another reset day now, the books say what was spent since its period began.
    #[must_use]
    pub fn resume(plan: Plan, saved: Spent, today: Day, books: &Books) -> Self {
        let lost_bytes = saved.leased_bytes;
        let until = saved.until();
        let mut spent = Spent {
            in_period_bytes: saved.in_period_bytes.saturating_add(lost_bytes),
            in_day_bytes: saved.in_day_bytes.saturating_add(lost_bytes),
            forfeited_bytes: saved.forfeited_bytes.saturating_add(lost_bytes),
            leased_bytes: 0,
            until: Some(until),
            ..saved
        };
        let billing = &plan.billing;
        let bounds = (billing.period_start(saved.period), billing.period_end(saved.period));
        if bounds != (saved.period, until) {
            // A clock that was set back does not lead into the period before; nor does one that may be wrong lead on.
            let known = saved.day.max(saved.period);
            spent.take_bounds(
                billing,
                if today < until { known.max(today) } else { known },
                lost_bytes,
                books,
            );
        }
        let mut budget = Self { plan, spent, lost_bytes };
        budget.advance(today);
        budget
    }

    /// Goes on to a day. A clock that is set back opens no period twice: what was spent stays spent. Only a clock that
    /// had been more than two months ahead is followed back.
    pub fn advance(&mut self, today: Day) {
        let was_ahead = self.spent.period.0 > today.0.saturating_add(CLOCK_ERROR_DAYS);
        self.go_to(today, was_ahead);
    }

    /// The clock is said to have been ahead, and this to be the day: if it opened the period too early, what was spent in
    /// that one belongs to the one before it. False, and nothing changes, where that does not fit: only the step that this
    /// copy took itself can be taken back, so that nobody's word opens a period anew.
    pub fn correct(&mut self, today: Day) -> bool {
        let period = self.plan.billing.period_start(today);
        let is_early = self.spent.period > period && self.spent.left.is_some_and(|(left, _)| left == period);
        if is_early {
            self.go_to(today, true);
        }
        is_early
    }

    fn go_to(&mut self, today: Day, was_ahead: bool) {
        let Self { plan, spent, lost_bytes } = self;
        if today == spent.day && !was_ahead {
            return;
        }
        let period = plan.billing.period_start(today);
        if period > spent.period || was_ahead {
            let left = spent.left.replace((spent.period, spent.in_period_bytes));
            let left_held = std::mem::replace(&mut spent.left_held, spent.held);
            let before = left.filter(|(left, _)| *left == period).map(|(_, bytes)| bytes);
            match before {
                // Back from a time that was too late: what was spent there belongs here.
                Some(before) if was_ahead => {
                    spent.in_period_bytes = spent.in_period_bytes.saturating_add(before);
                    spent.held = left_held;
                    // Nothing of it is left for the later period, when that comes.
                    (spent.left, spent.left_held) = (None, None);
                }
                // Back from a time that was too early, in which the bytes of this period stayed spent.
                Some(before) => spent.in_period_bytes = spent.in_period_bytes.max(before),
                None if was_ahead => {}
                None => {
                    // The period of the old reset day may go on, also if a wrong clock says that it has ended.
                    spent.held = spent.held.filter(|held| spent.period < held.until).map(|held| {
                        let known = spent.in_period_bytes.saturating_sub(*lost_bytes);
                        let bytes = held.bytes.saturating_add(known.saturating_sub(held.older_bytes));
                        Held { bytes, older_bytes: 0, until: held.until }
                    });
                    spent.in_period_bytes = *lost_bytes;
                    spent.forfeited_bytes = *lost_bytes;
                }
            }
            spent.period = period;
            spent.until = Some(plan.billing.period_end(today));
            *lost_bytes = 0;
        }
        if today > spent.day {
            spent.in_day_bytes = 0;
        }
        spent.day = today;
    }

    /// At least so much was spent in this period and on this day, as the ledger knows: a process without a budget may
    /// have used the link.
    pub fn raise(&mut self, in_period_bytes: u64, in_day_bytes: u64) {
        let spent = &mut self.spent;
        spent.in_period_bytes = spent.in_period_bytes.max(in_period_bytes);
        spent.in_day_bytes = spent.in_day_bytes.max(in_day_bytes);
    }

    /// Counts what was sent and received, in bytes of IP.
    pub fn spend(&mut self, bytes: u64) {
        let spent = &mut self.spent;
        spent.in_period_bytes = spent.in_period_bytes.saturating_add(bytes);
        spent.in_day_bytes = spent.in_day_bytes.saturating_add(bytes);
        spent.leased_bytes = spent.leased_bytes.saturating_sub(bytes);
    }

    /// Makes the lease as long as it may be, up to [`LEASE_BYTES`], and tells its length in bytes. Nothing may be spent
    /// of it before [`spent`](Self::spent) is on the disk.
    pub fn lease(&mut self, is_urgent: bool) -> u64 {
        let room = self.room(is_urgent);
        self.spent.leased_bytes = self.spent.leased_bytes.max(room.min(LEASE_BYTES));
        self.spent.leased_bytes
    }

    /// Whether [`lease`](Self::lease) would make the lease longer, and it is half used up.
    #[must_use]
    pub fn wants_lease(&self, is_urgent: bool) -> bool {
        let leased = self.spent.leased_bytes;
        // A lease that suffices for no datagram is made longer by whatever there is.
        let least = if leased < ROOM_MIN { 0 } else { ROOM_MIN };
        leased < LEASE_BYTES / 2 && self.room(is_urgent).min(LEASE_BYTES) > leased + least
    }

    /// The lease is not needed any more.
    pub fn end_lease(&mut self) {
        self.spent.leased_bytes = 0;
    }

    /// What may be sent now.
    #[must_use]
    pub fn level(&self) -> Level {
        if self.room(false) >= ROOM_MIN {
            Level::Everything
        } else if self.room(true) >= ROOM_MIN {
            Level::Urgent
        } else {
            Level::Nothing
        }
    }

    /// The day on which everything may be sent again, if not all of it may be now.
    #[must_use]
    pub fn resumes(&self) -> Option<Day> {
        if self.level() == Level::Everything {
            return None;
        }
        let mut days = [
            Some(self.spent.day.next()),
            self.spent.held_on(self.spent.day).map(|held| held.until),
            Some(self.spent.until()),
        ];
        days.sort();
        let allows_everything = |day: &Day| {
            let mut then = self.clone();
            then.advance(*day);
            then.level() == Level::Everything
        };
        days.into_iter().flatten().find(allows_everything).or(days[2])
    }

    /// What all but urgent traffic may cost on this day, in bytes: what is left of the period at the beginning of the
    /// day, without the reserve, in equal parts for the days that are left.
    #[must_use]
    pub fn allowance_bytes(&self) -> u64 {
        let spent = &self.spent;
        let before_today = spent.counted_bytes().saturating_sub(spent.in_day_bytes);
        let usable = self.plan.usable_bytes().saturating_sub(self.plan.reserve_bytes());
        let days = spent.until().0.saturating_sub(spent.day.0.max(spent.period.0)).max(1);
        usable.saturating_sub(before_today) / u64::from(days)
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> &Plan {
        &self.plan
    }

    /// The first day of the next billing period.
    #[must_use]
    pub fn period_end(&self) -> Day {
        self.spent.until()
    }

    /// What counts in this period although it was spent before, because the reset day was changed.
    #[must_use]
    pub fn held(&self) -> Option<Held> {
        self.spent.held_on(self.spent.day).filter(|held| held.bytes > 0)
    }

    /// What is to be kept on the disk.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// Bytes that may still be spent, the lease included.
    fn room(&self, is_urgent: bool) -> u64 {
        let in_period = self.plan.usable_bytes().saturating_sub(self.spent.counted_bytes());
        if is_urgent {
            return in_period;
        }
        let but_reserve = in_period.saturating_sub(self.plan.reserve_bytes());
        but_reserve.min(self.allowance_bytes().saturating_sub(self.spent.in_day_bytes))
    }
}

/// Less room than this is none: two of the longest datagrams.
const ROOM_MIN: u64 = 2 * 1248;
/// How far a clock may be wrong without being believed in the end, in days.
const CLOCK_ERROR_DAYS: u32 = 62;

#[cfg(test)]
mod tests;
