//! A radio and its network: when a device can be reached, and how long it was in which state.
//!
//! ```text
//!             a packet, in either direction
//!   asleep ----------------------------------> waking ----> connected ----+
//!     ^                                                        |  ^       | each packet
//!     +------------- the tail is over: no packet for a while --+  +-------+
//! ```
//!
//! What *asleep* means is a [`Sleep`]. A device that has something to send wakes its radio at once, whatever the sleep. A
//! packet *for* a sleeping device waits in the network until the device listens: for its next paging occasion, the next
//! window of an extended cycle, or, in power saving mode, until the device sends or its periodic update is due. The
//! network keeps only a few packets meanwhile, and drops the others.
//!
//! Nothing here has a timer: a [`Radio`] is told the time, and counts what has passed since it was last told.
//!
//! # Sources
//!
//!  - Paging in idle: cycles of 0.32 to 2.56 s, a device's place in the cycle follows from its identity (3GPP TS 36.304,
//!    section 7). Here the place is a number that the link draws from the seed.
//!  - Extended cycles (eDRX): 5.12 to 2,621.44 s on LTE and Cat-M, 20.48 to 10,485.76 s on NB-IoT, with a paging time
//!    window in each (3GPP TS 24.008, section 10.5.5.32).
//!  - Power saving mode: after the active time (T3324) the device is unreachable until it sends or until its periodic
//!    tracking area update (T3412, counted from the end of the connection; up to 413 days with the extended value) (3GPP
//!    TS 23.682, section 4.5.4; TS 24.008, sections 10.5.7.3 and 10.5.7.4a).
//!  - Packets that wait in the network: the serving gateway keeps as many as the operator says (DL Buffering Suggested
//!    Packet Count, 3GPP TS 29.244, section 8.2.30; 0 to 65,535). Cisco's user plane keeps 5 a flow (UCC 5G UPF
//!    administration guide, downlink data notification), and so do the built-in profiles.
//!
//! Not simulated: periodic updates in idle and eDRX (each 54 minutes by default, one second of radio), a power saving mode
//! whose active time has an extended cycle, paging that is missed and repeated, early release of a connection.

use serde::{Deserialize, Serialize};

use crate::clock::SimTime;

/// How a radio falls asleep, is reached and wakes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RadioProfile {
    /// What the first packet after sleep waits for the connection, in microseconds.
    pub promotion_us: u32,
    /// How long the radio stays connected after the last packet, in microseconds.
    pub tail_us: u32,
    /// What it does after that.
    #[serde(default)]
    pub sleep: Sleep,
    /// How many packets for a device that does not listen the network keeps; those that come later are dropped.
    #[serde(default = "default_held_max")]
    pub held_max: u16,
    /// What its states draw, where a data sheet says so.
    #[serde(default)]
    pub power: Option<Power>,
}

impl RadioProfile {
    /// A radio that can always be paged, and whose current is not known.
    #[must_use]
    pub const fn new(promotion_us: u32, tail_us: u32) -> Self {
        Self { promotion_us, tail_us, sleep: Sleep::ALWAYS_PAGED, held_max: HELD_MAX, power: None }
    }

    /// The same radio with another sleep.
    #[must_use]
    pub const fn sleeping(self, sleep: Sleep) -> Self {
        Self { sleep, ..self }
    }

    /// What `usage` of this radio has drawn from a battery: an estimate, in millijoules. `None` where no current is known.
    ///
    /// Idle is counted as its floor and one paging occasion at a time; all of waking and of being connected as if the
    /// radio listened without pause, and transmission on top of that. A network that lets connected devices doze (connected
    /// mode DRX) makes this too high, a weak signal too low.
    #[must_use]
    pub fn energy_estimate_mj(&self, usage: &RadioUsage) -> Option<u64> {
        let power = self.power?;
        let (awake, sending) = (usage.waking_ns + usage.connected_ns, usage.transmitting_ns);
        let extra_ua = power.transmitting_ua.saturating_sub(power.connected_ua);
        // nA x ns = 1e-18 C, and nC = 1e9 of those.
        let charge: u128 = u128::from(power.power_saving_na) * u128::from(usage.power_saving_ns)
            + u128::from(power.idle_na) * u128::from(usage.idle_ns)
            + u128::from(power.occasion_nc) * 1_000_000_000 * u128::from(self.occasions(usage.idle_ns))
            + u128::from(power.connected_ua) * 1_000 * u128::from(awake)
            + u128::from(extra_ua) * 1_000 * u128::from(sending);
        let joules_e21 = charge * u128::from(power.supply_mv);
        let updates_mj = usage.updates * u64::from(power.update_mj);
        Some(u64::try_from(joules_e21 / 1_000_000_000_000_000_000).unwrap_or(u64::MAX) + updates_mj)
    }

