//! What the rivals cost, measured by the same workloads and scenarios as ours.
//!
//! A workspace of its own, because nothing else needs what it builds. Workloads, scenarios and programs are those of the
//! crate `benches`; the rivals are set up as their own documentation advises.
//!
//! | module | what |
//! |---|---|
//! | [`systems`] | documents: Automerge, Loro, Yrs |
//! | [`link`] | transports: quinn's core as it comes, MQTT |

pub mod link;
pub mod systems;
