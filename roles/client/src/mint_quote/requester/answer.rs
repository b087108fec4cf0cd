//! What the mint's messages say, once they are known to be the mint's.

use std::sync::Arc;

use winze_messages::authenticator::Unverified;
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteRequest, MintQuoteResponse, QuoteErrorCode,
    QuoteState,
};
use winze_messages::{AuthenticatorError, Opened, PairKeys, Sealed};

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

/// A message whose author is not known yet.
struct Claim<'a> {
    msg_type: u8,
    bytes: &'a [u8],
    says: Says,
}

enum Says {
    Response(Arc<HeldRequest>, MintQuoteResponse),
    Error(Arc<HeldRequest>, MintQuoteError),
    /// What, is read once it is known whose it is.
    Keyset,
}

/// Type and bytes of each message; gives in their order what it is, by the requests that are held now.
pub(super) fn judge<'a>(
    keys: &PairKeys,
    held: &HeldRequests,
    messages: impl IntoIterator<Item = (u8, &'a [u8])>,
) -> Vec<Judged> {
    let claims = messages.into_iter();
    let claims: Vec<_> = claims
        .map(|(msg_type, bytes)| Claim::read(held, msg_type, bytes))
        .collect();
    let mut opened = Vec::with_capacity(claims.len());
    let sealed = claims.iter().flatten().map(Claim::sealed);
    keys.open_all(sealed, |one| opened.push(one));
    // One for each claim that is none to be dropped.
    let mut opened = opened.into_iter();
    let mut judge = |claim: Claim<'_>| {
        let opened = opened.next();
        claim.judge(opened.unwrap_or(Err(AuthenticatorError::BadMac)))
    };
    let judged = claims.into_iter();
    let judged = judged.map(|claim| claim.and_then(&mut judge));
    judged
        .map(|judged| judged.unwrap_or_else(Judged::Dropped))
        .collect()
}

impl<'a> Claim<'a> {
    /// Whose request it is about must be read before it can be verified.
    fn read(held: &HeldRequests, msg_type: u8, bytes: &'a [u8]) -> Result<Claim<'a>, Dropped> {
        let says = match msg_type {
            MintQuoteResponse::MSG_TYPE => {
                let response = MintQuoteResponse::decode_body(unverified(bytes)?.body)
                    .map_err(|_| Dropped::Unauthentic)?;
                let request = held.by_header_hash(&response.header_hash);
                Says::Response(Arc::clone(request.ok_or(Dropped::Stale)?), response)
            }
            MintQuoteError::MSG_TYPE => {
                let error = MintQuoteError::decode_body(unverified(bytes)?.body)
                    .map_err(|_| Dropped::Unauthentic)?;
                let request = held.by_header_hash(&error.header_hash);
                Says::Error(Arc::clone(request.ok_or(Dropped::Stale)?), error)
            }
            KeysetAnnouncement::MSG_TYPE => Says::Keyset,
            _ => return Err(Dropped::Unauthentic),
        };
        Ok(Claim {
            msg_type,
            bytes,
            says,
        })
    }

    fn sealed(&self) -> Sealed<'a> {
        let request_digest = match &self.says {
            Says::Response(request, _) | Says::Error(request, _) => Some(request.digest),
            Says::Keyset => None,
        };
        Sealed {
            msg_type: self.msg_type,
            bytes: self.bytes,
            request_digest,
        }
    }

    fn judge(self, opened: Result<Opened<'_>, AuthenticatorError>) -> Result<Judged, Dropped> {
        let is_authentic = opened.is_ok() || is_broken(Rule::Authenticator);
        match self.says {
            Says::Response(..) | Says::Error(..) if !is_authentic => Err(Dropped::Unauthentic),
            Says::Response(request, response) => {
                let sequence = unverified(self.bytes)?.sequence;
                Ok(match contradiction(&request.request, &response) {
                    None => Judged::Issued(request, response, sequence),
                    Some(error) => Judged::Contradiction(request, error),
                })
            }
            Says::Error(request, error) => {
                let sequence = unverified(self.bytes)?.sequence;
                Ok(match QuoteErrorCode::is_final_number(error.error_code) {
                    true => Judged::Refused(request, error, sequence),
                    false => Judged::PutOff(request, error),
                })
            }
            Says::Keyset => {
                let opened = opened.map_err(|_| Dropped::Unauthentic)?;
                let keyset =
                    KeysetAnnouncement::decode_body(opened.body).map_err(|_| Dropped::Malformed)?;
                Ok(Judged::Keyset {
                    serial: opened.sequence,
                    keyset,
                })
            }
        }
    }
}

