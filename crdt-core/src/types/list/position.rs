//! Where an element stands among the others: a fraction between 0 and 1, as its digits to the base 256.
//!
//! Between two different fractions there is always another, so an insertion never touches its neighbours (D. Greenspan,
//! "Implementing Fractional Indexing", 2020; the digits with the writer's mark in them are those of S. Weiss et al.,
//! "Logoot", 2009, section 4). Byte order is the order of the fractions. A position does not end in the digit 0: that
//! would be a second form of the same fraction.
//!
//! | form | bytes | who makes it |
//! |---|---|---|
//! | digits, mark | 3 and more | the first insertion of a replica into a gap |
//! | digits, mark, counter | 4 and more | the same replica goes on directly behind it |
//! | digits (its mark is in them) | 13 and more | the same replica in a crowded place |
//!
//! The **mark** is two bytes made from the replica id. Two replicas that insert into one gap at the same time choose
//! the same digits, and the marks keep their runs apart: what one of them goes on to write behind its first insertion
//! begins with that insertion's digits and mark, and nothing of the other sorts in between. Runs that are written
//! backwards, each element before the last one, can mix; so can runs in a crowded place.
//!
//! New digits keep near the neighbour that was written last, an eighth of the gap away (a whole digit at the ends of
//! the list), which leaves capacity on the side where a run goes on. This is the boundary strategy of B. Nedelec et al.,
//! "LSEQ", 2013, with the neighbours' stamps in place of a coin.
//!
//! Longest position in bytes after 300 insertions (the last row: 60), as the test `positions_stay_short` has it:
//!
//! | where | one replica | three by turns |
//! |---|---:|---:|
//! | at the end | 5 | 8 |
//! | at the beginning | 5 | 5 |
//! | anywhere | 15 | 19 |
//! | always behind the first | 14 | 14 |
//! | always before the last | 5 | 18 |
//! | always between the last two | 30 | 27 |

use core::cmp::Ordering;

use crate::id::ReplicaId;
use crate::limits::POSITION_LEN_MAX;

/// A position: 1 to 48 bytes, the last of them not 0.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position(Digits);

type Digits = heapless::Vec<u8, POSITION_LEN_MAX>;

/// Which neighbour a new position keeps near.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lean {
    Left,
    Middle,
    Right,
}

/// Two bytes that tell replicas apart in positions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark([u8; 2]);

impl Mark {
    /// The mark of a replica. Any two of them have the same one with a chance of 1 in 65,025; then their elements may
    /// tie, and the element ids decide.
    pub(super) const fn of(replica: ReplicaId) -> Self {
        let mixed = super::element_id::mix(replica.get());
        // Never 0: a position must not end in it.
        Self([1 + (mixed >> 32) as u8 % 255, 1 + (mixed >> 40) as u8 % 255])
    }
}

