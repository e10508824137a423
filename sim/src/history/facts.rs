//! What the harness remembers of cells and of knowledge, apart from any replica.

use crdt_core::{Content, ReplicaId, Retired, Stamp, Time, Value};

/// The paths that histories write to: all shapes of nesting, few enough to collide.
pub(super) const PATHS: [&str; 7] = ["a", "a/x", "a/y", "a/x/1", "b", "b/z", "c"];

/// A path, as an index into [`PATHS`].
pub(super) type PathIndex = u8;

/// A cell's name, for ever: its path and stamp.
pub(super) type CellName = (PathIndex, Stamp);

pub(super) fn path_index(path: &str) -> PathIndex {
    PATHS.iter().position(|known| *known == path).expect("histories write to known paths only") as PathIndex
}

/// Whether `above` is a proper ancestor of `below`.
pub(super) fn is_above(above: PathIndex, below: PathIndex) -> bool {
    let (above, below) = (PATHS[usize::from(above)], PATHS[usize::from(below)]);
    below.len() > above.len() && below.starts_with(above) && below.as_bytes()[above.len()] == b'/'
}

/// What a cell holds. Every write of a run has its own number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    Container,
    Number(u64),
    Tombstone,
}

impl Held {
    pub(super) fn of(content: Content<'_>) -> Self {
        match content {
            Content::Tombstone => Held::Tombstone,
            Content::List | Content::Map => Held::Container,
            Content::Value(Value::I64(number)) => Held::Number(number as u64),
            Content::Value(Value::Bytes(bytes)) => {
                let head = bytes.first_chunk().expect("histories write 8 bytes or more");
                Held::Number(u64::from_le_bytes(*head))
            }
            Content::Value(_) => unreachable!("histories write integers and bytes only"),
        }
    }
}

/// A cell that a replica holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Fact {
    pub(super) path: PathIndex,
    pub(super) stamp: Stamp,
    pub(super) held: Held,
}

impl Fact {
    pub(super) fn name(&self) -> CellName {
        (self.path, self.stamp)
    }
}

/// A version vector, copied out of a replica of any storage.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Knowledge(Vec<(ReplicaId, Time)>);

impl Knowledge {
    pub(super) fn new(entries: impl Iterator<Item = (ReplicaId, Time)>) -> Self {
        Self(entries.collect())
    }

    /// Replicas listed.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn time_of(&self, replica: ReplicaId) -> Time {
        self.0.iter().find(|(id, _)| *id == replica).map_or(Time::ZERO, |(_, time)| *time)
    }

    pub(super) fn covers(&self, stamp: Stamp) -> bool {
        self.time_of(stamp.replica) >= stamp.time
    }

    pub(super) fn dominates(&self, other: &Self) -> bool {
        other.0.iter().all(|(id, time)| self.time_of(*id) >= *time)
    }

    /// With what it says of retired ids: that everything of them was incorporated.
    pub(super) fn with_retired(mut self, retired: &[Retired]) -> Self {
        let taken_over = self.time_of(NOBODY);
        for retired in retired.iter().filter(|retired| retired.at <= taken_over) {
            self.raise(retired.replica, retired.time);
        }
        self
    }

    pub(super) fn raise(&mut self, replica: ReplicaId, time: Time) {
        match self.0.iter_mut().find(|(id, _)| *id == replica) {
            Some((_, known)) => *known = time.max(*known),
            None => self.0.push((replica, time)),
        }
    }
}

/// The id whose time in a version vector is that of the last retirement.
const NOBODY: ReplicaId = ReplicaId::new(0);
