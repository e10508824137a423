//! A cloud and many members that write to one document, in memory.

use std::time::{Duration, Instant};

use anyhow::ensure;
use crdt_core::{Role, SessionId};

use super::{Cost, End, Workload, median, timed};

/// One change of the cloud.
pub const FAN_OUT: Workload = Workload {
    name: "fan_out",
    unit: "members",
    what: "one change of the cloud, until all frames for the members are written",
    sizes: &[100, 200, 400, 1_000],
    measure: |members| {
        let mut fleet = Fleet::new(members)?;
        let one = |fleet: &mut Fleet, round: usize| {
            fleet.cloud.now_ms += 1;
            cool_down();
            let start = Instant::now();
            fleet.cloud.write("setpoint", i64::try_from(round)?)?;
            let frames = fleet.cloud.frames();
            let spent = start.elapsed();
            ensure!(frames.len() == members, "{} frames for {members} members", frames.len());
            fleet.deliver(&frames)?;
            fleet.settle()?;
            Ok(spent)
        };
        Ok(Cost::Each(median(11, |round| one(&mut fleet, round))?))
    },
};

/// One change of a member.
pub const FORWARD: Workload = Workload {
    name: "forward",
    unit: "members",
    what: "one change of a member, from its frame until all frames for the others are written",
    sizes: &[100, 200, 400, 1_000],
    measure: |members| {
        let mut fleet = Fleet::new(members)?;
        let one = |fleet: &mut Fleet, round: usize| {
            let index = (7 * round) % members;
            fleet.members[index].end.now_ms += 1_000;
            fleet.cloud.now_ms += 1_000;
            fleet.write(index, round)?;
            let up = fleet.members[index].end.frames();
            let session = fleet.members[index].at_cloud;
            cool_down();
            let start = Instant::now();
            up.iter().try_for_each(|(_, frame)| fleet.cloud.take(session, frame))?;
            let frames = fleet.cloud.frames();
            let spent = start.elapsed();
            ensure!(frames.len() >= members - 1, "{} frames for {members} members", frames.len());
            fleet.deliver(&frames)?;
            fleet.settle()?;
            Ok(spent)
        };
        Ok(Cost::Each(median(11, |round| one(&mut fleet, round))?))
    },
};

/// Nothing to do.
pub const QUIET: Workload = Workload {
    name: "quiet",
    unit: "members",
    what: "asking the cloud for output while no member is owed anything",
    sizes: &[100, 200, 400, 1_000],
    measure: |members| {
        let mut fleet = Fleet::new(members)?;
        const CALLS: u32 = 10_000;
        let spent = median(11, |_| {
            timed(|| {
                (0..CALLS).for_each(|_| assert!(fleet.cloud.frames().is_empty(), "nobody is owed anything"));
                Ok(())
            })
        })?;
        Ok(Cost::Each(spent / CALLS))
    },
};

/// Each member has one write under way: the cloud's part alone.
pub const ROUND: Workload = Workload {
    name: "members_core",
    unit: "members",
    what: "writes of members with one under way each, acknowledged by the core of the cloud alone",
    sizes: &[50, 100, 200, 1_000],
    measure: |members| {
        let mut fleet = Fleet::new(members)?;
        let mut spent = Duration::ZERO;
        const ROUNDS: usize = 5;
        for round in 0..ROUNDS {
            fleet.cloud.now_ms += 1_000;
            let mut up = Vec::new();
            for index in 0..members {
                fleet.members[index].end.now_ms += 1_000;
                fleet.write(index, round)?;
                let session = fleet.members[index].at_cloud;
                let frames = fleet.members[index].end.frames();
                up.extend(frames.into_iter().map(|(_, frame)| (session, frame)));
            }
            let start = Instant::now();
            up.iter().try_for_each(|(session, frame)| fleet.cloud.take(*session, frame))?;
            let down = fleet.cloud.frames();
            spent += start.elapsed();
            fleet.deliver(&down)?;
            fleet.settle()?;
        }
        Ok(Cost::PerSecond((ROUNDS * members) as f64 / spent.as_secs_f64()))
    },
};

/// Other work in between, so that the sessions of a small fleet are as far from the processor as those of a large one: else
/// the size of its caches would show in the growth.
fn cool_down() {
    let mut other = vec![1_u8; 64 << 20];
    other.iter_mut().step_by(64).for_each(|byte| *byte = byte.wrapping_add(1));
    std::hint::black_box(&other);
}

/// A cloud in session with all members, each of which has written.
struct Fleet {
    cloud: End,
    members: Vec<Member>,
}

struct Member {
    end: End,
    session: SessionId,
    at_cloud: SessionId,
    path: String,
}

impl Fleet {
    fn new(members: usize) -> anyhow::Result<Self> {
        let mut cloud = End::new(0, Role::Aggregator)?;
        cloud.write("setpoint", 0)?;
        let mut fleet = Self { cloud, members: Vec::with_capacity(members) };
        for n in 1..=members as u64 {
            let mut end = End::new(n, Role::Member)?;
            let session = end.connect(fleet.cloud.peer, true)?;
            let at_cloud = fleet.cloud.connect(end.peer, false)?;
            fleet.members.push(Member { end, session, at_cloud, path: format!("unit{n:04}/state") });
        }
        for index in 0..members {
            fleet.write(index, 0)?;
        }
        fleet.settle()?;
        // Some rounds more: what is said once in a session is said.
        for round in 0..3 {
            fleet.cloud.write("setpoint", round)?;
            fleet.settle()?;
        }
        Ok(fleet)
    }

    fn write(&mut self, index: usize, value: usize) -> anyhow::Result<()> {
        let Member { end, path, .. } = &mut self.members[index];
        end.write(path, i64::try_from(value)?)
    }

    /// Frames of the cloud go to their members.
    fn deliver(&mut self, frames: &[(SessionId, Vec<u8>)]) -> anyhow::Result<()> {
        for (session, frame) in frames {
            let index = self.members.binary_search_by_key(session, |member| member.at_cloud);
            let Ok(index) = index else { anyhow::bail!("a frame for nobody") };
            let Member { end, session, .. } = &mut self.members[index];
            end.take(*session, frame)?;
        }
        Ok(())
    }

    /// Until nobody has anything to say.
    fn settle(&mut self) -> anyhow::Result<()> {
        loop {
            let mut is_quiet = true;
            for index in 0..self.members.len() {
                let session = self.members[index].at_cloud;
                for (_, frame) in self.members[index].end.frames() {
                    self.cloud.take(session, &frame)?;
                    is_quiet = false;
                }
            }
            let frames = self.cloud.frames();
            if frames.is_empty() && is_quiet {
                return Ok(());
            }
            self.deliver(&frames)?;
        }
    }
}
