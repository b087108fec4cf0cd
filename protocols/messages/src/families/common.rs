//! The common messages of Stratum V2 that this project uses (Sv2 specification, section 3.6).

use winze_transport::Frame;

use crate::codec::error::{EncodeError, MessageError};
use crate::codec::kinds::{Text, U8, U16, U32};
use crate::codec::message::message;

/// Core messages of Stratum V2 have extension type 0.
pub const EXT_COMMON: u16 = 0x0000;

message! {
    /// The client's first message (Sv2 3.6.1).
    Connection SetupConnection = EXT_COMMON, 0x00, "SetupConnection" {
        /// 0 mining, 1 job declaration, 2 template distribution. Other values decode, so that
        /// they can be answered with `unsupported-protocol`.
        protocol: u8 as U8,
        /// The lowest version the client can speak.
        min_version: u16 as U16,
        /// The highest version the client can speak.
        max_version: u16 as U16,
        /// Optional features, whose meaning depends on `protocol`.
        flags: u32 as U32,
        /// Host name or address that the client dialled.
        endpoint_host: String as Text,
        /// Port that the client dialled.
        endpoint_port: u16 as U16,
        /// Who made the client.
        vendor: String as Text,
        /// Which hardware or package it is.
        hardware_version: String as Text,
        /// Which firmware or program version it runs.
        firmware: String as Text,
        /// Which device it is; empty for one that keeps that to itself.
        device_id: String as Text,
    }
}

message! {
    /// The server accepts the connection (Sv2 3.6.2).
    Connection SetupConnectionSuccess = EXT_COMMON, 0x01, "SetupConnection.Success" {
        /// The version for the rest of the connection.
        used_version: u16 as U16,
        /// Optional features of the server.
        flags: u32 as U32,
    }
}

message! {
    /// The server does not accept the connection, and closes it (Sv2 3.6.3).
    Connection SetupConnectionError = EXT_COMMON, 0x02, "SetupConnection.Error" {
        /// The flags that are not supported; 0 where they are not the reason.
        flags: u32 as U32,
        /// Section 1.1.
        error_code: String as Text,
    }
}

message! {
    /// Another endpoint is behind a channel than before (Sv2 3.6.4). Its one field is the
    /// channel id, which is outside of a body.
    Channel ChannelEndpointChanged = EXT_COMMON, 0x03, "ChannelEndpointChanged" {
    }
}

message! {
    /// The client is asked to connect elsewhere (Sv2 3.6.5).
    Connection Reconnect = EXT_COMMON, 0x04, "Reconnect" {
        /// Empty: the present host.
        new_host: String as Text,
        /// 0: the present port.
        new_port: u16 as U16,
    }
}

/// Any message of this family.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the message of its name")]
pub enum CommonMessage {
    SetupConnection(SetupConnection),
    SetupConnectionSuccess(SetupConnectionSuccess),
    SetupConnectionError(SetupConnectionError),
    ChannelEndpointChanged { channel_id: u32 },
    Reconnect(Reconnect),
}

impl CommonMessage {
    /// Reads a frame. [`MessageError::Unknown`] for one of another family, for a type that the
    /// family does not have, and for a channel bit where the message has none or the reverse.
    pub fn decode(frame: &Frame) -> Result<CommonMessage, MessageError> {
        let payload = frame.payload.as_slice();
        if frame.extension() == EXT_COMMON && frame.is_channel_msg() {
            if frame.msg_type == ChannelEndpointChanged::MSG_TYPE {
                let (channel_id, body) = crate::codec::message::split_channel_id(
                    <ChannelEndpointChanged as crate::codec::Message>::NAME,
                    payload,
                )?;
                ChannelEndpointChanged::decode_body(body)?;
                return Ok(CommonMessage::ChannelEndpointChanged { channel_id });
            }
        } else if frame.extension_type == EXT_COMMON {
            match frame.msg_type {
                SetupConnection::MSG_TYPE => {
                    return Ok(CommonMessage::SetupConnection(
                        SetupConnection::decode_payload(payload)?,
                    ));
                }
                SetupConnectionSuccess::MSG_TYPE => {
                    return Ok(CommonMessage::SetupConnectionSuccess(
                        SetupConnectionSuccess::decode_payload(payload)?,
                    ));
                }
                SetupConnectionError::MSG_TYPE => {
                    return Ok(CommonMessage::SetupConnectionError(
                        SetupConnectionError::decode_payload(payload)?,
                    ));
                }
                Reconnect::MSG_TYPE => {
                    return Ok(CommonMessage::Reconnect(Reconnect::decode_payload(
                        payload,
                    )?));
                }
                _ => {}
            }
        }
        Err(MessageError::Unknown {
            extension_type: frame.extension_type,
            msg_type: frame.msg_type,
        })
    }

    /// The message as a frame. Fails where a field is over its bounds.
    pub fn to_frame(&self) -> Result<Frame, EncodeError> {
        match self {
            CommonMessage::SetupConnection(message) => message.to_frame(),
            CommonMessage::SetupConnectionSuccess(message) => message.to_frame(),
            CommonMessage::SetupConnectionError(message) => message.to_frame(),
            CommonMessage::ChannelEndpointChanged { channel_id } => {
                ChannelEndpointChanged {}.to_frame(*channel_id)
            }
            CommonMessage::Reconnect(message) => message.to_frame(),
        }
    }
}
