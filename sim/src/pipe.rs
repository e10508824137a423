//! One direction of a link as pure arithmetic: when does a packet that is offered now arrive, if at all?
//!
//! The same [`Pipe`] shapes virtual traffic in [`network`](crate::network) and real traffic in a relay: it holds no
//! packets and no timers, and is told the time. The order of effects is that of a real modem: wait for the radio, queue
//! (drop tail), transmit at the link's rate, get lost or not, travel.

use crate::clock::SimTime;
use crate::link_profiles::{Loss, PipeProfile};
use crate::rng::SimRng;

/// What becomes of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Fate {
    /// It arrives.
    Arrives {
        /// When.
        at: SimTime,
        /// When its duplicate arrives, if the link made one.
        copy_at: Option<SimTime>,
    },
    /// It does not.
    Dropped(DropCause),
}

/// Why a packet did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DropCause {
    /// The link's buffer was full.
    BufferFull,
    /// Lost on the air.
    Lost,
    /// The node was cut off when the packet entered or left its link.
    Partitioned,
    /// Larger than the link's MTU.
    TooBig,
    /// The device does not listen, and the network keeps enough packets for it already.
    Unreachable,
}

/// The state of one direction of a link. About 400 bytes; an offer costs constant time.
#[derive(Clone, Debug)]
pub struct Pipe {
    profile: PipeProfile,
    rng: SimRng,
    /// When the last bit that is queued now will have been sent.
    busy_until: SimTime,
    /// No packet arrives before this one, unless it or the other was reordered.
    last_arrival: SimTime,
    in_burst: bool,
}

impl Pipe {
    /// An empty pipe that draws its accidents from `rng`.
    #[must_use]
    pub fn new(profile: PipeProfile, rng: SimRng) -> Self {
        Self { profile, rng, busy_until: SimTime::ZERO, last_arrival: SimTime::ZERO, in_burst: false }
    }

    /// Offers a packet of `ip_len` bytes, headers included, at `now`, to be sent from `ready_at` on (when the radio is up).
    ///
    /// Times must not decrease from call to call; the queue is measured against `now`.
    ///
    /// # Example: the queue
    ///
    /// ```
    /// use std::num::NonZeroU64;
    /// use sim::clock::SimTime;
    /// use sim::link_profiles::PipeProfile;
    /// use sim::pipe::{DropCause, Fate, Pipe};
    /// use sim::rng::SimRng;
    ///
    /// let profile = PipeProfile { rate_bps: NonZeroU64::new(8_000), buffer_bytes: 1_500, ..PipeProfile::IDEAL };
    /// let mut pipe = Pipe::new(profile, SimRng::new(1, 0));
    /// let now = SimTime::ZERO;
    /// // 1,000 bytes at 8 kb/s take a second; the second packet no longer fits.
    /// assert_eq!(pipe.offer(now, now, 1_000), Fate::Arrives { at: SimTime::from_secs(1), copy_at: None });
    /// assert_eq!(pipe.offer(now, now, 1_000), Fate::Dropped(DropCause::BufferFull));
    /// ```
    pub fn offer(&mut self, now: SimTime, ready_at: SimTime, ip_len: u32) -> Fate {
        let start = now.max(ready_at);
        let queued = self.queued_bytes(start);
        if queued > 0 && queued.saturating_add(ip_len.into()) > self.profile.buffer_bytes.into() {
            return Fate::Dropped(DropCause::BufferFull);
        }
        self.busy_until = start.max(self.busy_until).plus_ns(self.transmission_ns(ip_len));
        if self.is_lost() {
            return Fate::Dropped(DropCause::Lost);
        }
        let sent = self.busy_until;
        let at = self.arrival(sent);
        let copy_at = self.rng.chance(self.profile.duplicate).then(|| self.arrival(sent));
        Fate::Arrives { at, copy_at }
    }

    /// Changes what the pipe does to later packets; those already offered keep their fate.
    pub fn set_profile(&mut self, profile: PipeProfile) {
        self.profile = profile;
    }

    /// When the last packet offered so far has been sent, that is, has left the queue.
    #[must_use]
    pub fn busy_until(&self) -> SimTime {
        self.busy_until
    }

    /// IP bytes that wait at `now`, with what is left of the packet in transmission.
    #[must_use]
    pub fn queued_bytes(&self, now: SimTime) -> u64 {
        let Some(rate_bps) = self.profile.rate_bps else { return 0 };
        let wait_ns = self.busy_until.as_ns().saturating_sub(now.as_ns());
        let bytes = u128::from(wait_ns) * u128::from(rate_bps.get()) / BIT_NS_PER_BYTE_S;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// How long a packet of this length is in transmission, in nanoseconds.
    #[must_use]
    pub fn transmission_ns(&self, ip_len: u32) -> u64 {
        let Some(rate_bps) = self.profile.rate_bps else { return 0 };
        let ns = u128::from(ip_len) * BIT_NS_PER_BYTE_S / u128::from(rate_bps.get());
        u64::try_from(ns).unwrap_or(u64::MAX)
    }

    fn is_lost(&mut self) -> bool {
        match self.profile.loss {
            Loss::None => false,
            Loss::Independent { loss } => self.rng.chance(loss),
            Loss::Burst { enter, leave, loss } => {
                if self.rng.chance(if self.in_burst { leave } else { enter }) {
                    self.in_burst = !self.in_burst;
                }
                self.in_burst && self.rng.chance(loss)
            }
        }
    }

    fn arrival(&mut self, sent: SimTime) -> SimTime {
        let jitter_ns = match self.profile.jitter_us {
            0 => 0,
            jitter_us => self.rng.below(u64::from(jitter_us) * NS_PER_US),
        };
        let travelled = sent.plus_ns(u64::from(self.profile.latency_us) * NS_PER_US + jitter_ns);
        if self.rng.chance(self.profile.reorder) {
            return travelled.plus_ns(u64::from(self.profile.reorder_us) * NS_PER_US);
        }
        self.last_arrival = self.last_arrival.max(travelled);
        self.last_arrival
    }
}

const NS_PER_US: u64 = 1_000;
/// Bits of a byte times nanoseconds of a second: `ns = bytes * this / (bits per second)`.
const BIT_NS_PER_BYTE_S: u128 = 8 * 1_000_000_000;

#[cfg(test)]
mod tests {
    use std::num::NonZeroU64;

