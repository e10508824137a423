//! Ours: real replicas with real sessions.

use std::any::Any;

use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{
    Config, Connect, CountingRng, DocumentName, Heap, Moment, Output, Path, PeerId, Replica, Role, SessionId,
    Value, Write,
};
use serde_json::Value as Json;

use super::system::{CLOUD, DEVICE, FIRST_WRITER, id, split};
use super::{Scalar, Side, System, Values};

/// Two [`Replica`]s in heap storage, a member and an aggregator. Saving is instant: there is no disk.
pub struct Godwit {
    device: End,
    cloud: End,
    clock: Clock,
}

struct End {
    replica: Replica<Heap, CountingRng>,
    session: Option<SessionId>,
    peer: PeerId,
}

/// Milliseconds since 1970, and bits that are never given twice.
struct Clock {
    now_ms: u64,
}

impl Default for Godwit {
    fn default() -> Self {
        Self {
            device: End::new(DEVICE, Role::Member),
            cloud: End::new(CLOUD, Role::Aggregator),
            clock: Clock { now_ms: 1_790_000_000_000 },
        }
    }
}

impl End {
    fn new(n: u64, role: Role) -> Self {
        let name = DocumentName::new("w1").expect("two bytes are a name");
        let mut peer = [0; 32];
        peer[..8].copy_from_slice(&id(n).to_le_bytes());
        Self {
            replica: Replica::new(&name, Config::new(role), CountingRng::new(id(n))),
            session: None,
            peer: PeerId(peer),
        }
    }

    fn connect(&mut self, peer: PeerId, initiator: bool) {
        if let Some(session) = self.session.take() {
            self.replica.disconnect(session);
        }
        let connect = if initiator {
            Connect::initiator(peer, Role::Aggregator, 0)
        } else {
            Connect::responder(peer, Role::Member, 0)
        };
        self.session = Some(self.replica.connect(connect).expect("one session fits"));
    }

    fn write(&mut self, clock: &mut Clock, values: &Values) {
        let writes: Vec<Write<'_>> =
            values.iter().map(|(at, v)| Write::set(Path::new(at).expect("a path"), value(v))).collect();
        self.replica.update(clock.moment(), &writes).expect("it fits");
    }

    fn send(&mut self, clock: &mut Clock) -> Vec<Vec<u8>> {
        let mut buffer = [0; 16 * 1024];
        let mut frames = Vec::new();
        while let Some(output) = self.replica.poll_output(clock.moment(), &mut buffer) {
            match output {
                Output::Persist => {
                    let token = self.replica.take_unsaved(|_| {});
                    self.replica.handle_persisted(token);
                }
                Output::Transmit { len, .. } => frames.push(buffer[..len].to_vec()),
                Output::Event(_) | Output::Close { .. } => {}
            }
        }
        frames
    }

    fn receive(&mut self, clock: &mut Clock, frame: &[u8]) {
        let session = self.session.expect("connected");
        self.replica.handle_frame(clock.moment(), session, frame).expect("frames of an honest peer");
    }
}

impl Clock {
    fn moment(&mut self) -> Moment {
        Moment::new(self.now_ms)
    }
}

impl Godwit {
    /// Bytes of memory of a replica and of a document that hold what the device has, in fixed storage: all there is.
    ///
    /// 40 cells, 1 KiB of paths and values, 4 replicas: the smallest that W1 fits in, rounded up.
    pub fn fixed_bytes() -> (usize, usize) {
        type Small = crdt_core::Fixed<Cells<40>, Bytes<1024>, Replicas<4>>;
        (size_of::<Replica<Small, CountingRng>>(), size_of::<crdt_core::Document<Small>>())
    }

    fn end(&mut self, side: Side) -> (&mut End, &mut Clock) {
        let end = match side {
            Side::Cloud => &mut self.cloud,
            Side::Device => &mut self.device,
        };
        (end, &mut self.clock)
    }
}

impl System for Godwit {
    fn write(&mut self, side: Side, values: &Values) {
        let (end, clock) = self.end(side);
        end.write(clock, values);
    }

    fn wait(&mut self, ms: u64) {
        self.clock.now_ms += ms;
    }

    fn reconnect(&mut self) {
        self.device.connect(self.cloud.peer, true);
        self.cloud.connect(self.device.peer, false);
    }

    /// The device gets it from a twin of the cloud, which is gone afterwards: the device knows what its aggregator has,
    /// the cloud knows nothing of the device. So the next connection is a cold one, as after a restore of the aggregator.
    fn join_writers(&mut self, writers: &[Vec<(String, Scalar)>]) {
        let mut twin = End::new(CLOUD, Role::Aggregator);
        for (n, values) in (FIRST_WRITER..).zip(writers) {
            let mut writer = End::new(n, Role::Member);
            writer.write(&mut self.clock, values);
            meet(&mut writer, &mut self.cloud, &mut self.clock);
            meet(&mut writer, &mut twin, &mut self.clock);
        }
        meet(&mut self.device, &mut twin, &mut self.clock);
    }

    fn send(&mut self, side: Side) -> Vec<Vec<u8>> {
        let (end, clock) = self.end(side);
        end.send(clock)
    }

    fn ask(&mut self) {
        self.device.replica.request_acknowledgement();
    }

    fn receive(&mut self, side: Side, message: &[u8]) {
        let (end, clock) = self.end(side);
        end.receive(clock, message);
    }

    fn json(&mut self, side: Side) -> Json {
        let mut json = serde_json::Map::new();
        for cell in self.end(side).0.replica.document().iter(None) {
            let (map, key) = split(cell.path.as_str());
            let map = json.entry(map).or_insert_with(|| Json::Object(serde_json::Map::new()));
            let map = map.as_object_mut().expect("workloads write to map/key");
            map.insert(key.to_owned(), cell.content.value().map_or(Json::Null, to_json));
        }
        Json::Object(json)
    }

    fn into_device(self: Box<Self>) -> Box<dyn Any> {
        Box::new(self.device.replica)
    }
}

/// A session from its beginning until both have the same.
fn meet(member: &mut End, aggregator: &mut End, clock: &mut Clock) {
    member.connect(aggregator.peer, true);
    aggregator.connect(member.peer, false);
    loop {
        let (up, down) = (member.send(clock), aggregator.send(clock));
        if up.is_empty() && down.is_empty() {
            break;
        }
        up.iter().for_each(|frame| aggregator.receive(clock, frame));
        down.iter().for_each(|frame| member.receive(clock, frame));
    }
    for end in [member, aggregator] {
        end.session.take().into_iter().for_each(|session| end.replica.disconnect(session));
    }
}

fn value(scalar: &Scalar) -> Value<'_> {
    match scalar {
        Scalar::Bool(b) => Value::Bool(*b),
        Scalar::F64(number) => Value::F64(*number),
        Scalar::I64(number) => Value::I64(*number),
        Scalar::Str(text) => Value::Str(text),
    }
}

fn to_json(value: Value<'_>) -> Json {
    match value {
        Value::Bool(b) => b.into(),
        Value::F64(number) => number.into(),
        Value::I64(number) => number.into(),
        Value::Str(text) => text.into(),
        Value::Bytes(_) | Value::Null => Json::Null,
    }
}
