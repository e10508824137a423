//! What is played over a link, and what each system pays for it.

use std::time::Duration;

use anyhow::{Context, ensure};
use sim::link_profiles::Link;

use super::{Exchange, Ours, Transport, World};
use crate::systems::{self, Contender, Scalar};

/// What is measured over a link, in virtual time: a transport, and the document that is synced over it.
#[derive(Clone, Copy, Debug)]
pub struct LinkSystem {
    /// As the tables call it.
    pub name: &'static str,
    /// Device and aggregator.
    pub ends: fn(Link) -> Ends,
    /// What they sync.
    pub document: Contender,
    /// A receipt needs a word of its own, because an acknowledgement does not say that anything is durable.
    pub must_ask: bool,
    /// One of so many parts of the day of a million overwrites is played, and multiplied out.
    pub day_parts: u64,
}

/// Device and aggregator.
pub type Ends = (Box<dyn Transport>, Box<dyn Transport>);

/// Ours.
pub const GODWIT: LinkSystem =
    LinkSystem { name: "godwit", ends: ours, document: systems::GODWIT, must_ask: false, day_parts: 1 };

impl LinkSystem {
    /// The two ends on a link.
    pub fn world(&self, link: Link, losses: Losses) -> World {
        let profile = match losses {
            Losses::None => link.profile().lossless(),
            Losses::OfTheLink => link.profile(),
        };
        World::new(profile, SEED, (self.ends)(link), (self.document.pair)())
    }
}

/// A scenario, its cost per exchange or per period, and what it must cost at most.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// As tables and JSON lines call it.
    pub name: &'static str,
    /// What is measured, for people.
    pub what: &'static str,
    /// IP bytes that ours may cost on Cat-M1, and on NB-IoT.
    pub targets: [u64; 2],
    play: fn(&mut Stage) -> anyhow::Result<Measured>,
}

impl Scenario {
    /// Plays it.
    ///
    /// # Errors
    /// When the two documents differ in the end, or a message was not delivered: a figure would be worth nothing.
    pub fn run(&self, system: LinkSystem, link: Link) -> anyhow::Result<Measured> {
        (self.play)(&mut Stage { system, link })
            .with_context(|| format!("{} of {} on {link}", self.name, system.name))
    }

    /// What ours may cost on `link`.
    pub fn target(&self, link: Link) -> u64 {
        self.targets[usize::from(link == Link::NbIot)]
    }
}

/// What a scenario cost.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Measured {
    /// IP bytes of all exchanges together.
    pub total_bytes: u64,
    /// Number of exchanges that the figure is the mean of; 1 for a period.
    pub exchanges: u64,
    /// Virtual seconds until the device knew, mean of all reports; `None` where no time was measured.
    pub seconds: Option<f64>,
    /// How the figure was obtained.
    pub method: Method,
}

/// How a figure was obtained.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// Some exchanges were measured and multiplied out.
    Extrapolated,
    /// All of it was played.
    Measured,
}

impl Measured {
    /// IP bytes of one exchange, or of the period: the mean, rounded up.
    pub fn ip_bytes(&self) -> u64 {
        self.total_bytes.div_ceil(self.exchanges)
    }
}

