//! What a batch claims is true, and is said once.

use crdt_core::weaken::Rule;

use super::notices;
use super::town::{CLOUD, Ending, Town};

/// The cloud is set back to last week's backup. The pump does not know that, and builds its first flight on what was
/// acknowledged since. It gets a receipt; then its disk dies.
#[test]
fn a_first_flight_on_a_base_that_the_cloud_has_lost_earns_no_receipt() {
    fn story() -> Ending {
        let (mut town, [pump]) = Town::new(["pump"]);
        town.set(pump, "pressure", 1);
        town.meet(pump, CLOUD)?;
        let last_week = town.image(CLOUD);
        town.set(pump, "limit", 2);
        town.meet(pump, CLOUD)?;
        town.restart(CLOUD, &last_week);
        town.set(pump, "mode", 3);
        let link = town.connect(pump, CLOUD);
        while town.receipt(pump) < town.last_write(pump) {
            town.ask(pump);
            town.speak(pump);
            town.deliver_all(link, CLOUD)?;
            town.speak(CLOUD);
            town.deliver_all(link, pump)?;
        }
        town.wipe(pump);
        town.must_read(CLOUD, "mode", Some(3))?;
        town.must_read(CLOUD, "limit", Some(2))
    }
    notices(Rule::Base, "cloud shows None at limit", story);
}

/// The same backup. The pump's Open has told enough for it to start over; then comes the Need for the batch that it had
/// sent before it knew. What is on its way already is not sent again.
#[test]
fn a_need_that_crosses_the_answer_to_it_is_stale() {
    fn story() -> Ending {
        let (mut town, [pump]) = Town::new(["pump"]);
        town.set(pump, "pressure", 1);
        town.meet(pump, CLOUD)?;
        let last_week = town.image(CLOUD);
        for page in ["log/1", "log/2", "log/3"] {
            town.set_page(pump, page);
        }
        town.meet(pump, CLOUD)?;
        town.restart(CLOUD, &last_week);
        let link = town.connect(pump, CLOUD);
        town.speak(pump);
        town.deliver_all(link, CLOUD)?;
        town.set(pump, "mode", 3);
        town.speak(pump); // A first batch, on a base that the cloud has not.
        town.speak(CLOUD);
        town.deliver_all(link, pump)?;
        town.speak(pump); // Everything since last week.
        town.deliver(link, CLOUD)?;
        town.speak(CLOUD); // The Need for the first batch.
        town.settle()?;
        let bytes = town.bytes(link);
        town.everyone_agrees()?;
        // Three pages, once. Twice they are 1,265 bytes.
        Town::must_cost(bytes, 700)
    }
    notices(Rule::NeedOnce, "bytes, of at most", story);
}

/// The pump writes while a batch of its own is half sent. What the batch claims in the end was sent, all of it.
#[test]
fn a_write_in_the_middle_of_a_batch_is_sent_before_it_is_claimed() {
    fn story() -> Ending {
        let (mut town, [pump]) = Town::new(["pump"]);
        town.short_frames(pump);
        for page in ["log/1", "log/2", "log/3"] {
            town.set_page(pump, page);
        }
        let link = town.connect(pump, CLOUD);
        town.speak_frames(pump, 2);
        town.set(pump, "mode", 3);
        town.speak(pump);
        town.deliver_all(link, CLOUD)?;
        town.must_read(CLOUD, "mode", Some(3))?;
        town.everyone_agrees()
    }
    notices(Rule::SentIsClaimed, "cloud shows None at mode", story);
}

/// Somebody on the way sends the pump's first flight again, long after the value in it was deleted and the tombstone
/// forgotten.
#[test]
fn a_replay_does_not_bring_back_what_was_deleted() {
    fn story() -> Ending {
        let (mut town, [pump, panel]) = Town::new(["pump", "panel"]);
        town.set(pump, "alarm", 1);
        let link = town.connect_early(pump, CLOUD);
        town.speak(pump);
        town.deliver_all(link, CLOUD)?;
        town.confirm(link);
        town.settle()?;
        town.cut(link);
        town.meet(panel, CLOUD)?;
        town.delete(panel, "alarm");
        town.meet(panel, CLOUD)?;
        town.forget(CLOUD);
        town.replay(link, false)?;
        town.must_read(CLOUD, "alarm", None)?;
        town.everyone_agrees()
    }
    notices(Rule::Covered, "cloud shows Some(1) at alarm", story);
}

/// The pump's connection breaks in the middle of its batch: the cloud shows a value that nobody has claimed. The
/// panel knows all that the cloud knows, and lacks that value. No disk is damaged.
#[test]
fn half_a_batch_is_not_taken_for_a_damaged_disk() {
    fn story() -> Ending {
        let (mut town, [pump, panel]) = Town::new(["pump", "panel"]);
        town.set(panel, "limit", 1);
        town.meet(panel, CLOUD)?;
        town.short_frames(pump);
        town.set(pump, "mode", 2);
        town.set_page(pump, "log/1");
        town.set_page(pump, "log/2");
        let link = town.connect(pump, CLOUD);
        town.speak_frames(pump, 1);
        town.deliver_all(link, CLOUD)?;
        town.must_read(CLOUD, "mode", Some(2))?;
        town.cut(link);
        town.meet(panel, CLOUD)?;
        town.everyone_agrees()
    }
    notices(Rule::DigestWhenClean, "takes its disk for damaged", story);
}
