//! Structs of scalars and fixed strings are written and read without an allocation: all of the process are counted,
//! so this one runs without the test harness, whose own thread allocates when it pleases.
#![expect(clippy::unwrap_used, reason = "a failed unwrap is a failed test")]

use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{Config, DocumentName, Fixed, Moment, Path, Replica, ReplicaId, Role};
use serde::{Deserialize, Serialize};

#[global_allocator]
static ALLOCATOR: dhat::Alloc = dhat::Alloc;

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

fn main() {
    let name = DocumentName::new("pump").unwrap();
    let path = Path::new("pump/3").unwrap();
    let _profiler = dhat::Profiler::builder().testing().build();
    // The counter works: a test that cannot fail is none.
    let before = dhat::HeapStats::get().total_blocks;
    drop(std::hint::black_box(vec![1_u8]));
    assert_eq!(dhat::HeapStats::get().total_blocks - before, 1);

    let before = dhat::HeapStats::get().total_blocks;
    let mut replica = Replica::<Fixed<Cells<24>, Bytes<512>, Replicas<2>>>::new(
        &name,
        ReplicaId::new(1),
        Config::new(Role::Member),
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
        replica.write(Moment::new(1_000 + u64::from(round), 7), path, &pump).unwrap().unwrap();
        assert!(replica.document().read::<Pump<'_>>(path).unwrap() == pump);
        assert!(replica.write(Moment::new(2_000, 7), path, &pump).unwrap().is_none());
    }
    // Errors do not allocate either.
    assert!(replica.document().read::<Pump<'_>>(Path::new("pump").unwrap()).is_err());
    assert!(replica.document().read::<u8>(Path::new("pump/3/setpoint").unwrap()).is_err());
    assert!(replica.write(Moment::new(3_000, 7), path, &u64::MAX).is_err());
    let long = Calibration { offset: 0, factor: 0.0 };
    let full = ["a", "b", "c", "d", "e", "f", "g", "h"].iter().all(|key| {
        let mut path = heapless::String::<64>::try_from("calibrations/of/all/the/sensors/").unwrap();
        path.push_str(key).unwrap();
        replica.write(Moment::new(3_000, 7), Path::new(&path).unwrap(), &long).is_ok()
    });
    assert!(!full, "the room ends some time");
    assert_eq!(dhat::HeapStats::get().total_blocks - before, 0, "allocations");
}