/// All of them, in the order of the tables.
pub const SCENARIOS: [Scenario; 11] = [
    Scenario {
        name: "set_up",
        what: "a connection, both sides proven, no message",
        targets: [3_900, 3_900],
        play: set_up,
    },
    Scenario {
        name: "cold_sync",
        what: "set-up, first contact of the documents, one update, its durable acknowledgement",
        targets: [4_200, 4_200],
        play: cold_sync,
    },
    Scenario {
        name: "update_warm",
        what: "one small integer delivered, mean of updates 17 to 1,000",
        targets: [126, 126],
        play: |stage| stage.updates(Update { count: 984, ..Update::default() }),
    },
    Scenario {
        name: "update_warm_receipt",
        what: "the same, and the device knows that it is durable at the aggregator",
        targets: [130, 130],
        play: |stage| stage.updates(Update { count: 984, asks: true, ..Update::default() }),
    },
    Scenario {
        name: "update_after_rebind",
        what: "the same, each after the operator gave the device a new address",
        targets: [128, 128],
        play: |stage| stage.updates(Update { rebinds: true, ..Update::default() }),
    },
    Scenario {
        name: "update_after_radio_sleep",
        what: "the same, each after 15 silent minutes",
        targets: [140, 140],
        play: |stage| stage.updates(Update { gap: Some(QUARTER_HOUR), ..Update::default() }),
    },
    Scenario {
        name: "batch_ten",
        what: "ten changed integers in one transaction",
        targets: [190, 190],
        play: |stage| stage.updates(Update { cells: 10, ..Update::default() }),
    },
    Scenario {
        name: "month_2880_reports",
        what: "30 days, an integer each 15 minutes from a new address, one receipt a day",
        targets: [400_000, 450_000],
        play: |stage| month(stage, Receipts::Daily),
    },
    Scenario {
        name: "month_every_receipt",
        what: "the same, each with its receipt",
        targets: [410_000, 450_000],
        play: |stage| month(stage, Receipts::Each),
    },
    Scenario {
        name: "day_million_overwrites",
        what: "one number overwritten a million times, reported once a minute",
        targets: [200_000, 220_000],
        play: day_million_overwrites,
    },
    Scenario {
        name: "idle_day",
        what: "a connection that has nothing to say for a day, without keep-alive",
        targets: [0, 0],
        play: idle_day,
    },
];

/// Who plays, and where.
struct Stage {
    system: LinkSystem,
    link: Link,
}

impl Stage {
    fn world(&self, losses: Losses) -> World {
        self.system.world(self.link, losses)
    }

    /// A connection over which ten integers have been updated sixteen times: later updates all cost the same.
    fn warm(&self, losses: Losses) -> anyhow::Result<World> {
        let mut world = self.world(losses);
        world.write(&integers(10, 0));
        world.report(SETTLED);
        for n in 1..=16 {
            world.write(&integers(10, n));
            world.report(self.gap());
        }
        ensure!(world.is_settled() && world.has_converged(), "the first updates were not delivered");
        Ok(world)
    }

    /// Long enough for an exchange, short enough for the radio to stay awake.
    fn gap(&self) -> Duration {
        Duration::from_secs(if self.link == Link::NbIot { 16 } else { 8 })
    }

    fn updates(&self, update: Update) -> anyhow::Result<Measured> {
        let mut world = self.warm(Losses::None)?;
        let gap = update.gap.unwrap_or(self.gap());
        let mut sum = Sum::default();
        for n in 17..17 + update.count {
            world.write(&integers(update.cells, n));
            if update.rebinds {
                world.rebind();
            }
            if update.asks && self.system.must_ask {
                world.ask();
            }
            sum.add(world.report(gap));
            ensure!(world.is_settled(), "update {n} was not delivered within {} s", gap.as_secs());
        }
        ensure!(world.has_converged(), "the documents differ");
        Ok(sum.mean())
    }
}

/// A run of updates.
struct Update {
    count: u64,
    cells: usize,
    gap: Option<Duration>,
    rebinds: bool,
    asks: bool,
}

impl Default for Update {
    fn default() -> Self {
        Self { count: 100, cells: 1, gap: None, rebinds: false, asks: false }
    }
}

/// When the device wants to know that its reports are durable.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Receipts {
    Daily,
    Each,
}

/// Whether packets get lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Losses {
    /// None of them.
    None,
    /// As its profile says.
    OfTheLink,
}

/// Exchanges added up.
#[derive(Default)]
struct Sum {
    total_bytes: u64,
    exchanges: u64,
    took: Duration,
}

impl Sum {
    fn add(&mut self, exchange: Exchange) {
        self.total_bytes += exchange.counts.ip_bytes();
        self.exchanges += 1;
        self.took += exchange.took;
    }

    fn mean(self) -> Measured {
        let seconds = Some(self.took.as_secs_f64() / self.exchanges as f64);
        Measured {
            total_bytes: self.total_bytes,
            exchanges: self.exchanges,
            seconds,
            method: Method::Measured,
        }
    }

    fn period(self) -> Measured {
        Measured { exchanges: 1, ..self.mean() }
    }
}

