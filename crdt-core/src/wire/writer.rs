//! Writing into a buffer of the caller's.

use crate::varint;

/// The buffer is full. What was begun is taken back with [`Writer::truncate`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Appends to a slice.
pub(crate) struct Writer<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    pub(crate) fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, len: 0 }
    }

    pub(crate) fn bytes(&mut self, bytes: &[u8]) -> Result<(), Full> {
        let capacity = self.buffer.get_mut(self.len..self.len + bytes.len()).ok_or(Full)?;
        capacity.copy_from_slice(bytes);
        self.len += bytes.len();
        Ok(())
    }

    pub(crate) fn byte(&mut self, byte: u8) -> Result<(), Full> {
        self.bytes(&[byte])
    }

    pub(crate) fn varint(&mut self, value: u64) -> Result<(), Full> {
        let mut scratch = [0; varint::LEN_MAX];
        let len = varint::encode(value, &mut scratch);
        self.bytes(&scratch[..len])
    }

    pub(crate) fn signed(&mut self, value: i64) -> Result<(), Full> {
        self.varint(varint::zigzag(value))
    }

    /// Changes a byte that was written before.
    pub(crate) fn patch(&mut self, at: usize, change: impl FnOnce(&mut u8)) {
        change(&mut self.buffer[..self.len][at]);
    }

    pub(crate) fn truncate(&mut self, len: usize) {
        self.len = self.len.min(len);
    }

    pub(crate) fn len(&self) -> usize {
        self.len
    }

    pub(crate) fn remaining(&self) -> usize {
        self.buffer.len() - self.len
    }
}
