//! What bytes say, field by field, for a person (`winze decode`).
//!
//! Nothing is verified here: a MAC or a signature is shown as it stands.

use std::fmt;

use winze_transport::{CHANNEL_BIT, Frame, HEADER_BYTES, Header};

use crate::codec::kinds::{ExtensionId, Kind, U32};
use crate::codec::reader::Reader;
use crate::families::common::EXT_COMMON;
use crate::table::{Row, extension_name, lookup};

/// A frame taken apart, up to its end or to what is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Description {
    /// Name of the message, where it is a known one.
    pub message: Option<&'static str>,
    /// The header's fields, then the payload's, in the order of the bytes.
    pub fields: Vec<DescribedField>,
    /// What ended the reading. The fields are those in front of it.
    pub error: Option<DescribedError>,
}

/// One field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedField {
    /// Place of its first byte in the frame; the header counts.
    pub offset: usize,
    /// How many bytes it takes.
    pub bytes: usize,
    /// As in the specification.
    pub name: &'static str,
    /// The Sv2 data type.
    pub kind: &'static str,
    /// The value; text is quoted, with control characters escaped.
    pub value: String,
}

/// What is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedError {
    /// Place of the first wrong byte in the frame; the header counts. At the frame's end where
    /// bytes are missing.
    pub offset: usize,
    /// What is wrong there.
    pub text: String,
}

/// Describes a frame.
pub fn describe(frame: &Frame) -> Description {
    describe_parts(
        frame.extension_type,
        frame.msg_type,
        frame.payload.len(),
        &frame.payload,
    )
}

/// Describes the bytes of one unencrypted frame. Where there are fewer or more than its header
/// announces, that is the error unless something in front of it is wrong.
pub fn describe_bytes(bytes: &[u8]) -> Description {
    let Some((header, payload)) = bytes.split_first_chunk::<HEADER_BYTES>() else {
        return Description {
            message: None,
            fields: Vec::new(),
            error: Some(DescribedError {
                offset: bytes.len(),
                text: format!("a header has {HEADER_BYTES} bytes"),
            }),
        };
    };
    let header = Header::parse(header);
    let announced_bytes = header.payload_bytes as usize;
    let announced = payload.get(..announced_bytes).unwrap_or(payload);
    let mut description = describe_parts(
        header.extension_type,
        header.msg_type,
        announced_bytes,
        announced,
    );
    if payload.len() != announced_bytes && description.error.is_none() {
        description.error = Some(DescribedError {
            offset: HEADER_BYTES + announced.len(),
            text: format!(
                "the header announces {announced_bytes} bytes of payload, {} are there",
                payload.len()
            ),
        });
    }
    description
}

fn describe_parts(
    extension_type: u16,
    msg_type: u8,
    announced_bytes: usize,
    payload: &[u8],
) -> Description {
    let row = lookup(extension_type & !CHANNEL_BIT, msg_type);
    let mut description = Description {
        message: row.map(|row| row.name),
        fields: header_fields(extension_type, msg_type, announced_bytes, row),
        error: None,
    };
    match row {
        Some(row) => description.add_payload(row, extension_type, payload),
        None => description.add_unknown(extension_type, payload),
    }
    description
}

fn header_fields(
    extension_type: u16,
    msg_type: u8,
    announced_bytes: usize,
    row: Option<&Row>,
) -> Vec<DescribedField> {
    let extension = extension_type & !CHANNEL_BIT;
    let family = extension_name(extension).unwrap_or("not one of ours");
    let channel = if extension_type & CHANNEL_BIT == 0 {
        ""
    } else {
        ", channel bit"
    };
    let message = row.map_or("unknown", |row| row.name);
    let field = |offset, bytes, name, kind, value| DescribedField {
        offset,
        bytes,
        name,
        kind,
        value,
    };
    vec![
        field(
            0,
            2,
            "extension_type",
            "U16",
            format!("{} ({family}{channel})", ExtensionId::show(extension_type)),
        ),
        field(
            2,
            1,
            "msg_type",
            "U8",
            format!("{msg_type:#04x} ({message})"),
        ),
        field(3, 3, "msg_length", "U24", announced_bytes.to_string()),
    ]
}

impl Description {
    fn add_payload(&mut self, row: &'static Row, extension_type: u16, payload: &[u8]) {
        if row.framing.channel_bit() != (extension_type & CHANNEL_BIT != 0) {
            let text = if row.framing.channel_bit() {
                format!("{} has the channel bit, and it is not set", row.name)
            } else {
                format!("{} has no channel bit, and it is set", row.name)
            };
            // Bit 15 of a little-endian U16 is in its second byte.
            self.error = Some(DescribedError { offset: 1, text });
            return;
        }
        let mut reader = Reader::new(row.name, payload, 0);
        for field in row.all_fields() {
            let offset = reader.offset();
            match (field.show)(&mut reader, field.name) {
                Ok(value) => self.fields.push(DescribedField {
                    offset: HEADER_BYTES + offset,
                    bytes: reader.offset() - offset,
                    name: field.name,
                    kind: field.kind,
                    value,
                }),
                Err(error) => {
                    self.error = Some(DescribedError {
                        offset: HEADER_BYTES + error.offset,
                        text: format!("{}.{}: {}", error.message, error.field, error.kind),
                    });
                    return;
                }
            }
        }
        let offset = reader.offset();
        if let Err(error) = reader.finish() {
            self.error = Some(DescribedError {
                offset: HEADER_BYTES + offset,
                text: format!("{}: {}", row.name, error.kind),
            });
        }
    }

