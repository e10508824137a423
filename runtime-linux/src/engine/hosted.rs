//! One document of an edge: its replica, its session with the aggregator, and who waits for something of it.

use rand_chacha::ChaCha12Rng;
use std::time::Instant;

use control::{Scalar, tree};
use crdt_core::{
    Content, Heap, Moment, Path, PeerId, Replica, ReplicaId, SessionId, Size, Stamp, Time, Value, ValueError,
    Write, limits::VALUE_LEN_MAX,
};
use transport_quic::PublicKey;

use super::answers::Answers;
use super::io::{DocumentCommand, Reply, Updated};
use super::receipts::{Basis, Receipts};
use super::standing::{Replaced, Standing, Stood};
use crate::arrived::Arrived;
use crate::backoff::Backoff;
use crate::changes::{Changes, Cursor};
use crate::connection::Debt;
use crate::error::EdgeError;
use crate::options::Timing;
use crate::policy::{Before, Policy};
use crate::status::{Awaited, Problem};

/// A document and what belongs to it alone.
pub(super) struct Hosted {
    pub(super) replica: Replica<Heap, ChaCha12Rng>,
    /// The aggregator, if there is one.
    pub(super) peer: Option<PeerId>,
    /// What carries it now; there is none without a connection, or while the document is set aside.
    pub(super) session: Option<Session>,
    /// The session of now, or the last one: what is said about it may come late.
    pub(super) last_session: Option<SessionId>,
    /// What went wrong with this document alone, if it has not gone well since.
    pub(super) problem: Option<Problem>,
    /// When the aggregator is asked again, after it had refused something of this document.
    pub(super) retry: Option<Retry>,
    pub(super) refused: Backoff,
    watchers: Vec<Watcher>,
    receipts: Receipts,
    /// The aggregator has opened it, in this process.
    was_opened: bool,
    /// What was at the aggregator when the last session that was open ended: the session takes its deliveries along.
    arrived: Option<Arrived>,
    /// Tombstones were forgotten at this change: who has not seen them yet is told everything anew.
    pub(super) forgotten_at: u64,
    /// How often cells went without a trace: who has not seen it is told everything anew.
    pub(super) drops: u64,
    /// Since when own writes lack an acknowledgement.
    unacknowledged_since: Option<Instant>,
    pub(super) last_acknowledged: Option<Time>,
    /// Up to where own writes were known to be at the aggregator when it last said so.
    known_acknowledged: Time,
    /// The newest own write that is urgent.
    pub(super) urgent_through: Option<Time>,
    /// The newest urgent change of a device on a line, and its place in the order of changes.
    pub(super) urgent_of_device: Option<(Stamp, u64)>,
    /// When changes of it are sent.
    pub(super) policy: Policy,
    /// Own writes up to this time were handed to the link.
    handed_through: Time,
    /// What others wrote up to this change of the document was handed to the link.
    handed_seq: u64,
    /// What stands in it, if devices on lines write to it.
    standing: Option<Standing>,
    /// Changes wait for company.
    is_deferred: bool,
}

/// What a command did that concerns the way to the aggregator.
pub(super) enum Done {
    /// Somebody waits until the aggregator has something that it is not known to have.
    Awaited,
    Written(Written),
}

/// What a transaction wrote.
pub(super) struct Written {
    pub(super) stamp: Stamp,
    /// Each path with what stands there now (`None`: nothing), and what stood there before.
    pub(super) writes: Vec<(String, Option<Scalar>, Before)>,
}

/// A document open on the connection.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: SessionId,
    since: Instant,
    /// The aggregator has opened the document.
    pub(super) has_answered: bool,
    /// The aggregator sent what this side does not take.
    pub(super) is_broken: bool,
    /// The acknowledgement that was asked for: when, and up to which own time.
    pub(super) asked: Option<(Instant, Time)>,
    /// Claims that the transport has delivered.
    delivered: u32,
    /// The last change that was known to be delivered.
    known_delivered: u64,
}

