//! Automerge with its own sync protocol, as its documentation of `sync` shows it.
//!
//! It keeps the whole history, which ours does not: what it can do with that (blame, branches, undo) is not measured here.

use automerge::sync::{State, SyncDoc};
use automerge::transaction::Transactable;
use automerge::{AutoCommit, ObjType, ROOT, ReadDoc, ScalarValue, Value};

use crate::{Scalar, Side, System};

/// Two documents. A connection begins with new sync states: nothing is kept of the old ones.
pub struct Automerge {
    device: AutoCommit,
    cloud: AutoCommit,
    device_state: State,
    cloud_state: State,
}

impl Default for Automerge {
    fn default() -> Self {
        Self {
            device: AutoCommit::new(),
            cloud: AutoCommit::new(),
            device_state: State::new(),
            cloud_state: State::new(),
        }
    }
}

impl System for Automerge {
    fn name(&self) -> &'static str {
        "automerge"
    }

    fn write(&mut self, side: Side, values: &[(String, Scalar)]) {
        let document = match side {
            Side::Device => &mut self.device,
            Side::Cloud => &mut self.cloud,
        };
        for (path, value) in values {
            let (map, key) = path.split_once('/').expect("map/key");
            let map = match document.get(ROOT, map).expect("the root can be read") {
                Some((_, id)) => id,
                None => document.put_object(ROOT, map, ObjType::Map).expect("a map can be made"),
            };
            document.put(&map, key, scalar(value)).expect("a scalar can be put");
        }
        document.commit();
    }

    fn wait(&mut self, _ms: u64) {}

    fn reconnect(&mut self) {
        self.device_state = State::new();
        self.cloud_state = State::new();
    }

    fn settle(&mut self) -> usize {
        let mut bytes = 0;
        loop {
            let up = self.device.sync().generate_sync_message(&mut self.device_state);
            if let Some(message) = up.clone() {
                bytes += message.clone().encode().len();
                self.cloud
                    .sync()
                    .receive_sync_message(&mut self.cloud_state, message)
                    .expect("an honest message");
            }
            let down = self.cloud.sync().generate_sync_message(&mut self.cloud_state);
            if let Some(message) = down.clone() {
                bytes += message.clone().encode().len();
                self.device
                    .sync()
                    .receive_sync_message(&mut self.device_state, message)
                    .expect("an honest message");
            }
            if up.is_none() && down.is_none() {
                return bytes;
            }
        }
    }

    fn agree_on(&mut self, path: &str) -> Option<Scalar> {
        let same = self.device.get_heads() == self.cloud.get_heads();
        let (map, key) = path.split_once('/')?;
        let (_, map) = self.cloud.get(ROOT, map).ok()??;
        let (found, _) = self.cloud.get(&map, key).ok()??;
        let Value::Scalar(found) = found else { return None };
        same.then_some(match found.as_ref() {
            ScalarValue::Boolean(b) => Scalar::Bool(*b),
            ScalarValue::F64(number) => Scalar::F64(*number),
            ScalarValue::Int(number) => Scalar::I64(*number),
            ScalarValue::Str(text) => Scalar::Str(text.to_string()),
            _ => return None,
        })
    }
}

fn scalar(value: &Scalar) -> ScalarValue {
    match value {
        Scalar::Bool(b) => ScalarValue::Boolean(*b),
        Scalar::F64(number) => ScalarValue::F64(*number),
        Scalar::I64(number) => ScalarValue::Int(*number),
        Scalar::Str(text) => ScalarValue::Str(text.as_str().into()),
    }
}
