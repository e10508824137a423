//! Parts that the demo programs share.

pub mod fleet;
pub mod relay;
