//! A replica id belongs to one continuous history, and what nobody will claim any more finds a new owner.

use crdt_core::Role;
use crdt_core::weaken::Rule;

use super::notices;
use super::town::{CLOUD, Ending, Town};

/// Somebody puts last week's image back onto the pump, and it goes on writing. It had deleted the alarm since, and told
/// the cloud. Without asking first, it would claim to know of that and show the alarm: only the fingerprints could tell.
#[test]
fn a_restored_copy_is_told_what_it_did() {
    fn story() -> Ending {
        let (mut town, [pump]) = Town::new(["pump"]);
        town.set(pump, "alarm", 1);
        town.meet(pump, CLOUD)?;
        let last_week = town.image(pump);
        town.delete(pump, "alarm");
        town.meet(pump, CLOUD)?;
        town.restart(pump, &last_week);
        town.set(pump, "mode", 3);
        town.meet(pump, CLOUD)?;
        town.meet(pump, CLOUD)?;
        town.must_read(CLOUD, "mode", Some(3))?;
        town.must_read(pump, "alarm", None)?;
        town.everyone_agrees()
    }
    notices(Rule::Hold, "takes its disk for damaged", story);
}

/// The same, but all that the cloud has of the week is half a batch. It tells of that, too: otherwise the next claim of the
/// pump would be taken for a claim of that half, and again only the fingerprints could tell.
#[test]
fn a_restored_copy_is_told_of_half_a_batch() {
    fn story() -> Ending {
        let (mut town, [pump]) = Town::new(["pump"]);
        town.short_frames(pump);
        town.set(pump, "alarm", 1);
        town.meet(pump, CLOUD)?;
        let last_week = town.image(pump);
        town.delete(pump, "alarm");
        town.set_page(pump, "log/1");
        town.set_page(pump, "log/2");
        let link = town.connect(pump, CLOUD);
        town.speak_frames(pump, 1);
        town.deliver_all(link, CLOUD)?;
        town.must_read(CLOUD, "alarm", None)?;
        town.restart(pump, &last_week);
        town.set(pump, "mode", 3);
        town.meet(pump, CLOUD)?;
        town.meet(pump, CLOUD)?;
        town.must_read(pump, "alarm", None)?;
        town.everyone_agrees()
    }
    notices(Rule::Yours, "takes its disk for damaged", story);
}

/// A restored pump with a slow clock deletes the alarm and makes room at once. Then it learns that it was restored. Its
/// old id's later writes at the cloud do not stand for the delete that it has forgotten.
#[test]
fn a_delete_that_is_forgotten_before_a_fork_still_counts() {
    fn story() -> Ending {
        let (mut town, [pump]) = Town::new(["pump"]);
        town.set(pump, "alarm", 1);
        town.meet(pump, CLOUD)?;
        let last_week = town.image(pump);
        town.set(pump, "mode", 2);
        town.meet(pump, CLOUD)?;
        town.restart(pump, &last_week);
        town.set_clock_behind(pump, 3_600_000);
        town.delete(pump, "alarm");
        town.forget(pump);
        town.meet(pump, CLOUD)?;
        town.meet(pump, CLOUD)?;
        town.must_read(pump, "alarm", None)?;
        town.must_read(CLOUD, "alarm", None)?;
        town.everyone_agrees()
    }
    notices(Rule::FloorMap, "cloud shows Some(1) at alarm", story);
}

/// The pump tells its neighbour alone of a new limit, and then last week's image is put back. The cloud cannot know that this
/// copy is an old one. So a device that meets others takes a new id after each start; as a plain member it would not, and
/// its next claim would stand for the limit, which the cloud has never seen: only the fingerprints would show it, to the panel.
#[test]
fn a_neighbour_knows_more_of_a_restored_copy_than_the_cloud() {
    fn story(role: Role) -> Ending {
        let (mut town, [pump, panel]) = Town::of(role, ["pump", "panel"]);
        town.set(pump, "pressure", 1);
        town.meet(pump, CLOUD)?;
        let last_week = town.image(pump);
        town.set(pump, "limit", 2);
        town.meet(pump, panel)?;
        town.restart(pump, &last_week);
        town.meet(pump, CLOUD)?;
        town.set(pump, "mode", 3);
        town.meet(pump, CLOUD)?;
        town.meet(panel, CLOUD)?;
        town.must_read(CLOUD, "limit", Some(2))?;
        town.everyone_agrees()
    }
    assert_eq!(story(Role::Mesh), Ok(()));
    assert_eq!(story(Role::Member), Err("cloud takes its disk for damaged".to_owned()));
}

/// The pump's connection breaks in the middle of its batch, then its disk dies: nobody would ever claim that limit, and what
/// nobody claims cannot be told dead to a handheld in the drawer.
#[test]
fn half_a_batch_of_a_lost_device_finds_a_new_owner() {
    fn story() -> Ending {
        let (mut town, [pump, panel, handheld]) = Town::new(["pump", "panel", "handheld"]);
        town.short_frames(pump);
        town.set(pump, "limit", 2);
        town.set_page(pump, "log/1");
        town.set_page(pump, "log/2");
        let link = town.connect(pump, CLOUD);
        town.speak_frames(pump, 1);
        town.deliver_all(link, CLOUD)?;
        town.wipe(pump);
        for who in [pump, panel, handheld] {
            town.meet(who, CLOUD)?;
            town.must_read(who, "limit", Some(2))?;
        }
        town.delete(panel, "limit");
        town.meet(panel, CLOUD)?;
        town.forget(CLOUD);
        town.meet(handheld, CLOUD)?;
        town.must_read(CLOUD, "limit", None)?;
        town.everyone_agrees()
    }
    notices(Rule::Adopt, "cloud shows Some(2) at limit", story);
}
