//! The documents and histories that the workloads share.

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use super::Figure;
use super::Measured;
use crate::systems::{Contender, Scalar, Side, System};

/// The small int of the workloads.
pub(super) const SMALL_INT: &str = "sense/report_period_s";
pub(super) const QUARTER_HOUR_MS: u64 = 15 * 60 * 1000;
pub(super) const DAY_S: u64 = 86_400;

/// W1: four maps of ten scalars, in the order of the file.
pub(super) fn w1() -> Vec<(String, Scalar)> {
    let maps: InOrder<InOrder<Value>> =
        serde_json::from_str(include_str!("../../data/w1.json")).expect("W1 is JSON");
    let cells = maps.0.into_iter().flat_map(|(map, keys)| {
        keys.0.into_iter().map(move |(key, value)| (format!("{map}/{key}"), scalar(value)))
    });
    cells.collect()
}

pub(super) fn set(system: &mut dyn System, side: Side, path: &str, value: Scalar) {
    system.write(side, &[(path.to_owned(), value)]);
}

/// Both have W1, of which the cloud wrote one value anew, and are in conversation.
pub(super) fn in_session(who: Contender) -> Box<dyn System> {
    let mut system = (who.pair)();
    system.write(Side::Device, &w1());
    system.reconnect();
    system.settle();
    set(&mut *system, Side::Cloud, "meta/site", Scalar::Str("rotterdam-west".into()));
    system.settle();
    system
}

/// A write a second for a day: a random walk of at most 0.05 a step, rounded to 0.01, over `keys` keys.
pub(super) fn day(keys: u64) -> impl Iterator<Item = (String, Scalar)> {
    let mut random = 0x2545_f491_4f6c_dd1d_u64;
    // xorshift64*: Marsaglia, "Xorshift RNGs" (2003); Vigna (2016).
    let mut next = move || {
        random ^= random >> 12;
        random ^= random << 25;
        random ^= random >> 27;
        random.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33
    };
    let mut hundredths = 2_000_i64;
    (0..DAY_S).map(move |_| {
        hundredths += (next() % 11) as i64 - 5;
        (format!("live/k{}", next() % keys), Scalar::F64(hundredths as f64 / 100.0))
    })
}

/// A figure of a sync that did not work is none: both sides must have the same.
pub(super) fn agreed(who: Contender, system: &mut dyn System, figure: Figure) -> Measured {
    let (device, cloud) = (normal(system.json(Side::Device)), normal(system.json(Side::Cloud)));
    assert_eq!(device, cloud, "{} did not converge", who.name);
    assert!(cloud.as_object().is_some_and(|maps| !maps.is_empty()), "{} has an empty document", who.name);
    Measured { figure, note: None, json: Some(cloud) }
}

/// All numbers as floats: 19 and 19.0 are one number to some systems.
pub fn normal(json: Value) -> Value {
    match json {
        Value::Number(number) => number.as_f64().map_or(Value::Null, Value::from),
        Value::Object(map) => map.into_iter().map(|(key, value)| (key, normal(value))).collect(),
        Value::Array(items) => items.into_iter().map(normal).collect(),
        other => other,
    }
}

fn scalar(value: Value) -> Scalar {
    match value {
        Value::Bool(b) => Scalar::Bool(b),
        Value::Number(number) => {
            number.as_i64().map_or_else(|| Scalar::F64(number.as_f64().expect("a number")), Scalar::I64)
        }
        other => Scalar::Str(other.as_str().expect("W1 has scalars only").to_owned()),
    }
}

/// A JSON object with its keys in their order.
struct InOrder<T>(Vec<(String, T)>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for InOrder<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(std::marker::PhantomData<T>);
        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = InOrder<T>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<InOrder<T>, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(InOrder(entries))
            }
        }
        deserializer.deserialize_map(Entries(std::marker::PhantomData))
    }
}
