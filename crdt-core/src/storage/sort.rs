//! Sorting in place, in little code: the quicksort of the standard library takes 4 KiB of flash.

/// Sorts `numbers`, the lowest first. See [`sort_by`].
pub(crate) fn sort(numbers: &mut [u64]) {
    sort_by(numbers, &mut |a, b| a < b);
}

/// Sorts what `numbers` stand for; `is_before` is a strict order. O(n log n), O(n) when they are in order already; no
/// further memory.
///
/// Source: Williams, "Algorithm 232: Heapsort" (1964); Floyd, "Algorithm 245: Treesort 3" (1964).
pub(crate) fn sort_by(numbers: &mut [u64], is_before: &mut dyn FnMut(u64, u64) -> bool) {
    // In a plain loop: `is_sorted` is unrolled.
    if numbers.iter().zip(numbers.iter().skip(1)).all(|(a, b)| !is_before(*b, *a)) {
        return;
    }
    for root in (0..numbers.len() / 2).rev() {
        sift_down(numbers, root, is_before);
    }
    for end in (1..numbers.len()).rev() {
        numbers.swap(0, end);
        sift_down(&mut numbers[..end], 0, is_before);
    }
}

/// Makes the tree below `root` a heap, whose subtrees are heaps already: no number comes after its parent.
fn sift_down(heap: &mut [u64], mut root: usize, is_before: &mut dyn FnMut(u64, u64) -> bool) {
    loop {
        let left = 2 * root + 1;
        if left >= heap.len() {
            return;
        }
        let right_is_higher = heap.get(left + 1).is_some_and(|right| is_before(heap[left], *right));
        let child = left + usize::from(right_is_higher);
        if !is_before(heap[root], heap[child]) {
            return;
        }
        heap.swap(root, child);
        root = child;
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use proptest::prelude::*;

    use super::sort;

    proptest! {
        #[test]
        fn numbers_come_in_order(mut numbers in proptest::collection::vec(0_u64..40, 0..60)) {
            let mut expected: Vec<u64> = numbers.clone();
            expected.sort();
            sort(&mut numbers);
            prop_assert_eq!(numbers, expected);
        }
    }
}
