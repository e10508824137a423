//! A document of many cells, and one peer.

use std::hint::black_box;
use std::time::{Duration, Instant};

use anyhow::ensure;
use crdt_core::{Path, Role, SessionId};

use super::{Cost, End, Workload, median, settle};

/// One write.
pub const SET: Workload = Workload {
    name: "set",
    unit: "cells",
    what: "one write of a random cell",
    sizes: SIZES,
    measure: |cells| {
        let mut pair = Pair::new(cells)?;
        each(median(ROUNDS, |round| {
            let start = Instant::now();
            (round * 100..(round + 1) * 100).try_for_each(|n| pair.write(n))?;
            Ok(start.elapsed() / 100)
        })?)
    },
};

/// One read.
pub const GET: Workload = Workload {
    name: "get",
    unit: "cells",
    what: "one read of a random cell",
    sizes: SIZES,
    measure: |cells| {
        let pair = Pair::new(cells)?;
        each(median(ROUNDS, |round| {
            let start = Instant::now();
            for n in round * 100..(round + 1) * 100 {
                black_box(pair.device.replica.document().get(Path::new(&pair.paths[scatter(n, cells)])?));
            }
            Ok(start.elapsed() / 100)
        })?)
    },
};

/// One change for a peer.
pub const DELTA_1: Workload = Workload {
    name: "delta_1",
    unit: "cells",
    what: "after one write: all frames for a peer in session",
    sizes: SIZES,
    measure: |cells| {
        let mut pair = Pair::new(cells)?;
        pair.settle()?;
        each(median(ROUNDS, |round| {
            pair.write(round)?;
            pair.deliver()
        })?)
    },
};

/// Many changes for a peer.
pub const DELTA_100: Workload = Workload {
    name: "delta_100",
    unit: "cells",
    what: "the same after 100 writes, per write",
    sizes: SIZES,
    measure: |cells| {
        let mut pair = Pair::new(cells)?;
        pair.settle()?;
        each(median(ROUNDS / 10 + 1, |round| {
            (round * 100..(round + 1) * 100).try_for_each(|n| pair.write(n))?;
            Ok(pair.deliver()? / 100)
        })?)
    },
};

/// Reading what changed.
pub const SINCE_1: Workload = Workload {
    name: "since_1",
    unit: "cells",
    what: "reading the last change of the document, without a session",
    sizes: SIZES,
    measure: |cells| {
        let mut pair = Pair::new(cells)?;
        each(median(ROUNDS, |round| {
            let seq = pair.device.replica.document().seq();
            pair.write(round)?;
            let start = Instant::now();
            black_box(pair.device.replica.document().changes_since(seq).count());
            Ok(start.elapsed())
        })?)
    },
};

/// Everything for a peer.
pub const FULL_CELL: Workload = Workload {
    name: "full_cell",
    unit: "cells",
    what: "everything to an empty peer, both sides, per cell",
    sizes: SIZES,
    measure: |cells| {
        let mut pair = Pair::new(cells)?;
        let start = Instant::now();
        pair.settle()?;
        each(start.elapsed() / u32::try_from(cells)?)
    },
};

fn each(spent: Duration) -> anyhow::Result<Cost> {
    Ok(Cost::Each(spent))
}

/// A device that has the cells, and a cloud in session with it that has nothing yet.
struct Pair {
    device: End,
    cloud: End,
    up: SessionId,
    down: SessionId,
    paths: Vec<String>,
}

impl Pair {
    fn new(cells: usize) -> anyhow::Result<Self> {
        let (mut device, mut cloud) = (End::new(1, Role::Member)?, End::new(2, Role::Aggregator)?);
        let (up, down) = (device.connect(cloud.peer, true)?, cloud.connect(device.peer, false)?);
        let paths = (0..cells).map(|n| format!("site{:03}/unit{:03}/value", n / 1_000, n % 1_000)).collect();
        let mut pair = Self { device, cloud, up, down, paths };
        for n in 0..cells {
            pair.device.write(&pair.paths[n], i64::try_from(n)?)?;
        }
        Ok(pair)
    }

    fn write(&mut self, n: usize) -> anyhow::Result<()> {
        self.device.write(&self.paths[scatter(n, self.paths.len())], i64::try_from(n)?)
    }

    fn settle(&mut self) -> anyhow::Result<()> {
        settle((&mut self.device, self.up), (&mut self.cloud, self.down))?;
        let is_same = self.device.replica.document() == self.cloud.replica.document();
        ensure!(is_same, "they differ");
        Ok(())
    }

    /// Brings what is new to the cloud; the time that the device took to say it.
    fn deliver(&mut self) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let frames = self.device.frames();
        let spent = start.elapsed();
        frames.iter().try_for_each(|(_, frame)| self.cloud.take(self.down, frame))?;
        let answers = self.cloud.frames();
        answers.iter().try_for_each(|(_, frame)| self.device.take(self.up, frame))?;
        Ok(spent)
    }
}

/// `n`-th of `cells` in an order without pattern: a Weyl sequence by the golden ratio.
fn scatter(n: usize, cells: usize) -> usize {
    ((n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % cells
}

const SIZES: &[usize] = &[1_000, 10_000, 100_000];
const ROUNDS: usize = 1_001;
