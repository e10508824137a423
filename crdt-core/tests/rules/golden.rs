//! The bytes of format version 1. From the first release on they are never edited: a change of format is a new version
//! with bytes of its own.

use crate::common::{Image, Side, connect, settle};
use crdt_core::{CellRecord, Heap, Role, Value};

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn conversation() -> (Side<Heap>, Side<Heap>) {
    let (mut device, mut cloud) =
        (Side::<Heap>::new(1, Role::Member), Side::<Heap>::new(2, Role::Aggregator));
    device.set("sense/report_period_s", 60);
    device.set("sense/unit", "celsius");
    cloud.set("sense/alarm_high", 78.25);
    connect(&mut device, &mut cloud);
    settle(&mut device, &mut cloud);
    (device, cloud)
}

#[test]
fn the_first_exchange() {
    let (device, cloud) = conversation();
    let frames: Vec<String> = device.frames.iter().map(|f| hex(f)).collect();
    assert_eq!(
        frames,
        [
            "000111860c027731010111111111111111118290c5c38367020005560f0663a31829daaae36354ac45800178dc64bd11c0020763656c7369757311"
        ]
    );
    let frames: Vec<String> = cloud.frames.iter().map(|f| hex(f)).collect();
    assert_eq!(
        frames,
        ["000181861c0022222222222222220101000205da0f0163a31814896639a6598001a27a110a01c97df423"]
    );
}

#[test]
fn an_update_and_its_acknowledgement() {
    let (mut device, mut cloud) = conversation();
    for value in [1, 2] {
        device.frames.clear();
        cloud.frames.clear();
        for side in [&mut device, &mut cloud] {
            side.now_ms += 900_000;
        }
        device.set("sense/report_period_s", value);
        device.replica.request_acknowledgement();
        settle(&mut device, &mut cloud);
    }
    assert_eq!(device.frames.iter().map(|f| hex(f)).collect::<Vec<_>>(), ["00a600a0f73604"]);
    assert_eq!(cloud.frames.iter().map(|f| hex(f)).collect::<Vec<_>>(), ["000901"]);
}

#[test]
fn records() {
    let (device, _) = conversation();
    let image = Image::of(&device);
    let cells: Vec<(&str, String)> =
        image.cells.iter().map(|(at, record)| (at.as_str(), hex(record))).collect();
    assert_eq!(
        cells,
        [
            ("sense/report_period_s", "00a4381c9c0111111111111111110678".to_owned()),
            ("sense/unit", "01a4381c9c0111111111111111110c63656c73697573".to_owned()),
            ("sense/alarm_high", "00a4381c9c0122222222222222220aa27a".to_owned()),
        ]
    );
    assert_eq!(
        hex(&image.state),
        "01027731111111111111111181c8e2e1c1330000000000000000000002111111111111111181c8e2e1c133222222222222222280c8e2e1c13300ab8381a61a9631900001020202020202020202020202020202020202020202020202020202020202020203222222222222222202111111111111111181c8e2e1c133222222222222222280c8e2e1c133"
    );
    let (at, record) = &image.cells[0];
    let cell = CellRecord::decode(crate::common::path(at), record).unwrap();
    assert_eq!(cell.content.value(), Some(Value::I64(60)));
}
