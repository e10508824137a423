//! What all systems can do.

use std::any::Any;

use serde_json::Value;

use super::Godwit;

/// A system that is measured.
#[derive(Clone, Copy, Debug)]
pub struct Contender {
    /// As the tables call it.
    pub name: &'static str,
    /// Two empty copies of one document, not connected.
    pub pair: fn() -> Box<dyn System>,
}

/// Ours.
pub const GODWIT: Contender = Contender { name: "godwit", pair: || Box::new(Godwit::default()) };

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

/// `map/key` and what is written there.
pub type Values = [(String, Scalar)];

/// Two copies of one document.
pub trait System {
    /// Sets each `map/key`, in one transaction.
    fn write(&mut self, side: Side, values: &Values);
    /// Time passes on both sides, in milliseconds.
    fn wait(&mut self, ms: u64);
    /// A new connection, without any state of the old one.
    fn reconnect(&mut self);
    /// Each of `writers` is a further replica, which knows nothing of the others: both sides get what it wrote.
    fn join_writers(&mut self, writers: &[Vec<(String, Scalar)>]);
    /// What `side` wants to send now.
    fn send(&mut self, side: Side) -> Vec<Vec<u8>>;
    /// The device wants to know what is durable at the cloud; a system without such a word answers by itself, or never.
    fn ask(&mut self) {}
    /// A message of the other side reaches `side`.
    fn receive(&mut self, side: Side, message: &[u8]);
    /// The document of `side`, as JSON.
    fn json(&mut self, side: Side) -> Value;
    /// The device's copy alone, boxed; everything else is dropped.
    fn into_device(self: Box<Self>) -> Box<dyn Any>;

    /// The newest change of the device as a message that needs no answer, for a one-way stream of changes.
    fn send_change(&mut self) -> Vec<Vec<u8>> {
        self.send(Side::Device)
    }

    /// Merges such a message at the cloud.
    fn receive_change(&mut self, message: &[u8]) {
        self.receive(Side::Cloud, message);
    }

    /// Talks until both sides are silent. Payload bytes of both directions.
    fn settle(&mut self) -> usize {
        let mut bytes = 0;
        loop {
            let mut silent = true;
            for (from, to) in [(Side::Device, Side::Cloud), (Side::Cloud, Side::Device)] {
                for message in self.send(from) {
                    silent = false;
                    bytes += message.len();
                    self.receive(to, &message);
                }
            }
            if silent {
                return bytes;
            }
        }
    }
}

/// Splits `map/key`.
///
/// # Panics
/// Without a slash: workloads write nothing else.
pub fn split(path: &str) -> (&str, &str) {
    path.split_once('/').expect("workloads write to map/key")
}

/// Ids that are as long as random ones and the same in each run: splitmix64, Steele et al. (2014).
pub fn id(n: u64) -> u64 {
    let z = n.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// Number of the device, for [`id`].
pub const DEVICE: u64 = 1;
/// Number of the cloud, for [`id`].
pub const CLOUD: u64 = 2;
/// Number of the first further writer, for [`id`].
pub const FIRST_WRITER: u64 = 16;
