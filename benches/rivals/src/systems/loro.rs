//! Loro, as its documentation of sync shows it: version vectors when a connection begins, and then what
//! `subscribe_local_update` gives for each commit. A side that lacks nothing is sent nothing.
//!
//! Root maps, as its documentation advises for keys that several peers may create. A shallow snapshot would be smaller
//! after a day of overwrites; Loro's documentation allows it for peers that have nothing of their own to merge, which the
//! cloud of these workloads has.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use benches::systems::{CLOUD, DEVICE, FIRST_WRITER, Scalar, Side, System, Values, id, split};
use loro::{ExportMode, LoroDoc, LoroValue, Subscription, ToJson, VersionVector};
use serde_json::Value;

/// Two documents and what waits to be sent.
pub struct Loro {
    device: End,
    cloud: End,
}

struct End {
    document: LoroDoc,
    outbox: Vec<Vec<u8>>,
    /// The peer's vector is awaited.
    asking: bool,
    connection: Option<Connection>,
}

/// Updates of the session, as the subscription hands them over.
struct Connection {
    updates: Arc<Mutex<Vec<Vec<u8>>>>,
    _subscription: Subscription,
}

impl Default for Loro {
    fn default() -> Self {
        Self { device: End::new(DEVICE), cloud: End::new(CLOUD) }
    }
}

impl End {
    fn new(peer: u64) -> Self {
        Self { document: document(peer), outbox: Vec::new(), asking: false, connection: None }
    }

    fn connect(&mut self) {
        let updates = Arc::new(Mutex::new(Vec::new()));
        let sink = updates.clone();
        let subscription = self.document.subscribe_local_update(Box::new(move |update| {
            sink.lock().unwrap_or_else(PoisonError::into_inner).push(update.clone());
            true
        }));
        self.connection = Some(Connection { updates, _subscription: subscription });
        self.outbox.clear();
        self.asking = false;
    }
}

impl Loro {
    fn end(&mut self, side: Side) -> &mut End {
        match side {
            Side::Cloud => &mut self.cloud,
            Side::Device => &mut self.device,
        }
    }
}

impl System for Loro {
    fn write(&mut self, side: Side, values: &Values) {
        write(&self.end(side).document, values);
    }

    fn wait(&mut self, _ms: u64) {}

    fn reconnect(&mut self) {
        self.device.connect();
        self.cloud.connect();
        self.device.outbox.push(framed(Tag::Vector, &self.device.document.oplog_vv().encode()));
        self.device.asking = true;
    }

    fn join_writers(&mut self, writers: &[Vec<(String, Scalar)>]) {
        for (n, values) in (FIRST_WRITER..).zip(writers) {
            let writer = document(n);
            write(&writer, values);
            let updates = writer.export(ExportMode::all_updates()).expect("updates can be exported");
            self.device.document.import(&updates).expect("an honest peer's update");
            self.cloud.document.import(&updates).expect("an honest peer's update");
        }
    }

    fn send(&mut self, side: Side) -> Vec<Vec<u8>> {
        let end = self.end(side);
        let mut messages = std::mem::take(&mut end.outbox);
        if let Some(connection) = &end.connection {
            let mut updates = connection.updates.lock().unwrap_or_else(PoisonError::into_inner);
            messages.extend(updates.drain(..).map(|update| framed(Tag::Update, &update)));
        }
        messages
    }

    fn receive(&mut self, side: Side, message: &[u8]) {
        let end = self.end(side);
        let (tag, body) = message.split_first().expect("a message has a tag");
        if *tag == Tag::Update as u8 {
            end.document.import(body).expect("an honest peer's update");
            return;
        }
        let theirs = VersionVector::decode(body).expect("an honest peer's vector");
        let ours = end.document.oplog_vv();
        if !std::mem::take(&mut end.asking) {
            end.outbox.push(framed(Tag::Vector, &ours.encode()));
        }
        if !theirs.includes_vv(&ours) {
            let updates = end.document.export(ExportMode::updates(&theirs)).expect("updates can be exported");
            end.outbox.push(framed(Tag::Update, &updates));
        }
    }

    fn json(&mut self, side: Side) -> Value {
        self.end(side).document.get_deep_value().to_json_value()
    }

    fn into_device(self: Box<Self>) -> Box<dyn Any> {
        Box::new(self.device.document)
    }
}

/// The first byte of a message.
#[derive(Clone, Copy)]
enum Tag {
    Update = 0,
    Vector = 1,
}

fn framed(tag: Tag, body: &[u8]) -> Vec<u8> {
    [&[tag as u8], body].concat()
}

fn document(peer: u64) -> LoroDoc {
    let document = LoroDoc::new();
    document.set_peer_id(id(peer)).expect("nothing was written yet");
    document
}

fn write(document: &LoroDoc, values: &Values) {
    for (path, value) in values {
        let (map, key) = split(path);
        document.get_map(map).insert(key, scalar(value)).expect("a scalar can be inserted");
    }
    document.commit();
}

fn scalar(value: &Scalar) -> LoroValue {
    match value {
        Scalar::Bool(b) => (*b).into(),
        Scalar::F64(number) => (*number).into(),
        Scalar::I64(number) => (*number).into(),
        Scalar::Str(text) => text.as_str().into(),
    }
}
