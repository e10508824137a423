use std::borrow::Cow;

/// What one commit changes: any number of documents and settings, all of it or nothing.
///
/// Everything is taken borrowed or owned. Changes apply in the order in which they were added, so naming a document
/// twice is well defined.
#[derive(Clone, Debug, Default)]
pub struct Batch<'a> {
    pub(crate) changes: Vec<Change<'a>>,
}

/// One entry of a [`Batch`].
#[derive(Clone, Debug)]
pub(crate) enum Change<'a> {
    Document(DocumentCommit<'a>),
    RemoveDocument(Cow<'a, str>),
    RemoveSetting(Cow<'a, str>),
    Setting { name: Cow<'a, str>, value: Cow<'a, [u8]> },
}

/// What a commit changes in one document: its metadata, always replaced whole, and some of its cells.
#[derive(Clone, Debug)]
pub struct DocumentCommit<'a> {
    pub(crate) name: Cow<'a, str>,
    pub(crate) meta: Cow<'a, [u8]>,
    pub(crate) rewrite: bool,
    pub(crate) cells: Vec<(Cow<'a, str>, CellChange<'a>)>,
}

/// The new state of one cell: a record, or `None` for removed.
pub(crate) type CellChange<'a> = Option<Cow<'a, [u8]>>;

impl<'a> Batch<'a> {
    /// A batch that changes nothing.
    pub const fn new() -> Self {
        Self { changes: Vec::new() }
    }

    /// Adds a document with its metadata; the cells follow on what this gives back. A new name creates the document.
    pub fn document(
        &mut self,
        name: impl Into<Cow<'a, str>>,
        meta: impl Into<Cow<'a, [u8]>>,
    ) -> &mut DocumentCommit<'a> {
        self.changes.push(Change::Document(DocumentCommit::new(name, meta)));
        match self.changes.last_mut() {
            Some(Change::Document(document)) => document,
            _ => unreachable!("a document was just pushed"),
        }
    }

    /// Adds a document that was built elsewhere.
    pub fn push(&mut self, document: DocumentCommit<'a>) -> &mut Self {
        self.changes.push(Change::Document(document));
        self
    }

    /// Removes a document with its cells. One that does not exist is no error.
    pub fn remove_document(&mut self, name: impl Into<Cow<'a, str>>) -> &mut Self {
        self.changes.push(Change::RemoveDocument(name.into()));
        self
    }

    /// Sets a setting, replacing its value.
    pub fn set(&mut self, name: impl Into<Cow<'a, str>>, value: impl Into<Cow<'a, [u8]>>) -> &mut Self {
        self.changes.push(Change::Setting { name: name.into(), value: value.into() });
        self
    }

    /// Removes a setting. One that does not exist is no error.
    pub fn unset(&mut self, name: impl Into<Cow<'a, str>>) -> &mut Self {
        self.changes.push(Change::RemoveSetting(name.into()));
        self
    }

    /// Whether there is nothing to commit.
    pub fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl<'a> DocumentCommit<'a> {
    /// A commit that writes the metadata of the document and changes no cell.
    pub fn new(name: impl Into<Cow<'a, str>>, meta: impl Into<Cow<'a, [u8]>>) -> Self {
        Self { name: name.into(), meta: meta.into(), rewrite: false, cells: Vec::new() }
    }

    /// Writes a cell, replacing its record.
    pub fn put(&mut self, path: impl Into<Cow<'a, str>>, record: impl Into<Cow<'a, [u8]>>) -> &mut Self {
        self.cells.push((path.into(), Some(record.into())));
        self
    }

    /// Removes a cell. One that does not exist is no error.
    pub fn remove(&mut self, path: impl Into<Cow<'a, str>>) -> &mut Self {
        self.cells.push((path.into(), None));
        self
    }

    /// Replaces the metadata.
    pub fn meta(&mut self, meta: impl Into<Cow<'a, [u8]>>) -> &mut Self {
        self.meta = meta.into();
        self
    }

    /// Drops all cells of the document before the cells of this commit are written. Cost: one pass over the old ones.
    pub fn rewrite(&mut self) -> &mut Self {
        self.rewrite = true;
        self
    }
}
