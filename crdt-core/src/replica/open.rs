//! Open: both sides of a session tell what they have, and so find out what to send.
//!
//! An initiator that the peer knows from before does not list its vector. It names it by a hash, and the peer finds out
//! whether it knows that vector: it is what the peer has itself, or what it remembers of this member. If it is neither, the
//! peer asks for another Open, in full: that costs a round trip, never data.

use super::send::{name_replica, write_vector_entry};
use super::stop::{Stop, Turn};
use super::{Replica, Role};
use crate::causal::{Entry, Stamp, VersionVector};
use crate::id::ReplicaId;
use crate::limits::FRAME_LEN_MAX;
use crate::list::List;
use crate::storage::CellStore;
use crate::sync::{Again, FirstBase, Memory, Names, Session};
use crate::time::{Moment, Time};
use crate::varint;
use crate::weaken::{Rule, holds};
use crate::wire::{
    Full, OpenHead, OpenVector, OwnReplica, Refusal, VectorReference, Writer, highest_time, tag,
    write_relative_time, write_replica,
};

impl<S: Memory> Replica<S> {
    // ---- sending ----

    pub(super) fn write_open(
        &mut self,
        moment: Moment,
        index: usize,
        writer: &mut Writer<'_>,
    ) -> Result<(), Full> {
        if self.sessions[index].carrier.initiator {
            self.write_initiator_open(index, writer)?;
        } else {
            self.write_responder_open(moment, index, writer)?;
        }
        self.sessions[index].open_sent = true;
        Ok(())
    }

    fn write_initiator_open(&mut self, index: usize, writer: &mut Writer<'_>) -> Result<(), Full> {
        let is_clean = self.document.is_clean();
        let wants_retired = self.wants_retired(is_clean);
        let (document, session) = (&self.document, &mut self.sessions[index]);
        let own = document.replica;
        let peer = self.peers.of(session.carrier.peer);
        session.table.copy_from(document.knowledge.vv());
        // A peer that has ever told its vector remembers this replica, if it knows it by its present id.
        let knows = |acked: &VersionVector<S>| {
            !acked.is_empty()
                && (acked.time_of(own) > Time::ZERO || document.knowledge.vv().time_of(own) == Time::ZERO)
        };
        let reference = peer
            .filter(|peer| session.again == Again::No && knows(&peer.acked))
            .map(|_| VectorReference::of(document.knowledge.vv(), own));
        let head = OpenHead {
            name: Some(self.name.as_str()),
            replica: match session.table.index_of(own) {
                _ if reference.is_some() => OwnReplica::Unnamed,
                Some(entry) => OwnReplica::Entry(entry),
                None => OwnReplica::Literal(own),
            },
            by_reference: reference.is_some(),
            wants_retired,
            received: peer.and_then(|peer| peer.received_through).map(|stamp| name_stamp(stamp, session)),
            ..open_head::<S>(self.config.frame_len_max)
        };
        head.write(writer, 0, false)?;
        match reference {
            Some(reference) => reference.write(writer)?,
            None => write_initiator_vector(document.knowledge.vv(), writer)?,
        }
        begin_names(session, usize::MAX, usize::MAX);
        if let Some(peer) = peer {
            // Much was under way when the last session ended: the peer's Open will tell how far it came.
            let unsure = document.cells.since(0).take_while(|cell| cell.seq <= peer.sent_through);
            let unsure = unsure.filter(|cell| !peer.acked.covers(cell.stamp)).count();
            let waits = unsure > FIRST_FLIGHT_AGAIN_MAX || peer.received_through.is_some();
            session.outgoing.first_base =
                first_base(&peer.acked, document.knowledge.vv(), own, self.config.role).filter(|_| !waits);
            let base = session.outgoing.first_base_vector(own, &session.table);
            session.outgoing.set_peer_knows(&base);
        }
        Ok(())
    }