impl Position {
    /// The digits, if they are the one form of a position.
    pub(super) fn new(digits: &[u8]) -> Option<Self> {
        is_position(digits).then(|| Self(digits.iter().copied().collect()))
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// A position after `left` (the beginning for `None`) and before `right` (the end for `None`).
    ///
    /// `None` when `left` is not below `right`, or no position in between has capacity. O(length).
    pub(super) fn between(left: Option<&[u8]>, right: Option<&[u8]>, lean: Lean, mark: Mark) -> Option<Self> {
        let run = (lean != Lean::Middle).then(|| next_in_run(left?, mark)).flatten();
        let fits = |digits: &Digits| right.is_none_or(|right| digits.as_slice() < right);
        let digits = run.filter(fits).or_else(|| new_digits(left, right, lean, mark));
        digits.or_else(|| new_digits(left, right, Lean::Middle, mark)).map(Self)
    }
}

/// Whether `digits` are the one form of a position.
pub(super) fn is_position(digits: &[u8]) -> bool {
    digits.len() <= POSITION_LEN_MAX && digits.last().is_some_and(|last| *last != 0)
}

/// Directly behind `left` in the run of `mark`: the counter behind the mark, one up.
fn next_in_run(left: &[u8], mark: Mark) -> Option<Digits> {
    let counter_at = mark.0.len() + left.windows(mark.0.len()).rposition(|window| window == mark.0)?;
    let counter = &left[counter_at..];
    let full = counter.iter().take_while(|digit| **digit == u8::MAX).count();
    if full == COUNTER_LEN_MAX {
        return None;
    }
    let mut digits = Digits::from_slice(&left[..counter_at + full]).ok()?;
    digits.push(counter.get(full).map_or(1, |digit| digit + 1)).ok()?;
    Some(digits)
}

/// The shortest digits between the two that what follows them cannot lead astray, with the mark behind them.
fn new_digits(left: Option<&[u8]>, right: Option<&[u8]>, lean: Lean, mark: Mark) -> Option<Digits> {
    let lower = left.unwrap_or_default();
    if right.is_some_and(|right| lower.cmp(right) != Ordering::Less) {
        return None;
    }
    let mut digits = Digits::new();
    // Above the digits so far there is nothing any more that bounds what follows.
    let mut bound = right;
    loop {
        let at = digits.len();
        let low = lower.get(at).map_or(0, |digit| u16::from(*digit));
        let high = match bound {
            // The right neighbour ends here only if it ends in zeros, which no position does.
            Some(right) => u16::from(*right.get(at)?),
            None => 256,
        };
        let gap = high - low;
        if gap > 1 {
            let is_own = digits.len() >= MARKED_LEN && digits.windows(mark.0.len()).any(|at| at == mark.0);
            digits.push(choose(low, gap, lean, left.is_none(), right.is_none())).ok()?;
            if !is_own {
                digits.extend_from_slice(&mark.0).ok()?;
            }
            return Some(digits);
        }
        if gap == 1 {
            bound = None;
        }
        digits.push(low as u8).ok()?;
    }
}

/// A digit above `low` and below `low + gap`.
fn choose(low: u16, gap: u16, lean: Lean, is_first: bool, is_last: bool) -> u8 {
    let step = match lean {
        Lean::Middle => gap / 2,
        Lean::Left | Lean::Right if is_first != is_last => 1,
        Lean::Left | Lean::Right => (gap / 8).max(1),
    };
    let digit = if lean == Lean::Right { low + gap - step } else { low + step };
    digit as u8
}

/// A run goes on for 3 x 255 elements; then it is cheaper to begin another one.
const COUNTER_LEN_MAX: usize = 3;
/// Positions with this many digits get no second mark of the same replica.
const MARKED_LEN: usize = 12;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use std::vec::Vec;

    use super::super::element_id::mix;
    use super::*;

    fn mark(replica: u64) -> Mark {
        Mark::of(ReplicaId::new(replica))
    }

    #[test]
    fn a_position_lies_between_its_neighbours_down_to_the_last_digit() {
        for (left, right) in [
            (None, None),
            (Some(&[0x80][..]), None),
            (None, Some(&[1][..])),
            (None, Some(&[0, 0, 1][..])),
            (Some(&[255, 255][..]), None),
            (Some(&[7][..]), Some(&[8][..])),
            (Some(&[7][..]), Some(&[7, 1][..])),
            (Some(&[7][..]), Some(&[7, 0, 1][..])),
            (Some(&[7, 255, 255][..]), Some(&[8][..])),
        ] {
            for lean in [Lean::Left, Lean::Middle, Lean::Right] {
                let position = Position::between(left, right, lean, mark(1)).unwrap();
                assert!(is_position(position.as_bytes()));
                assert!(left.is_none_or(|left| left < position.as_bytes()), "{left:?} {position:?}");
                assert!(right.is_none_or(|right| position.as_bytes() < right), "{right:?} {position:?}");
            }
        }
    }

