//! What a metered link is charged, headers and acknowledgements included, measured the same way for every system.
//!
//! A device and an aggregator hold one document each and talk over a simulated access link, in virtual time: real
//! replicas, real QUIC, real TLS, and a network that counts every IP packet both ways. MQTT cannot run in virtual time:
//! it runs between two network namespaces, whose interfaces count.
//!
//! | module | what |
//! |---|---|
//! | [`Transport`] | one connection of a device, its bytes and times |
//! | `ours`, `stock` | ours, and quinn's core as it comes |
//! | [`World`] | both ends, their disks and the link between them |
//! | [`namespaces`] | MQTT, and ours once more, where a kernel counts |
//! | [`report`] | tables and JSON lines |
//! | [`scenario`] | what is played, and what is charged for it |
//!
//! # What is counted
//!
//! `ip_bytes` is what was put on the link in both directions, in packets that fit it: IP and UDP headers, repetitions and
//! packets that got lost included. A packet above the link's MTU never leaves the device or the operator's core, and costs
//! nothing.
//!
//! Exchanges are measured on a link that loses nothing, so that their figure is what one exchange costs; months and days
//! with the losses of the profile. Both repeat exactly.

mod certificate;
pub mod namespaces;
mod ours;
pub mod report;
pub mod scenario;
mod stock;
mod transport;
mod world;

pub use ours::Ours;
pub use scenario::{LinkSystem, Measured, Method, SCENARIOS, Scenario};
pub use stock::Stock;
pub use transport::{Transport, TransportEvent};
pub use world::{COMMIT, Counts, Exchange, World};