    /// How often the radio listens in so much idle time.
    fn occasions(&self, idle_ns: u64) -> u64 {
        match self.sleep {
            Sleep::Idle { paging_us: 0 } => 0,
            Sleep::Idle { paging_us } | Sleep::PowerSaving { paging_us, .. } => {
                idle_ns / ns(paging_us.max(1).into())
            }
            Sleep::Extended { cycle_us, window_us, paging_us } => {
                let in_window = (window_us / paging_us.max(1)).max(1);
                idle_ns / ns(cycle_us.max(1)) * u64::from(in_window)
            }
        }
    }
}

/// When a radio without a connection listens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sleep {
    /// It listens once in each extended cycle, for a window of ordinary paging (eDRX).
    Extended {
        /// From window to window, in microseconds.
        cycle_us: u64,
        /// Length of the paging time window, in microseconds.
        window_us: u32,
        /// Paging cycle inside the window, in microseconds.
        paging_us: u32,
    },
    /// It listens once in each paging cycle (idle-mode DRX).
    Idle {
        /// The cycle, in microseconds; 0 listens always.
        paging_us: u32,
    },
    /// It listens for a while after each connection, then not at all (PSM).
    PowerSaving {
        /// How long it can still be paged after a connection, in microseconds (T3324).
        active_us: u64,
        /// From the end of a connection to the next periodic update, in microseconds (T3412).
        update_us: u64,
        /// How long the radio is on for such an update, in microseconds.
        update_len_us: u32,
        /// Paging cycle in the active time, in microseconds.
        paging_us: u32,
    },
}

impl Sleep {
    /// Listens all the time: the wake-up alone stands for the paging.
    pub const ALWAYS_PAGED: Self = Self::Idle { paging_us: 0 };
    /// The default paging cycle of most networks, 1.28 s.
    pub const IDLE: Self = Self::Idle { paging_us: PAGING_US };

    /// An extended cycle of `cycle_ms`, with one window of 2.56 s and ordinary paging in it.
    #[must_use]
    pub const fn extended(cycle_ms: u64) -> Self {
        Self::Extended { cycle_us: cycle_ms * 1_000, window_us: 2 * PAGING_US, paging_us: PAGING_US }
    }

    /// Power saving mode: reachable for `active_s` seconds after each connection, then silent until the device sends or
    /// `update_s` seconds have passed. An update takes 1.5 s of radio (nRF9160, Cat-M1).
    #[must_use]
    pub const fn power_saving(active_s: u64, update_s: u64) -> Self {
        Self::PowerSaving {
            active_us: active_s * 1_000_000,
            update_us: update_s * 1_000_000,
            update_len_us: 1_500_000,
            paging_us: PAGING_US,
        }
    }
}

impl Default for Sleep {
    fn default() -> Self {
        Self::ALWAYS_PAGED
    }
}

/// What the states of a radio draw, from a data sheet. See [`NRF9160_CAT_M1`](Self::NRF9160_CAT_M1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Power {
    /// At which supply the currents were measured, in millivolts.
    pub supply_mv: u32,
    /// In power saving mode, in nanoamperes.
    pub power_saving_na: u32,
    /// Idle between two paging occasions, in nanoamperes.
    pub idle_na: u32,
    /// What one paging occasion draws, in nanocoulombs.
    pub occasion_nc: u32,
    /// Waking or connected, in microamperes.
    pub connected_ua: u32,
    /// Transmitting, in microamperes.
    pub transmitting_ua: u32,
    /// One periodic update in power saving mode, in millijoules.
    pub update_mj: u32,
}

impl Power {
    /// Nordic nRF9160 on Cat-M1, from its product specification ("Modem current consumption", typical values of band 20).
    ///
    /// Power saving mode: 2.7 uA. Idle: from the two averages given for eDRX, 18 uA at 81.92 s and 6 uA at 655 s, follow
    /// 1,123 uC an occasion and 4.3 uA between them. Connected: 45 mA, as with uplink at 0 dBm; transmitting: 105 mA, as
    /// with uplink at 23 dBm. A periodic update: 105 mJ. Supply: 3.7 V, of Nordic's own measurements.
    pub const NRF9160_CAT_M1: Self = Self {
        supply_mv: 3_700,
        power_saving_na: 2_700,
        idle_na: 4_300,
        occasion_nc: 1_123_000,
        connected_ua: 45_000,
        transmitting_ua: 105_000,
        update_mj: 105,
    };

