//! Scenarios from seeds: a fleet that reports every quarter of an hour, and everything that goes wrong meanwhile.
//!
//! From one number follow the devices, which documents they share, their links (with loss, duplication and
//! reordering), their clocks (right, up to nine minutes wrong, drifting, or missing), what they and the aggregator write
//! and delete, and the faults: cuts in one or both directions, crashes of devices and of the aggregator, new addresses, wiped
//! disks, old backups that come back. Then all heals, each device reports once more within a
//! minute, and everyone must get to the same.

use std::fmt;
use std::time::Duration;

use crdt_core::DocumentName;
use serde::Serialize;

use super::{Action, Broken, Device, Edit, Flaw, Scalar, Stuck, World};
use crate::clock::{SimTime, WallClock};
use crate::link_profiles::{Link, LinkProfile};
use crate::network::NodeId;
use crate::outages::Cut;
use crate::rng::{Probability, SimRng};

/// How long a scenario is, and what is wrong with its nodes on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Virtual hours before all heals.
    pub hours: u32,
    /// Most devices; a scenario has at least two.
    pub devices_max: u32,
    /// Devices get new public addresses. quinn-proto 0.11.19 has a debug assertion that does not hold when that happens
    /// while the server waits for an acknowledgement, so this is for builds without debug assertions.
    pub new_addresses: bool,
    /// A bug in every device, to see that it is noticed.
    pub flaw: Option<Flaw>,
}

impl Default for Options {
    fn default() -> Self {
        Self { hours: 24, devices_max: 8, new_addresses: !cfg!(debug_assertions), flaw: None }
    }
}

/// What one scenario, or the sum of several, amounted to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Scenarios.
    pub runs: u64,
    /// Devices times virtual hours.
    pub device_hours: u64,
    /// Updates that applications made at devices.
    pub updates: u64,
    /// Of those, the ones whose device was told that they are safe.
    pub acknowledged: u64,
    /// Datagrams sent and delivered.
    pub datagrams: u64,
    /// Connections that devices made.
    pub connections: u64,
    /// Times a node lost its power.
    pub crashes: u64,
    /// Copies that found out that they were old ones.
    pub forks: u64,
    /// Writes that were written again.
    pub late_writes: u64,
    /// The longest time from healing until all were equal, in seconds; each device reports within the first minute.
    pub converged_after_max_s: u64,
    /// The most frames that one device sent and received in that time.
    pub frames_to_converge_max: u64,
}

impl Tally {
    /// Adds what another scenario amounted to.
    pub fn add(&mut self, other: &Self) {
        self.runs += other.runs;
        self.device_hours += other.device_hours;
        self.updates += other.updates;
        self.acknowledged += other.acknowledged;
        self.datagrams += other.datagrams;
        self.connections += other.connections;
        self.crashes += other.crashes;
        self.forks += other.forks;
        self.late_writes += other.late_writes;
        self.converged_after_max_s = self.converged_after_max_s.max(other.converged_after_max_s);
        self.frames_to_converge_max = self.frames_to_converge_max.max(other.frames_to_converge_max);
    }
}

/// A scenario did not end well.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct Failure {
    /// The scenario.
    pub seed: u64,
    /// What happened.
    pub cause: Cause,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "seed {}: {}", self.seed, self.cause)
    }
}

