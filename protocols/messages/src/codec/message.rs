//! What a message is: an id and a list of fields.

use super::error::{DecodeError, EncodeError};
use super::kinds::{Kind, U32};
use super::reader::Reader;
use super::writer::Writer;

/// Bytes of the channel id in front of a channel message's body.
pub const CHANNEL_ID_BYTES: usize = 4;

/// Bytes of the authenticator behind a sealed message's body (section 4).
pub const AUTHENTICATOR_BYTES: usize = 48;

/// What stands around the fields of a message in its payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Nothing: the message is between two ends of a connection, without the channel bit.
    Connection,
    /// The channel bit is set, and the channel id stands in front.
    Channel,
    /// As [`Channel`](Self::Channel), and the end-to-end authenticator stands behind.
    SealedChannel,
}

impl Framing {
    /// Whether bit 15 of the frame's extension type is set.
    pub const fn channel_bit(self) -> bool {
        !matches!(self, Framing::Connection)
    }

    /// Bytes in front of the fields.
    pub const fn bytes_before(self) -> usize {
        match self {
            Framing::Connection => 0,
            Framing::Channel | Framing::SealedChannel => CHANNEL_ID_BYTES,
        }
    }

    /// Bytes behind the fields.
    pub const fn bytes_after(self) -> usize {
        match self {
            Framing::Connection | Framing::Channel => 0,
            Framing::SealedChannel => AUTHENTICATOR_BYTES,
        }
    }
}

/// A field of a message, for whoever walks over bytes without making the message.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// As in the specification.
    pub name: &'static str,
    /// The Sv2 data type.
    pub kind: &'static str,
    /// The shortest encoding in bytes.
    pub bytes_min: usize,
    /// The longest encoding in bytes.
    pub bytes_max: usize,
    pub(crate) check: fn(&mut Reader<'_>, &'static str) -> Result<(), DecodeError>,
    pub(crate) show: fn(&mut Reader<'_>, &'static str) -> Result<String, DecodeError>,
}

impl Field {
    /// The field `name` of kind `K`.
    pub const fn of<K: Kind>(name: &'static str) -> Field {
        Field {
            name,
            kind: K::NAME,
            bytes_min: K::BYTES_MIN,
            bytes_max: K::BYTES_MAX,
            check: |reader, field| K::take(reader, field).map(drop),
            show: |reader, field| K::take(reader, field).map(K::show),
        }
    }

    /// The shortest encoding of all `fields` together, in bytes.
    pub const fn sum_bytes_min(fields: &[Field]) -> usize {
        let mut sum = 0;
        let mut i = 0;
        while i < fields.len() {
            sum += fields[i].bytes_min;
            i += 1;
        }
        sum
    }

    /// The longest encoding of all `fields` together, in bytes.
    pub const fn sum_bytes_max(fields: &[Field]) -> usize {
        let mut sum = 0;
        let mut i = 0;
        while i < fields.len() {
            sum += fields[i].bytes_max;
            i += 1;
        }
        sum
    }
}

/// What every message type says about itself. Its methods for use are its own:
/// `encode_payload` or `encode_body`, and so on.
pub trait Message: Sized {
    /// The name on the wire, as in the table.
    const NAME: &'static str;
    /// The family's extension id, without the channel bit.
    const EXTENSION: u16;
    /// The id within the family.
    const MSG_TYPE: u8;
    /// What stands around the fields.
    const FRAMING: Framing;
    /// The fields in their order.
    const FIELDS: &'static [Field];

