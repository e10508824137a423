//! What a peer can make the other side do with a few bytes.

use anyhow::ensure;
use crdt_core::Role;

use super::{Cost, End, Workload, median, settle, timed};

/// Asks for cells.
pub const WANT: Workload = Workload {
    name: "want",
    unit: "cells",
    what: "a frame of 8 bytes that asks for a cell of a document; a session may send 576, further ones cost nothing",
    sizes: &[1_000, 10_000, 100_000],
    measure: |cells| {
        let mut cloud = End::new(0, Role::Aggregator)?;
        let mut device = End::new(1, Role::Member)?;
        for n in 0..cells {
            cloud.write(&format!("site{:03}/unit{:03}/value", n / 1_000, n % 1_000), i64::try_from(n)?)?;
        }
        let (up, down) = (device.connect(cloud.peer, true)?, cloud.connect(device.peer, false)?);
        settle((&mut device, up), (&mut cloud, down))?;
        // A repair begins here, with a salt and nothing else.
        cloud.take(down, &[0, 0x0F, 1, 7, 7, 7, 7, 0])?;
        cloud.frames();
        let spent = median(15, |round| {
            let [low, ..] = round.to_le_bytes();
            timed(|| {
                cloud.take(down, &[0, 0x0F, 0, 1, 0x20, low, 5, 9])?;
                cloud.frames();
                Ok(())
            })
        })?;
        ensure!(cloud.replica.repairs().searches == 15, "each of them was a search");
        Ok(Cost::Each(spent))
    },
};