    fn write_responder_open(
        &mut self,
        moment: Moment,
        index: usize,
        writer: &mut Writer<'_>,
    ) -> Result<(), Full> {
        let is_clean = self.document.is_clean();
        let wants_retired = self.wants_retired(is_clean);
        let (document, session) = (&self.document, &mut self.sessions[index]);
        let (own, vv) = (document.replica, document.knowledge.vv());
        let highest = table_highest(session);
        let yours = session.peer_replica.and_then(|peer| {
            let held =
                document.cells.below(None).filter(|c| c.stamp.replica == peer).map(|c| c.stamp.time).max();
            held.filter(|time| *time > vv.time_of(peer) && holds(Rule::Yours)).map(Time::as_ms)
        });
        let is_retired = |e: &Entry| document.knowledge.retired().covers(Stamp::new(e.time, e.replica));
        let is_shared = |e: &Entry| vv.index_of(e.replica).is_some() || is_retired(e);
        let shared = session.table.iter().filter(is_shared).count();
        let relative = 2 * shared >= session.table.len();
        let same = *vv == session.table && is_clean;
        session.outgoing.names.anonymous =
            self.config.role == Role::Aggregator && vv.time_of(own) == Time::ZERO;
        let head = OpenHead {
            replica: match session.table.index_of(own) {
                Some(entry) => OwnReplica::Entry(entry),
                None if session.outgoing.names.anonymous => OwnReplica::Unnamed,
                None => OwnReplica::Literal(own),
            },
            time: if self.config.role == Role::Aggregator { moment.now.map(Time::as_ms) } else { None },
            yours,
            wants_retired,
            received: self
                .peers
                .of(session.carrier.peer)
                .and_then(|peer| peer.received_through)
                .map(|stamp| name_stamp(stamp, session)),
            digest: same.then(|| document.fingerprint.digest(highest)),
            ..open_head::<S>(self.config.frame_len_max)
        };
        head.write(writer, highest, relative)?;
        if relative {
            // A retired id stays as the initiator has it until it is told.
            let missing = session.table.iter().filter(|e| !is_shared(e)).map(|e| (e.replica, 0));
            let differing = vv.iter().map(|e| (e.replica, e.time.as_ms()));
            let differing =
                differing.filter(|(id, time)| session.table.time_of(*id).as_ms() != *time).chain(missing);
            writer.varint(differing.clone().count() as u64)?;
            for (id, time) in differing {
                let theirs =
                    session.table.index_of(id).map_or(highest, |_| session.table.time_of(id).as_ms());
                write_replica(writer, name_replica(&mut session.outgoing.names, id, own, &session.table))?;
                write_relative_time(writer, time, theirs)?;
            }
        } else {
            writer.varint(vv.len() as u64)?;
            vv.iter().try_for_each(|entry| write_vector_entry(entry, own, session, writer))?;
        }
        Ok(())
    }

    /// Whether the peer is to tell of each retired id: cells of one may be held here that are not covered, or others may
    /// bring some.
    fn wants_retired(&self, is_clean: bool) -> bool {
        self.config.role == Role::Mesh || !is_clean
    }

    /// "I do not know that vector: open again, in full."
    pub(super) fn write_open_again(&mut self, index: usize, writer: &mut Writer<'_>) -> Result<(), Full> {
        if self.sessions[index].again == Again::Due {
            writer.byte(tag::OPEN_AGAIN)?;
            self.sessions[index].again = Again::Asked;
        }
        Ok(())
    }

    // ---- receiving ----