/// When and how to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Retry {
    pub(super) at: Instant,
    /// The aggregator does not open the document a second time on this connection.
    pub(super) needs_connection: bool,
}

struct Watcher {
    prefix: Option<String>,
    after: Cursor,
    reply: Reply<Changes>,
}

impl Hosted {
    pub(super) fn new(
        replica: Replica<Heap, ChaCha12Rng>,
        peer: Option<PeerId>,
        timing: &Timing,
        mut policy: Policy,
    ) -> Self {
        policy.follow(replica.document(), 0);
        Self {
            replica,
            peer,
            session: None,
            last_session: None,
            problem: None,
            retry: None,
            refused: Backoff::new(timing.backoff_first, timing.refused_last),
            watchers: Vec::new(),
            receipts: Receipts::default(),
            was_opened: false,
            arrived: None,
            forgotten_at: 0,
            drops: 0,
            unacknowledged_since: None,
            last_acknowledged: None,
            known_acknowledged: Time::ZERO,
            urgent_through: None,
            urgent_of_device: None,
            policy,
            handed_through: Time::ZERO,
            handed_seq: 0,
            standing: None,
            is_deferred: false,
        }
    }

    /// Takes a command; tells what of it concerns the way to the aggregator.
    pub(super) fn take(
        &mut self,
        moment: Moment,
        command: DocumentCommand,
        answers: &mut Answers,
    ) -> Option<Done> {
        match command {
            DocumentCommand::Changes { prefix, after, reply } => self.watch(prefix, after, reply, answers),
            DocumentCommand::Get { path, reply } => {
                let value = checked(&path).map(|path| self.replica.document().get(path).map(Scalar::from));
                answers.add(reply, value);
            }
            DocumentCommand::Receipt { basis, reply } => {
                let basis = basis.unwrap_or_else(|| self.basis(None));
                let is_there = self.has_arrived(&basis);
                match self.receipts.add(basis, reply) {
                    Err((error, reply)) => answers.add(reply, Err(error)),
                    Ok(()) if is_there => {}
                    Ok(()) => return Some(Done::Awaited),
                }
            }
            DocumentCommand::Tree { path, reply } => {
                let json = path.as_deref().map(checked).transpose();
                let json = json.map(|path| tree(path, self.replica.document().iter(path)));
                answers.add(reply, json);
            }
            DocumentCommand::Update { writes, reply } => {
                let before: Vec<_> = writes.iter().map(|(path, _)| self.before(path)).collect();
                let rests_on_others = writes.iter().any(|(path, new)| new.is_none() && self.is_free(path));
                let stamp = self.update(moment, &writes);
                let written = stamp.as_ref().ok().copied().flatten();
                let updated = stamp.map(|stamp| {
                    let basis = stamp.filter(|_| !rests_on_others).map(Basis::from);
                    Updated { stamp, basis: basis.unwrap_or_else(|| self.basis(stamp)) }
                });
                answers.add(reply, updated);
                let writes = writes.into_iter().zip(before).map(|((path, new), before)| (path, new, before));
                return written.map(|stamp| Done::Written(Written { stamp, writes: writes.collect() }));
            }
        }
        None
    }

    /// Everything is durable: tells the receipts that have come, and the changes.
    pub(super) fn settle(&mut self) {
        debug_assert!(!self.replica.has_unsaved(), "answers are given when everything is durable");
        let mut receipts = std::mem::take(&mut self.receipts);
        receipts.give(|basis| self.has_arrived(basis));
        self.receipts = receipts;
        let document = self.replica.document();
        let newest = Cursor { seq: document.seq(), drops: self.drops };
        if self.watchers.iter().all(|watcher| watcher.after == newest) {
            return;
        }
        for mut watcher in std::mem::take(&mut self.watchers) {
            let prefix = watcher.prefix.as_deref().and_then(|prefix| checked(prefix).ok());
            let is_behind = watcher.after.drops != self.drops || watcher.after.seq < self.forgotten_at;
            let changes = if is_behind {
                Changes::snapshot(document, prefix, self.drops)
            } else {
                Changes::since(document, prefix, watcher.after)
            };
            if changes.changes.is_empty() {
                watcher.after = changes.cursor;
                self.watchers.push(watcher);
            } else {
                // Whoever does not wait any more asks again, with what it knows.
                let _ = watcher.reply.send(Ok(changes));
            }
        }
    }

