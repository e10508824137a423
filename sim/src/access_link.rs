//! A node's access link: both directions, the radio they share, what surrounds it, and the bill.
//!
//! A packet for a device that does not listen waits outside: [`AccessLink::reachable_at`] tells until when, and
//! [`AccessLink::has_room_for`] whether the network keeps one more. Who offers it all the same gets the time at which it
//! arrives if the device stays asleep until it is paged. Otherwise a packet passes in two steps: [`AccessLink::enter`] says when it will arrive, and [`AccessLink::leave`] is called at
//! that time, because the node may have been cut off in between. Whoever calls holds the packet meanwhile:
//! [`network`](crate::network) in virtual time, a relay in real time.

use std::iter::Sum;

use serde::{Deserialize, Serialize};

use crate::clock::SimTime;
use crate::coverage::{Coverage, CoveragePlan};
use crate::link_profiles::{Link, LinkProfile};
use crate::mobility::{Mobility, MobilityProfile};
use crate::outages::{Cut, Direction, Outages};
use crate::pipe::{DropCause, Fate, Pipe};
use crate::radio::{Radio, RadioUsage};
use crate::rng::SimRng;

/// The state of an access link. About 1 kB; each call costs constant time.
#[derive(Clone, Debug)]
pub struct AccessLink {
    mtu_bytes: u32,
    downlink: Pipe,
    uplink: Pipe,
    radio: Option<Radio>,
    /// The place of the radio in its paging cycles.
    phase: u64,
    outages: Outages,
    coverage: Option<Box<ChangingCoverage>>,
    mobility: Option<Box<Mobility>>,
    traffic: Traffic,
    /// The latest time that was told.
    now: SimTime,
}

impl AccessLink {
    /// A link that has not been used. It draws from the streams `2 * index` and `2 * index + 1` of `seed`, so give each
    /// link of a run its own `index`.
    #[must_use]
    pub fn new(profile: LinkProfile, seed: u64, index: u32) -> Self {
        let stream = u64::from(index) * 2;
        let phase = SimRng::new(seed, PHASE_STREAMS + u64::from(index)).next_u64();
        Self {
            mtu_bytes: profile.mtu_bytes,
            downlink: Pipe::new(profile.downlink, SimRng::new(seed, stream)),
            uplink: Pipe::new(profile.uplink, SimRng::new(seed, stream + 1)),
            radio: profile.radio.map(|radio| Radio::asleep(radio, phase)),
            phase,
            outages: Outages::default(),
            coverage: None,
            mobility: None,
            traffic: Traffic::default(),
            now: SimTime::ZERO,
        }
    }

    /// Offers a packet of `ip_len` bytes, headers included, at `now`. Times must not decrease from call to call.
    ///
    /// Where the answer is a time, call [`leave`](Self::leave) then, and once more for a copy.
    pub fn enter(&mut self, direction: Direction, now: SimTime, ip_len: u32) -> Fate {
        let fate = self.fate(direction, now, ip_len);
        let traffic = self.traffic.of_mut(direction);
        traffic.offered.add(ip_len);
        match fate {
            Fate::Arrives { copy_at: Some(_), .. } => traffic.duplicated.add(ip_len),
            Fate::Arrives { copy_at: None, .. } => {}
            Fate::Dropped(cause) => traffic.dropped.of_mut(cause).add(ip_len),
        }
        fate
    }

    /// Takes a packet out at the time that [`enter`](Self::enter) named. Returns whether it got through.
    #[must_use]
    pub fn leave(&mut self, direction: Direction, now: SimTime, ip_len: u32) -> bool {
        self.advance(now);
        let is_cut = self.outages.is_cut(now, direction);
        let is_lost = self.mobility.as_mut().is_some_and(|m| m.loses() && m.gap_end(now).is_some());
        let traffic = self.traffic.of_mut(direction);
        if is_cut {
            traffic.dropped.partitioned.add(ip_len);
        } else if is_lost {
            traffic.dropped.lost.add(ip_len);
        } else {
            traffic.carried.add(ip_len);
        }
        !is_cut && !is_lost
    }

