//! The process of a device: the edge runtime, embedded, with something to report.

use std::io;
use std::time::Duration;

use runtime_linux::{Edge, EdgeError, OpenError, Options, Receipt, Scalar, Transaction};
use serde_json::Value as Json;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};

use super::cells::{Cells, leaves};
use super::host::Host;
use super::options::EdgeRole;
use super::process::role::{Orders, report};
use super::protocol::{Cost, EdgeOrder, EdgeReport};
use super::supervisor::now_ms;
use super::weather::Weather;

/// Is one device until the supervisor is gone.
///
/// # Errors
/// The store fails, or the supervisor cannot be heard or told.
pub(crate) async fn run(role: EdgeRole) -> Result<(), DeviceError> {
    let mut orders = Orders::from_stdin();
    let options = Options::new(&role.directory).document(&role.document);
    // At first without an aggregator: what the store holds is told before anything can come from elsewhere.
    let edge = Edge::open(options.clone()).await?;
    report(&EdgeReport::Ready { key: edge.public_key(), cells: cells(&edge).await? })?;
    edge.shut_down().await?;
    loop {
        match orders.next().await? {
            Some(EdgeOrder::Connect) => break,
            Some(_) => {}
            // The supervisor is gone before it had a use for this device.
            None => return Ok(()),
        }
    }

    let edge = Edge::open(options.aggregator(role.aggregator.to_string(), role.key)).await?;
    let (receipts, mut acknowledged) = mpsc::channel(RECEIPTS_MAX);
    let mut device = Device {
        edge,
        weather: Weather::of_seattle()?,
        role,
        written: 0,
        told: Cells::new(),
        work: None,
        receipts,
        cost: Cost::default(),
        is_connected: false,
    };
    let mut look = interval(LOOK_EVERY);
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let next_report =
            device.work.as_ref().map_or_else(|| Instant::now() + LOOK_EVERY, |work| work.next_at);
        tokio::select! {
            order = orders.next() => match order? {
                Some(order) => device.obey(order).await?,
                None => break,
            },
            Some(through) = acknowledged.recv() => report(&EdgeReport::Acknowledged { through })?,
            _ = look.tick() => device.look().await?,
            () = sleep_until(next_report), if device.work.is_some() => device.make_report().await?,
            ended = device.edge.ended() => ended?,
        }
    }
    Ok(device.edge.shut_down().await?)
}

