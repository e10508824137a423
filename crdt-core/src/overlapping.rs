//! Which writes of a transaction meet: their capacity is reckoned together.

use core::cmp::Ordering;

use crate::cell::Path;
use crate::list::List;
use crate::storage::{sort, sort_by};
use crate::write::Write;

/// The writes, by their index, whose paths lie at or below that of another one, or above it; ascending. `None` when there are
/// more writes than `L` has places: then nothing is known. O(n log n), O(n) when the paths are in order already.
#[inline(never)]
pub(crate) fn overlapping<L: List<u64>>(writes: &[Write<'_>]) -> Option<L> {
    let (mut order, mut found) = (L::default(), L::default());
    for index in 0..writes.len() as u64 {
        order.push(index).ok()?;
    }
    let path = |index: u64| writes[index as usize].path;
    sort_by(&mut order, &mut |a, b| by_keys(path(a), path(b)).then(a.cmp(&b)).is_lt());
    // All that lies below a path follows it without a gap.
    let mut above: Option<(u64, bool)> = None;
    for index in order.iter().copied() {
        match &mut above {
            Some((top, is_found)) if path(*top).contains(path(index)) => {
                if !core::mem::replace(is_found, true) {
                    found.push(*top).ok()?;
                }
                found.push(index).ok()?;
            }
            _ => above = Some((index, false)),
        }
    }
    sort(&mut found);
    Some(found)
}

/// The order of paths key by key: what lies below a path comes right behind it.
fn by_keys(a: Path<'_>, b: Path<'_>) -> Ordering {
    let rank = |byte: u8| if byte == b'/' { 0 } else { 1 + u16::from(byte) };
    a.as_str().bytes().map(rank).cmp(b.as_str().bytes().map(rank))
}

#[cfg(test)]
mod tests {
    use std::string::String;
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_overlaps_is_found(texts in prop::collection::vec("[ab-](/[ab!~0]){0,3}", 0..40)) {
            let texts: Vec<String> = texts;
            let writes: Vec<_> = texts.iter().map(|text| Write::set(Path::new(text).unwrap(), 1)).collect();
            let overlaps = |(i, a): (usize, &Write<'_>)| {
                let meets = |b: &Write<'_>| a.path.contains(b.path) || b.path.contains(a.path);
                writes.iter().enumerate().any(|(j, b)| i != j && meets(b)).then_some(i as u64)
            };
            let naive: Vec<_> = writes.iter().enumerate().filter_map(overlaps).collect();
            let found = overlapping::<heapless::Vec<u64, 40>>(&writes).unwrap();
            prop_assert_eq!(&found[..], &naive[..]);
        }
    }

    #[test]
    fn more_writes_than_places_are_not_compared() {
        let writes = [Write::set(Path::new("a").unwrap(), 1); 5];
        assert!(overlapping::<heapless::Vec<u64, 4>>(&writes).is_none());
        assert_eq!(overlapping::<heapless::Vec<u64, 5>>(&writes).unwrap().len(), 5);
    }
}
