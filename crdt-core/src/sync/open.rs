//! Open: both sides of a session exchange version vectors, and derive from them what to send.
//!
//! An initiator that the peer remembers sends a hash of its vector instead of a list. The peer compares the
//! hash with its own vector, and with those that it remembers of the initiator. If none matches, it asks for
//! another Open that lists the vector: that costs a round trip, never data.

use super::send::{name_replica, write_vector_entry};
use super::{
    Awaited, Context, Event, FirstBase, Memory, Names, Opened, Opening, Outcome, Phase, Session, Stop, Turn,
};
use crate::causal::{Stamp, VectorEntry, VersionVector};
use crate::config::Role;
use crate::error::CapacityError;
use crate::id::ReplicaId;
use crate::limits::{CLOCK_TOLERANCE_MS, FRAME_LEN_MAX};
use crate::list::List;
use crate::storage::CellStore;
use crate::time::Time;
use crate::varint;
use crate::weaken::{Rule, holds};
use crate::wire::{
    Full, OpenHead, OpenVector, OwnReplica, Refusal, VectorReference, Writer, highest_time, tag,
    write_relative_time, write_replica,
};

impl<S: Memory> Session<S> {
    // ---- sending ----

    pub(super) fn write_open(
        &mut self,
        context: &mut Context<S>,
        writer: &mut Writer<'_>,
    ) -> Result<(), Full> {
        match &self.phase {
            Phase::Opening(Opening::Due) => self.write_initiator_open(context, false, writer)?,
            Phase::Opening(Opening::ListDue) => self.write_initiator_open(context, true, writer)?,
            Phase::Open(opened) if !opened.is_answered => self.write_responder_open(context, writer)?,
            Phase::Awaiting(_) | Phase::Closing(_) | Phase::Open(_) | Phase::Opening(_) => return Ok(()),
        }
        match &mut self.phase {
            Phase::Opening(opening @ Opening::Due) => *opening = Opening::Sent,
            Phase::Opening(opening) => *opening = Opening::ListSent,
            Phase::Open(opened) => opened.is_answered = true,
            Phase::Awaiting(_) | Phase::Closing(_) => {}
        }
        Ok(())
    }

    fn write_initiator_open(
        &mut self,
        context: &mut Context<S>,
        lists: bool,
        writer: &mut Writer<'_>,
    ) -> Result<(), Full> {
        let is_clean = context.document.is_clean();
        let wants_retired = context.wants_retired(is_clean);
        let document = &context.document;
        let own = document.replica;
        let peer = context.peers.of(self.carrier.peer);
        self.table.copy_from(document.knowledge.vv());
        // A peer that ever sent its vector remembers this replica, if it knows it by its current id.
        let knows = |acked: &VersionVector<S>| {
            !acked.is_empty()
                && (acked.time_of(own) > Time::ZERO || document.knowledge.vv().time_of(own) == Time::ZERO)
        };
        let reference = peer
            .filter(|peer| !lists && knows(&peer.acked))
            .map(|_| VectorReference::of(document.knowledge.vv(), own));
        let head = OpenHead {
            name: Some(context.name.as_str()),
            replica: match self.table.index_of(own) {
                _ if reference.is_some() => OwnReplica::Unnamed,
                Some(entry) => OwnReplica::Entry(entry),
                None => OwnReplica::Literal(own),
            },
            by_reference: reference.is_some(),
            wants_retired,
            received: peer.and_then(|peer| peer.received_through).map(|stamp| self.name_stamp(stamp)),
            ..open_head::<S>(context.config.frame_len_max)
        };
        head.write(writer, 0, false)?;
        match reference {
            Some(reference) => reference.write(writer)?,
            None => write_initiator_vector(document.knowledge.vv(), writer)?,
        }
        self.begin_names(usize::MAX, usize::MAX);
        if let Some(peer) = peer {
            // If much was in flight when the last session ended, wait for the peer's Open, which states what
            // arrived.
            let unsure = document.cells.since(0).take_while(|cell| cell.seq <= peer.sent_through);
            let unsure = unsure.filter(|cell| !peer.acked.covers(cell.stamp)).count();
            let waits = unsure > FIRST_FLIGHT_AGAIN_MAX || peer.received_through.is_some();
            self.outgoing.first_base =
                first_base(&peer.acked, document.knowledge.vv(), own, context.config.role).filter(|_| !waits);
            let base = self.outgoing.first_base_vector(own, &self.table);
            self.outgoing.set_peer_knows(&base);
        }
        Ok(())
    }

