use crdt_core::{Role, Value};
use rand_chacha::ChaCha12Rng;
use rand_chacha::rand_core::SeedableRng;

use super::*;

/// An edge without an aggregator, and a device on its line that has just opened the document.
struct Line {
    engine: Engine,
    now: Now,
    device: Replica<Heap, ChaCha12Rng>,
    session: SessionId,
    frames: Vec<Vec<u8>>,
    ends: usize,
    /// Connections so far.
    begun: u64,
}

const LINE: LineIndex = LineIndex(0);

/// The edge's document has so many cells of 400 bytes, each of which fills a frame.
fn line(cells: u8) -> Line {
    line_under(cells, &[])
}

/// The same with these rules for when changes are sent to the aggregator.
fn line_under(cells: u8, rules: &[&str]) -> Line {
    let name = DocumentName::new("pump").unwrap();
    let now = Now { at: Instant::now(), wall: Time::from_ms(MS_AT_START) };
    let mut replica = Replica::<Heap, _>::new(&name, Config::new(Role::Mesh), ChaCha12Rng::seed_from_u64(7));
    for cell in 0..cells {
        let (path, value) = (format!("cell/{cell}"), vec![cell; 400]);
        let write = Write::set(Path::new(&path).unwrap(), Value::Bytes(&value));
        replica.update(Moment::new(MS_AT_START), &[write]).unwrap();
    }
    let parts = Parts {
        replicas: vec![replica],
        lines: vec![LineParts { name: "tcp".to_owned(), peer: PeerId([9; 32]), documents: vec![0] }],
        public_key: key(1),
        aggregator: None,
        timing: Timing::default(),
        seed: [7; 32],
        books: Books::default(),
        budget: None,
        policy: policy_of(rules),
        unopened: Vec::new(),
    };
    let config = Config { frame_len_max: 512, ..Config::new(Role::Member) };
    let mut device = Replica::new(&name, config, ChaCha12Rng::seed_from_u64(9));
    let connect = Connect::initiator(PeerId([1; 32]), Role::Aggregator, 3);
    let session = device.connect(connect).unwrap();
    let mut line =
        Line { engine: Engine::new(now, parts), now, device, session, frames: Vec::new(), ends: 0, begun: 0 };
    line.take(LineInput::Begun);
    line.device_says();
    line
}

impl Line {
    fn take(&mut self, input: LineInput) {
        self.begun += u64::from(matches!(input, LineInput::Begun));
        self.engine.handle_line(self.now, LINE, input);
        self.work();
    }

    fn work(&mut self) {
        while let Some(output) = self.engine.poll_output(self.now) {
            match output {
                Output::Commit(_) => self.engine.handle_committed(Ok(())),
                Output::SendOnLine { line, connection, frame } => {
                    assert_eq!((line, connection), (LINE, self.begun));
                    assert!(frame.len() <= 512, "{} bytes", frame.len());
                    self.frames.push(frame);
                }
                Output::EndLine { .. } => self.ends += 1,
                _ => {}
            }
        }
    }

    /// The device takes what came for it, and answers.
    fn take_in(&mut self) {
        for frame in std::mem::take(&mut self.frames) {
            self.device.handle_frame(Moment::new(MS_AT_START), self.session, &frame).unwrap();
        }
        self.device_says();
    }

    fn device_sets(&mut self, path: &str, value: i64) {
        let write = Write::set(Path::new(path).unwrap(), value);
        self.device.update(Moment::new(MS_AT_START), &[write]).unwrap();
        self.device_says();
    }

    /// What the device has to say goes to the edge.
    fn device_says(&mut self) {
        let mut buffer = [0; 512];
        while let Some(output) = self.device.poll_output(Moment::new(MS_AT_START), &mut buffer) {
            match output {
                crdt_core::Output::Persist => {
                    let token = self.device.take_unsaved(|_| {});
                    self.device.handle_persisted(token);
                }
                crdt_core::Output::Transmit { len, .. } => {
                    self.take(LineInput::Frame(buffer[..len].to_vec()));
                }
                _ => {}
            }
        }
    }
}

#[test]
fn a_slow_line_gets_no_more_than_it_takes_and_nothing_queues_up() {
    let mut line = line(40);
    assert_eq!(line.frames.len(), LINE_FRAMES_MAX, "the rest stays state");
    line.take(LineInput::Sent(3));
    assert_eq!(line.frames.len(), LINE_FRAMES_MAX + 3);
    // What changes meanwhile goes on to others, and is durable.
    let (reply, mut answer) = oneshot::channel();
    let writes = vec![("cell/39".to_owned(), Some(Scalar::I64(1)))];
    let command = DocumentCommand::Update { writes, reply };
    line.engine.handle_command(line.now, Command::Document { document: DocumentIndex(0), command });
    line.work();
    assert!(
        matches!(answer.try_recv(), Ok(Ok(Updated { stamp: Some(_), .. }))),
        "a slow line keeps nobody waiting"
    );
    assert_eq!(line.frames.len(), LINE_FRAMES_MAX + 3);
    for _ in 0..60 {
        line.take(LineInput::Sent(1));
    }
    for frame in std::mem::take(&mut line.frames) {
        line.device.handle_frame(Moment::new(MS_AT_START), line.session, &frame).unwrap();
    }
    assert_eq!(line.device.document().size().cells, 40);
    assert_eq!(
        line.device.document().get(Path::new("cell/39").unwrap()),
        Some(Value::I64(1)),
        "the newest value"
    );
}

