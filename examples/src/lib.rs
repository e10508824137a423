//! Parts that the demo programs share.

pub mod relay;
