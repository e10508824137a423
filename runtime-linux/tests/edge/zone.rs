//! The zone and the reset day of a data plan: what a process remembers of them, and what it tells.

use std::collections::HashSet;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use runtime_linux::{Billing, Zone};
use serde_json::{Value as Json, json};

use crate::support::{Aggregator, Running, code, edge, stderr, stdout};

fn told(store: &Path, command: &str) -> Json {
    serde_json::from_str(&stdout(&edge(store, &[command, "--json"]))).unwrap()
}

/// Runs an edge until one value is at the aggregator; tells its status then, and stops it in order.
fn run_for_a_value(store: &Path, arguments: &[&str], value: &str) -> Json {
    let mut running = Running::start(store, arguments);
    let done = edge(store, &["set", "a", value, "--wait"]);
    assert_eq!(code(&done), 0, "{}", stderr(&done));
    let status = told(store, "status");
    Command::new("kill").arg(running.0.id().to_string()).status().unwrap();
    running.0.wait().unwrap();
    status
}

fn total(rows: &Json) -> u64 {
    rows.as_array().unwrap().iter().map(|row| row["total"]["bytes"].as_u64().unwrap()).sum()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_zone_of_the_plan_is_remembered_and_named() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let key = aggregator.key.to_string();
    let link = ["--aggregator", &aggregator.address, "--key", &key, "--document", "pump"];
    let plan = ["--budget", "5MB/month", "--budget-reset-day", "31", "--budget-zone", "america/los_angeles"];
    let status = run_for_a_value(store, &[&link[..], &plan].concat(), "1");
    let budget = &status["budget"];
    assert_eq!(budget["zone"], "America/Los_Angeles", "{budget}");
    let (from, until) = (budget["period_from"].as_str().unwrap(), budget["period_until"].as_str().unwrap());
    for date in [from, until] {
        let date: jiff::civil::Date = date.parse().unwrap();
        assert_eq!(date, date.last_of_month());
    }

    // The ledger tells it while no edge runs, and what looks into the store does not change it.
    assert_eq!(stdout(&edge(store, &["get", "a"])), "1\n");
    let report = told(store, "ledger");
    assert_eq!((&report["zone"], &report["reset_day"]), (&json!("America/Los_Angeles"), &json!(31)));
    let month = &report["months"][0];
    assert_eq!((&month["from"], &month["until"]), (&json!(from), &json!(until)));
    for row in [month, &report["days"][0]] {
        assert_eq!(row["zone"], "America/Los_Angeles", "{row}");
    }
    let table = stdout(&edge(store, &["ledger"]));
    assert!(table.contains("Months begin on their last day, at midnight in America/Los_Angeles."), "{table}");

    let _running = Running::start(store, &[&link[..], &plan].concat());
    let text = stdout(&edge(store, &["status"]));
    assert!(text.contains(&format!("since {from}, until {until} (America/Los_Angeles)")), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_zone_holds_for_the_ledger_without_a_budget_too() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let key = aggregator.key.to_string();
    let arguments = [
        "--aggregator",
        &aggregator.address,
        "--key",
        &key,
        "--document",
        "pump",
        "--budget-zone",
        "Pacific/Kiritimati",
    ];
    let now = || u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap();
    let billing = Billing::new(1, "Pacific/Kiritimati".parse::<Zone>().unwrap());
    let before = billing.day(now()).to_string();
    run_for_a_value(store, &arguments, "1");
    let after = billing.day(now()).to_string();
    let report = told(store, "ledger");
    let day = report["days"].as_array().unwrap().last().unwrap();
    assert_eq!((&report["zone"], &day["zone"]), (&json!("Pacific/Kiritimati"), &json!("Pacific/Kiritimati")));
    assert!((before.as_str()..=after.as_str()).contains(&day["from"].as_str().unwrap()), "{day}");
}

/// Each time the month begins on another day, and in another zone: no byte is in two rows, and what was spent stays spent.
#[tokio::test(flavor = "multi_thread")]
async fn another_reset_day_and_another_zone_count_no_byte_twice() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let key = aggregator.key.to_string();
    let link = ["--aggregator", &aggregator.address, "--key", &key, "--document", "pump"];
    let today = jiff::tz::TimeZone::UTC.to_datetime(jiff::Timestamp::now()).date();
    let mut spent = 0;
    for (round, (days, zone)) in
        [(1, "UTC"), (0, "UTC"), (-9, "Europe/Berlin"), (9, "America/New_York"), (0, "Asia/Tokyo")]
            .into_iter()
            .enumerate()
    {
        let reset_day = today.saturating_add(jiff::SignedDuration::from_hours(24 * days)).day().to_string();
        let plan = ["--budget", "5MB", "--budget-reset-day", &reset_day, "--budget-zone", zone];
        let status = run_for_a_value(store, &[&link[..], &plan].concat(), &round.to_string());
        let budget = &status["budget"];
        let ip_bytes =
            status["ip_bytes_sent"].as_u64().unwrap() + status["ip_bytes_received"].as_u64().unwrap();
        let now = budget["spent_bytes"].as_u64().unwrap();
        assert!(now >= spent + ip_bytes, "{now} after {spent} and {ip_bytes}: {budget}");
        spent = now;

        let report = told(store, "ledger");
        let months = report["months"].as_array().unwrap();
        for pair in months.windows(2) {
            assert!(pair[0]["until"].as_str() <= pair[1]["from"].as_str(), "{} {}", pair[0], pair[1]);
        }
        assert_eq!(total(&report["months"]), total(&report["days"]), "{report}");
        // In other zones it may be another day than the one that was counted last.
        if zone == "UTC" {
            assert_eq!(months.last().unwrap()["until"], budget["period_until"], "{report}");
        }
    }
}

/// Many embedded systems have no time zones.
#[test]
fn zones_are_known_where_the_system_has_none() {
    let directory = tempfile::tempdir().unwrap();
    let empty = directory.path().join("zones");
    std::fs::create_dir(&empty).unwrap();
    let refused = |zone: &str| {
        // Refused for the name of its document, after the arguments were read.
        let mut command = Command::new(env!("CARGO_BIN_EXE_edge"));
        command.args(["run", "--document", "", "--budget-zone", zone]).env("TZDIR", &empty);
        stderr(&command.arg("--store").arg(directory.path()).output().unwrap())
    };
    assert!(refused("Africa/Nairobi").contains("no name of a document"), "{}", refused("Africa/Nairobi"));
    assert!(refused("Africa/Nairob").contains("did you mean Africa/Nairobi?"));
}
