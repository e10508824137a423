//! Receives frames: each is checked completely, then handled message by message.

use super::{Awaited, Context, Event, Memory, Need, Outcome, Phase, Receiving, Session, Skipped, Stop, Turn};
use crate::causal::{Stamp, VectorEntry, VersionVector};
use crate::cell::Path;
use crate::config::{Config, Role};
use crate::document::UpdateError;
use crate::error::CapacityError;
use crate::id::ReplicaId;
use crate::limits::{DICTIONARY_PATH_LEN_MAX, VALUE_LEN_MAX};
use crate::list::List;
use crate::time::Time;
use crate::weaken::{Rule, holds};
use crate::wire::{
    Message, MessageReader, OpenVector, Refusal, Refused, ReplicaRef, Resource, VectorSection, WireCell,
    WirePath, highest_time, tag,
};

impl<S: Memory> Session<S> {
    /// Begins a frame: checks it completely. Returns whether its messages must be handled.
    pub(crate) fn begin_frame(
        &mut self,
        messages: &mut MessageReader<'_>,
        context: &mut Context<S>,
    ) -> Result<bool, Stop> {
        if messages.handle()? != self.carrier.handle {
            return Err(Stop::OutOfTurn(Turn::OtherDocument));
        }
        let start = messages.rest();
        let acks = match self.check_messages(messages, context)? {
            Checked::Messages { acks } => acks,
            Checked::Ignored => return Ok(false),
            Checked::UnknownVector => {
                self.phase = Phase::Awaiting(Awaited::ListToAsk);
                return Ok(false);
            }
        };
        self.admit(messages.highest_time, context);
        if !self.outgoing.is_stopped {
            self.outgoing.claims.note_seen(acks);
        }
        *messages = MessageReader::new(start, self.incoming.names.cursor);
        Ok(true)
    }

    /// Checks all messages of a frame.
    fn check_messages(
        &self,
        messages: &mut MessageReader<'_>,
        context: &Context<S>,
    ) -> Result<Checked, Stop> {
        let awaits_list = matches!(self.phase, Phase::Awaiting(Awaited::List | Awaited::ListToAsk));
        if awaits_list && messages.rest().first() != Some(&tag::OPEN) {
            return Ok(Checked::Ignored);
        }
        let mut open_received = self.is_open();
        let mut acks = 0_u64;
        while let Some(message) = messages.next()? {
            match message {
                // These may come instead of an Open.
                Message::Refused(_) | Message::OpenAgain if !open_received => continue,
                Message::Open(head, _) if !open_received && self.carrier.initiator == head.name.is_some() => {
                    return Err(Stop::OutOfTurn(Turn::WrongSide));
                }
                Message::Open(_, OpenVector::Reference(reference)) if !open_received => {
                    match self.resolve_reference(reference, context) {
                        Some(_) if awaits_list => return Ok(Checked::Ignored),
                        Some(table) => messages
                            .begin_names(table.len(), highest_time(table.iter().map(|e| e.time.as_ms()))),
                        None => return Ok(Checked::UnknownVector),
                    }
                }
                Message::Open(..) | Message::OtherVersion(_) if !open_received => {}
                Message::Open(..) => return Err(Stop::OutOfTurn(Turn::SecondOpen)),
                _ if !open_received => return Err(Stop::OutOfTurn(Turn::BeforeOpen)),
                Message::Ack { claims, .. } => {
                    acks = acks.saturating_add(claims);
                    continue;
                }
                _ => continue,
            }
            open_received = true;
        }
        Ok(Checked::Messages { acks })
    }

    /// An aggregator refuses stamps from the future. Nothing of such a batch is applied, and the refusal
    /// states by how much it is ahead.
    fn admit(&mut self, highest_time: u64, context: &mut Context<S>) {
        let Config { role: Role::Aggregator, admission_ahead_ms: limit_ms, .. } = context.config else {
            return;
        };
        let Some(now) = context.moment.now else { return };
        let ahead_ms = highest_time.saturating_sub(now.as_ms());
        if ahead_ms > limit_ms {
            self.refuse(context, Refusal::Clock { ahead_ms, limit_ms });
        }
    }

    /// Handles the next message of the frame. `messages` yields the cells of `message`.
    pub(crate) fn handle(
        &mut self,
        message: Message<'_>,
        messages: &mut MessageReader<'_>,
        context: &mut Context<S>,
    ) -> Result<Outcome, Stop> {
        self.compare.is_quiet = false;
        let outcome = self.handle_message(message, messages, context)?;
        if messages.names_are_open {
            // The vector that the Open named by a hash is resolved now.
            messages.begin_names(self.table.len(), self.table_highest());
        }
        self.incoming.names.cursor = messages.cursor;
        Ok(outcome)
    }

