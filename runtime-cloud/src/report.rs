//! Status and devices, for people.

use std::fmt::Write;

use crdt_core::Time;
use serde::de::DeserializeOwned;
use serde_json::Value as Json;

use crate::status::{DeviceStatus, Status};

/// The devices, one a line.
pub(crate) fn devices(now: Time, json: Json) -> String {
    let devices: Vec<DeviceStatus> = match parse(json) {
        Ok(devices) => devices,
        Err(raw) => return raw,
    };
    if devices.is_empty() {
        return "no device may come in; to let one in: aggregator allow KEY".to_owned();
    }
    let mut text = format!("{:64}  {:4}  {:16}  documents", "key", "here", "last seen");
    for device in devices {
        let here = if device.is_connected { "yes" } else { "no" };
        let ago = |ms| format!("{} s ago", now.as_ms().saturating_sub(ms) / 1000);
        let seen = device.last_seen_ms.map_or("never".to_owned(), ago);
        let documents = device.documents.map_or("every document".to_owned(), |names| quoted(&names));
        put(&mut text, format_args!("\n{}  {here:4}  {seen:16}  {documents}", device.key));
    }
    text
}

/// The status, a few lines.
pub(crate) fn status(json: Json) -> String {
    let status: Status = match parse(json) {
        Ok(status) => status,
        Err(raw) => return raw,
    };
    let Status { counters, faults, queues, bytes, .. } = &status;
    let mut text = format!("key        {}", status.key);
    put(&mut text, format_args!("\nup         {} s", status.uptime_ms / 1000));
    put(
        &mut text,
        format_args!(
            "\ncommits    {} with {} documents; {} frames in, {} out",
            counters.commits, counters.documents_committed, counters.frames_received, counters.frames_sent
        ),
    );
    let (sent, received) = (bytes.sent.total().bytes, bytes.received.total().bytes);
    put(&mut text, format_args!("\nIP bytes   {received} in, {sent} out"));
    put(
        &mut text,
        format_args!(
            "\nrefused    {} without access, {} broke the protocol, {} too much, {} batches",
            counters.access_denied, counters.protocol_errors, counters.overloads, counters.batches_refused
        ),
    );
    put(
        &mut text,
        format_args!(
            "\ndatagrams  {} malformed, {} oversized, {} unauthentic, {} replayed, {} reordered, {} of no connection",
            faults.datagrams_malformed + faults.datagrams_unversioned,
            faults.datagrams_oversized,
            faults.datagrams_unauthentic,
            faults.datagrams_replayed,
            faults.datagrams_reordered,
            faults.datagrams_unknown
        ),
    );
    put(
        &mut text,
        format_args!(
            "\nhandshakes {} refused, {} overdue, {} ignored; {} connections too many",
            faults.handshakes_refused,
            faults.handshakes_overdue,
            faults.handshakes_ignored,
            faults.connections_refused
        ),
    );
    put(
        &mut text,
        format_args!(
            "\nwaiting    {} bytes in, {} bytes out, {} requests; {} watches",
            queues.input_bytes, queues.outbox_bytes, queues.requests, queues.watches
        ),
    );
    let (here, allowed) = (status.devices.len(), status.devices_allowed);
    put(&mut text, format_args!("\ndevices    {here} here of {allowed} allowed"));
    for device in &status.devices {
        let seconds = device.connected_ms / 1000;
        let (waiting, documents) = (device.unacknowledged_bytes, quoted(&device.documents));
        put(
            &mut text,
            format_args!("\n  {}  {seconds} s, {waiting} bytes under way: {documents}", device.key),
        );
    }
    let (loaded, stored) = (status.documents.len(), status.documents_stored);
    put(&mut text, format_args!("\ndocuments  {loaded} in memory of {stored} stored"));
    for document in &status.documents {
        let (cells, size, sessions) = (document.cells, document.bytes, document.sessions);
        let state = if document.is_committing { ", committing" } else { "" };
        put(
            &mut text,
            format_args!("\n  {:?}: {cells} cells, {size} bytes, {sessions} devices{state}", document.name),
        );
    }
    text
}

/// Names come from devices: whatever is in them, a terminal shows it and does not obey it.
fn quoted(names: &[String]) -> String {
    names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(", ")
}

/// An answer of another version is shown as it is.
fn parse<T: DeserializeOwned>(json: Json) -> Result<T, String> {
    T::deserialize(&json).map_err(|_| json.to_string())
}

fn put(text: &mut String, line: std::fmt::Arguments<'_>) {
    text.write_fmt(line).expect("a string takes all text");
}