#[test]
fn what_is_no_frame_ends_the_connection_on_the_line() {
    let mut broken = line(1);
    broken.take(LineInput::Frame(vec![3, 0xff, 0xff, 0xff]));
    assert_eq!(broken.ends, 1);
    assert!(!broken.engine.status(broken.now).lines[0].open);
    let mut unknown = line(1);
    unknown.take(LineInput::Frame(vec![4, 1, 2, 3]));
    assert_eq!(unknown.ends, 1, "a handle that was never opened");
    let frames = unknown.frames.len();
    unknown.take(LineInput::Frame(vec![3, 1, 2, 3]));
    assert_eq!((unknown.ends, unknown.frames.len()), (1, frames), "what comes after the end is dropped");
    unknown.take(LineInput::Begun);
    assert!(unknown.engine.status(unknown.now).lines[0].open);
}

#[test]
fn a_document_that_the_line_does_not_serve_is_refused_by_a_frame() {
    let mut line = line(1);
    let name = DocumentName::new("town").unwrap();
    let mut stranger =
        Replica::<Heap, _>::new(&name, Config::new(Role::Member), ChaCha12Rng::seed_from_u64(5));
    let connect = Connect::initiator(PeerId([1; 32]), Role::Aggregator, 4);
    let session = stranger.connect(connect).unwrap();
    line.frames.clear();
    (line.device, line.session) = (stranger, session);
    line.device_says();
    assert_eq!(line.frames.len(), 1);
    let refused = line.device.handle_frame(Moment::new(MS_AT_START), session, &line.frames[0]);
    assert!(refused.is_ok(), "{refused:?}");
    let mut buffer = [0; 512];
    let mut events = std::iter::from_fn(|| line.device.poll_output(Moment::new(MS_AT_START), &mut buffer));
    let is_refusal = |output: crdt_core::Output| {
        matches!(
            output,
            crdt_core::Output::Event(crdt_core::Event::Refused { reason: crdt_core::Refusal::Access, .. })
        )
    };
    assert!(events.any(is_refusal));
    let status = line.engine.status(line.now);
    let problem = status.lines[0].problem.as_deref().unwrap();
    assert_eq!(problem, "the device asks for the document \"town\"; this line serves pump");
}

/// The policy is about the metered link. Between device and edge everything goes at once; what the device changes waits for
/// company on its way to the aggregator like what is written here.
#[test]
fn what_waits_for_company_does_not_wait_on_the_line() {
    let mut line = line_under(1, &["=max-delay:1h", "alarm=urgent"]);
    line.take_in();
    let (reply, _) = oneshot::channel();
    let writes = vec![("setpoint".to_owned(), Some(Scalar::I64(5)))];
    let command = DocumentCommand::Update { writes, reply };
    line.engine.handle_command(line.now, Command::Document { document: DocumentIndex(0), command });
    line.work();
    line.take_in();
    assert_eq!(line.device.document().get(Path::new("setpoint").unwrap()), Some(Value::I64(5)));

    line.engine.gate.note_sent(line.now.at);
    let until = |line: &Line| line.engine.gate.next().map(|(_, until)| until - line.now.at);
    assert_eq!(until(&line), None);
    line.device_sets("speed", 3);
    assert_eq!(until(&line), Some(seconds(3_600)));
    line.device_sets("alarm/door", 1);
    assert_eq!(until(&line), Some(seconds(0)));
}

/// Devices repeat themselves, too. What an equal value equals is what stood there, whoever wrote it last.
#[test]
fn an_equal_value_of_a_device_is_no_reason_to_send() {
    let mut line =
        line_under(0, &["=max-delay:1h", "alarm=urgent", "band=dead-band:2", "alive=heartbeat:1m"]);
    line.take_in();
    let opens = |line: &Line| line.engine.gate.next().map(|(_, until)| until - line.now.at);
    let sent = |line: &mut Line| {
        line.engine.gate.note_sent(line.now.at);
        line.engine.documents[0].note_all_handed();
    };
    for path in ["speed", "alarm/door", "band", "alive"] {
        line.device_sets(path, 1);
    }
    assert_eq!(opens(&line), Some(seconds(0)), "the first values are news");
    sent(&mut line);
    let urgent = line.engine.documents[0].urgent_of_device;
    for path in ["speed", "alarm/door", "band"] {
        line.device_sets(path, 1);
        assert_eq!(opens(&line), None, "{path}");
    }
    assert_eq!(line.engine.documents[0].urgent_of_device, urgent);
    line.device_sets("alive", 1);
    assert_eq!(opens(&line), Some(seconds(60)));
    sent(&mut line);
    for (value, is_within) in [(2, true), (2, true), (3, false)] {
        line.device_sets("band", value);
        assert_eq!(opens(&line).is_none(), is_within, "{value} after 1");
    }
    sent(&mut line);

    // The edge writes in between: the same value from the device is a change then.
    let (reply, _) = oneshot::channel();
    let writes = vec![("speed".to_owned(), Some(Scalar::I64(2)))];
    let command = DocumentCommand::Update { writes, reply };
    line.engine.handle_command(line.now, Command::Document { document: DocumentIndex(0), command });
    line.work();
    line.take_in();
    sent(&mut line);
    line.device_sets("speed", 1);
    assert_eq!(opens(&line), Some(seconds(3_600)));
    // And an equal one from the edge after the device's is none.
    sent(&mut line);
    let (reply, _) = oneshot::channel();
    let writes = vec![("speed".to_owned(), Some(Scalar::I64(1)))];
    let command = DocumentCommand::Update { writes, reply };
    line.engine.handle_command(line.now, Command::Document { document: DocumentIndex(0), command });
    line.work();
    assert_eq!(opens(&line), None);
}
