//! Ours, behind the trait that every system is measured by. The rivals are in `benches/rivals`.

mod godwit;
mod system;

pub use godwit::Godwit;
pub use system::{CLOUD, Contender, DEVICE, FIRST_WRITER, GODWIT, Scalar, Side, System, Values, id, split};
