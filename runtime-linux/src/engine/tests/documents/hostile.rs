//! Hostile aggregators against a device with a budget, on the real transport: each wastes a window, and what comes after
//! the pauses.

use super::*;
use crate::billing::Day;
use crate::budget::Plan;
use crate::meter::WASTE_BYTES_MAX;

const DAY: u64 = 86_400;

/// What a device that writes a value each minute spends in a day on an aggregator of this sort, in bytes of IP, and how
/// often it connects.
fn day_with(hostile: Option<Hostile>) -> (u64, usize) {
    let today = Day((MS_AT_START / 86_400_000) as u32);
    let budget = Budget::new(Plan::try_new(20_000_000, 1, 10).unwrap(), today, 0, 0);
    let mut town = town_within(&["pump"], &[], Some(budget), |town| town.hostile = hostile);
    for tenth in 0..DAY * 10 {
        if tenth % 600 == 0 {
            town.set(0, "speed", tenth as i64);
        }
        if town.hostile == Some(Hostile::Asks) && town.is_established() {
            let open: Vec<_> = town.sessions.keys().map(|(conn, _)| *conn).collect();
            for conn in open {
                // Without credit it has to wait like everybody.
                let _ = town.cloud.send(town.now, conn, &[0, 0x0e]);
            }
        }
        town.sleep(Duration::from_millis(100));
    }
    let bytes = town.device.ledger().bytes();
    assert_eq!(bytes, town.engine.status(town.now()).budget.unwrap().spent_bytes);
    (bytes, town.connects)
}

/// A window, and a quarter of one after each pause of 1, 2, 4, 8 hours; what is on its way when the window closes; and what
/// an honest day may cost, which is forgiven.
const DAY_BYTES_MAX: u64 = WASTE_BYTES_MAX + 5 * (WASTE_BYTES_MAX / 4) + 6 * 8 * 1024 + 24 * 1024;

#[test]
fn an_honest_day_costs_what_it_costs() {
    let (bytes, connects) = day_with(None);
    assert_eq!(connects, 1);
    assert!(bytes > 1_440 * 100, "{bytes}");
}

#[test]
fn who_hangs_up_wastes_a_window() {
    let (bytes, connects) = day_with(Some(Hostile::HangsUp));
    assert!((WASTE_BYTES_MAX / 2..DAY_BYTES_MAX).contains(&bytes), "{bytes} in {connects} connections");
    assert!(connects < 60, "{connects}");
}

#[test]
fn who_is_deaf_wastes_a_window() {
    let (bytes, connects) = day_with(Some(Hostile::IsDeaf));
    assert!((WASTE_BYTES_MAX / 2..DAY_BYTES_MAX).contains(&bytes), "{bytes} in {connects} connections");
}

#[test]
fn who_asks_without_end_wastes_a_window() {
    let (bytes, connects) = day_with(Some(Hostile::Asks));
    assert!((WASTE_BYTES_MAX..DAY_BYTES_MAX).contains(&bytes), "{bytes} in {connects} connections");
}