    fn handle_message(
        &mut self,
        message: Message<'_>,
        messages: &mut MessageReader<'_>,
        context: &mut Context<S>,
    ) -> Result<Outcome, Stop> {
        match message {
            Message::Open(head, vector) => return self.handle_open(head, vector, context),
            Message::OtherVersion(ours) => {
                self.refuse(context, Refusal::Version { theirs: tag::PROTOCOL_VERSION, ours });
                return Err(Stop::OtherVersion(ours));
            }
            Message::BatchFirst { own_behind } => {
                let base_holds = self.first_base_holds(own_behind, context)? || !holds(Rule::Base);
                self.begin_batch(false, base_holds);
            }
            Message::OpenAgain => self.handle_open_again()?,
            Message::BatchDelta => self.begin_batch(false, true),
            Message::BatchFull => self.begin_batch(true, true),
            Message::Cells => self.handle_cells(messages, context)?,
            Message::Update { ask } => {
                self.check_not_full()?;
                self.handle_cells(messages, context)?;
                self.incoming.ack_due |= ask;
                self.handle_own_claim(messages.cursor.last_time, context)?;
            }
            Message::End { claim, ask } => {
                self.incoming.ack_due |= ask;
                let claim = self.resolve_vector(claim)?;
                self.check_not_full()?;
                return self.handle_end(claim, context);
            }
            Message::EndOwn { time, ask } => {
                self.incoming.ack_due |= ask;
                self.check_not_full()?;
                self.handle_own_claim(time, context)?;
                return Ok(Outcome::BatchEnded);
            }
            Message::EndFull { claim, floor, horizon } => {
                let (claim, floor) = (self.resolve_vector(claim)?, self.resolve_vector(floor)?);
                let replica = self.resolve_and_define(horizon.0)?;
                let time = Time::from_ms(horizon.1).ok_or(Stop::Dangling)?;
                self.handle_end_full(claim, floor, Stamp::new(time, replica), context)?;
            }
            Message::Ack { claims, digest } => self.handle_ack(claims, digest, context)?,
            Message::Ask => self.incoming.ack_due = true,
            Message::Need { batch, full, vv } => {
                let vv = self.resolve_vector(vv)?;
                self.handle_need(batch, full, vv, context);
            }
            Message::Retired { ids, at } => self.handle_retired(ids, at, context)?,
            Message::Stable(vector) => {
                let stable = self.resolve_vector(vector)?;
                if let Some(stable) = stable.filter(|_| self.carrier.with_aggregator()) {
                    let forgotten = context.document.forget_tombstones(|stamp| stable.covers(stamp));
                    context.unsaved |= forgotten > 0;
                }
            }
            Message::Refused(Refused { reason, .. }) => {
                self.outgoing.is_stopped = true;
                context.events.push(Event::Refused { session: self.id, reason });
                return Ok(Outcome::Refused(reason));
            }
            Message::Repair(step) => return self.handle_repair(step, messages, context),
        }
        Ok(Outcome::Done)
    }

    // ---- batches ----

    /// Whether this side has the base that a batch of the first flight assumes.
    fn first_base_holds(&self, own_behind: Option<u64>, context: &Context<S>) -> Result<bool, Stop> {
        let Some(behind) = own_behind else { return Ok(true) };
        let peer = self.peer_replica().ok_or(Stop::Dangling)?;
        let told = self.table.time_of(peer).as_ms();
        let own = told.checked_sub(behind).ok_or(Stop::Dangling)?;
        let vv = context.document.knowledge.vv();
        let others = self.table.iter().filter(|e| e.replica != peer);
        let is_here = |e: VectorEntry| context.document.covers(Stamp::new(e.time, e.replica));
        Ok(vv.time_of(peer).as_ms() >= own && { others }.all(is_here))
    }

    fn begin_batch(&mut self, full: bool, base_holds: bool) {
        self.incoming.confirmed.clear();
        let is_told = self.incoming.is_skipping() && holds(Rule::NeedOnce);
        self.incoming.receiving = if self.incoming.has_refused() {
            Receiving::Skipping { full, reason: Skipped::Refused }
        } else if !base_holds {
            Receiving::Skipping { full, reason: Skipped::BaseMissing }
        } else if full {
            Receiving::Full
        } else {
            Receiving::Delta { through: None }
        };
        if !base_holds && !is_told {
            let batch = self.incoming.claims_received.saturating_add(1);
            self.incoming.need_due = Some(Need { batch, full: false });
        }
    }

    pub(super) fn check_not_full(&self) -> Result<(), Stop> {
        if self.incoming.is_full() {
            return Err(Stop::OutOfTurn(Turn::DeltaEndInFull));
        }
        Ok(())
    }

    fn handle_ack(
        &mut self,
        further: u64,
        digest: Option<u32>,
        context: &mut Context<S>,
    ) -> Result<(), Stop> {
        let outgoing = &mut self.outgoing;
        let through = outgoing.claims.note_acked(further).ok_or(Stop::OutOfTurn(Turn::AckOfNothing))?;
        let latest = outgoing.claims.are_all_acked() && outgoing.sending.is_idle();
        if self.carrier.confirmed && !outgoing.is_stopped && outgoing.claims.is_ack_valid() {
            let peer = context.peers.index_of(self.carrier.peer).ok_or(Stop::Dangling)?;
            let acked = &mut context.peers[peer].acked;
            if latest {
                outgoing.note_all_acked(&context.document.knowledge, acked);
            } else if let Some(time) = outgoing.claims.acked_own_time() {
                acked.raise(context.document.replica, time).ok();
            }
            context.note_acknowledged(peer);
        }
        // While a batch of the peer is skipped here, the peer does not know yet that both sides differ.
        if let Some(digest) = digest
            && latest
            && !self.incoming.is_skipping()
            && self.outgoing.peer_has_all(&context.document.knowledge)
            && context.document.is_clean()
        {
            self.compare_digests(digest, through.into(), context);
        }
        Ok(())
    }

