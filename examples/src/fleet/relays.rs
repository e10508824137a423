//! The relay's process: one [`Lane`] for each device.

use std::io;
use std::net::Ipv4Addr;

use sim::outages::Cut;

use super::options::RelayRole;
use super::process::role::{Orders, report};
use super::protocol::{RelayOrder, RelayReport};
use crate::relay::{Lane, LaneConfig, LaneError};

/// Carries datagrams until the supervisor is gone.
///
/// # Errors
/// No sockets, or orders that are none.
pub(crate) async fn run(role: RelayRole) -> Result<(), RelayError> {
    let mut lanes = Vec::new();
    for index in 0..role.devices {
        let config =
            LaneConfig { upstream: role.upstream, profile: role.link.profile(), seed: role.seed, index };
        lanes.push(Lane::start((Ipv4Addr::LOCALHOST, 0).into(), config).await?);
    }
    report(&RelayReport::Ready { lanes: lanes.iter().map(Lane::addr).collect() })?;
    let mut orders = Orders::from_stdin();
    while let Some(order) = orders.next().await? {
        match order {
            RelayOrder::Cut { device } => lane(&lanes, device)?.cut(Cut::Both).await?,
            RelayOrder::Restore { device } => lane(&lanes, device)?.restore().await?,
            RelayOrder::Traffic => {
                let mut traffic = Vec::new();
                for lane in &lanes {
                    traffic.push(lane.traffic().await?);
                }
                report(&RelayReport::Traffic { lanes: traffic })?;
            }
        }
    }
    Ok(())
}

/// The relay cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RelayError {
    /// The supervisor cannot be heard or told.
    #[error("no orders: {0}")]
    Io(#[from] io::Error),
    /// A lane failed.
    #[error(transparent)]
    Lane(#[from] LaneError),
    /// An order for a device that is not there.
    #[error("there is no device {device}: the last one is {}", devices - 1)]
    NoSuchDevice {
        /// The device asked for.
        device: u32,
        /// Number of devices.
        devices: usize,
    },
}

fn lane(lanes: &[Lane], device: u32) -> Result<&Lane, RelayError> {
    let index = usize::try_from(device).unwrap_or(usize::MAX);
    lanes.get(index).ok_or(RelayError::NoSuchDevice { device, devices: lanes.len() })
}
