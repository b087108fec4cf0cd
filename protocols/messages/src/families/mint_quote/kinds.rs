//! Kinds of field that only this family has.

use super::error_code::QuoteErrorCode;
use crate::codec::error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
use crate::codec::kinds::{Bytes, Kind, Text, U8, U32, U64, shown_kind};
use crate::codec::reader::Reader;
use crate::codec::writer::Writer;
use crate::limits::KEYSET_KEYS_MAX;
use crate::text::header_hash_to_text;

/// Bytes of a compressed secp256k1 key.
const COMPRESSED_KEY_BYTES: usize = 33;

shown_kind!(
    /// `U256`, shown most significant byte first, as block hashes are written.
    HeaderHash, "U256", Bytes<32>, show_header_hash
);

fn show_header_hash(hash: [u8; 32]) -> String {
    header_hash_to_text(&hash)
}

/// Takes the byte that says how many bytes or elements follow, and refuses what is not `allowed`.
fn take_count(
    reader: &mut Reader<'_>,
    field: &'static str,
    is_allowed: impl FnOnce(usize) -> bool,
    allowed: &'static str,
) -> Result<usize, DecodeError> {
    let offset = reader.offset();
    let found = usize::from(U8::take(reader, field)?);
    if is_allowed(found) {
        Ok(found)
    } else {
        let kind = DecodeErrorKind::Length { found, allowed };
        Err(reader.error_at(field, offset, kind))
    }
}

/// `OPTION[STR0_255]`: 0, or 1 and the text.
pub struct OptionalText;

impl Kind for OptionalText {
    type Raw<'a> = Option<&'a str>;
    type Value = Option<String>;
    const NAME: &'static str = "OPTION[STR0_255]";
    const BYTES_MIN: usize = 1;
    const BYTES_MAX: usize = 1 + Text::BYTES_MAX;

    fn take<'a>(
        reader: &mut Reader<'a>,
        field: &'static str,
    ) -> Result<Option<&'a str>, DecodeError> {
        match take_count(reader, field, |count| count <= 1, "0 or 1")? {
            0 => Ok(None),
            _ => Text::take(reader, field).map(Some),
        }
    }

    fn own(raw: Option<&str>) -> Option<String> {
        raw.map(str::to_owned)
    }

    fn put(
        value: &Option<String>,
        writer: &mut Writer<'_>,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        writer.bytes(&[u8::from(value.is_some())]);
        value
            .as_ref()
            .map_or(Ok(()), |text| Text::put(text, writer, field))
    }

    fn show(raw: Option<&str>) -> String {
        raw.map_or_else(|| "none".to_owned(), Text::show)
    }
}

/// `B0_255` of exactly 33 bytes: a compressed key. Whether it is a point is the mint's question.
pub struct LockingKey;

impl Kind for LockingKey {
    type Raw<'a> = [u8; COMPRESSED_KEY_BYTES];
    type Value = [u8; COMPRESSED_KEY_BYTES];
    const NAME: &'static str = "B0_255";
    const BYTES_MIN: usize = 1 + COMPRESSED_KEY_BYTES;
    const BYTES_MAX: usize = 1 + COMPRESSED_KEY_BYTES;

    fn take<'a>(
        reader: &mut Reader<'a>,
        field: &'static str,
    ) -> Result<[u8; COMPRESSED_KEY_BYTES], DecodeError> {
        take_count(reader, field, |len| len == COMPRESSED_KEY_BYTES, "33")?;
        reader.array(field)
    }

    fn own(raw: [u8; COMPRESSED_KEY_BYTES]) -> [u8; COMPRESSED_KEY_BYTES] {
        raw
    }

    fn put(
        value: &[u8; COMPRESSED_KEY_BYTES],
        writer: &mut Writer<'_>,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        writer.prefixed(field, value)
    }

    fn show(raw: [u8; COMPRESSED_KEY_BYTES]) -> String {
        hex::encode(raw)
    }
}

/// `B0_255` of 8 bytes (version 1) or 33 (version 2): a keyset's id (NUT-02).
pub struct KeysetId;

impl KeysetId {
    const LENGTHS: &'static str = "8 or 33";

    fn has_length(len: usize) -> bool {
        matches!(len, 8 | 33)
    }
}

impl Kind for KeysetId {
    type Raw<'a> = &'a [u8];
    type Value = Vec<u8>;
    const NAME: &'static str = "B0_255";
    const BYTES_MIN: usize = 1 + 8;
    const BYTES_MAX: usize = 1 + 33;

    fn take<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let len = take_count(reader, field, Self::has_length, Self::LENGTHS)?;
        reader.bytes(field, len)
    }

    fn own(raw: &[u8]) -> Vec<u8> {
        raw.to_vec()
    }

    fn put(
        value: &Vec<u8>,
        writer: &mut Writer<'_>,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        if !Self::has_length(value.len()) {
            let kind = EncodeErrorKind::Length {
                found: value.len(),
                allowed: Self::LENGTHS,
            };
            return Err(writer.error(field, kind));
        }
        writer.prefixed(field, value)
    }

    fn show(raw: &[u8]) -> String {
        hex::encode(raw)
    }
}

/// `SEQ0_255[KEY]`, where KEY is an amount U64 and a compressed key: 1..=64 of them by rising
/// amount.
pub struct KeysetKeys;

