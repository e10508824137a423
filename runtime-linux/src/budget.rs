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

use serde::{Deserialize, Serialize};

use crate::calendar::Day;

/// The longest lease, in bytes of IP: some round trips, or two handshakes.
pub const LEASE_BYTES: u64 = 16 * 1024;
/// Kept back at the end of a cap for what is on its way to this side when it falls silent, in bytes of IP.
pub const MARGIN_BYTES: u64 = 32 * 1024;
/// The least cap, in bytes: a handshake and some reports a day.
pub const CAP_BYTES_MIN: u64 = 250_000;

/// A data plan.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Plan {
    cap_bytes: u64,
    reset_day: u8,
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
    /// Not every month has that day.
    #[error("a plan can begin on day 1 to 28, which every month has, and not on day {day}")]
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
}

impl Plan {
    /// A plan with this many bytes in each billing period, which begin on `reset_day`; of them, `reserve_percent` are
    /// kept for what is urgent.
    ///
    /// # Errors
    /// [`PlanError`].
    pub const fn try_new(cap_bytes: u64, reset_day: u8, reserve_percent: u8) -> Result<Self, PlanError> {
        if cap_bytes < CAP_BYTES_MIN {
            return Err(PlanError::Cap { bytes: cap_bytes });
        }
        if reset_day == 0 || reset_day > 28 {
            return Err(PlanError::ResetDay { day: reset_day });
        }
        if reserve_percent > 90 {
            return Err(PlanError::Reserve { percent: reserve_percent });
        }
        let plan = Self { cap_bytes, reset_day, reserve_percent };
        let share_bytes = plan.usable_bytes().saturating_sub(plan.reserve_bytes()) / 31;
        if share_bytes < ROOM_MIN {
            return Err(PlanError::Share { cap_bytes, percent: reserve_percent, share_bytes });
        }
        Ok(plan)
    }

    /// The cap of a period, in bytes of IP, both directions.
    #[must_use]
    pub const fn cap_bytes(&self) -> u64 {
        self.cap_bytes
    }

    /// The day of the month on which a period begins.
    #[must_use]
    pub const fn reset_day(&self) -> u8 {
        self.reset_day
    }

    /// What is kept for what is urgent, in bytes.
    #[must_use]
    pub const fn reserve_bytes(&self) -> u64 {
        self.cap_bytes / 100 * self.reserve_percent as u64
    }

    /// What this side lets itself spend: the cap without the part that is kept back for what comes in.
    const fn usable_bytes(&self) -> u64 {
        let tenth = self.cap_bytes / 10;
        self.cap_bytes - if tenth < MARGIN_BYTES { tenth } else { MARGIN_BYTES }
    }
}

impl Budget {
    /// A budget of which so much was spent before, in the period and on the day of `today`.
    #[must_use]
    pub fn new(plan: Plan, today: Day, in_period_bytes: u64, in_day_bytes: u64) -> Self {
        let period = today.period_start(plan.reset_day);
        Self {
            plan,
            spent: Spent { day: today, period, in_period_bytes, in_day_bytes, ..Spent::default() },
            lost_bytes: 0,
        }
    }