    /// The same module on NB1: 37 uA and 9 uA with eDRX, so 2,621 uC an occasion and 5 uA between them; 35 mA connected
    /// (0 dBm, one tone), 45 mA transmitting at 10 dBm; 550 mJ an update.
    pub const NRF9160_NB1: Self = Self {
        supply_mv: 3_700,
        power_saving_na: 2_700,
        idle_na: 5_000,
        occasion_nc: 2_621_000,
        connected_ua: 35_000,
        transmitting_ua: 45_000,
        update_mj: 550,
    };
}

/// How long a radio was in which state since the beginning, in nanoseconds. The four states add up to the time passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RadioUsage {
    /// Asleep, and paged now and then: idle or eDRX.
    pub idle_ns: u64,
    /// Asleep, and unreachable.
    pub power_saving_ns: u64,
    /// On the way to a connection.
    pub waking_ns: u64,
    /// Connected: while packets pass, and in the tail after them. Periodic updates count here.
    pub connected_ns: u64,
    /// Of the connected time, that in which the node transmitted.
    pub transmitting_ns: u64,
    /// Times the radio woke for a packet.
    pub wakes: u64,
    /// Periodic updates in power saving mode.
    pub updates: u64,
}

/// The radio of one node. About 150 bytes; each call costs constant time.
#[derive(Clone, Copy, Debug)]
pub struct Radio {
    profile: RadioProfile,
    /// Where in its cycle the device listens.
    phase: u64,
    /// Waking from `woken_at`, connected from `ready_at` until just before `idle_at`, then asleep.
    woken_at: SimTime,
    ready_at: SimTime,
    idle_at: SimTime,
    /// `usage` holds everything before this.
    counted_until: SimTime,
    usage: RadioUsage,
}

impl Radio {
    /// A radio that sleeps since the beginning. `phase`, any number, is its place in the paging cycles.
    #[must_use]
    pub fn asleep(profile: RadioProfile, phase: u64) -> Self {
        Self {
            profile,
            phase,
            woken_at: SimTime::ZERO,
            ready_at: SimTime::ZERO,
            idle_at: SimTime::ZERO,
            counted_until: SimTime::ZERO,
            usage: RadioUsage::default(),
        }
    }

    /// Wakes the radio at `at` if it sleeps then; returns from when on it can transmit.
    pub fn wake(&mut self, at: SimTime) -> SimTime {
        if at >= self.idle_at || at < self.woken_at {
            self.count_until(at);
            self.woken_at = at;
            self.ready_at = at.plus_ns(ns(self.profile.promotion_us.into()));
            self.idle_at = self.ready_at.max(self.idle_at);
            self.usage.wakes += 1;
        }
        self.ready_at
    }

    /// Something passes until `sent`; the tail begins anew then.
    pub fn used_until(&mut self, sent: SimTime) {
        self.idle_at = self.idle_at.max(sent.plus_ns(ns(self.profile.tail_us.into())));
    }

    /// The node transmits for so long.
    pub fn transmitted(&mut self, ns: u64) {
        self.usage.transmitting_ns += ns;
    }

    /// Changes what later wake-ups take, in microseconds.
    pub fn set_promotion(&mut self, promotion_us: u32) {
        self.profile.promotion_us = promotion_us;
    }

    /// The same radio with another profile: asleep from `now` on, its time goes on.
    #[must_use]
    pub fn changed(mut self, profile: RadioProfile, now: SimTime) -> Self {
        self.count_until(now);
        let asleep = Self::asleep(profile, self.phase);
        Self { woken_at: now, ready_at: now, idle_at: now, counted_until: now, usage: self.usage, ..asleep }
    }

