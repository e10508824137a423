//! Lines: devices that reach the aggregator through this edge, over a wire that carries bytes.
//!
//! Each line has a task of its own, which owns the port and the [link](transport_serial::Link) and knows nothing of
//! documents; the engine knows nothing of ports. Both directions are bounded: the task tells its device to wait while
//! the engine has not taken what came, and the engine asks the document for no frame that the task has no capacity for.

mod port;
mod task;

pub use port::{LineOptions, Port, PortError};
pub(crate) use task::{LineEvent, Lines};
