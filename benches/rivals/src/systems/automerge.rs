//! Automerge with its own sync protocol, as its documentation of `sync` shows it: the sync state lives as long as the
//! connection.
//!
//! It keeps the whole history, which ours does not: what it can do with that (blame, branches, undo) is not measured here.

use std::any::Any;

use automerge::sync::{Message, State, SyncDoc};
use automerge::transaction::Transactable;
use automerge::{ActorId, AutoCommit, AutoSerde, ObjType, ROOT, ReadDoc, ScalarValue};
use benches::systems::{CLOUD, DEVICE, FIRST_WRITER, Scalar, Side, System, Values, id, split};
use serde_json::Value;

/// Two documents. A connection begins with new sync states: nothing is kept of the old ones.
pub struct Automerge {
    device: End,
    cloud: End,
}

struct End {
    document: AutoCommit,
    state: State,
    connected: bool,
}

impl Default for Automerge {
    fn default() -> Self {
        Self { device: End::new(DEVICE), cloud: End::new(CLOUD) }
    }
}

impl End {
    fn new(actor: u64) -> Self {
        Self { document: document(actor), state: State::new(), connected: false }
    }
}

impl Automerge {
    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Cloud => &mut self.cloud,
            Side::Device => &mut self.device,
        }
    }
}

impl System for Automerge {
    fn write(&mut self, side: Side, values: &Values) {
        write(&mut self.end(side).document, values);
    }

    fn wait(&mut self, _ms: u64) {}

    fn reconnect(&mut self) {
        for end in [&mut self.device, &mut self.cloud] {
            end.state = State::new();
            end.connected = true;
        }
    }

    fn join_writers(&mut self, writers: &[Vec<(String, Scalar)>]) {
        for (n, values) in (FIRST_WRITER..).zip(writers) {
            let mut writer = document(n);
            write(&mut writer, values);
            self.device.document.merge(&mut writer).expect("changes of an honest peer");
            self.cloud.document.merge(&mut writer).expect("changes of an honest peer");
        }
    }

    fn send(&mut self, side: Side) -> Vec<Vec<u8>> {
        let end = self.end(side);
        if !end.connected {
            return Vec::new();
        }
        end.document.sync().generate_sync_message(&mut end.state).map(Message::encode).into_iter().collect()
    }

    fn receive(&mut self, side: Side, message: &[u8]) {
        let end = self.end(side);
        let message = Message::decode(message).expect("an honest peer's message");
        end.document.sync().receive_sync_message(&mut end.state, message).expect("an honest peer's message");
    }

    fn json(&mut self, side: Side) -> Value {
        serde_json::to_value(AutoSerde::from(&self.end(side).document)).expect("maps of scalars are JSON")
    }

    fn into_device(self: Box<Self>) -> Box<dyn Any> {
        Box::new(self.device.document)
    }

    /// The sync protocol waits for an answer to each message; a stream of changes does not.
    fn send_change(&mut self) -> Vec<Vec<u8>> {
        self.device
            .document
            .get_last_local_change()
            .map(|change| change.raw_bytes().to_vec())
            .into_iter()
            .collect()
    }

    fn receive_change(&mut self, message: &[u8]) {
        self.cloud.document.load_incremental(message).expect("an honest peer's change");
    }
}

fn document(actor: u64) -> AutoCommit {
    let actor: Vec<u8> = [id(actor), id(!actor)].iter().flat_map(|half| half.to_le_bytes()).collect();
    AutoCommit::new().with_actor(ActorId::from(actor))
}

fn write(document: &mut AutoCommit, values: &Values) {
    for (path, value) in values {
        let (map, key) = split(path);
        let map = match document.get(ROOT, map).expect("the root can be read") {
            Some((_, id)) => id,
            None => document.put_object(ROOT, map, ObjType::Map).expect("a map can be made"),
        };
        document.put(&map, key, scalar(value)).expect("a scalar can be put");
    }
    document.commit();
}

fn scalar(value: &Scalar) -> ScalarValue {
    match value {
        Scalar::Bool(b) => ScalarValue::Boolean(*b),
        Scalar::F64(number) => ScalarValue::F64(*number),
        Scalar::I64(number) => ScalarValue::Int(*number),
        Scalar::Str(text) => ScalarValue::Str(text.as_str().into()),
    }
}
