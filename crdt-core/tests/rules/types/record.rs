//! A record is there whole or not at all.

use crdt_core::types::{Record, RecordAccessError};
use crdt_core::{Document, Heap, Memory, Write};
use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::{Small, at, document, path};

/// How a link is reached. The name borrows from the document.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Uplink<'a> {
    apn: &'a str,
    bands: Option<u32>,
    retries: i16,
}

fn write<S: Memory>(document: &mut Document<S>, ms: usize, uplink: &Uplink<'_>) {
    let mut buffer = [0; 128];
    let write = Record::at(path("net/uplink")).encode(uplink, &mut buffer).unwrap();
    document.update(at(ms), &[write]).unwrap();
}

fn fields_never_mix<S: Memory>(ours: &Uplink<'_>, theirs: &Uplink<'_>, theirs_first: bool) {
    let record = Record::<Uplink<'_>>::at(path("net/uplink"));
    let (mut a, mut b) = (document::<S>(1), document::<S>(2));
    assert_eq!(record.read(&a), Ok(None));
    write(&mut a, 10, ours);
    write(&mut b, if theirs_first { 9 } else { 11 }, theirs);
    assert_eq!(record.read(&a).as_ref(), Ok(&Some(ours.clone())));
    a.merge(&b).unwrap();
    b.merge(&a).unwrap();
    let newest = if theirs_first { ours } else { theirs };
    assert_eq!(record.read(&a).as_ref(), Ok(&Some(newest.clone())));
    assert_eq!(record.read(&a), record.read(&b));
    a.update(at(12), &[Write::delete(record.path())]).unwrap();
    b.merge(&a).unwrap();
    assert_eq!(record.read(&b), Ok(None));
}

proptest! {
    #[test]
    fn the_fields_of_two_writers_never_mix(
        apns in proptest::array::uniform2("[a-z.]{0,20}"),
        bands in proptest::array::uniform2(proptest::option::of(any::<u32>())),
        retries: [i16; 2],
        theirs_first: bool,
    ) {
        let uplink = |i: usize| Uplink { apn: &apns[i], bands: bands[i], retries: retries[i] };
        fields_never_mix::<Heap>(&uplink(0), &uplink(1), theirs_first);
        fields_never_mix::<Small>(&uplink(0), &uplink(1), theirs_first);
    }
}

#[test]
fn a_record_that_does_not_fit_says_by_how_much() {
    let apn = "a".repeat(5_000);
    let uplink = Uplink { apn: &apn, bands: None, retries: 0 };
    let record = Record::at(path("net/uplink"));
    let (mut small, mut large) = ([0; 100], [0; 8192]);
    assert_eq!(
        record.encode(&uplink, &mut small),
        Err(RecordAccessError::TooLong { len: 5_004, limit: 100 })
    );
    assert_eq!(
        record.encode(&uplink, &mut large),
        Err(RecordAccessError::TooLong { len: 5_004, limit: 4_096 })
    );
    let fits = Uplink { apn: &apn[..4_092], ..uplink };
    assert!(record.encode(&fits, &mut large).is_ok());
    let borrowed = record.encode(&Uplink { apn: "", ..uplink }, &mut small[..3]);
    assert!(borrowed.is_ok(), "an empty name, no bands, no retries: 3 bytes");
}

#[test]
fn what_is_not_this_record_is_told_apart_from_nothing() {
    let record = Record::<Uplink<'_>>::at(path("net/uplink"));
    let mut a = document::<Heap>(1);
    a.set(at(1), record.path(), "iot.1nce.net").unwrap();
    assert_eq!(record.read(&a), Err(RecordAccessError::NotARecord));
    a.set(at(2), record.path(), [1_u8, b'a'].as_slice()).unwrap();
    assert_eq!(record.read(&a), Err(RecordAccessError::Malformed { len: 2 }), "too short");
    a.set(at(3), record.path(), [1_u8, b'a', 0, 0, 0].as_slice()).unwrap();
    assert_eq!(record.read(&a), Err(RecordAccessError::Malformed { len: 5 }), "a byte too many");
    a.set(at(4), path("net/uplink/apn"), "x").unwrap();
    assert_eq!(record.read(&a), Err(RecordAccessError::NotARecord), "a map");
}

#[test]
fn a_type_of_unknown_length_is_refused() {
    struct Endless;
    impl Serialize for Endless {
        fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serde::ser::SerializeSeq::end(serializer.serialize_seq(None)?)
        }
    }
    let result = Record::at(path("r")).encode(&Endless, &mut [0; 8]).map(|_| ());
    assert_eq!(result, Err(RecordAccessError::Unsupported));
}
