//! What the store takes. All lengths in bytes.

use crate::error::StoreError;

/// The longest document name, setting name and path, bytes.
pub const NAME_LEN_MAX: usize = 1024;

/// The longest record, metadata and setting, bytes.
pub const RECORD_LEN_MAX: usize = 64 << 20;

/// Keys carry their length as 32 bits in the checksum.
const _: () = assert!(NAME_LEN_MAX + 16 < u32::MAX as usize);

pub(crate) fn check_len(what: &'static str, len: usize, max: usize) -> Result<(), StoreError> {
    if len > max { Err(StoreError::TooLong { what, len, max }) } else { Ok(()) }
}
