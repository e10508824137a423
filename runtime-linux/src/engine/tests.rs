//! The engine in virtual time, against an aggregator's replica without a network.

use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;
use std::time::Duration;

use control::{Change, Scalar};
use crdt_core::{Config, Connect, DocumentName, Path, Role, SessionId, Stamp, UpdateError, Write};
use serde_json::json;
use tokio::sync::oneshot;
use transport_quic::{Cause, CloseReason, Count, Identity, Ledger};

mod documents;
mod lines;
mod sending;
mod spending;
mod unchanged;

use super::*;
use crate::books::Books;
use crate::budget::{Budget, Level};
use crate::changes::Cursor;
use crate::policy::{POLICY_PATH, Policy};
use crate::status::{Awaited, DocumentStatus, LinkState, Problem, Status};

/// An engine, its clock, and an aggregator that answers at once, unless it is told not to.
struct World {
    engine: Engine,
    start: Instant,
    elapsed: Duration,
    cloud: Replica<Heap, ChaCha12Rng>,
    session: Option<SessionId>,
    attempt: Option<Attempt>,
    received: u64,
    commits: usize,
    /// When frames were handed to the link, and their lengths.
    sends: Vec<(Duration, Vec<usize>)>,
    connects: Vec<Duration>,
    disconnects: Vec<String>,
    is_stopped: bool,
    levels: Vec<Level>,
    /// What the link may have sent and received in the end.
    limit: Option<u64>,
    ledger: Ledger,
    /// Whether the aggregator takes connections.
    accepts: bool,
    /// Whether the aggregator's application answers. If not, its transport acknowledges nothing either.
    answers: bool,
    /// Commits fail.
    disk_is_full: bool,
    /// How far the aggregator's clock, which is right, is behind this device's.
    cloud_is_behind_ms: u64,
}

const MS_AT_START: u64 = 1_800_000_000_000;

fn key(of: u8) -> PublicKey {
    Identity::from_bytes([of; 32]).public_key()
}

fn world() -> World {
    world_with(None)
}

fn world_with(budget: Option<Budget>) -> World {
    let name = DocumentName::new("pump").unwrap();
    world_of(Replica::new(&name, Config::new(Role::Member), ChaCha12Rng::seed_from_u64(7)), budget)
}

fn policy_of(rules: &[&str]) -> Policy {
    let rules = rules.iter().map(|text| text.parse().unwrap()).collect();
    Policy::new(rules, Path::new(POLICY_PATH).unwrap()).unwrap()
}

/// A world in which the device begins with this document.
fn world_of(replica: Replica<Heap, ChaCha12Rng>, budget: Option<Budget>) -> World {
    world_under(replica, budget, &["alarm=urgent"])
}

/// The same with these rules for when changes are sent.
fn world_under(replica: Replica<Heap, ChaCha12Rng>, budget: Option<Budget>, rules: &[&str]) -> World {
    let name = replica.name().clone();
    let now = Now { at: Instant::now(), wall: Time::from_ms(MS_AT_START) };
    let parts = Parts {
        replicas: vec![replica],
        lines: Vec::new(),
        public_key: key(1),
        aggregator: Some(Aggregator { address: "cloud:1".to_owned(), key: key(2) }),
        timing: Timing::default(),
        seed: [7; 32],
        books: Books::default(),
        budget,
        policy: policy_of(rules),
        unopened: Vec::new(),
    };
    World {
        engine: Engine::new(now, parts),
        start: now.at,
        elapsed: Duration::ZERO,
        cloud: Replica::new(&name, Config::new(Role::Aggregator), ChaCha12Rng::seed_from_u64(8)),
        session: None,
        attempt: None,
        received: 0,
        commits: 0,
        sends: Vec::new(),
        connects: Vec::new(),
        disconnects: Vec::new(),
        is_stopped: false,
        levels: Vec::new(),
        limit: None,
        ledger: Ledger::default(),
        accepts: true,
        answers: true,
        disk_is_full: false,
        cloud_is_behind_ms: 0,
    }
}