    /// Nothing will come any more.
    pub(super) fn fail(&mut self, error: impl Fn() -> EdgeError) {
        // Whoever does not wait any more needs no answer.
        self.watchers.drain(..).for_each(|watcher| drop(watcher.reply.send(Err(error()))));
        self.receipts.fail(error);
    }

    /// It is open on the connection from now on.
    pub(super) fn opened(&mut self, now: Instant, id: SessionId) {
        self.last_session = Some(id);
        self.session = Some(Session {
            id,
            since: now,
            has_answered: false,
            is_broken: false,
            asked: None,
            delivered: 0,
            known_delivered: 0,
        });
        self.retry = None;
    }

    /// The session is over, and with it what waited for a better one.
    pub(super) fn leave_session(&mut self) {
        self.arrived = self.arrived();
        if let Some(session) = self.session.take() {
            self.replica.disconnect(session.id);
        }
        self.retry = None;
    }

    /// A frame has come. True if it was the one that opened the document.
    pub(super) fn note_answered(&mut self) -> bool {
        let is_connected = self.peer.is_some_and(|peer| self.replica.is_connected(peer));
        match &mut self.session {
            Some(session) if is_connected && !session.has_answered => {
                session.has_answered = true;
                self.was_opened = true;
                // What was delivered before the aggregator's word about it came.
                self.replica.note_delivered(session.id, session.delivered);
                true
            }
            _ => false,
        }
    }

    /// The transport delivered a frame. The aggregator's acknowledges only what is on the disk, so that is a receipt.
    pub(super) fn note_delivered(&mut self, id: SessionId, claims: u32) {
        if let Some(session) = self.session.as_mut().filter(|session| session.id == id) {
            session.delivered = session.delivered.max(claims);
            self.replica.note_delivered(id, session.delivered);
        }
    }

    /// The aggregator acknowledged something. True if that was news.
    pub(super) fn note_acknowledged(&mut self, now: Instant) -> bool {
        if let Some((since, _)) = self.session.as_mut().and_then(|session| session.asked.as_mut()) {
            *since = now;
        }
        let (through, delivered) = (self.acknowledged(), self.delivered_seq());
        if self.urgent_of_device.is_some_and(|(stamp, seq)| self.has(stamp) || delivered >= seq) {
            self.urgent_of_device = None;
        }
        // What devices on lines wrote is no own write: the delivery says that it is there.
        let known = self.session.as_mut().map(|session| &mut session.known_delivered);
        let is_delivered = known.is_some_and(|known| std::mem::replace(known, delivered) < delivered);
        let is_news = is_delivered || through > self.known_acknowledged;
        self.known_acknowledged = self.known_acknowledged.max(through);
        is_news
    }

    fn delivered_seq(&self) -> u64 {
        self.peer.map_or(0, |peer| self.replica.delivered_seq(peer))
    }

    /// Whether the aggregator said that it has this.
    fn has(&self, stamp: Stamp) -> bool {
        let acked = self.peer.and_then(|peer| self.replica.acknowledged_by(peer));
        acked.is_some_and(|acked| acked.covers(stamp))
    }

    /// The aggregator did its part for this document.
    pub(super) fn note_progress(&mut self) {
        if self.retry.is_none() {
            self.refused.reset();
            self.problem = None;
        }
    }

    /// Own writes since some time have new stamps, up to the time of `target`; it may be lower than before.
    pub(super) fn note_forked(&mut self, from: ReplicaId, to: ReplicaId) {
        let through = self.replica.document().version_vector().time_of(to);
        let target = Stamp::new(through, to);
        self.known_acknowledged = Time::ZERO;
        self.handed_through = Time::ZERO;
        self.handed_seq = 0;
        if self.urgent_through.is_some() {
            self.urgent_through = Some(through);
        }
        self.receipts.note_forked(from, target);
    }

