use proptest::prelude::*;
use transport_quic::{Cause, Count};

use super::*;

fn ledger(seed: u64) -> Ledger {
    let mut ledger = Ledger::default();
    for (i, cause) in Cause::ALL.into_iter().enumerate() {
        let n = seed.wrapping_mul(i as u64 + 3) % 997;
        ledger.sent[cause] = Count { packets: n / 100, bytes: n };
        ledger.received[cause] = Count { packets: n / 90, bytes: n * 3 % 1009 };
    }
    ledger
}

fn monthly(reset_day: u8) -> Billing {
    Billing::new(reset_day, Zone::UTC)
}

fn reopened(books: &mut Books, store: &Store, reset_day: u8) -> Books {
    let mut batch = Batch::new();
    books.stage(&mut batch);
    store.commit(&batch).unwrap();
    Books::load(store, monthly(reset_day)).unwrap()
}

#[test]
fn the_books_come_back_as_they_were_saved_and_stay_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("store.redb")).unwrap();
    let mut books = Books::new(monthly(10));
    for day in 20_000..21_500 {
        books.record(Day(day), ledger(day.into()));
    }
    let again = reopened(&mut books, &store, 10);
    assert_eq!(again.report(), books.report());
    let report = again.report();
    assert_eq!((report.days.len(), report.months.len()), (92, 36));
    assert_eq!(report.days.last().unwrap().from, "2028-11-11");
    assert_eq!(report.months.last().unwrap().from, "2028-11-10");
    assert!(!books.has_unsaved() && !again.has_unsaved());

    // The period of the new reset day is the sum of its days.
    let moved = reopened(&mut books, &store, 5);
    let bytes = (0..7).map(|i| books.day_bytes(Day(21_499 - i))).sum::<u64>();
    assert_eq!((moved.newest_day(), moved.period_bytes(Day(21_499))), (Some(Day(21_499)), bytes));
}

fn day(text: &str) -> Day {
    text.parse::<jiff::civil::Date>().unwrap().into()
}

fn bytes(bytes: u64) -> Ledger {
    let mut ledger = Ledger::default();
    ledger.sent[Cause::Cells] = Count { packets: 1, bytes };
    ledger
}

/// First day, first day after it, bytes.
fn months(books: &Books) -> Vec<(String, String, u64)> {
    books.report().months.into_iter().map(|row| (row.from, row.until, row.total.bytes)).collect()
}

fn row(from: &str, until: &str, bytes: u64) -> (String, String, u64) {
    (from.to_owned(), until.to_owned(), bytes)
}

fn store() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = Store::open(&directory.path().join("store.redb")).unwrap();
    (directory, store)
}

#[test]
fn a_reset_day_that_moves_on_cuts_the_row_that_is_under_way() {
    let (_directory, store) = store();
    let mut books = Books::new(monthly(1));
    for (text, count) in [("2026-10-31", 1), ("2026-11-01", 20), ("2026-11-14", 300), ("2026-11-16", 4_000)] {
        books.record(day(text), bytes(count));
    }
    let mut books = reopened(&mut books, &store, 15);
    books.follow(day("2026-11-20"));
    let expected = [
        row("2026-10-01", "2026-11-01", 1),
        row("2026-11-01", "2026-11-15", 320),
        row("2026-11-15", "2026-12-15", 4_000),
    ];
    assert_eq!(months(&books), expected);
    assert_eq!(books.period_bytes(day("2026-11-20")), 4_000);
    // So it is in the store, and goes on.
    let mut books = reopened(&mut books, &store, 15);
    assert_eq!(months(&books), expected);
    books.record(day("2026-12-14"), bytes(50_000));
    books.record(day("2026-12-15"), bytes(600_000));
    assert_eq!(
        months(&books)[2..],
        [row("2026-11-15", "2026-12-15", 54_000), row("2026-12-15", "2027-01-15", 600_000)]
    );
}

#[test]
fn a_reset_day_that_moves_back_ends_the_row_that_is_under_way_sooner() {
    let (_directory, store) = store();
    let mut books = Books::new(monthly(15));
    for (text, count) in [("2026-11-03", 1), ("2026-11-16", 20)] {
        books.record(day(text), bytes(count));
    }
    let mut books = reopened(&mut books, &store, 1);
    books.record(day("2026-11-20"), bytes(300));
    books.record(day("2026-12-01"), bytes(4_000));
    assert_eq!(
        months(&books),
        [
            row("2026-10-15", "2026-11-15", 1),
            row("2026-11-15", "2026-12-01", 320),
            row("2026-12-01", "2027-01-01", 4_000)
        ]
    );
    // The whole of November, as the plan has it.
    assert_eq!(books.period_bytes(day("2026-11-20")), 321);
}

#[test]
fn a_row_without_traffic_since_the_new_reset_day_leaves_no_empty_one() {
    let mut books = Books::new(monthly(1));
    books.record(day("2026-11-03"), bytes(1));
    books.billing = monthly(15);
    books.follow(day("2026-11-20"));
    assert_eq!(months(&books), [row("2026-11-01", "2026-11-15", 1)]);
    books.record(day("2026-11-20"), bytes(20));
    assert_eq!(months(&books)[1..], [row("2026-11-15", "2026-12-15", 20)]);
    // Nor does one whose traffic is all of the new month.
    books.billing = monthly(20);
    books.follow(day("2026-11-21"));
    assert_eq!(months(&books)[1..], [row("2026-11-20", "2026-12-20", 20)]);
    let (_directory, store) = store();
    let stored = reopened(&mut books, &store, 20);
    assert_eq!(months(&stored), months(&books));
}

