//! Typed access: a struct of the application, as a subtree of cells.
//!
//! [`Document::write`] stores a value that implements `serde::Serialize` and writes **only what changed**;
//! [`Document::read`] gives it back. Neither needs a heap.
//!
//! ```
//! use crdt_core::capacity::{Bytes, Cells, Replicas};
//! use crdt_core::{Config, CountingRng, DocumentName, Fixed, Moment, Path, Replica, Role};
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize, PartialEq, Debug)]
//! struct Pump {
//!     setpoint: f64,
//!     mode: Mode,
//!     #[serde(default)]
//!     max_starts_per_hour: Option<u8>,
//! }
//!
//! #[derive(Serialize, Deserialize, PartialEq, Debug)]
//! enum Mode {
//!     Auto,
//!     Manual { speed: u16 },
//! }
//!
//! let name = DocumentName::new("pump-42")?;
//! type Small = Fixed<Cells<32>, Bytes<1024>, Replicas<4>>;
//! let mut replica = Replica::<Small, _>::new(&name, Config::new(Role::Member), CountingRng::new(0x1234));
//! let path = Path::new("pump/3")?;
//! let now = |ms: u64| Moment::new(1_770_000_000_000 + ms);
//!
//! let mut pump = Pump { setpoint: 4.5, mode: Mode::Auto, max_starts_per_hour: Some(6) };
//! assert!(replica.write(now(0), path, &pump)?.is_some());
//! assert_eq!(replica.document().read::<Pump>(path)?, pump);
//!
//! // One field changed: one cell is written, and one is sent.
//! let before = replica.document().seq();
//! pump.setpoint = 5.0;
//! replica.write(now(1), path, &pump)?;
//! assert_eq!(replica.document().changes_since(before).count(), 1);
//!
//! // Nothing changed: no transaction.
//! assert_eq!(replica.write(now(2), path, &pump)?, None);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # What is stored where
//!
//! | value | cells |
//! |---|---|
//! | bool, integer, float, string, char, bytes | a scalar (a `f32` as the float with the same value; a char as a string) |
//! | struct, map | a key for each field or entry; a map marker where there is none |
//! | `None` | nothing; null in a sequence, in a map, in a newtype and as what a variant holds |
//! | `()`, unit struct | null |
//! | newtype struct, `Some` | as what is inside |
//! | `Some` of what is nothing or null: `Some(None)`, `Some(())` | a map with the only key `~s`, and null there |
//! | unit variant | its name, as a string |
//! | other variants | a map with the variant's name as its only key |
//! | sequence, tuple | a list; see below |
//!
//! - **Structs** are open: fields of the document that the type does not have are left alone, so a newer program's fields
//!   survive an older program's write. A field that is `None`, or skipped because it is, is deleted.
//! - **Maps** (also structs with `#[serde(flatten)]`) are closed: a key that the map does not have is deleted. Two entries
//!   whose keys are the same text are refused: [`WriteProblem::SameKey`].
//! - **Enums**: another variant than before is written with a map marker, so that all that was below is gone, on all replicas.
//!   Untagged, internally and adjacently tagged enums are structs to serde, and leave the old variant's fields behind.
//! - **Keys** may be any text that fits; `/` and `~` in a key are stored as `~1` and `~0`, the empty key as `~`, and the keys
//!   `@` and `=` as `~@` and `~=`. Integers, bools, chars and unit variants as keys are stored as text. What somebody else has
//!   put at a key that is not escaped is read and written there, as the `=` of a counter; `@`, `~s` and `~u` become escaped.
//! - **Integers** beyond an `i64` are refused: [`WriteProblem::Integer`]. They are read where JSON has stored them.
//! - **Floats** are read from integers that they hold exactly; others are refused: [`ReadProblem::OutOfRange`]. A `f32` is the
//!   nearest one to a stored fraction, as to decimal digits; what would become 0 or infinite is refused.
//! - **Depth** is bounded by the depth of paths, 16 keys. Options and newtypes around one value: at most 64.
//!
//! What was written is read back equal, or it is refused at writing. The one exception are enums that are structs to serde,
//! see above: they may be read as their former variant.
//!
//! A write is one transaction under one stamp, all or nothing. The value is serialised twice, first to see what
//! changes and whether there is capacity: it must give the same both times.
//!
//! O(cells below x depth x log cells), and for maps with n entries O(n log n).

mod children;
mod defaults;
mod elements;
mod error;
mod float;
#[cfg(feature = "std")]
mod json;
#[cfg(feature = "std")]
mod json_text;
mod key;
mod read;
mod reserved;
mod serializer;
mod write;

pub use error::{ErrorText, Found, ReadError, ReadProblem, WriteError, WriteProblem};
#[cfg(feature = "std")]
pub use json_text::{JsonTextError, NumberError, parse_json};

use serde::{Deserialize, Serialize};

use crate::causal::Stamp;
use crate::cell::Path;
use crate::document::Document;
use crate::storage::Storage;
use crate::time::Moment;

impl<S: Storage> Document<S> {
    /// Stores `value` at `path` (as the whole document for `None`), writing only what differs from what is there, in one
    /// transaction whose stamp is returned; `None` when nothing differs. See [`typed`](crate::typed).
    ///
    /// # Errors
    /// [`WriteError`]; nothing has changed then, unless `value` was serialised in two different ways.
    #[expect(clippy::result_large_err, reason = "the error owns its path, and there is no heap to put it on")]
    pub fn write<'p, T: Serialize + ?Sized>(
        &mut self,
        moment: Moment,
        path: impl Into<Option<Path<'p>>>,
        value: &T,
    ) -> Result<Option<Stamp>, WriteError> {
        write::write(self, moment, path.into(), value, false)
    }

    /// Reads a `T` from what is at `path` and below (from the whole document for `None`). It may borrow strings and bytes from the document.
    ///
    /// An `Option` is `None` when nothing is there. See [`typed`](crate::typed).
    ///
    /// # Errors
    /// [`ReadError`] with the path of what does not fit the type.
    ///
    /// # Example: which field does not fit
    /// ```
    /// use crdt_core::capacity::{Bytes, Cells, Replicas};
    /// use crdt_core::{Document, DocumentName, Fixed, Limits, Moment, Path, ReplicaId};
    /// #[derive(serde::Deserialize, Debug)]
    /// struct Pump<'a> {
    ///     name: &'a str,
    ///     speed: u16,
    /// }
    /// let name = DocumentName::new("pump-42")?;
    /// type Small = Fixed<Cells<32>, Bytes<1024>, Replicas<4>>;
    /// let mut document = Document::<Small>::new(&name, ReplicaId::new(1), Limits::default());
    /// document.set(Moment::new(1), Path::new("pump/3/name")?, "west")?;
    /// let pump = Path::new("pump/3")?;
    /// let error = document.read::<Pump>(pump).unwrap_err();
    /// assert_eq!(error.to_string(), "pump/3/speed: nothing is stored here, and the type needs a value");
    ///
    /// document.set(Moment::new(2), Path::new("pump/3/speed")?, 70_000)?;
    /// let error = document.read::<Pump>(pump).unwrap_err();
    /// assert_eq!(error.to_string(), "pump/3/speed: expected u16, found the integer 70000, which it cannot hold");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[expect(clippy::result_large_err, reason = "the error owns its path, and there is no heap to put it on")]
    pub fn read<'a, 'p, T: Deserialize<'a>>(
        &'a self,
        path: impl Into<Option<Path<'p>>>,
    ) -> Result<T, ReadError> {
        read::read(self, path.into())
    }
}
