//! Why the firmware gave up.

use crdt_core::{CapacityError, NameError, RestoreError, UpdateError};
use device_io::FlashLogError;
use transport_serial::SendError;

/// None of these happens with the sizes that this program has.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The document did not fit into the flash.
    #[error(transparent)]
    Flash(#[from] FlashLogError),
    /// The line did not take a frame.
    #[error(transparent)]
    Frame(#[from] SendError),
    /// The document's name is too long.
    #[error(transparent)]
    Name(#[from] NameError),
    /// What the flash holds cannot be read.
    #[error(transparent)]
    Record(#[from] RestoreError),
    /// There is no capacity for another session.
    #[error(transparent)]
    Session(#[from] CapacityError),
    /// The document is full.
    #[error(transparent)]
    Update(#[from] UpdateError),
}

impl Failure {
    /// In a few words: what formats the numbers would be a tenth of the program.
    pub(crate) fn what(&self) -> &'static str {
        match self {
            Self::Flash(_) => "error: the document does not fit into the flash\n",
            Self::Frame(_) => "error: the line did not take a frame\n",
            Self::Name(_) => "error: the document's name is too long\n",
            Self::Record(_) => "error: the flash holds what this program cannot read\n",
            Self::Session(_) => "error: there is no capacity for another session\n",
            Self::Update(_) => "error: the document is full\n",
        }
    }
}