    fn write_responder_open(
        &mut self,
        context: &mut Context<S>,
        writer: &mut Writer<'_>,
    ) -> Result<(), Full> {
        let is_clean = context.document.is_clean();
        let wants_retired = context.wants_retired(is_clean);
        let (document, role) = (&context.document, context.config.role);
        let (own, vv) = (document.replica, document.knowledge.vv());
        let highest = self.table_highest();
        let yours = self.peer_replica().and_then(|peer| {
            let held =
                document.cells.below(None).filter(|c| c.stamp.replica == peer).map(|c| c.stamp.time).max();
            held.filter(|time| *time > vv.time_of(peer) && holds(Rule::Yours)).map(Time::as_ms)
        });
        let is_retired = |e: &VectorEntry| document.knowledge.retired().covers(Stamp::new(e.time, e.replica));
        let is_shared = |e: &VectorEntry| vv.index_of(e.replica).is_some() || is_retired(e);
        let shared = self.table.iter().filter(is_shared).count();
        let relative = 2 * shared >= self.table.len();
        let same = *vv == self.table && is_clean;
        self.outgoing.names.anonymous = role == Role::Aggregator && vv.time_of(own) == Time::ZERO;
        let head = OpenHead {
            replica: match self.table.index_of(own) {
                Some(entry) => OwnReplica::Entry(entry),
                None if self.outgoing.names.anonymous => OwnReplica::Unnamed,
                None => OwnReplica::Literal(own),
            },
            time: if role == Role::Aggregator { context.moment.now.map(Time::as_ms) } else { None },
            yours,
            wants_retired,
            received: context
                .peers
                .of(self.carrier.peer)
                .and_then(|peer| peer.received_through)
                .map(|stamp| self.name_stamp(stamp)),
            digest: same.then(|| document.fingerprint.digest(highest)),
            ..open_head::<S>(context.config.frame_len_max)
        };
        head.write(writer, highest, relative)?;
        if relative {
            // A retired id keeps the initiator's time until the retirement is sent.
            let missing = self.table.iter().filter(|e| !is_shared(e)).map(|e| (e.replica, 0));
            let differing = vv.iter().map(|e| (e.replica, e.time.as_ms()));
            let differing =
                differing.filter(|(id, time)| self.table.time_of(*id).as_ms() != *time).chain(missing);
            writer.varint(differing.clone().count() as u64)?;
            for (id, time) in differing {
                let theirs = self.table.index_of(id).map_or(highest, |_| self.table.time_of(id).as_ms());
                write_replica(writer, name_replica(&mut self.outgoing.names, id, own, &self.table))?;
                write_relative_time(writer, time, theirs)?;
            }
        } else {
            writer.varint(vv.len() as u64)?;
            vv.iter().try_for_each(|entry| write_vector_entry(entry, own, self, writer))?;
        }
        Ok(())
    }

    /// Asks for another Open that lists the vector, because its hash is not known here.
    pub(super) fn write_open_again(&mut self, writer: &mut Writer<'_>) -> Result<(), Full> {
        writer.byte(tag::OPEN_AGAIN)?;
        self.phase = Phase::Awaiting(Awaited::List);
        Ok(())
    }

    // ---- receiving ----

