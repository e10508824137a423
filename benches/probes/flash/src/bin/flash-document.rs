//! A whole device: a document in fixed storage, writes of each kind, its session, its records, its events.
//!
//! Where a device has a serial port and a flash page, this has opaque bytes, so that the compiler can foresee nothing
//! and drop nothing.

#![no_std]
#![no_main]

use core::hint::black_box;

use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{
    CellRecord, Config, Connect, CountingRng, DocumentName, Fixed, Moment, Output, Path, PeerId, Replica,
    Role, Unsaved, Write,
};
// Its vector table: of a chip that is not named, there would be 240 interrupts.
use lm3s6965 as _;
use panic_halt as _;

/// W1 fits: 40 values, 855 bytes as JSON.
type Device = Replica<Fixed<Cells<48>, Bytes<1280>, Replicas<4>>, CountingRng>;

#[cortex_m_rt::entry]
fn main() -> ! {
    // A board without its document halts: there is nobody to tell.
    run().unwrap_or_else(|| panic!());
    loop {
        black_box(());
    }
}

fn run() -> Option<()> {
    let mut frame = [0_u8; 512];
    let mut device = boot(&mut frame)?;
    let peer = PeerId(black_box([2; 32]));
    let connect = Connect::initiator(peer, Role::Aggregator, 0);
    let session = device.connect(connect).ok()?;
    loop {
        let now = Moment::new(black_box(1_770_000_000_000));
        let at = Path::new(black_box("pump/speed")).ok()?;
        match black_box(0_u8) {
            0 => _ = device.update(now, &[Write::set(at, black_box(1450))]),
            1 => _ = device.update(now, &[Write::set(at, black_box(4.5)), Write::set(at, black_box(true))]),
            2 => _ = device.update(now, &[Write::set(at, black_box("auto")), Write::map(at)]),
            3 => _ = device.update(now, &[Write::delete(at), Write::list(at)]),
            4 => device.request_acknowledgement(),
            _ => device.disconnect(session),
        }
        black_box(device.document().get(at));
        let received = black_box(frame.len());
        if device.handle_frame(now, session, frame.get(..received)?).is_err() {
            device.disconnect(session);
        }
        outputs(&mut device, now, &mut frame)?;
    }
}

/// From flash, or new.
fn boot(record: &mut [u8; 512]) -> Option<Device> {
    let config = Config::new(Role::Member);
    let now = Moment::new(black_box(1_770_000_000_000));
    let state = black_box(&record[..256]);
    let cell = CellRecord::decode(Path::new(black_box("pump/mode")).ok()?, black_box(&record[256..])).ok();
    match Device::load(now, config, CountingRng::new(black_box(7)), state, cell) {
        Ok(device) => Some(device),
        Err(_) => Some(Device::new(
            &DocumentName::new(black_box("pump-42")).ok()?,
            config,
            CountingRng::new(black_box(7)),
        )),
    }
}

/// Does what the replica wants.
fn outputs(device: &mut Device, now: Moment, frame: &mut [u8; 512]) -> Option<()> {
    while let Some(output) = device.poll_output(now, frame) {
        match output {
            Output::Persist => {
                let mut record = [0_u8; 512];
                let token = device.take_unsaved(|unsaved| match unsaved {
                    Unsaved::Cell(cell) => _ = black_box(CellRecord::encode(&cell, &mut record)),
                    Unsaved::Removed(path) => _ = black_box(path),
                    Unsaved::Rewrite => _ = black_box(0),
                    Unsaved::State(state) => _ = black_box(state.encode(&mut record)),
                });
                black_box(&record);
                device.handle_persisted(token);
            }
            Output::Transmit { len, .. } => _ = black_box(frame.get(..len)?),
            Output::Event(event) => _ = black_box(event),
            Output::Close { session } => device.disconnect(session),
        }
    }
    Some(())
}
