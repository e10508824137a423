use jiff::civil::date;
use jiff::tz::TimeZoneDatabase;
use proptest::prelude::*;
use proptest::sample::select;

use super::*;

fn zone(name: &str) -> Zone {
    name.parse().unwrap()
}

fn day(text: &str) -> Day {
    text.parse::<Date>().unwrap().into()
}

/// Milliseconds since 1970 of a time with its offset.
fn ms(text: &str) -> u64 {
    text.parse::<Timestamp>().unwrap().as_millisecond() as u64
}

#[test]
fn days_are_those_of_the_calendar() {
    for (days, text) in
        [(0, "1970-01-01"), (11_016, "2000-02-29"), (20_779, "2026-11-22"), (47_481, "2099-12-31")]
    {
        assert_eq!((Day(days).to_string().as_str(), day(text)), (text, Day(days)));
    }
    assert_eq!(Day(u32::MAX).to_string(), "9999-12-31");
}

#[test]
fn a_period_begins_at_midnight_of_the_reset_day_in_the_zone() {
    let billing = Billing::new(15, zone("America/Los_Angeles"));
    // In UTC the 15th began eight hours before.
    assert_eq!(billing.day(ms("2026-11-15T07:59:59.999Z")), day("2026-11-14"));
    assert_eq!(billing.period_start(day("2026-11-14")), day("2026-10-15"));
    assert_eq!(billing.day(ms("2026-11-15T08:00:00Z")), day("2026-11-15"));
    assert_eq!(billing.start_ms(day("2026-11-15")), ms("2026-11-15T00:00:00-08:00"));
    assert_eq!(billing.period_start(day("2026-11-15")), day("2026-11-15"));
    assert_eq!(billing.period_end(day("2026-11-15")), day("2026-12-15"));
}

