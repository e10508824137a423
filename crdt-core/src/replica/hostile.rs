//! Frames that no honest replica writes: what a peer with a valid key can try.

use super::{Connect, Output, Replica};
use crate::capacity::{Bytes, Cells, Replicas};
use crate::cell::Path;
use crate::config::{Config, Role};
use crate::id::{DocumentName, PeerId, ReplicaId};
use crate::limits::TIME_MAX;
use crate::rng::CountingRng;
use crate::storage::{Fixed, Heap};
use crate::sync::{Event, PeerError, SessionId, open_head};
use crate::time::{Moment, Time};
use crate::wire::{
    Full, OpenHead, Refusal, ReplicaRef, Resource, VectorReference, Writer, tag, write_entry, write_replica,
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

/// A claim with the aggregator's own id and a later time made it take another id and close every session, as often as somebody
/// sent one.
#[test]
fn an_aggregator_gives_up_its_id_at_most_once_a_day() {
    let mut cloud = copy(2, Role::Aggregator);
    let path = Path::new("setpoint").expect("a path");
    cloud.update(NOW, &[Write::set(path, 4.5)]).expect("it fits");
    let mut ids = std::vec::Vec::new();
    for hours in [0, 1, 23, 25] {
        let at = Moment::new(1_770_000_000_000 + hours * 3_600_000);
        ids.push(cloud.id());
        let honest = cloud.connect(Connect::responder(PeerId([7; 32]), Role::Member, 1)).expect("capacity");
        let session = attack(&mut cloud, Role::Member);
        let known = cloud.document().version_vector().time_of(cloud.id());
        let claim = claim_of(cloud.id(), known.as_ms().max(OPENED_AT) + 60_000);
        cloud.handle_frame(at, session, &claim).expect("it is a frame");
        let is_kept = cloud.id() == ids[ids.len() - 1];
        assert_eq!(is_kept, cloud.session_index(honest).is_some(), "after {hours} h");
        // What it says of the id is not believed, and is no receipt.
        let written = cloud.document().version_vector().time_of(cloud.id());
        assert!(!is_kept || written == known);
        let acked = cloud.acknowledged_by(ATTACKER).map(|acked| acked.time_of(cloud.id()));
        assert!(acked.is_none_or(|acked| acked <= written), "{acked:?}");
        events(&mut cloud);
    }
    assert!(ids[0] != ids[1] && ids[1] == ids[2] && ids[2] == ids[3] && ids[3] != cloud.id(), "{ids:?}");
    assert_eq!(cloud.disputes(), 2);
    assert_eq!(cloud.document().get(path), Some(4.5.into()));
}

/// The same with a cell of the aggregator's past that it never wrote, and with an Open.
#[test]
fn cells_and_opens_about_an_aggregators_id_are_ignored_like_claims() {
    let mut cloud = copy(2, Role::Aggregator);
    let path = Path::new("setpoint").expect("a path");
    cloud.update(NOW, &[Write::set(path, 4.5)]).expect("it fits");
    let session = attack(&mut cloud, Role::Member);
    let claim = claim_of(cloud.id(), OPENED_AT + 60_000 + 1_000_000_000);
    cloud.handle_frame(NOW, session, &claim).expect("it is a frame");
    events(&mut cloud);
    cloud.update(NOW, &[Write::set(path, 5.5)]).expect("it fits");
    let own = cloud.id();
    // Another replica that writes under the same id, later.
    let mut twin = copy(own.get(), Role::Member);
    twin.update(Moment::new(1_770_000_060_000), &[Write::set(path, 66)]).expect("it fits");
    let session = converse(&mut twin, &mut cloud, Role::Member);
    assert_eq!((cloud.id(), cloud.disputes() > 0), (own, true));
    assert!(cloud.session_index(session).is_some());
    assert_eq!(cloud.document().get(path), Some(5.5.into()));
}

/// A document with more writers than a small one can list could not be opened, and its owner was not told why.
#[test]
fn who_has_too_many_writers_is_told_the_limit() {
    type Small = Replica<Fixed<Cells<8>, Bytes<256>, Replicas<2>>, CountingRng>;
    let name = DocumentName::new("town").expect("a name");
    let mut small = Small::new(&name, Config::new(Role::Aggregator), CountingRng::new(2));
    let mut device = copy_with_a_write(1, "device");
    for (id, at) in [(3, "a"), (4, "b")] {
        device.context.document.merge(copy_with_a_write(id, at).document()).expect("it fits");
    }
    let up = device.connect(Connect::initiator(OWN, Role::Aggregator, 0)).expect("capacity");
    let down = small.connect(Connect::responder(PeerId([7; 32]), Role::Member, 0)).expect("capacity");
    let reason = Refusal::Capacity { what: Resource::Replicas, needed: 3, limit: 2 };
    let mut buffer = [0; 512];
    for frame in frames_of(&mut device) {
        let refused = small.handle_frame(NOW, down, &frame);
        assert!(matches!(refused, Err(PeerError::Refused(_) | PeerError::UnknownSession)), "{refused:?}");
    }
    while let Some(output) = small.poll_output(NOW, &mut buffer) {
        match output {
            Output::Persist => {
                let token = small.take_unsaved(|_| {});
                small.handle_persisted(token);
            }
            Output::Transmit { len, .. } => device.handle_frame(NOW, up, &buffer[..len]).expect("a refusal"),
            Output::Close { .. } | Output::Event(_) => {}
        }
    }
    assert!(events(&mut device).contains(&Event::Refused { session: up, reason }));
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

/// The end of a delta that claims `id` up to `time_ms`.
fn claim_of(id: ReplicaId, time_ms: u64) -> std::vec::Vec<u8> {
    frame(&mut |writer| {
        writer.byte(tag::BATCH)?;
        writer.byte(tag::END)?;
        writer.varint(1)?;
        let mut last = OPENED_AT;
        write_entry(writer, ReplicaRef::Literal(id), time_ms, &mut last)
    })
}

/// Opens a session with an attacker. `role` says what it is to the victim.
fn attack(victim: &mut Copy, role: Role) -> SessionId {
    let mut attacker = copy_with_a_write(66, "attacker");
    assert_eq!(attacker.id(), ReplicaId::new(66));
    converse(&mut attacker, victim, role)
}

/// Opens a session, and delivers what `attacker` sends before it receives anything.
fn converse(attacker: &mut Copy, victim: &mut Copy, role: Role) -> SessionId {
    attacker.connect(Connect::initiator(OWN, Role::Aggregator, 0)).expect("capacity");
    let session = victim.connect(Connect::responder(ATTACKER, role, 0)).expect("capacity");
    for frame in frames_of(attacker) {
        victim.handle_frame(NOW, session, &frame).expect("an honest Open");
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

fn frames_of(sender: &mut Copy) -> std::vec::Vec<std::vec::Vec<u8>> {
    let mut buffer = [0; 512];
    let mut frames = std::vec::Vec::new();
    while let Some(output) = sender.poll_output(NOW, &mut buffer) {
        match output {
            Output::Persist => {
                let token = sender.take_unsaved(|_| {});
                sender.handle_persisted(token);
            }
            Output::Transmit { len, .. } => frames.push(buffer[..len].to_vec()),
            Output::Close { .. } | Output::Event(_) => {}
        }
    }
    frames
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