    /// Changes wait for company, or do not any more.
    pub(super) fn set_deferred(&mut self, is_deferred: bool) {
        self.is_deferred = is_deferred;
        if let Some(session) = &self.session {
            self.replica.set_deferred(session.id, is_deferred);
        }
    }

    /// The replica has nothing more to send: everything is handed to the link, if the aggregator takes it.
    pub(super) fn note_handed(&mut self) {
        if self.may_ask() && !self.replica.is_unverified() {
            self.note_all_handed();
        }
    }

    /// Everything is handed to the link.
    pub(super) fn note_all_handed(&mut self) {
        self.handed_through = self.own_time();
        self.handed_seq = self.replica.document().seq();
    }

    /// Whether it will have something to send as soon as the aggregator has answered.
    pub(super) fn is_opening(&self) -> bool {
        let has_answered = self.session.as_ref().is_none_or(|session| session.has_answered);
        self.retry.is_none() && (!has_answered || self.replica.is_unverified())
    }

    /// Cells written here, or by devices on lines, that were not handed to the link. Cost: `[cells]`.
    pub(super) fn unsent_cells(&self) -> usize {
        let (own, through) = (self.replica.id(), self.handed_through.max(self.acknowledged()));
        let seq = self.handed_seq.max(self.delivered_seq());
        let is_unsent = |stamp: Stamp, at: u64| match stamp.replica == own {
            true => stamp.time > through,
            false => at > seq && !self.has(stamp),
        };
        let cells = self.replica.document().changes_since(0);
        cells.filter(|cell| is_unsent(cell.stamp, cell.seq)).count()
    }

    /// The id under which it writes, and the time of its newest write.
    pub(super) fn own_stamp(&self) -> Stamp {
        Stamp::new(self.own_time(), self.replica.id())
    }

    /// Compares own writes with what the aggregator has.
    pub(super) fn follow_acknowledgements(&mut self, now: Instant) {
        let acknowledged = self.acknowledged();
        if self.sendable_through() <= acknowledged {
            self.unacknowledged_since = None;
        } else if self.peer.is_some() {
            self.unacknowledged_since.get_or_insert(now);
        }
        if let Some(session) = &mut self.session
            && session.asked.is_some_and(|(_, through)| acknowledged >= through)
        {
            session.asked = None;
        }
    }

    /// Asks for an acknowledgement of everything, unless that was asked for. Deliveries are receipts by themselves; this is
    /// for whoever doubts them.
    pub(super) fn ask(&mut self, now: Instant) {
        let (own, acknowledged) = (self.sendable_through(), self.acknowledged());
        let may_ask = self.may_ask() && own > acknowledged && !self.replica.is_unverified();
        let Some(session) = self.session.as_mut().filter(|_| may_ask) else { return };
        if session.asked.is_none_or(|(_, through)| through < own) {
            session.asked = Some((session.asked.map_or(now, |(at, _)| at), own));
            self.replica.request_acknowledgement();
        }
    }

    /// When own writes have lacked an acknowledgement for so long that one is asked for, though nobody waits for it.
    pub(super) fn late_at(&self, timing: &Timing) -> Option<Instant> {
        let is_asked = self.session.as_ref().is_some_and(|session| session.asked.is_some());
        let since = self.unacknowledged_since.filter(|_| self.may_ask() && !is_asked)?;
        Some(since + timing.acknowledge_after)
    }

    /// What the aggregator owes this document first.
    pub(super) fn debt(&self) -> Option<Debt> {
        let session = self.session.as_ref()?;
        let open = (!session.has_answered).then_some(Debt { since: session.since, what: Awaited::Open });
        let asked = session.asked.map(|(since, _)| Debt { since, what: Awaited::Acknowledgement });
        open.into_iter().chain(asked).min_by_key(|debt| debt.since)
    }

    /// Whether something urgent is not known to be at the aggregator.
    pub(super) fn urgent_waits(&self) -> bool {
        self.urgent_through.is_some_and(|through| through > self.acknowledged())
            || self.urgent_of_device.is_some_and(|(stamp, _)| !self.has(stamp))
    }

