//! Where one direction of a session stands.

use crate::limits::DICTIONARY_PATH_LEN_MAX;

/// What reading needs to know of one direction of a session: how much is defined, and the last time sent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cursor {
    pub(crate) last_time: u64,
    /// Numbers defined in the table of replicas.
    pub(crate) replicas: usize,
    /// Most numbers.
    pub(crate) replicas_max: usize,
    /// Slots defined in the dictionary.
    pub(crate) paths: usize,
    /// Most slots.
    pub(crate) paths_max: usize,
    /// Whether literals define.
    pub(crate) defining: bool,
}

impl Cursor {
    pub(crate) fn define_replica(&mut self) {
        if self.defining && self.replicas < self.replicas_max {
            self.replicas += 1;
        }
    }

    pub(super) fn define_path(&mut self, len: usize) {
        if self.defining && len <= DICTIONARY_PATH_LEN_MAX && self.paths < self.paths_max {
            self.paths += 1;
        }
    }
}
