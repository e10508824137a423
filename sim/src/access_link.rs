//! A node's access link: both directions, the radio they share, outages, and the bill.
//!
//! A packet passes in two steps: [`AccessLink::enter`] says when it will arrive, and [`AccessLink::leave`] is called at
//! that time, because the node may have been cut off in between. Whoever calls holds the packet meanwhile:
//! [`network`](crate::network) in virtual time, a relay in real time.

use std::iter::Sum;

use serde::{Deserialize, Serialize};

use crate::clock::SimTime;
use crate::link_profiles::{LinkProfile, RadioProfile};
use crate::outages::{Cut, Direction, Outages};
use crate::pipe::{DropCause, Fate, Pipe};
use crate::rng::SimRng;

/// The state of an access link. About 1 kB; each call costs constant time.
#[derive(Clone, Debug)]
pub struct AccessLink {
    mtu_bytes: u32,
    downlink: Pipe,
    uplink: Pipe,
    radio: Option<Radio>,
    outages: Outages,
    traffic: Traffic,
}

impl AccessLink {
    /// A link that has not been used. It draws from the streams `2 * index` and `2 * index + 1` of `seed`, so give each
    /// link of a run its own `index`.
    #[must_use]
    pub fn new(profile: LinkProfile, seed: u64, index: u32) -> Self {
        let stream = u64::from(index) * 2;
        Self {
            mtu_bytes: profile.mtu_bytes,
            downlink: Pipe::new(profile.downlink, SimRng::new(seed, stream)),
            uplink: Pipe::new(profile.uplink, SimRng::new(seed, stream + 1)),
            radio: profile.radio.map(Radio::asleep),
            outages: Outages::default(),
            traffic: Traffic::default(),
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
        let is_cut = self.outages.is_cut(now, direction);
        let traffic = self.traffic.of_mut(direction);
        if is_cut {
            traffic.dropped.partitioned.add(ip_len);
        } else {
            traffic.carried.add(ip_len);
        }
        !is_cut
    }

    /// Changes the link for later packets; queue, outages and counters stay. The radio starts asleep.
    pub fn set_profile(&mut self, profile: LinkProfile) {
        self.mtu_bytes = profile.mtu_bytes;
        self.downlink.set_profile(profile.downlink);
        self.uplink.set_profile(profile.uplink);
        self.radio = profile.radio.map(Radio::asleep);
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

    fn fate(&mut self, direction: Direction, now: SimTime, ip_len: u32) -> Fate {
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
        let Some(radio) = &mut self.radio else { return pipe.offer(now, now, ip_len) };
        let fate = pipe.offer(now, radio.wake(now), ip_len);
        radio.used_until(pipe.busy_until());
        fate
    }
}

/// The radio of a node: idle, waking, or connected until some time after its last use.
#[derive(Clone, Copy, Debug)]
struct Radio {
    profile: RadioProfile,
    ready_at: SimTime,
    idle_at: SimTime,
}

impl Radio {
    fn asleep(profile: RadioProfile) -> Self {
        Self { profile, ready_at: SimTime::ZERO, idle_at: SimTime::ZERO }
    }

    /// Wakes the radio if it is idle; returns from when on it can transmit.
    fn wake(&mut self, now: SimTime) -> SimTime {
        if now >= self.idle_at {
            self.ready_at = now.plus_ns(u64::from(self.profile.promotion_us) * NS_PER_US);
        }
        self.ready_at
    }

    fn used_until(&mut self, sent: SimTime) {
        self.idle_at = self.idle_at.max(sent.plus_ns(u64::from(self.profile.tail_us) * NS_PER_US));
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
}

impl Dropped {
    /// What was dropped for any cause.
    #[must_use]
    pub fn in_all(&self) -> Tally {
        [self.buffer_full, self.lost, self.partitioned, self.too_big].into_iter().sum()
    }

    fn of_mut(&mut self, cause: DropCause) -> &mut Tally {
        match cause {
            DropCause::BufferFull => &mut self.buffer_full,
            DropCause::Lost => &mut self.lost,
            DropCause::Partitioned => &mut self.partitioned,
            DropCause::TooBig => &mut self.too_big,
        }
    }
}

const NS_PER_US: u64 = 1_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link_profiles::{Link, PipeProfile};

    fn link(radio: Option<RadioProfile>) -> AccessLink {
        let pipe = PipeProfile { latency_us: 10_000, ..PipeProfile::IDEAL };
        AccessLink::new(LinkProfile { uplink: pipe, downlink: pipe, mtu_bytes: 1_358, radio }, 1, 0)
    }

    fn arrives_at_ms(ms: u64) -> Fate {
        Fate::Arrives { at: SimTime::from_ms(ms), copy_at: None }
    }

    #[test]
    fn the_first_packet_after_idle_waits_for_the_radio() {
        let mut link = link(Some(RadioProfile { promotion_us: 500_000, tail_us: 2_000_000 }));
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
}
