//! The process that runs the fleet: starts the others, carries out the plan, watches, and proves the end.
//!
//! [`Fleet::live`] is the whole story, from top to bottom. Between its lines it waits, and while it waits it takes what the
//! processes say.

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use runtime_cloud::engine::Request;
use serde_json::Value as Json;
use sim::access_link::Traffic;
use tokio::sync::mpsc;
use tokio::time::{Interval, MissedTickBehavior, interval, sleep_until, timeout};

use super::cells::{Cells, differences, leaves};
use super::device::Device;
use super::display::{Board, Display};
use super::error::FleetError;
use super::journal::Promise;
use super::options::Options;
use super::plan::{Act, Step, plan};
use super::process::{Happening, Process};
use super::protocol::{AggregatorReport, EdgeOrder, EdgeReport, RelayOrder, RelayReport};
use super::report::{Summary, per};

/// The fleet and everything that is known of it.
pub(crate) struct Fleet<'a> {
    options: &'a Options,
    directory: &'a Path,
    begun: Instant,
    happenings: mpsc::Receiver<Happened>,
    happened: mpsc::Sender<Happened>,
    beat: Interval,
    beats: u64,
    display: Display,
    phase: &'static str,
    aggregator: Option<Process<()>>,
    /// How the aggregator is reached, once it is ready.
    at: Option<AggregatorReport>,
    control: Option<control::Client>,
    relay: Option<Process<RelayOrder>>,
    lanes: Option<Vec<SocketAddr>>,
    devices: Vec<Device>,
    /// Processes that have not ended.
    running: usize,
    is_stopping: bool,
    kill: Option<Killed>,
}

/// Something happened to a process.
enum Happened {
    Aggregator(Happening<AggregatorReport>),
    Edge(u32, Happening<EdgeReport>),
    Relay(Happening<RelayReport>),
}

/// What is known of the device whose process was killed.
struct Killed {
    device: usize,
    durable: u64,
    /// Values that were promised and are not there after the restart; none before it.
    lost: Option<usize>,
}

impl<'a> Fleet<'a> {
    /// Nothing is started yet.
    pub(crate) fn new(options: &'a Options, directory: &'a Path) -> Self {
        let (happened, happenings) = mpsc::channel(HAPPENINGS_MAX);
        let mut beat = interval(BEAT);
        beat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Self {
            options,
            directory,
            begun: Instant::now(),
            happenings,
            happened,
            beat,
            beats: 0,
            display: Display::new(),
            phase: "starting",
            aggregator: None,
            at: None,
            control: None,
            relay: None,
            lanes: None,
            devices: (0..options.devices).map(Device::new).collect(),
            running: 0,
            is_stopping: false,
            kill: None,
        }
    }

    /// From the first process to the proof.
    pub(crate) async fn live(&mut self) -> Result<Summary, FleetError> {
        self.start_aggregator().await?;
        self.start_relay().await?;
        for index in 0..self.devices.len() {
            self.start_edge(index)?;
        }
        self.wait("the devices to open their stores", START_PATIENCE, |fleet| {
            fleet.devices.iter().all(|device| device.stored.is_some())
        })
        .await?;
        self.phase = "connecting";
        for index in 0..self.devices.len() {
            self.allow(index).await?;
            self.devices[index].order(&EdgeOrder::Connect).await;
        }
        self.wait("the devices to connect", CONNECT_PATIENCE, |fleet| {
            fleet.devices.iter().all(|device| device.is_connected)
        })
        .await?;
        let set_up = self.count_traffic().await?;

        self.phase = "working";
        for device in &mut self.devices {
            device.work().await;
        }
        let length = Duration::from_secs(u64::from(self.options.seconds));
        let work_begun = Instant::now();
        for Step { at, act } in plan(self.options.devices, length, self.options.seed) {
            self.take_until(work_begun + at).await?;
            self.perform(act).await?;
        }
        self.take_until(work_begun + length).await?;

        self.phase = "converging";
        for device in &mut self.devices {
            device.order(&EdgeOrder::Rest).await;
        }
        self.wait("the devices to rest", REST_PATIENCE, |fleet| {
            fleet.devices.iter().all(|device| device.is_resting)
        })
        .await?;
        let copies = self.converge().await?;
        self.count_traffic().await?;
        self.display.clear();
        Ok(self.summary(set_up, &copies))
    }

