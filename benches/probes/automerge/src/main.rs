//! A document that takes its arguments as keys of a map and syncs with a second copy by the sync protocol.

use std::io::Write;

use automerge::sync::{State, SyncDoc};
use automerge::transaction::Transactable;
use automerge::{AutoCommit, ROOT, ReadDoc};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (mut device, mut cloud) = (AutoCommit::new(), AutoCommit::new());
    for argument in std::env::args() {
        device.put(ROOT, &argument, argument.as_str())?;
    }
    device.commit();
    let (mut up, mut down) = (State::new(), State::new());
    loop {
        let there = device.sync().generate_sync_message(&mut up).map(|message| message.encode());
        if let Some(bytes) = &there {
            cloud.sync().receive_sync_message(&mut down, automerge::sync::Message::decode(bytes)?)?;
        }
        let back = cloud.sync().generate_sync_message(&mut down).map(|message| message.encode());
        if let Some(bytes) = &back {
            device.sync().receive_sync_message(&mut up, automerge::sync::Message::decode(bytes)?)?;
        }
        if there.is_none() && back.is_none() {
            break;
        }
    }
    let mut out = std::io::stdout();
    for key in cloud.keys(ROOT) {
        out.write_all(key.as_bytes())?;
    }
    Ok(())
}
