//! Retired: a message with replica ids that need not be listed any more. The aggregator decides, and informs
//! the members.
//!
//! See [`crate::retiring`] for what is remembered, and why that is enough.

use super::send::write_vector_entry;
use super::{Context, Event, Memory, Sending, Session, Stop};
use crate::causal::{Knowledge, Retired, VectorEntry};
use crate::config::Role;
use crate::document::Document;
use crate::id::ReplicaId;
use crate::list::List;
use crate::time::Time;
use crate::wire::{Full, VectorSection, Writer, tag};

impl<S: Memory> Session<S> {
    // ---- sending ----

    /// Sends retirements to a member that has everything else.
    pub(super) fn write_due_retirements(
        &mut self,
        context: &mut Context<S>,
        writer: &mut Writer<'_>,
    ) -> Result<(), Full> {
        let document = &context.document;
        let is_due = context.config.role == Role::Aggregator
            && !self.outgoing.is_stopped
            && !self.outgoing.wants_full
            && self.outgoing.sending.is_idle()
            && self.outgoing.peer_has_all_writes(&document.knowledge)
            && self.has_all_of_retired(&document.knowledge);
        // Ids that do not fit go into the next frame.
        if is_due { self.write_retired(document, writer).map(|_| ()) } else { Ok(()) }
    }

    /// Whether the peer is confirmed, and has all writes of the retired ids that were not sent to it.
    pub(super) fn has_all_of_retired(&mut self, knowledge: &Knowledge<S>) -> bool {
        self.is_open() && self.carrier.confirmed && self.outgoing.is_delta_enough(knowledge)
    }

    /// Sends retired ids to a peer that has everything, or that gets the claim of a full batch next.
    ///
    /// Returns false if some did not fit.
    pub(super) fn write_retired(
        &mut self,
        document: &Document<S>,
        writer: &mut Writer<'_>,
    ) -> Result<bool, Full> {
        let retired_ids = document.knowledge.retired();
        if retired_ids.len() == 0 {
            return Ok(true);
        }
        let believed = self.outgoing.peer_knows.clone();
        let wants_all = self.opened().is_some_and(|opened| opened.wants_retired);
        let told = self.outgoing.last_retirement_told();
        let concerns = |retired: &Retired| {
            let listed = believed.time_of(retired.replica);
            (listed > Time::ZERO && listed <= retired.time) || (wants_all && retired.at > told)
        };
        let waiting = retired_ids.iter().filter(concerns);
        let count = waiting.clone().count();
        let full = self.outgoing.sending.is_full();
        let reachable = if full { told } else { retired_ids.reachable(&believed) };
        if count == 0 && reachable <= told {
            return Ok(true);
        }
        let fit = count.min(writer.remaining().saturating_sub(HEAD_LEN_MAX) / ENTRY_LEN_MAX);
        if fit == 0 && count > 0 {
            return Err(Full);
        }
        let going = waiting.take(fit);
        let last = going.clone().last().map_or(told, |retired| retired.at.max(told));
        // If the peer knows a later retirement than this side, this side must not claim to know it.
        let through = if fit == count { last.max(reachable) } else { last };
        let through = through.min(document.knowledge.last_retirement());
        writer.byte(tag::RETIRED)?;
        writer.varint(fit as u64)?;
        for retired in going.clone() {
            let entry = VectorEntry { replica: retired.replica, time: retired.time };
            write_vector_entry(entry, document.replica, self, writer)?;
        }
        let outgoing = &mut self.outgoing;
        writer.signed(through.as_ms() as i64 - outgoing.names.cursor.last_time as i64)?;
        outgoing.names.cursor.last_time = through.as_ms();
        for retired in going {
            outgoing.peer_knows.put(retired.replica, Time::ZERO).ok();
        }
        outgoing.note_lowered();
        if let Sending::Full { told_retired, .. } = &mut outgoing.sending {
            *told_retired = through;
        } else {
            outgoing.peer_knows.raise(ReplicaId::RETIREMENTS, through).ok();
        }
        Ok(fit == count)
    }

    // ---- receiving ----

    /// Handles retired ids: what is left of them here is dead.
    ///
    /// Only a message of the aggregator removes them from the vectors here. It reverts that if an id is in
    /// use again, and must know what its members list.
    // Not inlined: its large stack frame would be part of that of every message.
    #[inline(never)]
    pub(super) fn handle_retired(
        &mut self,
        ids: VectorSection<'_>,
        at_ms: u64,
        context: &mut Context<S>,
    ) -> Result<(), Stop> {
        let at = Time::from_ms(at_ms).ok_or(Stop::Dangling)?;
        self.incoming.names.cursor.defining = ids.is_defining();
        let by_aggregator = self.carrier.with_aggregator();
        let applies = !self.incoming.is_skipping()
            && match context.config.role {
                // The aggregator decides, and ignores this message.
                Role::Aggregator => false,
                Role::Member => by_aggregator,
                // A device on a line is a member: it must not retire the ids of others.
                Role::Mesh => self.carrier.peer_role != Role::Member,
            };
        let mut dropped = 0;
        for (reference, time) in ids.entries() {
            let replica = self.resolve_and_define(reference)?;
            let retired = Retired { replica, time: Time::from_ms(time).ok_or(Stop::Dangling)?, at };
            if replica == ReplicaId::RETIREMENTS {
                return Err(Stop::Dangling);
            }
            if !applies || replica == context.document.replica {
                continue;
            }
            // Even if more of the id is known here: it is dead up to that time.
            dropped += context.document.drop_retired(retired);
            if context.document.is_in_use(retired) {
                continue;
            }
            if context.config.role == Role::Mesh {
                context.document.knowledge.add_retired(retired);
            }
            if by_aggregator {
                context.document.unlist(replica);
                context.given_up.retain(|id| *id != replica);
                // The aggregator does not list it either.
                self.outgoing.peer_knows.put(replica, Time::ZERO).ok();
                self.outgoing.note_lowered();
            }
        }
        if !applies {
            return Ok(());
        }
        context.unsaved = true;
        if dropped > 0 {
            context.events.push(Event::Dropped { cells: dropped });
        }
        if by_aggregator && !self.incoming.is_full() {
            context.document.knowledge.note_retirement(at);
            self.outgoing.peer_knows.raise(ReplicaId::RETIREMENTS, at).ok();
            let peer = context.peers.of_mut(self.carrier.peer).filter(|_| self.carrier.confirmed);
            if let Some(peer) = peer {
                // A peer sends only what is durable there.
                peer.acked.raise(ReplicaId::RETIREMENTS, at).ok();
            }
        }
        Ok(())
    }
}

/// Longest tag, count and time of the last retirement, in bytes.
const HEAD_LEN_MAX: usize = 10;
/// Longest id and time, in bytes.
const ENTRY_LEN_MAX: usize = 16;
