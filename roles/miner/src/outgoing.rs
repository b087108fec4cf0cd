//! What a miner says on a mining connection, as frames of the reference crates' messages.

use stratum_core::binary_sv2::{self, Encodable, GetSize, Seq064K, Str0255};
use stratum_core::common_messages_sv2::{MESSAGE_TYPE_SETUP_CONNECTION, Protocol, SetupConnection};
use stratum_core::extensions_sv2::{self as extensions, RequestExtensions};
use stratum_core::mining_sv2::{
    self as mining, CloseChannel, OpenExtendedMiningChannel, OpenStandardMiningChannel,
    SubmitSharesExtended, SubmitSharesStandard, UpdateChannel,
};
use winze_messages::EXT_MINT_QUOTE;
use winze_transport::{CHANNEL_BIT, Frame};

use crate::incoming::{EXT_CORE, EXT_NEGOTIATION, MessageError};
use crate::proof::Target;
use crate::work::{ChannelKind, Share};

/// Sv2 version, the only one there is.
const VERSION: u16 = 2;
/// `SetupConnection` flag: standard jobs only, no jobs for a group (5.3.1).
const REQUIRES_STANDARD_JOBS: u32 = 1;

/// How a channel is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct OpenChannel {
    /// Standard or extended.
    pub kind: ChannelKind,
    /// Answers name it; unique on the connection.
    pub request_id: u32,
    /// `<compressed locking key in hex>[.worker]`, at most 255 bytes.
    pub user_identity: String,
    /// Expected hashes per second.
    pub nominal_hash_rate: f32,
    /// The easiest target the miner takes.
    pub max_target: Target,
    /// Extended channels: extranonce bytes that the miner needs at least.
    pub extranonce_bytes_min: u16,
}

impl OpenChannel {
    /// As a frame.
    ///
    /// # Errors
    /// [`MessageError::Unencodable`] where the identity is longer than its field.
    pub fn to_frame(&self) -> Result<Frame, MessageError> {
        let max_target = self.max_target.to_le_bytes();
        let name = "OpenMiningChannel";
        let user_identity = text(&self.user_identity, name)?;
        let (msg_type, payload) = match self.kind {
            ChannelKind::Standard => (
                mining::MESSAGE_TYPE_OPEN_STANDARD_MINING_CHANNEL,
                encode(
                    OpenStandardMiningChannel {
                        request_id: self.request_id,
                        user_identity,
                        nominal_hash_rate: self.nominal_hash_rate,
                        max_target: (&max_target).into(),
                    },
                    name,
                )?,
            ),
            ChannelKind::Extended => (
                mining::MESSAGE_TYPE_OPEN_EXTENDED_MINING_CHANNEL,
                encode(
                    OpenExtendedMiningChannel {
                        request_id: self.request_id,
                        user_identity,
                        nominal_hash_rate: self.nominal_hash_rate,
                        max_target: (&max_target).into(),
                        min_extranonce_size: self.extranonce_bytes_min,
                    },
                    name,
                )?,
            ),
        };
        Ok(frame(EXT_CORE, msg_type, payload))
    }
}

/// `SetupConnection` for the mining protocol, version 2.
///
/// # Errors
/// [`MessageError::Unencodable`] where the host name is longer than its field.
pub fn setup_connection(
    host: &str,
    port: u16,
    standard_jobs_only: bool,
) -> Result<Frame, MessageError> {
    let name = "SetupConnection";
    let flags = if standard_jobs_only {
        REQUIRES_STANDARD_JOBS
    } else {
        0
    };
    let payload = encode(
        SetupConnection {
            protocol: Protocol::MiningProtocol,
            min_version: VERSION,
            max_version: VERSION,
            flags,
            endpoint_host: text(host, name)?,
            endpoint_port: port,
            vendor: text("winze", name)?,
            hardware_version: text("cpu", name)?,
            firmware: text(env!("CARGO_PKG_VERSION"), name)?,
            device_id: text("", name)?,
        },
        name,
    )?;
    Ok(frame(EXT_CORE, MESSAGE_TYPE_SETUP_CONNECTION, payload))
}