    /// Takes the fields off a reader that stands at the first of them.
    fn read_fields(reader: &mut Reader<'_>) -> Result<Self, DecodeError>;
    /// Appends the fields.
    fn write_fields(&self, writer: &mut Writer<'_>) -> Result<(), EncodeError>;
}

/// Exactly the fields of `M` in `bytes`, which stand where `M`'s framing puts them.
pub(crate) fn decode<M: Message>(bytes: &[u8]) -> Result<M, DecodeError> {
    let mut reader = Reader::new(M::NAME, bytes, M::FRAMING.bytes_before());
    let message = M::read_fields(&mut reader)?;
    reader.finish()?;
    Ok(message)
}

/// Appends the fields of `message`, or nothing.
pub(crate) fn encode<M: Message>(message: &M, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let before = out.len();
    let written = message.write_fields(&mut Writer::new(M::NAME, out));
    if written.is_err() {
        out.truncate(before);
    }
    written
}

/// Defines a message: its struct, its layout and its methods. A line `amount: u64 as U64` is a
/// field, with its Rust type and its kind on the wire.
macro_rules! message {
    (
        $(#[$meta:meta])*
        $framing:ident $name:ident = $extension:ident, $msg_type:literal, $wire_name:literal {
            $( $(#[$field_meta:meta])* $field:ident: $value:ty as $kind:ty, )*
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct $name {
            $( $(#[$field_meta])* pub $field: $value, )*
        }

        impl $crate::codec::Message for $name {
            const NAME: &'static str = $wire_name;
            const EXTENSION: u16 = $extension;
            const MSG_TYPE: u8 = $msg_type;
            const FRAMING: $crate::codec::Framing = $crate::codec::Framing::$framing;
            const FIELDS: &'static [$crate::codec::Field] = &[
                $( $crate::codec::Field::of::<$kind>($crate::codec::message::wire_field(stringify!($field))), )*
            ];

            fn read_fields(
                _reader: &mut $crate::codec::Reader<'_>,
            ) -> Result<Self, $crate::codec::DecodeError> {
                Ok($name {
                    $( $field: {
                        const NAME: &str = $crate::codec::message::wire_field(stringify!($field));
                        <$kind as $crate::codec::kinds::Kind>::own(
                            <$kind as $crate::codec::kinds::Kind>::take(_reader, NAME)?,
                        )
                    }, )*
                })
            }

            fn write_fields(
                &self,
                _writer: &mut $crate::codec::Writer<'_>,
            ) -> Result<(), $crate::codec::EncodeError> {
                $( {
                    const NAME: &str = $crate::codec::message::wire_field(stringify!($field));
                    <$kind as $crate::codec::kinds::Kind>::put(&self.$field, _writer, NAME)?;
                } )*
                Ok(())
            }
        }

        $crate::codec::message::methods!($framing $name, $extension, $msg_type);
    };
}

/// The methods of a message, by what stands around its fields.
macro_rules! methods {
    (Connection $name:ident, $extension:ident, $msg_type:literal) => {
        impl $name {
            /// The id of this message within its family.
            pub const MSG_TYPE: u8 = $msg_type;

            /// Appends the payload. On an error (a field over its bounds) nothing is appended.
            pub fn encode_payload(
                &self,
                out: &mut Vec<u8>,
            ) -> Result<(), $crate::codec::EncodeError> {
                $crate::codec::message::encode(self, out)
            }

            /// Reads a payload, to its last byte.
            pub fn decode_payload(payload: &[u8]) -> Result<Self, $crate::codec::DecodeError> {
                $crate::codec::message::decode(payload)
            }

            /// The message as a frame, ready to send. Fails as [`Self::encode_payload`].
            pub fn to_frame(&self) -> Result<winze_transport::Frame, $crate::codec::EncodeError> {
                let mut payload = Vec::new();
                self.encode_payload(&mut payload)?;
                Ok(winze_transport::Frame {
                    extension_type: $extension,
                    msg_type: Self::MSG_TYPE,
                    payload,
                })
            }
        }
    };
    (Channel $name:ident, $extension:ident, $msg_type:literal) => {
        $crate::codec::message::methods!(SealedChannel $name, $extension, $msg_type);

        impl $name {
            /// The message as a frame of a channel, ready to send. Fails as
            /// [`Self::encode_body`].
            pub fn to_frame(
                &self,
                channel_id: u32,
            ) -> Result<winze_transport::Frame, $crate::codec::EncodeError> {
                let mut body = Vec::new();
                self.encode_body(&mut body)?;
                Ok($crate::authenticator::channel_frame(
                    $extension,
                    Self::MSG_TYPE,
                    channel_id,
                    &body,
                ))
            }
        }
    };
    (SealedChannel $name:ident, $extension:ident, $msg_type:literal) => {
        impl $name {
            /// The id of this message within its family.
            pub const MSG_TYPE: u8 = $msg_type;

            /// Appends the body: what stands behind the channel id, without an authenticator. On
            /// an error (a field over its bounds) nothing is appended.
            pub fn encode_body(
                &self,
                out: &mut Vec<u8>,
            ) -> Result<(), $crate::codec::EncodeError> {
                $crate::codec::message::encode(self, out)
            }

            /// Reads a body, to its last byte. An error's offset counts the four bytes of the
            /// channel id in front of it.
            pub fn decode_body(body: &[u8]) -> Result<Self, $crate::codec::DecodeError> {
                $crate::codec::message::decode(body)
            }
        }
    };
}

pub(crate) use {message, methods};

/// The specification's name of a field: without the unit that a Rust name carries.
pub(crate) const fn wire_field(name: &'static str) -> &'static str {
    match name.as_bytes() {
        b"expires_at_unix_s" => "expires_at",
        _ => name,
    }
}

/// The channel id in front of a payload of `message`, and what is behind it.
pub(crate) fn split_channel_id<'a>(
    message: &'static str,
    payload: &'a [u8],
) -> Result<(u32, &'a [u8]), DecodeError> {
    let mut reader = Reader::new(message, payload, 0);
    let channel_id = U32::take(&mut reader, "channel_id")?;
    Ok((channel_id, reader.rest()))
}

/// Defines a family's enum of messages, each without the channel bit, with `decode`.
macro_rules! connection_family {
    (
        $(#[$meta:meta])*
        $family:ident = $extension:ident { $( $name:ident, )* }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each variant is the message of its name")]
        pub enum $family {
            $( $name($name), )*
        }

        impl $family {
            /// Reads a frame. [`MessageError::Unknown`](crate::MessageError::Unknown) for one of
            /// another family, for a type that the family does not have, and for one with the
            /// channel bit.
            pub fn decode(
                frame: &winze_transport::Frame,
            ) -> Result<$family, $crate::codec::MessageError> {
                match (frame.extension_type, frame.msg_type) {
                    $( ($extension, $name::MSG_TYPE) => {
                        Ok($family::$name($name::decode_payload(&frame.payload)?))
                    } )*
                    (extension_type, msg_type) => {
                        Err($crate::codec::MessageError::Unknown { extension_type, msg_type })
                    }
                }
            }

            /// The message as a frame. Fails where a field is over its bounds.
            pub fn to_frame(&self) -> Result<winze_transport::Frame, $crate::codec::EncodeError> {
                match self {
                    $( $family::$name(message) => message.to_frame(), )*
                }
            }
        }

        $( impl From<$name> for $family {
            fn from(message: $name) -> $family {
                $family::$name(message)
            }
        } )*
    };
}

pub(crate) use connection_family;
