//! A fleet that works as it should, for days.

use sim::coverage::Coverage;
use sim::mobility::MobilityProfile;
use sim::radio::Sleep;
use sim::world::month::{self, Options, Outcome, Surroundings};

const SECOND: u64 = 1_000_000_000;

fn days(days: u32, devices: u32, options: Options) -> Outcome {
    month::run(7, devices, &Options { days, ..options }, || {}).unwrap()
}

fn is_same(a: &Outcome, b: &Outcome) -> bool {
    let devices = |outcome: &Outcome| outcome.devices.iter().map(|d| (d.ledger, d.radio)).collect::<Vec<_>>();
    devices(a) == devices(b) && a.receipts == b.receipts && a.datagrams == b.datagrams
}

#[test]
fn two_days_of_a_device_cost_this_much_and_the_same_again() {
    let outcome = days(2, 1, Options::default());
    assert!(is_same(&outcome, &days(2, 1, Options::default())));
    let device = outcome.devices[0];
    assert_eq!((device.reports, device.without_receipt, device.connections), (192, 0, 1));
    assert_eq!(device.nat_renewals, 192, "each report comes from a new port");
    assert_eq!(device.ledger.bytes(), 27_988);
    assert_eq!(outcome.receipts.len(), 192);
    let radio = device.radio;
    let sum = radio.idle_ns + radio.power_saving_ns + radio.waking_ns + radio.connected_ns;
    assert_eq!(sum, 2 * 86_400 * SECOND);
    assert_eq!((radio.connected_ns + radio.waking_ns) / SECOND, 2_073);
}

#[test]
fn a_device_in_power_saving_mode_on_the_road_loses_nothing() {
    let options = Options {
        sleep: Some(Sleep::power_saving(10, 86_400)),
        mobility: Some(MobilityProfile::CAT_M1_VEHICLE),
        outages: "daily 22:00-06:00\nrandom every 3h for 1m..20m".parse().unwrap(),
        ..Options::default()
    };
    let outcome = days(3, 4, options);
    for device in &outcome.devices {
        assert_eq!(device.reports, 288);
        assert!(device.connections > 1, "the night ends a connection");
        assert!(device.radio.power_saving_ns > 2 * 86_400 * SECOND);
    }
    let slowest = outcome.receipts.iter().max().unwrap();
    assert!((8 * 3_600..9 * 3_600).contains(&slowest.as_secs()), "{slowest:?}: a night, and some tries");
}

#[test]
fn walls_are_paid_in_time_and_not_in_bytes() {
    let median_ms = |class| {
        let outcome = days(1, 2, Options { coverage: Surroundings::Same(class), ..Options::default() });
        let mut receipts = outcome.receipts;
        receipts.sort_unstable();
        let bytes = outcome.devices.iter().map(|device| device.ledger.bytes()).sum::<u64>();
        (receipts[receipts.len() / 2].as_millis(), bytes)
    };
    let [normal, robust] = [Coverage::Normal, Coverage::Robust].map(median_ms);
    assert_eq!((normal.0, robust.0), (742, 1_526));
    assert!(robust.1.abs_diff(normal.1) < normal.1 / 20, "{normal:?} {robust:?}");
}
