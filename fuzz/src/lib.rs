//! What the fuzz targets share: a pair of replicas with a wire between them that may lose its end.

use arbitrary::Arbitrary;
use crdt_core::{
    CellRecord, Config, Connect, CountingRng, DocumentName, Memory, Moment, Output, Path, PeerId,
    PersistToken, Replica, Role, SessionId, Value, Write,
};

/// Paths that lie in, above, below and beside one another.
pub const PATHS: [&str; 8] = ["a", "a/x", "a/x/1", "a/y", "a-b", "b", "b/z", "c"];

/// A path by number.
pub fn path(index: u8) -> Path<'static> {
    Path::new(PATHS[usize::from(index) % PATHS.len()]).expect("these are paths")
}

/// A value to write.
#[derive(Arbitrary, Debug, Clone)]
pub enum AnyValue {
    Bool(bool),
    Bytes(Vec<u8>),
    F64(f64),
    I64(i64),
    Null,
    Str(String),
}

impl AnyValue {
    /// As the core takes it; too long ones are cut.
    pub fn value(&self) -> Value<'_> {
        match self {
            AnyValue::Bool(b) => Value::Bool(*b),
            AnyValue::Bytes(bytes) => Value::Bytes(&bytes[..bytes.len().min(64)]),
            AnyValue::F64(number) => Value::F64(*number),
            AnyValue::I64(number) => Value::I64(*number),
            AnyValue::Null => Value::Null,
            AnyValue::Str(text) if text.len() <= 64 => Value::Str(text),
            AnyValue::Str(_) => Value::Str("long"),
        }
    }

    /// A write of it, or a delete.
    pub fn write(value: &Option<AnyValue>, at: u8) -> Write<'_> {
        value.as_ref().map_or(Write::delete(path(at)), |v| Write::set(path(at), v.value()))
    }
}

/// One end.
pub struct Side<S: Memory> {
    pub replica: Replica<S, CountingRng>,
    pub session: Option<SessionId>,
    key: u8,
    random: u64,
    now_ms: u64,
    /// What its disk holds: state and cells.
    disk: (Vec<u8>, Vec<(String, Vec<u8>)>),
}

impl<S: Memory> Side<S> {
    /// A new replica.
    pub fn new(key: u8, role: Role) -> Self {
        let name = DocumentName::new("fuzz").expect("a name");
        let replica = Replica::new(&name, Config::new(role), CountingRng::new(key.into()));
        let mut side = Self {
            replica,
            session: None,
            key,
            random: u64::from(key) << 40,
            now_ms: 1_000,
            disk: Default::default(),
        };
        let token = side.save();
        side.replica.handle_persisted(token);
        side
    }

    /// Now.
    pub fn moment(&mut self) -> Moment {
        self.now_ms += 1;
        Moment::new(self.now_ms)
    }

    /// What comes out, at most `limit` frames; saved as it should be.
    pub fn poll(&mut self, limit: usize, frame_len: usize) -> Vec<Vec<u8>> {
        let mut frames = Vec::new();
        let mut buffer = vec![0; frame_len];
        while frames.len() < limit {
            let moment = self.moment();
            match self.replica.poll_output(moment, &mut buffer) {
                None => break,
                Some(Output::Persist) => {
                    let token = self.save();
                    self.replica.handle_persisted(token);
                }
                Some(Output::Transmit { len, .. }) => frames.push(buffer[..len].to_vec()),
                Some(Output::Close { .. }) => self.session = None,
                Some(Output::Event(_)) => {}
            }
        }
        frames
    }

    /// Forgets what every member has.
    pub fn forget_stable(&mut self) -> usize {
        let moment = self.moment();
        self.replica.forget_stable(moment)
    }

    /// Loses what was not saved, and starts again.
    pub fn crash(&mut self, role: Role) {
        let cells = self.disk.1.iter().map(|(at, record)| {
            CellRecord::decode(Path::new(at).expect("it was a path"), record).expect("it was a record")
        });
        let cells: Vec<_> = cells.collect();
        self.random += 1;
        let moment = Moment::new(self.now_ms);
        self.replica =
            Replica::load(moment, Config::new(role), CountingRng::new(self.random), &self.disk.0, cells)
                .expect("it was saved");
        self.session = None;
    }

    fn save(&mut self) -> PersistToken {
        let token = self.replica.take_unsaved(|_| {});
        let mut buffer = vec![0; CellRecord::LEN_MAX];
        let cells = self.replica.document().changes_since(0).map(|cell| {
            let len = CellRecord::encode(&cell, &mut buffer).expect("the longest record fits");
            (cell.path.to_owned(), buffer[..len].to_vec())
        });
        let cells = cells.collect();
        self.disk = (self.replica.state_record().to_vec(), cells);
        token
    }
}

/// Opens a session; `a` begins.
pub fn connect<A: Memory, B: Memory>(a: &mut Side<A>, b: &mut Side<B>) {
    disconnect(a, b);
    a.session = a.replica.connect(Connect::initiator(PeerId([b.key; 32]), Role::Aggregator, 0)).ok();
    b.session = b.replica.connect(Connect::responder(PeerId([a.key; 32]), Role::Member, 0)).ok();
}

/// Ends the session on both sides.
pub fn disconnect<A: Memory, B: Memory>(a: &mut Side<A>, b: &mut Side<B>) {
    a.session.take().into_iter().for_each(|s| a.replica.disconnect(s));
    b.session.take().into_iter().for_each(|s| b.replica.disconnect(s));
    // Sessions that the replica closed by itself are handed out once.
    a.poll(usize::MAX, 1024);
    b.poll(usize::MAX, 1024);
}
