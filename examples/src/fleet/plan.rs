//! What happens to the fleet, and when.

use std::time::Duration;

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Step {
    /// After the begin of the work.
    pub at: Duration,
    /// What.
    pub act: Act,
}

/// What can happen to a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Act {
    /// Somebody at the cloud side sets how many seconds lie between two reports.
    CloudSetsInterval {
        /// Which device.
        device: u32,
        /// Seconds.
        interval_s: i64,
    },
    /// Somebody at the cloud side sets the valve.
    CloudSetsValve {
        /// Which device.
        device: u32,
        /// In thousandths of fully open.
        valve: i64,
    },
    /// The link is cut.
    Cut {
        /// Which device.
        device: u32,
    },
    /// Somebody at the device sets the valve.
    DeviceSetsValve {
        /// Which device.
        device: u32,
        /// In thousandths of fully open.
        valve: i64,
    },
    /// Its process is killed while it writes.
    Kill {
        /// Which device.
        device: u32,
    },
    /// It is started again, with the store that is there.
    Restart {
        /// Which device.
        device: u32,
    },
    /// The link is there again.
    Restore {
        /// Which device.
        device: u32,
    },
}

/// The steps of a run, in order of time. All of them lie before `length` is over.
///
/// A third of the devices is cut off for a third of the time; their set-points are edited on both sides meanwhile. One
/// device is killed: one that is connected, where there is one.
#[must_use]
pub(crate) fn plan(devices: u32, length: Duration, seed: u64) -> Vec<Step> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut shuffled: Vec<u32> = (0..devices).collect();
    shuffled.shuffle(&mut rng);
    let cut_off = &shuffled[..shuffled.len().div_ceil(3)];
    let victim = shuffled[shuffled.len() - 1];

    let mut steps = Vec::new();
    let mut step = |thousandths: u32, act| steps.push(Step { at: length * thousandths / 1000, act });
    for device in 0..devices {
        step(rng.random_range(50..150), Act::CloudSetsValve { device, valve: rng.random_range(0..=1000) });
    }
    for &device in cut_off {
        step(200, Act::Cut { device });
        step(rng.random_range(230..300), Act::CloudSetsValve { device, valve: rng.random_range(0..=1000) });
        step(rng.random_range(300..400), Act::DeviceSetsValve { device, valve: rng.random_range(0..=1000) });
        step(rng.random_range(400..500), Act::CloudSetsInterval { device, interval_s: 2 });
        step(550, Act::Restore { device });
    }
    step(400, Act::Kill { device: victim });
    step(450, Act::CloudSetsValve { device: victim, valve: rng.random_range(0..=1000) });
    step(500, Act::Restart { device: victim });
    for device in 0..devices {
        step(rng.random_range(650..800), Act::DeviceSetsValve { device, valve: rng.random_range(0..=1000) });
        step(rng.random_range(850..999), Act::CloudSetsValve { device, valve: rng.random_range(0..=1000) });
    }
    steps.sort_by_key(|step| step.at);
    steps
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_names_a_plan() {
        let length = Duration::from_secs(30);
        assert_eq!(plan(12, length, 7), plan(12, length, 7));
        assert_ne!(plan(12, length, 7), plan(12, length, 8));
    }

    #[test]
    fn devices_are_edited_while_they_are_cut_off_and_all_come_back() {
        for devices in [1, 2, 3, 12, 100] {
            let steps = plan(devices, Duration::from_secs(30), u64::from(devices));
            assert!(steps.iter().all(|step| step.at < Duration::from_secs(30)));
            let position = |act: &dyn Fn(Act) -> bool| steps.iter().position(|step| act(step.act));
            let mut cuts = 0;
            for device in 0..devices {
                let Some(cut) = position(&|act| act == Act::Cut { device }) else { continue };
                let back = position(&|act| act == Act::Restore { device }).unwrap();
                let meanwhile: Vec<_> = steps[cut..back].iter().map(|step| step.act).collect();
                assert!(
                    meanwhile
                        .iter()
                        .any(|act| matches!(act, Act::CloudSetsValve { device: d, .. } if *d == device))
                );
                assert!(
                    meanwhile
                        .iter()
                        .any(|act| matches!(act, Act::DeviceSetsValve { device: d, .. } if *d == device))
                );
                cuts += 1;
            }
            assert_eq!(cuts, devices.div_ceil(3));
            let killed = position(&|act| matches!(act, Act::Kill { .. })).unwrap();
            let restarted = position(&|act| matches!(act, Act::Restart { .. })).unwrap();
            assert!(killed < restarted);
        }
    }

    #[test]
    fn the_killed_device_is_connected_where_there_are_several() {
        let steps = plan(2, Duration::from_secs(30), 3);
        let killed = steps.iter().find_map(|step| match step.act {
            Act::Kill { device } => Some(device),
            _ => None,
        });
        assert!(!steps.iter().any(|step| Some(step.act) == killed.map(|device| Act::Cut { device })));
    }
}