    #[test]
    fn between_equal_or_reversed_neighbours_there_is_nothing() {
        assert_eq!(Position::between(Some(&[7]), Some(&[7]), Lean::Left, mark(1)), None);
        assert_eq!(Position::between(Some(&[8]), Some(&[7]), Lean::Left, mark(1)), None);
        assert_eq!(Position::between(Some(&[7]), Some(&[7, 0]), Lean::Left, mark(1)), None, "7.0 is 7");
    }

    /// Inserts `count` times where `place` says, by `replicas` in turn, into a list of positions; gives the longest.
    fn longest(replicas: u64, count: usize, mut place: impl FnMut(usize, usize) -> usize) -> usize {
        let mut list: Vec<(Position, usize)> = Vec::new();
        for i in 0..count {
            let at = place(i, list.len());
            let (left, right) = (at.checked_sub(1).map(|l| &list[l]), list.get(at));
            let lean = match (left, right) {
                (Some((_, left)), Some((_, right))) if right > left => Lean::Right,
                (None, Some(_)) => Lean::Right,
                _ => Lean::Left,
            };
            let digits = |n: Option<&(Position, usize)>| n.map(|(p, _)| p.0.clone());
            let mark = mark(i as u64 % replicas);
            let position = Position::between(digits(left).as_deref(), digits(right).as_deref(), lean, mark);
            let Some(position) = position else { panic!("no capacity for insertion {i}") };
            list.insert(at, (position, i));
            assert!(list.is_sorted());
        }
        list.iter().map(|(position, _)| position.0.len()).max().unwrap_or(0)
    }

    #[test]
    fn positions_stay_short() {
        for (replicas, expected) in [(1, [5, 5, 15, 14, 5, 30]), (3, [8, 5, 19, 14, 18, 27])] {
            let mut low = 0;
            let longest = [
                ("at the end", longest(replicas, 300, |_, len| len)),
                ("at the beginning", longest(replicas, 300, |_, _| 0)),
                ("anywhere", longest(replicas, 300, |i, len| mix(i as u64) as usize % (len + 1))),
                ("always behind the first", longest(replicas, 300, |_, len| len.min(1))),
                ("always before the last", longest(replicas, 300, |_, len| len.saturating_sub(1))),
                (
                    "between the last two",
                    longest(replicas, 60, |i, len| {
                        low = if i % 2 == 0 { low } else { (low + 1).min(len) };
                        low
                    }),
                ),
            ];
            assert_eq!(longest.map(|(_, len)| len), expected, "{longest:?}");
        }
    }

    /// A queue: what is appended is removed at the front, so the list stays short and its positions rise for ever.
    #[test]
    fn a_queue_never_runs_out_of_positions() {
        let (mut last, mut longest) = (None::<Position>, 0);
        for _ in 0..100_000 {
            let next =
                Position::between(last.as_ref().map(Position::as_bytes), None, Lean::Left, mark(7)).unwrap();
            assert!(last.is_none_or(|last| last < next));
            longest = longest.max(next.as_bytes().len());
            last = Some(next);
        }
        assert_eq!(longest, 6);
    }

    proptest! {
        #[test]
        fn there_is_always_room_between_short_positions(
            mut a in proptest::collection::vec(any::<u8>(), 1..12),
            mut b in proptest::collection::vec(any::<u8>(), 1..12),
            replica: u64,
            lean in prop_oneof![Just(Lean::Left), Just(Lean::Middle), Just(Lean::Right)],
        ) {
            prop_assume!(is_position(&a) && is_position(&b) && a != b);
            if a > b {
                core::mem::swap(&mut a, &mut b);
            }
            let position = Position::between(Some(&a), Some(&b), lean, mark(replica)).unwrap();
            prop_assert!(is_position(position.as_bytes()));
            prop_assert!(a.as_slice() < position.as_bytes() && position.as_bytes() < b.as_slice());
        }
    }
}
