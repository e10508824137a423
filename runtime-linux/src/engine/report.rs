//! How the engine is, for the status.

use crdt_core::Time;

use super::Engine;
use super::hosted::Hosted;
use crate::clock::Now;
use crate::connection::State;
use crate::status::{CompanyStatus, DocumentStatus, LinkState, Problem, Status};
use crate::unopened::UnopenedDocument;

impl Engine {
    /// How it is. Cost: `[cells]` of all documents.
    pub fn status(&self, now: Now) -> Status {
        let next_attempt_ms = match self.connector.state {
            State::Waiting { until } => Some(until.saturating_duration_since(now.at).as_millis() as u64),
            _ => None,
        };
        let company = self.company(now);
        let status = |hosted: &Hosted| self.document_status(hosted, next_attempt_ms, company.as_ref());
        let documents: Vec<_> = self.documents.iter().map(status).collect();
        let main = documents[0].clone();
        let last_acknowledged = self.documents.iter().filter_map(|hosted| hosted.last_acknowledged).max();
        let refused = self.documents.iter().map(|hosted| hosted.refused.failures()).max().unwrap_or(0);
        Status {
            document: main.document,
            public_key: self.public_key,
            replica: main.replica,
            aggregator: self.aggregator.as_ref().map(|aggregator| aggregator.address.clone()),
            aggregator_address: self.connector.address,
            link: self.connector.link_state(),
            connected: main.connected,
            unverified: main.unverified,
            cells: main.cells,
            bytes: main.bytes,
            backlog_cells: main.backlog_cells,
            backlog_bytes: main.backlog_bytes,
            last_acknowledged_ms: last_acknowledged.map(Time::as_ms),
            acknowledged_through_ms: main.acknowledged_through_ms,
            waits_for: main.waits_for,
            problem: main.problem,
            documents,
            company,
            lines: self.line_status(),
            unopened: self.unopened.clone(),
            failed_attempts: self.connector.failures().max(refused),
            next_attempt_ms,
            clock_is_trusted: now.wall.is_some(),
            ip_bytes_sent: self.spending.seen.sent.total().bytes,
            ip_bytes_received: self.spending.seen.received.total().bytes,
            budget: self.spending.status(),
            payload_bytes_sent: self.payload.0,
            payload_bytes_received: self.payload.1,
        }
    }

    /// What the gate opens for next.
    fn company(&self, now: Now) -> Option<CompanyStatus> {
        let (waiting, until) = self.gate.next().filter(|_| !self.gate.is_open())?;
        let left_ms = until.saturating_duration_since(now.at).as_millis() as u64;
        Some(CompanyStatus {
            document: self.documents.get(waiting.document)?.replica.name().as_str().to_owned(),
            prefix: waiting.prefix.clone(),
            terms: waiting.terms.to_string(),
            in_ms: left_ms,
            until_ms: now.wall.map(|wall| wall.as_ms() + left_ms),
        })
    }

    fn document_status(
        &self,
        hosted: &Hosted,
        next_attempt_ms: Option<u64>,
        company: Option<&CompanyStatus>,
    ) -> DocumentStatus {
        let (size, backlog) = (hosted.replica.document().size(), hosted.backlog());
        let unsent_cells = hosted.unsent_cells();
        let company = self.waits_for_company(unsent_cells, company);
        DocumentStatus {
            document: hosted.replica.name().as_str().to_owned(),
            replica: hosted.replica.id().to_string(),
            connected: hosted.is_connected(),
            unverified: hosted.replica.is_unverified(),
            cells: size.cells,
            bytes: size.bytes,
            backlog_cells: backlog.cells,
            backlog_bytes: backlog.bytes,
            unsent_cells,
            bad_rules: hosted.policy.bad().to_vec(),
            acknowledged_through_ms: hosted.acknowledged().as_ms(),
            waits_for: self.waits_for(hosted, next_attempt_ms, backlog.cells, company),
            problem: self.problem_of(hosted),
        }
    }

    /// What is wrong. That the connection ended says less than why the aggregator did not take something on it.
    fn problem_of(&self, hosted: &Hosted) -> Option<Problem> {
        let of_connection = self.connector.problem.as_ref();
        let is_of_all =
            |problem: &&Problem| !matches!(problem, Problem::Closed { .. } | Problem::NoAnswer { .. });
        of_connection.filter(is_of_all).or(hosted.problem.as_ref()).or(of_connection).cloned()
    }

    /// What holds changes back that could be sent.
    fn waits_for_company(&self, unsent_cells: usize, company: Option<&CompanyStatus>) -> Option<String> {
        let (changes, are) = match unsent_cells {
            _ if self.gate.is_open() => return None,
            0 => return None,
            1 => ("1 change waits".to_owned(), "is"),
            _ => (format!("{unsent_cells} changes wait"), "are"),
        };
        Some(match company {
            Some(company) => format!("company: {changes} {company}"),
            None => format!("company: {changes} that {are} no reason to send: {QUIET}"),
        })
    }

    fn waits_for(
        &self,
        hosted: &Hosted,
        next_attempt_ms: Option<u64>,
        backlog: usize,
        company: Option<String>,
    ) -> String {
        let state = self.connector.link_state();
        match (state, next_attempt_ms) {
            (LinkState::Off, _) => "nothing: no aggregator was named".to_owned(),
            (LinkState::Waiting, _)
                if let Some(Problem::Budget { resumes, zone, .. }) = &self.connector.problem =>
            {
                format!("the budget, which allows to go on from {resumes} ({zone}) on")
            }
            (LinkState::Waiting, pause) => {
                format!("the next attempt to connect, in {:.1} s", pause.unwrap_or(0) as f64 / 1000.0)
            }
            (LinkState::Connecting, _) => match (self.connector.address, &self.aggregator) {
                (Some(address), _) => format!("the end of the handshake with {address}"),
                (None, Some(aggregator)) => format!("the look-up of {}", aggregator.address),
                (None, None) => "the end of the handshake".to_owned(),
            },
            (LinkState::Opening | LinkState::Connected, _) => match &hosted.session {
                None => "the aggregator, which is asked again later".to_owned(),
                Some(_) if hosted.retry.is_some() => "the aggregator to take what it refused".to_owned(),
                Some(session) if !session.has_answered => "the aggregator to open the document".to_owned(),
                Some(session) if session.asked.is_some() => "the aggregator's acknowledgement".to_owned(),
                Some(_) if hosted.replica.is_unverified() => "the aggregator to verify this copy".to_owned(),
                Some(_) if let Some(company) = company => company,
                Some(_) if backlog > 0 => "the aggregator's receipt of what was sent".to_owned(),
                Some(_) if let Some(unopened) = self.unopened.iter().find_map(UnopenedDocument::warning) => {
                    format!("nothing: everything that is open is at the aggregator; {unopened}")
                }
                Some(_) => "nothing: everything is at the aggregator".to_owned(),
            },
        }
    }
}

/// What waits for company alone.
const QUIET: &str = "an equal value, or one within its dead band";
