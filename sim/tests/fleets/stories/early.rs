//! Early input may be a replay: it is never proof that a device is there. That is for the driver to tell the core.

use super::town::{CLOUD, Ending, Link, Town, Who};

/// The pump once connected with early data, which somebody on the way has recorded. Then it got a new disk.
fn pump_with_a_new_disk() -> Result<(Town, Who, Link), String> {
    let (mut town, [pump]) = Town::new(["pump"]);
    town.set(pump, "pressure", 1);
    let recorded = town.connect_early(pump, CLOUD);
    town.speak(pump);
    town.deliver_all(recorded, CLOUD)?;
    town.confirm(recorded);
    town.settle()?;
    town.wipe(pump);
    town.meet(pump, CLOUD)?;
    Ok((town, pump, recorded))
}

/// Somebody sends the old first flight again, to be a nuisance.
#[test]
fn a_replay_does_not_hang_up_on_the_device() {
    fn story(believed: bool) -> Ending {
        let (mut town, pump, recorded) = pump_with_a_new_disk()?;
        let link = town.connect(pump, CLOUD);
        town.settle()?;
        town.replay(recorded, believed)?;
        if town.is_open(link) { Ok(()) } else { Err("the pump is cut off".to_owned()) }
    }
    assert_eq!(story(false), Ok(()));
    assert_eq!(story(true), Err("the pump is cut off".to_owned()));
}

/// The replay comes while half a batch of the pump has arrived, and names the id of the disk that died. If it counted, the
/// id in use would be taken for given up, and its old value written again, above a newer one.
#[test]
fn a_replay_does_not_make_an_older_value_win() {
    fn story(believed: bool) -> Ending {
        let (mut town, pump, recorded) = pump_with_a_new_disk()?;
        town.short_frames(pump);
        town.set(pump, "mode", 1);
        town.set_page(pump, "log/1");
        town.set_page(pump, "log/2");
        let link = town.connect(pump, CLOUD);
        town.speak_frames(pump, 1);
        town.deliver_all(link, CLOUD)?;
        town.must_read(CLOUD, "mode", Some(1))?;
        town.set(pump, "mode", 2);
        town.replay(recorded, believed)?;
        town.everyone_agrees()?;
        town.must_read(CLOUD, "mode", Some(2))
    }
    assert_eq!(story(false), Ok(()));
    assert_eq!(story(true), Err("cloud shows Some(1) at mode, must show Some(2)".to_owned()));
}
