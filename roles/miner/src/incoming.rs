//! What a pool says on a mining connection.
//!
//! The standard ones are those of the reference crates; the notices about quotes are
//! `winze-messages`'. The reference codec accepts bytes that are left over, so that is checked here.

use stratum_core::binary_sv2::{self, Decodable, GetSize};
use stratum_core::common_messages_sv2::{
    MESSAGE_TYPE_RECONNECT, MESSAGE_TYPE_SETUP_CONNECTION_ERROR,
    MESSAGE_TYPE_SETUP_CONNECTION_SUCCESS, Reconnect, SetupConnectionError, SetupConnectionSuccess,
};
use stratum_core::extensions_sv2::{
    self as extensions, RequestExtensionsError, RequestExtensionsSuccess,
};
use stratum_core::mining_sv2::{
    self as mining, CloseChannel, NewExtendedMiningJob, NewExtendedMiningJobOwned, NewMiningJob,
    NewMiningJobOwned, OpenExtendedMiningChannelSuccess, OpenExtendedMiningChannelSuccessOwned,
    OpenMiningChannelError, OpenStandardMiningChannelSuccess,
    OpenStandardMiningChannelSuccessOwned, SetExtranoncePrefix, SetExtranoncePrefixOwned,
    SetGroupChannel, SetGroupChannelOwned, SetNewPrevHash, SetNewPrevHashOwned, SetTarget,
    SetTargetOwned, SubmitSharesError, SubmitSharesSuccess, UpdateChannelError,
};
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::mint_quote::{MintQuoteFailure, MintQuoteNotification};
use winze_transport::Frame;

/// Extension 0: the protocol itself.
pub(crate) const EXT_CORE: u16 = 0;
/// Extension negotiation has an extension number of its own.
pub(crate) const EXT_NEGOTIATION: u16 = 0x0001;
/// A message from a pool.
#[derive(Clone, Debug)]
pub enum Incoming {
    /// `SetupConnection.Success`.
    SetupSuccess(SetupConnectionSuccess),
    /// `SetupConnection.Error`.
    SetupRefused {
        /// The flags that the pool does not support.
        flags: u32,
        /// Its reason.
        error_code: String,
    },
    /// `RequestExtensions.Success`: the extensions that are now in use.
    ExtensionsAccepted(Vec<u16>),
    /// `RequestExtensions.Error`: none is.
    ExtensionsRefused {
        /// Asked for and not supported.
        unsupported: Vec<u16>,
        /// Demanded by the pool.
        required: Vec<u16>,
    },
    /// `OpenStandardMiningChannel.Success`.
    StandardOpened(OpenStandardMiningChannelSuccessOwned),
    /// `OpenExtendedMiningChannel.Success`.
    ExtendedOpened(OpenExtendedMiningChannelSuccessOwned),
    /// `OpenMiningChannel.Error`.
    OpenRefused {
        /// The request that is meant.
        request_id: u32,
        /// The pool's reason.
        error_code: String,
    },
    /// `NewMiningJob`.
    NewMiningJob(NewMiningJobOwned),
    /// `NewExtendedMiningJob`.
    NewExtendedMiningJob(NewExtendedMiningJobOwned),
    /// `SetNewPrevHash`.
    SetNewPrevHash(SetNewPrevHashOwned),
    /// `SetTarget`.
    SetTarget(SetTargetOwned),
    /// `SetExtranoncePrefix`.
    SetExtranoncePrefix(SetExtranoncePrefixOwned),
    /// `SetGroupChannel`.
    SetGroupChannel(SetGroupChannelOwned),
    /// `SubmitShares.Success`.
    SharesAccepted(SubmitSharesSuccess),
    /// `SubmitShares.Error`.
    ShareRefused {
        /// The mining channel.
        channel_id: u32,
        /// Which submit is meant.
        sequence_number: u32,
        /// The pool's reason.
        error_code: String,
    },
    /// `UpdateChannel.Error`.
    UpdateRefused {
        /// The mining channel.
        channel_id: u32,
        /// The pool's reason.
        error_code: String,
    },
    /// `CloseChannel`.
    ChannelClosed {
        /// The mining channel, or a group of them.
        channel_id: u32,
        /// The pool's reason.
        reason_code: String,
    },
    /// `Reconnect`: the pool wants this client to dial again.
    Reconnect,
    /// A share of this channel became a mint quote.
    Quote(u32, MintQuoteNotification),
    /// A share of this channel will not become one.
    QuoteFailed(u32, MintQuoteFailure),
    /// A message that this client does not know, and ignores.
    Unknown {
        /// Extension, without the channel bit.
        extension: u16,
        /// Message type within it.
        msg_type: u8,
    },
}

