//! Structs of scalars and fixed strings are written and read without an allocation: all of the process are counted.

use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{Config, CountingRng, DocumentName, Fixed, Moment, Path, Replica, Role};
use serde::{Deserialize, Serialize};

/// Settings of a pump on a microcontroller.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Pump<'a> {
    name: heapless::String<16>,
    site: &'a str,
    setpoint: f32,
    enabled: bool,
    letter: char,
    mode: Mode,
    max_starts: Option<u8>,
    calibration: Calibration,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum Mode {
    Auto,
    Manual { speed: u16 },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Calibration {
    offset: i32,
    factor: f64,
}

pub(crate) fn structs_in_fixed_storage_never_allocate() {
    let name = DocumentName::new("pump").unwrap();
    let path = Path::new("pump/3").unwrap();
    let _profiler = dhat::Profiler::builder().testing().build();
    // The counter works: a test that cannot fail is none.
    let before = dhat::HeapStats::get().total_blocks;
    drop(std::hint::black_box(vec![1_u8]));
    assert_eq!(dhat::HeapStats::get().total_blocks - before, 1);

    let before = dhat::HeapStats::get().total_blocks;
    let mut replica = Replica::<Fixed<Cells<24>, Bytes<512>, Replicas<2>>, _>::new(
        &name,
        Config::new(Role::Member),
        CountingRng::new(1),
    );
    let mut pump = Pump {
        name: heapless::String::try_from("north").unwrap(),
        site: "well 7",
        setpoint: 4.5,
        enabled: true,
        letter: 'n',
        mode: Mode::Auto,
        max_starts: Some(6),
        calibration: Calibration { offset: -3, factor: 1.02 },
    };
    for round in 0..10_u16 {
        pump.mode = if round % 2 == 0 { Mode::Auto } else { Mode::Manual { speed: round } };
        pump.max_starts = (round % 3 == 0).then_some(6);
        replica.write(Moment::new(1_000 + u64::from(round)), path, &pump).unwrap().unwrap();
        assert!(replica.document().read::<Pump<'_>>(path).unwrap() == pump);
        assert!(replica.write(Moment::new(2_000), path, &pump).unwrap().is_none());
    }
    // Errors do not allocate either.
    assert!(replica.document().read::<Pump<'_>>(Path::new("pump").unwrap()).is_err());
    assert!(replica.document().read::<u8>(Path::new("pump/3/setpoint").unwrap()).is_err());
    assert!(replica.write(Moment::new(3_000), path, &u64::MAX).is_err());
    let long = Calibration { offset: 0, factor: 0.0 };
    let full = ["a", "b", "c", "d", "e", "f", "g", "h"].iter().all(|key| {
        let mut path = heapless::String::<64>::try_from("calibrations/of/all/the/sensors/").unwrap();
        path.push_str(key).unwrap();
        replica.write(Moment::new(3_000), Path::new(&path).unwrap(), &long).is_ok()
    });
    assert!(!full, "the capacity ends some time");
    assert_eq!(dhat::HeapStats::get().total_blocks - before, 0, "allocations");
}
