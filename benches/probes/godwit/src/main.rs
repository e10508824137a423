//! A document in heap storage that takes its arguments as cells and syncs with a second copy in a session.

use std::io::Write as _;

use crdt_core::{
    Config, Connect, DocumentName, Heap, Moment, Output, Path, PeerId, Replica, ReplicaId, Role, SessionId,
    Write,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = DocumentName::new("probe")?;
    let mut device = Replica::<Heap>::new(&name, ReplicaId::new(1), Config::new(Role::Member));
    let mut cloud = Replica::<Heap>::new(&name, ReplicaId::new(2), Config::new(Role::Aggregator));
    let now = Moment::new(1_770_000_000_000, 42);
    for argument in std::env::args() {
        device.update(now, &[Write::set(Path::new(&argument)?, argument.as_str())])?;
    }
    let link = |peer, initiator| Connect {
        peer: PeerId([peer; 32]),
        with_aggregator: initiator,
        initiator,
        confirmed: true,
        handle: 0,
    };
    let (up, down) = (device.connect(link(2, true))?, cloud.connect(link(1, false))?);
    while carry(now, &mut device, &mut cloud, down)? | carry(now, &mut cloud, &mut device, up)? {}
    let mut out = std::io::stdout();
    for cell in cloud.document().iter(None) {
        out.write_all(cell.path.as_str().as_bytes())?;
    }
    Ok(())
}

fn carry(
    now: Moment,
    from: &mut Replica<Heap>,
    to: &mut Replica<Heap>,
    session: SessionId,
) -> Result<bool, crdt_core::PeerError> {
    let (mut wire, mut any) = ([0; 1024], false);
    while let Some(output) = from.poll_output(now, &mut wire) {
        match output {
            Output::Persist(_) => {
                let token = from.take_unsaved(|_| {});
                from.handle_persisted(token);
            }
            Output::Transmit { len, .. } => {
                to.handle_frame(now, session, &wire[..len])?;
                any = true;
            }
            Output::Event(_) | Output::Close { .. } => {}
        }
    }
    Ok(any)
}