impl KeysetKeys {
    const LENGTHS: &'static str = "1..=64";
    const KEY_BYTES: usize = 8 + COMPRESSED_KEY_BYTES;

    fn has_length(len: usize) -> bool {
        (1..=KEYSET_KEYS_MAX).contains(&len)
    }

    /// Takes one KEY off a reader.
    fn take_key(
        reader: &mut Reader<'_>,
        field: &'static str,
    ) -> Result<(u64, [u8; COMPRESSED_KEY_BYTES]), DecodeError> {
        Ok((U64::take(reader, field)?, reader.array(field)?))
    }
}

impl Kind for KeysetKeys {
    type Raw<'a> = &'a [u8];
    type Value = Vec<(u64, [u8; COMPRESSED_KEY_BYTES])>;
    const NAME: &'static str = "SEQ0_255[KEY]";
    const BYTES_MIN: usize = 1 + Self::KEY_BYTES;
    const BYTES_MAX: usize = 1 + KEYSET_KEYS_MAX * Self::KEY_BYTES;

    fn take<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<&'a [u8], DecodeError> {
        let count = take_count(reader, field, Self::has_length, Self::LENGTHS)?;
        let start = reader.offset();
        let keys = reader.bytes(field, count * Self::KEY_BYTES)?;

        let (keys_whole, _) = keys.as_chunks::<{ Self::KEY_BYTES }>();
        let mut amount_before = None;
        for (i, key) in keys_whole.iter().enumerate() {
            let amount = U64::take(&mut Reader::new("KEY", key, 0), field).ok();
            if i > 0 && amount <= amount_before {
                return Err(reader.error_at(
                    field,
                    start + i * Self::KEY_BYTES,
                    DecodeErrorKind::Order,
                ));
            }
            amount_before = amount;
        }
        Ok(keys)
    }

    fn own(raw: &[u8]) -> Self::Value {
        let mut reader = Reader::new("KEY", raw, 0);
        std::iter::from_fn(|| Self::take_key(&mut reader, "keys").ok()).collect()
    }

    fn put(
        value: &Self::Value,
        writer: &mut Writer<'_>,
        field: &'static str,
    ) -> Result<(), EncodeError> {
        let count = match u8::try_from(value.len()) {
            Ok(count) if Self::has_length(value.len()) => count,
            _ => {
                let kind = EncodeErrorKind::Length {
                    found: value.len(),
                    allowed: Self::LENGTHS,
                };
                return Err(writer.error(field, kind));
            }
        };
        if !value.is_sorted_by(|(before, _), (after, _)| before < after) {
            return Err(writer.error(field, EncodeErrorKind::Order));
        }
        writer.bytes(&[count]);
        for (amount, key) in value {
            writer.bytes(&amount.to_le_bytes());
            writer.bytes(key);
        }
        Ok(())
    }

    fn show(raw: &[u8]) -> String {
        let keys: Vec<String> = Self::own(raw)
            .iter()
            .map(|(amount, key)| format!("{amount}: {}", hex::encode(key)))
            .collect();
        format!("{{{}}}", keys.join(", "))
    }
}

/// Where a quote stands (NUT-04), or that nobody can tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum QuoteState {
    /// Nothing was paid for it.
    Unpaid = 0,
    /// It is paid, and ecash may be taken for it.
    Paid = 1,
    /// The ecash was taken.
    Issued = 2,
    /// The request was handed to a mint that tells no ids: there may be a quote, and the answer names none.
    Unknown = 3,
}

/// U8: a [`QuoteState`].
pub struct State;

impl Kind for State {
    type Raw<'a> = QuoteState;
    type Value = QuoteState;
    const NAME: &'static str = "U8";
    const BYTES_MIN: usize = 1;
    const BYTES_MAX: usize = 1;

    fn take<'a>(reader: &mut Reader<'a>, field: &'static str) -> Result<QuoteState, DecodeError> {
        let offset = reader.offset();
        match U8::take(reader, field)? {
            0 => Ok(QuoteState::Unpaid),
            1 => Ok(QuoteState::Paid),
            2 => Ok(QuoteState::Issued),
            3 => Ok(QuoteState::Unknown),
            other => Err(reader.error_at(
                field,
                offset,
                DecodeErrorKind::Value {
                    found: other.into(),
                    allowed: "0, 1, 2 or 3",
                },
            )),
        }
    }

    fn own(raw: QuoteState) -> QuoteState {
        raw
    }

    fn put(
        value: &QuoteState,
        writer: &mut Writer<'_>,
        _field: &'static str,
    ) -> Result<(), EncodeError> {
        writer.bytes(&[*value as u8]);
        Ok(())
    }

    fn show(raw: QuoteState) -> String {
        let name = match raw {
            QuoteState::Unpaid => "unpaid",
            QuoteState::Paid => "paid",
            QuoteState::Issued => "issued",
            QuoteState::Unknown => "unknown",
        };
        format!("{} ({name})", raw as u8)
    }
}

shown_kind!(
    /// U32, shown with the name of the [`QuoteErrorCode`]. Any number decodes: a code of a later
    /// version has a meaning too.
    ErrorCode, "U32", U32, show_error_code
);

fn show_error_code(number: u32) -> String {
    match QuoteErrorCode::from_u32(number) {
        Some(code) => format!("{number} ({code})"),
        None if QuoteErrorCode::is_final_number(number) => format!("{number} (unknown, final)"),
        None => format!("{number} (unknown, temporary)"),
    }
}