    /// Ends every process, in order if possible.
    pub(crate) async fn stop(&mut self) {
        self.is_stopping = true;
        for device in &mut self.devices {
            device.process = None;
        }
        self.control = None;
        self.aggregator = None;
        self.relay = None;
        let ended = async {
            while self.running > 0 {
                let Some(happened) = self.happenings.recv().await else { return };
                if happened.is_end() {
                    self.running -= 1;
                }
            }
        };
        if timeout(STOP_PATIENCE, ended).await.is_err() {
            // They are killed when the runtime is dropped.
            tracing::warn!(running = self.running, "some processes do not end by themselves");
        }
    }

    /// Takes the progress display away, so that an error stands alone.
    pub(crate) fn clear_display(&mut self) {
        self.display.clear();
    }

    // ---- the parts of the story ----

    async fn start_aggregator(&mut self) -> Result<(), FleetError> {
        let port = self.options.port.to_string();
        let directory = self.directory.join("aggregator");
        let arguments =
            arguments("role-aggregator", &[("--directory", directory.into()), ("--port", port.into())]);
        let process =
            Process::start(arguments, &self.log("aggregator"), self.happened.clone(), Happened::Aggregator);
        self.aggregator = Some(process.map_err(|source| FleetError::start("the aggregator", source))?);
        self.running += 1;
        self.wait("the aggregator to start", START_PATIENCE, |fleet| fleet.at.is_some()).await?;
        let AggregatorReport::Ready { socket, addr, .. } = self.at.as_ref().expect("it was waited for");
        self.control = Some(control::Client::connect(socket).await?);
        self.display.tell(&format!("the aggregator serves at {addr}"));
        Ok(())
    }

    async fn start_relay(&mut self) -> Result<(), FleetError> {
        let AggregatorReport::Ready { addr, .. } =
            self.at.as_ref().expect("the aggregator was started first");
        let Options { devices, link, seed, .. } = self.options;
        let arguments = arguments(
            "role-relay",
            &[
                ("--upstream", addr.to_string().into()),
                ("--devices", devices.to_string().into()),
                ("--link", link.name().into()),
                ("--seed", seed.to_string().into()),
            ],
        );
        let process = Process::start(arguments, &self.log("relay"), self.happened.clone(), Happened::Relay);
        self.relay = Some(process.map_err(|source| FleetError::start("the relay", source))?);
        self.running += 1;
        self.wait("the relay to start", START_PATIENCE, |fleet| fleet.lanes.is_some()).await?;
        self.display.tell(&format!("the relay puts {devices} devices on {link}"));
        Ok(())
    }

    fn start_edge(&mut self, index: usize) -> Result<(), FleetError> {
        let AggregatorReport::Ready { key, .. } = self.at.as_ref().expect("the aggregator was started first");
        let lane = self.lanes.as_ref().expect("the relay was started first")[index];
        let device = &self.devices[index];
        let number = device.number;
        let arguments = arguments(
            "role-edge",
            &[
                ("--directory", self.directory.join(&device.name).into()),
                ("--device", number.to_string().into()),
                ("--devices", self.options.devices.to_string().into()),
                ("--document", (&device.name).into()),
                ("--aggregator", lane.to_string().into()),
                ("--key", key.to_string().into()),
            ],
        );
        let wrap = move |happening| Happened::Edge(number, happening);
        let process = Process::start(arguments, &self.log(&device.name), self.happened.clone(), wrap);
        let process = process.map_err(|source| FleetError::start(&device.name, source))?;
        self.devices[index].begin_process(process);
        self.running += 1;
        Ok(())
    }

    async fn allow(&mut self, index: usize) -> Result<(), FleetError> {
        let device = &self.devices[index];
        let key = device.key.expect("its store was opened");
        self.ask(Request::Allow { key, document: Some(device.name.clone()) }).await?;
        Ok(())
    }