    fn handle_need(
        &mut self,
        batch: u64,
        full: bool,
        vv: Option<VersionVector<S>>,
        context: &mut Context<S>,
    ) {
        if self.outgoing.claims.is_void(batch) && holds(Rule::NeedOnce) {
            return;
        }
        // If the vector does not fit, use an empty one: a lower bound of what the peer has is safe.
        let vv = vv.unwrap_or_default();
        self.outgoing.set_peer_knows(&vv);
        self.outgoing.rebase();
        self.outgoing.wants_full |= full;
        if let Some(peer) = context.peers.of_mut(self.carrier.peer) {
            peer.acked.lower_to(&vv);
        }
    }

    // ---- names ----

    fn resolve(&self, reference: ReplicaRef) -> Result<ReplicaId, Stop> {
        let peer = self.peer_replica();
        self.incoming.names.resolve(reference, peer, &self.table).ok_or(Stop::Dangling)
    }

    /// As `resolve`, but gives a literal the next number of the table.
    pub(super) fn resolve_and_define(&mut self, reference: ReplicaRef) -> Result<ReplicaId, Stop> {
        let replica = self.resolve(reference)?;
        if let ReplicaRef::Literal(id) = reference {
            self.incoming.names.define_replica(id);
        }
        Ok(replica)
    }

    /// Resolves the names of a vector and defines its literals. `None` if the vector does not fit.
    pub(super) fn resolve_vector(
        &mut self,
        section: VectorSection<'_>,
    ) -> Result<Option<VersionVector<S>>, Stop> {
        let mut vector = VersionVector::new();
        let mut fits = true;
        self.incoming.names.cursor.defining = section.is_defining();
        for (reference, time) in section.entries() {
            let replica = self.resolve_and_define(reference)?;
            let time = Time::from_ms(time).ok_or(Stop::Dangling)?;
            fits &= vector.raise(replica, time).is_ok();
        }
        Ok(fits.then_some(vector))
    }

    /// Resolves a cell's stamp and, if a slot names it, its path. Defines literals.
    pub(super) fn resolve_cell(
        &mut self,
        wire: &WireCell<'_>,
        literal: Option<Path<'_>>,
    ) -> Result<(Stamp, Option<heapless::String<DICTIONARY_PATH_LEN_MAX>>), Stop> {
        let replica = self.resolve(wire.stamp.replica)?;
        let names = &mut self.incoming.names;
        if let ReplicaRef::Literal(id) = wire.stamp.replica
            && wire.names_replica
        {
            names.define_replica(id);
        }
        let slot = match wire.path {
            WirePath::Slot(slot) => {
                let text = names.path(slot).ok_or(Stop::Dangling)?;
                heapless::String::try_from(text.as_str()).ok()
            }
            WirePath::Literal => {
                names.define_path(literal.ok_or(Stop::Dangling)?);
                None
            }
        };
        let time = Time::from_ms(wire.stamp.time).filter(|time| *time > Time::ZERO);
        let time = time.filter(|_| replica != ReplicaId::RETIREMENTS).ok_or(Stop::Dangling)?;
        Ok((Stamp::new(time, replica), slot))
    }
}

/// The result of checking a frame.
enum Checked {
    /// It can be handled, and acknowledges `acks` claims.
    Messages { acks: u64 },
    /// The peer sent it before it received the request to open again.
    Ignored,
    /// It opens with a vector that is not known here by its hash.
    UnknownVector,
}

/// The refusal of a cell that the document cannot apply.
pub(super) fn refusal(error: UpdateError) -> Refusal {
    let (what, needed, limit) = match error {
        UpdateError::Capacity(CapacityError::Bytes { needed, limit }) => (Resource::Bytes, needed, limit),
        // `Writes` does not occur here: it limits transactions that are assembled locally.
        UpdateError::Capacity(
            CapacityError::Cells { needed, limit } | CapacityError::Writes { needed, limit },
        ) => (Resource::Cells, needed, limit),
        UpdateError::Capacity(CapacityError::Peers { limit }) => (Resource::Peers, limit + 1, limit),
        UpdateError::Capacity(CapacityError::Replicas { limit }) => (Resource::Replicas, limit + 1, limit),
        UpdateError::ClockExhausted { last } => {
            return Refusal::Clock { ahead_ms: last.as_ms(), limit_ms: 0 };
        }
        // A cell of a peer sets a value; it never adds to one.
        UpdateError::Overflow => (Resource::Bytes, 0, 0),
        UpdateError::Value(error) => (Resource::Bytes, error.len, VALUE_LEN_MAX),
    };
    Refusal::Capacity { what, needed: needed as u64, limit: limit as u64 }
}
