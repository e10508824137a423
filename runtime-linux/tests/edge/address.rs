//! Names with several addresses, look-ups that fail or never end, and what the status says of them. Names and name servers
//! are those of a mount namespace, which needs root.

use std::collections::HashSet;
use std::fs;
use std::net::{Ipv6Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use crate::support::{Aggregator, Running, code, edge, stderr, stdout, until};

/// What `edge` is to find in `/etc`.
struct Etc {
    directory: tempfile::TempDir,
    /// Whether it has a network of its own, in which there is none.
    is_offline: bool,
}

impl Etc {
    /// `None` where that is not possible.
    fn new(hosts: &str, resolv_conf: &str) -> Option<Self> {
        let can_mount =
            Command::new("unshare").args(["--mount", "--net", "true"]).stderr(Stdio::null()).status();
        if !can_mount.is_ok_and(|status| status.success()) {
            eprintln!("skipped: mount namespaces need root and the command unshare (Debian: util-linux)");
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let files = [("hosts", hosts), ("resolv.conf", resolv_conf), ("nsswitch.conf", "hosts: files dns\n")];
        for (name, content) in files {
            fs::write(directory.path().join(name), content).unwrap();
        }
        Some(Self { directory, is_offline: false })
    }

    /// `edge run` for the document "pump".
    fn run(&self, store: &Path, aggregator: &str, key: &str) -> Running {
        const SCRIPT: &str = "for file in hosts resolv.conf nsswitch.conf; do mount --bind \"$0/$file\" /etc/$file \
                              || exit 9; done; exec \"$@\"";
        let mut command = Command::new("unshare");
        command.arg("--mount").args(self.is_offline.then_some("--net")).args(["sh", "-c", SCRIPT]);
        command.arg(self.directory.path()).args([env!("CARGO_BIN_EXE_edge"), "run", "--document", "pump"]);
        command.args(["--aggregator", aggregator, "--key", key, "--store"]).arg(store);
        let child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let running = Running(child);
        wait_for("the start of the edge", || store.join("control.sock").exists());
        running
    }
}

fn wait_for(what: &str, mut is_so: impl FnMut() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(20), "{what} did not happen");
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn status(store: &Path) -> Json {
    serde_json::from_str(&stdout(&edge(store, &["status", "--json"]))).unwrap()
}

/// The problem of the status, once there is one, and its text.
fn problem(store: &Path) -> (Json, String) {
    wait_for("the problem", || !status(store)["problem"].is_null());
    let text = stdout(&edge(store, &["status"]));
    let line = text.lines().find(|line| line.starts_with("problem")).unwrap_or_default().to_owned();
    (status(store)["problem"].take(), line)
}

fn set(store: &Path, path: &str) {
    let set = edge(store, &["set", path, "1", "--wait", "--timeout", "30"]);
    assert_eq!(code(&set), 0, "{}\n{}", stderr(&set), stdout(&edge(store, &["status"])));
}

/// Asks a process to end, and waits for that.
fn end(running: &mut Running, signal: &str) {
    let id = running.0.id().to_string();
    assert!(Command::new("kill").args([signal, &id]).status().unwrap().success());
    let mut ended = None;
    wait_for("the end of the edge", || {
        ended = running.0.try_wait().unwrap();
        ended.is_some()
    });
    assert!(ended.unwrap().success(), "{ended:?}");
}

/// All bytes that the ledger has.
fn spent(store: &Path) -> u64 {
    month(store)["total"]["bytes"].as_u64().unwrap_or_default()
}

/// This month in the ledger; nothing if that is empty.
fn month(store: &Path) -> Json {
    let mut report: Json = serde_json::from_str(&stdout(&edge(store, &["ledger", "--json"]))).unwrap();
    report["months"].get_mut(0).map(Json::take).unwrap_or_default()
}

/// Somebody at `[::1]` who takes packets and says nothing.
struct Silent(UdpSocket);

impl Silent {
    /// `None` where there is no IPv6.
    fn at_port_of(aggregator: &Aggregator) -> Option<Self> {
        let port = aggregator.address.parse::<SocketAddr>().unwrap().port();
        let Ok(socket) = UdpSocket::bind((Ipv6Addr::LOCALHOST, port)) else {
            eprintln!("skipped: this machine has no IPv6");
            return None;
        };
        socket.set_nonblocking(true).unwrap();
        Some(Self(socket))
    }

    /// Lengths of the datagrams that have come since the last time.
    fn received(&self) -> Vec<usize> {
        let mut buffer = [0; 2048];
        std::iter::from_fn(|| self.0.recv(&mut buffer).ok()).collect()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_whose_first_address_is_dead_costs_one_packet_more_and_the_next_time_none() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let hosts = "::1 cloud.test other.test\n127.0.0.1 cloud.test other.test\n";
    let (Some(etc), Some(silent)) = (Etc::new(hosts, ""), Silent::at_port_of(&aggregator)) else { return };
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let key = aggregator.key.to_string();
    let port = aggregator.address.rsplit_once(':').unwrap().1;
    let name = format!("cloud.test:{port}");

    let mut running = etc.run(store, &name, &key);
    set(store, "first");
    assert_eq!(silent.received(), [1200], "one first packet");
    // It has 1248 bytes; the two packets of the handshake with the other address have 2456. Where this machine is busy,
    // one of them may be repeated.
    let handshake = month(store)["sent"]["handshake"]["bytes"].as_u64().unwrap();
    assert!((3704..=3704 + 1228).contains(&handshake), "{handshake} bytes");
    let shown = status(store);
    assert_eq!(
        (&shown["aggregator"], &shown["aggregator_address"]),
        (&json!(name), &json!(aggregator.address))
    );
    let text = stdout(&edge(store, &["status"]));
    assert!(text.contains(&format!("aggregator    {name} ({})\n", aggregator.address)), "{text}");

    end(&mut running, "-TERM");
    let mut again = etc.run(store, &name, &key);
    set(store, "again");
    assert_eq!(silent.received(), [0; 0], "the address that worked is first after a restart, too");
    end(&mut again, "-TERM");
    let _other = etc.run(store, &format!("other.test:{port}"), &key);
    set(store, "other");
    assert_eq!(silent.received(), [1200], "what is known of one name is not known of another");
    assert_eq!(aggregator.tree().await, json!({"first": 1, "again": 1, "other": 1}));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_attempt_that_fails_says_what_came_of_each_address() {
    let aggregator = Aggregator::start("pump", HashSet::new()).await;
    let Some(etc) = Etc::new("::1 cloud.test\n127.0.0.1 cloud.test\n", "") else { return };
    let Some(silent) = Silent::at_port_of(&aggregator) else { return };
    let directory = tempfile::tempdir().unwrap();
    let port = aggregator.address.rsplit_once(':').unwrap().1;
    let _running = etc.run(directory.path(), &format!("cloud.test:{port}"), &"00".repeat(32));
    let (problem, text) = problem(directory.path());
    assert_eq!(problem["code"], "no_connection", "{problem}");
    let [first, second] = &problem["tried"].as_array().unwrap()[..] else { panic!("{problem}") };
    assert_eq!(
        (&first["address"], &first["outcome"]),
        (&json!(format!("[::1]:{port}")), &json!("no_answer"))
    );
    assert_eq!((&second["address"], &second["outcome"]), (&json!(aggregator.address), &json!("failed")));
    assert!(
        text.contains(&format!("no answer from [::1]:{port} in 1 s; {}: wrong", aggregator.address)),
        "{text}"
    );
    assert_eq!(silent.received().len(), 1);
}

#[test]
fn a_look_up_that_never_ends_keeps_nobody_waiting() {
    const SERVER: &str = "127.77.0.1";
    let resolv_conf = format!("nameserver {SERVER}\noptions timeout:30 attempts:5\n");
    let Some(etc) = Etc::new("127.0.0.1 localhost\n", &resolv_conf) else { return };
    let Ok(server) = UdpSocket::bind((SERVER, 53)) else {
        eprintln!("skipped: the port of a name server is taken at {SERVER}");
        return;
    };
    server.set_nonblocking(true).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    for signal in ["-TERM", "-INT"] {
        let mut running = etc.run(store, "cloud.test:4433", &"00".repeat(32));
        wait_for("the look-up", || server.recv(&mut [0; 512]).is_ok());
        let shown = status(store);
        assert_eq!((&shown["link"], &shown["aggregator_address"]), (&json!("connecting"), &Json::Null));
        assert_eq!(shown["waits_for"], "the look-up of cloud.test:4433");
        assert_eq!(code(&edge(store, &["set", "a", "1"])), 0);
        end(&mut running, signal);
        while server.recv(&mut [0; 512]).is_ok() {}
    }
}

#[test]
fn a_failed_look_up_is_called_one() {
    // Nobody is at the name server's port, which the system says at once.
    let Some(etc) = Etc::new("127.0.0.1 localhost\n", "nameserver 127.77.0.2\n") else { return };
    let directory = tempfile::tempdir().unwrap();
    let _running = etc.run(directory.path(), "cloud.test:4433", &"00".repeat(32));
    let (problem, text) = problem(directory.path());
    assert_eq!((&problem["code"], &problem["name"]), (&json!("look_up_failed"), &json!("cloud.test")));
    assert!(
        text.contains("the look-up of cloud.test failed: ") && text.contains("/etc/resolv.conf"),
        "{text}"
    );
    assert_eq!(spent(directory.path()), 0);
}

#[test]
fn an_address_that_the_system_does_not_send_to_costs_nothing_and_is_called_that() {
    let hosts = "2001:db8::7 cloud.test\n192.0.2.7 cloud.test\n";
    let Some(etc) = Etc::new(hosts, "") else { return };
    let etc = Etc { is_offline: true, ..etc };
    for (aggregator, addresses) in [
        ("cloud.test:4433", &["[2001:db8::7]:4433", "192.0.2.7:4433"][..]),
        ("192.0.2.8:1", &["192.0.2.8:1"]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let _running = etc.run(directory.path(), aggregator, &"00".repeat(32));
        let (problem, text) = problem(directory.path());
        assert_eq!(problem["code"], "unreachable", "{problem}");
        for address in addresses {
            assert!(text.contains("this device cannot send to ") && text.contains(address), "{text}");
        }
        assert_eq!(spent(directory.path()), 0);
    }
}

#[test]
fn what_is_no_address_is_told_without_a_look_up() {
    let directory = tempfile::tempdir().unwrap();
    for (aggregator, detail) in [("cloud.test", "port is missing"), ("192.0.2.7:0", "port 0")] {
        let key = "00".repeat(32);
        let arguments = ["--aggregator", aggregator, "--key", &key, "--document", "pump"];
        let _running = Running::start(directory.path(), &arguments);
        let (problem, text) = problem(directory.path());
        assert_eq!(problem["code"], "address", "{problem}");
        assert!(text.contains(&format!("\"{aggregator}\" is no address")) && text.contains(detail), "{text}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_link_local_address_has_the_name_or_the_number_of_its_interface() {
    let Some((ip, interface, number)) = link_local() else {
        eprintln!("skipped: no interface of this machine has a link-local address");
        return;
    };
    let aggregator = Aggregator::start_at(Ipv6Addr::UNSPECIFIED, &["pump"], HashSet::new()).await;
    let port = aggregator.address.rsplit_once(':').unwrap().1;
    let key = aggregator.key.to_string();
    for scope in [format!("%{interface}"), format!("%{number}")] {
        let directory = tempfile::tempdir().unwrap();
        let address = format!("[{ip}{scope}]:{port}");
        let arguments = ["--aggregator", &address, "--key", &key, "--document", "pump"];
        let _running = Running::start(directory.path(), &arguments);
        set(directory.path(), "a");
        let shown = status(directory.path());
        assert_eq!(shown["aggregator_address"], json!(format!("[{ip}%{number}]:{port}")));
    }
    let directory = tempfile::tempdir().unwrap();
    let address = format!("[{ip}]:{port}");
    let _running =
        Running::start(directory.path(), &["--aggregator", &address, "--key", &key, "--document", "pump"]);
    let (problem, text) = problem(directory.path());
    assert_eq!(problem["code"], "unreachable");
    assert!(text.contains("it lacks its interface, such as in [fe80::7%eth0]:4433"), "{text}");
    until("the end", async || aggregator.tree().await == json!({"a": 1})).await;
}

/// A link-local address of this machine, and name and number of its interface.
fn link_local() -> Option<(Ipv6Addr, String, u32)> {
    let table = fs::read_to_string("/proc/net/if_inet6").ok()?;
    table.lines().find_map(|line| {
        let [ip, number, _, _, _, interface] = line.split_whitespace().collect::<Vec<_>>()[..] else {
            return None;
        };
        let ip = Ipv6Addr::from(u128::from_str_radix(ip, 16).ok()?);
        let number = u32::from_str_radix(number, 16).ok()?;
        ip.is_unicast_link_local().then(|| (ip, interface.to_owned(), number))
    })
}
