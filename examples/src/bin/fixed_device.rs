//! A microcontroller's view: a replica in fixed storage, no heap, and a link that carries bytes. Here both ends are in one
//! program; on a device the loop is the same, with a serial port for `wire` and flash for the cells.

use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{
    Config, Connect, CountingRng, DocumentName, Fixed, Moment, Output, Path, PeerId, Replica, Role,
    SessionId, Write,
};

/// 16 cells, 512 bytes of paths and values, 3 replicas.
type Small = Replica<Fixed<Cells<16>, Bytes<512>, Replicas<3>>, CountingRng>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = DocumentName::new("pump-42")?;
    // On a device, the random numbers of its hardware.
    let mut device = Small::new(&name, Config::new(Role::Member), CountingRng::new(1));
    let mut gateway = Small::new(&name, Config::new(Role::Aggregator), CountingRng::new(2));
    let (up, down) = (
        device.connect(Connect::initiator(PeerId([2; 32]), Role::Aggregator, 0))?,
        gateway.connect(Connect::responder(PeerId([1; 32]), Role::Member, 0))?,
    );

    let now = Moment::new(1_770_000_000_000); // Milliseconds since 1970.
    device.update(
        now,
        &[Write::set(Path::new("pump/speed")?, 1450), Write::set(Path::new("pump/mode")?, "auto")],
    )?;
    gateway.update(now, &[Write::set(Path::new("pump/setpoint")?, 4.5)])?;
    let mut bytes = 0;
    loop {
        let sent = carry(now, &mut device, &mut gateway, down)? + carry(now, &mut gateway, &mut device, up)?;
        bytes += sent;
        if sent == 0 {
            break;
        }
    }
    for replica in [&device, &gateway] {
        for cell in replica.document().cells() {
            println!("{} {} = {:?}", replica.id(), cell.path, cell.content);
        }
    }
    println!("{bytes} bytes on the wire, {} bytes of memory a replica", size_of::<Small>());
    Ok(())
}

/// Does what a replica wants, and returns the bytes that crossed the wire.
fn carry(
    now: Moment,
    from: &mut Small,
    to: &mut Small,
    session: SessionId,
) -> Result<usize, crdt_core::PeerError> {
    let (mut wire, mut sent) = ([0; 256], 0);
    while let Some(output) = from.poll_output(now, &mut wire) {
        match output {
            Output::Persist => {
                let token = from.take_unsaved(|_cell| { /* write it to flash */ });
                from.handle_persisted(token);
            }
            Output::Transmit { len, .. } => {
                to.handle_frame(now, session, &wire[..len])?;
                sent += len;
            }
            Output::Event(event) => println!("{} tells {event:?}", from.id()),
            Output::Close { .. } => {}
        }
    }
    Ok(sent)
}
