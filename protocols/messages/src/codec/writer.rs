//! Putting fields behind one another.

use super::error::{EncodeError, EncodeErrorKind};

/// Appends the fields of one message. Whoever sees an error drops what was written.
#[derive(Debug)]
pub struct Writer<'a> {
    message: &'static str,
    out: &'a mut Vec<u8>,
}

impl<'a> Writer<'a> {
    /// Appends to `out` on behalf of `message`.
    pub fn new(message: &'static str, out: &'a mut Vec<u8>) -> Writer<'a> {
        Writer { message, out }
    }

    /// Appends bytes as they are.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Appends a length byte and the bytes. Fails with [`EncodeErrorKind::Length`] over 255.
    pub fn prefixed(&mut self, field: &'static str, bytes: &[u8]) -> Result<(), EncodeError> {
        let Ok(len) = u8::try_from(bytes.len()) else {
            return Err(self.error(
                field,
                EncodeErrorKind::Length {
                    found: bytes.len(),
                    allowed: "0..=255",
                },
            ));
        };
        self.out.push(len);
        self.out.extend_from_slice(bytes);
        Ok(())
    }

    /// An error of this message.
    pub fn error(&self, field: &'static str, kind: EncodeErrorKind) -> EncodeError {
        EncodeError {
            message: self.message,
            field,
            kind,
        }
    }
}
