//! Retiring replica ids: the aggregator decides, and tells the members.
//!
//! See [`crate::retiring`] for what is remembered, and why that is enough.

use super::send::write_vector_entry;
use super::stop::Stop;
use super::{Event, Replica, Role};
use crate::causal::{Entry, Retired};
use crate::document::Document;
use crate::id::ReplicaId;
use crate::list::List;
use crate::storage::CellStore;
use crate::sync::{Memory, Session};
use crate::time::{Moment, Time};
use crate::wire::{Full, VectorSection, Writer, tag};

impl<S: Memory> Replica<S> {
    /// Retires the ids that nobody uses, of which nothing is left, and that every active member has all of.
    pub(super) fn retire_ids(&mut self, moment: Moment) {
        if self.config.role != Role::Aggregator || !self.document.knowledge.retired().has_room() {
            return;
        }
        let mut retirable = S::Ids::default();
        for id in self.given_up.iter().filter(|id| self.is_retirable(**id)) {
            // Those that do not fit have their turn the next time.
            retirable.push(*id).ok();
        }
        if retirable.is_empty() {
            return;
        }
        for cell in self.document.cells.below(None) {
            retirable.retain(|id| *id != cell.stamp.replica);
        }
        for id in retirable.iter() {
            if self.document.retire(moment, *id).is_ok() {
                self.given_up.retain(|given_up| given_up != id);
                self.unsaved = true;
            }
        }
    }

    /// As far as version vectors tell.
    fn is_retirable(&self, id: ReplicaId) -> bool {
        let time = self.document.knowledge.vv().time_of(id);
        let mut members = self.peers.iter().filter(|p| p.active);
        time > Time::ZERO
            && id != self.id()
            && self.peers.iter().all(|p| p.replica != Some(id))
            && self.sessions.iter().all(|s| s.peer_replica != Some(id))
            && members.all(|p| p.acked.time_of(id) == time)
            // What an early session has brought to its peer, nobody knows.
            && self.sessions.iter().all(|s| s.carrier.confirmed)
    }

    /// A retired id is in use again: somebody opened under it, or has more of it than was known.
    pub(super) fn reinstate(&mut self, id: ReplicaId) {
        if self.document.knowledge.reinstate(id) {
            self.unsaved = true;
            self.give_up(id);
        }
    }

    /// Tells a member that has everything else.
    pub(super) fn tell_retired(&mut self, index: usize, writer: &mut Writer<'_>) -> Result<(), Full> {
        let (document, session) = (&self.document, &mut self.sessions[index]);
        let is_due = self.config.role == Role::Aggregator
            && !session.outgoing.is_refused
            && !session.outgoing.wants_full
            && session.outgoing.batch.is_none()
            && session.outgoing.peer_has_all_writes(&document.knowledge)
            && has_all_of_retired(document, session);
        // Those that did not fit go into the next frame.
        if is_due { write_retired(document, session, false, writer).map(|_| ()) } else { Ok(()) }
    }