    /// The payload of a message that is not in the table. Within our own families that is an
    /// error; core messages of Stratum V2 and messages of other extensions are other people's.
    fn add_unknown(&mut self, extension_type: u16, payload: &[u8]) {
        let extension = extension_type & !CHANNEL_BIT;
        if extension != EXT_COMMON && crate::table::knows_extension(extension) {
            self.error = Some(DescribedError {
                offset: 2,
                text: "the family has no such message".to_owned(),
            });
            return;
        }
        let mut reader = Reader::new("unknown", payload, 0);
        if extension_type & CHANNEL_BIT != 0 {
            match U32::take(&mut reader, "channel_id") {
                Ok(channel_id) => self.fields.push(DescribedField {
                    offset: HEADER_BYTES,
                    bytes: U32::BYTES_MAX,
                    name: "channel_id",
                    kind: U32::NAME,
                    value: U32::show(channel_id),
                }),
                Err(error) => {
                    self.error = Some(DescribedError {
                        offset: HEADER_BYTES + error.offset,
                        text: format!("channel_id: {}", error.kind),
                    });
                    return;
                }
            }
        }
        if !reader.rest().is_empty() {
            self.fields.push(DescribedField {
                offset: HEADER_BYTES + reader.offset(),
                bytes: reader.rest().len(),
                name: "(payload)",
                kind: "BYTES",
                value: hex::encode(reader.rest()),
            });
        }
    }
}

/// One line for each field: place, length, name, type, value; then the error, if any.
impl fmt::Display for Description {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for field in &self.fields {
            writeln!(
                f,
                "{:>5} {:>5}  {:<22} {:<17} {}",
                field.offset, field.bytes, field.name, field.kind, field.value
            )?;
        }
        match &self.error {
            Some(error) => writeln!(f, "{:>5}  error: {}", error.offset, error.text),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::families::hub::{OpenChannel, Ping};
    use crate::families::mint_quote::MintQuoteError;

    fn open_channel() -> Frame {
        OpenChannel {
            request_id: 7,
            extension: 0x4802,
            peer: "mint/main".to_owned(),
            label: "a\u{1b}[31m".to_owned(),
            credit_messages: 256,
            credit_bytes: 262_144,
        }
        .to_frame()
        .unwrap()
    }

    #[test]
    fn an_operator_sees_every_field_and_no_control_characters_of_the_peer() {
        let shown = describe(&open_channel());
        assert_eq!(shown.error, None);
        let text = shown.to_string();
        assert!(text.contains("0x4801 (hub)"), "{text}");
        assert!(text.contains("\"mint/main\""), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");

        // The fields cover the frame without a gap.
        let mut end = 0;
        for field in &shown.fields {
            assert_eq!(field.offset, end, "{}", field.name);
            end += field.bytes;
        }
        assert_eq!(end, open_channel().to_bytes().len());
    }

    #[test]
    fn a_damaged_frame_is_shown_up_to_the_damage() {
        let mut bytes = open_channel().to_bytes();
        bytes[6 + 4 + 2 + 1 + 3] = 0xff;
        let shown = describe_bytes(&bytes);
        let error = shown.error.unwrap();
        assert_eq!(error.offset, 16);
        assert!(error.text.contains("OpenChannel.peer"), "{}", error.text);
        assert_eq!(shown.fields.last().unwrap().name, "extension");
    }

    #[test]
    fn a_frame_that_is_cut_off_or_goes_on_says_where_its_end_should_be() {
        let mut bytes = Ping { nonce: 1 }.to_frame().unwrap().to_bytes();
        bytes.push(0);
        assert_eq!(describe_bytes(&bytes).error.unwrap().offset, 14);
        assert_eq!(describe_bytes(&bytes[..13]).error.unwrap().offset, 6);
        assert_eq!(describe_bytes(&bytes[..5]).error.unwrap().offset, 5);
    }

    #[test]
    fn the_authenticator_of_a_sealed_message_is_shown_with_it() {
        let mut body = Vec::new();
        MintQuoteError {
            header_hash: [1; 32],
            error_code: 1,
            error_message: "used for another amount".to_owned(),
            retry_after_ms: 0,
        }
        .encode_body(&mut body)
        .unwrap();
        body.extend_from_slice(&[0xaa; 48]);
        let frame = crate::channel_frame(0x4802, MintQuoteError::MSG_TYPE, 3, &body);
        let shown = describe(&frame);
        assert_eq!(shown.error, None);
        let names: Vec<_> = shown.fields.iter().map(|field| field.name).collect();
        assert_eq!(names[3], "channel_id");
        assert_eq!(names[names.len() - 3..], ["key_id", "sequence", "mac"]);
        assert!(shown.to_string().contains("1 (conflict)"), "{shown}");
    }

    #[test]
    fn a_vendors_message_shows_its_channel_and_its_bytes() {
        let frame = crate::channel_frame(0x4a00, 1, 9, &[0xab, 0xcd]);
        let shown = describe(&frame);
        assert_eq!((shown.message, shown.error), (None, None));
        assert_eq!(shown.fields[3].value, "9");
        assert_eq!(shown.fields[4].value, "abcd");
    }

    #[test]
    fn an_unknown_message_and_a_wrong_channel_bit_point_into_the_header() {
        let mut frame = open_channel();
        frame.extension_type |= CHANNEL_BIT;
        assert_eq!(describe(&frame).error.unwrap().offset, 1);
        frame.extension_type &= !CHANNEL_BIT;
        frame.msg_type = 0x77;
        assert_eq!(describe(&frame).error.unwrap().offset, 2);
    }
}
