//! Ours and the rivals, each set up as its own documentation advises, behind one trait.

mod automerge;
mod godwit;
mod loro;
mod system;
mod yrs;

pub use automerge::Automerge;
pub use godwit::Godwit;
pub use loro::Loro;
pub use system::{Name, Scalar, Side, System, Values};
pub use yrs::Yrs;