#[test]
fn day_31_is_the_last_day_of_a_shorter_month() {
    let starts = |reset_day: u8, first: &str, count: usize| {
        let billing = Billing::new(reset_day, Zone::UTC);
        let first = billing.period_start(day(first));
        let starts = std::iter::successors(Some(first), |start| Some(billing.period_end(*start)));
        starts.take(count).map(|start| start.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(
        starts(31, "2027-01-31", 5),
        ["2027-01-31", "2027-02-28", "2027-03-31", "2027-04-30", "2027-05-31"]
    );
    assert_eq!(starts(30, "2028-02-10", 3), ["2028-01-30", "2028-02-29", "2028-03-30"]);
    assert_eq!(starts(29, "2027-02-28", 2), ["2027-02-28", "2027-03-29"]);
    assert_eq!(starts(29, "2028-02-28", 2), ["2028-01-29", "2028-02-29"]);
}

#[test]
fn a_day_has_23_or_25_hours_where_the_clocks_change() {
    let billing = Billing::new(1, zone("Europe/Berlin"));
    let hours = |text: &str| {
        let day = day(text);
        (billing.start_ms(day.next()) - billing.start_ms(day)) / 3_600_000
    };
    assert_eq!(["2026-03-28", "2026-03-29", "2026-10-25"].map(hours), [24, 23, 25]);
}

/// In Cairo and in Sao Paulo summer began at midnight: the clocks went from 00:00 to 01:00.
#[test]
fn a_midnight_that_the_clocks_leave_out_is_no_gap() {
    for (name, text, start) in [
        ("Africa/Cairo", "2026-04-24", "2026-04-24T01:00:00+03:00"),
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T01:00:00-02:00"),
    ] {
        let start = ms(start);
        let reset_day = day(text).date().day() as u8;
        let billing = Billing::new(reset_day, zone(name));
        assert_eq!(billing.start_ms(day(text)), start, "{name}");
        assert_eq!((billing.day(start - 1).next(), billing.day(start)), (day(text), day(text)), "{name}");
        assert_eq!(billing.period_start(billing.day(start)), day(text), "{name}");
        assert_ne!(billing.period_start(billing.day(start - 1)), day(text), "{name}");
    }
}

/// In St. John's the clocks once went back from 00:01 to 23:01, in Havana they go from 01:00 to 00:00.
#[test]
fn a_midnight_that_comes_twice_begins_one_day() {
    for (name, text) in [("America/St_Johns", "2010-11-07"), ("America/Havana", "2026-11-01")] {
        let billing = Billing::new(1, zone(name));
        let start = billing.start_ms(day(text));
        for minutes in 0..180 {
            assert_eq!(billing.day(start + minutes * 60_000), day(text), "{name} {minutes}");
        }
        assert_eq!(billing.day(start - 1).next(), day(text), "{name}");
    }
}

/// Samoa went over the date line: there was no 30 December 2011.
#[test]
fn a_day_that_a_zone_leaves_out_has_no_moment() {
    let billing = Billing::new(30, zone("Pacific/Apia"));
    let (left_out, after) = (day("2011-12-30"), day("2011-12-31"));
    assert_eq!(billing.start_ms(left_out), billing.start_ms(after));
    assert_eq!(billing.day(billing.start_ms(after)), after);
    assert_eq!(billing.day(billing.start_ms(after) - 1), day("2011-12-29"));
    assert_eq!(billing.period_start(after), left_out);
}

#[test]
fn no_clock_is_too_wrong() {
    for name in ["UTC", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Africa/Cairo"] {
        for reset_day in [0, 1, 15, 28, 31, 255] {
            let billing = Billing::new(reset_day, zone(name));
            for at in
                [0, 1, ms("2026-11-30T00:00:00Z"), 253_402_300_800_000, (1 << 48) - 1, 1 << 63, u64::MAX]
            {
                let day = billing.day(at);
                assert!(billing.start_ms(day) <= at, "{name} {at}");
                assert!(billing.period_start(day) <= day && day < billing.period_end(day), "{name} {at}");
            }
            for day in [Day(0), Day::from(Date::MAX), Day(u32::MAX - 1)] {
                assert!(billing.period_start(day) <= day && day < billing.period_end(day));
                let _ = (billing.start_ms(day), billing.period_end(Day(u32::MAX)), day.next());
            }
            assert_eq!(billing.start_ms(Day(0)), 0);
        }
    }
    assert_eq!(Day::from(Date::MIN), Day(0));
}

/// All zones there are, each day and each hour around its midnight, for some years of their history and future.
#[test]
fn days_of_all_zones_follow_one_another() {
    let bundled = TimeZoneDatabase::bundled();
    for name in bundled.available() {
        let Ok(zone) = name.as_str().parse::<Zone>() else { continue };
        let billing = Billing::new(1, zone);
        for years in [2010..2012, 2026..2028] {
            let days = Day::from(date(years.start, 1, 1)).0..Day::from(date(years.end, 1, 1)).0;
            for day in days.map(Day) {
                let (start, end) = (billing.start_ms(day), billing.start_ms(day.next()));
                assert!(start <= end, "{name} {day}");
                if start < end {
                    assert_eq!((billing.day(start), billing.day(end - 1)), (day, day), "{name} {day}");
                }
            }
        }
    }
}

proptest! {
    /// Each moment is in one period: the one whose first moment is the last one before it.
    #[test]
    fn each_moment_is_in_one_period(
        near in ms("1971-01-01T00:00:00Z")..ms("2199-01-01T00:00:00Z"),
        offset_ms in prop_oneof![-7_200_000..7_200_000_i64, -200_000_000..200_000_000_i64],
        name in select(TimeZoneDatabase::bundled().available().map(|name| name.as_str().to_owned()).collect::<Vec<_>>()),
        reset_day in 1..=31_u8,
    ) {
        let Ok(zone) = name.parse::<Zone>() else { return Ok(()) };
        let billing = Billing::new(reset_day, zone);
        let near = billing.start_ms(billing.period_start(billing.day(near)));
        let at = near.saturating_add_signed(offset_ms);
        let today = billing.day(at);
        let (start, end) = (billing.period_start(today), billing.period_end(today));
        prop_assert!(billing.start_ms(start) <= at && at < billing.start_ms(end), "{start} {today} {end}");
        // The periods beside it end and begin where it begins and ends.
        prop_assert_eq!((billing.period_start(end), billing.period_end(Day(start.0 - 1))), (end, start));
        prop_assert!((28..=31).contains(&(end.0 - start.0)), "{start} {end}");
        for start in [start, end] {
            let date = start.date();
            prop_assert_eq!(date.day(), (reset_day as i8).min(date.days_in_month()));
        }
    }
}