    /// The first moment, from `now` on, at which the network can begin to deliver to this radio.
    #[must_use]
    pub fn reachable_at(&self, now: SimTime) -> SimTime {
        if now < self.idle_at {
            return now;
        }
        match self.profile.sleep {
            Sleep::Idle { paging_us } => self.occasion(now, ns(paging_us.into())),
            Sleep::Extended { cycle_us, window_us, paging_us } => {
                let (cycle, window) = (ns(cycle_us).max(1), ns(window_us.into()));
                let at = now.as_ns() + cycle - self.phase % cycle;
                let into = at % cycle;
                let next = into.next_multiple_of(ns(paging_us.into()).max(1));
                let wait = if next < window.max(1) { next - into } else { cycle - into };
                now.plus_ns(wait)
            }
            Sleep::PowerSaving { active_us, paging_us, .. } => {
                let (into, silent, period) = self.silence(now);
                if into < ns(active_us) {
                    let occasion = self.occasion(now, ns(paging_us.into()));
                    if occasion.since(now).as_nanos() + u128::from(into) < u128::from(ns(active_us)) {
                        return occasion;
                    }
                }
                // During a periodic update the device is connected.
                let wait = if into >= silent && into < period { 0 } else { silent - into };
                now.plus_ns(wait)
            }
        }
    }

    /// The states of the time until `now`, which must not be before that of an earlier call.
    #[must_use]
    pub fn usage(&self, now: SimTime) -> RadioUsage {
        let mut counted = *self;
        counted.count_until(now);
        counted.usage
    }

    /// What the profile says.
    #[must_use]
    pub fn profile(&self) -> &RadioProfile {
        &self.profile
    }

    fn occasion(&self, now: SimTime, cycle: u64) -> SimTime {
        if cycle == 0 {
            return now;
        }
        let into = (now.as_ns() + cycle - self.phase % cycle) % cycle;
        if into == 0 { now } else { now.plus_ns(cycle - into) }
    }

    /// In power saving mode: how far `now` is into its period, how long until the update in it, and the whole period.
    fn silence(&self, now: SimTime) -> (u64, u64, u64) {
        let Sleep::PowerSaving { update_us, update_len_us, .. } = self.profile.sleep else {
            return (0, 0, 1);
        };
        let silent = ns(update_us).max(1);
        let period = silent.saturating_add(ns(update_len_us.into()));
        (now.as_ns().saturating_sub(self.idle_at.as_ns()) % period, silent, period)
    }

    fn count_until(&mut self, now: SimTime) {
        let (from, to) = (self.counted_until, now.max(self.counted_until));
        self.counted_until = to;
        self.usage.waking_ns += overlap(from, to, self.woken_at, self.ready_at);
        self.usage.connected_ns += overlap(from, to, self.ready_at.max(self.woken_at), self.idle_at);
        // What a packet that waits for its paging lets pass before the radio wakes.
        self.usage.idle_ns += overlap(from, to, SimTime::ZERO, self.woken_at);
        let (from, to) = (from.max(self.idle_at), to.max(self.idle_at));
        let asleep = to.as_ns() - from.as_ns();
        match self.profile.sleep {
            Sleep::Extended { .. } | Sleep::Idle { .. } => self.usage.idle_ns += asleep,
            Sleep::PowerSaving { .. } => {
                let (begun, ended) = (self.slept(from), self.slept(to));
                self.usage.idle_ns += ended.idle_ns - begun.idle_ns;
                self.usage.power_saving_ns += ended.power_saving_ns - begun.power_saving_ns;
                self.usage.connected_ns += ended.connected_ns - begun.connected_ns;
                self.usage.updates += ended.updates - begun.updates;
            }
        }
    }

    /// What the time from the end of the connection to `at` consisted of, in power saving mode.
    fn slept(&self, at: SimTime) -> RadioUsage {
        let Sleep::PowerSaving { active_us, .. } = self.profile.sleep else { return RadioUsage::default() };
        let (into, silent, period) = self.silence(at);
        let periods = at.as_ns().saturating_sub(self.idle_at.as_ns()) / period;
        let active = ns(active_us).min(silent);
        RadioUsage {
            idle_ns: periods * active + into.min(active),
            power_saving_ns: periods * (silent - active) + into.clamp(active, silent) - active,
            connected_ns: periods * (period - silent) + into.saturating_sub(silent),
            updates: periods + u64::from(into > silent),
            ..RadioUsage::default()
        }
    }
}

/// How much of the time from `from` to `to` lies between `begin` and `end`, in nanoseconds.
fn overlap(from: SimTime, to: SimTime, begin: SimTime, end: SimTime) -> u64 {
    to.min(end).as_ns().saturating_sub(from.max(begin).as_ns())
}

const fn ns(us: u64) -> u64 {
    us.saturating_mul(1_000)
}

const fn default_held_max() -> u16 {
    HELD_MAX
}

/// Packets that a network keeps for a device that does not listen.
const HELD_MAX: u16 = 5;
const PAGING_US: u32 = 1_280_000;

#[cfg(test)]
mod tests;
