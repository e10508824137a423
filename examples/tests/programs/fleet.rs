//! The main job, small: real processes over loopback, looked at from outside.

use std::net::UdpSocket;
use std::process::{Command, Output};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

fn fleet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_fleet")).args(arguments).output().expect("the program starts")
}

#[test]
fn a_small_fleet_converges_and_loses_nothing() {
    let output = fleet(&["--devices", "3", "--seconds", "6", "--link", "loopback", "--json"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{stderr}", output.status);
    let stdout = String::from_utf8(output.stdout).unwrap();
    let summary: Json = serde_json::from_str(stdout.lines().last().unwrap()).unwrap();

    assert_eq!(summary["devices"], 3);
    assert_eq!(summary["converged"], true);
    assert_eq!(summary["acknowledged_lost"], 0);
    assert_eq!(summary["durable_lost"], 0);
    assert_eq!(summary["cells_different"], 0);
    let number = |key: &str| summary[key].as_f64().unwrap();
    // Three devices report once a second, and are edited about four times each.
    assert!(number("updates") >= 20.0, "{summary}");
    assert!(number("acknowledged") >= number("updates_by_cloud") + 3.0, "{summary}");
    assert!(number("cells_compared") >= 3.0 * 9.0, "{summary}");
    assert!(number("durable_before_kill") >= 1.0, "{summary}");
    // A connection costs about 4 kB, and there are four of them.
    assert!((11_000.0..24_000.0).contains(&number("ip_bytes_set_up")), "{summary}");
    assert!((20.0..400.0).contains(&number("ip_bytes_per_update_after_set_up")), "{summary}");

    let rows = summary["per_device"].as_array().unwrap();
    assert_eq!(rows.len(), 3);
    let sum = |key: &str| rows.iter().map(|row| row[key].as_u64().unwrap()).sum::<u64>();
    assert_eq!(sum("ip_bytes"), summary["ip_bytes"].as_u64().unwrap());
    assert_eq!(sum("updates_by_device") + sum("updates_by_cloud"), summary["updates"].as_u64().unwrap());
    let fates: Vec<_> = rows.iter().map(|row| row["fate"].as_str().unwrap()).collect();
    assert!(fates.contains(&"cut off") && fates.contains(&"killed"), "{fates:?}");
    for row in rows {
        assert!(row["converged_ms"].as_u64().unwrap() < 10_000, "{row}");
        assert!(row["payload_bytes"].as_u64().unwrap() > 100, "{row}");
    }
}

#[test]
fn a_port_in_use_is_said_and_nothing_stays() {
    let taken = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let temporary = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_fleet"))
        .args(["--devices", "2", "--port", &port])
        .env("TMPDIR", temporary.path())
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("the aggregator ended early"), "{stderr}");
    assert!(stderr.contains(&format!("127.0.0.1:{port}")) && stderr.contains("in use"), "{stderr}");
    assert_eq!(temporary.path().read_dir().unwrap().count(), 0);
}

/// Killing the supervisor is the one end that it cannot prepare: its processes must see for themselves that it is gone.
#[test]
fn no_process_outlives_a_killed_supervisor() {
    let temporary = tempfile::tempdir().unwrap();
    let mut supervisor = Command::new(env!("CARGO_BIN_EXE_fleet"))
        .args(["--devices", "2", "--link", "loopback"])
        .env("TMPDIR", temporary.path())
        .stderr(std::process::Stdio::null())
        .spawn()
        .unwrap();
    let ours = temporary.path().to_str().unwrap();
    wait_for("the supervisor and its four processes", || processes_with(ours) == 5);
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    wait_for("their end", || processes_with(ours) == 0);
}

#[test]
fn a_wrong_argument_names_the_right_ones() {
    let output = fleet(&["--link", "5g"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr.contains("cat-m1, nb-iot, lte, loopback"), "{stderr}");
    assert!(!fleet(&["--devices", "0"]).status.success());
    let help = String::from_utf8(fleet(&["--help"]).stdout).unwrap();
    assert!(help.contains("Examples:") && !help.contains("role-"), "{help}");
}

fn wait_for(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited too long for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Processes that have this text in their environment.
fn processes_with(text: &str) -> usize {
    let is_process = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().parse::<u32>().is_ok();
    let entries = std::fs::read_dir("/proc").expect("the tests run on Linux").flatten().filter(is_process);
    let environments = entries.filter_map(|entry| std::fs::read(entry.path().join("environ")).ok());
    environments.filter(|bytes| bytes.windows(text.len()).any(|part| part == text.as_bytes())).count()
}
