//! What documents and links cost, measured the same way for every system. The rivals are in `benches/rivals`.
//!
//! For documents, a [`System`](systems::System) is a device and a cloud that hold one document each and talk over a wire
//! that counts payload bytes, both ways, until both are silent. No transport is below: what QUIC or TCP add is measured by [`link`]. Byte counts are exact
//! and repeat; they do not depend on the machine. Rates do: they are only worth their ratio within one run.
//!
//! | module | what |
//! |---|---|
//! | [`systems`] | the trait of a system, and ours |
//! | [`workload`] | what is played on them, and what is measured of it |
//! | [`document`] | the program that prints it, for as many systems as it is given |
//! | [`binary_size`] | what linking them adds to a program |
//! | [`link`] | the same with a transport and a metered link below |
//! | [`plan`] | what a data plan is spent on |
//! | [`scale`] | how costs grow with cells, writes and members |
//! | [`report`] | tables and JSON lines |

pub mod binary_size;
pub mod document;
pub mod link;
pub mod plan;
pub mod report;
pub mod scale;
pub mod systems;
pub mod workload;