/// The device cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DeviceError {
    /// The edge failed.
    #[error(transparent)]
    Edge(#[from] EdgeError),
    /// The supervisor or `/proc` cannot be read, or the supervisor not be told.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The store cannot be opened.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The weather file makes no sense.
    #[error("the weather: {0}")]
    Weather(#[from] csv::Error),
}

struct Device {
    edge: Edge,
    role: EdgeRole,
    weather: Weather,
    /// Writes of this process.
    written: u64,
    /// What was written last: a device writes what has changed.
    told: Cells,
    work: Option<Work>,
    receipts: mpsc::Sender<u64>,
    cost: Cost,
    is_connected: bool,
}

/// The device has reports to make.
struct Work {
    turn: u64,
    next_at: Instant,
    is_hurrying: bool,
}

impl Device {
    async fn obey(&mut self, order: EdgeOrder) -> Result<(), DeviceError> {
        match order {
            EdgeOrder::Connect => Ok(()),
            EdgeOrder::Edit { valve } => {
                let changes = vec![("setpoint/valve", Scalar::I64(valve))];
                self.write(None, changes).await.map(drop)
            }
            EdgeOrder::Hurry => {
                if let Some(work) = &mut self.work {
                    work.is_hurrying = true;
                    work.next_at = Instant::now();
                }
                Ok(())
            }
            EdgeOrder::Read => Ok(report(&EdgeReport::Document { cells: cells(&self.edge).await? })?),
            EdgeOrder::Rest => {
                self.work = None;
                // A last receipt: it says that all is there.
                let receipt = self.write(None, vec![("status/is_resting", Scalar::Bool(true))]).await?;
                self.await_receipt(receipt);
                Ok(report(&EdgeReport::Resting)?)
            }
            EdgeOrder::Work { turn } => {
                // Devices do not report at the same moment.
                let wait = REPORT_EVERY * self.role.device / self.role.devices.max(1);
                self.work = Some(Work { turn, next_at: Instant::now() + wait, is_hurrying: false });
                Ok(())
            }
        }
    }

    /// One report of weather, now and then with the state of this machine, and of what the device does about its
    /// set-points.
    async fn make_report(&mut self) -> Result<(), DeviceError> {
        let Some(work) = &self.work else { return Ok(()) };
        let turn = work.turn;
        let (number, hour) = self.weather.report(self.role.device, self.role.devices, turn);
        let mut changes = vec![
            ("weather/hour", Scalar::I64(i64::try_from(number).unwrap_or(i64::MAX))),
            ("weather/pressure", Scalar::F64(hour.pressure)),
            ("weather/temperature", Scalar::F64(hour.temperature)),
            ("weather/wind", Scalar::F64(hour.wind)),
        ];
        if turn.is_multiple_of(HOST_EVERY_TURNS) {
            let host = Host::now()?;
            changes.push(("host/load1", Scalar::F64(host.load1)));
            changes.push(("host/mem_available_kb", Scalar::I64(host.mem_available_kb)));
        }
        if let Some(valve) = self.edge.get("setpoint/valve").await? {
            changes.push(("status/valve", valve));
        }
        let every = match self.edge.get("setpoint/interval_s").await? {
            Some(Scalar::I64(seconds)) => Duration::from_secs(u64::try_from(seconds).unwrap_or(1).max(1)),
            _ => REPORT_EVERY,
        };
        let receipt = self.write(Some(turn), changes).await?;
        if turn % RECEIPT_EVERY_TURNS == RECEIPT_EVERY_TURNS - 1 {
            self.await_receipt(receipt);
        }
        if let Some(work) = &mut self.work {
            work.turn += 1;
            work.next_at = if work.is_hurrying { Instant::now() } else { work.next_at + every };
        }
        Ok(())
    }

    /// One transaction of what has changed, and the reports about it.
    async fn write(
        &mut self,
        turn: Option<u64>,
        mut changes: Vec<(&'static str, Scalar)>,
    ) -> Result<Receipt, DeviceError> {
        changes.retain(|(path, value)| self.told.get(*path) != Some(&Json::from(value.clone())));
        let cells: Cells =
            changes.iter().map(|(path, value)| ((*path).to_owned(), value.clone().into())).collect();
        report(&EdgeReport::Writing { at_ms: now_ms(), turn, cells: cells.clone() })?;
        let transaction = changes
            .into_iter()
            .fold(Transaction::new(), |transaction, (path, value)| transaction.set(path, value));
        let receipt = self.edge.update(transaction).await?;
        self.written += 1;
        report(&EdgeReport::Durable { through: self.written })?;
        // A set-point belongs to both sides: what stands there may be another one meanwhile.
        self.told.extend(cells.into_iter().filter(|(path, _)| !path.starts_with("setpoint/")));
        Ok(receipt)
    }

    /// Reports when the aggregator has everything up to here on its disk.
    fn await_receipt(&self, receipt: Receipt) {
        let (through, receipts) = (self.written, self.receipts.clone());
        tokio::spawn(async move {
            match receipt.durable_at_aggregator().await {
                // It fails when the process ends.
                Ok(()) => drop(receipts.send(through).await),
                Err(error) => tracing::warn!(%error, through, "no receipt"),
            }
        });
    }

    /// Reports what has changed about the connection.
    async fn look(&mut self) -> Result<(), DeviceError> {
        let status = self.edge.status().await?;
        if status.connected != self.is_connected {
            self.is_connected = status.connected;
            report(&EdgeReport::Link { is_connected: status.connected })?;
        }
        let cost = Cost {
            sent_payload_bytes: status.payload_bytes_sent,
            received_payload_bytes: status.payload_bytes_received,
        };
        if cost != self.cost {
            self.cost = cost;
            report(&EdgeReport::Cost(cost))?;
        }
        Ok(())
    }
}

/// The document as leaves.
async fn cells(edge: &Edge) -> Result<Cells, EdgeError> {
    Ok(edge.tree(None).await?.as_ref().map_or_else(Cells::new, leaves))
}

/// Reports between two that tell of the machine too.
const HOST_EVERY_TURNS: u64 = 5;
const LOOK_EVERY: Duration = Duration::from_millis(200);
const RECEIPTS_MAX: usize = 64;
/// Reports between two whose receipt is waited for. A receipt covers all before it.
const RECEIPT_EVERY_TURNS: u64 = 5;
/// Where no set-point says otherwise.
const REPORT_EVERY: Duration = Duration::from_secs(1);