    /// The budget that a former process left. What was left of its lease counts as spent.
    #[must_use]
    pub fn resume(plan: Plan, saved: Spent) -> Self {
        let lost_bytes = saved.leased_bytes;
        // The plan may have another reset day now; then what was spent before counts in the period of that day.
        let is_same = saved.period.period_start(plan.reset_day) == saved.period;
        let spent = Spent {
            period: if is_same { saved.period } else { saved.day.period_start(plan.reset_day) },
            in_period_bytes: saved.in_period_bytes.saturating_add(lost_bytes),
            in_day_bytes: saved.in_day_bytes.saturating_add(lost_bytes),
            forfeited_bytes: saved.forfeited_bytes.saturating_add(lost_bytes),
            leased_bytes: 0,
            day: saved.day,
            left: saved.left,
        };
        Self { plan, spent, lost_bytes }
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
        let period = today.period_start(self.plan.reset_day);
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
        let period = today.period_start(plan.reset_day);
        if period > spent.period || was_ahead {
            let left = spent.left.replace((spent.period, spent.in_period_bytes));
            let before = left.filter(|(left, _)| *left == period).map(|(_, bytes)| bytes);
            match before {
                // Back from a time that was too late: what was spent there belongs here.
                Some(before) if was_ahead => {
                    spent.in_period_bytes = spent.in_period_bytes.saturating_add(before);
                    // Nothing of it is left for the later period, when that comes.
                    spent.left = None;
                }
                // Back from a time that was too early, in which the bytes of this period stayed spent.
                Some(before) => spent.in_period_bytes = spent.in_period_bytes.max(before),
                None if was_ahead => {}
                None => {
                    spent.in_period_bytes = *lost_bytes;
                    spent.forfeited_bytes = *lost_bytes;
                }
            }
            spent.period = period;
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
        let mut tomorrow = self.clone();
        tomorrow.advance(Day(self.spent.day.0.saturating_add(1)));
        if tomorrow.level() == Level::Everything {
            return Some(tomorrow.spent.day);
        }
        Some(self.spent.period.period_end(self.plan.reset_day))
    }

    /// What all but urgent traffic may cost on this day, in bytes: what is left of the period at the beginning of the
    /// day, without the reserve, in equal parts for the days that are left.
    #[must_use]
    pub fn allowance_bytes(&self) -> u64 {
        let spent = &self.spent;
        let before_today = spent.in_period_bytes.saturating_sub(spent.in_day_bytes);
        let usable = self.plan.usable_bytes().saturating_sub(self.plan.reserve_bytes());
        let end = spent.period.period_end(self.plan.reset_day);
        let days = end.0.saturating_sub(spent.day.0.max(spent.period.0)).max(1);
        usable.saturating_sub(before_today) / u64::from(days)
    }

    /// The plan.
    #[must_use]
    pub fn plan(&self) -> Plan {
        self.plan
    }

    /// What is to be kept on the disk.
    #[must_use]
    pub fn spent(&self) -> Spent {
        self.spent
    }

    /// Bytes that may still be spent, the lease included.
    fn room(&self, is_urgent: bool) -> u64 {
        let in_period = self.plan.usable_bytes().saturating_sub(self.spent.in_period_bytes);
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
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    const START: Day = Day(20_758); // 2026-11-01

    fn plan() -> Plan {
        Plan::try_new(50_000_000, 1, 10).unwrap()
    }

    #[test]
    fn plans_that_cannot_be_followed_are_refused() {
        assert_eq!(Plan::try_new(249_999, 1, 10), Err(PlanError::Cap { bytes: 249_999 }));
        assert_eq!(Plan::try_new(250_000, 29, 10), Err(PlanError::ResetDay { day: 29 }));
        assert_eq!(Plan::try_new(250_000, 0, 10), Err(PlanError::ResetDay { day: 0 }));
        assert_eq!(Plan::try_new(250_000, 28, 91), Err(PlanError::Reserve { percent: 91 }));
        let share = PlanError::Share { cap_bytes: 250_000, percent: 60, share_bytes: 2_419 };
        assert_eq!(Plan::try_new(250_000, 28, 60), Err(share));
        // What is allowed suffices on the first day of the longest month.
        for percent in 0..=90 {
            for cap in (250_000..3_000_000).step_by(10_000) {
                let first = Day(START.0 + 30);
                let level = Plan::try_new(cap, 1, percent).map(|plan| Budget::new(plan, first, 0, 0).level());
                assert!(
                    matches!(level, Ok(Level::Everything) | Err(PlanError::Share { .. })),
                    "{cap} {percent}"
                );
            }
        }
    }

    #[test]
    fn a_day_has_its_share_and_what_is_left_goes_to_the_days_after_it() {
        let mut budget = Budget::new(plan(), START, 0, 0);
        let first = budget.allowance_bytes();
        assert_eq!(first, (50_000_000 - MARGIN_BYTES - 5_000_000) / 30);
        budget.spend(first - ROOM_MIN + 1);
        assert_eq!((budget.level(), budget.resumes()), (Level::Urgent, Some(Day(START.0 + 1))));
        budget.advance(Day(START.0 + 15));
        assert!(budget.allowance_bytes() > first * 19 / 10, "half of the month passed in silence");
        assert_eq!((budget.level(), budget.resumes()), (Level::Everything, None));
    }

    #[test]
    fn near_the_cap_only_what_is_urgent_goes_and_then_nothing() {
        let mut budget = Budget::new(plan(), Day(START.0 + 29), 45_000_000, 0);
        assert_eq!(budget.level(), Level::Urgent);
        assert_eq!(budget.resumes().unwrap().to_string(), "2026-12-01");
        assert_eq!((budget.lease(false), budget.lease(true)), (0, LEASE_BYTES));
        budget.spend(5_000_000 - MARGIN_BYTES);
        assert_eq!((budget.level(), budget.lease(true)), (Level::Nothing, 0));
        budget.advance(Day(START.0 + 30));
        assert_eq!(budget.level(), Level::Everything);
    }

    #[test]
    fn a_clock_that_is_set_back_opens_no_period_twice() {
        let mut budget = Budget::new(plan(), Day(START.0 - 1), 0, 0);
        budget.advance(START);
        budget.spend(44_000_000);
        budget.advance(Day(START.0 - 1));
        budget.advance(START);
        assert_eq!(budget.spent().in_period_bytes, 44_000_000);
        // A clock that stood in 2099 for a moment does not stop the device for the rest of its life.
        budget.advance(Day(47_481));
        budget.spend(1_000);
        budget.advance(START);
        assert_eq!(budget.spent().in_period_bytes, 44_001_000);
        // One that begins in the year of its image and is set later opens no period twice either.
        budget.advance(Day(START.0 - 400));
        budget.spend(1_000);
        budget.advance(START);
        assert_eq!(budget.spent().in_period_bytes, 44_002_000);
        budget.advance(Day(START.0 + 31));
        assert_eq!(budget.level(), Level::Everything);
    }

    /// A clock 40 days ahead is believed, until the aggregator's tells better: the cap of the real month holds.
    #[test]
    fn a_period_that_was_opened_too_early_is_taken_back() {
        let mut budget = Budget::new(plan(), START, 44_000_000, 0);
        budget.advance(Day(START.0 + 40));
        assert_eq!((budget.level(), budget.spent().in_period_bytes), (Level::Everything, 0));
        budget.spend(10_000);
        assert!(!budget.correct(Day(START.0 - 1)), "it did not come from there");
        // Also where the own clock is right again, and has only gone back within the period that it opened.
        budget.advance(START);
        assert!(budget.correct(START));
        assert_eq!((budget.spent().period, budget.spent().in_period_bytes), (START, 44_010_000));
        assert!(!budget.correct(START) && !budget.correct(Day(START.0 - 1)));
        // And the real next one is opened once.
        budget.advance(Day(START.0 + 30));
        assert_eq!(budget.spent().in_period_bytes, 0);
    }

    #[test]
    fn a_lease_that_is_nearly_used_up_is_followed_by_whatever_there_is() {
        let mut budget = Budget::new(plan(), START, 0, 0);
        let allowance = budget.allowance_bytes();
        budget.spend(allowance - 3_000);
        assert_eq!((budget.level(), budget.lease(false)), (Level::Everything, 3_000));
        // A lease that was used up but for less than a datagram.
        budget.spent.leased_bytes = 1_000;
        assert!(budget.wants_lease(false));
        assert_eq!(budget.lease(false), 3_000);
    }

    #[derive(Clone, Debug)]
    enum Step {
        Days(i32),
        Kill,
        Lease(bool),
        Spend(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            1 => (-3_i32..20).prop_map(Step::Days),
            1 => Just(Step::Kill),
            8 => any::<bool>().prop_map(Step::Lease),
            8 => (0_u64..20_000).prop_map(Step::Spend),
        ]
    }

    proptest! {
        /// Whatever comes: who spends only what is leased stays below the cap in each period, and what was really
        /// spent in it was counted, though the process is killed at any moment.
        #[test]
        fn no_period_costs_more_than_its_cap(
            steps in prop::collection::vec(step(), 1..400),
            cap in 250_000_u64..600_000,
            reset_day in 1_u8..=28,
            reserve in 0_u8..=90,
        ) {
            let Ok(plan) = Plan::try_new(cap, reset_day, reserve) else { return Ok(()) };
            let mut budget = Budget::new(plan, START, 0, 0);
            let mut saved = budget.spent();
            let mut left = 0_u64;
            let mut really: BTreeMap<Day, u64> = BTreeMap::new();
            // Leases that were lost while the clock was behind the period: their bytes count in the period of the clock.
            let mut misplaced = 0_u64;
            let mut day = START;
            for step in steps {
                match step {
                    Step::Days(days) => {
                        day = Day(day.0.saturating_add_signed(days));
                        budget.advance(day);
                    }
                    Step::Kill => {
                        if budget.spent().period > day.period_start(reset_day) {
                            misplaced += saved.leased_bytes;
                        }
                        budget = Budget::resume(plan, saved);
                        budget.advance(day);
                        saved = budget.spent();
                        left = 0;
                    }
                    Step::Lease(is_urgent) => {
                        left = budget.lease(is_urgent);
                        saved = budget.spent();
                    }
                    Step::Spend(wanted) => {
                        let bytes = wanted.min(left);
                        left -= bytes;
                        budget.spend(bytes);
                        *really.entry(budget.spent().period).or_default() += bytes;
                    }
                }
                let spent = budget.spent();
                prop_assert_eq!(spent.leased_bytes, left);
                prop_assert!(spent.in_period_bytes + left <= cap + LEASE_BYTES);
                let counted = spent.in_period_bytes + misplaced;
                prop_assert!(really.get(&spent.period).copied().unwrap_or(0) <= counted);
            }
            for (period, bytes) in really {
                prop_assert!(bytes <= cap, "{}: {} of {}", period, bytes, cap);
            }
        }
    }
}
