//! What the supervisor knows of one device.

use sim::access_link::Traffic;
use transport_quic::PublicKey;

use super::cells::{Cells, differences};
use super::display::{Condition, Row};
use super::journal::Journal;
use super::process::Process;
use super::protocol::{Cost, EdgeOrder, EdgeReport};
use super::report::DeviceSummary;

/// One device, its process or not.
#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) number: u32,
    pub(crate) name: String,
    pub(crate) process: Option<Process<EdgeOrder>>,
    pub(crate) journal: Journal,
    pub(crate) key: Option<PublicKey>,
    /// What the store held when the process was started; none before it is open.
    pub(crate) stored: Option<Cells>,
    /// The document, as it was told last.
    pub(crate) cells: Option<Cells>,
    pub(crate) is_connected: bool,
    pub(crate) is_cut_off: bool,
    pub(crate) is_killed: bool,
    pub(crate) is_resting: bool,
    /// What was done to it, for the table.
    pub(crate) fate: &'static str,
    /// From the last change until the copies were equal.
    pub(crate) converged_ms: Option<u64>,
    pub(crate) traffic: Traffic,
    /// Whether the traffic was told since it was asked for.
    pub(crate) has_traffic: bool,
    /// Of the present process, and of those before it.
    cost: Cost,
    cost_before: Cost,
    next_turn: u64,
}

impl Device {
    pub(crate) fn new(number: u32) -> Self {
        Self {
            number,
            name: format!("device-{:02}", number + 1),
            process: None,
            journal: Journal::default(),
            key: None,
            stored: None,
            cells: None,
            is_connected: false,
            is_cut_off: false,
            is_killed: false,
            is_resting: false,
            fate: "",
            converged_ms: None,
            traffic: Traffic::default(),
            has_traffic: false,
            cost: Cost::default(),
            cost_before: Cost::default(),
            next_turn: 0,
        }
    }

    pub(crate) fn begin_process(&mut self, process: Process<EdgeOrder>) {
        self.process = Some(process);
        self.journal.process_started();
        self.stored = None;
    }

    pub(crate) fn process_ended(&mut self) {
        self.process = None;
        self.is_connected = false;
        self.cost_before = self.cost_before + self.cost;
        self.cost = Cost::default();
    }

    /// A device without a process does nothing.
    pub(crate) async fn order(&mut self, order: &EdgeOrder) {
        if let Some(process) = &mut self.process {
            process.order(order).await;
        }
    }

    /// Lets it make its reports, from the one that comes next.
    pub(crate) async fn work(&mut self) {
        let turn = self.next_turn;
        self.order(&EdgeOrder::Work { turn }).await;
    }

    pub(crate) fn take(&mut self, report: EdgeReport, now_ms: u64) {
        match report {
            EdgeReport::Acknowledged { through } => self.journal.acknowledged(through),
            EdgeReport::Cost(cost) => self.cost = cost,
            EdgeReport::Document { cells } => self.cells = Some(cells),
            EdgeReport::Durable { through } => self.journal.durable(through, now_ms),
            EdgeReport::Link { is_connected } => self.is_connected = is_connected,
            EdgeReport::Ready { key, cells } => {
                self.key = Some(key);
                self.stored = Some(cells);
            }
            EdgeReport::Resting => self.is_resting = true,
            EdgeReport::Writing { at_ms, turn, cells } => {
                if let Some(turn) = turn {
                    self.next_turn = turn + 1;
                }
                self.journal.device_writes(at_ms, cells);
            }
        }
    }

    /// Notes if its document is equal to the aggregator's copy.
    pub(crate) fn compare(&mut self, copy: &Cells, now_ms: u64) {
        if self.converged_ms.is_none() && self.cells.as_ref() == Some(copy) {
            self.converged_ms = Some(now_ms.saturating_sub(self.journal.last_change_ms()));
        }
    }

    pub(crate) fn row(&self) -> Row {
        let condition = match self {
            Self { is_killed: true, .. } => Condition::Killed,
            Self { is_cut_off: true, .. } => Condition::CutOff,
            Self { converged_ms: Some(_), .. } => Condition::Converged,
            Self { is_connected: true, .. } => Condition::Connected,
            _ => Condition::Offline,
        };
        Row {
            name: self.name.clone(),
            condition,
            updates: self.journal.device_updates() + self.journal.cloud_updates(),
            acknowledged: self.journal.acknowledged_updates(),
            ip_bytes: self.traffic.carried_ip_bytes(),
        }
    }

    pub(crate) fn summary(&self, copy: &Cells) -> DeviceSummary {
        let different = self.cells.as_ref().map_or_else(Vec::new, |cells| differences(cells, copy));
        let cost = self.cost_before + self.cost;
        DeviceSummary {
            name: self.name.clone(),
            updates_by_device: self.journal.device_updates(),
            updates_by_cloud: self.journal.cloud_updates(),
            cells_written: self.journal.device_cells(),
            payload_bytes: cost.sent_payload_bytes + cost.received_payload_bytes,
            ip_bytes: self.traffic.carried_ip_bytes(),
            converged_ms: self.converged_ms,
            different: different.into_iter().map(str::to_owned).collect(),
            fate: self.fate,
        }
    }
}
