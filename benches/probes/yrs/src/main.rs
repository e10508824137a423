//! A document that takes its arguments as keys of a map and syncs with a second copy by state vectors.

use std::io::Write;

use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Doc, Map, ReadTxn, StateVector, Transact, Update};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (device, cloud) = (Doc::new(), Doc::new());
    let (ours, theirs) = (device.get_or_insert_map("map"), cloud.get_or_insert_map("map"));
    for argument in std::env::args() {
        ours.insert(&mut device.transact_mut(), argument.clone(), argument);
    }
    let known = cloud.transact().state_vector().encode_v1();
    let update = device.transact().encode_diff_v1(&StateVector::decode_v1(&known)?);
    cloud.transact_mut().apply_update(Update::decode_v1(&update)?)?;
    let mut out = std::io::stdout();
    for key in theirs.keys(&cloud.transact()) {
        out.write_all(key.as_bytes())?;
    }
    Ok(())
}
