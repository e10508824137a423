//! What the link costs, what it may cost, and what is done about it.
//!
//! Traffic is counted when the driver tells of it ([`Engine::note_traffic`]). With a budget, the transport sends within
//! a limit ([`Output::Limit`]) that was on the disk before; where the budget says no, the connection is closed and the
//! next attempt waits for the day on which it says yes.

use std::time::{Duration, Instant};

use crdt_core::{Time, peek_is_content};
use storage_redb::Batch;
use transport_quic::{CloseCode, Ledger};

use super::hosted::Hosted;
use super::{Engine, Output};
use crate::billing::{Billing, Day};
use crate::books::Books;
use crate::budget::{Budget, Level};
use crate::clock::Now;
use crate::connection::State;
use crate::meter::Meter;
use crate::report::LedgerReport;
use crate::status::{BudgetStatus, Problem};

/// The engine's accounts.
#[derive(Debug)]
pub(super) struct Spending {
    pub(super) books: Books,
    pub(super) budget: Option<Budget>,
    pub(super) level: Level,
    meter: Meter,
    /// The link's ledger as it was told last.
    pub(super) seen: Ledger,
    /// When this process began, and the time that was known then, in milliseconds since 1970: for a device without a clock.
    began: (Instant, u64),
    /// What the aggregator said about the time, and when, if it showed that the own clock had opened a period too early.
    told: Option<(Time, Instant)>,
    /// The time in the last save, in milliseconds since 1970.
    saved_ms: u64,
    unsaved_since: Option<Instant>,
    /// The lease was made longer, and that is not on the disk yet.
    has_new_lease: bool,
    /// The next attempt waits for the budget.
    is_paused: bool,
}

impl Spending {
    pub(super) fn new(now: Now, books: Books, budget: Option<Budget>) -> Self {
        let last = |budget: &Budget| budget.plan().billing().start_ms(budget.spent().day);
        let known = books.known_ms().max(budget.as_ref().map_or(0, last));
        Self {
            books,
            budget,
            level: Level::Everything,
            meter: Meter::new(),
            seen: Ledger::default(),
            began: (now.at, known),
            told: None,
            saved_ms: known,
            unsaved_since: None,
            has_new_lease: false,
            is_paused: false,
        }
    }

    /// Milliseconds since 1970 for the accounts. Only the device's own clock opens a new period; the aggregator's word
    /// about time can only take one back that was opened too early. A device without a clock counts from the last time
    /// that it knew, while it runs.
    fn now_ms(&self, now: Now) -> u64 {
        let since = |at| now.at.saturating_duration_since(at).as_millis() as u64;
        let (began, known) = self.began;
        let own = now.wall.map_or_else(|| known.saturating_add(since(began)), Time::as_ms);
        self.told.map_or(own, |(told, at)| own.min(told.as_ms().saturating_add(since(at))))
    }

    /// The aggregator's clock shows this.
    pub(super) fn note_told(&mut self, now: Now, told: Time) {
        if let Some(budget) = &mut self.budget
            && budget.correct(budget.plan().billing().day(told.as_ms()))
        {
            tracing::warn!(aggregator = %told, "this device's clock opened a billing period too early; it is taken back");
            self.told = Some((told, now.at));
        }
    }

    /// Notes the time, so that a device without a clock goes on from there after a restart.
    pub(super) fn note_time(&mut self, now: Now) {
        let ms = self.now_ms(now);
        self.books.note_time(ms);
        if now.wall.is_none() && ms > self.saved_ms.saturating_add(SAVE_TIME_MS) {
            self.unsaved_since.get_or_insert(now.at);
        }
    }

    pub(super) fn today(&self, now: Now) -> Day {
        self.billing().day(self.now_ms(now))
    }

    /// When days and billing periods begin.
    fn billing(&self) -> &Billing {
        self.budget.as_ref().map_or(self.books.billing(), |budget| budget.plan().billing())
    }

    /// Adds what is not on the disk yet. Tells the limit that the transport may have when it is, if that is a new one.
    pub(super) fn stage(&mut self, batch: &mut Batch<'_>) -> Option<u64> {
        self.books.stage(batch);
        self.saved_ms = self.books.known_ms();
        self.unsaved_since = None;
        let budget = self.budget.as_ref()?;
        let spent = serde_json::to_vec(&budget.spent()).expect("numbers under fixed names are JSON");
        batch.set(BUDGET_SETTING, spent);
        let limit = self.seen.bytes().saturating_add(budget.spent().leased_bytes);
        std::mem::take(&mut self.has_new_lease).then_some(limit)
    }

