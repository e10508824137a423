//! A document without sessions.

use crate::common::{Side, path};
use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{
    Document, DocumentName, Fixed, Heap, Limits, MergeError, Moment, ReplicaId, Role, Unsaved, Value,
};

fn document(name: &str, replica: u64) -> Document<Heap> {
    Document::new(&DocumentName::new(name).unwrap(), ReplicaId::new(replica), Limits::default())
}

/// Fingerprints are keyed by the name: a cell of another document would look like damage for ever.
#[test]
fn copies_of_different_documents_are_not_merged() {
    let (mut pump, mut town) = (document("pump-1", 1), document("town", 2));
    town.set(Moment::new(1), path("x"), 1).unwrap();
    assert_eq!(pump.merge(&town), Err(MergeError::OtherDocument));
    assert_eq!((pump.size().cells, pump.version_vector().len()), (0, 0));
    let name = DocumentName::new("town").unwrap();
    let small =
        Document::<Fixed<Cells<4>, Bytes<64>, Replicas<2>>>::new(&name, ReplicaId::new(3), Limits::default());
    town.merge(&small).unwrap();
    assert!(MergeError::OtherDocument.to_string().contains("different names"));
}

/// A driver that drops what it takes, because it has no disk, leaves no list of removals behind.
#[test]
fn what_was_taken_is_not_told_again() {
    let mut side = Side::<Heap>::new(1, Role::Member);
    for n in 0..200 {
        side.set(&format!("log/{n}"), n);
        side.delete(&format!("log/{n}"));
        side.replica.forget_all_tombstones();
        side.poll();
    }
    side.set("speed", 1);
    assert_eq!(taken(&mut side), ["speed", "the state"]);
    side.delete("speed");
    side.replica.forget_all_tombstones();
    assert_eq!(taken(&mut side), ["removed speed", "the state"]);
    assert_eq!(taken(&mut side), ["the state"], "the cells were taken");
}

fn taken(side: &mut Side<Heap>) -> Vec<String> {
    let mut taken = Vec::new();
    let token = side.replica.take_unsaved(|unsaved| {
        taken.push(match unsaved {
            Unsaved::Rewrite => "rewrite".to_owned(),
            Unsaved::Removed(path) => format!("removed {path}"),
            Unsaved::Cell(cell) => cell.path.to_owned(),
            Unsaved::State(_) => "the state".to_owned(),
        });
    });
    side.replica.handle_persisted(token);
    taken
}

/// Each width that a cell holds goes in as it is; the others are asked whether they fit.
#[test]
fn numbers_of_each_width_become_values() {
    let small: [Value<'_>; 8] = [
        Value::from(-1_i8),
        Value::from(-1_i16),
        Value::from(-1_i32),
        Value::from(-1_i64),
        Value::from(1_u8),
        Value::from(1_u16),
        Value::from(1_u32),
        Value::from(0.5_f32),
    ];
    let [Value::I64(-1), Value::I64(-1), Value::I64(-1), Value::I64(-1), rest @ ..] = small else {
        panic!("{small:?}")
    };
    assert_eq!(rest, [Value::I64(1), Value::I64(1), Value::I64(1), Value::F64(0.5)]);
    assert_eq!(Value::try_from(u64::MAX >> 1), Ok(Value::I64(i64::MAX)));
    assert!(Value::try_from(u64::MAX).is_err() && Value::try_from(u128::MAX).is_err());
    assert!(Value::try_from(i128::MIN).is_err());
    assert_eq!(
        (Value::try_from(7_usize), Value::try_from(-7_isize)),
        (Ok(Value::I64(7)), Ok(Value::I64(-7)))
    );
    assert_eq!(Value::from(b"key"), Value::Bytes(b"key"));
}
