//! Which address of the aggregator is tried, in which order, and for how long.
//!
//! In the spirit of RFC 8305 ("happy eyeballs"), for links where bytes count more than seconds: one address after the
//! other, never two at the same time. The first packet to an address that is silent costs 1.2 kB. Just before QUIC would
//! repeat it there, the next address gets it instead. So a silent address costs one packet, and a slow answer is not
//! taken for none. The last address gets all repetitions, and so does the one that worked the last time.
//!
//! An *attempt* looks the name up and tries addresses until one of them works or all that it may try have failed. This
//! is a state machine: it is told addresses, outcomes and times, and has neither sockets nor a clock.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::lookup::canonical;
use crate::status::Problem;
use crate::tried::{Outcome, Tried};

/// The addresses of one name, and what is known of them.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// How long a silent address is waited for while there is another one to try.
    patience: Duration,
    /// The one that worked last, where there was a choice.
    worked: Option<SocketAddr>,
    /// The one that the disk knows.
    saved: Option<SocketAddr>,
    /// After an attempt that failed: the order of the next one.
    order: Vec<SocketAddr>,
    /// The same, if the attempt that is under way fails.
    next_order: Vec<SocketAddr>,
    /// Whether the attempt has a choice.
    is_choice: bool,
    /// Those that the attempt has not tried yet.
    waiting: VecDeque<SocketAddr>,
    current: Option<Current>,
    /// What came of the others.
    tried: Vec<Tried>,
    /// What those said that answered.
    answers: Vec<Problem>,
}

/// The address that is being tried.
#[derive(Debug)]
struct Current {
    address: SocketAddr,
    since: Instant,
    /// When it is left for the next one.
    until: Option<Instant>,
}

/// How an address failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It answered, and there is no connection.
    Answered(Problem),
    NotSent(String),
    Silent,
}

/// What to do next in an attempt.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// All have failed.
    Failed(Problem),
    /// Connect to this one.
    Try(SocketAddr),
}

/// What is kept over a restart.
#[derive(Debug, Serialize, Deserialize)]
struct Saved {
    /// Host and port, as they were given.
    name: String,
    /// The address that worked last.
    address: SocketAddr,
}

impl Addresses {
    /// `worked`: the address that worked last, from the disk.
    pub(crate) fn new(patience: Duration, worked: Option<SocketAddr>) -> Self {
        Self {
            patience,
            worked,
            saved: worked,
            order: Vec::new(),
            next_order: Vec::new(),
            is_choice: false,
            waiting: VecDeque::new(),
            current: None,
            tried: Vec::new(),
            answers: Vec::new(),
        }
    }

    /// Begins an attempt with what a look-up has found. `refusal` says why this system does not send to an address, if it
    /// does not; such ones cost nothing, and make no choice.
    pub(crate) fn begin(
        &mut self,
        found: &[SocketAddr],
        mut refusal: impl FnMut(SocketAddr) -> Option<String>,
    ) {
        self.cancel();
        let arranged = self.arrange(found);
        let mut usable = Vec::new();
        for address in arranged {
            match refusal(address) {
                None => usable.push(address),
                Some(detail) => self.tried.push(Tried { address, outcome: Outcome::NotSent { detail } }),
            }
        }
        self.is_choice = usable.len() > 1;
        self.waiting = usable.iter().take(TRIED_MAX).copied().collect();
        // The one that worked has another chance in the end: a packet may have been lost, and the others may lead nowhere.
        let preferred =
            usable.first().copied().filter(|first| self.order.is_empty() && Some(*first) == self.worked);
        self.waiting.extend(preferred.filter(|_| self.is_choice));
        // The next attempt begins with another one; if not all have had their turn, with those that had none.
        let turn = if usable.len() <= TRIED_MAX { 1 } else { TRIED_MAX };
        let first = turn.min(usable.len());
        usable.rotate_left(first);
        self.next_order = usable.into_iter().chain(self.tried.iter().map(|tried| tried.address)).collect();
    }

    /// What the attempt does next, when it begins and after a failure.
    pub(crate) fn next(&mut self, now: Instant) -> Next {
        let Some(address) = self.waiting.pop_front() else {
            self.order = std::mem::take(&mut self.next_order);
            return Next::Failed(self.problem());
        };
        // The last one has all the time that a handshake may take: nothing is won by leaving it.
        let is_last = self.waiting.is_empty();
        let until = if is_last { None } else { now.checked_add(self.patience_with(address)) };
        self.current = Some(Current { address, since: now, until });
        Next::Try(address)
    }

