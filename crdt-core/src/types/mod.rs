//! Types built from cells: [`Counter`], [`Set`], [`List`] and [`Record`].
//!
//! Each is a handle on a path: it can be copied and holds nothing else. It reads from a [`Document`](crate::Document)
//! and **plans** writes; a plan holds its paths without a heap and changes nothing by itself. The application commits
//! it, alone or with others, in one transaction:
//!
//! ```
//! use crdt_core::capacity::{Bytes, Cells, Replicas};
//! use crdt_core::types::{Counter, Set};
//! use crdt_core::{Config, CountingRng, DocumentName, Fixed, Moment, Path, Replica, Role};
//!
//! let name = DocumentName::new("pump-42")?;
//! type Small = Fixed<Cells<32>, Bytes<1024>, Replicas<4>>;
//! let mut replica = Replica::<Small, _>::new(&name, Config::new(Role::Member), CountingRng::new(0x1234));
//! let starts = Counter::at(Path::new("pump/3/starts")?)?;
//! let alarms = Set::at(Path::new("pump/3/alarms")?);
//!
//! let started = starts.add(replica.document(), 1)?;
//! let raised = alarms.insert("dry-run")?;
//! replica.update(Moment::new(1_770_000_000_000), &[started.write(), raised.write()])?;
//!
//! assert_eq!(starts.value(replica.document())?, 1);
//! assert!(alarms.contains(replica.document(), "dry-run"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! A register is a scalar cell ([`Document::get`](crate::Document::get)), a map is the keys below a path
//! ([`Document::iter`](crate::Document::iter)): neither needs a type of its own.
//!
//! Plan, commit, plan again: a plan reckons with the document as it was read; [`Insertion::then`] continues a plan for a list.
//! Additions to a counter are made at the commit, so any number of them may stand in one transaction.

mod counter;
pub(crate) mod list;
mod path_buffer;
mod plan;
mod record;
mod set;

pub use counter::{Counter, CounterError};
pub(crate) use counter::{integer, is_total_of, own_counter_key, total_of};
#[cfg(feature = "alloc")]
pub use list::Rebalance;
pub use list::{Element, Insertion, List, ListError};
pub use path_buffer::PathBuffer;
pub use plan::Plan;
pub use record::{Record, RecordAccessError};
pub use set::{Member, Set};