/// A message that does not have the form that its type asks for.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// The body does not decode.
    #[error("{message} from the pool does not decode: {reason}")]
    Malformed {
        /// The message's name in the specification.
        message: &'static str,
        /// What the decoder said.
        reason: String,
    },
    /// The body goes on after its last field.
    #[error("{message} from the pool has {left_over} bytes after its last field")]
    LeftOver {
        /// The message's name in the specification.
        message: &'static str,
        /// Bytes too many.
        left_over: usize,
    },
    /// The channel bit is not as the specification has it for this type.
    #[error("{message} from the pool has the channel bit wrong")]
    ChannelBit {
        /// The message's name in the specification.
        message: &'static str,
    },
    /// A value of ours does not fit its field.
    #[error("{message} cannot be encoded: {reason}")]
    Unencodable {
        /// The message's name in the specification.
        message: &'static str,
        /// What the encoder said.
        reason: String,
    },
}

impl Incoming {
    /// Reads a frame.
    ///
    /// # Errors
    /// [`MessageError`] where a known message is not exactly what its type asks for.
    pub fn decode(frame: Frame) -> Result<Incoming, MessageError> {
        let extension = frame.extension();
        let msg_type = frame.msg_type;
        let on_channel = frame.is_channel_msg();
        let bit = |expected: bool, message: &'static str| {
            if on_channel == expected {
                Ok(())
            } else {
                Err(MessageError::ChannelBit { message })
            }
        };
        let mut payload = frame.payload;
        match extension {
            EXT_CORE => {
                if let Some((name, expected)) = core_message(msg_type) {
                    bit(expected, name)?;
                }
                decode_core(msg_type, &mut payload)
            }
            EXT_NEGOTIATION => decode_negotiation(msg_type, &mut payload),
            EXT_MINT_QUOTE => decode_quote(msg_type, on_channel, &payload),
            _ => Ok(Incoming::Unknown {
                extension,
                msg_type,
            }),
        }
    }
}

/// Name and channel bit of the messages that a pool sends.
fn core_message(msg_type: u8) -> Option<(&'static str, bool)> {
    Some(match msg_type {
        MESSAGE_TYPE_SETUP_CONNECTION_SUCCESS => ("SetupConnection.Success", false),
        MESSAGE_TYPE_SETUP_CONNECTION_ERROR => ("SetupConnection.Error", false),
        MESSAGE_TYPE_RECONNECT => ("Reconnect", false),
        mining::MESSAGE_TYPE_OPEN_STANDARD_MINING_CHANNEL_SUCCESS => {
            ("OpenStandardMiningChannel.Success", false)
        }
        mining::MESSAGE_TYPE_OPEN_EXTENDED_MINING_CHANNEL_SUCCESS => {
            ("OpenExtendedMiningChannel.Success", false)
        }
        mining::MESSAGE_TYPE_OPEN_MINING_CHANNEL_ERROR => ("OpenMiningChannel.Error", false),
        mining::MESSAGE_TYPE_NEW_MINING_JOB => ("NewMiningJob", true),
        mining::MESSAGE_TYPE_NEW_EXTENDED_MINING_JOB => ("NewExtendedMiningJob", true),
        mining::MESSAGE_TYPE_MINING_SET_NEW_PREV_HASH => ("SetNewPrevHash", true),
        mining::MESSAGE_TYPE_SET_TARGET => ("SetTarget", true),
        mining::MESSAGE_TYPE_SET_EXTRANONCE_PREFIX => ("SetExtranoncePrefix", true),
        mining::MESSAGE_TYPE_SET_GROUP_CHANNEL => ("SetGroupChannel", false),
        mining::MESSAGE_TYPE_SUBMIT_SHARES_SUCCESS => ("SubmitShares.Success", true),
        mining::MESSAGE_TYPE_SUBMIT_SHARES_ERROR => ("SubmitShares.Error", true),
        mining::MESSAGE_TYPE_UPDATE_CHANNEL_ERROR => ("UpdateChannel.Error", true),
        mining::MESSAGE_TYPE_CLOSE_CHANNEL => ("CloseChannel", true),
        _ => return None,
    })
}

