//! A month of a fleet that works as it should: what it costs, how soon its reports are safe, how long its radios are on.
//!
//! Each device has a document of its own and reports at regular times, each at another moment. Links lose what their
//! profiles say, carriers' NATs forget, and whatever else [`Options`] has happens; nobody crashes and no disk is lost (for
//! that there is [`fleet`](super::fleet)). What is told is counted from the beginning, the first connection included.

use std::time::Duration;

use transport_quic::Ledger;

use super::fleet::Cause;
use super::{Action, Device, Edit, NodeId, World};
use crate::clock::{Clock, SimTime};
use crate::coverage::{Coverage, CoveragePlan};
use crate::link_profiles::Link;
use crate::mobility::MobilityProfile;
use crate::nat::NatProfile;
use crate::outages::Schedule;
use crate::radio::{RadioUsage, Sleep};
use crate::rng::SimRng;

/// What a fleet is and where it is.
#[derive(Clone, Debug, PartialEq)]
pub struct Options {
    /// Days of 24 hours.
    pub days: u32,
    /// The link of every device.
    pub link: Link,
    /// How its radio sleeps, if not as the link's profile says.
    pub sleep: Option<Sleep>,
    /// From report to report.
    pub report: Duration,
    /// How many cells a report changes.
    pub cells: u32,
    /// Each report asks for an acknowledgement of its own, instead of being content with what the transport tells.
    pub wants_receipts: bool,
    /// Where the devices are.
    pub coverage: Surroundings,
    /// The NAT between each device and the Internet.
    pub nat: Option<NatProfile>,
    /// How the devices move.
    pub mobility: Option<MobilityProfile>,
    /// When they are cut off.
    pub outages: Schedule,
}

impl Default for Options {
    /// Thirty days on `cat-m1`, one cell each quarter of an hour, behind a carrier's NAT.
    fn default() -> Self {
        Self {
            days: 30,
            link: Link::CatM1,
            sleep: None,
            report: Duration::from_secs(15 * 60),
            cells: 1,
            wants_receipts: false,
            coverage: Surroundings::Same(Coverage::Normal),
            nat: Some(NatProfile::CARRIER),
            mobility: None,
            outages: Schedule::default(),
        }
    }
}

/// The coverage of a fleet's devices.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Surroundings {
    /// All the time the same.
    Same(Coverage),
    /// A random walk from normal coverage, one step each so often in the mean.
    Walk(Duration),
}

/// What became of some devices.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// One by one.
    pub devices: Vec<DeviceMonth>,
    /// How long each report took until its device knew it to be safe, in no particular order.
    pub receipts: Vec<Duration>,
    /// Datagrams sent and delivered.
    pub datagrams: u64,
}

/// What became of one device.
#[derive(Clone, Copy, Debug)]
pub struct DeviceMonth {
    /// What its transport counted: all that it gave to its modem and got from it.
    pub ledger: Ledger,
    /// IP bytes that its link carried, both directions: what a carrier bills. What was sent without coverage is not in it.
    pub carried_bytes: u64,
    /// How long its radio was in which state.
    pub radio: RadioUsage,
    /// What its radio drew, in millijoules, where the link's profile knows currents.
    pub energy_mj: Option<u64>,
    /// Handshakes that were completed.
    pub connections: u64,
    /// Reports that were made.
    pub reports: u64,
    /// Those that had no receipt yet when the month ended.
    pub without_receipt: u64,
    /// How often the NAT made its mapping again.
    pub nat_renewals: u64,
}

/// Simulates `count` devices with one aggregator. `progress` is told after each day.
///
/// After the last day the outages are over, each device reports once more within a minute, and all must get to the same.
///
/// # Errors
/// [`Cause`]: not everyone got to the same within two hours, or something that must hold does not.
pub fn run(
    seed: u64,
    count: u32,
    options: &Options,
    mut progress: impl FnMut(),
) -> Result<Outcome, Box<Cause>> {
    let mut fleet = Fleet::new(seed, count, options);
    for day in 0..options.days {
        fleet.plan_reports(SimTime::from_secs(u64::from(day) * DAY_S), options);
        fleet.world.run_until(SimTime::from_secs(u64::from(day + 1) * DAY_S));
        progress();
    }
    let outcome = fleet.outcome();
    for member in &mut fleet.members {
        let soon = Duration::from_millis(fleet.rng.below(LAST_REPORTS.as_millis() as u64));
        member.plan_report(&mut fleet.world, fleet.end + soon, options, &mut fleet.rng);
    }
    fleet.world.run_for(LAST_REPORTS);
    fleet.world.run_until_converged(CONVERGENCE_LIMIT).map_err(Cause::from)?;
    fleet.world.check().map_err(Cause::from)?;
    Ok(outcome)
}