    pub(super) fn take_open(
        &mut self,
        moment: Moment,
        index: usize,
        head: OpenHead<'_>,
        vector: OpenVector<'_>,
    ) -> Result<(), Stop> {
        let session = &mut self.sessions[index];
        if session.open_received {
            return Err(Stop::OutOfTurn(Turn::SecondOpen));
        }
        if session.carrier.initiator == head.name.is_some() {
            return Err(Stop::OutOfTurn(Turn::WrongSide));
        }
        if head.name.is_some_and(|name| name != self.name.as_str()) {
            return Err(Stop::OutOfTurn(Turn::OtherName));
        }
        let too_many = Stop::too_many_replicas(vector.len());
        if session.carrier.initiator {
            for cursor in [&mut session.outgoing.names.cursor, &mut session.incoming.names.cursor] {
                cursor.paths_max = cursor.paths_max.min(head.dictionary_slots);
                cursor.replicas_max = cursor.replicas_max.min(head.replicas_max);
            }
        } else {
            self.take_table(index, vector)?.ok_or(too_many)?;
            begin_names(&mut self.sessions[index], head.dictionary_slots, head.replicas_max);
        }
        let peer_replica = match (head.replica, vector) {
            (_, OpenVector::Reference(_)) => self.replica_of_peer(index),
            (OwnReplica::Unnamed, _) => None,
            (OwnReplica::Literal(id), _) => Some(id),
            (OwnReplica::Entry(entry), _) => self.sessions[index].table.entry(entry).map(|e| e.replica),
        };
        let is_nobodys = peer_replica == Some(ReplicaId::RETIREMENTS);
        if is_nobodys || (peer_replica.is_none() && head.replica != OwnReplica::Unnamed) {
            return Err(Stop::Dangling);
        }
        let session = &mut self.sessions[index];
        session.peer_replica = peer_replica;
        session.outgoing.wants_retired = head.wants_retired;
        session.outgoing.frame_len_max = head.frame_len_max.min(FRAME_LEN_MAX);
        session.open_received = true;
        session.again = Again::No;
        if let Some(replica) = peer_replica {
            self.reinstate(replica);
        }
        let theirs = self.open_vector(index, vector)?.ok_or(too_many)?;
        let peer = self.sessions[index].carrier.peer;
        if peer_replica.is_some() && self.peers.iter().any(|p| p.replica == peer_replica && p.id != peer) {
            self.refuse(index, Refusal::Fenced);
            return Err(Stop::Fenced);
        }
        let known = theirs.time_of(self.document.replica);
        let held = head.yours.and_then(Time::from_ms).unwrap_or(Time::ZERO).max(known);
        let by_aggregator = self.sessions[index].carrier.with_aggregator;
        let moment = self.learn_time(moment, index, head.time);
        if self.check_own_id(moment, held, by_aggregator)? {
            return Ok(());
        }
        let same = theirs == self.sessions[index].table && *self.document.knowledge.vv() == theirs;
        self.note_vector(moment, index, theirs).map_err(|_| too_many)?;
        self.go_on(index, head.received);
        if let Some(digest) = head.digest
            && same
            && self.document.is_clean()
        {
            let highest = table_highest(&self.sessions[index]);
            self.compare(index, digest, highest);
        }
        Ok(())
    }

    /// A batch broke off after a cell that the peer names: what was sent before that, in its order, it has, and keeps for the
    /// claim that is to come.
    fn go_on(&mut self, index: usize, received: Option<(OwnReplica, u64)>) {
        let session = &mut self.sessions[index];
        let Some(peer) = self.peers.of_mut(session.carrier.peer) else { return };
        let sent_through = core::mem::take(&mut peer.sent_through);
        let Some((replica, time)) = received.filter(|_| sent_through > 0 && session.outgoing.cursor == 0)
        else {
            return;
        };
        let replica = match replica {
            OwnReplica::Literal(id) => Some(id),
            OwnReplica::Entry(entry) => session.table.entry(entry).map(|e| e.replica),
            OwnReplica::Unnamed => None,
        };
        // Of that transaction, a part may be missing there. If it is gone here, nothing is known: all of it goes again.
        let (Some(replica), Some(time)) = (replica, Time::from_ms(time)) else { return };
        let stamp = Stamp::new(time, replica);
        let cells = self.document.cells.below(None).filter(|cell| cell.stamp == stamp);
        if let Some(first) = cells.map(|cell| cell.seq).min() {
            session.outgoing.cursor = (first - 1).min(sent_through);
        }
    }

