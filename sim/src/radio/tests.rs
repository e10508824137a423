use super::*;

const SECOND: u64 = 1_000_000_000;

fn s(seconds: u64) -> SimTime {
    SimTime::from_secs(seconds)
}

fn ms(ms: u64) -> SimTime {
    SimTime::from_ms(ms)
}

/// Half a second to wake, two seconds of tail.
fn profile(sleep: Sleep) -> RadioProfile {
    RadioProfile::new(500_000, 2_000_000).sleeping(sleep)
}

/// A radio that was used once, for 100 ms from 10.5 s on: connected until 12.6 s.
fn used(sleep: Sleep, phase: u64) -> Radio {
    let mut radio = Radio::asleep(profile(sleep), phase);
    assert_eq!(radio.wake(s(10)), ms(10_500));
    radio.used_until(ms(10_600));
    radio
}

#[test]
fn a_connected_radio_is_reachable_at_once_and_an_idle_one_at_its_occasion() {
    let radio = used(Sleep::IDLE, 300_000_000);
    assert_eq!(radio.reachable_at(ms(12_599)), ms(12_599));
    // Occasions are at 0.3 s and each 1.28 s after that: 0.3 + 10 x 1.28 = 13.1.
    assert_eq!(radio.reachable_at(ms(12_600)), ms(13_100));
    assert_eq!(radio.reachable_at(ms(13_100)), ms(13_100));
    assert_eq!(radio.reachable_at(ms(13_101)), ms(14_380));
    assert_eq!(used(Sleep::ALWAYS_PAGED, 7).reachable_at(s(99)), s(99));
}

#[test]
fn an_extended_cycle_is_waited_for_and_its_window_has_ordinary_paging() {
    // Windows of 2.56 s begin at 5 s and each 20.48 s after that; there are two occasions in each.
    let radio = used(Sleep::extended(20_480), 5 * SECOND);
    assert_eq!(radio.reachable_at(ms(12_600)), ms(25_480));
    assert_eq!(radio.reachable_at(ms(25_480)), ms(25_480));
    assert_eq!(radio.reachable_at(ms(25_481)), ms(26_760), "the second occasion of the window");
    assert_eq!(radio.reachable_at(ms(26_761)), ms(45_960), "the next window");
    let slowest = used(Sleep::extended(10_485_760), 0);
    assert_eq!(slowest.reachable_at(s(4_000)), ms(10_485_760));
}

#[test]
fn power_saving_is_silent_until_the_periodic_update() {
    // Connected until 12.6 s, paged until 22.6 s, silent until 3,612.6 s, then an update of 1.5 s, and so on.
    let radio = used(Sleep::power_saving(10, 3_600), 0);
    assert_eq!(radio.reachable_at(s(13)), ms(14_080), "11 x 1.28 s");
    assert_eq!(radio.reachable_at(ms(22_000)), ms(3_612_600), "the active time has no occasion any more");
    assert_eq!(radio.reachable_at(s(100)), ms(3_612_600));
    assert_eq!(radio.reachable_at(s(3_613)), s(3_613), "during the update");
    assert_eq!(radio.reachable_at(s(3_700)), ms(3_612_600 + 3_601_500));
}

#[test]
fn a_device_that_sends_ends_its_own_silence() {
    let mut radio = used(Sleep::power_saving(10, 3_600), 0);
    assert_eq!(radio.wake(s(1_000)), ms(1_000_500));
    assert_eq!(radio.reachable_at(s(1_000)), s(1_000));
    radio.used_until(s(1_001));
    assert_eq!(radio.reachable_at(ms(1_002_999)), ms(1_002_999), "in the tail");
    assert_eq!(radio.reachable_at(s(2_000)), s(1_003 + 3_600), "counted from the end of the connection");
}

#[test]
fn the_states_add_up_to_the_time_that_passed() {
    let usage = used(Sleep::IDLE, 0).usage(s(60));
    let expected = RadioUsage {
        idle_ns: 57_400_000_000,
        waking_ns: 500_000_000,
        connected_ns: 2_100_000_000,
        wakes: 1,
        ..RadioUsage::default()
    };
    assert_eq!(usage, expected);

    // Two whole periods of 3,601.5 s, and 100 s of a third one.
    let usage = used(Sleep::power_saving(10, 3_600), 0).usage(ms(12_600 + 2 * 3_601_500 + 100_000));
    let expected = RadioUsage {
        idle_ns: (10 + 3 * 10) * SECOND,
        power_saving_ns: (2 * 3_590 + 90) * SECOND,
        waking_ns: 500_000_000,
        connected_ns: 2_100_000_000 + 2 * 1_500_000_000,
        wakes: 1,
        updates: 2,
        ..RadioUsage::default()
    };
    assert_eq!(usage, expected);
    let sum = usage.idle_ns + usage.power_saving_ns + usage.waking_ns + usage.connected_ns;
    assert_eq!(sum, ms(12_600 + 2 * 3_601_500 + 100_000).as_ns());
}

#[test]
fn counting_in_steps_is_the_same_as_counting_once() {
    for sleep in [Sleep::IDLE, Sleep::extended(20_480), Sleep::power_saving(10, 60)] {
        let mut radio = used(sleep, 0);
        let whole = radio.usage(s(500));
        for second in 11..500 {
            radio.count_until(s(second));
        }
        assert_eq!(radio.usage(s(500)), whole, "{sleep:?}");
    }
}

/// 18 uA at 3.7 V for a day: the data sheet's average with a cycle of 81.92 s is what comes out again.
#[test]
fn the_energy_estimate_gives_back_the_data_sheet() {
    let day_ns = 86_400 * SECOND;
    let radio = RadioProfile { power: Some(Power::NRF9160_CAT_M1), ..profile(Sleep::extended(81_920)) };
    let Sleep::Extended { cycle_us, paging_us, .. } = radio.sleep else { panic!("it is extended") };
    // The sheet has one occasion in each window.
    let once = radio.sleeping(Sleep::Extended { cycle_us, window_us: paging_us, paging_us });
    let idle = RadioUsage { idle_ns: day_ns, ..RadioUsage::default() };
    assert_eq!(once.energy_estimate_mj(&idle), Some(5_754), "18.0 uA x 86,400 s x 3.7 V");
    let saving = RadioUsage { power_saving_ns: day_ns, updates: 24, ..RadioUsage::default() };
    assert_eq!(once.energy_estimate_mj(&saving), Some(863 + 24 * 105));
    let connected = RadioUsage { connected_ns: SECOND, transmitting_ns: SECOND, ..RadioUsage::default() };
    assert_eq!(once.energy_estimate_mj(&connected), Some(388), "105 mA x 1 s x 3.7 V");
    assert_eq!(profile(Sleep::IDLE).energy_estimate_mj(&connected), None);
}

#[test]
fn a_profile_of_two_numbers_is_read_as_before() {
    let read: RadioProfile = serde_json::from_str(r#"{"promotion_us":1,"tail_us":2}"#).unwrap();
    assert_eq!(read, RadioProfile::new(1, 2));
}
