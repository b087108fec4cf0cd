//! What is wrong with a message, and where.

use thiserror::Error;

/// Bytes from a peer that are not the message they claim to be. The sender is at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{message}.{field} at byte {offset}: {kind}")]
pub struct DecodeError {
    /// Wire name of the message, as in the table.
    pub message: &'static str,
    /// Name of the field, as in the specification; [`END`](Self::END) after the last one.
    pub field: &'static str,
    /// Which byte of the payload, counted from 0 (the channel id counts, where there is one): the
    /// first byte of what is wrong.
    pub offset: usize,
    /// What is wrong there.
    pub kind: DecodeErrorKind,
}

impl DecodeError {
    /// Stands for the field's name where all fields were read and bytes are left.
    pub const END: &'static str = "(end)";
}

/// What can be wrong at a byte. [`Self::code`] is stable; the text is for a person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeErrorKind {
    /// The payload ends inside the field.
    #[error("{needed_bytes} bytes needed, {present_bytes} left")]
    CutOff {
        /// Bytes that the field, or this part of it, takes.
        needed_bytes: usize,
        /// Bytes that were left.
        present_bytes: usize,
    },
    /// The message is complete, and the payload goes on.
    #[error("{extra_bytes} bytes left over")]
    TrailingBytes {
        /// How many.
        extra_bytes: usize,
    },
    /// Text that is not UTF-8; the offset is that of the first bad byte.
    #[error("not UTF-8")]
    NotUtf8,
    /// A length or a count that this field does not have.
    #[error("length {found}, expected {allowed}")]
    Length {
        /// The length that is announced.
        found: usize,
        /// The lengths there are.
        allowed: &'static str,
    },
    /// A number without a meaning in this field.
    #[error("value {found}, expected {allowed}")]
    Value {
        /// The number.
        found: u64,
        /// The values there are.
        allowed: &'static str,
    },
    /// A character that this text must not have; the offset is that of the character.
    #[error("character outside {allowed}")]
    Character {
        /// The characters there are.
        allowed: &'static str,
    },
    /// An entry that does not come after the one before it.
    #[error("entries are not in rising order")]
    Order,
}

impl DecodeErrorKind {
    /// A short name that stays the same: for metrics, and for the vectors in `test-vectors/`.
    pub fn code(self) -> &'static str {
        match self {
            DecodeErrorKind::CutOff { .. } => "cut-off",
            DecodeErrorKind::TrailingBytes { .. } => "trailing-bytes",
            DecodeErrorKind::NotUtf8 => "not-utf8",
            DecodeErrorKind::Length { .. } => "length",
            DecodeErrorKind::Value { .. } => "value",
            DecodeErrorKind::Character { .. } => "character",
            DecodeErrorKind::Order => "order",
        }
    }
}

/// A frame that is no message of the family it was decoded for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// The family has no message with this type and channel bit.
    #[error("no message {msg_type:#04x} with extension type {extension_type:#06x} here")]
    Unknown {
        /// As on the wire, with the channel bit.
        extension_type: u16,
        /// As on the wire.
        msg_type: u8,
    },
    /// The message is known; its payload does not decode.
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

/// A message of our own that has no encoding: whoever built it is at fault. Nothing was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{message}.{field} cannot be sent: {kind}")]
pub struct EncodeError {
    /// Wire name of the message.
    pub message: &'static str,
    /// Name of the field.
    pub field: &'static str,
    /// What is wrong with its value.
    pub kind: EncodeErrorKind,
}

/// Why a value has no encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeErrorKind {
    /// Too long, too short, or of a length between that the field does not have.
    #[error("length {found}, expected {allowed}")]
    Length {
        /// The value's length, in bytes or entries.
        found: usize,
        /// The lengths there are.
        allowed: &'static str,
    },
    /// A character that this text must not have.
    #[error("character outside {allowed}")]
    Character {
        /// The characters there are.
        allowed: &'static str,
    },
    /// Entries that are not in rising order.
    #[error("entries are not in rising order")]
    Order,
}