    // Not inlined: its large stack frame would be part of that of every message.
    #[inline(never)]
    pub(super) fn handle_open(
        &mut self,
        head: OpenHead<'_>,
        vector: OpenVector<'_>,
        context: &mut Context<S>,
    ) -> Result<Outcome, Stop> {
        match self.phase {
            Phase::Opening(Opening::Sent | Opening::ListSent) if head.name.is_none() => {}
            Phase::Awaiting(_) if head.name.is_some() => {}
            Phase::Awaiting(_) | Phase::Opening(_) => return Err(Stop::OutOfTurn(Turn::WrongSide)),
            Phase::Closing(_) | Phase::Open(_) => return Err(Stop::OutOfTurn(Turn::SecondOpen)),
        }
        if head.name.is_some_and(|name| name != context.name.as_str()) {
            return Err(Stop::OutOfTurn(Turn::OtherName));
        }
        let too_many = Stop::too_many_replicas(vector.len());
        if self.carrier.initiator {
            for cursor in [&mut self.outgoing.names.cursor, &mut self.incoming.names.cursor] {
                cursor.paths_max = cursor.paths_max.min(head.dictionary_slots);
                cursor.replicas_max = cursor.replicas_max.min(head.replicas_max);
            }
        } else {
            self.read_table(vector, context)?.ok_or(too_many)?;
            self.begin_names(head.dictionary_slots, head.replicas_max);
        }
        let peer_replica = match (head.replica, vector) {
            (_, OpenVector::Reference(_)) => {
                context.peers.of(self.carrier.peer).and_then(|peer| peer.replica)
            }
            (OwnReplica::Unnamed, _) => None,
            (OwnReplica::Literal(id), _) => Some(id),
            (OwnReplica::Entry(entry), _) => self.table.entry(entry).map(|e| e.replica),
        };
        let is_nobodys = peer_replica == Some(ReplicaId::RETIREMENTS);
        if is_nobodys || (peer_replica.is_none() && head.replica != OwnReplica::Unnamed) {
            return Err(Stop::Dangling);
        }
        self.outgoing.frame_len_max = head.frame_len_max.min(FRAME_LEN_MAX);
        self.phase = Phase::Open(Opened {
            is_answered: self.carrier.initiator,
            peer_replica,
            peer_time: None,
            highest_time: Time::ZERO,
            wants_retired: head.wants_retired,
        });
        if let Some(replica) = peer_replica {
            context.reinstate(replica);
        }
        let mut theirs = self.read_vector(vector, context)?.ok_or(too_many)?;
        let peer = self.carrier.peer;
        if peer_replica.is_some() && context.peers.iter().any(|p| p.replica == peer_replica && p.id != peer) {
            self.refuse(context, Refusal::Fenced);
            return Err(Stop::Fenced);
        }
        let known = theirs.time_of(context.document.replica);
        let held = head.yours.and_then(Time::from_ms).unwrap_or(Time::ZERO).max(known);
        self.learn_time(head.time, context);
        context.check_own_id(held, Some(&mut theirs))?;
        let same = theirs == self.table && *context.document.knowledge.vv() == theirs;
        self.note_vector(theirs, context).map_err(|_| too_many)?;
        self.resume(head.received, context);
        if let Some(digest) = head.digest
            && same
            && context.document.is_clean()
        {
            let highest = self.table_highest();
            self.compare_digests(digest, highest, context);
        }
        Ok(Outcome::Opened)
    }

    /// Resumes a batch that was interrupted after a cell that the peer names. The peer has all that was sent
    /// in order before that cell, and keeps it for the claim.
    fn resume(&mut self, received: Option<(OwnReplica, u64)>, context: &mut Context<S>) {
        let Some(peer) = context.peers.of_mut(self.carrier.peer) else { return };
        let sent_through = core::mem::take(&mut peer.sent_through);
        let Some((replica, time)) = received.filter(|_| sent_through > 0 && self.outgoing.cursor == 0) else {
            return;
        };
        let replica = match replica {
            OwnReplica::Literal(id) => Some(id),
            OwnReplica::Entry(entry) => self.table.entry(entry).map(|e| e.replica),
            OwnReplica::Unnamed => None,
        };
        // A part of that transaction may be missing at the peer, so it is sent again from its first cell. If
        // none of its cells is left here, all cells are sent again.
        let (Some(replica), Some(time)) = (replica, Time::from_ms(time)) else { return };
        let stamp = Stamp::new(time, replica);
        let cells = context.document.cells.below(None).filter(|cell| cell.stamp == stamp);
        if let Some(first) = cells.map(|cell| cell.seq).min() {
            self.outgoing.cursor = (first - 1).min(sent_through);
        }
    }

