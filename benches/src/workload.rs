//! What is measured. Each workload plays the same writes on any system and gives the payload bytes of what it is named for.

use crate::{Scalar, Side, System};

/// A workload.
pub struct Workload {
    /// As the tables call it.
    pub name: &'static str,
    /// What it measures, in a line.
    pub what: &'static str,
    /// Plays it; payload bytes of both directions.
    pub run: fn(&mut dyn System) -> usize,
}

/// All of them, in the order of the tables.
pub const WORKLOADS: [Workload; 6] = [
    Workload {
        name: "one_int_in_session",
        what: "one small int changed, peers in session",
        run: one_int_in_session,
    },
    Workload {
        name: "one_int_reconnect",
        what: "the same, after a reconnect without kept state",
        run: one_int_reconnect,
    },
    Workload { name: "idle_reconnect", what: "reconnect, nothing changed", run: idle_reconnect },
    Workload { name: "full_sync", what: "all of W1 to an empty peer", run: full_sync },
    Workload {
        name: "day_one_key",
        what: "86,400 overwrites of one key offline, then sync",
        run: day_one_key,
    },
    Workload { name: "day_ten_keys", what: "the same over ten keys, interleaved", run: day_ten_keys },
];

const SMALL_INT: &str = "sense/report_period_s";
const QUARTER_HOUR_MS: u64 = 15 * 60 * 1000;
const DAY_S: u64 = 86_400;

fn w1() -> Vec<(String, Scalar)> {
    let json: serde_json::Value = serde_json::from_str(include_str!("../data/w1.json")).expect("W1 is JSON");
    let maps = json.as_object().expect("W1 is an object");
    let scalar = |value: &serde_json::Value| match value {
        serde_json::Value::Bool(b) => Scalar::Bool(*b),
        serde_json::Value::Number(number) => {
            number.as_i64().map_or_else(|| Scalar::F64(number.as_f64().expect("a number")), Scalar::I64)
        }
        other => Scalar::Str(other.as_str().expect("W1 has scalars only").to_owned()),
    };
    let cells = maps.iter().flat_map(|(map, keys)| {
        let keys = keys.as_object().expect("W1 has two levels");
        keys.iter().map(move |(key, value)| (format!("{map}/{key}"), scalar(value)))
    });
    cells.collect()
}

fn set(system: &mut dyn System, side: Side, path: &str, value: Scalar) {
    system.write(side, &[(path.to_owned(), value)]);
}

/// Both have W1 and are in conversation.
fn in_session(system: &mut dyn System) {
    system.write(Side::Device, &w1());
    system.reconnect();
    system.settle();
    check(system, SMALL_INT, Scalar::I64(60));
}

/// A figure of a sync that did not work is none.
fn check(system: &mut dyn System, path: &str, expected: Scalar) {
    let found = system.agree_on(path);
    assert_eq!(found.as_ref(), Some(&expected), "{} did not converge on {path}", system.name());
}

fn one_int_in_session(system: &mut dyn System) -> usize {
    in_session(system);
    // The third: by then each system has told what it tells once.
    let mut bytes = 0;
    for value in 1..4 {
        system.wait(QUARTER_HOUR_MS);
        set(system, Side::Device, SMALL_INT, Scalar::I64(value));
        bytes = system.settle();
    }
    check(system, SMALL_INT, Scalar::I64(3));
    bytes
}

fn one_int_reconnect(system: &mut dyn System) -> usize {
    in_session(system);
    system.wait(QUARTER_HOUR_MS);
    set(system, Side::Device, SMALL_INT, Scalar::I64(1));
    system.reconnect();
    let bytes = system.settle();
    check(system, SMALL_INT, Scalar::I64(1));
    bytes
}

fn idle_reconnect(system: &mut dyn System) -> usize {
    in_session(system);
    system.reconnect();
    system.settle()
}

fn full_sync(system: &mut dyn System) -> usize {
    system.write(Side::Device, &w1());
    system.reconnect();
    let bytes = system.settle();
    check(system, SMALL_INT, Scalar::I64(60));
    bytes
}

fn day_one_key(system: &mut dyn System) -> usize {
    day(system, 1)
}

fn day_ten_keys(system: &mut dyn System) -> usize {
    day(system, 10)
}

/// A write a second for a day, offline: a random walk of at most 0.05 a step, rounded to 0.01, over `keys` keys; the
/// cloud changes one other key meanwhile.
fn day(system: &mut dyn System, keys: u64) -> usize {
    in_session(system);
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    // xorshift64*: Marsaglia, "Xorshift RNGs" (2003); Vigna (2016).
    let mut next = move || {
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
    };
    let mut hundredths = 2_000_i64;
    for _ in 0..DAY_S {
        system.wait(1000);
        hundredths += (next() % 11) as i64 - 5;
        let path = format!("live/k{}", next() % keys);
        set(system, Side::Device, &path, Scalar::F64(hundredths as f64 / 100.0));
    }
    set(system, Side::Device, "live/k0", Scalar::F64(19.99));
    set(system, Side::Cloud, "net/port", Scalar::I64(1884));
    system.reconnect();
    let bytes = system.settle();
    check(system, "live/k0", Scalar::F64(19.99));
    check(system, "net/port", Scalar::I64(1884));
    bytes
}
