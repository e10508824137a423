//! Yrs with the y-sync protocol, as the documentation of `yrs::sync::protocol` lays it out for a client and a server:
//! state vectors when a connection begins, then the update of each transaction. Encoding v1, which is the protocol's;
//! garbage collection on, which is the default.

use std::any::Any;

use benches::systems::{CLOUD, DEVICE, FIRST_WRITER, Scalar, Side, System, Values, id, split};
use serde_json::Value;
use yrs::sync::{Message, SyncMessage};
use yrs::types::ToJson;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{Any as YrsAny, Doc, Map, ReadTxn, StateVector, Transact, Update, WriteTxn};

/// Two documents and what waits to be sent.
pub struct Yrs {
    device: End,
    cloud: End,
}

struct End {
    document: Doc,
    outbox: Vec<Vec<u8>>,
    connected: bool,
    /// The server asks back, once.
    asks_back: bool,
}

impl Default for Yrs {
    fn default() -> Self {
        Self { device: End::new(DEVICE), cloud: End::new(CLOUD) }
    }
}

impl End {
    fn new(client: u64) -> Self {
        Self { document: document(client), outbox: Vec::new(), connected: false, asks_back: false }
    }

    fn post(&mut self, message: SyncMessage) {
        self.outbox.push(Message::Sync(message).encode_v1());
    }

    fn ask(&mut self) {
        let vector = self.document.transact().state_vector();
        self.post(SyncMessage::SyncStep1(vector));
    }

    fn apply(&mut self, update: &[u8]) {
        apply(&self.document, update);
    }
}

impl Yrs {
    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Cloud => &mut self.cloud,
            Side::Device => &mut self.device,
        }
    }
}

impl System for Yrs {
    fn write(&mut self, side: Side, values: &Values) {
        let end = self.end(side);
        let update = write(&end.document, values);
        if end.connected {
            end.post(SyncMessage::Update(update));
        }
    }

    fn wait(&mut self, _ms: u64) {}

    fn reconnect(&mut self) {
        for end in [&mut self.device, &mut self.cloud] {
            end.connected = true;
            end.outbox.clear();
        }
        self.cloud.asks_back = true;
        self.device.ask();
    }

    fn join_writers(&mut self, writers: &[Vec<(String, Scalar)>]) {
        for (n, values) in (FIRST_WRITER..).zip(writers) {
            let writer = document(n);
            write(&writer, values);
            let update = writer.transact().encode_state_as_update_v1(&StateVector::default());
            self.device.apply(&update);
            self.cloud.apply(&update);
        }
    }

    fn send(&mut self, side: Side) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.end(side).outbox)
    }

    fn receive(&mut self, side: Side, message: &[u8]) {
        let end = self.end(side);
        match Message::decode_v1(message).expect("an honest peer's message") {
            Message::Sync(SyncMessage::SyncStep1(theirs)) => {
                let update = end.document.transact().encode_state_as_update_v1(&theirs);
                end.post(SyncMessage::SyncStep2(update));
                if std::mem::take(&mut end.asks_back) {
                    end.ask();
                }
            }
            Message::Sync(SyncMessage::SyncStep2(update) | SyncMessage::Update(update)) => end.apply(&update),
            other => panic!("a message that nobody sent: {other:?}"),
        }
    }

    fn json(&mut self, side: Side) -> Value {
        let document = &self.end(side).document;
        // A root that came from a peer has no type here until it is asked for as a map.
        let roots: Vec<String> = document.transact().root_refs().map(|(name, _)| name.to_owned()).collect();
        for root in roots {
            document.get_or_insert_map(root);
        }
        let mut json = String::new();
        document.to_json(&document.transact()).to_json(&mut json);
        serde_json::from_str(&json).expect("its JSON is JSON")
    }

    fn into_device(self: Box<Self>) -> Box<dyn Any> {
        Box::new(self.device.document)
    }
}

/// Client ids have 53 bits.
fn document(client: u64) -> Doc {
    Doc::with_client_id(id(client) >> 11)
}

/// The update of the transaction, which is what `observe_update_v1` hands to a subscriber.
fn write(document: &Doc, values: &Values) -> Vec<u8> {
    let mut transaction = document.transact_mut();
    for (path, value) in values {
        let (map, key) = split(path);
        transaction.get_or_insert_map(map).insert(&mut transaction, key, scalar(value));
    }
    transaction.commit();
    transaction.encode_update_v1()
}

fn apply(document: &Doc, update: &[u8]) {
    let update = Update::decode_v1(update).expect("an honest peer's update");
    document.transact_mut().apply_update(update).expect("an honest peer's update");
}

fn scalar(value: &Scalar) -> YrsAny {
    match value {
        Scalar::Bool(b) => YrsAny::from(*b),
        Scalar::F64(number) => YrsAny::from(*number),
        Scalar::I64(number) => YrsAny::from(*number),
        Scalar::Str(text) => YrsAny::from(text.as_str()),
    }
}
