//! The aggregator's process.

use std::io;
use std::net::Ipv4Addr;

use runtime_cloud::{Options, Place, ServeError, Server};
use transport_quic::Config;

use super::options::AggregatorRole;
use super::process::role::{Orders, report};
use super::protocol::AggregatorReport;

/// Serves until the supervisor is gone. People and the supervisor speak to it through its control socket.
///
/// # Errors
/// [`ServeError`], and a supervisor that cannot be told.
pub(crate) async fn run(role: AggregatorRole) -> Result<(), AggregatorError> {
    let place = Place::new(&role.directory);
    let socket = place.socket.clone();
    let listen = (Ipv4Addr::LOCALHOST, role.port).into();
    let server = Server::start(Options { place, listen, transport: Config::cat_m1() }).await?;
    report(&AggregatorReport::Ready { addr: server.local_addr(), key: server.public_key(), socket })?;
    let mut orders = Orders::from_stdin();
    let stop = async {
        // There are no orders but the end.
        while let Ok(Some(())) = orders.next().await {}
    };
    Ok(server.run(stop).await?)
}

/// The aggregator cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum AggregatorError {
    /// The supervisor cannot be told.
    #[error("no reports: {0}")]
    Io(#[from] io::Error),
    /// The server.
    #[error(transparent)]
    Serve(#[from] ServeError),
}