    /// Own writes up to this time are on the aggregator's disk.
    pub(super) fn acknowledged(&self) -> Time {
        self.peer.map_or(Time::ZERO, |peer| self.replica.acknowledged_through(peer))
    }

    /// Cells that the aggregator is not known to have; all of them where there is none. Cost: `[cells]`.
    pub(super) fn backlog(&self) -> Size {
        match self.peer {
            Some(peer) => self.replica.backlog(peer),
            None => self.replica.document().size(),
        }
    }

    /// Whether both sides have opened it.
    pub(super) fn is_connected(&self) -> bool {
        self.session.is_some() && self.peer.is_some_and(|peer| self.replica.is_connected(peer))
    }

    fn own_time(&self) -> Time {
        self.replica.document().version_vector().time_of(self.replica.id())
    }

    /// Own writes up to this time may be at the link: those that wait for company are not.
    fn sendable_through(&self) -> Time {
        let own = self.own_time();
        if self.is_deferred { self.handed_through.min(own) } else { own }
    }

    /// What stands at a path where something will be written.
    fn before(&self, path: &str) -> Before {
        let nothing = Before { value: None, is_sent: true, written: None };
        let Ok(path) = Path::new(path) else { return nothing };
        let cell = self.replica.document().iter(Some(path)).next().filter(|cell| cell.path == path);
        let Some(cell) = cell else { return nothing };
        let of_device = self.standing.as_ref().and_then(|standing| standing.at(path.as_str()));
        let of_device = of_device.filter(|stood| stood.is_of_device && stood.stamp == cell.stamp);
        let value = match cell.content {
            Content::Value(value) => Some(Scalar::from(value)),
            Content::List | Content::Map | Content::Tombstone => None,
        };
        let is_sent = match of_device {
            _ if cell.stamp.replica == self.replica.id() => cell.stamp.time <= self.handed_through,
            Some(stood) => self.is_handed(stood),
            None => true,
        };
        Before { value, is_sent, written: Some(cell.stamp.time) }
    }

    /// Whether what a device on a line wrote was handed to the link, or is known to be at the aggregator.
    fn is_handed(&self, stood: &Stood) -> bool {
        stood.seq <= self.handed_seq || self.has(stood.stamp)
    }

    /// A device on a line is about to write. Notes what stands there.
    pub(super) fn look_before_device(&mut self) {
        let (document, drops) = (self.replica.document(), self.drops);
        let standing = self.standing.get_or_insert_with(|| Standing::of(document, drops));
        standing.follow(document, drops, self.forgotten_at, false);
    }

    /// What a device on a line has written since [`look_before_device`](Self::look_before_device), with what stood there.
    pub(super) fn written_by_device(&mut self) -> Vec<(Replaced, Before)> {
        let Some(standing) = &mut self.standing else { return Vec::new() };
        let replaced = standing.follow(self.replica.document(), self.drops, self.forgotten_at, true);
        let before = |replaced: &Replaced| match &replaced.before {
            None => Before { value: None, is_sent: true, written: None },
            Some(stood) => {
                let is_own = stood.stamp.replica == self.replica.id();
                let is_sent = match is_own {
                    true => stood.stamp.time <= self.handed_through,
                    false => !stood.is_of_device || self.is_handed(stood),
                };
                Before { value: stood.value.clone(), is_sent, written: Some(stood.stamp.time) }
            }
        };
        let with_before = |replaced: Replaced| {
            let before = before(&replaced);
            (replaced, before)
        };
        replaced.into_iter().map(with_before).collect()
    }

    fn may_ask(&self) -> bool {
        self.retry.is_none() && self.session.as_ref().is_some_and(|session| session.has_answered)
    }