impl World {
    fn now(&self) -> Now {
        let ms = MS_AT_START + self.elapsed.as_millis() as u64;
        Now { at: self.start + self.elapsed, wall: Time::from_ms(ms) }
    }

    fn command<T>(
        &mut self,
        command: impl FnOnce(Reply<T>) -> DocumentCommand,
    ) -> oneshot::Receiver<Result<T, EdgeError>> {
        self.command_of(DocumentIndex(0), command)
    }

    fn command_of<T>(
        &mut self,
        document: DocumentIndex,
        command: impl FnOnce(Reply<T>) -> DocumentCommand,
    ) -> oneshot::Receiver<Result<T, EdgeError>> {
        let (reply, answer) = oneshot::channel();
        let now = self.now();
        self.engine.handle_command(now, Command::Document { document, command: command(reply) });
        answer
    }

    fn set(&mut self, path: &str, value: impl Into<Scalar>) -> oneshot::Receiver<Result<Updated, EdgeError>> {
        let writes = vec![(path.to_owned(), Some(value.into()))];
        self.command(|reply| DocumentCommand::Update { writes, reply })
    }

    fn link(&mut self, attempt: Attempt, input: LinkInput) {
        let now = self.now();
        self.engine.handle_link(now, attempt, input);
    }

    /// The link has counted a datagram.
    fn count(&mut self, cause: Cause, is_sent: bool, bytes: u64) {
        let traffic = if is_sent { &mut self.ledger.sent } else { &mut self.ledger.received };
        traffic[cause] += Count { packets: 1, bytes };
        let (now, ledger) = (self.now(), self.ledger);
        self.engine.note_traffic(now, ledger);
    }

    fn moment(&self) -> Moment {
        let now_ms = self.now().wall.unwrap().as_ms();
        Moment::new(now_ms - self.cloud_is_behind_ms)
    }

    /// Runs until nobody has anything to do at this time.
    fn run(&mut self) {
        loop {
            let now = self.now();
            let Some(output) = self.engine.poll_output(now) else {
                if self.run_cloud() {
                    continue;
                }
                return;
            };
            match output {
                Output::Commit(_) => {
                    self.commits += 1;
                    let source = std::io::Error::from(std::io::ErrorKind::StorageFull);
                    let full = Arc::new(StoreError::Full {
                        path: "store.redb".into(),
                        operation: "writing",
                        source,
                    });
                    self.engine.handle_committed(if self.disk_is_full { Err(full) } else { Ok(()) });
                }
                Output::Connect(attempt) => {
                    self.connects.push(self.elapsed);
                    if self.accepts {
                        let peer = PeerId(key(1).0);
                        let connect = Connect::responder(peer, Role::Member, 0);
                        self.session = Some(self.cloud.connect(connect).unwrap());
                        (self.attempt, self.received) = (Some(attempt), 0);
                        self.link(attempt, LinkInput::Connected);
                    } else {
                        let after = Duration::from_secs(60);
                        self.link(attempt, CloseReason::HandshakeTimeout { after }.into());
                    }
                }
                Output::Disconnect { attempt, reason, .. } => {
                    assert_eq!(self.attempt.take(), Some(attempt));
                    self.cloud.disconnect(self.session.take().unwrap());
                    self.disconnects.push(reason);
                }
                Output::Send { attempt, frames } => {
                    assert_eq!(self.attempt, Some(attempt));
                    self.sends.push((self.elapsed, frames.iter().map(Vec::len).collect()));
                    for frame in frames {
                        if self.answers {
                            let (moment, session) = (self.moment(), self.session.unwrap());
                            self.cloud.handle_frame(moment, session, &frame).unwrap();
                            self.link(attempt, LinkInput::Delivered(self.received));
                        }
                        self.received += 1;
                    }
                }
                Output::Level(level) => self.levels.push(level),
                Output::Limit(limit) => self.limit = Some(limit),
                Output::EndLine { .. } | Output::SendOnLine { .. } => unreachable!("there is no line"),
                Output::Stopped => self.is_stopped = true,
            }
        }
    }

