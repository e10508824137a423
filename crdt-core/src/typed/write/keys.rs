//! Where a key of a map, a field or a variant is written.

use core::fmt::{self, Write as _};

use super::{Frame, Place, Writer};
use crate::cell::{Content, PathError};
use crate::document::Node;
use crate::limits::{PATH_DEPTH_MAX, PATH_LEN_MAX};
use crate::storage::Storage;
use crate::typed::children::{children, first_live};
use crate::typed::error::{WriteProblem, WriteStop};
use crate::typed::key::{escape, may_be_written_unescaped, may_stand_unescaped};
use crate::typed::reserved::{SOME_KEY, is_reserved, only_child};

impl<S: Storage> Writer<'_, S> {
    /// Goes to the only key below this place, as a variant of an enum is. If another one stands here, all that is here
    /// is cleared: a marker says which write chose, and ends what concurrent writers meant for the variant before.
    pub(in crate::typed) fn enter_only(&mut self, key: &str) -> Result<Place, WriteStop> {
        let place = self.place();
        // A list may have such a key, too.
        let chosen = self.node() == Some(Node::Map) && {
            let mut here = children(self.document, self.prefix());
            here.next().is_some_and(|child| child.key == key) && here.next().is_none()
        };
        if !chosen {
            self.clear(Content::Map)?;
        }
        self.push_raw(key)?;
        Ok(place)
    }

    /// Goes to what a variant of an enum holds.
    pub(in crate::typed) fn enter_variant(&mut self, variant: &str) -> Result<Place, WriteStop> {
        let mut key = heapless::String::<PATH_LEN_MAX>::new();
        let too_long = PathError::TooLong { len: variant.len() };
        escape(variant, &mut key).map_err(|_| WriteProblem::Path(too_long))?;
        self.enter_only(&key)
    }

    /// Goes to the place below `key` of a map: where it stands already, or else below its escaped form.
    pub(in crate::typed) fn entry_key(&mut self, key: &str) -> Result<(), WriteStop> {
        if !self.void && may_be_written_unescaped(key) && self.has_live_at(key) && !self.has_live_escaped(key)
        {
            return self.push_raw(key);
        }
        self.push_key(|out| escape(key, out))
    }

    /// Goes to the place of a field. What somebody has put at its other place would be the same field once more: it goes. (A
    /// map is exact, and deletes it with all that it does not have.)
    pub(in crate::typed) fn field_key(&mut self, frame: &mut Frame, key: &str) -> Result<(), WriteStop> {
        let has_two = !self.void
            && may_stand_unescaped(key)
            && self.has_live_at(key)
            && !self.has_reserved_at(key)
            && (!may_be_written_unescaped(key) || self.has_live_escaped(key));
        if has_two {
            let place = self.place();
            self.push_raw(key)?;
            frame.gone += self.live_cells_to_go();
            self.nothing_at_all()?;
            self.leave(place);
        }
        self.entry_key(key)
    }

    /// Goes to the place below a key that is as paths have it.
    pub(in crate::typed) fn push_raw(&mut self, key: &str) -> Result<(), WriteStop> {
        self.push_key(|out| out.write_str(key))
    }

    /// Whether something stands at that key below this place, or further below.
    fn has_live_at(&mut self, key: &str) -> bool {
        let place = self.place();
        let stands = self.push_raw(key).is_ok() && first_live(self.document, &self.path).is_some();
        self.leave(place);
        stands
    }

    fn has_live_escaped(&mut self, key: &str) -> bool {
        let place = self.place();
        let stands =
            self.push_key(|out| escape(key, out)).is_ok() && first_live(self.document, &self.path).is_some();
        self.leave(place);
        stands
    }

    /// Whether a reserved key here is used as it is reserved.
    pub(super) fn has_reserved_at(&mut self, key: &str) -> bool {
        let place = self.place();
        let is_one = self.push_raw(key).is_ok()
            && first_live(self.document, &self.path)
                .is_some_and(|cell| is_reserved(self.document, &cell.path[..self.path.len()]));
        self.leave(place);
        is_one
    }

    /// Whether a `Some` stands here that reads as null in JSON.
    pub(super) fn is_some_here(&self) -> bool {
        only_child(self.document, &self.path)
            .is_some_and(|child| child.key == SOME_KEY && is_reserved(self.document, child.path))
    }

    fn push_key(&mut self, key: impl FnOnce(&mut KeyWriter<'_>) -> fmt::Result) -> Result<(), WriteStop> {
        let before = self.path.len();
        let mut writer = KeyWriter { len: before, path: &mut self.path };
        let written = if before == 0 { Ok(()) } else { writer.write_char('/') };
        written.and_then(|()| key(&mut writer)).expect("a key writer takes everything");
        let len = writer.len;
        let problem = if len > PATH_LEN_MAX {
            PathError::TooLong { len }
        } else if self.keys == PATH_DEPTH_MAX {
            PathError::TooDeep { keys: self.keys + 1 }
        } else {
            self.keys += 1;
            return Ok(());
        };
        self.path.truncate(before);
        Err(WriteProblem::Path(problem).into())
    }
}

/// Appends to a path as much as fits, and counts what would be its length.
struct KeyWriter<'p> {
    path: &'p mut heapless::String<PATH_LEN_MAX>,
    len: usize,
}

impl fmt::Write for KeyWriter<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.len += text.len();
        if self.len <= PATH_LEN_MAX {
            self.path.push_str(text).map_err(|_| fmt::Error)?;
        }
        Ok(())
    }
}
