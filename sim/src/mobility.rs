//! Devices that move: from cell to cell, with a gap in each change.
//!
//! On Cat-M the network hands a connected device over; the gap is 40 to 50 ms where all goes well (3GPP TR 36.881, on the
//! interruption in handover), and the old cell forwards what is under way. NB-IoT has no handover (TS 36.300): the
//! connection fails, the device looks for a cell and establishes a new one, which takes seconds, and what was under way is
//! lost. The IP address stays, because it belongs to the gateway of the operator; it changes where a device attaches anew.
//!
//! A change of cell while the radio sleeps costs nothing here but the delay of what is sent in that moment.

use std::collections::VecDeque;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::SimTime;
use crate::rng::{Probability, SimRng};

/// How a device moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MobilityProfile {
    /// Mean time between two changes of cell, in milliseconds; single ones are between a half and three halves of it.
    pub every_ms: u64,
    /// How long nothing passes during a change, in milliseconds.
    pub gap_ms: u32,
    /// What becomes of packets that would arrive in the gap.
    pub under_way: UnderWay,
    /// How often a change comes with a new public address.
    pub new_address: Probability,
}

impl MobilityProfile {
    /// A vehicle on Cat-M: a handover of 50 ms in the mean every 3 minutes (a cell of 3 km at 60 km/h; our choice).
    pub const CAT_M1_VEHICLE: Self =
        Self { every_ms: 180_000, gap_ms: 50, under_way: UnderWay::Delayed, new_address: Probability::NEVER };

    /// The same on NB-IoT: each time the connection fails, and 5 s pass until there is another one (our choice).
    pub const NB_IOT_VEHICLE: Self =
        Self { gap_ms: 5_000, under_way: UnderWay::Lost, ..Self::CAT_M1_VEHICLE };
}

/// What becomes of packets that would arrive while the device changes its cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum UnderWay {
    /// They arrive when it is done.
    Delayed,
    /// They do not arrive.
    Lost,
}

/// The changes of cell of one device: they follow from the profile and the seed, whatever the traffic.
#[derive(Clone, Debug)]
pub struct Mobility {
    profile: MobilityProfile,
    rng: SimRng,
    /// Those that may still matter, in the order of time; the last one is in the future of every question so far.
    gaps: VecDeque<Gap>,
    /// New addresses until the beginning of the first gap.
    addresses_before: u64,
}

#[derive(Clone, Copy, Debug)]
struct Gap {
    from: SimTime,
    until: SimTime,
    new_address: bool,
}

impl Mobility {
    /// A device that moves from the beginning on.
    #[must_use]
    pub fn new(profile: MobilityProfile, rng: SimRng) -> Self {
        let mut mobility = Self { profile, rng, gaps: VecDeque::new(), addresses_before: 0 };
        mobility.plan_next(SimTime::ZERO);
        mobility
    }

    /// The end of the change of cell in which `at` lies, if it lies in one. `at` may be ahead of what is asked later, by
    /// the time that a packet travels.
    pub fn gap_end(&mut self, at: SimTime) -> Option<SimTime> {
        self.plan_until(at);
        self.gaps.iter().find(|gap| gap.from <= at && at < gap.until).map(|gap| gap.until)
    }

    /// How many changes that came with a new address had begun by `now`.
    pub fn new_addresses(&mut self, now: SimTime) -> u64 {
        self.plan_until(now);
        let begun = self.gaps.iter().take_while(|gap| gap.from <= now);
        self.addresses_before + begun.filter(|gap| gap.new_address).count() as u64
    }

    /// Whether what would arrive in a gap is lost.
    #[must_use]
    pub fn loses(&self) -> bool {
        self.profile.under_way == UnderWay::Lost
    }

    /// Forgets what ended long before `now`: nothing travels for so long.
    pub fn forget_before(&mut self, now: SimTime) {
        while self.gaps.len() > 1
            && let Some(gap) = self.gaps.pop_front_if(|gap| gap.until + TRAVEL_MAX < now)
        {
            self.addresses_before += u64::from(gap.new_address);
        }
    }

    fn plan_until(&mut self, at: SimTime) {
        while let Some(last) = self.gaps.back()
            && last.from <= at
        {
            self.plan_next(last.until);
        }
    }

    fn plan_next(&mut self, after: SimTime) {
        let MobilityProfile { every_ms, gap_ms, new_address, .. } = self.profile;
        let every_ns = Duration::from_millis(every_ms.max(1)).as_nanos() as u64;
        let from = after.plus_ns(every_ns / 2 + self.rng.below(every_ns)).plus_ns(1);
        let until = from + Duration::from_millis(gap_ms.into());
        let new_address = self.rng.chance(new_address);
        self.gaps.push_back(Gap { from, until, new_address });
    }
}

/// Longer than a packet is under way in a link.
const TRAVEL_MAX: Duration = Duration::from_secs(3_600);

#[cfg(test)]
mod tests {
    use super::*;

    fn mobility(new_address: Probability) -> Mobility {
        let profile = MobilityProfile { new_address, ..MobilityProfile::NB_IOT_VEHICLE };
        Mobility::new(profile, SimRng::new(3, 0))
    }

    #[test]
    fn gaps_come_as_often_and_last_as_long_as_they_should() {
        let mut mobility = mobility(Probability::NEVER);
        let (mut gaps, mut in_gap_ms, mut was_in) = (0, 0, false);
        for ms in (0..86_400_000).step_by(100) {
            let now = SimTime::from_ms(ms);
            let is_in = mobility.gap_end(now).is_some();
            gaps += u32::from(is_in && !was_in);
            in_gap_ms += u64::from(is_in) * 100;
            was_in = is_in;
            mobility.forget_before(now);
        }
        // One each 185 s, of 5 s.
        assert_eq!((gaps, in_gap_ms), (470, 470 * 5_000));
        assert!(mobility.gaps.len() < 40, "{} gaps are kept", mobility.gaps.len());
        assert_eq!(mobility.new_addresses(SimTime::from_secs(86_400)), 0);
    }

    #[test]
    fn a_question_about_the_future_changes_nothing() {
        let (mut ahead, mut plain) = (mobility(Probability::percent(50)), mobility(Probability::percent(50)));
        ahead.gap_end(SimTime::from_secs(50_000));
        for second in (0..50_000).map(SimTime::from_secs) {
            assert_eq!(ahead.gap_end(second), plain.gap_end(second));
            assert_eq!(ahead.new_addresses(second), plain.new_addresses(second));
            plain.forget_before(second);
        }
        assert_eq!(plain.new_addresses(SimTime::from_secs(50_000)), 143);
    }
}