    /// Counts a packet for a device that does not listen, for which the network has no capacity.
    pub fn refuse(&mut self, ip_len: u32) {
        self.traffic.downlink.offered.add(ip_len);
        self.traffic.downlink.dropped.unreachable.add(ip_len);
    }

    /// Changes the link for later packets; queue, outages, mobility and counters stay. The radio starts asleep, and coverage
    /// no longer changes.
    pub fn set_profile(&mut self, profile: LinkProfile) {
        self.mtu_bytes = profile.mtu_bytes;
        self.downlink.set_profile(profile.downlink);
        self.uplink.set_profile(profile.uplink);
        self.coverage = None;
        self.radio = match (self.radio, profile.radio) {
            (Some(radio), Some(profile)) => Some(radio.changed(profile, self.now)),
            (_, profile) => profile.map(|profile| Radio::asleep(profile, self.phase)),
        };
    }

    /// Makes the link that of a device whose coverage changes: rates, delays, losses and the wake-up are from now on those
    /// of `link` in the class that `plan` says. The rest of the profile stays, the way to sleep too.
    pub fn set_coverage(&mut self, link: Link, plan: CoveragePlan) {
        self.coverage = Some(Box::new(ChangingCoverage { link, plan, current: None }));
    }

    /// Makes the device one that moves; its changes of cell are drawn from `rng`.
    pub fn set_mobility(&mut self, profile: MobilityProfile, rng: SimRng) {
        self.mobility = Some(Box::new(Mobility::new(profile, rng)));
    }

    /// How often the device has moved to a new public address so far.
    pub fn new_addresses(&mut self, now: SimTime) -> u64 {
        self.mobility.as_mut().map_or(0, |mobility| mobility.new_addresses(now))
    }

    /// Cuts the node off until [`restore`](Self::restore). What is on the way is lost when it would arrive.
    pub fn cut(&mut self, cut: Cut) {
        self.outages.cut(cut);
    }

    /// Ends what [`cut`](Self::cut) began.
    pub fn restore(&mut self) {
        self.outages.restore();
    }

    /// Cuts the node off from `from` until just before `until`.
    pub fn plan_outage(&mut self, from: SimTime, until: SimTime, cut: Cut) {
        self.outages.plan(from, until, cut);
    }

    /// What has passed so far.
    #[must_use]
    pub fn traffic(&self) -> &Traffic {
        &self.traffic
    }

    /// From when on, at `now` or after it, a packet can begin its way to the node. It is sooner if the node sends before.
    #[must_use]
    pub fn reachable_at(&self, now: SimTime) -> SimTime {
        self.radio.as_ref().map_or(now, |radio| radio.reachable_at(now))
    }

    /// Whether the network keeps one more packet for a node that does not listen, when it keeps `held` already.
    #[must_use]
    pub fn has_room_for(&self, held: usize) -> bool {
        self.radio.as_ref().is_none_or(|radio| held < usize::from(radio.profile().held_max))
    }

    /// How long the radio was in which state until `now`; `None` for a link without one.
    #[must_use]
    pub fn radio_usage(&self, now: SimTime) -> Option<RadioUsage> {
        self.radio.as_ref().map(|radio| radio.usage(now))
    }

    /// What the radio has drawn until `now`, in millijoules: an estimate, see
    /// [`RadioProfile::energy_estimate_mj`](crate::radio::RadioProfile::energy_estimate_mj).
    #[must_use]
    pub fn energy_estimate_mj(&self, now: SimTime) -> Option<u64> {
        self.radio.as_ref().and_then(|radio| radio.profile().energy_estimate_mj(&radio.usage(now)))
    }

    fn advance(&mut self, now: SimTime) {
        self.now = self.now.max(now);
        if let Some(mobility) = &mut self.mobility {
            mobility.forget_before(now);
        }
        let Some(coverage) = &mut self.coverage else { return };
        if let Some(profile) = coverage.change(now) {
            self.downlink.set_profile(profile.downlink);
            self.uplink.set_profile(profile.uplink);
            if let (Some(radio), Some(changed)) = (&mut self.radio, profile.radio) {
                radio.set_promotion(changed.promotion_us);
            }
        }
    }