fn set_up(stage: &mut Stage) -> anyhow::Result<Measured> {
    let mut world = stage.world(Losses::None);
    let mut sum = Sum::default();
    sum.add(world.set_up(SETTLED));
    Ok(sum.mean())
}

fn cold_sync(stage: &mut Stage) -> anyhow::Result<Measured> {
    let mut world = stage.world(Losses::None);
    world.write(&integers(1, 17));
    world.ask();
    let mut sum = Sum::default();
    sum.add(world.report(SETTLED));
    ensure!(world.is_settled() && world.has_converged(), "the documents differ");
    Ok(sum.mean())
}

fn month(stage: &mut Stage, receipts: Receipts) -> anyhow::Result<Measured> {
    let mut world = stage.world(Losses::OfTheLink);
    let mut sum = Sum::default();
    for n in 0..2_880 {
        world.write(&integers(1, n));
        world.rebind();
        let asks = match receipts {
            Receipts::Daily => n % 96 == 0,
            Receipts::Each => stage.system.must_ask,
        };
        if asks {
            world.ask();
        }
        sum.add(world.report(QUARTER_HOUR));
    }
    ensure!(world.is_settled() && world.has_converged(), "the documents differ");
    Ok(sum.period())
}

fn day_million_overwrites(stage: &mut Stage) -> anyhow::Result<Measured> {
    let parts = stage.system.day_parts;
    let mut world = stage.world(Losses::OfTheLink);
    let mut numbers = RandomWalk::default();
    let (minutes, overwrites) = (1_440 / parts, 1_000_000 / parts);
    for minute in 0..minutes {
        for n in minute * overwrites / minutes..(minute + 1) * overwrites / minutes {
            world.write(&[("live/k0".to_owned(), Scalar::F64(numbers.next()))]);
            // The last of them leaves with the report.
            if n + 1 < (minute + 1) * overwrites / minutes {
                world.run_for(MINUTE / 700);
            }
        }
        world.report(MINUTE / 100);
    }
    world.run_for(2 * MINUTE);
    ensure!(world.is_settled() && world.has_converged(), "the documents differ");
    let method = if parts == 1 { Method::Measured } else { Method::Extrapolated };
    let total_bytes = world.counts().ip_bytes() * parts;
    Ok(Measured { total_bytes, exchanges: 1, seconds: world.mean_delay(), method })
}

fn idle_day(stage: &mut Stage) -> anyhow::Result<Measured> {
    let mut world = stage.warm(Losses::None)?;
    let before = world.counts().ip_bytes();
    world.run_for(24 * 60 * MINUTE);
    let total_bytes = world.counts().ip_bytes() - before;
    Ok(Measured { total_bytes, exchanges: 1, seconds: None, method: Method::Measured })
}

/// Our transport on both ends.
pub fn ours(link: Link) -> Ends {
    (Box::new(Ours::device(link)), Box::new(Ours::cloud(link)))
}

/// The first `cells` of ten integers, each of one byte on the wire, and each another one than at `n - 1`.
pub fn integers(cells: usize, n: u64) -> Vec<(String, Scalar)> {
    (0..cells)
        .map(|key| (format!("live/k{key}"), Scalar::I64(((n + key as u64) % 128) as i64 - 64)))
        .collect()
}

/// Steps of at most 0.05, rounded to 0.01, by xorshift64*: Marsaglia, "Xorshift RNGs" (2003); Vigna (2016).
struct RandomWalk {
    random: u64,
    hundredths: i64,
}

impl Default for RandomWalk {
    fn default() -> Self {
        Self { random: 0x2545_f491_4f6c_dd1d, hundredths: 2_000 }
    }
}

impl RandomWalk {
    fn next(&mut self) -> f64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.hundredths += ((self.random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) % 11) as i64 - 5;
        self.hundredths as f64 / 100.0
    }
}

const QUARTER_HOUR: Duration = Duration::from_secs(15 * 60);
const MINUTE: Duration = Duration::from_secs(60);
/// Within this any first contact has come to its end.
const SETTLED: Duration = Duration::from_secs(120);
/// Of the delays and losses of the links.
const SEED: u64 = 1;
