//! What a metered link is charged, headers and acknowledgements included, measured the same way for every system.
//!
//! A device and an aggregator hold one document each and talk over a simulated access link, in virtual time: real
//! replicas, real QUIC, real TLS, and a network that counts every IP packet both ways. The rivals are in `benches/rivals`.
//!
//! | module | what |
//! |---|---|
//! | [`Transport`] | one connection of a device, its bytes and times |
//! | [`Ours`] | ours |
//! | [`World`] | both ends, their disks and the link between them |
//! | [`scenario`] | what is played, and what is charged for it |
//! | [`report`] | tables and JSON lines |
//! | [`program`] | what prints them, for as many systems as it is given |
//!
//! # What is counted
//!
//! `ip_bytes` is what was put on the link in both directions, in packets that fit it: IP and UDP headers, repetitions and
//! packets that got lost included. A packet above the link's MTU never leaves the device or the operator's core, and costs
//! nothing.
//!
//! Exchanges are measured on a link that loses nothing, so that their figure is what one exchange costs; months and days
//! with the losses of the profile. Both repeat exactly.

mod ours;
pub mod program;
pub mod report;
pub mod scenario;
mod transport;
mod world;

pub use ours::Ours;
pub use scenario::{GODWIT, LinkSystem, Measured, Method, SCENARIOS, Scenario};
pub use transport::{Transport, TransportEvent};
pub use world::{COMMIT, Counts, Exchange, World};
