//! Two copies that claim to know the same and show different documents: it must be told, and it must end.

use crdt_core::Role;
use crdt_core::weaken::{Rule, without};

use super::town::{CLOUD, Town, Who};

/// The pump shows an alarm that the cloud knows to be deleted, and both claim to know the same.
fn damaged() -> (Town, Who) {
    let (mut town, [pump]) = Town::new(["pump"]);
    without(Some(Rule::Hold), || restored_after_a_delete(&mut town, pump, "alarm", "alarm"));
    assert_eq!((town.reads(pump, "alarm"), town.reads(CLOUD, "alarm")), (Some(1), None));
    (town, pump)
}

/// A disk that loses one record does this. Here a rule is off that would have kept the pump from claiming too much.
fn restored_after_a_delete(town: &mut Town, pump: Who, set: &str, deleted: &str) {
    town.set(pump, set, 1);
    town.meet(pump, CLOUD).unwrap();
    let last_week = town.image(pump);
    town.delete(pump, deleted);
    town.meet(pump, CLOUD).unwrap();
    town.restart(pump, &last_week);
    town.set(pump, "mode", 3);
    let link = town.connect(pump, CLOUD);
    town.speak(pump);
    town.deliver_all(link, CLOUD).unwrap();
    town.cut(link);
}

/// Values alone would not tell: the cloud has none there, and the pump's is older than the tombstone.
#[test]
fn a_delete_that_one_disk_has_lost_is_told_and_healed() {
    let (mut town, pump) = damaged();
    town.meet(pump, CLOUD).unwrap();
    assert_eq!(town.alarms(pump), 1);
    town.must_read(pump, "alarm", None).unwrap();
    town.meet(pump, CLOUD).unwrap();
    assert_eq!((town.alarms(pump), town.alarms(CLOUD)), (1, 1), "once is enough");
}

/// A delete that is healed is not a new one: what somebody wrote there since stays.
#[test]
fn a_delete_that_is_healed_takes_no_newer_write_with_it() {
    let (mut town, pump) = damaged();
    let panel = town.settle_in("panel", Role::Member);
    town.set(panel, "alarm", 5);
    town.meet(pump, CLOUD).unwrap();
    town.must_read(pump, "alarm", None).unwrap();
    for who in [panel, pump] {
        town.meet(who, CLOUD).unwrap();
        town.must_read(who, "alarm", Some(5)).unwrap();
    }
}

/// The same below a path that was deleted.
#[test]
fn a_delete_above_what_one_disk_has_kept_is_healed() {
    let (mut town, [pump]) = Town::new(["pump"]);
    without(Some(Rule::Hold), || restored_after_a_delete(&mut town, pump, "zone/a", "zone"));
    town.meet(pump, CLOUD).unwrap();
    town.must_read(pump, "zone/a", None).unwrap();
    town.must_read(CLOUD, "zone/a", None).unwrap();
}