    /// Notes what the peer has, according to its Open.
    fn note_vector(
        &mut self,
        theirs: VersionVector<S>,
        context: &mut Context<S>,
    ) -> Result<(), CapacityError> {
        self.outgoing.set_peer_knows(&theirs);
        if let Phase::Open(opened) = &mut self.phase {
            opened.highest_time = theirs.iter().map(|e| e.time).max().unwrap_or(Time::ZERO);
        }
        let own = context.document.replica;
        if self.carrier.initiator && !theirs.dominates(&self.outgoing.first_base_vector(own, &self.table)) {
            // The peer lost storage: it lacks what was assumed and skipped so far.
            self.outgoing.rebase();
            self.outgoing.first_claim = None;
        } else if let Some(claim) = self.outgoing.first_claim.take() {
            self.outgoing.peer_knows.absorb_writes(&claim);
        }
        self.incoming.early_vector = (!self.carrier.confirmed).then(|| theirs.clone());
        let limit = context.peers.capacity();
        let peer = context.peers.index_of(self.carrier.peer).ok_or(CapacityError::Peers { limit })?;
        if self.carrier.confirmed {
            context.peers[peer].acked.copy_from(&theirs);
            context.note_acknowledged(peer);
        } else if let Some(replica) =
            self.peer_replica().filter(|id| context.peers[peer].replica != Some(*id))
        {
            // If this session ends before it is confirmed, nobody else may ever claim its cells.
            context.give_up(replica);
        }
        Ok(())
    }

    /// Corrects the clock of this side by the time in the aggregator's Open.
    fn learn_time(&mut self, time: Option<u64>, context: &mut Context<S>) {
        let trusted = self.carrier.with_aggregator()
            && self.carrier.confirmed
            && context.config.role != Role::Aggregator;
        let Some(time) = time.and_then(Time::from_ms).filter(|_| trusted) else { return };
        if let Phase::Open(opened) = &mut self.phase {
            opened.peer_time = Some(time);
        }
        let Some(now) = context.moment.now else {
            context.events.push(Event::ClockCorrected { now: time, by_ms: None });
            return;
        };
        let off_ms = time.as_ms() as i64 - now.as_ms() as i64;
        if off_ms.unsigned_abs() <= CLOCK_TOLERANCE_MS {
            return;
        }
        context.clock_correction_ms += off_ms;
        context.moment = context.moment.moved_by(off_ms);
        let by_ms = Some(context.clock_correction_ms);
        context.events.push(Event::ClockCorrected { now: time, by_ms });
    }

    /// Opens again and lists the vector, because the peer does not know its hash.
    pub(super) fn handle_open_again(&mut self) -> Result<(), Stop> {
        if !matches!(self.phase, Phase::Opening(Opening::Sent)) {
            return Err(Stop::OutOfTurn(Turn::OpenAgain));
        }
        self.open_again();
        Ok(())
    }

    /// The vector that the initiator named by its hash, if it is known here: the own one, or one remembered
    /// or guessed of the peer.
    pub(super) fn resolve_reference(
        &self,
        reference: VectorReference,
        context: &Context<S>,
    ) -> Option<VersionVector<S>> {
        let peer = context.peers.of(self.carrier.peer)?;
        let replica = peer.replica?;
        let known = [context.document.knowledge.vv(), &peer.guess, &peer.acked]
            .into_iter()
            .find(|vv| reference.names(vv, replica))?;
        let mut table = known.clone();
        let time = reference.own_time(known, replica).and_then(Time::from_ms)?;
        table.put(replica, time).ok()?;
        Some(table)
    }

    /// Reads the initiator's vector, the table that both sides refer to. `None` if it does not fit.
    fn read_table(&mut self, vector: OpenVector<'_>, context: &Context<S>) -> Result<Option<()>, Stop> {
        if let OpenVector::Reference(reference) = vector {
            self.table = self.resolve_reference(reference, context).ok_or(Stop::Dangling)?;
            return Ok(Some(()));
        }
        self.table.clear();
        for (replica, time) in vector.initiator_entries() {
            let time = Time::from_ms(time).ok_or(Stop::Dangling)?;
            if self.table.raise(replica, time).is_err() {
                return Ok(None);
            }
        }
        Ok(Some(()))
    }