/// How a scenario failed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Cause {
    /// Something that must hold does not.
    #[error(transparent)]
    Broken(#[from] Broken),
    /// Not everyone has the same.
    #[error(transparent)]
    Stuck(#[from] Stuck),
}

/// Runs the scenario of `seed`.
///
/// # Errors
/// [`Failure`], which names the seed: the same one fails again.
pub fn run(seed: u64, options: &Options) -> Result<Tally, Failure> {
    Scenario::new(seed, options).run().map_err(|cause| Failure { seed, cause })
}

struct Scenario {
    options: Options,
    world: World,
    rng: SimRng,
    devices: Vec<NodeId>,
    /// When all heals.
    end: SimTime,
}

impl Scenario {
    fn new(seed: u64, options: &Options) -> Self {
        let end = SimTime::from_secs(u64::from(options.hours) * 3600);
        let mut scenario = Self {
            options: *options,
            world: World::new(seed),
            rng: SimRng::new(seed, SCENARIO_STREAM),
            devices: Vec::new(),
            end,
        };
        let count = 2 + scenario.rng.below(u64::from(options.devices_max.max(2)) - 1);
        for number in 0..count {
            scenario.add_device(number);
        }
        for index in 0..scenario.devices.len() {
            scenario.plan_reports(index);
            scenario.plan_faults(index);
        }
        scenario.plan_aggregator();
        scenario
    }

    fn run(mut self) -> Result<Tally, Cause> {
        self.world.run_until(self.end);
        self.heal();
        let frames = |world: &World, device| {
            let counters = world.counters(device);
            counters.frames_sent + counters.frames_received
        };
        let before: Vec<u64> = self.devices.iter().map(|&device| frames(&self.world, device)).collect();
        self.world.run_for(LAST_REPORTS);
        let converged_at = self.world.run_until_converged(CONVERGENCE_LIMIT)?;
        self.world.check()?;
        let mut tally = Tally {
            runs: 1,
            device_hours: self.devices.len() as u64 * u64::from(self.options.hours),
            datagrams: self.world.trace().datagrams,
            converged_after_max_s: converged_at.since(self.end).as_secs(),
            ..Tally::default()
        };
        for (&device, before) in self.devices.iter().zip(before) {
            let counters = self.world.counters(device);
            tally.updates += counters.updates;
            tally.acknowledged += counters.acknowledged;
            tally.connections += counters.connections;
            tally.crashes += counters.crashes;
            tally.forks += counters.forks;
            tally.late_writes += counters.late_writes;
            let spent = frames(&self.world, device) - before;
            tally.frames_to_converge_max = tally.frames_to_converge_max.max(spent);
        }
        let aggregator = self.world.counters(self.world.aggregator());
        tally.crashes += aggregator.crashes;
        tally.late_writes += aggregator.late_writes;
        Ok(tally)
    }

    fn add_device(&mut self, number: u64) {
        let document = if self.rng.chance(SHARES) { self.rng.below(number + 1) } else { number };
        let device = Device {
            clock: self.clock(),
            wants_receipts: self.rng.chance(HALF),
            ..Device::new(self.profile(), &format!("site-{document}"))
        };
        let id = self.world.device(device);
        if let Some(flaw) = self.options.flaw {
            self.world.plant(id, flaw);
        }
        self.devices.push(id);
    }

    fn profile(&mut self) -> LinkProfile {
        let links = [Link::CatM1, Link::CatM1, Link::NbIot, Link::Lte];
        let mut profile = links[self.rng.below(links.len() as u64) as usize].profile();
        if self.rng.chance(HALF) {
            for pipe in [&mut profile.uplink, &mut profile.downlink] {
                pipe.duplicate = Probability::percent(2);
                pipe.reorder = Probability::percent(2);
                pipe.reorder_us = 400_000;
            }
        }
        profile
    }

    fn clock(&mut self) -> WallClock {
        match self.rng.below(4) {
            0 => WallClock::Missing,
            1 => WallClock::ACCURATE,
            _ => {
                let skew_ms = self.rng.below(2 * SKEW_MAX_MS) as i64 - SKEW_MAX_MS as i64;
                let drift_ppm = self.rng.below(201) as i32 - 100;
                WallClock::Running { skew_ms, drift_ppm }
            }
        }
    }

    fn plan_reports(&mut self, index: usize) {
        let node = self.devices[index];
        let phase = Duration::from_millis(self.rng.below(REPORT_INTERVAL.as_millis() as u64));
        let mut at = SimTime::ZERO + phase;
        let document = self.world.document_of(node).clone();
        while at < self.end {
            let edits = self.edits(&format!("device-{index}"));
            self.world.plan(at, Action::Update { node, document: document.clone(), edits });
            at = at + REPORT_INTERVAL;
        }
        let last = Duration::from_millis(self.rng.below(LAST_REPORTS.as_millis() as u64));
        let edits = vec![Edit::set("last", Scalar::I64(index as i64)).expect("this is a path")];
        self.world.plan(self.end + last, Action::Update { node, document, edits });
    }

    /// One transaction: mostly one value of one's own, sometimes what others write too, sometimes a delete.
    fn edits(&mut self, own: &str) -> Vec<Edit> {
        let value = self.rng.below(128) as i64 - 64;
        let key = self.rng.below(4);
        let edit = match self.rng.below(20) {
            0 => Edit::delete(&format!("{own}/{key}")),
            1 => Edit::delete(own),
            2 => Edit::delete(&format!("shared/{key}")),
            3..6 => Edit::set(&format!("shared/{key}"), value),
            6 => Edit::set(&format!("shared/{key}/detail"), value as f64 / 4.0),
            7 => Edit::set(own, value),
            _ => Edit::set(&format!("{own}/{key}"), value),
        };
        let mut edits = vec![edit.expect("these are paths")];
        if self.rng.chance(Probability::percent(20)) {
            let text = Scalar::Str(format!("mode {value}"));
            edits.push(Edit::set(&format!("{own}/mode"), text).expect("this is a path"));
        }
        edits
    }

    fn plan_faults(&mut self, index: usize) {
        let node = self.devices[index];
        for hour in 0..self.options.hours {
            let at = self.time_in(hour);
            match self.rng.below(100) {
                0..12 => {
                    let cut = [Cut::Both, Cut::Both, Cut::Downlink, Cut::Uplink][self.rng.below(4) as usize];
                    self.plan_pair(at, CUT_MAX, Action::Cut(node, cut), Action::Heal(node));
                }
                12..20 => self.plan_pair(at, DOWN_MAX, Action::Crash(node), Action::Start(node)),
                20..30 if self.options.new_addresses => self.world.plan(at, Action::Rebind(node)),
                30..36 => self.world.plan(at, Action::Backup(node)),
                36..39 => self.world.plan(at, Action::Restore(node)),
                39 => self.world.plan(at, Action::Wipe(node)),
                40 => {
                    let clock = self.clock();
                    self.world.plan(at, Action::SetClock(node, clock));
                }
                // The power goes while something is being stored or sent.
                41..45 => {
                    let document = self.world.document_of(node).clone();
                    let edits = self.edits(&format!("device-{index}"));
                    self.world.plan(at, Action::Update { node, document, edits });
                    let within_us = if self.rng.chance(HALF) { STORING_US } else { SENDING_US };
                    let soon = at + Duration::from_micros(self.rng.below(within_us));
                    self.plan_pair(soon, DOWN_MAX, Action::Crash(node), Action::Start(node));
                }
                _ => {}
            }
        }
    }

    fn plan_aggregator(&mut self) {
        let node = self.world.aggregator();
        for hour in 0..self.options.hours {
            let at = self.time_in(hour);
            if self.rng.chance(Probability::percent(4)) {
                self.plan_pair(at, DOWN_MAX / 6, Action::Crash(node), Action::Start(node));
            }
            let at = self.time_in(hour);
            let device = self.devices[self.rng.below(self.devices.len() as u64) as usize];
            let document: DocumentName = self.world.document_of(device).clone();
            let edits = self.edits("shared");
            self.world.plan(at, Action::Update { node, document, edits });
        }
    }

    /// Something that ends after a while, and with everything else at the latest.
    fn plan_pair(&mut self, at: SimTime, longest: Duration, begin: Action, finish: Action) {
        let lasts = Duration::from_millis(self.rng.below(longest.as_millis() as u64));
        self.world.plan(at, begin);
        self.world.plan((at + lasts).min(self.end), finish);
    }

    fn heal(&mut self) {
        self.world.act(Action::Start(self.world.aggregator()));
        for &device in &self.devices {
            self.world.act(Action::Heal(device));
            self.world.act(Action::Start(device));
        }
    }

    fn time_in(&mut self, hour: u32) -> SimTime {
        SimTime::from_ms(u64::from(hour) * 3_600_000 + self.rng.below(3_600_000))
    }
}

const REPORT_INTERVAL: Duration = Duration::from_secs(15 * 60);
/// In which each device reports once more, after all has healed.
const LAST_REPORTS: Duration = Duration::from_secs(60);
/// Longest pause between two tries of a device, its handshake, and some losses.
const CONVERGENCE_LIMIT: Duration = Duration::from_secs(3600);
const CUT_MAX: Duration = Duration::from_secs(4 * 3600);
const DOWN_MAX: Duration = Duration::from_secs(3600);
/// Twice the time that a device needs to store an update, and the time in which its frames are under way.
const STORING_US: u64 = 10_000;
const SENDING_US: u64 = 400_000;
/// Less than what an aggregator admits, with capacity for drift.
const SKEW_MAX_MS: u64 = 9 * 60 * 1000;
const HALF: Probability = Probability::percent(50);
const SHARES: Probability = Probability::percent(60);
const SCENARIO_STREAM: u64 = 1 << 41;
