//! Peers that break the protocol, and stores that cannot be used.

use std::fs;

use crdt_core::{Config, CountingRng, DocumentName, Replica, Role};

use crate::device::Device;
use crate::process::{Aggregator, done, failed, status};

/// Each bad frame ends the connection it came on. The other device does not notice.
#[tokio::test]
async fn a_malformed_frame_closes_one_connection_only() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let aggregator = Aggregator::start(store);
    let (mut bad, mut good) = (Device::new(1, "site"), Device::new(2, "site"));
    for key in [bad.key(), good.key()] {
        done(store, &["allow", &key.to_string()]);
    }
    good.connect(&aggregator).await;
    let cases: [(&[u8], &str); 5] = [
        (b"", "handle"),
        (b"\x07\x03", "handle 7 was never opened"),
        (b"\xff\xff\xff\xff\xff", "handle"),
        (b"\x00\x7f", "document \"site\""),
        (b"\x00\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "document \"site\""),
    ];
    for (number, (frame, expected)) in cases.into_iter().enumerate() {
        bad.connect(&aggregator).await;
        bad.until("the Open", |device| device.replica.is_connected(crdt_core::PeerId(aggregator.key.0)))
            .await;
        bad.send_raw(frame).await;
        let (code, text) = bad.told().await;
        assert!(code == 2 && text.contains(expected), "{frame:?}: {code} {text}");
        let time = good.set("round", number as i64);
        good.acknowledged(&aggregator, time).await;
    }
    assert_eq!(status(store)["counters"]["protocol_errors"], 5);
    assert_eq!(done(store, &["get", "site", "round"]), "4");
}

#[tokio::test]
async fn a_second_open_is_a_fault() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let aggregator = Aggregator::start(store);
    let mut device = Device::new(1, "site");
    done(store, &["allow", &device.key().to_string()]);
    device.connect(&aggregator).await;
    device.until("the Open", |device| device.replica.is_connected(crdt_core::PeerId(aggregator.key.0))).await;
    device.send_raw(&open(5, "site")).await;
    let (code, text) = device.told().await;
    assert!(code == 2 && text.contains("is open on this connection with handle 0 already"), "{code} {text}");

    device.connect(&aggregator).await;
    device.send_raw(&open(0, "site")).await;
    let (code, text) = device.told().await;
    assert!(code == 2 && text.contains("second Open"), "{code} {text}");
}

#[tokio::test]
async fn one_connection_opens_a_bounded_number_of_documents() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let aggregator = Aggregator::start(store);
    let mut device = Device::new(1, "site");
    done(store, &["allow", &device.key().to_string()]);
    device.connect(&aggregator).await;
    for handle in 1..=64 {
        device.send_raw(&open(handle, &format!("document-{handle}"))).await;
    }
    let (code, text) = device.told().await;
    assert!(code == 5 && text.contains("64 documents are open"), "{code} {text}");
}

/// The first frame of an initiator, as the core writes it.
fn open(handle: u16, document: &str) -> Vec<u8> {
    let name = DocumentName::new(document).expect("a document name");
    let mut replica =
        Replica::<crdt_core::Heap, _>::new(&name, Config::new(Role::Member), CountingRng::new(77));
    let peer = crdt_core::PeerId([9; 32]);
    let connect = crdt_core::Connect::initiator(peer, Role::Aggregator, handle);
    replica.connect(connect).expect("capacity for a session");
    let mut buffer = [0; 1024];
    loop {
        match replica.poll_output(crate::device::moment(), &mut buffer) {
            Some(crdt_core::Output::Persist) => {
                let token = replica.take_unsaved(|_| {});
                replica.handle_persisted(token);
            }
            Some(crdt_core::Output::Transmit { len, .. }) => return buffer[..len].to_vec(),
            Some(_) => {}
            None => panic!("no Open"),
        }
    }
}

#[test]
fn a_store_has_one_server() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let _aggregator = Aggregator::start(store);
    let said = failed(store, &["serve", "--listen", "127.0.0.1:0"], 6);
    assert!(said.contains("open in another process"), "{said}");
    assert_eq!(
        done(store, &["allow", &"ab".repeat(32)]),
        format!("{} may now open every document", "ab".repeat(32))
    );
}

#[test]
fn a_port_that_is_taken_is_named() {
    let directory = tempfile::tempdir().unwrap();
    let aggregator = Aggregator::start(&directory.path().join("one"));
    let address = aggregator.address.to_string();
    let said = failed(&directory.path().join("two"), &["serve", "--listen", &address], 1);
    assert!(said.contains(&address) && said.contains("--listen"), "{said}");
}

#[test]
fn a_store_that_cannot_be_used_is_named_and_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let file = store.join("aggregator.redb");
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    assert!(failed(store, &["list"], 6).contains("does not exist"));

    fs::write(&file, "[settings]\nthis is no store\n").unwrap();
    assert!(failed(store, &serve, 6).contains("is not a store"));
    assert_eq!(fs::read_to_string(&file).unwrap(), "[settings]\nthis is no store\n");
    fs::remove_file(&file).unwrap();

    done(store, &["init"]);
    done(store, &["set", "site", "a", "1"]);
    let mut bytes = fs::read(&file).unwrap();
    let intact = bytes.clone();
    let middle = bytes.len() / 2;
    for at in (0..bytes.len()).filter(|at| *at > 4096 && *at < middle + 4096) {
        bytes[at] ^= 0x55;
    }
    fs::write(&file, &bytes).unwrap();
    let said = failed(store, &serve, 6);
    assert!(said.contains("damaged") && said.contains("aggregator.redb"), "{said}");

    fs::write(&file, &intact[..intact.len() / 2]).unwrap();
    failed(store, &serve, 6);

    fs::write(&file, &intact).unwrap();
    assert_eq!(done(store, &["get", "site", "a"]), "1");
}

#[tokio::test]
async fn datagrams_that_are_none_of_ours_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    let store = directory.path();
    let aggregator = Aggregator::start(store);
    let stranger = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let kinds: [(&str, &[u8]); 3] = [
        ("datagrams_malformed", &[0; 100]),
        ("datagrams_unknown", &[0x40; 100]),
        ("datagrams_oversized", &[0x40; 1_500]),
    ];
    for (kind, datagram) in kinds {
        assert_eq!(status(store)["faults"][kind], 0);
        stranger.send_to(datagram, aggregator.address).unwrap();
        while status(store)["faults"][kind] != 1 {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    }
    let text = done(store, &["status"]);
    assert!(text.contains("datagrams  1 malformed, 1 oversized, 0 unauthentic"), "{text}");
}
