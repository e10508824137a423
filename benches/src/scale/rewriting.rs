//! Cells that are written again under another stamp, all of them while one frame is taken.

use anyhow::ensure;
use crdt_core::{CellRecord, Config, CountingRng, Heap, Moment, Path, Replica, Role};

use super::{Cost, End, Workload, settle, timed};

/// Nobody will ever claim them.
pub const REISSUE: Workload = Workload {
    name: "reissue",
    unit: "cells",
    what: "the frame by which an aggregator learns that the writer of so many cells is gone",
    sizes: &[2_500, 5_000, 20_000],
    measure: |cells| {
        let (mut cloud, mut device) = (End::new(0, Role::Aggregator)?, End::new(1, Role::Member)?);
        device.frame_len = 1_024;
        for n in 0..cells {
            device.now_ms += 1;
            device.write(&format!("log/{n:06}"), i64::try_from(n)?)?;
        }
        cloud.now_ms = device.now_ms;
        let (_, down) = (device.connect(cloud.peer, true)?, cloud.connect(device.peer, false)?);
        let frames = device.frames();
        // All but the last frame, which has the claim.
        for (_, frame) in &frames[..frames.len() - 1] {
            cloud.take(down, frame)?;
            cloud.frames();
        }
        // The device was wiped, and comes under another id.
        let mut wiped = End::new(2, Role::Member)?;
        (wiped.peer, wiped.now_ms) = (device.peer, device.now_ms);
        cloud.replica.disconnect(down);
        let (_, down) = (wiped.connect(cloud.peer, true)?, cloud.connect(wiped.peer, false)?);
        let frames = wiped.frames();
        let before = cloud.replica.document().seq();
        let spent = timed(|| frames.iter().try_for_each(|(_, frame)| cloud.take(down, frame)))?;
        let again = cloud.replica.document().seq() - before;
        ensure!(again as usize > cells / 10 * 9, "{again} of {cells} cells were written again");
        Ok(Cost::Each(spent))
    },
};

/// The own writes since an old backup.
pub const FORK: Workload = Workload {
    name: "fork",
    unit: "cells",
    what: "the frame by which a device learns that it is an old copy, after so many writes since",
    sizes: &[2_500, 5_000, 20_000],
    measure: |cells| {
        let (mut cloud, mut device) = (End::new(0, Role::Aggregator)?, End::new(1, Role::Member)?);
        device.write("log/first", 1)?;
        let image = image(&device)?;
        device.write("log/second", 2)?;
        let (up, down) = (device.connect(cloud.peer, true)?, cloud.connect(device.peer, false)?);
        settle((&mut device, up), (&mut cloud, down))?;
        device.replica.disconnect(up);
        cloud.replica.disconnect(down);
        // The old image runs, and writes.
        let mut old = End::of(load(&image, CountingRng::new(u64::MAX / 3), device.moment())?, 1);
        (old.peer, old.now_ms) = (device.peer, device.now_ms + 1_000);
        for n in 0..cells {
            old.now_ms += 1;
            old.write(&format!("log/{n:06}"), i64::try_from(n)?)?;
        }
        cloud.now_ms = old.now_ms;
        let (up, down) = (old.connect(cloud.peer, true)?, cloud.connect(old.peer, false)?);
        for (_, frame) in old.frames() {
            cloud.take(down, &frame)?;
        }
        let frames = cloud.frames();
        let id = old.replica.id();
        let spent = timed(|| frames.iter().take(1).try_for_each(|(_, frame)| old.take(up, frame)))?;
        ensure!(old.replica.id() != id, "it goes on under another id");
        Ok(Cost::Each(spent))
    },
};

/// What a disk holds.
struct Image {
    state: Vec<u8>,
    cells: Vec<(String, Vec<u8>)>,
}

fn image(end: &End) -> anyhow::Result<Image> {
    let mut buffer = vec![0; 1 << 16];
    let Some(len) = end.replica.state_record().encode(&mut buffer) else {
        anyhow::bail!("the state is too long")
    };
    let state = buffer[..len].to_vec();
    let cells = end.replica.document().changes_since(0).filter_map(|cell| {
        let len = CellRecord::encode(&cell, &mut buffer)?;
        Some((cell.path.to_owned(), buffer[..len].to_vec()))
    });
    Ok(Image { state, cells: cells.collect() })
}

fn load(image: &Image, rng: CountingRng, moment: Moment) -> anyhow::Result<Replica<Heap, CountingRng>> {
    let cells = image.cells.iter().map(|(path, record)| Ok(CellRecord::decode(Path::new(path)?, record)?));
    let cells = cells.collect::<anyhow::Result<Vec<_>>>()?;
    Ok(Replica::load(moment, Config::new(Role::Member), rng, &image.state, cells)?)
}
