//! Payload bytes of sync, both ways.

use super::documents::{DAY_S, QUARTER_HOUR_MS, SMALL_INT, agreed, day, in_session, set, w1};
use super::{Figure, Measured};
use crate::systems::{Contender, Scalar, Side, System};

pub(super) fn one_int_in_session(who: Contender) -> Measured {
    let mut system = in_session(who);
    // The third: by then each system has told what it tells once.
    let mut bytes = 0;
    for value in 1..4 {
        system.wait(QUARTER_HOUR_MS);
        set(&mut *system, Side::Device, SMALL_INT, Scalar::I64(value));
        bytes = system.settle();
    }
    measured(who, &mut *system, bytes)
}

pub(super) fn one_int_reconnect(who: Contender) -> Measured {
    let mut system = in_session(who);
    next_int(who, &mut *system)
}

pub(super) fn idle_reconnect(who: Contender) -> Measured {
    let mut system = in_session(who);
    system.reconnect();
    let bytes = system.settle();
    measured(who, &mut *system, bytes)
}

pub(super) fn full_sync(who: Contender) -> Measured {
    let mut system = (who.pair)();
    system.write(Side::Device, &w1());
    system.reconnect();
    let bytes = system.settle();
    measured(who, &mut *system, bytes)
}

pub(super) fn day_one_key(who: Contender) -> Measured {
    let (mut system, bytes) = after_day(who, 1);
    measured(who, &mut *system, bytes)
}

pub(super) fn day_ten_keys(who: Contender) -> Measured {
    let (mut system, bytes) = after_day(who, 10);
    measured(who, &mut *system, bytes)
}

pub(super) fn one_int_after_day(who: Contender) -> Measured {
    let (mut system, _) = after_day(who, 10);
    next_int(who, &mut *system)
}

pub(super) fn fleet_cold(who: Contender) -> Measured {
    let (mut system, bytes) = fleet(who);
    measured(who, &mut *system, bytes)
}

pub(super) fn fleet_warm(who: Contender) -> Measured {
    let (mut system, _) = fleet(who);
    system.wait(QUARTER_HOUR_MS);
    system.reconnect();
    let bytes = system.settle();
    measured(who, &mut *system, bytes)
}

/// A small int changes while the two are apart.
fn next_int(who: Contender, system: &mut dyn System) -> Measured {
    system.wait(QUARTER_HOUR_MS);
    set(system, Side::Device, SMALL_INT, Scalar::I64(1));
    system.reconnect();
    let bytes = system.settle();
    measured(who, system, bytes)
}

/// A day offline over `keys` keys; the cloud changes one other key meanwhile. The bytes of the sync after it.
fn after_day(who: Contender, keys: u64) -> (Box<dyn System>, usize) {
    let mut system = in_session(who);
    for write in day(keys) {
        system.wait(86_400_000 / DAY_S);
        system.write(Side::Device, &[write]);
    }
    set(&mut *system, Side::Cloud, "net/port", Scalar::I64(1884));
    system.reconnect();
    let bytes = system.settle();
    (system, bytes)
}

/// 100 replicas that wrote 20 own keys each, knowing nothing of each other; the device and the cloud have all of it.
/// The bytes of their first connection.
fn fleet(who: Contender) -> (Box<dyn System>, usize) {
    let mut system = (who.pair)();
    let keys = |replica: i64| {
        (0..20).map(move |k| (format!("dev{replica:03}/k{k:02}"), Scalar::I64(replica * 20 + k)))
    };
    let writers: Vec<Vec<(String, Scalar)>> = (0..100).map(|replica| keys(replica).collect()).collect();
    system.join_writers(&writers);
    system.reconnect();
    let bytes = system.settle();
    (system, bytes)
}

fn measured(who: Contender, system: &mut dyn System, bytes: usize) -> Measured {
    agreed(who, system, Figure::Bytes(bytes as u64))
}
