//! When changes are sent: rules by path, and the gate that they open.
//!
//! The headers of a packet dominate the price of a small change, so what may wait should wait for company, and what is
//! overwritten meanwhile is never sent. A [`Rule`] says for the paths at a prefix and below how long a change may wait,
//! how it stands to the budget, and how small a change of a number is none. An equal value is no change under any rule. A
//! [`Policy`] has the rules of one document:
//! those of the command line, and those that stand in the document itself, which the cloud can change. The [`Gate`] is
//! one for all documents of a device: while it is shut nothing is sent for the sake of changes alone, and when it opens
//! everything goes that waits, of all documents.
//!
//! What is sent is computed when it is sent. The gate decides *when*, and holds no values back for later.

mod dead_band;
mod gate;
mod report;
mod rule;
mod rules;

pub use dead_band::DeadBand;
pub(crate) use gate::{Before, Gate};
pub use report::{DocumentPolicy, RuleReport};
pub use rule::{DELAY_MAX, Priority, Rule, RuleError, Terms};
pub use rules::{BadRule, POLICY_PATH, Placed, Policy, RULES_MAX, Source};
