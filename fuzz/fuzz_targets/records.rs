//! Any bytes as what a disk gives back.
#![no_main]

use crdt_core::{CellRecord, Config, CountingRng, Heap, Moment, Path, Replica, Role};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<u8>, Vec<(String, Vec<u8>)>)| {
    let (state, records) = input;
    let cells: Vec<_> = records
        .iter()
        .filter_map(|(path, record)| CellRecord::decode(Path::new(path).ok()?, record).ok())
        .collect();
    if let Ok(replica) = Replica::<Heap, _>::load(
        Moment::new(1),
        Config::new(Role::Member),
        CountingRng::new(1),
        &state,
        cells,
    ) {
        replica.document().check_invariants().expect("invariants");
        let again = replica.state_record().to_vec();
        Replica::<Heap, _>::load(
            Moment::new(1),
            Config::new(Role::Member),
            CountingRng::new(1),
            &again,
            replica.document().cells(),
        )
        .expect("what was loaded can be saved and loaded");
    }
});