    fn update(
        &mut self,
        moment: Moment,
        writes: &[(String, Option<Scalar>)],
    ) -> Result<Option<Stamp>, EdgeError> {
        if writes.len() > WRITES_MAX {
            return Err(EdgeError::TooManyWrites { writes: writes.len(), limit: WRITES_MAX });
        }
        let checked: Vec<_> =
            writes.iter().map(|(path, value)| write(path, value.as_ref())).collect::<Result<_, _>>()?;
        Ok(self.replica.update(moment, &checked)?)
    }

    fn watch(
        &mut self,
        prefix: Option<String>,
        after: Option<Cursor>,
        reply: Reply<Changes>,
        answers: &mut Answers,
    ) {
        let checked = prefix.as_deref().map(checked).transpose();
        match (checked, after) {
            (Err(error), _) => answers.add(reply, Err(error)),
            (Ok(prefix), None) => {
                let snapshot = Changes::snapshot(self.replica.document(), prefix, self.drops);
                answers.add(reply, Ok(snapshot));
            }
            (Ok(_), Some(after)) => {
                self.watchers.retain(|watcher| !watcher.reply.is_closed());
                self.watchers.push(Watcher { prefix, after, reply });
            }
        }
    }

    /// What an answer rests on that was given now and wrote `stamp`, or nothing. Cost: `[cells]`.
    fn basis(&self, stamp: Option<Stamp>) -> Basis {
        let (own, delivered) = (self.own_stamp(), self.delivered_seq());
        let mut others: Vec<Stamp> = Vec::new();
        for cell in self.replica.document().changes_since(delivered) {
            if cell.stamp.replica == own.replica || self.has(cell.stamp) {
                continue;
            }
            match others.iter_mut().find(|newest| newest.replica == cell.stamp.replica) {
                Some(newest) => newest.time = newest.time.max(cell.stamp.time),
                None => others.push(cell.stamp),
            }
        }
        let seq = self.replica.document().seq();
        Basis { own: stamp.unwrap_or(own), others, seq, needs_open: stamp.is_none() }
    }

    /// Whether the aggregator has all that an answer rests on.
    fn has_arrived(&self, basis: &Basis) -> bool {
        let is_own = basis.own.replica == self.replica.id();
        let has_own = if is_own { basis.own.time <= self.acknowledged() } else { self.has(basis.own) };
        let has_others =
            || basis.others.iter().all(|stamp| self.has(*stamp)) || self.delivered_seq() >= basis.seq;
        let acked = self.peer.and_then(|peer| self.replica.acknowledged_by(peer));
        let is_known = || self.was_opened || acked.is_some_and(|acked| !acked.is_empty());
        has_own && has_others() && (!basis.needs_open || is_known())
    }

    /// What is known to be at the aggregator. `None` if it has not opened the document in this process. Cost: `[cells]`.
    pub(super) fn arrived(&self) -> Option<Arrived> {
        match self.peer {
            Some(peer) if self.is_connected() => Some(Arrived::of(&self.replica, PublicKey(peer.0))),
            _ => self.arrived.clone(),
        }
    }

    /// Whether nothing stands at a path or below it.
    fn is_free(&self, path: &str) -> bool {
        Path::new(path).is_ok_and(|path| self.replica.document().iter(Some(path)).next().is_none())
    }
}

fn checked(path: &str) -> Result<Path<'_>, EdgeError> {
    Path::new(path).map_err(|source| EdgeError::Path { path: shortened(path), source })
}

fn write<'a>(path: &'a str, value: Option<&'a Scalar>) -> Result<Write<'a>, EdgeError> {
    let checked = checked(path)?;
    let Some(value) = value else { return Ok(Write::delete(checked)) };
    match value.as_value() {
        Value::Str(text) if text.len() > VALUE_LEN_MAX => Err(text.len()),
        Value::Bytes(bytes) if bytes.len() > VALUE_LEN_MAX => Err(bytes.len()),
        value => Ok(Write::set(checked, value)),
    }
    .map_err(|len| EdgeError::Value { path: path.to_owned(), source: ValueError { len } })
}

/// The start of a path that may be long, for a message.
fn shortened(path: &str) -> String {
    match path.char_indices().nth(SHOWN_CHARS) {
        Some((end, _)) => format!("{}...", &path[..end]),
        None => path.to_owned(),
    }
}

