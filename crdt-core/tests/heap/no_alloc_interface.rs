//! A transaction that is put together, and defaults, never allocate in fixed storage.

use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::types::Counter;
use crdt_core::{Config, CountingRng, Defaults, DocumentName, Fixed, Moment, Replica, Role, Value, path};

const DEFAULTS: Defaults =
    Defaults::new(&[("pump/mode", Value::Str("auto")), ("pump/setpoint", Value::F64(4.5))]);

#[derive(serde::Deserialize)]
struct Pump<'a> {
    mode: &'a str,
    setpoint: f32,
}

pub(crate) fn transactions_and_defaults_in_fixed_storage_never_allocate() {
    let _profiler = dhat::Profiler::builder().testing().build();
    // The counter works: a test that cannot fail is none.
    let before = dhat::HeapStats::get().total_blocks;
    drop(std::hint::black_box(vec![1_u8]));
    assert_eq!(dhat::HeapStats::get().total_blocks - before, 1);

    let before = dhat::HeapStats::get().total_blocks;
    type Small = Fixed<Cells<8>, Bytes<256>, Replicas<2>>;
    let name = DocumentName::new("pump").unwrap();
    let mut pump = Replica::<Small, _>::new(&name, Config::new(Role::Member), CountingRng::new(1));
    for round in 0..10 {
        let mut transaction = pump.transaction();
        transaction.set(path!("pump/setpoint"), round).unwrap().delete(path!("pump/mode")).unwrap();
        // Made after the transaction that borrows it.
        let starts = Counter::at(path!("starts")).unwrap().add(transaction.document(), 1).unwrap();
        transaction.write(starts.write()).unwrap();
        assert_eq!(transaction.get(path!("pump/setpoint")), Some(Value::I64(round)));
        assert!(transaction.node(path!("starts")).is_some());
        while transaction.delete(path!("a")).is_ok() {}
        transaction.commit(Moment::new(1_000)).unwrap();

        let shown = DEFAULTS.over(pump.document());
        assert_eq!(shown.get(path!("pump/mode")), Some(Value::Str("auto")));
        assert_eq!(shown.iter(None).count(), 3);
        let read: Pump<'_> = shown.read(path!("pump")).unwrap();
        assert_eq!((read.mode, read.setpoint), ("auto", round as f32));
    }
    assert_eq!(dhat::HeapStats::get().total_blocks - before, 0, "allocations");
}
