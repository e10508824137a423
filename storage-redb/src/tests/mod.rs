//! Tests of the whole store: power cuts, damage at rest, disks that fail, files that are none.

mod crash;
mod creation;
mod damage;
mod failures;
mod model;
mod opening;
