//! Any transactions, merges and forgetting on three documents; heap and fixed storage must agree.
#![no_main]

use arbitrary::Arbitrary;
use crdt_core::capacity::{Bytes, Cells, Replicas};
use crdt_core::{Document, DocumentName, Fixed, Heap, Limits, Moment, ReplicaId, Write};
use godwit_fuzz::AnyValue;
use libfuzzer_sys::fuzz_target;

#[derive(Arbitrary, Debug)]
enum Step {
    Merge { from: u8, into: u8 },
    Update { replica: u8, now: u32, writes: Vec<(u8, Option<AnyValue>)> },
}

fuzz_target!(|steps: Vec<Step>| {
    type Small = Fixed<Cells<16>, Bytes<4096>, Replicas<4>>;
    let name = DocumentName::new("fuzz").expect("a name");
    let new = |r| (ReplicaId::new(r), Limits::default());
    let mut heap: Vec<Document<Heap>> =
        (1..4).map(new).map(|(id, limits)| Document::new(&name, id, limits)).collect();
    let mut fixed: Vec<Document<Small>> =
        (1..4).map(new).map(|(id, limits)| Document::new(&name, id, limits)).collect();
    for step in steps.iter().take(64) {
        match step {
            Step::Update { replica, now, writes } => {
                let at = usize::from(*replica) % 3;
                let list: Vec<Write<'_>> =
                    writes.iter().take(8).map(|(path, value)| AnyValue::write(value, *path)).collect();
                let moment = Moment::new((*now).into());
                let result = fixed[at].update(moment, &list);
                if result.is_ok() {
                    assert_eq!(heap[at].update(moment, &list), result);
                }
            }
            Step::Merge { from, into } => {
                let (from, into) = (usize::from(*from) % 3, usize::from(*into) % 3);
                if let Ok([a, b]) = heap.get_disjoint_mut([from, into]) {
                    b.merge(a).expect("there is capacity");
                }
                if let Ok([a, b]) = fixed.get_disjoint_mut([from, into]) {
                    b.merge(a).expect("eight paths fit");
                }
            }
        }
        for (heap, fixed) in heap.iter().zip(&fixed) {
            heap.check_invariants().expect("invariants");
            fixed.check_invariants().expect("invariants");
            assert!(heap == fixed);
        }
    }
    for from in 0..3 {
        for into in 0..3 {
            if let Ok([a, b]) = heap.get_disjoint_mut([from, into]) {
                b.merge(a).expect("there is capacity");
            }
        }
    }
    let [a, b, c] = &mut heap[..] else { unreachable!("three documents") };
    a.merge(c).expect("there is capacity");
    b.merge(a).expect("there is capacity");
    c.merge(b).expect("there is capacity");
    a.merge(c).expect("there is capacity");
    assert!(a == b && b == c && a.version_vector() == c.version_vector());
});
