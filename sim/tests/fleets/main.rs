//! The real core and the real transport in virtual time: stories by hand, random histories, whole fleets, and what
//! surrounds a device in the field.

#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

mod histories;
mod stories;
mod surroundings;
mod world;