    /// A peer tells which ids have retired: what is left of them here is dead.
    ///
    /// They go out of the vectors here only at the aggregator's word. It takes that back if one is in use again, and must know
    /// what its members list.
    pub(super) fn take_retired(
        &mut self,
        index: usize,
        ids: VectorSection<'_>,
        at_ms: u64,
    ) -> Result<(), Stop> {
        let at = Time::from_ms(at_ms).ok_or(Stop::Dangling)?;
        let session = &mut self.sessions[index];
        session.incoming.names.cursor.defining = ids.is_defining();
        let by_aggregator = session.carrier.with_aggregator;
        let applies = !session.incoming.is_skipping
            && match self.config.role {
                // It decides, and is not told.
                Role::Aggregator => false,
                Role::Member => by_aggregator,
                Role::Mesh => true,
            };
        let mut dropped = 0;
        for (reference, time) in ids.entries() {
            let replica = self.resolve_and_define(index, reference)?;
            let retired = Retired { replica, time: Time::from_ms(time).ok_or(Stop::Dangling)?, at };
            if replica == ReplicaId::RETIREMENTS {
                return Err(Stop::Dangling);
            }
            if !applies || replica == self.id() {
                continue;
            }
            // Also where more of it is known: up to there it is dead.
            dropped += self.document.drop_retired(retired);
            if self.document.is_in_use(retired) {
                continue;
            }
            if self.config.role == Role::Mesh {
                self.document.knowledge.add_retired(retired);
            }
            if by_aggregator {
                self.document.unlist(replica);
                self.given_up.retain(|id| *id != replica);
                // The aggregator does not list it either.
                let session = &mut self.sessions[index];
                session.outgoing.peer_knows.put(replica, Time::ZERO).ok();
                session.outgoing.note_lowered();
            }
        }
        if !applies {
            return Ok(());
        }
        self.unsaved = true;
        if dropped > 0 {
            self.events.push(Event::Dropped { cells: dropped });
        }
        let session = &mut self.sessions[index];
        if by_aggregator && !session.incoming.is_full {
            self.document.knowledge.note_retirement(at);
            session.outgoing.peer_knows.raise(ReplicaId::RETIREMENTS, at).ok();
            let peer = self.peers.of_mut(session.carrier.peer).filter(|_| session.carrier.confirmed);
            if let Some(peer) = peer {
                // Nothing leaves the peer before it is durable there.
                peer.acked.raise(ReplicaId::RETIREMENTS, at).ok();
            }
        }
        Ok(())
    }
}

/// Whether the peer is there, and has all that the ids which it was not told of ever wrote.
pub(super) fn has_all_of_retired<S: Memory>(document: &Document<S>, session: &mut Session<S>) -> bool {
    session.open_received
        && session.carrier.confirmed
        && session.outgoing.is_delta_enough(&document.knowledge)
}

/// Tells a peer which ids it need not list any more: one that has everything, or that gets the claim of a full batch next.
///
/// False: some did not fit.
pub(super) fn write_retired<S: Memory>(
    document: &Document<S>,
    session: &mut Session<S>,
    full: bool,
    writer: &mut Writer<'_>,
) -> Result<bool, Full> {
    if document.knowledge.retired().len() == 0 {
        return Ok(true);
    }
    let believed = session.outgoing.peer_knows.clone();
    let (wants_all, told) = (session.outgoing.wants_retired, session.outgoing.last_retirement_told(full));
    let concerns = |retired: &Retired| {
        let listed = believed.time_of(retired.replica);
        (listed > Time::ZERO && listed <= retired.time) || (wants_all && retired.at > told)
    };
    let waiting = document.knowledge.retired().iter().filter(concerns);
    let count = waiting.clone().count();
    let reachable = if full { told } else { document.knowledge.retired().reachable(&believed) };
    if count == 0 && reachable <= told {
        return Ok(true);
    }
    let fit = count.min(writer.remaining().saturating_sub(HEAD_LEN_MAX) / ENTRY_LEN_MAX);
    if fit == 0 && count > 0 {
        return Err(Full);
    }
    let going = waiting.take(fit);
    let last = going.clone().last().map_or(told, |retired| retired.at.max(told));
    // A peer that knows of a later retirement than this side must not be told that it is known here.
    let through = if fit == count { last.max(reachable) } else { last };
    let through = through.min(document.knowledge.last_retirement());
    writer.byte(tag::RETIRED)?;
    writer.varint(fit as u64)?;
    for retired in going.clone() {
        let entry = Entry { replica: retired.replica, time: retired.time };
        write_vector_entry(entry, document.replica, session, writer)?;
    }
    writer.signed(through.as_ms() as i64 - session.outgoing.names.cursor.last_time as i64)?;
    session.outgoing.names.cursor.last_time = through.as_ms();
    for retired in going {
        session.outgoing.peer_knows.put(retired.replica, Time::ZERO).ok();
    }
    session.outgoing.note_lowered();
    session.outgoing.told_retired = through;
    if !full {
        session.outgoing.peer_knows.raise(ReplicaId::RETIREMENTS, through).ok();
    }
    Ok(fit == count)
}

/// Tag, count and the time of the last retirement, at most, in bytes.
const HEAD_LEN_MAX: usize = 10;
/// An id and a time, at most, in bytes.
const ENTRY_LEN_MAX: usize = 16;
