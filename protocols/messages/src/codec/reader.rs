//! Taking fields off a payload.

use super::error::{DecodeError, DecodeErrorKind};

/// A cursor over one payload, or over a part of it. Copies nothing.
#[derive(Clone, Debug)]
pub struct Reader<'a> {
    message: &'static str,
    rest: &'a [u8],
    offset: usize,
}

impl<'a> Reader<'a> {
    /// Reads `bytes`, the first of which is byte `offset` of the payload of `message`.
    pub fn new(message: &'static str, bytes: &'a [u8], offset: usize) -> Reader<'a> {
        Reader {
            message,
            rest: bytes,
            offset,
        }
    }

    /// The next byte's place in the payload.
    pub fn offset(&self) -> usize {
        self.offset
    }

    /// Bytes not yet read.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// The next `len` bytes. Fails with [`DecodeErrorKind::CutOff`] and takes none.
    pub fn bytes(&mut self, field: &'static str, len: usize) -> Result<&'a [u8], DecodeError> {
        let Some((taken, rest)) = self.rest.split_at_checked(len) else {
            return Err(self.cut_off(field, len));
        };
        self.rest = rest;
        self.offset += len;
        Ok(taken)
    }

    /// The next `N` bytes, copied. Fails with [`DecodeErrorKind::CutOff`] and takes none.
    pub fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], DecodeError> {
        let Some((taken, rest)) = self.rest.split_first_chunk::<N>() else {
            return Err(self.cut_off(field, N));
        };
        self.rest = rest;
        self.offset += N;
        Ok(*taken)
    }

    /// Ends the reading. Fails with [`DecodeErrorKind::TrailingBytes`].
    pub fn finish(self) -> Result<(), DecodeError> {
        if self.rest.is_empty() {
            return Ok(());
        }
        Err(self.error_at(
            DecodeError::END,
            self.offset,
            DecodeErrorKind::TrailingBytes {
                extra_bytes: self.rest.len(),
            },
        ))
    }

    /// An error of this message at byte `offset` of the payload.
    pub fn error_at(
        &self,
        field: &'static str,
        offset: usize,
        kind: DecodeErrorKind,
    ) -> DecodeError {
        DecodeError {
            message: self.message,
            field,
            offset,
            kind,
        }
    }

    fn cut_off(&self, field: &'static str, needed_bytes: usize) -> DecodeError {
        self.error_at(
            field,
            self.offset,
            DecodeErrorKind::CutOff {
                needed_bytes,
                present_bytes: self.rest.len(),
            },
        )
    }
}
