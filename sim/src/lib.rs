//! Seeded virtual time and network: a fleet of devices in one thread, the same run each time.
//!
//! Not a packet simulator for radio engineers: links are queues with delays and accidents, and a radio that sleeps. Not a
//! mock either: real protocol code runs on it, sees real addresses and datagrams, and is told the time.
//!
//! ```
//! use sim::clock::SimTime;
//! use sim::link_profiles::Link;
//! use sim::network::Network;
//!
//! let mut network = Network::new(42);
//! let device = network.attach("10.0.0.2:5000".parse()?, Link::CatM1.profile().lossless())?;
//! let server = network.attach("192.0.2.1:4433".parse()?, Link::Loopback.profile())?;
//!
//! network.send(SimTime::ZERO, device, network.public_addr(server), b"hello".to_vec());
//! // The loop around it: go to the next event of anyone, hand out what arrives, let nodes answer.
//! while let Some(now) = network.next_event() {
//!     while let Some(delivery) = network.deliver(now) {
//!         assert_eq!((delivery.node, delivery.bytes.as_slice()), (server, b"hello".as_slice()));
//!         // Half a second to wake the radio, 60 to 180 ms on the way.
//!         assert!((560..700).contains(&now.as_ms()));
//!     }
//! }
//! // A data plan is charged for headers as well.
//! assert_eq!(network.traffic(device).uplink.carried.ip_bytes, 5 + 28);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A world of nodes has timers besides: the loop then goes to the earliest of [`next_event`] and of their timeouts, which
//! [`Clock`] translates from the [`Instant`](std::time::Instant)s that protocol machines use.
//!
//! # Layers
//!
//! Each uses only what stands above it.
//!
//! | Module | What it is |
//! |---|---|
//! | [`clock`] | virtual time, instants, what devices believe the date to be |
//! | [`rng`] | seeded streams of random numbers, probabilities |
//! | [`radio`] | when a radio is reached, and how long it was in which state |
//! | [`link_profiles`] | what a link does, and `cat-m1`, `nb-iot`, `lte`, `loopback` with their sources |
//! | [`coverage`] | coverage classes of those links, and how they change |
//! | [`mobility`] | devices that change their cell |
//! | [`nat`] | a carrier's NAT: mappings that time out |
//! | [`pipe`] | one direction of a link as pure arithmetic |
//! | [`outages`] | when a node is cut off, by hand or from a schedule |
//! | [`access_link`] | both directions of a node, its radio, what it is charged for |
//! | [`network`] | many nodes, their addresses, datagrams under way |
//! | [`history`] | random histories of replicas with every fault, and what must hold at their end |
//! | [`world`] | an aggregator and its devices: the real replica and the real transport on all of the above |
//!
//! # Determinism
//!
//! A run follows from its seed and the calls made: one thread, no host clock, no iteration over a randomly keyed map, and
//! randomness from a fixed algorithm ([`rng`]). Each link direction draws from its own stream, so what one node sends does
//! not change the luck of another.
//!
//! [`next_event`]: network::Network::next_event
//! [`Clock`]: clock::Clock

pub mod access_link;
pub mod clock;
pub mod coverage;
pub mod history;
pub mod link_profiles;
pub mod mobility;
pub mod nat;
pub mod network;
pub mod outages;
pub mod pipe;
pub mod radio;
pub mod rng;
pub mod world;