    /// What the peer has, according to its Open: what to send follows from it.
    fn note_vector(
        &mut self,
        moment: Moment,
        index: usize,
        theirs: VersionVector<S>,
    ) -> Result<(), crate::error::CapacityError> {
        let session = &mut self.sessions[index];
        session.outgoing.set_peer_knows(&theirs);
        session.incoming.opened_at = theirs.iter().map(|e| e.time).max().unwrap_or(Time::ZERO);
        if session.carrier.initiator
            && !theirs.dominates(&session.outgoing.first_base_vector(self.document.replica, &session.table))
        {
            // The peer lost storage: what was taken for granted and passed over so far, it does not have.
            session.outgoing.rebase();
            session.outgoing.first_claim = None;
        } else if let Some(claim) = session.outgoing.first_claim.take() {
            session.outgoing.peer_knows.absorb_writes(&claim);
        }
        let (peer_id, confirmed, peer_replica) =
            (session.carrier.peer, session.carrier.confirmed, session.peer_replica);
        session.incoming.early_vector = (!confirmed).then(|| theirs.clone());
        let peer = self.peer_index(peer_id)?;
        if confirmed {
            self.peers[peer].acked.copy_from(&theirs);
            self.note_acknowledged(peer);
            self.peer_is_there(moment, index);
        } else if let Some(replica) = peer_replica.filter(|id| self.peers[peer].replica != Some(*id)) {
            // If this session ends before it is confirmed, nobody may ever claim the cells it brought.
            self.give_up(replica);
        }
        Ok(())
    }

    /// The initiator does not find its vector known here: it starts again, and lists it.
    pub(super) fn take_open_again(&mut self, index: usize) -> Result<(), Stop> {
        let session = &self.sessions[index];
        if !session.carrier.initiator
            || !session.open_sent
            || session.open_received
            || session.again != Again::No
        {
            return Err(Stop::OutOfTurn(Turn::OpenAgain));
        }
        self.sessions[index].open_again();
        Ok(())
    }

    /// The vector that the initiator named by its hash, if this side knows it: its own, or what it remembers or guesses of the
    /// peer.
    pub(super) fn resolve_reference(
        &self,
        index: usize,
        reference: VectorReference,
    ) -> Option<VersionVector<S>> {
        let peer = self.peers.of(self.sessions[index].carrier.peer)?;
        let replica = peer.replica?;
        let known = [self.document.knowledge.vv(), &peer.guess, &peer.acked]
            .into_iter()
            .find(|vv| reference.names(vv, replica))?;
        let mut table = known.clone();
        let time = reference.own_time(known, replica).and_then(Time::from_ms)?;
        table.put(replica, time).ok()?;
        Some(table)
    }

    /// The peer is proven to be there, under the id that it opened with.
    pub(super) fn peer_is_there(&mut self, moment: Moment, index: usize) {
        let Ok(peer) = self.peer_index(self.sessions[index].carrier.peer) else { return };
        self.peers[peer].active = true;
        self.presence = self.presence.wrapping_add(1);
        // An aggregator that names no id has written nothing under its present one: that is not the one it had before.
        let replica = self.sessions[index].peer_replica;
        let before = core::mem::replace(&mut self.peers[peer].replica, replica);
        if let Some(before) = before.filter(|before| Some(*before) != replica) {
            self.give_up(before);
        }
        self.given_up.retain(|id| Some(*id) != replica);
        self.adopt(moment);
    }

    fn replica_of_peer(&self, index: usize) -> Option<ReplicaId> {
        self.peers.of(self.sessions[index].carrier.peer)?.replica
    }

