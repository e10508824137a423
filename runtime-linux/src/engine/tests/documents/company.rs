//! What waits for company, in datagrams and bytes of IP on the real transport.

use super::*;

/// What the device and the aggregator sent since `before`.
fn since(town: &Town, before: [(u64, u64); 2]) -> [(u64, u64); 2] {
    [0, 1].map(|side| (town.seen[side].0 - before[side].0, town.seen[side].1 - before[side].1))
}

/// Writes a value each second for a day.
fn day(rule: &str) -> [(u64, u64); 2] {
    let mut town = town_under(&["pump"], &[rule], |_| {});
    let before = town.seen;
    for second in 0..86_400 {
        town.set(0, "speed", second % 100);
        town.sleep(seconds(1));
    }
    town.sleep(seconds(59));
    assert_eq!(town.cloud_get("pump", "speed"), Some(Scalar::I64(99)));
    assert_eq!(town.connects, 1);
    since(&town, before)
}

#[test]
fn a_value_written_each_second_costs_a_datagram_a_minute() {
    // One for each minute, and its acknowledgement; the others are acknowledgements of the device's own.
    assert_eq!(day("speed=max-delay:1m"), [(1_483, 103_750), (1_440, 76_340)]);
}

#[test]
fn what_waits_in_several_documents_leaves_in_one_datagram() {
    let rules = ["a=max-delay:15m", "b=max-delay:1h", "logs=background"];
    let mut town = town_under(&["pump", "town"], &rules, |_| {});
    // The paths are known by numbers then.
    for document in [0, 1] {
        for path in ["a", "b", "logs"] {
            town.set(document, path, 1);
        }
    }
    town.sleep(seconds(901));
    let before = town.seen;
    for document in [0, 1] {
        for (path, value) in [("b", 2), ("logs", 3), ("a", 4)] {
            town.set(document, path, value);
            town.sleep(seconds(60));
        }
    }
    assert_eq!(since(&town, before), [(0, 0), (0, 0)]);
    // The first of the six that is due is the first `a`, two minutes after the first `b`.
    town.sleep(seconds(900 - 4 * 60 - 1));
    assert_eq!(since(&town, before), [(0, 0), (0, 0)]);
    town.sleep(seconds(2));
    assert_eq!(since(&town, before), [(1, 107), (1, 51)]);
    for document in ["pump", "town"] {
        assert_eq!(town.cloud_get(document, "logs"), Some(Scalar::I64(3)));
        assert_eq!(town.cloud_get(document, "a"), Some(Scalar::I64(4)));
    }
    // All of it together waits for nobody any more.
    let before = town.seen;
    town.sleep(seconds(2_000));
    assert_eq!(since(&town, before), [(0, 0), (0, 0)]);
}

/// The headers of the answer are paid.
#[test]
fn an_answer_of_one_document_takes_along_what_waits_in_another() {
    let mut town = town_under(&["pump", "town"], &["=max-delay:1d"], |_| {});
    town.set(1, "speed", 7);
    let moment = town.moment();
    let pump = town.documents.get_mut("pump").unwrap();
    pump.update(moment, &[Write::set(Path::new("setpoint").unwrap(), 5)]).unwrap();
    town.sleep(seconds(60));
    assert_eq!(town.cloud_get("town", "speed"), None, "what comes in is no reason to speak");
    let before = town.seen[0].0;
    town.documents.get_mut("pump").unwrap().request_acknowledgement();
    town.sleep(seconds(60));
    assert_eq!(town.cloud_get("town", "speed"), Some(Scalar::I64(7)));
    assert_eq!(town.seen[0].0 - before, 1, "both in one datagram");
}