    /// When the address that is tried has been silent for long enough: call [`is_overdue`](Self::is_overdue) then.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.current.as_ref()?.until
    }

    /// Whether it is time to leave the address that is tried. If it has answered, it is not left any more.
    pub(crate) fn is_overdue(&mut self, now: Instant, has_answered: bool) -> bool {
        let Some(current) = &mut self.current else { return false };
        if has_answered {
            current.until = None;
        }
        current.until.is_some_and(|until| until <= now)
    }

    /// The address that is tried has failed.
    pub(crate) fn fail(&mut self, now: Instant, failure: Failure) {
        let Some(Current { address, since, .. }) = self.current.take() else { return };
        if !matches!(failure, Failure::Silent) {
            // What was not lost needs no other chance.
            self.waiting.retain(|waiting| *waiting != address);
        }
        let outcome = match failure {
            Failure::Answered(problem) => {
                let detail = problem.to_string();
                self.answers.push(problem);
                Outcome::Failed { detail }
            }
            Failure::NotSent(detail) => Outcome::NotSent { detail },
            Failure::Silent => {
                let after = now.saturating_duration_since(since).as_millis();
                Outcome::NoAnswer { after_ms: u64::try_from(after).unwrap_or(u64::MAX) }
            }
        };
        tracing::info!(%address, ?outcome, others = self.waiting.len(), "an address did not work");
        self.tried.push(Tried { address, outcome });
    }

    /// The address that is tried has worked: the next attempt begins with it.
    pub(crate) fn succeed(&mut self) {
        let Some(current) = self.current.take() else { return };
        if self.is_choice {
            self.worked = Some(current.address);
        }
        self.order.clear();
        self.cancel();
    }

    /// The attempt is over for another reason.
    pub(crate) fn cancel(&mut self) {
        self.waiting.clear();
        self.current = None;
        self.tried.clear();
        self.answers.clear();
    }

    /// What to put on the disk, if that does not know it: the address that worked, and the name that it belongs to.
    pub(crate) fn take_unsaved(&mut self, name: &str) -> Option<Vec<u8>> {
        let address = self.worked.filter(|_| self.worked != self.saved)?;
        self.saved = self.worked;
        let saved = Saved { name: name.to_owned(), address };
        Some(serde_json::to_vec(&saved).expect("texts under fixed names are JSON"))
    }

    /// The address of this name that is on the disk.
    pub(crate) fn saved(name: &str, setting: &[u8]) -> Option<SocketAddr> {
        let saved: Saved = serde_json::from_slice(setting).ok()?;
        (saved.name == name).then_some(saved.address)
    }

    /// The order in which addresses have their turn: after a failure those that are new before the others; otherwise the
    /// one that worked last before the others. Families alternate, as the system prefers them.
    fn arrange(&self, found: &[SocketAddr]) -> Vec<SocketAddr> {
        let mut all: Vec<SocketAddr> = Vec::new();
        for address in found.iter().copied().map(canonical) {
            if all.len() < FOUND_MAX && !all.contains(&address) {
                all.push(address);
            }
        }
        let before = self.order.iter().filter(|address| all.contains(address));
        let mut new: Vec<_> = all.iter().filter(|address| !self.order.contains(address)).copied().collect();
        if let Some(place) = new.iter().position(|address| Some(*address) == self.worked) {
            new[..=place].rotate_right(1);
        }
        alternate(&new).chain(before.copied()).collect()
    }

    /// A loopback address answers at once or not at all, and costs no carrier's bytes.
    fn patience_with(&self, address: SocketAddr) -> Duration {
        if address.ip().is_loopback() { self.patience.min(LOOPBACK_PATIENCE) } else { self.patience }
    }

    /// What went wrong, of an attempt that has tried all.
    fn problem(&mut self) -> Problem {
        let tried = std::mem::take(&mut self.tried);
        let is_silent = tried.iter().any(|tried| matches!(tried.outcome, Outcome::NoAnswer { .. }));
        match &self.answers[..] {
            // All that there are answer, and say no.
            [.., last]
                if !is_silent
                    && (self.answers.len() == 1 || self.answers.iter().all(Problem::is_refusal)) =>
            {
                last.clone()
            }
            [] if !is_silent => Problem::Unreachable { tried },
            _ => Problem::NoConnection { tried },
        }
    }
}

/// Takes turns between the families, beginning with that of the first one.
fn alternate(addresses: &[SocketAddr]) -> impl Iterator<Item = SocketAddr> {
    let is_first = |address: &&SocketAddr| address.is_ipv6() == addresses[0].is_ipv6();
    let (mut first, mut other): (VecDeque<_>, VecDeque<_>) = addresses.iter().partition(is_first);
    std::iter::from_fn(move || {
        let next = first.pop_front();
        // The other family's turn is next, if it has any left.
        if !other.is_empty() {
            std::mem::swap(&mut first, &mut other);
        }
        next
    })
}

/// The setting with the address that worked last: JSON, [`Saved`].
pub(crate) const ADDRESS_SETTING: &str = "aggregator/address";
/// Addresses that an attempt tries at most: each that is silent costs 1.2 kB, the last one 6.1 kB.
pub(crate) const TRIED_MAX: usize = 4;
/// Addresses of a name that are looked at.
const FOUND_MAX: usize = 64;
/// How long a silent loopback address is waited for at most.
const LOOPBACK_PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests;
