//! A fleet of real processes on one machine: what the project is for, to look at.
//!
//! One program in four roles. The `supervisor` starts it again as `aggregator`, as relay (`relays`) and as each `edge`,
//! and speaks with them in lines (`process`, `protocol`). It carries out a `plan`, notes what everybody was promised
//! (`journal`), and in the end compares every document leaf by leaf (`cells`).

mod aggregator;
mod cells;
mod device;
mod display;
mod edge;
mod error;
mod host;
mod journal;
mod options;
mod plan;
mod process;
mod protocol;
mod relays;
mod report;
mod run;
mod supervisor;
mod weather;

pub use run::main;
