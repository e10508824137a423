//! Ours.

use crdt_core::{
    Config, Connect, DocumentName, Heap, Moment, Output, Path, PeerId, Replica, ReplicaId, Role, SessionId,
};
use crdt_core::{Value, Write};

use crate::{Scalar, Side, System};

/// Two [`Replica`]s in heap storage, a member and an aggregator. Saving is instant: there is no disk.
pub struct Godwit {
    device: End,
    cloud: End,
    now_ms: u64,
    random: u64,
}

struct End {
    replica: Replica<Heap>,
    session: Option<SessionId>,
    key: u8,
}

impl End {
    fn new(key: u8, role: Role) -> Self {
        let name = DocumentName::new("w1").expect("two bytes are a name");
        // As random as any: ids cost 8 bytes whatever they are.
        let id = ReplicaId::new(0x9e37_79b9_7f4a_7c15_u64.wrapping_mul(u64::from(key) + 1));
        Self { replica: Replica::new(&name, id, Config::new(role)), session: None, key }
    }

    fn connect(&mut self, peer: u8, initiator: bool) {
        if let Some(session) = self.session.take() {
            self.replica.disconnect(session);
        }
        let peer = PeerId([peer; 32]);
        let connect = Connect { peer, with_aggregator: initiator, initiator, confirmed: true, handle: 0 };
        self.session = Some(self.replica.connect(connect).expect("one session fits"));
    }
}

impl Default for Godwit {
    fn default() -> Self {
        Self {
            device: End::new(1, Role::Member),
            cloud: End::new(2, Role::Aggregator),
            now_ms: 1_790_000_000_000,
            random: 0,
        }
    }
}

impl Godwit {
    fn moment(&mut self) -> Moment {
        self.random += 1;
        Moment::new(self.now_ms, self.random)
    }

    /// Frames of one side to the other; their bytes.
    fn pump(&mut self, from: Side) -> usize {
        let moment = self.moment();
        let (from, to) = match from {
            Side::Device => (&mut self.device, &mut self.cloud),
            Side::Cloud => (&mut self.cloud, &mut self.device),
        };
        let mut buffer = [0; 16 * 1024];
        let mut bytes = 0;
        while let Some(output) = from.replica.poll_output(moment, &mut buffer) {
            match output {
                Output::Persist(token) => from.replica.handle_persisted(token),
                Output::Transmit { len, .. } => {
                    bytes += len;
                    let session = to.session.expect("connected");
                    to.replica
                        .handle_frame(moment, session, &buffer[..len])
                        .expect("frames of an honest peer");
                }
                Output::Event(_) | Output::Close { .. } => {}
            }
        }
        bytes
    }
}

impl System for Godwit {
    fn name(&self) -> &'static str {
        "godwit"
    }

    fn write(&mut self, side: Side, values: &[(String, Scalar)]) {
        let moment = self.moment();
        let writes: Vec<Write<'_>> =
            values.iter().map(|(at, v)| Write::set(Path::new(at).expect("a path"), value(v))).collect();
        let end = match side {
            Side::Device => &mut self.device,
            Side::Cloud => &mut self.cloud,
        };
        end.replica.update(moment, &writes).expect("it fits");
    }

    fn wait(&mut self, ms: u64) {
        self.now_ms += ms;
    }

    fn reconnect(&mut self) {
        let (device, cloud) = (self.device.key, self.cloud.key);
        self.device.connect(cloud, true);
        self.cloud.connect(device, false);
    }

    fn settle(&mut self) -> usize {
        let mut bytes = 0;
        loop {
            let round = self.pump(Side::Device) + self.pump(Side::Cloud);
            if round == 0 {
                return bytes;
            }
            bytes += round;
        }
    }

    fn agree_on(&mut self, path: &str) -> Option<Scalar> {
        let same = self.device.replica.document() == self.cloud.replica.document();
        let found = self.cloud.replica.document().get(Path::new(path).ok()?)?;
        same.then_some(match found {
            Value::Bool(b) => Scalar::Bool(b),
            Value::F64(number) => Scalar::F64(number),
            Value::I64(number) => Scalar::I64(number),
            Value::Str(text) => Scalar::Str(text.to_owned()),
            Value::Bytes(_) | Value::Null => return None,
        })
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
