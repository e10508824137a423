//! A document that takes its arguments as keys of a map and syncs with a second copy by version vectors.

use std::io::Write;

use loro::{ExportMode, LoroDoc, VersionVector};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (device, cloud) = (LoroDoc::new(), LoroDoc::new());
    for argument in std::env::args() {
        device.get_map("map").insert(&argument, argument.as_str())?;
    }
    device.commit();
    let known = cloud.oplog_vv().encode();
    let update = device.export(ExportMode::updates(&VersionVector::decode(&known)?))?;
    cloud.import(&update)?;
    let mut out = std::io::stdout();
    for key in cloud.get_map("map").keys() {
        out.write_all(key.as_bytes())?;
    }
    Ok(())
}
