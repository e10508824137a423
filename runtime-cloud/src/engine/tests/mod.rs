//! The engine in virtual time: devices are real replicas, the network and the disk are the test's.

mod commits;
mod devices;
mod people;
mod world;
