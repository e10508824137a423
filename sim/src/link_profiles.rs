//! What an access link does to datagrams, and the four links this project plans with.
//!
//! A [`LinkProfile`] describes the link between one node and the Internet, uplink and downlink apart. [`Link`] names the
//! built-in ones. They are for *planning*: what a device in the field should expect, not what a data sheet promises. A
//! number below either has its source named, or says that it is our choice and why.
//!
//! | | `cat-m1` | `nb-iot` | `lte` | `loopback` |
//! |---|---|---|---|---|
//! | downlink, kb/s | 75 (a) | 20 (b) | 12,740 (c) | unlimited |
//! | uplink, kb/s | 93 (a) | 16 (b) | 5,640 (c) | unlimited |
//! | round trip without queue, ms | 100 to 300 (d) | 1,500 to 3,000 (e) | 69.5 to 89.5 (c) | 0.1 |
//! | wake-up from idle, ms | 500 (f) | 3,000 (f) | 260 (c) | 0 |
//! | connected after the last packet, s | 10 (g) | 20 (g) | 11.6 (c) | always |
//! | paging while idle, each s | 1.28 (l) | 1.28 (l) | 1.28 (l) | always |
//! | loss, mean | 0.5 % in bursts (h) | 1 % in bursts (h) | 0.1 % (h) | 0 |
//! | IP MTU, bytes | 1,358 (i) | 1,358 (i) | 1,358 (i) | 65,536 (j) |
//! | buffer in each direction | 16 KiB (k) | 8 KiB (k) | 256 KiB (k) | unlimited |
//!
//!  - (a) Release 13 category M1 sends blocks of at most 1,000 bits (3GPP TS 36.306, UE categories); a half-duplex modem
//!    gets three of them in 10 ms down and in 8 ms up (scheduling of TS 36.213), which makes the 300 and 375 kb/s of the
//!    comparison tables. We plan with a quarter: repetitions of coverage enhancement mode A and other users in the cell
//!    take the rest. Half duplex itself is not simulated; the quarter stands for it.
//!  - (b) Release 13 category NB1 peaks at about 26 kb/s down, 62 kb/s up with several tones and 17 kb/s up with one tone
//!    of 15 kHz (block sizes of TS 36.306, scheduling of TS 36.213 section 16). Every modem has single tone, so the uplink
//!    is planned with it; the downlink with three quarters of its peak.
//!  - (c) Huang, Qian, Gerber, Mao, Sen, Spatscheck, "A Close Examination of Performance and Power Characteristics of 4G
//!    LTE Networks", MobiSys 2012: medians of throughput and round trip over 3,000 users; idle promotion 260.1 ms, tail
//!    11.576 s. The jitter of 20 ms is our choice.
//!  - (d) Lower end: the least this project plans with, over any narrow link. Upper end: the packet delay budget of QCI 9,
//!    300 ms (3GPP TS 23.203, table 6.1.7).
//!  - (e) Our choice, for connected mode in fair coverage, within the 1.6 to 10 s of the comparison tables. Their upper end
//!    is the objective for an exception report at the coverage edge (3GPP TR 45.820, section 4); it is reached here with
//!    the wake-up and a queue. That delays vary this much: Martinez, Adelantado, Bartoli, Vilajosana, "Exploring the
//!    Performance Boundaries of NB-IoT", IEEE Internet of Things Journal 6(3), 2019.
//!  - (f) Our choice, scaled from (c): random access, connection set-up and security activation take about the same
//!    number of round trips on each, and these links repeat each message.
//!  - (g) Our choice, in the range that operators are known to configure (5 to 20 s); the network sets it, not the device.
//!  - (h) Our choice. Radio retransmission hides nearly all loss (QCI 9 asks for 1e-6 inside the operator's network, TS
//!    23.203); what is left comes in bursts, in handovers and at the edge of coverage. Model: E. N. Gilbert, "Capacity of
//!    a Burst-Noise Channel", 1960, and E. O. Elliott, "Estimates of Error Rates for Codes on Burst-Noise Channels", 1963.
//!  - (i) The link MTU that 3GPP recommends so that a tunnel fits a 1,500-byte backbone (TS 23.060, annex C).
//!  - (j) Linux, interface `lo`.
//!  - (k) Our choice: 1.5 s of queue on `cat-m1`, 4 s on `nb-iot` (a QUIC handshake fits), the known bufferbloat of cellular
//!    on `lte`.
//!
//!  - (l) The default cycle of most networks. What comes for an idle device waits for its next turn in it, 0.64 s in the
//!    mean, and then for the wake-up. [`LinkProfile::sleeping`] gives a link eDRX or power saving mode instead.
//!
//! Comparison tables: the data rates and latencies of the Release 13 categories as operators, module vendors and analysts
//! reprint them (Cat-M1 half duplex 300/375 kb/s; Cat-NB1 26/62 kb/s, 1.6 to 10 s).
//!
//! These are links in normal coverage, at rest. What else happens to a device in the field is set beside the profile:
//! [`radio`](crate::radio) has the ways to sleep, [`coverage`](crate::coverage) what walls do,
//! [`mobility`](crate::mobility) what happens on the road, [`nat`](crate::nat) the carrier's addresses, and
//! [`outages`](crate::outages) schedules of when there is no coverage at all.
//!
//! Not simulated: contention between the devices of a cell, half duplex, connected-mode DRX, packets that the radio's own
//! retransmission delays one by one. In the tail after a packet a link is as good as in the middle of a transfer.

