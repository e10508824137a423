use super::*;

const VAN: &str = "\
# a van of the night shift
daily 22:00-06:00            # in an underground garage
weekly sat 08:00-12:00       # the workshop

every 40m for 30s            # a tunnel on its round
random every 6h for 1m..20m  # hills
once 3d04:30 for 2h downlink # maintenance
";

fn windows(text: &str, days: u64) -> Vec<(u64, u64)> {
    let schedule: Schedule = text.parse().unwrap();
    let until = SimTime::from_secs(days * DAY_S);
    let windows = schedule.windows(&Clock::new(), until, &mut SimRng::new(1, 0));
    windows.iter().map(|window| (window.from.as_ms() / 1_000, window.until.as_ms() / 1_000)).collect()
}

fn hours(hours: u64) -> u64 {
    hours * 3_600
}

fn refusal(text: &str) -> String {
    text.parse::<Schedule>().unwrap_err().to_string()
}

#[test]
fn a_schedule_is_read_and_written_in_the_same_words() {
    let schedule: Schedule = VAN.parse().unwrap();
    let written: Vec<String> = schedule.rules.iter().map(Rule::to_string).collect();
    let expected = [
        "daily 22:00-06:00",
        "weekly sat 08:00-12:00",
        "every 40m for 30s",
        "random every 6h for 1m..20m",
        "once 3d04:30 for 2h downlink",
    ];
    assert_eq!(written, expected);
    let json = serde_json::to_string(&schedule).unwrap();
    assert_eq!(json, serde_json::to_string(&expected).unwrap());
    assert_eq!(serde_json::from_str::<Schedule>(&json).unwrap(), schedule);
}

#[test]
fn nights_go_past_midnight_and_past_the_beginning() {
    let nights = [(0, hours(6)), (hours(22), hours(30)), (hours(46), hours(54))];
    assert_eq!(windows("daily 22:00-06:00", 2), nights);
    assert_eq!(windows("daily 09:15-09:45", 1), [(hours(9) + 900, hours(9) + 2_700)]);
}

/// A run begins on a Thursday.
#[test]
fn a_weekly_outage_is_on_its_day() {
    assert_eq!(
        windows("weekly sat 08:00-12:00", 10),
        [(hours(56), hours(60)), (hours(56 + 168), hours(60 + 168))]
    );
    assert_eq!(windows("weekly wed 23:00-01:00", 1), [(0, hours(1))], "the one that began the day before");
}

#[test]
fn single_and_regular_outages_are_where_they_should_be() {
    assert_eq!(windows("once 1d04:30 for 2h", 2), [(hours(28) + 1_800, hours(30) + 1_800)]);
    assert_eq!(windows("once 1d04:30 for 2h", 1), []);
    assert_eq!(windows("every 8h for 5m", 1), [(hours(8), hours(8) + 300), (hours(16), hours(16) + 300)]);
}

#[test]
fn random_outages_repeat_with_their_seed_and_have_the_stated_rate_and_length() {
    let year = windows("random every 6h for 1m..20m", 365);
    assert_eq!(year, windows("random every 6h for 1m..20m", 365));
    // 365 x 24 h at one each 6 h and 10.5 minutes.
    assert!((1_360..1_480).contains(&year.len()), "{} outages, 1,419 expected", year.len());
    assert!(year.iter().all(|(from, until)| (60..=1_200).contains(&(until - from))));
    let mean = year.iter().map(|(from, until)| until - from).sum::<u64>() / year.len() as u64;
    assert!((610..650).contains(&mean), "{mean} s, 630 s expected");
    assert!(year.is_sorted_by(|a, b| a.1 < b.0), "they do not overlap");
}

#[test]
fn a_bad_line_is_named_with_what_is_wrong() {
    let cases = [
        (
            "daily 22:00-06:00\nnightly",
            "line 2: \"nightly\" is no rule: a rule begins with daily, weekly, every, random every or once",
        ),
        (
            "daily 22:00",
            "line 1: \"22:00\" is no time span: write it as 22:00-06:00, with two different times",
        ),
        (
            "daily 22:00-22:00",
            "line 1: \"22:00-22:00\" is no time span: write it as 22:00-06:00, with two different times",
        ),
        ("daily 24:00-06:00", "line 1: \"24:00\" is no time: write it as 06:30, from 00:00 to 23:59"),
        ("daily 9:00-10:00", "line 1: \"9:00\" is no time: write it as 06:30, from 00:00 to 23:59"),
        (
            "weekly someday 08:00-09:00",
            "line 1: \"someday\" is no day: use one of mon, tue, wed, thu, fri, sat, sun",
        ),
        (
            "every 0m for 1s",
            "line 1: \"0m\" is no length: write a number from 1 to 9999 and s, m, h or d, as in 90s",
        ),
        (
            "every 10m for 30\u{e9}",
            "line 1: \"30\u{e9}\" is no length: write a number from 1 to 9999 and s, m, h or d, as in 90s",
        ),
        ("every 30s for 1m", "line 1: an outage of 1m every 30s never ends: make it shorter"),
        (
            "\nrandom every 1h for 20m..1m",
            "line 2: 20m..1m ends before it begins: write the shorter length first",
        ),
        ("once 04:30 for 2h", "line 1: \"04:30\" is no moment: write days and time, as in 3d04:30"),
    ];
    for (text, expected) in cases {
        assert_eq!(refusal(text), expected);
    }
    let error = serde_json::from_str::<Schedule>(r#"["daily"]"#).unwrap_err();
    assert!(error.to_string().starts_with("\"daily\" is no rule"), "{error}");
}
