//! Which store a process serves: what a client asks before it says anything else.
//!
//! A socket's name says only where somebody listens. Its store may have been moved or replaced since, and then a request
//! would act on another one than the one that was named.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// A program and the file of its store. Two are the same if they are about the same file, whatever its name.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Owner {
    pub(crate) program: String,
    /// Its path, as text.
    pub(crate) store: String,
    device: u64,
    inode: u64,
}

/// The request that every server with a store answers itself.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "verb", rename_all = "snake_case")]
pub(crate) enum OwnerRequest {
    Owner,
}

impl Owner {
    /// A program with the file that is at this path now.
    pub(crate) fn of(program: &str, store: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(store)?;
        let (program, store) = (program.to_owned(), store.display().to_string());
        Ok(Self { program, store, device: metadata.dev(), inode: metadata.ino() })
    }

    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (&self.program, self.device, self.inode) == (&other.program, other.device, other.inode)
    }
}