    fn fate(&mut self, direction: Direction, now: SimTime, ip_len: u32) -> Fate {
        self.advance(now);
        if ip_len > self.mtu_bytes {
            return Fate::Dropped(DropCause::TooBig);
        }
        if self.outages.is_cut(now, direction) {
            return Fate::Dropped(DropCause::Partitioned);
        }
        let pipe = match direction {
            Direction::Downlink => &mut self.downlink,
            Direction::Uplink => &mut self.uplink,
        };
        let awake_at = match (&mut self.radio, direction) {
            (None, _) => now,
            (Some(radio), Direction::Downlink) => radio.wake(radio.reachable_at(now)),
            (Some(radio), Direction::Uplink) => radio.wake(now),
        };
        let gap_end = self.mobility.as_mut().and_then(|mobility| mobility.gap_end(now.max(awake_at)));
        let fate = pipe.offer(now, gap_end.unwrap_or(awake_at), ip_len);
        if let Some(radio) = &mut self.radio {
            radio.used_until(pipe.busy_until());
            if direction == Direction::Uplink && fate != Fate::Dropped(DropCause::BufferFull) {
                radio.transmitted(pipe.transmission_ns(ip_len));
            }
        }
        match (&mut self.mobility, fate) {
            (Some(mobility), Fate::Arrives { at, copy_at }) if !mobility.loses() => {
                let mut delayed = |at| mobility.gap_end(at).unwrap_or(at);
                Fate::Arrives { at: delayed(at), copy_at: copy_at.map(delayed) }
            }
            (_, fate) => fate,
        }
    }
}

/// The coverage of a device that does not stay in one place.
#[derive(Clone, Debug)]
struct ChangingCoverage {
    link: Link,
    plan: CoveragePlan,
    /// What the link is set to; `None` before the first packet.
    current: Option<Coverage>,
}

impl ChangingCoverage {
    /// What the link has become, if it has changed since the last call.
    fn change(&mut self, now: SimTime) -> Option<LinkProfile> {
        let class = self.plan.at(now);
        (self.current.replace(class) != Some(class)).then(|| self.link.in_coverage(class))
    }
}

/// Packets and their IP bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Number of packets.
    pub packets: u64,
    /// Their bytes, IP and UDP headers included.
    pub ip_bytes: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, ip_len: u32) {
        self.packets += 1;
        self.ip_bytes += u64::from(ip_len);
    }
}

impl Sum for Tally {
    fn sum<I: Iterator<Item = Self>>(tallies: I) -> Self {
        tallies.fold(Self::default(), |sum, tally| Self {
            packets: sum.packets + tally.packets,
            ip_bytes: sum.ip_bytes + tally.ip_bytes,
        })
    }
}

/// What has passed an access link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Traffic {
    /// To the node.
    pub downlink: DirectionTraffic,
    /// From the node.
    pub uplink: DirectionTraffic,
}

impl Traffic {
    /// The counters of one direction.
    #[must_use]
    pub fn of(&self, direction: Direction) -> &DirectionTraffic {
        match direction {
            Direction::Downlink => &self.downlink,
            Direction::Uplink => &self.uplink,
        }
    }

    /// What the link carried in both directions, in IP bytes: what a data plan is charged for.
    #[must_use]
    pub fn carried_ip_bytes(&self) -> u64 {
        self.downlink.carried.ip_bytes + self.uplink.carried.ip_bytes
    }

    fn of_mut(&mut self, direction: Direction) -> &mut DirectionTraffic {
        match direction {
            Direction::Downlink => &mut self.downlink,
            Direction::Uplink => &mut self.uplink,
        }
    }
}

/// What has passed one direction of an access link.
///
/// `offered + duplicated = carried + dropped + what is on the way`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectionTraffic {
    /// Handed to the link.
    pub offered: Tally,
    /// Came out at the other end.
    pub carried: Tally,
    /// Copies that the link made.
    pub duplicated: Tally,
    /// Did not come out.
    pub dropped: Dropped,
}