    async fn perform(&mut self, act: Act) -> Result<(), FleetError> {
        match act {
            Act::CloudSetsInterval { device, interval_s } => {
                self.edit(device, "setpoint/interval_s", interval_s).await
            }
            Act::CloudSetsValve { device, valve } => self.edit(device, "setpoint/valve", valve).await,
            Act::Cut { device } => {
                self.order_relay(RelayOrder::Cut { device }).await;
                let device = self.device(device);
                device.is_cut_off = true;
                device.fate = "cut off";
                let event = format!("{} is cut off", device.name);
                self.display.tell(&event);
                Ok(())
            }
            Act::DeviceSetsValve { device, valve } => {
                self.device(device).order(&EdgeOrder::Edit { valve }).await;
                Ok(())
            }
            Act::Kill { device } => self.kill(device).await,
            Act::Restart { device } => self.restart(device).await,
            Act::Restore { device } => {
                self.order_relay(RelayOrder::Restore { device }).await;
                let device = self.device(device);
                device.is_cut_off = false;
                let event = format!("{} has its link back", device.name);
                self.display.tell(&event);
                Ok(())
            }
        }
    }

    /// Changes a document at the aggregator.
    async fn edit(&mut self, device: u32, path: &str, value: i64) -> Result<(), FleetError> {
        let document = self.device(device).name.clone();
        let begun_ms = now_ms();
        let set = control::Set {
            document: Some(document),
            path: path.to_owned(),
            value: control::Scalar::I64(value),
        };
        self.ask(Request::Set(set)).await?;
        self.device(device).journal.cloud_wrote(begun_ms, now_ms(), path, value.into());
        Ok(())
    }

    /// Kills a device while it writes as fast as it can.
    async fn kill(&mut self, device: u32) -> Result<(), FleetError> {
        self.device(device).order(&EdgeOrder::Hurry).await;
        self.take_until(Instant::now() + HURRY).await?;
        let index = index(device);
        let device = &mut self.devices[index];
        device.is_killed = true;
        device.fate = "killed";
        device.process.as_mut().expect("it is killed once").kill();
        self.wait("the killed process to end", STOP_PATIENCE, |fleet| fleet.devices[index].process.is_none())
            .await?;
        let device = &self.devices[index];
        let durable = device.journal.device_updates();
        self.display.tell(&format!("{} is killed (SIGKILL) after {durable} writes", device.name));
        self.kill = Some(Killed { device: index, durable, lost: None });
        Ok(())
    }

    /// Starts a killed device again, and looks what its store has.
    async fn restart(&mut self, device: u32) -> Result<(), FleetError> {
        let index = index(device);
        self.start_edge(index)?;
        self.wait("the killed device to open its store", START_PATIENCE, |fleet| {
            fleet.devices[index].stored.is_some()
        })
        .await?;
        let device = &mut self.devices[index];
        let stored = device.stored.as_ref().expect("it was waited for");
        let lost = device.journal.lost(Promise::Durable, stored).len();
        if let Some(kill) = &mut self.kill {
            kill.lost = Some(lost);
        }
        self.display.tell(&format!("{} is started again; missing on its disk: {lost}", device.name));
        device.is_killed = false;
        device.order(&EdgeOrder::Connect).await;
        device.work().await;
        Ok(())
    }

    /// Waits until the copies are equal and the devices know that; the aggregator's copies, as they were then.
    async fn converge(&mut self) -> Result<Vec<Cells>, FleetError> {
        let deadline = Instant::now() + CONVERGE_PATIENCE;
        loop {
            let mut copies = Vec::new();
            for index in 0..self.devices.len() {
                let document = self.devices[index].name.clone();
                let get = control::Get { document: Some(document), path: None };
                copies.push(leaves(&self.ask(Request::Get(get)).await?));
                let device = &mut self.devices[index];
                device.cells = None;
                device.order(&EdgeOrder::Read).await;
            }
            self.wait("the devices to tell their documents", REST_PATIENCE, |fleet| {
                fleet.devices.iter().all(|device| device.cells.is_some())
            })
            .await?;
            let now = now_ms();
            for (device, copy) in self.devices.iter_mut().zip(&copies) {
                device.compare(copy, now);
            }
            let is_done = self
                .devices
                .iter()
                .all(|device| device.converged_ms.is_some() && !device.journal.awaits_receipt());
            if is_done || Instant::now() > deadline {
                return Ok(copies);
            }
            self.take_until(Instant::now() + COMPARE_EVERY).await?;
        }
    }

