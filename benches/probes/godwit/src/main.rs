//! A document in heap storage that takes its arguments as cells and syncs with a second copy in a session.

use std::io::Write as _;

use crdt_core::{
    Config, Connect, CountingRng, DocumentName, Heap, Moment, Output, Path, PeerId, Replica, Role, SessionId,
    Write,
};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let name = DocumentName::new("probe")?;
    let mut device = Replica::<Heap, _>::new(&name, Config::new(Role::Member), CountingRng::new(1));
    let mut cloud = Replica::<Heap, _>::new(&name, Config::new(Role::Aggregator), CountingRng::new(2));
    let now = Moment::new(1_770_000_000_000);
    for argument in std::env::args() {
        device.update(now, &[Write::set(Path::new(&argument)?, argument.as_str())])?;
    }
    let up = device.connect(Connect::initiator(PeerId([2; 32]), Role::Aggregator, 0))?;
    let down = cloud.connect(Connect::responder(PeerId([1; 32]), Role::Member, 0))?;
    while carry(now, &mut device, &mut cloud, down)? | carry(now, &mut cloud, &mut device, up)? {}
    let mut out = std::io::stdout();
    for cell in cloud.document().iter(None) {
        out.write_all(cell.path.as_str().as_bytes())?;
    }
    Ok(())
}

fn carry(
    now: Moment,
    from: &mut Replica<Heap, CountingRng>,
    to: &mut Replica<Heap, CountingRng>,
    session: SessionId,
) -> Result<bool, crdt_core::PeerError> {
    let (mut wire, mut any) = ([0; 1024], false);
    while let Some(output) = from.poll_output(now, &mut wire) {
        match output {
            Output::Persist => {
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