#[test]
fn rows_name_the_zone_in_which_they_were_counted_last() {
    let mut books = Books::new(monthly(1));
    books.record(day("2026-10-03"), bytes(1));
    books.record(day("2026-11-02"), bytes(1));
    books.record(day("2026-11-03"), bytes(1));
    books.billing = Billing::new(1, "Europe/Berlin".parse().unwrap());
    books.record(day("2026-11-03"), bytes(1));
    let report = books.report();
    let zones = |rows: &[ReportRow]| rows.iter().map(|row| row.zone.clone()).collect::<Vec<_>>();
    assert_eq!(report.zone, "Europe/Berlin");
    assert_eq!(zones(&report.months), ["UTC", "Europe/Berlin"]);
    assert_eq!(zones(&report.days), ["UTC", "UTC", "Europe/Berlin"]);
    let text = report.to_string();
    assert!(text.contains("Months begin on day 1, at midnight in Europe/Berlin."), "{text}");
    assert!(text.lines().nth(2).is_some_and(|line| line.ends_with("  Europe/Berlin")), "{text}");
}

/// Rows had no ends, their place was that of the month in which they began, and they overlapped.
#[test]
fn the_rows_of_an_earlier_version_are_taken_over() {
    let (_directory, store) = store();
    let mut batch = Batch::new();
    let record = |text: &str, count: u64| {
        let (Day(start), traffic) = (day(text), r#""packets":1,"bytes""#);
        format!(r#"{{"start":{start},"sent":{{"cells":{{{traffic}:{count}}}}},"received":{{}}}}"#)
            .into_bytes()
    };
    // Counted from the 15th on, then from the 1st on.
    for (text, count) in [("2026-10-20", 1), ("2026-11-03", 20), ("2026-11-16", 300)] {
        batch.set(day_setting((day(text).0 % DAYS_KEPT).into()), record(text, count));
    }
    for (slot, text, count) in [(21, "2026-10-15", 21), (22, "2026-11-01", 320)] {
        batch.set(month_setting(slot), record(text, count));
    }
    store.commit(&batch).unwrap();
    let mut books = Books::load(&store, monthly(1)).unwrap();
    let expected = [row("2026-10-15", "2026-11-01", 1), row("2026-11-01", "2026-12-01", 320)];
    assert_eq!(months(&books), expected);
    assert!(books.report().months.iter().chain(&books.report().days).all(|row| row.zone == "UTC"));
    books.record(day("2026-12-01"), bytes(4_000));
    let again = reopened(&mut books, &store, 1);
    assert_eq!(months(&again)[..2], expected);
    assert_eq!(months(&again)[2..], [row("2026-12-01", "2027-01-01", 4_000)]);
}

/// More months than are kept, and a clock that was in another century in between.
#[test]
fn the_row_that_was_begun_first_makes_room() {
    let (_directory, store) = store();
    let mut books = Books::new(monthly(1));
    books.record(day("2099-06-01"), bytes(1));
    for month in 0..40 {
        books.record(Day(20_454 + month * 31), bytes(u64::from(month) + 2));
    }
    let books = reopened(&mut books, &store, 1);
    let months = months(&books);
    assert_eq!((months.len(), months[0].2, months[35].2), (36, 6, 41));
}

#[test]
fn no_day_is_too_late() {
    let mut books = Books::new(monthly(31));
    for day in [Day(0), Day(u32::MAX), Day::LAST, Day(u32::MAX), Day(0)] {
        books.record(day, bytes(1));
        books.follow(day);
    }
    let total: u64 = months(&books).iter().map(|(_, _, bytes)| bytes).sum();
    assert_eq!((months(&books).len(), total), (2, 5));
    assert_eq!((books.period_bytes(Day::LAST), books.period_bytes(Day(0))), (3, 2));
    let _ = (books.period_bytes(Day(u32::MAX)), books.days_bytes(Day(9)..Day(3)), books.known_ms());
}

proptest! {
    /// Whatever the clock does, and however often the plan changes: what was counted is in the days, in one of the months,
    /// and under the causes; and the months do not overlap.
    #[test]
    fn days_months_and_causes_add_up(
        steps in prop::collection::vec(
            (20_000_u32..20_080, any::<u64>(), prop::option::weighted(0.2, (1_u8..=31, any::<bool>()))),
            1..60,
        ),
    ) {
        let mut books = Books::default();
        let mut total = Ledger::default();
        let store = store();
        for (day, seed, plan) in steps {
            if let Some((reset_day, is_elsewhere)) = plan {
                let zone = if is_elsewhere { "Asia/Tokyo".parse().unwrap() } else { Zone::UTC };
                let mut batch = Batch::new();
                books.stage(&mut batch);
                store.1.commit(&batch).unwrap();
                books = Books::load(&store.1, Billing::new(reset_day, zone)).unwrap();
                books.follow(Day(day));
            }
            books.record(Day(day), ledger(seed));
            total += ledger(seed);
            let month = books.report().months.into_iter().filter(|row| {
                (row.from.as_str()..row.until.as_str()).contains(&Day(day).to_string().as_str())
            });
            // A first record of nothing makes no row.
            prop_assert!(month.count() == 1 || total == Ledger::default());
        }
        let report = books.report();
        for rows in [&report.days, &report.months] {
            let mut sum = Ledger::default();
            for row in rows {
                let by_cause: u64 = Cause::ALL.iter().map(|c| row.sent[*c].bytes + row.received[*c].bytes).sum();
                prop_assert_eq!(by_cause, row.total.bytes);
                sum += Ledger { sent: row.sent, received: row.received };
            }
            prop_assert_eq!(sum, total);
            for pair in rows.windows(2) {
                prop_assert!(pair[0].until <= pair[1].from, "{} {}", pair[0].until, pair[1].from);
            }
        }
    }
}