    fn summary(&self, ip_bytes_set_up: u64, copies: &[Cells]) -> Summary {
        let pairs = || self.devices.iter().zip(copies);
        let sum = |what: fn(&Device) -> u64| self.devices.iter().map(what).sum::<u64>();
        let lost = pairs().map(|(device, copy)| device.journal.lost(Promise::Acknowledged, copy).len()).sum();
        let per_device: Vec<_> = pairs().map(|(device, copy)| device.summary(copy)).collect();
        let updates_by_devices = sum(|device| device.journal.device_updates());
        let updates_by_cloud = sum(|device| device.journal.cloud_updates());
        let updates = updates_by_devices + updates_by_cloud;
        let ip_bytes = sum(|device| device.traffic.carried_ip_bytes());
        let different =
            pairs().filter_map(|(device, copy)| Some(differences(device.cells.as_ref()?, copy).len()));
        let killed = self.kill.as_ref();
        Summary {
            devices: self.devices.len(),
            link: self.options.link.name(),
            seed: self.options.seed,
            elapsed_s: self.begun.elapsed().as_millis() as f64 / 1e3,
            updates,
            updates_by_devices,
            updates_by_cloud,
            converged: self.devices.iter().all(|device| device.converged_ms.is_some()),
            cells_compared: copies.iter().map(Cells::len).sum(),
            cells_different: different.sum(),
            acknowledged: sum(|device| device.journal.acknowledged_updates()),
            acknowledged_lost: lost,
            killed: killed.map(|killed| self.devices[killed.device].name.clone()),
            durable_before_kill: killed.map_or(0, |killed| killed.durable),
            durable_lost: killed.and_then(|killed| killed.lost),
            ip_bytes,
            ip_bytes_set_up,
            ip_bytes_per_update: per(ip_bytes, updates),
            ip_bytes_per_update_after_set_up: per(ip_bytes - ip_bytes_set_up, updates),
            per_device,
        }
    }

    // ---- waiting ----

    /// Takes what happens until `done`.
    async fn wait(
        &mut self,
        what: &'static str,
        patience: Duration,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), FleetError> {
        let deadline = Instant::now() + patience;
        while !done(self) {
            if Instant::now() >= deadline {
                return Err(FleetError::Timeout { what, after: patience });
            }
            self.take_one(deadline).await?;
        }
        Ok(())
    }

    /// Takes what happens until a time.
    async fn take_until(&mut self, until: Instant) -> Result<(), FleetError> {
        while Instant::now() < until {
            self.take_one(until).await?;
        }
        Ok(())
    }

    /// Takes one thing that happens, unless nothing does before `until`.
    async fn take_one(&mut self, until: Instant) -> Result<(), FleetError> {
        tokio::select! {
            Some(happened) = self.happenings.recv() => self.take(happened)?,
            _ = self.beat.tick() => self.beat().await,
            () = sleep_until(until.into()) => {}
        }
        Ok(())
    }

    fn take(&mut self, happened: Happened) -> Result<(), FleetError> {
        match happened {
            Happened::Aggregator(Happening::Report(ready)) => self.at = Some(ready),
            Happened::Relay(Happening::Report(RelayReport::Ready { lanes })) => self.lanes = Some(lanes),
            Happened::Relay(Happening::Report(RelayReport::Traffic { lanes })) => self.take_traffic(&lanes),
            Happened::Edge(device, Happening::Report(report)) => self.device(device).take(report, now_ms()),
            Happened::Edge(device, Happening::Ended { .. }) if self.device(device).is_killed => {
                self.running -= 1;
                self.device(device).process_ended();
            }
            Happened::Aggregator(Happening::Ended { status, stderr_tail }) => {
                self.running -= 1;
                return Err(FleetError::Ended { name: "the aggregator".to_owned(), status, stderr_tail });
            }
            Happened::Edge(device, Happening::Ended { status, stderr_tail }) => {
                self.running -= 1;
                return Err(FleetError::Ended {
                    name: self.device(device).name.clone(),
                    status,
                    stderr_tail,
                });
            }
            Happened::Relay(Happening::Ended { status, stderr_tail }) => {
                self.running -= 1;
                return Err(FleetError::Ended { name: "the relay".to_owned(), status, stderr_tail });
            }
        }
        Ok(())
    }