/// `RequestExtensions` for notices of quotes.
///
/// # Errors
/// None in practice: all values are constants that fit.
pub fn request_quote_extension() -> Result<Frame, MessageError> {
    let name = "RequestExtensions";
    let requested_extensions =
        Seq064K::new(vec![EXT_MINT_QUOTE]).map_err(|error| unencodable(name, &error))?;
    let payload = encode(
        RequestExtensions {
            request_id: 0,
            requested_extensions,
        },
        name,
    )?;
    Ok(frame(
        EXT_NEGOTIATION,
        extensions::MESSAGE_TYPE_REQUEST_EXTENSIONS,
        payload,
    ))
}

/// `SubmitSharesStandard` or `SubmitSharesExtended`.
///
/// # Errors
/// [`MessageError::Unencodable`] where the extranonce is longer than 32 bytes.
pub fn submit(
    kind: ChannelKind,
    channel_id: u32,
    sequence_number: u32,
    share: &Share,
) -> Result<Frame, MessageError> {
    let (msg_type, payload) = match kind {
        ChannelKind::Standard => (
            mining::MESSAGE_TYPE_SUBMIT_SHARES_STANDARD,
            encode(
                SubmitSharesStandard {
                    channel_id,
                    sequence_number,
                    job_id: share.job_id,
                    nonce: share.nonce,
                    ntime: share.ntime,
                    version: share.version,
                },
                "SubmitSharesStandard",
            )?,
        ),
        ChannelKind::Extended => {
            let name = "SubmitSharesExtended";
            let extranonce = share
                .extranonce
                .as_slice()
                .try_into()
                .map_err(|error| unencodable(name, &error))?;
            (
                mining::MESSAGE_TYPE_SUBMIT_SHARES_EXTENDED,
                encode(
                    SubmitSharesExtended {
                        channel_id,
                        sequence_number,
                        job_id: share.job_id,
                        nonce: share.nonce,
                        ntime: share.ntime,
                        version: share.version,
                        extranonce,
                    },
                    name,
                )?,
            )
        }
    };
    Ok(frame(CHANNEL_BIT | EXT_CORE, msg_type, payload))
}

/// `UpdateChannel`.
///
/// # Errors
/// None in practice: all fields have fixed sizes.
pub fn update_channel(
    channel_id: u32,
    nominal_hash_rate: f32,
    maximum_target: Target,
) -> Result<Frame, MessageError> {
    let maximum_target = maximum_target.to_le_bytes();
    let payload = encode(
        UpdateChannel {
            channel_id,
            nominal_hash_rate,
            maximum_target: (&maximum_target).into(),
        },
        "UpdateChannel",
    )?;
    Ok(frame(
        CHANNEL_BIT | EXT_CORE,
        mining::MESSAGE_TYPE_UPDATE_CHANNEL,
        payload,
    ))
}

/// `CloseChannel`.
///
/// # Errors
/// [`MessageError::Unencodable`] where the reason is longer than 255 bytes.
pub fn close_channel(channel_id: u32, reason_code: &str) -> Result<Frame, MessageError> {
    let name = "CloseChannel";
    let payload = encode(
        CloseChannel {
            channel_id,
            reason_code: text(reason_code, name)?,
        },
        name,
    )?;
    Ok(frame(
        CHANNEL_BIT | EXT_CORE,
        mining::MESSAGE_TYPE_CLOSE_CHANNEL,
        payload,
    ))
}

fn frame(extension_type: u16, msg_type: u8, payload: Vec<u8>) -> Frame {
    Frame {
        extension_type,
        msg_type,
        payload,
    }
}

fn text<'a>(value: &'a str, message: &'static str) -> Result<Str0255<'a>, MessageError> {
    value
        .try_into()
        .map_err(|error| unencodable(message, &error))
}

fn encode<T: Encodable + GetSize>(
    value: T,
    message: &'static str,
) -> Result<Vec<u8>, MessageError> {
    binary_sv2::to_bytes(value).map_err(|error| unencodable(message, &error))
}

fn unencodable(message: &'static str, error: &binary_sv2::Error) -> MessageError {
    MessageError::Unencodable {
        message,
        reason: format!("{error:?}"),
    }
}