    /// True if the aggregator did something.
    fn run_cloud(&mut self) -> bool {
        let mut buffer = vec![0; 1200];
        let mut any = false;
        let moment = self.moment();
        while let Some(output) = self.cloud.poll_output(moment, &mut buffer) {
            any = true;
            match output {
                crdt_core::Output::Persist => {
                    let token = self.cloud.take_unsaved(|_| {});
                    self.cloud.handle_persisted(token);
                }
                crdt_core::Output::Transmit { len, .. } => {
                    let attempt = self.attempt.unwrap();
                    self.link(attempt, LinkInput::Message(buffer[..len].to_vec()));
                }
                crdt_core::Output::Event(_) | crdt_core::Output::Close { .. } => {}
            }
        }
        any
    }

    /// Lets time pass, from deadline to deadline.
    fn sleep(&mut self, duration: Duration) {
        let until = self.elapsed + duration;
        self.run();
        while let Some(at) = self.engine.poll_timeout()
            && at - self.start <= until
        {
            assert!(at - self.start >= self.elapsed, "a deadline has passed and nothing was done");
            self.elapsed = at - self.start;
            self.run();
        }
        self.elapsed = until;
        self.run();
    }

    fn status(&self) -> Status {
        self.engine.status(self.now())
    }

    fn cloud_get(&self, path: &str) -> Option<Scalar> {
        self.cloud.document().get(Path::new(path).unwrap()).map(Scalar::from)
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn replies_come_after_the_commit_that_all_of_them_share() {
    let mut world = world();
    world.accepts = false;
    world.run();
    assert_eq!(world.commits, 1, "the new document");
    let mut answers: Vec<_> = (0..100).map(|i| world.set(&format!("a/{i}"), i)).collect();
    let mut read = world.command(|reply| DocumentCommand::Get { path: "a/7".to_owned(), reply });
    let now = world.now();
    let Some(Output::Commit(batch)) = world.engine.poll_output(now) else {
        panic!("there is something to commit")
    };
    assert!(!batch.is_empty());
    assert!(world.engine.poll_output(now).is_none() && world.engine.poll_timeout().is_none());
    assert!(answers.iter_mut().all(|answer| answer.try_recv().is_err()), "nothing is durable yet");
    assert!(read.try_recv().is_err(), "a reader must not see what may be lost");
    world.engine.handle_committed(Ok(()));
    world.run();
    for answer in &mut answers {
        assert!(answer.try_recv().unwrap().unwrap().stamp.is_some());
    }
    assert_eq!(read.try_recv().unwrap().unwrap(), Some(Scalar::I64(7)));
    assert_eq!(world.commits, 1);
}

#[test]
fn a_receipt_comes_when_the_aggregator_has_it() {
    let mut world = world();
    world.accepts = false;
    let mut stamp = world.set("speed", 1450);
    world.sleep(seconds(30));
    let stamp = stamp.try_recv().unwrap().unwrap().stamp.unwrap();
    let mut receipt = world.command(|reply| DocumentCommand::Receipt { basis: Some(stamp.into()), reply });
    world.sleep(seconds(30));
    assert!(receipt.try_recv().is_err());
    assert_eq!((world.status().backlog_cells, world.status().link), (1, LinkState::Waiting));

    world.accepts = true;
    world.sleep(seconds(300));
    assert_eq!(receipt.try_recv().unwrap().unwrap(), ());
    assert_eq!(world.cloud_get("speed"), Some(Scalar::I64(1450)));
    let status = world.status();
    assert_eq!((status.backlog_cells, status.connected, status.problem), (0, true, None));
    assert_eq!(status.waits_for, "nothing: everything is at the aggregator");

    // In a connection that is open, the delivery is the receipt: nothing is asked and nothing answered.
    let before = world.status();
    let mut stamp = world.set("speed", 1500);
    world.sleep(seconds(1));
    let stamp = stamp.try_recv().unwrap().unwrap().stamp.unwrap();
    let mut receipt = world.command(|reply| DocumentCommand::Receipt { basis: Some(stamp.into()), reply });
    world.sleep(seconds(2 * 3600));
    assert_eq!(receipt.try_recv().unwrap().unwrap(), ());
    assert_eq!(world.cloud_get("speed"), Some(Scalar::I64(1500)));
    let after = world.status();
    assert_eq!((after.backlog_cells, after.payload_bytes_received), (0, before.payload_bytes_received));
    assert_eq!(after.payload_bytes_sent - before.payload_bytes_sent, 11);
    assert_eq!(world.disconnects, [""; 0]);
}

#[test]
fn attempts_come_less_and_less_often() {
    let mut world = world();
    world.accepts = false;
    world.sleep(seconds(3600));
    let pauses: Vec<_> = world.connects.windows(2).map(|pair| (pair[1] - pair[0]).as_secs_f64()).collect();
    for (i, pause) in pauses.iter().enumerate() {
        let full = f64::from(1 << i.min(10)).min(300.0);
        assert!((full / 2.0..=full).contains(pause), "pause {i} is {pause} s: {pauses:?}");
    }
    assert!((18..40).contains(&pauses.len()), "{pauses:?}");
    let status = world.status();
    assert!(matches!(status.problem, Some(Problem::Closed { ref text }) if text.contains("no connection")));
    assert!(status.waits_for.starts_with("the next attempt to connect"), "{}", status.waits_for);
}

#[test]
fn an_aggregator_that_accepts_and_does_not_open_is_left() {
    let mut world = world();
    world.answers = false;
    world.sleep(seconds(119));
    assert_eq!((world.status().link, world.disconnects.len()), (LinkState::Opening, 0));
    world.sleep(seconds(1));
    let after = seconds(120);
    assert_eq!(world.status().problem, Some(Problem::NoAnswer { what: Awaited::Open, after }));
    assert_eq!(world.disconnects.len(), 1);
    world.answers = true;
    world.sleep(seconds(2));
    assert!(world.status().connected);
}

#[test]
fn an_aggregator_that_never_acknowledges_is_left_and_nothing_is_lost() {
    let mut world = world();
    world.sleep(seconds(1));
    assert!(world.status().connected);
    world.answers = false;
    let mut stamp = world.set("speed", 1450);
    world.run();
    let stamp = stamp.try_recv().unwrap().unwrap().stamp.unwrap();
    let mut receipt = world.command(|reply| DocumentCommand::Receipt { basis: Some(stamp.into()), reply });
    world.sleep(seconds(119));
    assert_eq!(world.status().waits_for, "the aggregator's receipt of what was sent");
    world.answers = true;
    world.sleep(seconds(3));
    assert_eq!(world.disconnects.len(), 1);
    assert!(
        world.disconnects[0].contains("the receipt of a message did not come"),
        "{:?}",
        world.disconnects
    );
    world.sleep(seconds(1));
    assert_eq!(receipt.try_recv().unwrap().unwrap(), ());
    assert_eq!(world.cloud_get("speed"), Some(Scalar::I64(1450)));
}

/// It answers, agrees, and hangs up: each round costs a handshake, and nothing comes of it.
#[test]
fn an_aggregator_that_drops_what_it_accepted_is_tried_less_and_less_often() {
    let mut world = world();
    for _ in 0..3600 {
        world.sleep(seconds(1));
        if let Some(attempt) = world.attempt.take() {
            world.cloud.disconnect(world.session.take().unwrap());
            world.link(attempt, CloseReason::Reset.into());
        }
    }
    assert!((10..40).contains(&world.connects.len()), "{:?}", world.connects);
}

#[test]
fn a_silent_connection_is_made_anew_after_hours() {
    let mut world = world();
    world.sleep(seconds(6 * 3600 - 60));
    assert_eq!(world.connects.len(), 1);
    world.sleep(seconds(120));
    assert_eq!((world.connects.len(), world.disconnects.len()), (2, 1));
    assert!(world.status().connected);
}

#[test]
fn a_wrong_key_is_told_with_both_keys() {
    let mut world = world();
    let now = world.now();
    let attempt = loop {
        match world.engine.poll_output(now) {
            Some(Output::Connect(attempt)) => break attempt,
            Some(Output::Commit(_)) => world.engine.handle_committed(Ok(())),
            other => panic!("{other:?}"),
        }
    };
    world.link(attempt, CloseReason::WrongServerKey { expected: key(2), presented: key(9) }.into());
    let text = world.status().problem.unwrap().to_string();
    assert!(text.contains(&key(2).to_string()) && text.contains(&key(9).to_string()), "{text}");

    // What comes late of an attempt that is over changes nothing.
    world.link(attempt, LinkInput::Connected);
    assert_eq!(world.status().link, LinkState::Waiting);
}

#[test]
fn the_status_names_the_address_that_is_tried_and_then_used() {
    let mut world = world();
    let now = world.now();
    let attempt = loop {
        match world.engine.poll_output(now) {
            Some(Output::Connect(attempt)) => break attempt,
            Some(Output::Commit(_)) => world.engine.handle_committed(Ok(())),
            other => panic!("{other:?}"),
        }
    };
    let address = |world: &World| world.status().aggregator_address.map(|address| address.to_string());
    assert_eq!((address(&world), world.status().waits_for.as_str()), (None, "the look-up of cloud:1"));
    for tried in ["[::1]:1", "127.0.0.1:1"] {
        world.link(attempt, LinkInput::Trying(tried.parse().unwrap()));
        assert_eq!(address(&world).as_deref(), Some(tried));
        assert_eq!(world.status().waits_for, format!("the end of the handshake with {tried}"));
    }
    world.link(attempt, LinkInput::Connected);
    assert_eq!((address(&world).as_deref(), world.status().link), (Some("127.0.0.1:1"), LinkState::Opening));
    world.link(attempt, CloseReason::Reset.into());
    assert_eq!(address(&world), None);
    world.link(attempt, LinkInput::Trying("[::1]:1".parse().unwrap()));
    assert_eq!(address(&world), None, "that attempt is over");
}

#[test]
fn what_a_clock_in_the_future_wrote_is_written_again_by_the_right_one() {
    let mut world = world();
    world.cloud_is_behind_ms = 3_600_000;
    let mut answer = world.set("speed", 1);
    world.sleep(seconds(30));
    assert!(answer.try_recv().unwrap().is_ok(), "it was durable here all the time");
    assert_eq!(world.cloud_get("speed"), Some(Scalar::I64(1)));
    assert_eq!(world.connects.len(), 2, "the first one was refused, and nothing else was needed");
    let stamp = world.cloud.document().cells().next().unwrap().stamp;
    let cloud_ms = world.now().wall.unwrap().as_ms() - world.cloud_is_behind_ms;
    assert!(stamp.time.as_ms() <= cloud_ms, "by the aggregator's clock: {stamp}, {cloud_ms}");
    assert_eq!(world.status().backlog_cells, 0);
    assert!(world.status().problem.is_none(), "{:?}", world.status().problem);
    // And the next write too, though the system's clock is still wrong.
    let mut answer = world.set("speed", 2);
    world.sleep(seconds(30));
    assert!(answer.try_recv().unwrap().is_ok());
    assert_eq!((world.cloud_get("speed"), world.connects.len()), (Some(Scalar::I64(2)), 2));
}

#[test]
fn a_failed_disk_stops_everything_and_confirms_nothing() {
    let mut world = world();
    world.sleep(seconds(1));
    world.disk_is_full = true;
    let mut answer = world.set("speed", 1450);
    let mut watch = {
        let after = Some(Cursor { seq: world.engine.documents[0].replica.document().seq(), drops: 0 });
        world.command(|reply| DocumentCommand::Changes { prefix: None, after, reply })
    };
    world.run();
    assert!(matches!(answer.try_recv().unwrap(), Err(EdgeError::Store(_))));
    assert!(matches!(watch.try_recv().unwrap(), Err(EdgeError::Store(_))));
    assert!(world.is_stopped && world.engine.failure().is_some());
    assert_eq!(world.cloud_get("speed"), None, "nothing leaves that is not durable");
    assert!(matches!(world.set("speed", 1).try_recv().unwrap(), Err(EdgeError::Store(_))));
}

#[test]
fn bad_input_is_named_and_changes_nothing() {
    let mut world = world();
    world.sleep(seconds(1));
    let before = world.engine.documents[0].replica.document().seq();
    let update = |world: &mut World, writes: Vec<(String, Option<Scalar>)>| {
        let mut answer = world.command(|reply| DocumentCommand::Update { writes, reply });
        world.run();
        answer.try_recv().unwrap().unwrap_err()
    };
    let good = || ("good".to_owned(), Some(Scalar::I64(1)));
    let error = update(&mut world, vec![good(), ("a//b".to_owned(), None)]);
    assert!(matches!(&error, EdgeError::Path { path, .. } if path == "a//b"), "{error}");
    let error = update(&mut world, vec![good(), ("long".to_owned(), Some("x".repeat(4097).into()))]);
    let EdgeError::Value { path, source } = &error else { panic!("{error}") };
    assert_eq!((path.as_str(), source.len), ("long", 4097));
    let error = update(&mut world, vec![good(); WRITES_MAX + 1]);
    assert!(matches!(error, EdgeError::TooManyWrites { writes: 4097, limit: 4096 }), "{error}");
    assert_eq!(world.engine.documents[0].replica.document().seq(), before);
}

#[test]
fn a_full_document_says_its_limit() {
    let mut world = world();
    let name = DocumentName::new("pump").unwrap();
    let limits = crdt_core::Limits { cells: 2, bytes: 1000 };
    let config = Config { limits, ..Config::new(Role::Member) };
    world.engine.documents[0].replica = Replica::new(&name, config, ChaCha12Rng::seed_from_u64(7));
    let mut answers: Vec<_> = ["a", "b", "c"].map(|path| world.set(path, 1)).into();
    world.run();
    let error = answers.pop().unwrap().try_recv().unwrap().unwrap_err();
    assert!(matches!(error, EdgeError::Update(UpdateError::Capacity(_))), "{error}");
    assert!(error.to_string().contains("2 is the limit"), "{error}");
    assert!(answers.iter_mut().all(|answer| answer.try_recv().unwrap().is_ok()));
}

#[test]
fn a_watcher_sees_changes_of_both_sides() {
    let mut world = world();
    world.sleep(seconds(1));
    let next = |world: &mut World, after| {
        world.command(|reply| DocumentCommand::Changes { prefix: Some("a".to_owned()), after, reply })
    };
    let mut first = next(&mut world, None);
    world.run();
    let first = first.try_recv().unwrap().unwrap();
    assert_eq!(first.changes, [Change::Snapshot { value: None }]);

    let mut second = next(&mut world, Some(first.cursor));
    drop(world.set("b", 1));
    world.run();
    assert!(second.try_recv().is_err(), "it is somewhere else");
    let moment = world.moment();
    world.cloud.update(moment, &[Write::set(Path::new("a/x").unwrap(), 5)]).unwrap();
    world.run();
    let second = second.try_recv().unwrap().unwrap();
    assert_eq!(second.changes, [Change::Set { path: "a/x".to_owned(), value: json!(5) }]);

    // Slow readers get the newest values only.
    for i in 0..1000 {
        drop(world.set("a/y", i));
        world.run();
    }
    let mut third = next(&mut world, Some(second.cursor));
    world.run();
    let third = third.try_recv().unwrap().unwrap();
    assert_eq!(third.changes, [Change::Set { path: "a/y".to_owned(), value: json!(999) }]);
}

#[test]
fn shutting_down_finishes_what_was_begun() {
    let mut world = world();
    world.sleep(seconds(1));
    let mut answer = world.set("speed", 1450);
    world.engine.shut_down();
    world.run();
    assert!(answer.try_recv().unwrap().is_ok());
    assert_eq!(world.cloud_get("speed"), Some(Scalar::I64(1450)));
    assert!(world.is_stopped);
    assert_eq!(world.disconnects, ["the device shuts down"]);
    assert_eq!(world.engine.poll_timeout(), None);
}