    fn take_traffic(&mut self, lanes: &[Traffic]) {
        for (device, traffic) in self.devices.iter_mut().zip(lanes) {
            device.traffic = *traffic;
            device.has_traffic = true;
        }
    }

    /// Shows how things are; now and then asks what the display needs.
    async fn beat(&mut self) {
        self.beats += 1;
        if self.beats.is_multiple_of(ASK_EVERY_BEATS) {
            self.order_relay(RelayOrder::Traffic).await;
        }
        let rows = self.devices.iter().map(Device::row).collect();
        let board = Board { phase: self.phase, updates_expected: u64::from(self.options.seconds) + 6, rows };
        self.display.show(&board);
    }

    // ---- talking ----

    async fn ask(&mut self, request: Request) -> Result<Json, FleetError> {
        let client = self.control.as_mut().expect("the aggregator was started first");
        match timeout(ANSWER_PATIENCE, client.request(&request)).await {
            Ok(answer) => Ok(answer?),
            Err(_) => {
                Err(FleetError::Timeout { what: "an answer of the aggregator", after: ANSWER_PATIENCE })
            }
        }
    }

    async fn order_relay(&mut self, order: RelayOrder) {
        if let Some(relay) = &mut self.relay {
            relay.order(&order).await;
        }
    }

    /// What all lanes have carried, in IP bytes.
    async fn count_traffic(&mut self) -> Result<u64, FleetError> {
        for device in &mut self.devices {
            device.has_traffic = false;
        }
        self.order_relay(RelayOrder::Traffic).await;
        self.wait("the relay to count", ANSWER_PATIENCE, |fleet| {
            fleet.devices.iter().all(|device| device.has_traffic)
        })
        .await?;
        Ok(self.devices.iter().map(|device| device.traffic.carried_ip_bytes()).sum())
    }

    fn log(&self, name: &str) -> PathBuf {
        self.directory.join(format!("{name}.log"))
    }

    fn device(&mut self, number: u32) -> &mut Device {
        &mut self.devices[index(number)]
    }
}

impl Happened {
    fn is_end(&self) -> bool {
        matches!(
            self,
            Self::Aggregator(Happening::Ended { .. })
                | Self::Edge(_, Happening::Ended { .. })
                | Self::Relay(Happening::Ended { .. })
        )
    }
}

fn arguments(role: &str, options: &[(&str, OsString)]) -> Vec<OsString> {
    let options = options.iter().flat_map(|(name, value)| [(*name).into(), value.clone()]);
    std::iter::once(role.into()).chain(options).collect()
}

fn index(device: u32) -> usize {
    usize::try_from(device).expect("the number of a device is small")
}

/// The wall clock, in milliseconds since 1970: the devices are on the same machine.
pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

const ANSWER_PATIENCE: Duration = Duration::from_secs(10);
const ASK_EVERY_BEATS: u64 = 4;
const BEAT: Duration = Duration::from_millis(250);
const COMPARE_EVERY: Duration = Duration::from_millis(50);
const CONNECT_PATIENCE: Duration = Duration::from_secs(60);
const CONVERGE_PATIENCE: Duration = Duration::from_secs(60);
const HAPPENINGS_MAX: usize = 1_024;
/// How long a device writes without a pause before it is killed.
const HURRY: Duration = Duration::from_millis(150);
const REST_PATIENCE: Duration = Duration::from_secs(10);
const START_PATIENCE: Duration = Duration::from_secs(20);
const STOP_PATIENCE: Duration = Duration::from_secs(5);
