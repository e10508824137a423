//! Ids that nobody uses any more leave the version vectors; what they wrote and deleted stays written and deleted.

use crdt_core::weaken::Rule;

use super::notices;
use super::town::{CLOUD, Ending, Town, Who};

/// The panel's storage dies, and it comes back under a new id. What is left of the old one goes.
fn renew(town: &mut Town, panel: Who) -> Ending {
    town.wipe(panel);
    town.meet(panel, CLOUD)?;
    // Now the aggregator knows that the panel has everything.
    town.meet(panel, CLOUD)?;
    match town.tidy() {
        0 => Err("no id retired".into()),
        _ => town.meet(panel, CLOUD).map(|_| ()),
    }
}

/// A panel deletes the cloud's alarm, and dies; its id retires. A handheld from the drawer has seen all that the id wrote
/// before.
#[test]
fn a_device_from_the_drawer_learns_what_an_id_has_deleted_that_is_gone() {
    fn story() -> Ending {
        let (mut town, [panel, handheld]) = Town::new(["panel", "handheld"]);
        town.set(CLOUD, "alarm", 1);
        town.set(panel, "test", 2);
        town.delete(panel, "test");
        town.meet(panel, CLOUD)?;
        town.meet(handheld, CLOUD)?;
        town.give_up(handheld);
        town.delete(panel, "alarm");
        town.meet(panel, CLOUD)?;
        renew(&mut town, panel)?;
        town.meet(handheld, CLOUD)?;
        town.must_read(handheld, "alarm", None)?;
        town.everyone_agrees()
    }
    notices(Rule::RetiredIsFloor, "handheld shows Some(1) at alarm", story);
}

/// A panel sets an alarm, dies, deletes it in its next life, and the id of the first life retires. A handheld from the drawer
/// still has the alarm.
#[test]
fn a_device_from_the_drawer_does_not_bring_back_what_a_retired_id_wrote() {
    fn story() -> Ending {
        let (mut town, [panel, handheld]) = Town::new(["panel", "handheld"]);
        town.set(panel, "alarm", 1);
        town.meet(panel, CLOUD)?;
        town.meet(handheld, CLOUD)?;
        town.give_up(handheld);
        town.wipe(panel);
        town.meet(panel, CLOUD)?;
        town.delete(panel, "alarm");
        town.set_page(panel, "log/1");
        town.set_page(panel, "log/2");
        town.meet(panel, CLOUD)?;
        town.meet(panel, CLOUD)?;
        if town.tidy() == 0 {
            return Err("no id retired".into());
        }
        // The handheld answers before all of the cloud's batch has come.
        town.short_frames(CLOUD);
        let link = town.begin_to_hear(handheld, 1)?;
        town.speak(handheld);
        town.deliver_all(link, CLOUD)?;
        town.settle()?;
        town.must_read(CLOUD, "alarm", None)?;
        town.everyone_agrees()
    }
    notices(Rule::RetiredIsCovered, "cloud shows Some(1) at alarm", story);
}

/// The same, but the handheld had got the alarm in a batch that was cut: it lists nothing of the id that wrote it.
#[test]
fn a_cell_of_a_retired_id_that_was_never_claimed_goes() {
    fn story() -> Ending {
        let (mut town, [panel, handheld]) = Town::new(["panel", "handheld"]);
        town.short_frames(CLOUD);
        town.set(panel, "alarm", 1);
        town.set_page(panel, "log/1");
        town.set_page(panel, "log/2");
        town.meet(panel, CLOUD)?;
        let link = town.begin_to_hear(handheld, 2)?;
        town.cut(link);
        town.must_read(handheld, "alarm", Some(1))?;
        town.give_up(handheld);
        town.wipe(panel);
        town.meet(panel, CLOUD)?;
        town.delete(panel, "alarm");
        town.delete(panel, "log");
        town.meet(panel, CLOUD)?;
        town.meet(panel, CLOUD)?;
        town.tidy();
        renew(&mut town, panel)?;
        town.meet(handheld, CLOUD)?;
        town.must_read(handheld, "alarm", None)?;
        town.everyone_agrees()
    }
    notices(Rule::RetiredIsDropped, "handheld shows Some(1) at alarm", story);
}
