//! The types built from cells never allocate in fixed storage: every allocation of the process is counted.

use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::types::{Counter, List, Record, Set};
use crdt_core::{Document, DocumentName, Fixed, Limits, Moment, Path, ReplicaId, Value};

type Small = Fixed<Cells<64>, Bytes<2048>, Replicas<4>>;

pub(crate) fn no_type_allocates_in_fixed_storage() {
    let name = DocumentName::new("pump").unwrap();
    let path = |text| Path::new(text).unwrap();
    let _profiler = dhat::Profiler::builder().testing().build();
    // The counter works: a test that cannot fail is none.
    let before = dhat::HeapStats::get().total_blocks;
    drop(std::hint::black_box(vec![1_u8]));
    assert_eq!(dhat::HeapStats::get().total_blocks - before, 1);

    let before = dhat::HeapStats::get().total_blocks;
    let mut document = Document::<Small>::new(&name, ReplicaId::new(1), Limits::default());
    let starts = Counter::at(path("starts")).unwrap();
    let alarms = Set::at(path("alarms"));
    let program = List::at(path("program")).unwrap();
    let depot = Record::<(f64, f64)>::at(path("depot"));
    let mut buffer = [0; 16];
    for round in 0..10_u64 {
        let started = starts.add(&document, 1).unwrap();
        let raised = alarms.insert("dry/run").unwrap();
        let moved = depot.encode(&(round as f64, 8.5), &mut buffer).unwrap();
        let moment = Moment::new(1_000 + round);
        document.update(moment, &[started.write(), raised.write(), moved]).unwrap();
        let valve = program.insert(&document, round, 0, round as i64).unwrap();
        document.update(moment, &valve.writes()).unwrap();
        let last = program.move_to(&document, valve.id(), round as usize).unwrap();
        document.update(moment, &last.writes()).unwrap();
    }
    assert_eq!(starts.value(&document), Ok(10));
    document.update(Moment::new(0), &starts.reset(&document).unwrap().writes()).unwrap();
    assert_eq!(starts.value(&document), Ok(0));
    assert!(alarms.iter(&document).any(|alarm| &*alarm == "dry/run"));
    assert_eq!(depot.read(&document), Ok(Some((9.0, 8.5))));
    assert!(program.iter(&document).map(|valve| valve.value).eq((0..10).map(|i| Some(Value::I64(i)))));
    let after = dhat::HeapStats::get().total_blocks;
    assert_eq!(after - before, 0, "allocations");
}
