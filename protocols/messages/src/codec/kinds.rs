//! The kinds of field that more than one family uses. Kinds of one family stand with it.

use winze_transport::PublicKey;

use super::error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
use super::reader::Reader;
use super::writer::Writer;
use crate::limits::{EXTENSIONS_MAX, NAME_BYTES_MAX, TEXT_BYTES_MAX};

/// How one kind of field stands on the wire. [`take`](Self::take) does all the checking and no
/// copying; everything that reads goes through it.
pub trait Kind {
    /// The field inside the payload it was read from.
    type Raw<'a>;
    /// The field in a message of its own.
    type Value;
    /// The Sv2 data type (specification 3.1 there).
    const NAME: &'static str;
    /// The shortest encoding in bytes.
    const BYTES_MIN: usize;
    /// The longest encoding in bytes.
    const BYTES_MAX: usize;

    /// Takes the field off the reader, or says what is wrong with it.
    fn take<'a>(reader: &mut Reader<'a>, field: &'static str)
    -> Result<Self::Raw<'a>, DecodeError>;
    /// Copies it out of the payload. What it takes is bounded by the bytes that were there.
    fn own(raw: Self::Raw<'_>) -> Self::Value;
    /// Appends it; refuses what [`take`](Self::take) would.
    fn put(
        value: &Self::Value,
        writer: &mut Writer<'_>,
        field: &'static str,
    ) -> Result<(), EncodeError>;
    /// The value for a person. Control characters of a peer do not come through.
    fn show(raw: Self::Raw<'_>) -> String;
}

macro_rules! number_kind {
    ($(#[$meta:meta])* $kind:ident, $number:ty) => {
        $(#[$meta])*
        pub struct $kind;

        impl Kind for $kind {
            type Raw<'a> = $number;
            type Value = $number;
            const NAME: &'static str = stringify!($kind);
            const BYTES_MIN: usize = size_of::<$number>();
            const BYTES_MAX: usize = size_of::<$number>();

            fn take<'a>(
                reader: &mut Reader<'a>,
                field: &'static str,
            ) -> Result<$number, DecodeError> {
                reader.array(field).map(<$number>::from_le_bytes)
            }

            fn own(raw: $number) -> $number {
                raw
            }

            fn put(
                value: &$number,
                writer: &mut Writer<'_>,
                _field: &'static str,
            ) -> Result<(), EncodeError> {
                writer.bytes(&value.to_le_bytes());
                Ok(())
            }

            fn show(raw: $number) -> String {
                raw.to_string()
            }
        }
    };
}

number_kind!(
    /// A number of one byte.
    U8, u8
);
number_kind!(
    /// A number of two bytes, little-endian.
    U16, u16
);
number_kind!(
    /// A number of four bytes, little-endian.
    U32, u32
);
number_kind!(
    /// A number of eight bytes, little-endian.
    U64, u64
);

/// A kind that is another one on the wire, with a type name and a way to be shown of its own.
macro_rules! shown_kind {
    ($(#[$meta:meta])* $kind:ident, $name:literal, $wire:ty, $show:expr) => {
        $(#[$meta])*
        pub struct $kind;

        impl $crate::codec::kinds::Kind for $kind {
            type Raw<'a> = <$wire as $crate::codec::kinds::Kind>::Raw<'a>;
            type Value = <$wire as $crate::codec::kinds::Kind>::Value;
            const NAME: &'static str = $name;
            const BYTES_MIN: usize = <$wire as $crate::codec::kinds::Kind>::BYTES_MIN;
            const BYTES_MAX: usize = <$wire as $crate::codec::kinds::Kind>::BYTES_MAX;

            fn take<'a>(
                reader: &mut $crate::codec::reader::Reader<'a>,
                field: &'static str,
            ) -> Result<Self::Raw<'a>, $crate::codec::error::DecodeError> {
                <$wire>::take(reader, field)
            }

            fn own(raw: Self::Raw<'_>) -> Self::Value {
                <$wire>::own(raw)
            }

            fn put(
                value: &Self::Value,
                writer: &mut $crate::codec::writer::Writer<'_>,
                field: &'static str,
            ) -> Result<(), $crate::codec::error::EncodeError> {
                <$wire>::put(value, writer, field)
            }

            fn show(raw: Self::Raw<'_>) -> String {
                $show(raw)
            }
        }
    };
}
pub(crate) use shown_kind;

shown_kind!(
    /// An extension's id: a U16 shown in hexadecimal.
    ExtensionId, "U16", U16, show_hexadecimal
);

fn show_hexadecimal(id: u16) -> String {
    format!("{id:#06x}")
}

/// A U8 that is 0 or 1. Sv2's BOOL lets a sender set the other bits; this does not, so that a
/// message has one encoding.
pub struct Flag;

impl Kind for Flag {
    type Raw<'a> = bool;
    type Value = bool;
    const NAME: &'static str = "U8";
    const BYTES_MIN: usize = 1;
    const BYTES_MAX: usize = 1;

    fn take<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<bool, DecodeError> {
        let offset = reader.offset();
        match U8::take(reader, field)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(reader.error_at(
                field,
                offset,
                DecodeErrorKind::Value {
                    found: other.into(),
                    allowed: "0 or 1",
                },
            )),
        }
    }

    fn own(raw: bool) -> bool {
        raw
    }

    fn put(value: &bool, writer: &mut Writer<'_>, _field: &'static str) -> Result<(), EncodeError> {
        writer.bytes(&[u8::from(*value)]);
        Ok(())
    }

    fn show(raw: bool) -> String {
        u8::from(raw).to_string()
    }
}

/// `STR0_255`: a length byte and UTF-8.
pub struct Text;

impl Kind for Text {
    type Raw<'a> = &'a str;
    type Value = String;
    const NAME: &'static str = "STR0_255";
    const BYTES_MIN: usize = 1;
    const BYTES_MAX: usize = 1 + TEXT_BYTES_MAX;

    fn take<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a str, DecodeError> {
        let len = U8::take(reader, field)?;
        let offset = reader.offset();
        let bytes = reader.bytes(field, len.into())?;
        std::str::from_utf8(bytes).map_err(|error| {
            reader.error_at(
                field,
                offset + error.valid_up_to(),
                DecodeErrorKind::NotUtf8,
            )
        })
    }

    fn own(raw: &str) -> String {
        raw.to_owned()
    }

    fn put(
        value: &String,
        writer: &mut Writer<'_>,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        writer.prefixed(field, value.as_bytes())
    }

    fn show(raw: &str) -> String {
        format!("{raw:?}")
    }
}

/// A role or a name: `STR0_255` of 1 to 32 characters out of `a-z`, `0-9` and `-`.
pub struct Name;

impl Name {
    const LENGTHS: &'static str = "1..=32";
    const CHARACTERS: &'static str = "a-z, 0-9 and -";

    /// The place of the first character that a name must not have.
    pub fn bad_character(text: &str) -> Option<usize> {
        text.bytes()
            .position(|byte| !matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-'))
    }
}

impl Kind for Name {
    type Raw<'a> = &'a str;
    type Value = String;
    const NAME: &'static str = "STR0_255";
    const BYTES_MIN: usize = 2;
    const BYTES_MAX: usize = 1 + NAME_BYTES_MAX;

    fn take<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a str, DecodeError> {
        let offset = reader.offset();
        let text = Text::take(reader, field)?;
        if text.is_empty() || text.len() > NAME_BYTES_MAX {
            let kind = DecodeErrorKind::Length {
                found: text.len(),
                allowed: Self::LENGTHS,
            };
            return Err(reader.error_at(field, offset, kind));
        }
        if let Some(place) = Self::bad_character(text) {
            let kind = DecodeErrorKind::Character {
                allowed: Self::CHARACTERS,
            };
            return Err(reader.error_at(field, offset + 1 + place, kind));
        }
        Ok(text)
    }

    fn own(raw: &str) -> String {
        raw.to_owned()
    }

    fn put(
        value: &String,
        writer: &mut Writer<'_>,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        if value.is_empty() || value.len() > NAME_BYTES_MAX {
            let kind = EncodeErrorKind::Length {
                found: value.len(),
                allowed: Self::LENGTHS,
            };
            return Err(writer.error(field, kind));
        }
        if Self::bad_character(value).is_some() {
            let kind = EncodeErrorKind::Character {
                allowed: Self::CHARACTERS,
            };
            return Err(writer.error(field, kind));
        }
        Text::put(value, writer, field)
    }

    fn show(raw: &str) -> String {
        Text::show(raw)
    }
}

/// `BYTES` of a fixed length, without a prefix.
pub struct Bytes<const N: usize>;

impl<const N: usize> Kind for Bytes<N> {
    type Raw<'a> = [u8; N];
    type Value = [u8; N];
    const NAME: &'static str = "BYTES";
    const BYTES_MIN: usize = N;
    const BYTES_MAX: usize = N;

    fn take<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<[u8; N], DecodeError> {
        reader.array(field)
    }

    fn own(raw: [u8; N]) -> [u8; N] {
        raw
    }

    fn put(
        value: &[u8; N],
        writer: &mut Writer<'_>,
        _field: &'static str,
    ) -> Result<(), EncodeError> {
        writer.bytes(value);
        Ok(())
    }

    fn show(raw: [u8; N]) -> String {
        hex::encode(raw)
    }
}

shown_kind!(
    /// `PUBKEY`: the x coordinate of a key. Whether it is one is the receiver's question: the bytes
    /// decode either way.
    PubKey, "PUBKEY", Bytes<32>, show_key
);

fn show_key(key: [u8; 32]) -> String {
    match PublicKey::from_bytes(key) {
        Ok(key) => key.to_string(),
        Err(_) => format!("{} (not on the curve)", hex::encode(key)),
    }
}

shown_kind!(
    /// `SIGNATURE`: 64 bytes of BIP 340.
    Signature, "SIGNATURE", Bytes<64>, hex::encode
);

/// `SEQ0_64K[U16]`, at most [`EXTENSIONS_MAX`] of them: ids of extensions.
pub struct ExtensionIds;

impl ExtensionIds {
    const LENGTHS: &'static str = "0..=512";
}

impl Kind for ExtensionIds {
    type Raw<'a> = &'a [u8];
    type Value = Vec<u16>;
    const NAME: &'static str = "SEQ0_64K[U16]";
    const BYTES_MIN: usize = 2;
    const BYTES_MAX: usize = 2 + 2 * EXTENSIONS_MAX;

    fn take<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let offset = reader.offset();
        let count = usize::from(U16::take(reader, field)?);
        if count > EXTENSIONS_MAX {
            let kind = DecodeErrorKind::Length {
                found: count,
                allowed: Self::LENGTHS,
            };
            return Err(reader.error_at(field, offset, kind));
        }
        reader.bytes(field, 2 * count)
    }

    fn own(raw: &[u8]) -> Vec<u16> {
        let (ids, _) = raw.as_chunks::<2>();
        ids.iter().map(|id| u16::from_le_bytes(*id)).collect()
    }

    fn put(
        value: &Vec<u16>,
        writer: &mut Writer<'_>,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        let count = match u16::try_from(value.len()) {
            Ok(count) if value.len() <= EXTENSIONS_MAX => count,
            _ => {
                let kind = EncodeErrorKind::Length {
                    found: value.len(),
                    allowed: Self::LENGTHS,
                };
                return Err(writer.error(field, kind));
            }
        };
        writer.bytes(&count.to_le_bytes());
        for id in value {
            writer.bytes(&id.to_le_bytes());
        }
        Ok(())
    }

    fn show(raw: &[u8]) -> String {
        let ids: Vec<String> = Self::own(raw).into_iter().map(ExtensionId::show).collect();
        format!("[{}]", ids.join(", "))
    }
}
