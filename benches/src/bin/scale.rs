//! What one operation costs in documents of 1,000, 10,000 and 100,000 cells in heap storage.

use std::hint::black_box;
use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

use clap::Parser;
use crdt_core::{
    Config, Connect, DocumentName, Heap, Moment, Output, Path, PeerId, Replica, ReplicaId, Role, SessionId,
    Write,
};
use serde_json::json;

/// Set, get and delta of large documents: nanoseconds of an operation, and how much it grows with the document.
///
/// A lookup may grow with the logarithm of the cells, a delta with what changed, a full sync with the cells.
/// Times are this machine's: read the ratios.
#[derive(Parser)]
#[command(after_help = "Examples:
  cargo run --release -p benches --bin scale
  cargo run --release -p benches --bin scale -- --json --cells 1000 --cells 1000000")]
struct Options {
    /// One JSON object a line instead of a table.
    #[arg(long)]
    json: bool,
    /// Sizes of the documents, in cells; the first is what the others are compared with.
    #[arg(long, default_values_t = [1_000, 10_000, 100_000])]
    cells: Vec<usize>,
}

fn main() -> anyhow::Result<()> {
    let options = Options::parse();
    let mut out = std::io::stdout().lock();
    let mut first = None;
    for cells in options.cells {
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K{cells} cells ..");
        }
        let costs = measure(cells)?;
        if std::io::stderr().is_terminal() {
            eprint!("\r\x1b[K");
        }
        let base = *first.get_or_insert(costs);
        for ((name, what), (cost, base)) in OPERATIONS.iter().zip(costs.iter().zip(base)) {
            let (ns, ratio) = (cost.as_nanos(), cost.as_secs_f64() / base.as_secs_f64());
            if options.json {
                let ratio = (ratio * 100.0).round() / 100.0;
                writeln!(out, "{}", json!({"operation": name, "cells": cells, "ns": ns, "ratio": ratio}))?;
            } else {
                writeln!(out, "{cells:>8} cells  {name:<14}{ns:>12} ns{ratio:>8.2} x  {what}")?;
            }
        }
    }
    Ok(())
}

const OPERATIONS: [(&str, &str); 6] = [
    ("set", "one write of a random cell"),
    ("get", "one read of a random cell"),
    ("delta_1", "after one write: all frames for a peer in session"),
    ("delta_100", "the same after 100 writes, per write"),
    ("since_1", "reading the last change of the document, without a session"),
    ("full_cell", "everything to an empty peer, both sides, per cell"),
];

fn measure(cells: usize) -> anyhow::Result<[Duration; 6]> {
    let mut pair = Pair::new(cells)?;
    let paths: Vec<String> = (0..cells).map(path_of).collect();
    let write = |pair: &mut Pair, n: usize| pair.device.write(&paths[scatter(n, cells)], n as i64);

    let full = {
        let start = Instant::now();
        pair.settle()?;
        start.elapsed() / u32::try_from(cells)?
    };
    let get = median(ROUNDS, |round| {
        let start = Instant::now();
        for n in round * 100..(round + 1) * 100 {
            black_box(pair.device.replica.document().get(Path::new(&paths[scatter(n, cells)])?));
        }
        Ok(start.elapsed() / 100)
    })?;
    let since_1 = median(ROUNDS, |round| {
        let seq = pair.device.replica.document().seq();
        write(&mut pair, round)?;
        let start = Instant::now();
        black_box(pair.device.replica.document().changes_since(seq).count());
        let spent = start.elapsed();
        pair.deliver()?;
        Ok(spent)
    })?;
    let delta_1 = median(ROUNDS, |round| {
        write(&mut pair, round)?;
        pair.deliver()
    })?;
    let delta_100 = median(ROUNDS / 10, |round| {
        for n in round * 100..(round + 1) * 100 {
            write(&mut pair, n)?;
        }
        Ok(pair.deliver()? / 100)
    })?;
    let set = median(ROUNDS, |round| {
        let start = Instant::now();
        for n in round * 100..(round + 1) * 100 {
            write(&mut pair, n)?;
        }
        Ok(start.elapsed() / 100)
    })?;
    pair.settle()?;
    Ok([set, get, delta_1, delta_100, since_1, full])
}