    /// Reads the peer's vector. `None` if it does not fit.
    fn read_vector(
        &mut self,
        vector: OpenVector<'_>,
        context: &Context<S>,
    ) -> Result<Option<VersionVector<S>>, Stop> {
        let section = match vector {
            OpenVector::Absolute(section) => section,
            OpenVector::Initiator { .. } | OpenVector::Reference(_) => {
                return Ok(Some(self.table.clone()));
            }
            OpenVector::Relative { .. } => {
                let highest = self.table_highest();
                let mut theirs = self.table.clone();
                for (reference, raw) in vector.relative_entries() {
                    let replica = self.resolve_and_define(reference)?;
                    let base = self.table.index_of(replica);
                    let base = base.map_or(highest, |_| self.table.time_of(replica).as_ms());
                    let time = match raw {
                        0 => Some(Time::ZERO),
                        _ => base.checked_add_signed(varint::unzigzag(raw - 1)).and_then(Time::from_ms),
                    };
                    let put = theirs.put(replica, time.ok_or(Stop::Dangling)?);
                    if put.is_err()
                        && (replica == context.document.replica || !self.carrier.with_aggregator())
                    {
                        return Ok(None);
                    }
                    // Without the entry, the aggregator is believed to have less than it has, which is safe.
                    // Ids may be about to retire.
                }
                return Ok(Some(theirs));
            }
        };
        self.resolve_vector(section)
    }

    fn begin_names(&mut self, paths_max: usize, replicas_max: usize) {
        let (highest, replicas) = (self.table_highest(), self.table.len());
        self.outgoing.names.begin(paths_max, replicas_max, replicas, highest);
        self.incoming.names.begin(paths_max, replicas_max, replicas, highest);
    }

    /// The highest time in the initiator's vector. Other times are relative to it.
    pub(super) fn table_highest(&self) -> u64 {
        highest_time(self.table.iter().map(|e| e.time.as_ms()))
    }

    fn name_stamp(&self, stamp: Stamp) -> (OwnReplica, u64) {
        let entry = self.table.index_of(stamp.replica);
        (entry.map_or(OwnReplica::Literal(stamp.replica), OwnReplica::Entry), stamp.time.as_ms())
    }
}

impl<S: Memory> Context<S> {
    /// Whether the peer must send every retired id: uncovered cells of one may be here, or arrive from
    /// others.
    fn wants_retired(&self, is_clean: bool) -> bool {
        self.config.role == Role::Mesh || !is_clean
    }
}

/// The base that the first flight may assume at a peer that has acknowledged `acked`. `None` if it should
/// wait for the peer's Open.
///
/// The peer checks the base, so a wrong guess costs a round trip.
fn first_base<S: Memory>(
    acked: &VersionVector<S>,
    vv: &VersionVector<S>,
    own: ReplicaId,
    role: Role,
) -> Option<FirstBase> {
    if acked.is_empty() {
        return Some(FirstBase::Nothing);
    }
    // What a member has of others came from its aggregator.
    let others_known =
        role == Role::Member || vv.iter().all(|e| e.replica == own || acked.time_of(e.replica) >= e.time);
    others_known.then(|| FirstBase::Table { own: acked.time_of(own).min(vv.time_of(own)) })
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

/// Most cells that are sent again although they may have arrived. A round trip costs more than these.
const FIRST_FLIGHT_AGAIN_MAX: usize = 8;

/// The fields that every Open of this storage has in common.
pub(crate) fn open_head<S: Memory>(frame_len_max: usize) -> OpenHead<'static> {
    OpenHead {
        name: None,
        replica: OwnReplica::Entry(0),
        by_reference: false,
        dictionary_slots: S::DICTIONARY_SLOTS,
        frame_len_max: frame_len_max.min(FRAME_LEN_MAX),
        replicas_max: Names::<S>::replicas_capacity(),
        time: None,
        yours: None,
        received: None,
        wants_retired: false,
        digest: None,
    }
}