    /// The initiator's vector, which is the table that both sides refer to; `None` when there is no room for it.
    fn take_table(&mut self, index: usize, vector: OpenVector<'_>) -> Result<Option<()>, Stop> {
        if let OpenVector::Reference(reference) = vector {
            let table = self.resolve_reference(index, reference).ok_or(Stop::Dangling)?;
            self.sessions[index].table = table;
            return Ok(Some(()));
        }
        let table = &mut self.sessions[index].table;
        table.clear();
        for (replica, time) in vector.initiator_entries() {
            let time = Time::from_ms(time).ok_or(Stop::Dangling)?;
            if table.raise(replica, time).is_err() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    /// The peer's vector; `None` when there is no room for it.
    fn open_vector(
        &mut self,
        index: usize,
        vector: OpenVector<'_>,
    ) -> Result<Option<VersionVector<S>>, Stop> {
        let section = match vector {
            OpenVector::Absolute(section) => section,
            OpenVector::Initiator { .. } | OpenVector::Reference(_) => {
                return Ok(Some(self.sessions[index].table.clone()));
            }
            OpenVector::Relative { .. } => {
                let highest = table_highest(&self.sessions[index]);
                let mut theirs = self.sessions[index].table.clone();
                for (reference, raw) in vector.relative_entries() {
                    let replica = self.resolve_and_define(index, reference)?;
                    let base = self.sessions[index].table.index_of(replica);
                    let base = base.map_or(highest, |_| self.sessions[index].table.time_of(replica).as_ms());
                    let time = match raw {
                        0 => Some(Time::ZERO),
                        _ => base.checked_add_signed(varint::unzigzag(raw - 1)).and_then(Time::from_ms),
                    };
                    let put = theirs.put(replica, time.ok_or(Stop::Dangling)?);
                    if put.is_err()
                        && (replica == self.document.replica || !self.sessions[index].carrier.with_aggregator)
                    {
                        return Ok(None);
                    }
                    // Without it, less is known of the aggregator than it has, which is safe. Ids may be about to retire.
                }
                return Ok(Some(theirs));
            }
        };
        self.resolve_vector(index, section)
    }
}

fn name_stamp<S: Memory>(stamp: Stamp, session: &Session<S>) -> (OwnReplica, u64) {
    let entry = session.table.index_of(stamp.replica);
    (entry.map_or(OwnReplica::Literal(stamp.replica), OwnReplica::Entry), stamp.time.as_ms())
}

/// What the first flight may take for granted at a peer that has acknowledged `acked`; `None`: better wait for its Open.
///
/// The peer checks it against what it has, so a wrong guess costs a round trip.
fn first_base<S: Memory>(
    acked: &VersionVector<S>,
    vv: &VersionVector<S>,
    own: ReplicaId,
    role: Role,
) -> Option<FirstBase> {
    if acked.is_empty() {
        return Some(FirstBase::Nothing);
    }
    // What a member knows of others it has from its aggregator.
    let others_known =
        role == Role::Member || vv.iter().all(|e| e.replica == own || acked.time_of(e.replica) >= e.time);
    others_known.then(|| FirstBase::Table { own: acked.time_of(own).min(vv.time_of(own)) })
}

fn begin_names<S: Memory>(session: &mut Session<S>, paths_max: usize, replicas_max: usize) {
    let (highest, replicas) = (table_highest(session), session.table.len());
    session.outgoing.names.begin(paths_max, replicas_max, replicas, highest);
    session.incoming.names.begin(paths_max, replicas_max, replicas, highest);
}

/// The initiator's highest time: what other times are relative to.
pub(super) fn table_highest<S: Memory>(session: &Session<S>) -> u64 {
    highest_time(session.table.iter().map(|e| e.time.as_ms()))
}

fn write_initiator_vector<S: Memory>(vv: &VersionVector<S>, writer: &mut Writer<'_>) -> Result<(), Full> {
    writer.varint(vv.len() as u64)?;
    let mut last = 0;
    for entry in vv.iter() {
        writer.bytes(&entry.replica.get().to_le_bytes())?;
        writer.signed(entry.time.as_ms() as i64 - last)?;
        last = entry.time.as_ms() as i64;
    }
    Ok(())
}

/// Cells that are sent again at once although they may have arrived: a round trip is dearer than these.
const FIRST_FLIGHT_AGAIN_MAX: usize = 8;

/// What every Open of this storage says.
fn open_head<S: Memory>(frame_len_max: usize) -> OpenHead<'static> {
    OpenHead {
        name: None,
        replica: OwnReplica::Entry(0),
        by_reference: false,
        dictionary_slots: S::DICTIONARY_SLOTS,
        frame_len_max: frame_len_max.min(FRAME_LEN_MAX),
        replicas_max: Names::<S>::replicas_room(),
        time: None,
        yours: None,
        received: None,
        wants_retired: false,
        digest: None,
    }
}
