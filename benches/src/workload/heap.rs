//! Live heap of one copy: what the allocator was asked for and not given back, without the value itself (which a program
//! may keep anywhere; its size is told as a note).
//!
//! The counter stands in [`ALLOCATOR`]; a program that measures heap makes it its global allocator.

use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

use super::documents::{day, normal, w1};
use super::{Figure, Measured};
use crate::systems::{Contender, GODWIT, Godwit, Scalar, Side, System};

/// Counts every byte that is asked for and given back.
pub static ALLOCATOR: &StatsAlloc<std::alloc::System> = &INSTRUMENTED_SYSTEM;

pub(super) fn config_doc(who: Contender) -> Measured {
    let mut measured = measure(who, |system| system.write(Side::Device, &w1()));
    if who.name == GODWIT.name {
        let (replica, document) = Godwit::fixed_bytes();
        let heap = measured.note.take().unwrap_or_default();
        measured.note = Some(format!(
            "{heap}; in fixed storage, no heap: {document} B for the document, {replica} B with two sessions and peers"
        ));
    }
    measured
}

pub(super) fn before_day(who: Contender) -> Measured {
    let mut measured = measure(who, |system| {
        system.write(Side::Device, &w1());
        let ten: Vec<_> = (0..10).map(|k| (format!("live/k{k}"), Scalar::F64(20.0))).collect();
        system.write(Side::Device, &ten);
    });
    measured.note = None;
    measured
}

pub(super) fn after_day(who: Contender) -> Measured {
    let mut measured = measure(who, |system| {
        system.write(Side::Device, &w1());
        for write in day(10) {
            system.wait(1000);
            system.write(Side::Device, &[write]);
        }
    });
    measured.note = None;
    measured
}

fn measure(who: Contender, play: impl FnOnce(&mut dyn System)) -> Measured {
    let mut system = (who.pair)();
    play(&mut *system);
    let json = normal(system.json(Side::Device));
    let device = system.into_device();
    let value = size_of_val(&*device);
    let with = live();
    drop(device);
    let bytes = u64::try_from(with - live()).unwrap_or(0).saturating_sub(value as u64);
    let note = format!("{}: the value itself has {value} B", who.name);
    Measured { figure: Figure::HeapBytes(bytes), note: Some(note), json: Some(json) }
}

fn live() -> i64 {
    let stats = ALLOCATOR.stats();
    stats.bytes_allocated as i64 - stats.bytes_deallocated as i64
}