    /// Whether it has something for a commit that happens anyway.
    pub(super) fn has_unsaved(&self) -> bool {
        self.has_new_lease || self.unsaved_since.is_some()
    }

    /// Whether a commit of its own is due.
    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.has_new_lease || self.deadline().is_some_and(|at| now >= at)
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.unsaved_since.map(|since| since + SAVE_INTERVAL)
    }

    /// A frame is handed to the link.
    pub(super) fn note_sent(&mut self, frame: &[u8]) {
        if peek_is_content(frame) {
            self.meter.note_sent(frame.len());
        }
    }

    /// Own writes are at the aggregator that were not known to be.
    pub(super) fn note_acknowledged(&mut self) {
        self.meter.note_acknowledged();
    }

    /// So much was spent that the aggregator should confirm what it has.
    pub(super) fn is_doubtful(&self) -> bool {
        self.budget.is_some() && self.meter.is_doubtful()
    }

    pub(super) fn note_changed(&mut self, frame_len: usize) {
        self.meter.note_changed(frame_len);
    }

    pub(super) fn status(&self) -> Option<BudgetStatus> {
        let budget = self.budget.as_ref()?;
        let (plan, spent) = (budget.plan(), budget.spent());
        let (billing, resumes, held) = (plan.billing(), budget.resumes(), budget.held());
        Some(BudgetStatus {
            level: budget.level(),
            resumes_ms: resumes.map(|day| billing.start_ms(day)),
            resumes: resumes.map(|day| day.to_string()),
            zone: billing.zone().name().to_owned(),
            cap_bytes: plan.cap_bytes(),
            spent_bytes: spent.counted_bytes(),
            period_from: spent.period.to_string(),
            period_until: budget.period_end().to_string(),
            held_bytes: held.map_or(0, |held| held.bytes),
            held_until: held.map(|held| held.until.to_string()),
            allowance_today_bytes: budget.allowance_bytes(),
            spent_today_bytes: spent.in_day_bytes,
            reserve_bytes: plan.reserve_bytes(),
            forfeited_bytes: spent.forfeited_bytes,
        })
    }
}

impl Engine {
    /// What the link has counted since it began. The driver calls it whenever that has changed.
    pub fn note_traffic(&mut self, now: Now, ledger: Ledger) {
        let spending = &mut self.spending;
        let added = ledger.since(&spending.seen);
        spending.seen = ledger;
        if added == Ledger::default() {
            return;
        }
        let today = spending.today(now);
        spending.note_time(now);
        spending.books.record(today, added);
        spending.unsaved_since.get_or_insert(now.at);
        if let Some(budget) = &mut spending.budget {
            budget.advance(today);
            budget.spend(added.bytes());
            spending.meter.note_traffic(now.at, &added);
        }
    }

    /// The ledger by day and by billing period.
    pub fn ledger_report(&self) -> LedgerReport {
        self.spending.books.report()
    }