    use super::*;
    use crate::rng::Probability;

    fn pipe(profile: PipeProfile) -> Pipe {
        Pipe::new(profile, SimRng::new(5, 0))
    }

    fn arrival(fate: Fate) -> SimTime {
        match fate {
            Fate::Arrives { at, .. } => at,
            Fate::Dropped(cause) => panic!("dropped: {cause:?}"),
        }
    }

    #[test]
    fn the_rate_is_kept_over_a_long_queue() {
        let mut pipe = pipe(PipeProfile { rate_bps: NonZeroU64::new(80_000), ..PipeProfile::IDEAL });
        let last = (0..100).map(|_| arrival(pipe.offer(SimTime::ZERO, SimTime::ZERO, 1_000))).last();
        assert_eq!(last, Some(SimTime::from_secs(10)));
        assert_eq!(pipe.queued_bytes(SimTime::from_secs(4)), 60_000);
    }

    #[test]
    fn a_full_buffer_drops_and_drains_again() {
        let profile =
            PipeProfile { rate_bps: NonZeroU64::new(8_000), buffer_bytes: 2_000, ..PipeProfile::IDEAL };
        let mut pipe = pipe(profile);
        let t = SimTime::from_secs;
        assert_eq!(arrival(pipe.offer(t(0), t(0), 1_000)), t(1));
        assert_eq!(arrival(pipe.offer(t(0), t(0), 1_000)), t(2));
        assert_eq!(pipe.offer(t(0), t(0), 1), Fate::Dropped(DropCause::BufferFull));
        assert_eq!(arrival(pipe.offer(t(1), t(1), 1_000)), t(3));
        assert_eq!(arrival(pipe.offer(t(9), t(9), 5_000)), t(14), "an empty queue takes any packet");
    }

    #[test]
    fn packets_that_wait_for_the_radio_fill_the_buffer() {
        let profile =
            PipeProfile { rate_bps: NonZeroU64::new(8_000), buffer_bytes: 2_000, ..PipeProfile::IDEAL };
        let mut pipe = pipe(profile);
        let (now, ready_at) = (SimTime::ZERO, SimTime::from_secs(5));
        assert_eq!(arrival(pipe.offer(now, ready_at, 1_500)), SimTime::from_ms(6_500));
        assert_eq!(pipe.offer(now, ready_at, 1_500), Fate::Dropped(DropCause::BufferFull));
    }

    #[test]
    fn jitter_keeps_the_order_and_reordering_does_not() {
        let jittery = PipeProfile { latency_us: 1_000, jitter_us: 50_000, ..PipeProfile::IDEAL };
        let arrivals = |profile| {
            let mut pipe = pipe(profile);
            (0..1_000)
                .map(|ms| arrival(pipe.offer(SimTime::from_ms(ms), SimTime::ZERO, 100)))
                .collect::<Vec<_>>()
        };
        assert!(arrivals(jittery).is_sorted());
        let shuffled = PipeProfile { reorder: Probability::percent(5), reorder_us: 100_000, ..jittery };
        assert!(!arrivals(shuffled).is_sorted());
    }

    #[test]
    fn bursts_lose_packets_in_a_row() {
        let loss = Loss::Burst {
            enter: Probability::percent(1),
            leave: Probability::percent(20),
            loss: Probability::ALWAYS,
        };
        let mut pipe = pipe(PipeProfile { loss, ..PipeProfile::IDEAL });
        let lost: Vec<bool> = (0..100_000)
            .map(|ms| matches!(pipe.offer(SimTime::from_ms(ms), SimTime::ZERO, 100), Fate::Dropped(_)))
            .collect();
        let total = lost.iter().filter(|&&lost| lost).count();
        let runs = lost.windows(2).filter(|pair| !pair[0] && pair[1]).count();
        assert!((4_000..5_600).contains(&total), "{total} lost, 4.8 % expected");
        assert!((4..=6).contains(&(total / runs)), "{total} lost in {runs} bursts, 5 each expected");
    }

    #[test]
    fn a_duplicate_arrives_as_well() {
        let mut pipe =
            pipe(PipeProfile { duplicate: Probability::ALWAYS, latency_us: 7, ..PipeProfile::IDEAL });
        let at = SimTime::from_ns(7_000);
        assert_eq!(pipe.offer(SimTime::ZERO, SimTime::ZERO, 40), Fate::Arrives { at, copy_at: Some(at) });
    }
}
