//! Short positions again, for a list that was edited at one place for long. Only the aggregator has a reason to.

use alloc::vec::Vec;

use super::POSITION_KEY;
use super::handle::List;
use super::order::{self, Element, Group};
use super::position::{Lean, Mark, Position};
use crate::document::Document;
use crate::limits::{POSITION_LEN_MAX, POSITION_LEN_SHORT};
use crate::storage::Storage;
use crate::types::path_buffer::PathBuffer;
use crate::types::plan::{Plan, Planned, PlannedContent};
use crate::write::Write;

/// A planned rebalance: new positions, and the deletion of what no longer shows.
#[derive(Clone, Debug, Default, PartialEq)]
#[must_use = "a plan changes nothing until its writes are given to `update`"]
pub struct Rebalance(Vec<Plan<'static, 1>>);

impl Rebalance {
    /// The writes, for one transaction: in two, the order could be seen half changed.
    pub fn writes(&self) -> Vec<Write<'_>> {
        self.0.iter().map(Plan::write).collect()
    }

    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl List<'_> {
    /// Plans short positions for the elements whose positions have grown long, in the same order, and the deletion of
    /// the remains of removed elements. Empty as long as positions are at most half as long as they may be and none
    /// tie.
    ///
    /// **Only the aggregator is to commit this**, best while the list is at rest. A rebalance moves elements without
    /// meaning to: an element that somebody moves at the same time stands where the newer of the two writes put it,
    /// which is its old place if that is the rebalance; and what is inserted at the same time goes by the old
    /// neighbours. Two concurrent rebalances would mix two spacings, and thereby the order of the list. Elements with
    /// short positions are not touched: they cost nothing on the links, and lose no race.
    ///
    /// O(cells below + elements x log elements).
    pub fn rebalance<S: Storage>(self, document: &Document<S>) -> Rebalance {
        let remains = order::groups(document, self.path())
            // Of a transaction that has not come whole, the other cells may be on their way.
            .filter(|group| group.is_covered && group.element().is_none())
            .map(|group| Plan::new([Planned { path: group.path.into(), content: PlannedContent::Delete }]));
        let mut plans: Vec<_> = remains.collect();
        let mut elements: Vec<_> = order::groups(document, self.path()).filter_map(Group::element).collect();
        elements.sort_by(Element::compare);
        let ties = |at: usize| at > 0 && elements[at].position == elements[at - 1].position;
        let needed =
            (0..elements.len()).any(|at| ties(at) || elements[at].position.len() > POSITION_LEN_MAX / 2);
        if needed {
            let mark = Mark::of(document.replica_id());
            let keeps = |at: &usize| elements[*at].position.len() <= POSITION_LEN_SHORT && !ties(*at);
            let mut left = None;
            let mut start = 0;
            while start < elements.len() {
                let end = (start..elements.len()).find(keeps).unwrap_or(elements.len());
                let right = elements.get(end).map(|element| element.position);
                spread(&elements[start..end], left, right, mark, &mut plans);
                left = right;
                start = end + 1;
            }
        }
        Rebalance(plans)
    }
}

/// Gives `elements` new positions between the two, the middle one first.
fn spread(
    elements: &[Element<'_>],
    left: Option<&[u8]>,
    right: Option<&[u8]>,
    mark: Mark,
    plans: &mut Vec<Plan<'static, 1>>,
) {
    let middle = elements.len() / 2;
    let Some(element) = elements.get(middle) else { return };
    let path = PathBuffer::from(element.path).join(POSITION_KEY);
    let position = Position::between(left, right, Lean::Middle, mark);
    let (Ok(path), Some(position)) = (path, position) else { return };
    spread(&elements[..middle], left, Some(position.as_bytes()), mark, plans);
    plans.push(Plan::new([Planned { path, content: PlannedContent::Position(position.clone()) }]));
    spread(&elements[middle + 1..], Some(position.as_bytes()), right, mark, plans);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::causal::Stamp;
    use crate::cell::{Cell, Content, Path, Value};
    use crate::id::{DocumentName, ReplicaId};
    use crate::size::Limits;
    use crate::storage::Heap;
    use crate::time::Time;

    /// A transaction can arrive in parts: the place of an element, and its content in the next frame.
    #[test]
    fn the_first_part_of_a_transaction_is_not_taken_for_remains() {
        let name = DocumentName::new("types").unwrap();
        let mut document = Document::<Heap>::new(&name, ReplicaId::new(1), Limits::default());
        let stamp = Stamp::new(Time::from_ms(5).unwrap(), ReplicaId::new(2));
        let content = Content::Value(Value::Bytes(&[7]));
        document.join(Cell { path: Path::new("l/x/@").unwrap(), stamp, content }).unwrap();
        let list = List::at(Path::new("l").unwrap()).unwrap();
        assert!(list.rebalance(&document).is_empty());
        document.knowledge.claim(stamp.replica, stamp.time).unwrap();
        assert_eq!(list.rebalance(&document).writes(), [Write::delete(Path::new("l/x").unwrap())]);
    }
}