    /// The accounts at the end of the process, when nothing is sent any more; for the driver to commit.
    pub fn close_books(&mut self) -> Batch<'static> {
        let mut batch = Batch::new();
        self.stage_arrived(&mut batch);
        if let Some(budget) = &mut self.spending.budget {
            budget.end_lease();
        }
        self.spending.stage(&mut batch);
        batch
    }

    /// Whether something urgent is not at the aggregator.
    fn urgent_waits(&self) -> bool {
        self.documents.iter().any(Hosted::urgent_waits)
    }

    /// Follows the budget: closes and holds the connection, or lets it go on, and leases what it may cost.
    pub(super) fn follow_budget(&mut self, now: Now) {
        if self.spending.budget.is_none() || self.is_stopping || matches!(self.connector.state, State::Off) {
            return;
        }
        let today = self.spending.today(now);
        self.spending.note_time(now);
        let is_urgent = self.urgent_waits();
        let Some(budget) = &mut self.spending.budget else { return };
        budget.advance(today);
        let (level, resumes) = (budget.level(), budget.resumes());
        if level != self.spending.level {
            self.spending.level = level;
            match &resumes {
                Some(day) => {
                    let zone = budget.plan().billing().zone();
                    tracing::warn!(?level, resumes = %day, %zone, "the budget allows less");
                }
                None => tracing::info!("the budget allows everything again"),
            }
            self.outputs.push_back(Output::Level(level));
        }
        let is_allowed = match level {
            Level::Everything => true,
            Level::Urgent => is_urgent,
            Level::Nothing => false,
        };
        if !is_allowed {
            return self.pause_for_budget(now, level, resumes.unwrap_or(today));
        }
        let waits = matches!(self.connector.state, State::Waiting { until } if until > now.at);
        // What is written just after midnight does not bring the whole fleet back at once.
        if self.spending.is_paused && waits && !is_urgent {
            return;
        }
        if self.spending.is_paused {
            self.spending.is_paused = false;
            self.connector.problem = None;
            self.connector.renew(now.at);
        }
        self.leave_a_waster(now);
        if matches!(self.connector.state, State::Waiting { until } if until > now.at) {
            return;
        }
        let Some(budget) = self.spending.budget.as_mut() else { return };
        let is_urgent = level == Level::Urgent;
        if budget.wants_lease(is_urgent) {
            budget.lease(is_urgent);
            self.spending.has_new_lease = true;
        }
    }

    fn pause_for_budget(&mut self, now: Now, level: Level, resumes: Day) {
        let is_waiting = matches!(self.connector.state, State::Waiting { until } if until > now.at);
        if self.spending.is_paused && is_waiting {
            return;
        }
        let ms =
            self.spending.billing().start_ms(resumes).saturating_sub(self.spending.now_ms(now)).max(1000);
        // A fleet does not come back in the same second; and the clock may be set in the meantime, so look now and then,
        // but not so late that nothing of the jitter is left.
        let pause = Duration::from_millis(ms) + self.jitter(RESUME_JITTER);
        let until = now.at + if pause > HOLD_MAX { HOLD_MAX / 2 } else { pause };
        self.spending.is_paused = true;
        let Some(budget) = &self.spending.budget else { return };
        let problem = Problem::Budget {
            level,
            resumes: resumes.to_string(),
            zone: budget.plan().billing().zone().name().to_owned(),
            spent_bytes: budget.spent().counted_bytes(),
            cap_bytes: budget.plan().cap_bytes(),
            spent_today_bytes: budget.spent().in_day_bytes,
            allowance_bytes: budget.allowance_bytes(),
        };
        self.end_attempt(now, &problem);
        self.connector.defer(until, problem);
    }

    /// Ends the connection if too much was spent on it for nothing.
    fn leave_a_waster(&mut self, now: Now) {
        if !matches!(self.connector.state, State::Connecting(_) | State::Open(_)) {
            return;
        }
        if !self.spending.meter.is_full() {
            return;
        }
        let backlog = self.documents.iter().map(|hosted| hosted.backlog().bytes).sum();
        let random = self.random();
        if let Some(pause) = self.spending.meter.pause(now.at, backlog, random) {
            let problem = Problem::Wasted { pause };
            tracing::error!(%problem, "the connection is given up for a while");
            self.end_attempt(now, &problem);
            self.connector.defer(now.at + pause, problem);
        }
    }

    /// Ends the current connection or attempt, if there is one.
    fn end_attempt(&mut self, now: Now, problem: &Problem) {
        let attempt = match &self.connector.state {
            State::Connecting(attempt) => *attempt,
            State::Open(open) => open.attempt,
            State::Off | State::Waiting { .. } => return,
        };
        self.give_up(now, attempt, CloseCode::Normal, Some(problem.clone()));
    }

    fn jitter(&mut self, most: Duration) -> Duration {
        most.mul_f64((self.random() >> 32) as f64 / f64::from(u32::MAX))
    }
}

/// The setting with what is spent of the budget: JSON, [`Spent`](crate::budget::Spent).
pub(crate) const BUDGET_SETTING: &str = "budget";
/// Traffic that is not on the disk for so long has a commit of its own; what a kill loses of the causes is no more.
const SAVE_INTERVAL: Duration = Duration::from_secs(900);
/// How far the time may go on before a device without a clock saves it, in milliseconds.
const SAVE_TIME_MS: u64 = 3_600_000;
/// How long the budget is believed without another look.
const HOLD_MAX: Duration = Duration::from_secs(3600);
/// Devices come back within so long after the beginning of a day.
const RESUME_JITTER: Duration = Duration::from_secs(600);
