//! What documents cost on the wire, measured the same way for every system.
//!
//! A [`System`] is a device and a cloud that hold one document each and talk over a wire that counts payload bytes, both
//! ways, until both are silent. No transport is below: what QUIC or TCP add is measured elsewhere. Byte counts are exact
//! and repeat; they do not depend on the machine.

mod automerge;
mod godwit;
mod workload;

pub use automerge::Automerge;
pub use godwit::Godwit;
pub use workload::{WORKLOADS, Workload};

/// Which of the two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// The aggregator.
    Cloud,
    /// The device, which opens the conversation.
    Device,
}

/// A value of the documents measured.
#[derive(Clone, Debug, PartialEq)]
pub enum Scalar {
    /// True or false.
    Bool(bool),
    /// A float.
    F64(f64),
    /// An integer.
    I64(i64),
    /// Text.
    Str(String),
}

/// Two replicas of one document.
pub trait System {
    /// As the tables call it.
    fn name(&self) -> &'static str;
    /// Sets `map/key` to each value, in one transaction.
    fn write(&mut self, side: Side, values: &[(String, Scalar)]);
    /// Time passes on both sides, in milliseconds.
    fn wait(&mut self, ms: u64);
    /// A new connection, without any state of the old one.
    fn reconnect(&mut self);
    /// Talks until both sides are silent. Payload bytes of both directions.
    fn settle(&mut self) -> usize;
    /// Whether both have the same now, and `map/key` of the cloud's copy.
    fn agree_on(&mut self, path: &str) -> Option<Scalar>;
}
