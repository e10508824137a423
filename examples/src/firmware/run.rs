//! The story of a run.

use std::cell::Cell;
use std::process::ExitCode;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use clap::Parser;
use crdt_core::{Moment, Value};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::emulator::{Deadline, Emulator, Happening};
use super::error::FirmwareError;
use super::gateway::Gateway;
use super::options::Options;
use super::report::{Figures, Summary};

/// The program `firmware_host`.
#[must_use]
pub fn main() -> ExitCode {
    let options = Options::parse();
    match run(&options) {
        Ok(summary) if options.json => {
            println!("{}", serde_json::to_string(&summary).expect("a summary is plain data"));
            ExitCode::SUCCESS
        }
        Ok(summary) => {
            println!("{summary}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("error: {error}");
            error.exit_code()
        }
    }
}

fn run(options: &Options) -> Result<Summary, FirmwareError> {
    let mut bench = Bench::start(options)?;
    bench.set("pump/setpoint", 4.5)?;
    bench.wait("the first contact", |host| {
        host.get("pump/state") == Some(Value::Str("running")) && host.get("pump/temperature").is_some()
    })?;
    bench.wait("the first set-point", |host| host.get("pump/applied") == Some(Value::F64(4.5)))?;

    bench.disturb();
    bench.set("pump/setpoint", 5.0)?;
    bench.wait("a set-point after garbage", |host| host.get("pump/applied") == Some(Value::F64(5.0)))?;

    bench.is_cut = true;
    bench.set("pump/setpoint", 5.5)?;
    bench.pass(CUT)?;
    bench.is_cut = false;
    // What was under way when the line was cut comes first; then all that was measured since, at one go.
    let (seen, offline_updates) = (Cell::new(bench.gateway.measurements()), Cell::new(0));
    bench.wait("what the device did while the line was cut", |host| {
        let new = host.measurements() - seen.replace(host.measurements());
        offline_updates.set(new as u64);
        new as u64 >= OFFLINE_UPDATES_MIN
    })?;
    let offline_updates = offline_updates.get();
    bench.wait("a set-point after the cut", |host| host.get("pump/applied") == Some(Value::F64(5.5)))?;

    bench.set("command/restart", 1)?;
    bench.wait("the restart", |host| host.get("pump/restarts") == Some(Value::I64(1)))?;
    bench.set("pump/setpoint", 6.0)?;
    bench.wait("a set-point after the restart", |host| host.get("pump/applied") == Some(Value::F64(6.0)))?;

    bench.set("command/stop", true)?;
    bench.finish(offline_updates)
}

/// The emulator, the host's end of the line, and the line between them.
struct Bench {
    emulator: Emulator,
    gateway: Gateway,
    random: ChaCha8Rng,
    /// Nothing passes, either way.
    is_cut: bool,
    patience: Duration,
    begun: Instant,
    /// What each life of the firmware has reported; the last one is being filled.
    lives: Vec<Figures>,
    log: Vec<String>,
}

impl Bench {
    fn start(options: &Options) -> Result<Self, FirmwareError> {
        let mut random = ChaCha8Rng::seed_from_u64(options.seed);
        Ok(Self {
            emulator: Emulator::start(options, random.next_u64())?,
            gateway: Gateway::new(random.next_u64()),
            random,
            is_cut: false,
            patience: Duration::from_secs(options.patience),
            begun: Instant::now(),
            lives: Vec::new(),
            log: Vec::new(),
        })
    }

    fn set<'a>(&mut self, path: &'a str, value: impl Into<Value<'a>>) -> Result<(), FirmwareError> {
        let (written, now) = (self.now(), self.now());
        self.gateway.set(written, path, value)?;
        self.gateway.work(now);
        self.flush();
        Ok(())
    }

    /// Works until `is_there`.
    fn wait(&mut self, what: &'static str, is_there: impl Fn(&Gateway) -> bool) -> Result<(), FirmwareError> {
        let deadline = Deadline::after(self.patience);
        while !is_there(&self.gateway) {
            if deadline.has_passed() {
                return Err(FirmwareError::Timeout { what, after: self.patience, log: self.log.clone() });
            }
            if let Err(status) = self.step() {
                return Err(FirmwareError::Ended { status, log: self.log.clone() });
            }
        }
        Ok(())
    }

    /// Works for some time.
    fn pass(&mut self, duration: Duration) -> Result<(), FirmwareError> {
        let deadline = Deadline::after(duration);
        while !deadline.has_passed() {
            if let Err(status) = self.step() {
                return Err(FirmwareError::Ended { status, log: self.log.clone() });
            }
        }
        Ok(())
    }

    /// Works until the firmware has ended, and compares.
    fn finish(mut self, offline_updates: u64) -> Result<Summary, FirmwareError> {
        let deadline = Deadline::after(self.patience);
        let status = loop {
            if deadline.has_passed() {
                let what = "the end of the firmware";
                return Err(FirmwareError::Timeout { what, after: self.patience, log: self.log });
            }
            if let Err(status) = self.step() {
                break status;
            }
        };
        if !status.success() {
            return Err(FirmwareError::Ended { status, log: self.log });
        }
        let summary = Summary::new(&self.lives, offline_updates, self.begun.elapsed().as_secs_f64())?;
        let device = self.lives.last().map_or(Ok(0), |life| life.number("fingerprint"))?;
        let host = self.gateway.replica().document().fingerprint();
        if device != host {
            return Err(FirmwareError::Diverged { device, host });
        }
        let dropped = &summary.dropped;
        for (what, count, least) in [
            ("the damaged packets that were put on its line", dropped.damaged, DAMAGED),
            ("the packet without end that was put on its line", dropped.too_long, 1),
            ("the frame that is none of the protocol", dropped.refused, 1),
            ("its updates while the line was cut", offline_updates, OFFLINE_UPDATES_MIN),
        ] {
            if count < least {
                return Err(FirmwareError::Unnoticed { what });
            }
        }
        Ok(summary)
    }

    /// Puts on the line what no peer would send: noise, half a packet, one without end, and a good packet that carries
    /// no frame of the protocol.
    fn disturb(&mut self) {
        let now = self.now();
        let mut noise: Vec<u8> = (0..200).map(|_| self.random.next_u32() as u8 | 1).collect();
        noise.push(0);
        let mut endless = vec![0xaa; 5_000];
        endless.push(0);
        self.gateway.forge(now, &[0xff; 40]);
        let whole = self.gateway.last_packet();
        let mut half = whole[..whole.len() / 2].to_vec();
        half.push(0);
        for bytes in [noise, endless, half] {
            self.emulator.send(&bytes);
        }
    }

    /// Takes one thing that happened, or a little time; an error once the emulator has ended.
    fn step(&mut self) -> Result<(), std::process::ExitStatus> {
        let happening = self.emulator.next(STEP)?;
        let (came, now) = (self.now(), self.now());
        match happening {
            Some(Happening::Serial(bytes)) if !self.is_cut => self.gateway.receive(came, &bytes),
            Some(Happening::Serial(_)) | None => {}
            Some(Happening::Said(line)) => self.listen(line),
        }
        self.gateway.work(now);
        self.flush();
        Ok(())
    }

    fn listen(&mut self, line: String) {
        if line == "started" {
            self.lives.push(Figures::default());
        }
        if !self.lives.last_mut().is_some_and(|life| life.take(&line)) {
            self.log.push(line);
        }
    }

    fn flush(&mut self) {
        let bytes = self.gateway.take_output();
        if !self.is_cut && !bytes.is_empty() {
            self.emulator.send(&bytes);
        }
    }

    fn now(&mut self) -> Moment {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Moment::new(since_1970.as_millis() as u64)
    }
}

const STEP: Duration = Duration::from_millis(10);
/// How long the line is cut: the device gives up a few sessions and measures a few times.
const CUT: Duration = Duration::from_millis(1_500);
/// Of the fifteen it should make within that time, on a busy machine.
const OFFLINE_UPDATES_MIN: u64 = 3;
/// Packets that [`Bench::disturb`] damages: noise without a zero is one, half a packet another.
const DAMAGED: u64 = 2;
