//! Frames that no honest replica writes: what a peer with a valid key can try.

use super::{Connect, Output, Replica};
use crate::cell::Path;
use crate::config::{Config, Role};
use crate::id::{DocumentName, PeerId, ReplicaId};
use crate::limits::TIME_MAX;
use crate::rng::CountingRng;
use crate::storage::Heap;
use crate::sync::{Event, PeerError, SessionId, open_head};
use crate::time::{Moment, Time};
use crate::wire::{
    Full, OpenHead, Refusal, ReplicaRef, VectorReference, Writer, tag, write_entry, write_replica,
};
use crate::write::Write;

type Copy = Replica<Heap, CountingRng>;

const NOW: Moment = Moment::new(1_770_000_000_000);
const OWN: PeerId = PeerId([1; 32]);
const ATTACKER: PeerId = PeerId([66; 32]);
/// The highest time in the attacker's Open: what times in its frames are relative to.
const OPENED_AT: u64 = 1_769_000_000_000;

/// One full batch with the highest time as its horizon, and the aggregator could never write again.
#[test]
fn a_horizon_from_the_future_is_refused_with_its_distance() {
    let mut cloud = copy(2, Role::Aggregator);
    let session = attack(&mut cloud, Role::Member);
    let frame = frame(&mut |writer| {
        writer.byte(tag::BATCH_FULL)?;
        writer.byte(tag::END_FULL)?;
        // No claim, no floor.
        writer.varint(0)?;
        writer.varint(0)?;
        write_replica(writer, ReplicaRef::Own)?;
        writer.signed((TIME_MAX - OPENED_AT) as i64)
    });
    cloud.handle_frame(NOW, session, &frame).expect("it is a frame");
    let limit_ms = cloud.context.config.admission_ahead_ms;
    let ahead_ms = TIME_MAX - 1_770_000_000_000;
    let reason = Refusal::Clock { ahead_ms, limit_ms };
    assert!(events(&mut cloud).contains(&Event::RefusedPeer { session, reason }));
    assert_eq!(cloud.document().horizon().time, Time::ZERO);
    let path = Path::new("setpoint").expect("a path");
    let stamp = cloud.update(NOW, &[Write::set(path, 4.5)]).expect("it can still write");
    assert_eq!(stamp.map(|stamp| stamp.time.as_ms()), Some(1_770_000_000_000));
}

/// A device on a line sent a gateway the retirement of another one's id, and the gateway dropped that one's
/// writes.
#[test]
fn a_device_on_a_line_retires_nobody() {
    // Among members of a mesh, which trust each other by configuration, the same frame counts.
    for (role, is_left) in [(Role::Member, true), (Role::Mesh, false)] {
        let mut gateway = copy(2, Role::Mesh);
        let victim = copy_with_a_write(3, "victim");
        let (id, time) = (victim.id(), victim.document().clock());
        gateway.context.document.merge(victim.document()).expect("it fits");
        let session = attack(&mut gateway, role);
        let frame = frame(&mut |writer| {
            writer.byte(tag::BATCH_FULL)?;
            writer.byte(tag::RETIRED)?;
            writer.varint(1)?;
            let mut last = OPENED_AT;
            write_entry(writer, ReplicaRef::Literal(id), time.as_ms(), &mut last)?;
            writer.signed(0)
        });
        gateway.handle_frame(NOW, session, &frame).expect("it is a frame");
        let path = Path::new("victim").expect("a path");
        assert_eq!(gateway.document().get(path).is_some(), is_left, "told by a {role:?}");
    }
}

/// Two ends that were both told to open, with vectors that the other does not know, must not wait for each other for ever.
#[test]
fn an_initiator_stays_the_initiator() {
    let mut device = copy(1, Role::Member);
    let session = device.connect(Connect::initiator(ATTACKER, Role::Aggregator, 0)).expect("capacity");
    let other = copy_with_a_write(66, "attacker");
    let open = frame(&mut |writer| {
        let head = OpenHead { name: Some("town"), by_reference: true, ..open_head::<Heap>(1024) };
        head.write(writer, 0, false)?;
        VectorReference::of(other.document().version_vector(), other.id()).write(writer)
    });
    let refused = device.handle_frame(NOW, session, &open);
    assert_eq!(refused, Err(PeerError::OutOfTurn { message: "an Open of the wrong side" }));
}

fn copy(id: u64, role: Role) -> Copy {
    let name = DocumentName::new("town").expect("a name");
    Replica::new(&name, Config::new(role), CountingRng::new(id))
}

fn copy_with_a_write(id: u64, at: &str) -> Copy {
    let mut copy = copy(id, Role::Member);
    let path = Path::new(at).expect("a path");
    copy.update(Moment::new(OPENED_AT), &[Write::set(path, 1)]).expect("it fits");
    copy
}

/// Opens a session with an attacker that has `role` for the victim.
fn attack(victim: &mut Copy, role: Role) -> SessionId {
    let mut attacker = copy_with_a_write(66, "attacker");
    assert_eq!(attacker.id(), ReplicaId::new(66));
    attacker.connect(Connect::initiator(OWN, Role::Aggregator, 0)).expect("capacity");
    let session = victim.connect(Connect::responder(ATTACKER, role, 0)).expect("capacity");
    let mut buffer = [0; 512];
    while let Some(output) = attacker.poll_output(NOW, &mut buffer) {
        match output {
            Output::Persist => {
                let token = attacker.take_unsaved(|_| {});
                attacker.handle_persisted(token);
            }
            // The first frame opens; the honest rest of it is handled, too.
            Output::Transmit { len, .. } => {
                victim.handle_frame(NOW, session, &buffer[..len]).expect("an honest Open");
            }
            Output::Close { .. } | Output::Event(_) => {}
        }
    }
    events(victim);
    session
}

fn frame(write: &mut dyn FnMut(&mut Writer<'_>) -> Result<(), Full>) -> std::vec::Vec<u8> {
    let mut buffer = [0; 256];
    let mut writer = Writer::new(&mut buffer);
    writer.varint(0).and_then(|()| write(&mut writer)).expect("a short frame");
    let len = writer.len();
    buffer[..len].to_vec()
}

fn events(of: &mut Copy) -> std::vec::Vec<Event> {
    let mut buffer = [0; 512];
    let mut events = std::vec::Vec::new();
    while let Some(output) = of.poll_output(NOW, &mut buffer) {
        match output {
            Output::Event(event) => events.push(event),
            Output::Persist => {
                let token = of.take_unsaved(|_| {});
                of.handle_persisted(token);
            }
            Output::Close { .. } | Output::Transmit { .. } => {}
        }
    }
    events
}