/// What was dropped, by [`DropCause`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The link's buffer was full.
    pub buffer_full: Tally,
    /// Lost on the air.
    pub lost: Tally,
    /// The node was cut off.
    pub partitioned: Tally,
    /// Larger than the link's MTU.
    pub too_big: Tally,
    /// For a device that did not listen, beyond what the network keeps.
    #[serde(default)]
    pub unreachable: Tally,
}

impl Dropped {
    /// What was dropped for any cause.
    #[must_use]
    pub fn in_all(&self) -> Tally {
        let Self { buffer_full, lost, partitioned, too_big, unreachable } = *self;
        [buffer_full, lost, partitioned, too_big, unreachable].into_iter().sum()
    }

    fn of_mut(&mut self, cause: DropCause) -> &mut Tally {
        match cause {
            DropCause::BufferFull => &mut self.buffer_full,
            DropCause::Lost => &mut self.lost,
            DropCause::Partitioned => &mut self.partitioned,
            DropCause::TooBig => &mut self.too_big,
            DropCause::Unreachable => &mut self.unreachable,
        }
    }
}

/// Where in its cycles a radio listens is drawn apart from what its link does.
const PHASE_STREAMS: u64 = 1 << 42;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link_profiles::{Link, PipeProfile};
    use crate::mobility::UnderWay;
    use crate::radio::{RadioProfile, Sleep};
    use crate::rng::Probability;

    fn link(radio: Option<RadioProfile>) -> AccessLink {
        let pipe = PipeProfile { latency_us: 10_000, ..PipeProfile::IDEAL };
        AccessLink::new(LinkProfile { uplink: pipe, downlink: pipe, mtu_bytes: 1_358, radio }, 1, 0)
    }

    fn arrives_at_ms(ms: u64) -> Fate {
        Fate::Arrives { at: SimTime::from_ms(ms), copy_at: None }
    }

    #[test]
    fn the_first_packet_after_idle_waits_for_the_radio() {
        let mut link = link(Some(RadioProfile::new(500_000, 2_000_000)));
        let mut send = |direction, ms| link.enter(direction, SimTime::from_ms(ms), 100);
        assert_eq!(send(Direction::Uplink, 0), arrives_at_ms(510));
        assert_eq!(send(Direction::Downlink, 100), arrives_at_ms(510), "both directions share the radio");
        assert_eq!(send(Direction::Uplink, 2_499), arrives_at_ms(2_509), "the tail lasts to 2.5 s");
        assert_eq!(send(Direction::Downlink, 4_499), arrives_at_ms(5_009), "and was renewed once");
    }

    #[test]
    fn a_cut_takes_what_is_on_the_way() {
        let mut link = link(None);
        let t = SimTime::from_ms;
        assert_eq!(link.enter(Direction::Downlink, t(0), 100), arrives_at_ms(10));
        link.cut(Cut::Downlink);
        assert!(!link.leave(Direction::Downlink, t(10), 100));
        assert_eq!(link.enter(Direction::Downlink, t(11), 100), Fate::Dropped(DropCause::Partitioned));
        assert_eq!(link.enter(Direction::Uplink, t(11), 60), arrives_at_ms(21));
        assert!(link.leave(Direction::Uplink, t(21), 60));
        link.restore();
        assert_eq!(link.enter(Direction::Downlink, t(30), 100), arrives_at_ms(40));

        let traffic = link.traffic();
        assert_eq!(traffic.downlink.offered, Tally { packets: 3, ip_bytes: 300 });
        assert_eq!(traffic.downlink.dropped.partitioned, Tally { packets: 2, ip_bytes: 200 });
        assert_eq!(traffic.downlink.carried, Tally::default());
        assert_eq!(traffic.carried_ip_bytes(), 60);
    }

    #[test]
    fn packets_above_the_mtu_vanish() {
        let mut link = AccessLink::new(Link::NbIot.profile().lossless(), 1, 0);
        assert_eq!(link.enter(Direction::Uplink, SimTime::ZERO, 1_359), Fate::Dropped(DropCause::TooBig));
        assert!(matches!(link.enter(Direction::Uplink, SimTime::ZERO, 1_358), Fate::Arrives { .. }));
        assert_eq!(link.traffic().uplink.dropped.in_all(), Tally { packets: 1, ip_bytes: 1_359 });
    }

    #[test]
    fn what_is_offered_to_a_sleeping_device_waits_for_its_window() {
        let extended = RadioProfile::new(500_000, 2_000_000).sleeping(Sleep::extended(81_920));
        let mut link = link(Some(extended));
        let now = SimTime::from_secs(1_000);
        let window = link.reachable_at(now);
        assert!(now <= window && window < now + std::time::Duration::from_millis(81_920));
        let Fate::Arrives { at, .. } = link.enter(Direction::Downlink, now, 100) else {
            panic!("nothing is lost here");
        };
        assert_eq!(at.since(window).as_millis(), 510);
        assert!(link.has_room_for(4) && !link.has_room_for(5));
    }

    #[test]
    fn transmission_is_counted_and_costs_energy() {
        let mut link = AccessLink::new(Link::CatM1.profile().lossless(), 1, 0);
        let _ = link.enter(Direction::Uplink, SimTime::ZERO, 1_163);
        let usage = link.radio_usage(SimTime::from_secs(60)).unwrap();
        // 1,163 bytes at 93 kb/s.
        assert_eq!(usage.transmitting_ns, 100_043_010);
        assert_eq!(usage.waking_ns, 500_000_000);
        assert_eq!(usage.connected_ns, 10_100_043_010, "the transmission and the tail");
        // 10.6 s at 45 mA, 0.1 s at 60 mA more, 38 occasions and the floor, at 3.7 V.
        assert_eq!(link.energy_estimate_mj(SimTime::from_secs(60)), Some(1_945));
    }

    #[test]
    fn coverage_changes_rate_and_delay_from_its_time_on() {
        let mut link = AccessLink::new(Link::CatM1.profile().lossless(), 1, 0);
        let t = SimTime::from_secs;
        link.set_coverage(Link::CatM1, CoveragePlan::listed([(t(100), Coverage::Extreme)]));
        let mut took_ms = |second| match link.enter(Direction::Uplink, t(second), 125) {
            Fate::Arrives { at, .. } => at.since(t(second)).as_millis(),
            Fate::Dropped(cause) => panic!("dropped: {cause:?}"),
        };
        // The wake-up of 0.5 s, 11 ms of transmission and 60 to 180 ms; then 5 s, 4 s and 0.6 to 1.8 s.
        assert!((571..=691).contains(&took_ms(0)));
        assert!((9_600..=10_800).contains(&took_ms(100)));
    }

    fn moving(under_way: UnderWay) -> AccessLink {
        let mut link = link(None);
        let profile =
            MobilityProfile { every_ms: 1_000, gap_ms: 100, under_way, new_address: Probability::NEVER };
        link.set_mobility(profile, SimRng::new(1, 0));
        link
    }

    /// Packets each millisecond, which travel for ten.
    fn delays(link: &mut AccessLink) -> Vec<u128> {
        let mut delays = Vec::new();
        for now in (0..20_000).map(SimTime::from_ms) {
            if let Fate::Arrives { at, .. } = link.enter(Direction::Uplink, now, 100)
                && link.leave(Direction::Uplink, at, 100)
            {
                delays.push(at.since(now).as_millis());
            }
        }
        delays
    }

    #[test]
    fn a_handover_delays_what_is_sent_in_its_gap_and_what_would_arrive_in_it() {
        let mut link = moving(UnderWay::Delayed);
        let delays = delays(&mut link);
        assert_eq!(delays.len(), 20_000, "nothing is lost");
        assert_eq!((delays.iter().min(), delays.iter().max()), (Some(&10), Some(&109)));
        let delayed = delays.iter().filter(|delay| **delay > 10).count();
        // 17 gaps of 100 ms, and the ten before each.
        assert!((17 * 108..=17 * 110).contains(&delayed), "{delayed} delayed");
    }

    #[test]
    fn a_failed_connection_loses_what_would_arrive_in_its_gap() {
        let mut link = moving(UnderWay::Lost);
        let delays = delays(&mut link);
        let lost = link.traffic().uplink.dropped.lost.packets;
        assert_eq!(delays.len() as u64 + lost, 20_000);
        assert_eq!(lost, 170, "ten before each of 17 gaps");
    }
}