fn decode_core(msg_type: u8, payload: &mut [u8]) -> Result<Incoming, MessageError> {
    let name = core_message(msg_type).map_or("an unknown message", |(name, _)| name);
    Ok(match msg_type {
        MESSAGE_TYPE_SETUP_CONNECTION_SUCCESS => Incoming::SetupSuccess(exact(payload, name)?),
        MESSAGE_TYPE_SETUP_CONNECTION_ERROR => {
            let error: SetupConnectionError<'_> = exact(payload, name)?;
            Incoming::SetupRefused {
                flags: error.flags,
                error_code: error.error_code.as_utf8_or_hex(),
            }
        }
        MESSAGE_TYPE_RECONNECT => {
            let _: Reconnect<'_> = exact(payload, name)?;
            Incoming::Reconnect
        }
        mining::MESSAGE_TYPE_OPEN_STANDARD_MINING_CHANNEL_SUCCESS => Incoming::StandardOpened(
            exact::<OpenStandardMiningChannelSuccess<'_>>(payload, name)?.into_owned(),
        ),
        mining::MESSAGE_TYPE_OPEN_EXTENDED_MINING_CHANNEL_SUCCESS => Incoming::ExtendedOpened(
            exact::<OpenExtendedMiningChannelSuccess<'_>>(payload, name)?.into_owned(),
        ),
        mining::MESSAGE_TYPE_OPEN_MINING_CHANNEL_ERROR => {
            let error: OpenMiningChannelError<'_> = exact(payload, name)?;
            Incoming::OpenRefused {
                request_id: error.request_id,
                error_code: error.error_code.as_utf8_or_hex(),
            }
        }
        mining::MESSAGE_TYPE_NEW_MINING_JOB => {
            Incoming::NewMiningJob(exact::<NewMiningJob<'_>>(payload, name)?.into_owned())
        }
        mining::MESSAGE_TYPE_NEW_EXTENDED_MINING_JOB => Incoming::NewExtendedMiningJob(
            exact::<NewExtendedMiningJob<'_>>(payload, name)?.into_owned(),
        ),
        mining::MESSAGE_TYPE_MINING_SET_NEW_PREV_HASH => {
            Incoming::SetNewPrevHash(exact::<SetNewPrevHash<'_>>(payload, name)?.into_owned())
        }
        mining::MESSAGE_TYPE_SET_TARGET => {
            Incoming::SetTarget(exact::<SetTarget<'_>>(payload, name)?.into_owned())
        }
        mining::MESSAGE_TYPE_SET_EXTRANONCE_PREFIX => Incoming::SetExtranoncePrefix(
            exact::<SetExtranoncePrefix<'_>>(payload, name)?.into_owned(),
        ),
        mining::MESSAGE_TYPE_SET_GROUP_CHANNEL => {
            Incoming::SetGroupChannel(exact::<SetGroupChannel<'_>>(payload, name)?.into_owned())
        }
        mining::MESSAGE_TYPE_SUBMIT_SHARES_SUCCESS => {
            Incoming::SharesAccepted(exact(payload, name)?)
        }
        mining::MESSAGE_TYPE_SUBMIT_SHARES_ERROR => {
            let error: SubmitSharesError<'_> = exact(payload, name)?;
            Incoming::ShareRefused {
                channel_id: error.channel_id,
                sequence_number: error.sequence_number,
                error_code: error.error_code.as_utf8_or_hex(),
            }
        }
        mining::MESSAGE_TYPE_UPDATE_CHANNEL_ERROR => {
            let error: UpdateChannelError<'_> = exact(payload, name)?;
            Incoming::UpdateRefused {
                channel_id: error.channel_id,
                error_code: error.error_code.as_utf8_or_hex(),
            }
        }
        mining::MESSAGE_TYPE_CLOSE_CHANNEL => {
            let close: CloseChannel<'_> = exact(payload, name)?;
            Incoming::ChannelClosed {
                channel_id: close.channel_id,
                reason_code: close.reason_code.as_utf8_or_hex(),
            }
        }
        _ => Incoming::Unknown {
            extension: EXT_CORE,
            msg_type,
        },
    })
}

fn decode_negotiation(msg_type: u8, payload: &mut [u8]) -> Result<Incoming, MessageError> {
    Ok(match msg_type {
        extensions::MESSAGE_TYPE_REQUEST_EXTENSIONS_SUCCESS => {
            let success: RequestExtensionsSuccess<'_> =
                exact(payload, "RequestExtensions.Success")?;
            Incoming::ExtensionsAccepted(success.supported_extensions.into_inner())
        }
        extensions::MESSAGE_TYPE_REQUEST_EXTENSIONS_ERROR => {
            let error: RequestExtensionsError<'_> = exact(payload, "RequestExtensions.Error")?;
            Incoming::ExtensionsRefused {
                unsupported: error.unsupported_extensions.into_inner(),
                required: error.required_extensions.into_inner(),
            }
        }
        _ => Incoming::Unknown {
            extension: EXT_NEGOTIATION,
            msg_type,
        },
    })
}

/// The notices of quotes: a channel id, then a body of `winze-messages`.
fn decode_quote(msg_type: u8, on_channel: bool, payload: &[u8]) -> Result<Incoming, MessageError> {
    let name = match msg_type {
        MintQuoteNotification::MSG_TYPE => "MintQuoteNotification",
        MintQuoteFailure::MSG_TYPE => "MintQuoteFailure",
        _ => {
            return Ok(Incoming::Unknown {
                extension: EXT_MINT_QUOTE,
                msg_type,
            });
        }
    };
    if !on_channel {
        return Err(MessageError::ChannelBit { message: name });
    }
    let malformed = |reason: String| MessageError::Malformed {
        message: name,
        reason,
    };
    let (id, body) = payload
        .split_first_chunk::<4>()
        .ok_or_else(|| malformed("no channel id".to_owned()))?;
    let channel_id = u32::from_le_bytes(*id);
    Ok(if msg_type == MintQuoteNotification::MSG_TYPE {
        let quote = MintQuoteNotification::decode_body(body)
            .map_err(|error| malformed(error.to_string()))?;
        Incoming::Quote(channel_id, quote)
    } else {
        let failure =
            MintQuoteFailure::decode_body(body).map_err(|error| malformed(error.to_string()))?;
        Incoming::QuoteFailed(channel_id, failure)
    })
}

fn exact<'a, T: Decodable<'a> + GetSize>(
    payload: &'a mut [u8],
    message: &'static str,
) -> Result<T, MessageError> {
    let given = payload.len();
    let value: T = binary_sv2::from_bytes(payload).map_err(|error| MessageError::Malformed {
        message,
        reason: format!("{error:?}"),
    })?;
    match given.checked_sub(value.get_size()) {
        Some(0) => Ok(value),
        left_over => Err(MessageError::LeftOver {
            message,
            left_over: left_over.unwrap_or_default(),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use winze_transport::CHANNEL_BIT;

    #[test]
    fn a_message_that_is_longer_or_elsewhere_than_it_should_be_is_refused_by_name() {
        let success = Frame {
            extension_type: CHANNEL_BIT,
            msg_type: mining::MESSAGE_TYPE_SUBMIT_SHARES_SUCCESS,
            payload: vec![0; 20],
        };
        assert!(matches!(
            Incoming::decode(success.clone()),
            Ok(Incoming::SharesAccepted(_))
        ));
        let mut longer = success.clone();
        longer.payload.push(0);
        assert_eq!(
            Incoming::decode(longer).unwrap_err(),
            MessageError::LeftOver {
                message: "SubmitShares.Success",
                left_over: 1
            }
        );
        let mut shorter = success.clone();
        shorter.payload.pop();
        assert!(matches!(
            Incoming::decode(shorter),
            Err(MessageError::Malformed { .. })
        ));
        let elsewhere = Frame {
            extension_type: 0,
            ..success
        };
        assert_eq!(
            Incoming::decode(elsewhere).unwrap_err(),
            MessageError::ChannelBit {
                message: "SubmitShares.Success"
            }
        );
    }
}
