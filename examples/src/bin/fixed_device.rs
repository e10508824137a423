//! A microcontroller's view: a replica in fixed storage, no heap, and a link that carries bytes. Here both ends are in one
//! program; on a device the loop is the same, with a serial port for `wire` and flash for the cells.

use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{
    Config, Connect, DocumentName, Fixed, Moment, Output, Path, PeerId, Replica, ReplicaId, Role, SessionId,
    Write,
};

/// 16 cells, 512 bytes of paths and values, 3 replicas.
type Small = Replica<Fixed<Cells<16>, Bytes<512>, Replicas<3>>>;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = DocumentName::new("pump-42")?;
    let mut device = Small::new(&name, ReplicaId::new(1), Config::new(Role::Member));
    let mut gateway = Small::new(&name, ReplicaId::new(2), Config::new(Role::Aggregator));
    let link = |peer, initiator| Connect {
        peer: PeerId([peer; 32]),
        with_aggregator: initiator,
        initiator,
        confirmed: true,
        handle: 0,
    };
    let (up, down) = (device.connect(link(2, true))?, gateway.connect(link(1, false))?);

    let now = Moment::new(1_770_000_000_000, 42); // Milliseconds since 1970, and something random.
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
            Output::Persist(_) => {
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
