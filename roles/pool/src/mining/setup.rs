//! The first exchange on a connection: `SetupConnection` and `RequestExtensions`.

use stratum_core::common_messages_sv2::{
    ERROR_CODE_SETUP_CONNECTION_PROTOCOL_VERSION_MISMATCH as VERSION_MISMATCH,
    ERROR_CODE_SETUP_CONNECTION_UNSUPPORTED_FEATURE_FLAGS as UNSUPPORTED_FLAGS,
    ERROR_CODE_SETUP_CONNECTION_UNSUPPORTED_PROTOCOL as UNSUPPORTED_PROTOCOL,
    MESSAGE_TYPE_SETUP_CONNECTION_ERROR, MESSAGE_TYPE_SETUP_CONNECTION_SUCCESS, SetupConnection,
    SetupConnectionErrorOwned, SetupConnectionSuccess,
};
use stratum_core::extensions_sv2::{
    MESSAGE_TYPE_REQUEST_EXTENSIONS_ERROR, MESSAGE_TYPE_REQUEST_EXTENSIONS_SUCCESS,
    RequestExtensions, RequestExtensionsErrorOwned, RequestExtensionsSuccessOwned,
};
use winze_messages::EXT_MINT_QUOTE;
use winze_transport::Frame;

use super::wire::{self, EXTENSIONS_NEGOTIATION, Malformed};

/// The one protocol version there is.
const VERSION: u16 = 2;

/// `SetupConnection.protocol` of the mining protocol.
const MINING: u8 = 0;

/// `SetupConnection.flags` (Sv2 specification 5.3.1): the miner takes standard jobs alone.
const REQUIRES_STANDARD_JOBS: u32 = 1;

/// The miner rolls version bits. Every job of ours lets it.
const REQUIRES_VERSION_ROLLING: u32 = 1 << 2;

/// What a miner may ask for. `REQUIRES_WORK_SELECTION` (bit 1) is not among it: jobs are the pool's.
const SUPPORTED_FLAGS: u32 = REQUIRES_STANDARD_JOBS | REQUIRES_VERSION_ROLLING;

/// A miner that was let in.
pub(super) struct Accepted {
    pub(super) answer: Frame,
    pub(super) requires_standard_jobs: bool,
}

/// Answers `SetupConnection`. `Err` has the answer and its code, after which the connection is closed.
pub(super) fn setup_connection(
    payload: &mut [u8],
) -> Result<Result<Accepted, (Frame, &'static str)>, Malformed> {
    // The reference decoder knows three protocols and calls any other malformed; the specification wants an answer.
    if payload.first().is_some_and(|protocol| *protocol != MINING) {
        return Ok(Err(refuse(UNSUPPORTED_PROTOCOL, 0)));
    }
    let setup: SetupConnection = wire::decode(payload)?;
    if setup.min_version > VERSION || setup.max_version < VERSION {
        return Ok(Err(refuse(VERSION_MISMATCH, 0)));
    }
    let unsupported = setup.flags & !SUPPORTED_FLAGS;
    if unsupported != 0 {
        return Ok(Err(refuse(UNSUPPORTED_FLAGS, unsupported)));
    }
    let answer = SetupConnectionSuccess {
        used_version: VERSION,
        flags: 0,
    };
    Ok(Ok(Accepted {
        answer: wire::frame(MESSAGE_TYPE_SETUP_CONNECTION_SUCCESS, answer),
        requires_standard_jobs: setup.flags & REQUIRES_STANDARD_JOBS != 0,
    }))
}

fn refuse(code: &'static str, flags: u32) -> (Frame, &'static str) {
    let answer = SetupConnectionErrorOwned {
        flags,
        error_code: wire::code(code),
    };
    let frame = wire::frame(MESSAGE_TYPE_SETUP_CONNECTION_ERROR, answer);
    (frame, code)
}

/// Answers `RequestExtensions`; the flag says whether the mint-quote extension is agreed on.
pub(super) fn request_extensions(payload: &mut [u8]) -> Result<(Frame, bool), Malformed> {
    let request: RequestExtensions = wire::decode(payload)?;
    let request_id = request.request_id;
    let (supported, unsupported): (Vec<u16>, Vec<u16>) = request
        .requested_extensions
        .into_inner()
        .into_iter()
        .partition(|extension| *extension == EXT_MINT_QUOTE);
    let agreed = !supported.is_empty();
    let frame = if agreed {
        let answer = RequestExtensionsSuccessOwned {
            request_id,
            supported_extensions: supported.try_into().map_err(|_| too_many())?,
        };
        wire::encode(
            EXTENSIONS_NEGOTIATION,
            MESSAGE_TYPE_REQUEST_EXTENSIONS_SUCCESS,
            answer,
        )
    } else {
        let answer = RequestExtensionsErrorOwned {
            request_id,
            unsupported_extensions: unsupported.try_into().map_err(|_| too_many())?,
            required_extensions: Vec::new().try_into().map_err(|_| too_many())?,
        };
        wire::encode(
            EXTENSIONS_NEGOTIATION,
            MESSAGE_TYPE_REQUEST_EXTENSIONS_ERROR,
            answer,
        )
    };
    Ok((frame, agreed))
}

fn too_many() -> Malformed {
    Malformed::Field("too many extensions".to_owned())
}