use std::fmt;
use std::num::NonZeroU64;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::radio::{Power, RadioProfile, Sleep};
use crate::rng::Probability;

/// An access link: both directions, the largest datagram, the radio.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LinkProfile {
    /// From the node to the Internet.
    pub uplink: PipeProfile,
    /// From the Internet to the node.
    pub downlink: PipeProfile,
    /// Largest IP packet, headers included, in bytes; larger ones vanish without notice, as they do in practice.
    pub mtu_bytes: u32,
    /// How the radio falls asleep and wakes; `None` for a link that is always there.
    pub radio: Option<RadioProfile>,
}

impl LinkProfile {
    /// The same link without loss, duplication and reordering, for tests that count bytes.
    #[must_use]
    pub const fn lossless(mut self) -> Self {
        self.uplink = self.uplink.lossless();
        self.downlink = self.downlink.lossless();
        self
    }

    /// The same link with a radio that sleeps like this; a link that is always there stays so.
    #[must_use]
    pub const fn sleeping(mut self, sleep: Sleep) -> Self {
        if let Some(radio) = self.radio {
            self.radio = Some(radio.sleeping(sleep));
        }
        self
    }
}

/// One direction of a link: a queue that is served at a fixed rate, then a delay, then accidents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PipeProfile {
    /// Rate at which IP bytes leave the queue, in bits per second; `None` is unlimited.
    pub rate_bps: Option<NonZeroU64>,
    /// Bytes that may wait, the packet in transmission included; a packet that does not fit is dropped (drop tail). An
    /// empty queue takes any packet. Without meaning where the rate is unlimited.
    pub buffer_bytes: u32,
    /// Least one-way delay after transmission, in microseconds.
    pub latency_us: u32,
    /// Extra delay, uniform from 0 to this, in microseconds. Jitter alone never reorders: radio links deliver in order.
    pub jitter_us: u32,
    /// Loss after transmission: a lost packet has used its share of the rate.
    pub loss: Loss,
    /// How often a packet arrives twice, the copy with a jitter of its own.
    pub duplicate: Probability,
    /// How often a packet is held back by [`reorder_us`](Self::reorder_us) so that later ones may pass it.
    pub reorder: Probability,
    /// How long a reordered packet is held back, in microseconds.
    pub reorder_us: u32,
}

impl PipeProfile {
    /// No limit, no delay, no accidents: the base to set single fields of.
    pub const IDEAL: Self = Self {
        rate_bps: None,
        buffer_bytes: u32::MAX,
        latency_us: 0,
        jitter_us: 0,
        loss: Loss::None,
        duplicate: Probability::NEVER,
        reorder: Probability::NEVER,
        reorder_us: 0,
    };

    /// The same direction without loss, duplication and reordering.
    #[must_use]
    pub const fn lossless(mut self) -> Self {
        self.loss = Loss::None;
        self.duplicate = Probability::NEVER;
        self.reorder = Probability::NEVER;
        self
    }
}

