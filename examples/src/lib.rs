//! Demo programs, and the parts that they share.
//!
//! | program | what it shows |
//! |---|---|
//! | `fleet` | an aggregator, a relay and a dozen devices as real processes: cut off, edited, killed, converged |
//! | `hello_edge` | the edge runtime in a program of one's own, in thirty lines |
//! | `firmware_host` | the other end of `firmware`, a Cortex-M3 program that it runs in QEMU: `just firmware` |
//! | `fixed_device` | the core without heap, over a link that carries bytes |
//!
//! ```
//! use examples::relay::{Lane, LaneConfig};
//! use sim::link_profiles::Link;
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let upstream = "127.0.0.1:4433".parse()?;
//! let config = LaneConfig { upstream, profile: Link::NbIot.profile(), seed: 42, index: 0 };
//! let lane = Lane::start("127.0.0.1:0".parse()?, config).await?;
//! println!("a device that connects to {} has a slow link", lane.addr());
//! # Ok(())
//! # }
//! ```

pub mod firmware;
pub mod fleet;
pub mod relay;
