//! Tombstones are forgotten, anywhere and at any time; what was deleted stays deleted, and what was written stays.

use crdt_core::Write;
use crdt_core::weaken::Rule;

use super::notices;
use super::town::{CLOUD, Ending, Town, path};

/// A handheld comes from the drawer with a value that was deleted in the meantime; the tombstone is forgotten.
#[test]
fn a_device_from_the_drawer_learns_of_a_delete_that_is_forgotten() {
    fn story() -> Ending {
        let (mut town, [panel, handheld]) = Town::new(["panel", "handheld"]);
        town.set(panel, "alarm", 1);
        town.meet(panel, CLOUD)?;
        town.meet(handheld, CLOUD)?;
        town.delete(panel, "alarm");
        town.meet(panel, CLOUD)?;
        town.forget(CLOUD);
        town.meet(handheld, CLOUD)?;
        town.must_read(handheld, "alarm", None)?;
        town.everyone_agrees()
    }
    notices(Rule::Floor, "handheld shows Some(1) at alarm", story);
}

/// The same, but the deleted value was written in one transaction with one that still stands: the stamp alone does not tell
/// which of them is gone.
#[test]
fn half_a_transaction_is_deleted_while_a_device_is_in_the_drawer() {
    fn story() -> Ending {
        let (mut town, [panel, handheld]) = Town::new(["panel", "handheld"]);
        town.write(panel, &[Write::set(path("alarm"), 1), Write::set(path("limit"), 2)]);
        town.meet(panel, CLOUD)?;
        town.meet(handheld, CLOUD)?;
        town.delete(panel, "alarm");
        town.meet(panel, CLOUD)?;
        town.forget(CLOUD);
        town.meet(handheld, CLOUD)?;
        town.must_read(handheld, "limit", Some(2))?;
        town.must_read(handheld, "alarm", None)?;
        town.everyone_agrees()
    }
    notices(Rule::AbsenceByPath, "handheld shows Some(1) at alarm", story);
}

/// The cloud is in the middle of telling a new handheld everything when somebody deletes the alarm there and the tombstone
/// is forgotten. The alarm is on its way already.
#[test]
fn a_delete_that_is_forgotten_in_the_middle_of_a_full_batch() {
    fn story() -> Ending {
        let (mut town, [panel, handheld]) = Town::new(["panel", "handheld"]);
        town.short_frames(CLOUD);
        town.set(panel, "alarm", 1);
        town.set_page(panel, "log/1");
        town.set_page(panel, "log/2");
        town.set(panel, "test", 3);
        town.delete(panel, "test");
        town.meet(panel, CLOUD)?;
        town.forget(CLOUD);
        let link = town.begin_to_hear(handheld, 1)?;
        town.must_read(handheld, "alarm", Some(1))?;
        town.delete(CLOUD, "alarm");
        town.forget(CLOUD);
        town.speak(CLOUD);
        town.deliver_all(link, handheld)?;
        town.must_read(handheld, "alarm", None)?;
        town.everyone_agrees()
    }
    notices(Rule::RestartBatch, "handheld shows Some(1) at alarm", story);
}

/// Somebody writes below `zone` on a handheld in the drawer, before somebody else deletes `zone` on the panel. The panel
/// makes room, and then the two meet: the panel cannot tell any more whether that write was meant to go.
fn a_late_write() -> Ending {
    let (mut town, [panel, handheld]) = Town::mesh(["panel", "handheld"]);
    town.set(panel, "zone/a", 1);
    town.meet(panel, CLOUD)?;
    town.meet(handheld, CLOUD)?;
    town.set(handheld, "zone/b", 2);
    town.delete(panel, "zone");
    town.meet(panel, CLOUD)?;
    town.forget(panel);
    town.meet(handheld, panel)?;
    town.meet(panel, CLOUD)?;
    town.must_read(handheld, "zone/a", None)?;
    town.must_read(CLOUD, "zone/b", Some(2))?;
    town.everyone_agrees()
}

#[test]
fn a_late_write_is_written_again() {
    notices(Rule::Late, "cloud shows None at zone/b", a_late_write);
}

#[test]
fn a_late_write_is_kept() {
    notices(Rule::LateIsKept, "cloud shows None at zone/b", a_late_write);
}

/// Somebody writes on a handheld with a slow clock while the cloud is telling it everything, and then its connection breaks.
/// The tablet still has the tombstone: for it a write with that old time is dead.
#[test]
fn a_late_write_is_written_again_by_its_own_device() {
    fn story() -> Ending {
        let (mut town, [panel, handheld, tablet]) = Town::mesh(["panel", "handheld", "tablet"]);
        town.set(panel, "zone/a", 1);
        town.meet(panel, CLOUD)?;
        town.meet(handheld, CLOUD)?;
        town.set_clock_behind(handheld, 3_600_000);
        town.delete(panel, "zone");
        town.meet(panel, CLOUD)?;
        town.meet(tablet, CLOUD)?;
        town.forget(CLOUD);
        let link = town.connect(handheld, CLOUD);
        town.speak(handheld);
        town.deliver_all(link, CLOUD)?;
        town.set(handheld, "zone/b", 2);
        town.speak(CLOUD);
        town.deliver_all(link, handheld)?;
        town.cut(link);
        town.meet(handheld, tablet)?;
        town.must_read(tablet, "zone/b", Some(2))?;
        town.everyone_agrees()
    }
    notices(Rule::OwnLate, "tablet shows None at zone/b", story);
}

/// The panel has forgotten a tombstone and tells the pump everything, but the pump has that tombstone from the cloud. It
/// keeps it, and a handheld from the drawer costs the pump one tombstone instead of the whole document.
#[test]
fn a_full_batch_that_says_nothing_new_does_not_make_the_next_ones_full() {
    fn story() -> Ending {
        let (mut town, [panel, pump, handheld]) = Town::mesh(["panel", "pump", "handheld"]);
        for page in ["log/1", "log/2", "log/3", "log/4"] {
            town.set_page(panel, page);
        }
        town.set(panel, "alarm", 1);
        for who in [panel, pump, handheld] {
            town.meet(who, CLOUD)?;
        }
        town.meet(pump, handheld)?;
        let to_cloud = town.connect(panel, CLOUD);
        let neighbours = town.connect(panel, pump);
        let from_cloud = town.connect(pump, CLOUD);
        town.settle()?;
        town.delete(panel, "alarm");
        town.speak_frames(panel, 1);
        town.deliver_all(to_cloud, CLOUD)?;
        town.speak(CLOUD);
        town.deliver_all(from_cloud, pump)?;
        town.must_read(pump, "alarm", None)?;
        town.forget(panel);
        town.speak(panel);
        town.deliver_all(neighbours, pump)?;
        for link in [to_cloud, neighbours, from_cloud] {
            town.cut(link);
        }
        let bytes = town.meet(pump, handheld)?;
        town.must_read(handheld, "alarm", None)?;
        town.everyone_agrees()?;
        // The whole document would be 849 bytes.
        Town::must_cost(bytes, 100)
    }
    notices(Rule::FullAsDelta, "bytes, of at most", story);
}