fn unverified(bytes: &[u8]) -> Result<Unverified<'_>, Dropped> {
    Unverified::split(bytes).map_err(|_| Dropped::Unauthentic)
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

#[cfg(test)]
mod tests {
    use winze_messages::{EXT_MINT_QUOTE, Side};
    use winze_transport::SecretKey;

    use super::*;
    use crate::mint_quote::request_over;
    use crate::outbox::StoredRequest;

    fn keys(side: Side) -> PairKeys {
        let [pool, mint] = [0x31, 0x32].map(|byte| SecretKey::from_bytes(&[byte; 32]).unwrap());
        let (own, peer) = match side {
            Side::Requester => (pool, mint.public_key()),
            Side::Responder => (mint, pool.public_key()),
        };
        PairKeys::derive(&own, &peer, EXT_MINT_QUOTE, side, "pool", "mint")
    }

    fn request(share: u8) -> HeldRequest {
        let request = request_over(share);
        let mut body = Vec::new();
        request.encode_body(&mut body).unwrap();
        HeldRequest::read(StoredRequest {
            sequence: share.into(),
            key: vec![share; 32],
            msg_type: MintQuoteRequest::MSG_TYPE,
            body,
            created_unix_ms: 1,
            attempts: 0,
            is_asked_again: false,
            is_whole: true,
            checksum: [0; 16],
        })
        .unwrap()
    }

    /// The mint's answer to the request over `share`, as the digest of that over `covered`.
    fn answer(share: u8, covered: u8) -> Vec<u8> {
        let response = MintQuoteResponse {
            quote_id: format!("of {share}"),
            header_hash: [share; 32],
            amount: 8,
            unit: "hash".to_owned(),
            expires_at_unix_s: 0,
            state: QuoteState::Paid,
        };
        let mut body = Vec::new();
        response.encode_body(&mut body).unwrap();
        let digest = request(covered).digest;
        let number = 100 + u64::from(share);
        keys(Side::Responder).seal(MintQuoteResponse::MSG_TYPE, &body, number, Some(digest))
    }

    #[test]
    fn of_answers_that_come_together_each_is_judged_by_its_own_mac_and_request() {
        let mut held = HeldRequests::default();
        (1..=4).for_each(|share| held.insert(request(share)));
        let mut altered = answer(2, 2);
        *altered.last_mut().unwrap() ^= 1;
        let messages = [
            altered,
            answer(1, 1),
            answer(9, 9),
            answer(3, 4),
            vec![0; 20],
            answer(4, 4),
        ];
        let came = messages.iter();
        let came = came.map(|bytes| (MintQuoteResponse::MSG_TYPE, &bytes[..]));
        let judged = judge(&keys(Side::Requester), &held, came);
        let summary: Vec<_> = judged
            .iter()
            .map(|judged| match judged {
                Judged::Issued(request, response, number) => {
                    assert_eq!(request.request.header_hash, response.header_hash);
                    Ok((request.sequence, &response.quote_id[..], *number))
                }
                Judged::Dropped(dropped) => Err(*dropped),
                _ => panic!("neither a quote nor dropped"),
            })
            .collect();
        assert_eq!(
            summary,
            [
                Err(Dropped::Unauthentic),
                Ok((1, "of 1", 101)),
                Err(Dropped::Stale),
                Err(Dropped::Unauthentic),
                Err(Dropped::Unauthentic),
                Ok((4, "of 4", 104)),
            ]
        );
    }
}
