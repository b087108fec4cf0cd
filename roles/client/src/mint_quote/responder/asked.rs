//! Who asks for what: a request is taken apart and its author verified.

use sha2::{Digest, Sha256};
use winze_messages::authenticator::Unverified;
use winze_messages::families::mint_quote::MintQuoteRequest;
use winze_messages::{EXT_MINT_QUOTE, PairKeys, PeerName, Sealed, request_digest};
use winze_transport::PublicKey;

use crate::answers::Asked;
use crate::sabotage::{Rule, is_broken};

/// A pool on its channel, with the keys that it may seal with.
pub(super) struct Pool {
    pub(super) name: PeerName,
    pub(super) text: String,
    /// Never empty; the first one is used where it is not known which the pool has.
    pub(super) keys: Vec<(PublicKey, PairKeys)>,
}

/// A request whose author is known.
pub(super) struct Request {
    pub(super) request: MintQuoteRequest,
    /// What an answer to it covers.
    pub(super) digest: [u8; 32],
    pub(super) content: [u8; 32],
    /// Under which of the pool's keys it came.
    pub(super) key_index: usize,
    /// The pool's own number for it.
    pub(super) number: u64,
}

pub(super) enum Taken {
    Request(Request),
    /// Not the pool's. It may still be the pool's request, altered on the way, so it is answered.
    Unauthentic {
        header_hash: [u8; 32],
        digest: [u8; 32],
    },
    /// No request at all: dropped.
    Malformed,
}

/// A request whose author is not known yet.
struct Unknown<'a> {
    request: MintQuoteRequest,
    digest: [u8; 32],
    number: u64,
    bytes: &'a [u8],
    key_index: Option<usize>,
}

impl Pool {
    /// Type and bytes of each message; in their order what it is.
    pub(super) fn take<'a>(
        &self,
        messages: impl IntoIterator<Item = (u8, &'a [u8])>,
    ) -> Vec<Taken> {
        let unknown = messages
            .into_iter()
            .map(|(msg_type, bytes)| Unknown::read(msg_type, bytes));
        let mut unknown: Vec<Option<Unknown<'_>>> = unknown.collect();
        for (key_index, (_, keys)) in self.keys.iter().enumerate() {
            let left = unknown.iter_mut().flatten();
            let mut left: Vec<_> = left.filter(|request| request.key_index.is_none()).collect();
            let mut are_sealed = Vec::with_capacity(left.len());
            let sealed = left.iter().map(|request| Sealed {
                msg_type: MintQuoteRequest::MSG_TYPE,
                bytes: request.bytes,
                request_digest: None,
            });
            keys.open_all(sealed, |opened| are_sealed.push(opened.is_ok()));
            for (request, is_sealed) in left.iter_mut().zip(are_sealed) {
                if is_sealed || is_broken(Rule::Authenticator) {
                    request.key_index = Some(key_index);
                }
            }
        }
        let taken = unknown.into_iter();
        taken
            .map(|request| request.map_or(Taken::Malformed, Taken::of))
            .collect()
    }

    /// The request as the record knows it.
    pub(super) fn asked<'a>(&'a self, request: &'a Request) -> Asked<'a> {
        Asked {
            peer: &self.text,
            extension: EXT_MINT_QUOTE,
            key: &request.request.header_hash,
            content: &request.content,
        }
    }
}

impl<'a> Unknown<'a> {
    fn read(msg_type: u8, bytes: &'a [u8]) -> Option<Unknown<'a>> {
        if msg_type != MintQuoteRequest::MSG_TYPE {
            return None;
        }
        let unverified = Unverified::split(bytes).ok()?;
        Some(Unknown {
            request: MintQuoteRequest::decode_body(unverified.body).ok()?,
            digest: request_digest(EXT_MINT_QUOTE, msg_type, unverified.body),
            number: unverified.sequence,
            bytes,
            key_index: None,
        })
    }
}

impl Taken {
    fn of(unknown: Unknown<'_>) -> Taken {
        let Unknown {
            request,
            digest,
            number,
            key_index,
            ..
        } = unknown;
        match key_index {
            Some(key_index) => Taken::Request(Request {
                content: content(&request),
                request,
                digest,
                key_index,
                number,
            }),
            None => Taken::Unauthentic {
                header_hash: request.header_hash,
                digest,
            },
        }
    }
}

/// A digest of what makes two requests with one header hash the same (specification, section 6).
/// It never leaves this process's store.
fn content(request: &MintQuoteRequest) -> [u8; 32] {
    Sha256::new()
        .chain_update(b"winze/quote-content/v1")
        .chain_update(request.amount.to_le_bytes())
        .chain_update((request.unit.len() as u64).to_le_bytes())
        .chain_update(request.unit.as_bytes())
        .chain_update(request.locking_key)
        .finalize()
        .into()
}

#[cfg(test)]
mod tests {
    use winze_messages::Side;
    use winze_transport::SecretKey;

    use super::*;
    use crate::mint_quote::request_over;

    fn secret(byte: u8) -> SecretKey {
        SecretKey::from_bytes(&[byte; 32]).unwrap()
    }

    /// Of the pool, with this key.
    fn sealed(key: u8, share: u8) -> Vec<u8> {
        let request = request_over(share);
        let mut body = Vec::new();
        request.encode_body(&mut body).unwrap();
        let (own, mint, side) = (secret(key), secret(9).public_key(), Side::Requester);
        PairKeys::derive(&own, &mint, EXT_MINT_QUOTE, side, "pool", "mint").seal(
            MintQuoteRequest::MSG_TYPE,
            &body,
            share.into(),
            None,
        )
    }

    #[test]
    fn while_a_pool_changes_its_key_each_request_that_came_is_found_under_its_own() {
        let keys = [1, 2].map(|key| {
            let (own, pool) = (secret(9), secret(key).public_key());
            let side = Side::Responder;
            let keys = PairKeys::derive(&own, &pool, EXT_MINT_QUOTE, side, "pool", "mint");
            (pool, keys)
        });
        let name: PeerName = "pool/main".parse().unwrap();
        let pool = Pool {
            text: name.to_string(),
            name,
            keys: keys.into(),
        };
        let mut altered = sealed(1, 12);
        *altered.last_mut().unwrap() ^= 1;
        let messages = [
            sealed(2, 10),
            vec![0; 60],
            sealed(1, 11),
            altered,
            sealed(3, 13),
            sealed(2, 14),
        ];
        let came = messages.iter();
        let taken = pool.take(came.map(|bytes| (MintQuoteRequest::MSG_TYPE, &bytes[..])));
        let summary: Vec<_> = taken
            .iter()
            .map(|taken| match taken {
                Taken::Request(request) => {
                    assert_eq!(request.request.header_hash, [request.number as u8; 32]);
                    Some((request.number, Some(request.key_index)))
                }
                Taken::Unauthentic { header_hash, .. } => Some((header_hash[0].into(), None)),
                Taken::Malformed => None,
            })
            .collect();
        let expected = [
            Some((10, Some(1))),
            None,
            Some((11, Some(0))),
            Some((12, None)),
            Some((13, None)),
            Some((14, Some(1))),
        ];
        assert_eq!(summary, expected);
    }
}