/// Most writes of one transaction.
pub const WRITES_MAX: usize = 4096;
/// Characters of a bad path that an error shows.
const SHOWN_CHARS: usize = 80;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use crdt_core::{Config, Connect, DocumentName, Output, Role};

    use rand_chacha::rand_core::SeedableRng;

    use super::*;

    /// Deliveries serve as receipts. If they do not for an hour, the aggregator is asked itself.
    #[test]
    fn what_is_not_known_to_be_there_is_asked_for_in_the_end() {
        let (timing, now, peer) = (Timing::default(), Instant::now(), PeerId([2; 32]));
        let name = DocumentName::new("pump").unwrap();
        let replica =
            |id, role| Replica::<Heap, _>::new(&name, Config::new(role), ChaCha12Rng::seed_from_u64(id));
        let mut cloud = replica(8, Role::Aggregator);
        let policy = Policy::new(Vec::new(), Path::new(crate::POLICY_PATH).unwrap()).unwrap();
        let mut hosted = Hosted::new(replica(7, Role::Member), Some(peer), &timing, policy);
        let ours = hosted.replica.connect(Connect::initiator(peer, Role::Aggregator, 0)).unwrap();
        let theirs = cloud.connect(Connect::responder(peer, Role::Member, 0)).unwrap();
        hosted.opened(now, ours);
        let mut at_ms = 1_800_000_000_000;
        let mut exchange = |hosted: &mut Hosted| {
            let mut buffer = [0; 512];
            for _ in 0..3 {
                for to_cloud in [true, false] {
                    let (from, to) = match to_cloud {
                        true => (&mut hosted.replica, &mut cloud),
                        false => (&mut cloud, &mut hosted.replica),
                    };
                    at_ms += 1;
                    let moment = Moment::new(at_ms);
                    while let Some(output) = from.poll_output(moment, &mut buffer) {
                        match output {
                            Output::Persist => {
                                let token = from.take_unsaved(|_| {});
                                from.handle_persisted(token);
                            }
                            Output::Transmit { len, .. } => {
                                let session = if to_cloud { theirs } else { ours };
                                to.handle_frame(moment, session, &buffer[..len]).unwrap();
                            }
                            Output::Event(_) | Output::Close { .. } => {}
                        }
                    }
                }
            }
        };
        exchange(&mut hosted);
        assert!(hosted.note_answered());
        hosted.update(Moment::new(1_800_000_000_100), &[("speed".to_owned(), Some(Scalar::I64(1)))]).unwrap();
        hosted.follow_acknowledgements(now);
        exchange(&mut hosted);
        assert_eq!(hosted.backlog().cells, 1, "nobody said that it arrived");
        assert_eq!(hosted.late_at(&timing), Some(now + Duration::from_secs(3600)));
        hosted.ask(now + Duration::from_secs(3600));
        assert_eq!((hosted.late_at(&timing), hosted.debt().unwrap().what), (None, Awaited::Acknowledgement));
        exchange(&mut hosted);
        hosted.follow_acknowledgements(now + Duration::from_secs(3600));
        assert_eq!((hosted.backlog().cells, hosted.debt().is_none()), (0, true));
    }

    /// Whatever a device on a line deleted is deleted here, too: nothing is left to write, and the receipt waits all the same.
    #[test]
    fn a_receipt_waits_for_what_others_wrote_that_the_answer_rests_on() {
        let now = Instant::now();
        let (cloud_peer, line_peer) = (PeerId([2; 32]), PeerId([3; 32]));
        let name = DocumentName::new("pump").unwrap();
        let replica =
            |id, role| Replica::<Heap, _>::new(&name, Config::new(role), ChaCha12Rng::seed_from_u64(id));
        let (mut cloud, mut device) = (replica(8, Role::Aggregator), replica(9, Role::Member));
        let policy = Policy::new(Vec::new(), Path::new(crate::POLICY_PATH).unwrap()).unwrap();
        let mut hosted = Hosted::new(replica(7, Role::Mesh), Some(cloud_peer), &Timing::default(), policy);
        let to_cloud = hosted.replica.connect(Connect::initiator(cloud_peer, Role::Aggregator, 0)).unwrap();
        let of_cloud = cloud.connect(Connect::responder(cloud_peer, Role::Member, 0)).unwrap();
        let to_device = hosted.replica.connect(Connect::responder(line_peer, Role::Member, 0)).unwrap();
        let of_device = device.connect(Connect::initiator(line_peer, Role::Aggregator, 0)).unwrap();
        hosted.opened(now, to_cloud);
        let mut at_ms = 1_800_000_000_000;
        let mut exchange = |hosted: &mut Hosted,
                            cloud: Option<&mut Replica<Heap, ChaCha12Rng>>,
                            device: &mut Replica<Heap, ChaCha12Rng>| {
            let mut buffer = [0; 512];
            let mut cloud = cloud;
            for _ in 0..4 {
                at_ms += 1;
                let moment = Moment::new(at_ms);
                while let Some(output) = device.poll_output(moment, &mut buffer) {
                    match output {
                        Output::Persist => {
                            let token = device.take_unsaved(|_| {});
                            device.handle_persisted(token);
                        }
                        Output::Transmit { len, .. } => {
                            hosted.replica.handle_frame(moment, to_device, &buffer[..len]).unwrap();
                        }
                        Output::Event(_) | Output::Close { .. } => {}
                    }
                }
                hosted.replica.set_capacity(to_cloud, cloud.is_some());
                while let Some(output) = hosted.replica.poll_output(moment, &mut buffer) {
                    match (output, &mut cloud) {
                        (Output::Persist, _) => {
                            let token = hosted.replica.take_unsaved(|_| {});
                            hosted.replica.handle_persisted(token);
                        }
                        (Output::Transmit { session, len }, _) if session == to_device => {
                            device.handle_frame(moment, of_device, &buffer[..len]).unwrap();
                        }
                        (Output::Transmit { len, .. }, Some(cloud)) => {
                            cloud.handle_frame(moment, of_cloud, &buffer[..len]).unwrap();
                            let claims = hosted.replica.claims_sent(to_cloud);
                            hosted.note_delivered(to_cloud, claims);
                        }
                        (Output::Transmit { .. }, None) => panic!("a frame left without capacity"),
                        (Output::Event(_) | Output::Close { .. }, _) => {}
                    }
                }
                let Some(cloud) = &mut cloud else { continue };
                while let Some(output) = cloud.poll_output(moment, &mut buffer) {
                    match output {
                        Output::Persist => {
                            let token = cloud.take_unsaved(|_| {});
                            cloud.handle_persisted(token);
                        }
                        Output::Transmit { len, .. } => {
                            hosted.replica.handle_frame(moment, to_cloud, &buffer[..len]).unwrap();
                        }
                        Output::Event(_) | Output::Close { .. } => {}
                    }
                }
                hosted.note_answered();
            }
        };
        let set = |device: &mut Replica<Heap, ChaCha12Rng>, ms: u64, write| {
            device.update(Moment::new(1_700_000_000_000 + ms), &[write]).unwrap();
        };
        let speed = Path::new("speed").unwrap();
        set(&mut device, 1, Write::set(speed, 1));
        exchange(&mut hosted, Some(&mut cloud), &mut device);
        assert!(cloud.document().get(speed).is_some());
        set(&mut device, 2, Write::delete(speed));
        exchange(&mut hosted, None, &mut device);
        assert!(hosted.replica.document().get(speed).is_none());

        assert!(hosted.is_free("speed"), "there is nothing to delete");
        let basis = hosted.basis(None);
        assert!(!hosted.has_arrived(&basis), "the aggregator still has the speed");
        assert!(cloud.document().get(speed).is_some());
        exchange(&mut hosted, Some(&mut cloud), &mut device);
        assert!(cloud.document().get(speed).is_none());
        assert!(hosted.has_arrived(&basis));
    }
}
