//! The size of a document, and its limits.

/// Most cells and bytes of a document. Fixed storage has its own limits; the lower ones apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Cells, tombstones included.
    pub cells: usize,
    /// Bytes of paths and encoded values.
    pub bytes: usize,
}

impl Default for Limits {
    /// A million cells, 64 MiB.
    fn default() -> Self {
        Self { cells: 1 << 20, bytes: 64 << 20 }
    }
}

/// A number of cells and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Cells, tombstones included.
    pub cells: usize,
    /// Bytes of paths and encoded values.
    pub bytes: usize,
}