/// How packets get lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Loss {
    /// The two-state Gilbert-Elliott model. The state may change before each packet; nothing is lost in the good state.
    Burst {
        /// From the good state into a burst, per packet.
        enter: Probability,
        /// Out of the burst, per packet: its inverse is the mean length of a burst in packets.
        leave: Probability,
        /// Loss while in a burst.
        loss: Probability,
    },
    /// Each packet on its own.
    Independent {
        /// Loss of each packet.
        loss: Probability,
    },
    /// Nothing is lost.
    None,
}

/// The built-in links, by name. See the [module](self) for the numbers and where they come from.
///
/// ```
/// use sim::link_profiles::Link;
///
/// let link: Link = "cat-m1".parse()?;
/// assert_eq!(link.profile().mtu_bytes, 1_358);
/// let error = "5g".parse::<Link>().unwrap_err();
/// assert_eq!(error.to_string(), "unknown link \"5g\": use one of cat-m1, nb-iot, lte, loopback");
/// # Ok::<(), sim::link_profiles::UnknownLink>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Link {
    /// LTE category M1 (LTE-M).
    CatM1,
    /// NB-IoT category NB1.
    NbIot,
    /// LTE of a phone or a router.
    Lte,
    /// Two processes on one machine.
    Loopback,
}

impl Link {
    /// All built-in links, in the order of the table.
    pub const ALL: [Self; 4] = [Self::CatM1, Self::NbIot, Self::Lte, Self::Loopback];

    /// The name, as it is parsed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CatM1 => "cat-m1",
            Self::NbIot => "nb-iot",
            Self::Lte => "lte",
            Self::Loopback => "loopback",
        }
    }

    /// What the link does to datagrams.
    #[must_use]
    pub const fn profile(self) -> LinkProfile {
        match self {
            Self::CatM1 => CAT_M1,
            Self::NbIot => NB_IOT,
            Self::Lte => LTE,
            Self::Loopback => LOOPBACK,
        }
    }
}

impl FromStr for Link {
    type Err = UnknownLink;

