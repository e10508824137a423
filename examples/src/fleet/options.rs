//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use sim::link_profiles::Link;
use transport_quic::PublicKey;

/// Starts an aggregator, a relay that behaves like a cellular network, and edge nodes, all as real processes over real
/// UDP. They replay weather and this machine's load, are cut off, edited from both sides, killed and restarted. The end
/// is a proof: every copy is equal, and nothing that was acknowledged is missing.
#[derive(Debug, Parser)]
#[command(name = "fleet", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
pub(crate) struct Command {
    #[command(flatten)]
    options: Options,
    #[command(subcommand)]
    role: Option<Role>,
}

/// What a person can choose.
#[derive(Debug, Clone, Args)]
pub(crate) struct Options {
    /// Number of edge nodes.
    #[arg(long, default_value_t = 12, value_parser = clap::value_parser!(u32).range(1..=100))]
    pub devices: u32,

    /// How long they work before everything has to converge, in seconds.
    #[arg(long, default_value_t = 35, value_parser = clap::value_parser!(u32).range(4..=86_400))]
    pub seconds: u32,

    /// The link of each device: cat-m1, nb-iot, lte or loopback.
    #[arg(long, default_value_t = Link::CatM1)]
    pub link: Link,

    /// Decides which devices are cut off and killed, the set-points, and the accidents of the links.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,

    /// UDP port of the aggregator; 0 for any free one.
    #[arg(long, default_value_t = 0)]
    pub port: u16,

    /// Print one JSON object instead of the table.
    #[arg(long)]
    pub json: bool,

    /// Keep the stores and sockets, and say where they are.
    #[arg(long)]
    pub keep: bool,
}

/// What a process of the fleet is; how the program starts itself again.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Serve all documents.
    #[command(name = "role-aggregator", hide = true)]
    Aggregator(AggregatorRole),
    /// Be one device.
    #[command(name = "role-edge", hide = true)]
    Edge(EdgeRole),
    /// Be the links of all devices.
    #[command(name = "role-relay", hide = true)]
    Relay(RelayRole),
}

/// Arguments of the aggregator's process.
#[derive(Debug, Args)]
pub(crate) struct AggregatorRole {
    /// Where the store and the control socket go.
    #[arg(long)]
    pub directory: PathBuf,
    /// UDP port; 0 for any free one.
    #[arg(long)]
    pub port: u16,
}

/// Arguments of a device's process.
#[derive(Debug, Args)]
pub(crate) struct EdgeRole {
    /// Where the store is.
    #[arg(long)]
    pub directory: PathBuf,
    /// Number of the device, from 0.
    #[arg(long)]
    pub device: u32,
    /// Number of all devices.
    #[arg(long)]
    pub devices: u32,
    /// Name of its document.
    #[arg(long)]
    pub document: String,
    /// Where the device sends to.
    #[arg(long)]
    pub aggregator: SocketAddr,
    /// The aggregator's key.
    #[arg(long)]
    pub key: PublicKey,
}

/// Arguments of the relay's process.
#[derive(Debug, Args)]
pub(crate) struct RelayRole {
    /// The aggregator's UDP address.
    #[arg(long)]
    pub upstream: SocketAddr,
    /// Number of devices.
    #[arg(long)]
    pub devices: u32,
    /// The link of each.
    #[arg(long)]
    pub link: Link,
    /// Decides accidents.
    #[arg(long)]
    pub seed: u64,
}

impl Command {
    /// What this process is: a part of the fleet, or the one that runs it, which has options instead.
    pub(crate) fn into_role(self) -> Result<Role, Options> {
        self.role.ok_or(self.options)
    }
}

const EXAMPLES: &str = "\
Examples:
  fleet                                    twelve devices on Cat-M1, about 40 s
  fleet --devices 3 --seconds 6 --link loopback
  fleet --link nb-iot --seconds 60         round trips of seconds
  fleet --json | tail -n 1 | jq .ip_bytes_per_update

The exit code is 0 if all copies converged and nothing acknowledged was lost, 1 if not, 2 if the run failed.";
