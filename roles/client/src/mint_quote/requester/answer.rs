//! What the mint's messages say, once they are known to be the mint's.

use std::sync::Arc;

use winze_messages::PairKeys;
use winze_messages::authenticator::Unverified;
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteRequest, MintQuoteResponse, QuoteErrorCode,
    QuoteState,
};

use super::held::{HeldRequest, HeldRequests};
use crate::sabotage::{Rule, is_broken};

/// A message from the channel, judged.
pub(super) enum Judged {
    /// The quote exists, or is finally unknown, by the answer with this number.
    Issued(Arc<HeldRequest>, MintQuoteResponse, u64),
    /// The mint refuses for good, in the answer with this number.
    Refused(Arc<HeldRequest>, MintQuoteError, u64),
    /// The mint refuses for now.
    PutOff(Arc<HeldRequest>, MintQuoteError),
    /// The mint's own word, and it cannot be: the request is to be parked for the operator.
    Contradiction(Arc<HeldRequest>, String),
    /// A keyset, with its serial number.
    Keyset {
        serial: u64,
        keyset: KeysetAnnouncement,
    },
    /// To be dropped and counted.
    Dropped(Dropped),
}

/// Why a message has no effect. None of these ends a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dropped {
    /// It is not the mint's, or not to this request.
    Unauthentic,
    /// It is about no request that is waiting here.
    Stale,
    /// The mint's own, and it does not decode.
    Malformed,
}

pub(super) fn judge(keys: &PairKeys, held: &HeldRequests, msg_type: u8, bytes: &[u8]) -> Judged {
    judge_or_drop(keys, held, msg_type, bytes).unwrap_or_else(Judged::Dropped)
}

fn judge_or_drop(
    keys: &PairKeys,
    held: &HeldRequests,
    msg_type: u8,
    bytes: &[u8],
) -> Result<Judged, Dropped> {
    match msg_type {
        MintQuoteResponse::MSG_TYPE => {
            // Whose request it is about must be read before it can be verified.
            let response = MintQuoteResponse::decode_body(unverified(bytes)?.body)
                .map_err(|_| Dropped::Unauthentic)?;
            let (request, sequence) = verified(keys, held, msg_type, bytes, &response.header_hash)?;
            Ok(match contradiction(&request.request, &response) {
                None => Judged::Issued(request, response, sequence),
                Some(error) => Judged::Contradiction(request, error),
            })
        }
        MintQuoteError::MSG_TYPE => {
            let error = MintQuoteError::decode_body(unverified(bytes)?.body)
                .map_err(|_| Dropped::Unauthentic)?;
            let (request, sequence) = verified(keys, held, msg_type, bytes, &error.header_hash)?;
            Ok(match QuoteErrorCode::is_final_number(error.error_code) {
                true => Judged::Refused(request, error, sequence),
                false => Judged::PutOff(request, error),
            })
        }
        KeysetAnnouncement::MSG_TYPE => {
            let opened = keys
                .open(msg_type, bytes, None)
                .map_err(|_| Dropped::Unauthentic)?;
            let keyset =
                KeysetAnnouncement::decode_body(opened.body).map_err(|_| Dropped::Malformed)?;
            Ok(Judged::Keyset {
                serial: opened.sequence,
                keyset,
            })
        }
        _ => Err(Dropped::Unauthentic),
    }
}

fn unverified(bytes: &[u8]) -> Result<Unverified<'_>, Dropped> {
    Unverified::split(bytes).map_err(|_| Dropped::Unauthentic)
}

fn verified(
    keys: &PairKeys,
    held: &HeldRequests,
    msg_type: u8,
    bytes: &[u8],
    header_hash: &[u8; 32],
) -> Result<(Arc<HeldRequest>, u64), Dropped> {
    let request = held.by_header_hash(header_hash).ok_or(Dropped::Stale)?;
    let opened = keys.open(msg_type, bytes, Some(request.digest));
    if opened.is_err() && !is_broken(Rule::Authenticator) {
        return Err(Dropped::Unauthentic);
    }
    Ok((Arc::clone(request), unverified(bytes)?.sequence))
}

fn contradiction(request: &MintQuoteRequest, response: &MintQuoteResponse) -> Option<String> {
    if response.amount != request.amount || response.unit != request.unit {
        return Some(format!(
            "the mint answered {} {:?} with a quote over {} {:?}",
            request.amount, request.unit, response.amount, response.unit
        ));
    }
    let is_unknown = response.state == QuoteState::Unknown;
    match (is_unknown, response.quote_id.as_str()) {
        (true, "") => None,
        (true, id) => Some(format!("the mint calls the quote {id:?} unknown")),
        (false, "") => Some("the mint answered with a quote that has no id".to_owned()),
        (false, _) => None,
    }
}