    fn from_str(name: &str) -> Result<Self, UnknownLink> {
        let known = Self::ALL.into_iter().find(|link| link.name() == name);
        known.ok_or_else(|| UnknownLink { name: name.into() })
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// A name that is none of [`Link::ALL`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown link {name:?}: use one of {}", Link::ALL.map(Link::name).join(", "))]
pub struct UnknownLink {
    /// What was given.
    pub name: String,
}

const CAT_M1: LinkProfile = LinkProfile {
    uplink: PipeProfile {
        rate_bps: NonZeroU64::new(93_000),
        buffer_bytes: 16 * 1_024,
        latency_us: 60_000,
        jitter_us: 120_000,
        loss: bursts(2_525),
        ..PipeProfile::IDEAL
    },
    downlink: PipeProfile {
        rate_bps: NonZeroU64::new(75_000),
        buffer_bytes: 16 * 1_024,
        latency_us: 40_000,
        jitter_us: 80_000,
        loss: bursts(2_525),
        ..PipeProfile::IDEAL
    },
    mtu_bytes: CELLULAR_MTU_BYTES,
    radio: Some(RadioProfile {
        sleep: Sleep::IDLE,
        power: Some(Power::NRF9160_CAT_M1),
        ..RadioProfile::new(500_000, 10_000_000)
    }),
};

const NB_IOT: LinkProfile = LinkProfile {
    uplink: PipeProfile {
        rate_bps: NonZeroU64::new(16_000),
        buffer_bytes: 8 * 1_024,
        latency_us: 900_000,
        jitter_us: 900_000,
        loss: bursts(5_102),
        ..PipeProfile::IDEAL
    },
    downlink: PipeProfile {
        rate_bps: NonZeroU64::new(20_000),
        buffer_bytes: 8 * 1_024,
        latency_us: 600_000,
        jitter_us: 600_000,
        loss: bursts(5_102),
        ..PipeProfile::IDEAL
    },
    mtu_bytes: CELLULAR_MTU_BYTES,
    radio: Some(RadioProfile {
        sleep: Sleep::IDLE,
        power: Some(Power::NRF9160_NB1),
        ..RadioProfile::new(3_000_000, 20_000_000)
    }),
};

const LTE: LinkProfile = LinkProfile {
    uplink: PipeProfile {
        rate_bps: NonZeroU64::new(5_640_000),
        buffer_bytes: 256 * 1_024,
        latency_us: 34_750,
        jitter_us: 10_000,
        loss: Loss::Independent { loss: Probability::from_ppm(1_000) },
        ..PipeProfile::IDEAL
    },
    downlink: PipeProfile {
        rate_bps: NonZeroU64::new(12_740_000),
        buffer_bytes: 256 * 1_024,
        latency_us: 34_750,
        jitter_us: 10_000,
        loss: Loss::Independent { loss: Probability::from_ppm(1_000) },
        ..PipeProfile::IDEAL
    },
    mtu_bytes: CELLULAR_MTU_BYTES,
    radio: Some(RadioProfile::new(260_100, 11_576_000).sleeping(Sleep::IDLE)),
};

const LOOPBACK: LinkProfile = LinkProfile {
    uplink: PipeProfile { latency_us: 50, ..PipeProfile::IDEAL },
    downlink: PipeProfile { latency_us: 50, ..PipeProfile::IDEAL },
    mtu_bytes: 65_536,
    radio: None,
};

const CELLULAR_MTU_BYTES: u32 = 1_358;

/// Bursts of four packets on average that lose half of them; `enter_ppm` is the chance that one begins. The mean loss is
/// half of the share of packets in a burst, `enter / (enter + leave) / 2`.
const fn bursts(enter_ppm: u32) -> Loss {
    Loss::Burst {
        enter: Probability::from_ppm(enter_ppm),
        leave: Probability::percent(25),
        loss: Probability::percent(50),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The least and the largest round trip of an otherwise empty link, in microseconds, without transmission time.
    fn round_trip_us(profile: &LinkProfile) -> (u32, u32) {
        let least = profile.uplink.latency_us + profile.downlink.latency_us;
        (least, least + profile.uplink.jitter_us + profile.downlink.jitter_us)
    }

    #[test]
    fn the_table_of_the_module_holds() {
        let ranges = Link::ALL.map(|link| round_trip_us(&link.profile()));
        assert_eq!(ranges, [(100_000, 300_000), (1_500_000, 3_000_000), (69_500, 89_500), (100, 100)]);
        for narrow in [Link::CatM1, Link::NbIot] {
            let LinkProfile { uplink, downlink, .. } = narrow.profile();
            for pipe in [uplink, downlink] {
                assert!(pipe.rate_bps.is_some_and(|rate| rate.get() < 100_000), "{narrow}: {pipe:?}");
            }
        }
    }

    #[test]
    fn bursts_lose_the_stated_mean() {
        for (link, mean) in [(Link::CatM1, 0.005), (Link::NbIot, 0.01)] {
            let Loss::Burst { enter, leave, loss } = link.profile().uplink.loss else {
                panic!("{link} loses in bursts");
            };
            let [enter, leave, loss] = [enter, leave, loss].map(|p| f64::from(p.ppm()) / 1e6);
            let actual = enter / (enter + leave) * loss;
            assert!((actual - mean).abs() < mean / 100.0, "{link}: {actual}");
        }
    }

    #[test]
    fn names_parse_and_an_unknown_one_lists_the_known() {
        for link in Link::ALL {
            assert_eq!(link.name().parse(), Ok(link));
            assert_eq!(serde_json::to_string(&link).unwrap(), format!("\"{link}\""));
        }
        let error = "LTE".parse::<Link>().unwrap_err();
        assert_eq!(error.to_string(), "unknown link \"LTE\": use one of cat-m1, nb-iot, lte, loopback");
    }

    #[test]
    fn profiles_survive_json() {
        for profile in Link::ALL.map(Link::profile) {
            let json = serde_json::to_string(&profile).unwrap();
            assert_eq!(serde_json::from_str::<LinkProfile>(&json).unwrap(), profile);
        }
        assert_eq!(Link::CatM1.profile().lossless().uplink.loss, Loss::None);
    }
}
