//! The rivals, each set up as its own documentation advises, behind the trait of `benches`.

mod automerge;
mod loro;
mod yrs;

use benches::systems::{Contender, GODWIT};

pub use automerge::Automerge;
pub use loro::Loro;
pub use yrs::Yrs;

/// Automerge 0.12.
pub const AUTOMERGE: Contender = Contender { name: "automerge", pair: || Box::new(Automerge::default()) };
/// Loro 1.17.
pub const LORO: Contender = Contender { name: "loro", pair: || Box::new(Loro::default()) };
/// Yrs 0.28, the Rust port of Yjs.
pub const YRS: Contender = Contender { name: "yrs", pair: || Box::new(Yrs::default()) };

/// All of them, ours first.
pub const CONTENDERS: [Contender; 4] = [GODWIT, AUTOMERGE, LORO, YRS];