/// Of many rounds: what else the machine does shows in the slow ones.
fn median(
    rounds: usize,
    mut round: impl FnMut(usize) -> anyhow::Result<Duration>,
) -> anyhow::Result<Duration> {
    let mut times = (0..rounds).map(&mut round).collect::<anyhow::Result<Vec<_>>>()?;
    times.sort_unstable();
    Ok(times[rounds / 2])
}

const ROUNDS: usize = 1_000;

/// `n`-th of `cells` in an order without pattern: a Weyl sequence by the golden ratio.
fn scatter(n: usize, cells: usize) -> usize {
    ((n as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as usize % cells
}

fn path_of(n: usize) -> String {
    format!("site{:03}/unit{:03}/value", n / 1_000, n % 1_000)
}

/// A device and a cloud in session.
struct Pair {
    device: End,
    cloud: End,
}

struct End {
    replica: Replica<Heap>,
    session: SessionId,
    random: u64,
}

impl Pair {
    /// The device has the cells, the cloud nothing yet.
    fn new(cells: usize) -> anyhow::Result<Self> {
        let mut pair = Self { device: End::new(1, Role::Member)?, cloud: End::new(2, Role::Aggregator)? };
        for n in 0..cells {
            pair.device.write(&path_of(n), n as i64)?;
        }
        Ok(pair)
    }

    fn settle(&mut self) -> anyhow::Result<()> {
        loop {
            let (up, down) = (self.device.frames(), self.cloud.frames());
            if up.is_empty() && down.is_empty() {
                anyhow::ensure!(
                    self.device.replica.document() == self.cloud.replica.document(),
                    "they differ"
                );
                return Ok(());
            }
            self.cloud.take(&up)?;
            self.device.take(&down)?;
        }
    }

    /// Brings what is new to the cloud; the time that the device took to say it.
    fn deliver(&mut self) -> anyhow::Result<Duration> {
        let start = Instant::now();
        let frames = self.device.frames();
        let spent = start.elapsed();
        self.cloud.take(&frames)?;
        let answers = self.cloud.frames();
        self.device.take(&answers)?;
        Ok(spent)
    }
}

impl End {
    fn new(n: u8, role: Role) -> anyhow::Result<Self> {
        let name = DocumentName::new("scale")?;
        let mut replica = Replica::new(&name, ReplicaId::new(n.into()), Config::new(role));
        let member = role == Role::Member;
        let connect = Connect {
            peer: PeerId([3 - n; 32]),
            with_aggregator: member,
            initiator: member,
            confirmed: true,
            handle: 0,
        };
        let session = replica.connect(connect)?;
        Ok(Self { replica, session, random: 0 })
    }

    fn moment(&mut self) -> Moment {
        self.random += 1;
        Moment::new(1_790_000_000_000, self.random)
    }

    fn write(&mut self, at: &str, value: i64) -> anyhow::Result<()> {
        let moment = self.moment();
        self.replica.update(moment, &[Write::set(Path::new(at)?, value)])?;
        Ok(())
    }

    fn frames(&mut self) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut buffer = [0; 16 * 1024];
        loop {
            let moment = self.moment();
            let Some(output) = self.replica.poll_output(moment, &mut buffer) else { return frames };
            match output {
                Output::Persist(_) => {
                    let token = self.replica.take_unsaved(|_| {});
                    self.replica.handle_persisted(token);
                }
                Output::Transmit { len, .. } => frames.push(buffer[..len].to_vec()),
                Output::Event(_) | Output::Close { .. } => {}
            }
        }
    }

    fn take(&mut self, frames: &[Vec<u8>]) -> anyhow::Result<()> {
        for frame in frames {
            let moment = self.moment();
            self.replica.handle_frame(moment, self.session, frame)?;
        }
        Ok(())
    }
}
