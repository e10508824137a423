//! A new element that is planned, and those to go right behind it.

use super::CONTENT_KEY;
use super::element_id::ElementId;
use super::handle::{Gap, List, ListError};
use super::position::Position;
use crate::cell::{Path, Value};
use crate::document::Document;
use crate::storage::Storage;
use crate::types::path_buffer::PathBuffer;
use crate::types::plan::{Plan, Planned, PlannedContent};
use crate::write::Write;

/// A new element, planned: its place, and with `N` = 2 its value.
#[derive(Clone, Debug, PartialEq)]
#[must_use = "a plan changes nothing until its writes are given to `update`"]
pub struct Insertion<'p, 'v, const N: usize> {
    pub(super) list: List<'p>,
    pub(super) id: ElementId,
    pub(super) position: Position,
    /// Of the element that it goes in front of.
    pub(super) right: Option<Position>,
    /// The first write places the element.
    pub(super) plan: Plan<'v, N>,
}

impl<'p, 'v, const N: usize> Insertion<'p, 'v, N> {
    /// Plans one more element with one value directly behind this one, to be committed in the same transaction.
    ///
    /// # Errors
    /// [`ListError::NoRoom`].
    ///
    /// # Example: three elements in one transaction
    /// ```
    /// use crdt_core::types::List;
    /// use crdt_core::{Document, DocumentName, Heap, Limits, Moment, Path, ReplicaId};
    ///
    /// let name = DocumentName::new("gateway-1")?;
    /// let mut document = Document::<Heap>::new(&name, ReplicaId::new(1), Limits::default());
    /// let servers = List::at(Path::new("ntp/servers")?)?;
    /// let a = servers.push(&document, 0x1d0c_55aa, "0.pool.ntp.org")?;
    /// let b = a.then(&document, 0x77b3_0112, "1.pool.ntp.org")?;
    /// let c = b.then(&document, 0x0c6f_9e21, "2.pool.ntp.org")?;
    /// document.update(Moment::new(1_000), &[a.writes(), b.writes(), c.writes()].concat())?;
    /// assert!(servers.iter(&document).map(|e| e.id).eq([a.id(), b.id(), c.id()]));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn then<'w, S: Storage>(
        &self,
        document: &Document<S>,
        random: u64,
        value: impl Into<Value<'w>>,
    ) -> Result<Insertion<'p, 'w, 2>, ListError> {
        self.then_place(document, random)?.with_value(value)
    }

    /// Plans one more place directly behind this one, for an element that is a map.
    ///
    /// # Errors
    /// [`ListError::NoRoom`].
    pub fn then_place<S: Storage>(
        &self,
        document: &Document<S>,
        random: u64,
    ) -> Result<Insertion<'p, 'static, 1>, ListError> {
        let gap = Gap::behind(self.position.clone(), self.right.clone());
        self.list.new_element(document, random, gap, Some(self.id))
    }

    /// The id that the element will have.
    pub fn id(&self) -> &str {
        self.element().key()
    }

    /// Where its fields belong: the list's path and the id.
    pub fn path(&self) -> PathBuffer {
        self.element().into()
    }

    /// The writes, for a transaction.
    pub fn writes(&self) -> [Write<'_>; N] {
        self.plan.writes()
    }

    fn element(&self) -> Path<'_> {
        self.plan.place().expect("an insertion writes the position, below its element")
    }
}

impl<'p> Insertion<'p, 'static, 1> {
    /// The same element with one value as its content.
    ///
    /// # Errors
    /// [`ListError::Path`] when there is no capacity for it below the element.
    pub fn with_value<'v>(self, value: impl Into<Value<'v>>) -> Result<Insertion<'p, 'v, 2>, ListError> {
        let content =
            Planned { path: self.path().join(CONTENT_KEY)?, content: PlannedContent::Value(value.into()) };
        let Self { list, id, position, right, plan } = self;
        Ok(Insertion { list, id, position, right, plan: plan.with(content) })
    }
}
