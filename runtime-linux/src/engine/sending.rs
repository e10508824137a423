//! When changes leave: own writes go through the gate, and what leaves in any case opens it for all.

use crdt_core::{Path, Stamp};

use super::hosted::{Hosted, Written};
use super::standing::Replaced;
use super::{DocumentIndex, Engine};
use crate::clock::Now;
use crate::connection::Open;
use crate::policy::{DocumentPolicy, Priority};

impl Engine {
    /// Notes own writes, and sends those that are urgent ahead of others.
    pub(super) fn note_writes(&mut self, now: Now, document: DocumentIndex, written: &Written) {
        let index = usize::from(document.0);
        self.follow_policy(index);
        let hosted = &mut self.documents[index];
        for (path, new, before) in &written.writes {
            let rule = hosted.policy.rule_at(path);
            let is_change = self.gate.note_write(now, (index, path), rule, before, new.as_ref());
            if is_change && rule.terms.priority == Priority::Urgent {
                hosted.urgent_through = Some(written.stamp.time);
                if let Ok(path) = Path::new(path) {
                    hosted.replica.prioritize(path);
                }
            }
        }
    }

    /// What a device on a line has changed goes to the aggregator by the same rules.
    pub(super) fn note_writes_of_device(&mut self, now: Now, index: usize) {
        let written = self.documents[index].written_by_device();
        if written.is_empty() {
            return;
        }
        self.follow_policy(index);
        let hosted = &mut self.documents[index];
        for (Replaced { path, now: stands, .. }, before) in written {
            let rule = hosted.policy.rule_at(&path);
            let is_change = self.gate.note_write(now, (index, &path), rule, &before, stands.value.as_ref());
            if is_change
                && rule.terms.priority == Priority::Urgent
                && let Ok(path) = Path::new(&path)
            {
                hosted.urgent_of_device = Some((stands.stamp, stands.seq));
                hosted.replica.prioritize(path);
            }
        }
    }

    /// Reads the rules in a document anew if they have changed. What waits under others than these goes at once.
    pub(super) fn follow_policy(&mut self, index: usize) {
        let hosted = &mut self.documents[index];
        if hosted.policy.follow(hosted.replica.document(), hosted.drops) {
            self.gate.open();
        }
    }

    /// Whether the replica itself has written since `before`: what it had to write again waits for nobody.
    pub(super) fn note_own_writes(&mut self, index: usize, before: Stamp) {
        if self.documents[index].own_stamp() != before {
            self.gate.open();
        }
    }

    /// Opens the gate if it is time, and tells the documents.
    pub(super) fn follow_gate(&mut self, now: Now) {
        let is_open = self.gate.follow(now.at);
        self.documents.iter_mut().for_each(|hosted| hosted.set_deferred(!is_open));
    }

    /// No document has anything more to send: shuts the gate, unless one could not say what it has to say.
    pub(super) fn shut_gate(&mut self, now: Now) {
        let has_answered = self.connector.open().is_some_and(|open| open.has_answered && open.has_capacity());
        if has_answered && self.gate.is_open() && !self.documents.iter().any(Hosted::is_opening) {
            self.documents.iter_mut().for_each(Hosted::note_handed);
            self.gate.note_sent(now.at);
        }
    }

    /// What was urgent before this process began, and is not at the aggregator, still is.
    pub(super) fn find_urgent(&mut self) {
        for hosted in &mut self.documents {
            let (own, acknowledged) = (hosted.replica.id(), hosted.acknowledged());
            let cells = hosted.replica.document().changes_since(0);
            let waiting = cells.filter(|cell| cell.stamp.replica == own && cell.stamp.time > acknowledged);
            let urgent = waiting.filter(|cell| hosted.policy.is_urgent(cell.path));
            hosted.urgent_through = urgent.map(|cell| cell.stamp.time).max();
        }
    }

    /// In a new session, what is urgent goes first.
    pub(super) fn prioritize_urgent(&mut self) {
        for hosted in &mut self.documents {
            let rules = hosted.policy.placed().iter().map(|placed| &placed.rule);
            for rule in rules.filter(|rule| rule.terms.priority == Priority::Urgent) {
                if let Ok(path) = Path::new(&rule.prefix) {
                    hosted.replica.prioritize(path);
                }
            }
        }
    }

    /// The rules of all documents.
    pub(super) fn policy_report(&self) -> Vec<DocumentPolicy> {
        let report = |hosted: &Hosted| DocumentPolicy::new(hosted.replica.name().as_str(), &hosted.policy);
        self.documents.iter().map(report).collect()
    }

    /// Whether documents may send now: while this says no, none of them is asked for frames. What the transport has no
    /// capacity for waits as state, not as frames, so it is never out of date.
    pub(super) fn may_transmit(&self) -> bool {
        self.connector.open().is_none_or(Open::has_capacity)
    }
}