struct Fleet {
    world: World,
    members: Vec<Member>,
    rng: SimRng,
    end: SimTime,
}

struct Member {
    device: NodeId,
    /// When its next report is due.
    next: SimTime,
}

impl Fleet {
    fn new(seed: u64, count: u32, options: &Options) -> Self {
        let end = SimTime::from_secs(u64::from(options.days) * DAY_S);
        let (mut world, mut rng) = (World::new(seed), SimRng::new(seed, SCENARIO_STREAM));
        let class = match options.coverage {
            Surroundings::Same(class) => class,
            Surroundings::Walk(_) => Coverage::Normal,
        };
        let mut profile = options.link.in_coverage(class);
        if let Some(sleep) = options.sleep {
            profile = profile.sleeping(sleep);
        }
        let members = (0..count).map(|number| {
            let device = Device::new(profile, &format!("device-{number}"));
            let device =
                world.device(if options.wants_receipts { device } else { device.without_receipts() });
            let network = world.network_mut();
            if let Some(nat) = options.nat {
                network.set_nat(device, nat);
            }
            if let Some(mobility) = options.mobility {
                network.set_mobility(device, mobility);
            }
            if let Surroundings::Walk(mean) = options.coverage {
                let walk = SimRng::new(seed, WALK_STREAMS + u64::from(number));
                network.set_coverage(device, options.link, CoveragePlan::walk(class, mean, walk));
            }
            network.plan_outages(device, &options.outages, &Clock::new(), end);
            let phase = Duration::from_millis(rng.below(options.report.as_millis() as u64));
            Member { device, next: SimTime::ZERO + phase }
        });
        let members = members.collect();
        Self { world, members, rng, end }
    }

    /// The reports of the day that begins at `from`.
    fn plan_reports(&mut self, from: SimTime, options: &Options) {
        let until = from + Duration::from_secs(DAY_S);
        for member in &mut self.members {
            while member.next < until {
                let at = member.next;
                member.plan_report(&mut self.world, at, options, &mut self.rng);
                member.next = at + options.report;
            }
        }
    }

    fn outcome(&self) -> Outcome {
        let world = &self.world;
        let devices = self.members.iter().map(|&Member { device, .. }| {
            let (counters, network) = (world.counters(device), world.network());
            DeviceMonth {
                ledger: world.ledger(device),
                carried_bytes: network.traffic(device).carried_ip_bytes(),
                radio: network.radio_usage(device, world.now()).unwrap_or_default(),
                energy_mj: network.energy_estimate_mj(device, world.now()),
                connections: counters.connections,
                reports: counters.updates,
                without_receipt: world.without_receipt(device),
                nat_renewals: network.nat_renewals(device),
            }
        });
        Outcome {
            devices: devices.collect(),
            receipts: world.receipts().to_vec(),
            datagrams: world.trace().datagrams,
        }
    }
}

impl Member {
    /// A report of small readings, each of which has changed.
    fn plan_report(&self, world: &mut World, at: SimTime, options: &Options, rng: &mut SimRng) {
        let reading = |cell| Edit::set(&format!("reading/{cell}"), rng.below(128) as i64 - 64);
        let edits = (0..options.cells).map(reading).map(|edit| edit.expect("this is a path")).collect();
        let document = world.document_of(self.device).clone();
        world.plan(at, Action::Update { node: self.device, document, edits });
    }
}

const DAY_S: u64 = 86_400;
/// In which each device reports once more, after the month.
const LAST_REPORTS: Duration = Duration::from_secs(60);
/// Longest pause between two tries of a device, its handshake, and some losses.
const CONVERGENCE_LIMIT: Duration = Duration::from_secs(2 * 3600);
const SCENARIO_STREAM: u64 = 1 << 45;
const WALK_STREAMS: u64 = 1 << 46;
