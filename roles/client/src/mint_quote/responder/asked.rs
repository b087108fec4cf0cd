//! Who asks for what: a request is taken apart and its author verified.

use winze_hmac::{DIGEST_BYTES, Message, Sha256};
use winze_messages::authenticator::Unverified;
use winze_messages::families::mint_quote::MintQuoteRequest;
use winze_messages::{EXT_MINT_QUOTE, PairKeys, PeerName, Sealed, request_digests};
use winze_transport::PublicKey;

use crate::answers::{self, Asked};
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
    /// What it is looked up and recorded by: its key's hash.
    pub(super) by_key: i64,
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
    number: u64,
    bytes: &'a [u8],
    /// The part of `bytes` that the request was decoded from.
    body: &'a [u8],
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
        self.verify(&mut unknown);
        let mut hashes = Hashes::of_all(unknown.iter().flatten()).into_iter();
        let mut taken = |request| Some(Taken::of(request, hashes.next()?));
        let unknown = unknown.into_iter();
        unknown
            .map(|request| request.and_then(&mut taken).unwrap_or(Taken::Malformed))
            .collect()
    }

    /// Finds the key under which each came.
    fn verify(&self, unknown: &mut [Option<Unknown<'_>>]) {
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
            number: unverified.sequence,
            bytes,
            body: unverified.body,
            key_index: None,
        })
    }
}

impl Taken {
    fn of(unknown: Unknown<'_>, hashes: Hashes) -> Taken {
        let Unknown {
            request,
            number,
            key_index,
            ..
        } = unknown;
        let Hashes {
            digest,
            content,
            by_key,
        } = hashes;
        match key_index {
            Some(key_index) => Taken::Request(Request {
                request,
                digest,
                content,
                by_key,
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

/// See [`Request`].
struct Hashes {
    digest: [u8; 32],
    content: [u8; 32],
    by_key: i64,
}

impl Hashes {
    /// Of each request, in their order: all of them are hashed together.
    fn of_all<'a>(requests: impl Iterator<Item = &'a Unknown<'a>> + Clone) -> Vec<Hashes> {
        let messages = requests.clone();
        let messages = messages.map(|request| (MintQuoteRequest::MSG_TYPE, request.body));
        let digests = request_digests(EXT_MINT_QUOTE, &messages.collect::<Vec<_>>());
        let contents = contents(requests.clone().map(|request| &request.request));
        let keys = requests.map(|request| request.request.header_hash.as_slice());
        let by_keys = answers::key_hashes(EXT_MINT_QUOTE, keys);
        let hashes = digests.into_iter().zip(contents).zip(by_keys);
        hashes
            .map(|((digest, content), by_key)| Hashes {
                digest,
                content,
                by_key,
            })
            .collect()
    }
}

/// Of each request a digest of what makes two requests with one header hash the same (specification, section 6).
/// It never leaves this process's store.
fn contents<'a>(requests: impl Iterator<Item = &'a MintQuoteRequest>) -> Vec<[u8; 32]> {
    let parts = requests.map(|request| (content_head(request), &request.locking_key));
    let parts: Vec<_> = parts.collect();
    let messages = parts.iter().map(|(head, key)| Message { head, body: *key });
    let messages: Vec<_> = messages.collect();
    let mut contents = vec![[0; DIGEST_BYTES]; messages.len()];
    Sha256::new().digests(&messages, &mut contents);
    contents
}

/// All of its content but the locking key, which comes last.
fn content_head(request: &MintQuoteRequest) -> Vec<u8> {
    let unit_bytes = request.unit.len() as u64;
    [
        b"winze/quote-content/v1",
        &request.amount.to_le_bytes()[..],
        &unit_bytes.to_le_bytes(),
        request.unit.as_bytes(),
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use sha2::Digest;
    use winze_messages::{Side, request_digest};
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

    /// Of the pool, with its key of byte 1.
    fn sealed_request(request: &MintQuoteRequest, number: u64) -> Vec<u8> {
        let mut body = Vec::new();
        request.encode_body(&mut body).unwrap();
        let (own, mint, side) = (secret(1), secret(9).public_key(), Side::Requester);
        PairKeys::derive(&own, &mint, EXT_MINT_QUOTE, side, "pool", "mint").seal(
            MintQuoteRequest::MSG_TYPE,
            &body,
            number,
            None,
        )
    }

    /// The content of a request, and what it is found by.
    type Recorded = ([u8; 32], i64);

    /// The number and the digest of a request, and what is recorded of it; of an unauthentic one the digest alone.
    fn hashes(taken: &Taken) -> Option<(u64, [u8; 32], Option<Recorded>)> {
        match taken {
            Taken::Request(request) => {
                let recorded = (request.content, request.by_key);
                Some((request.number, request.digest, Some(recorded)))
            }
            Taken::Unauthentic { digest, .. } => Some((0, *digest, None)),
            Taken::Malformed => None,
        }
    }

    /// As it lies in stores already.
    fn content_alone(request: &MintQuoteRequest) -> [u8; 32] {
        sha2::Sha256::new()
            .chain_update(b"winze/quote-content/v1")
            .chain_update(request.amount.to_le_bytes())
            .chain_update((request.unit.len() as u64).to_le_bytes())
            .chain_update(request.unit.as_bytes())
            .chain_update(request.locking_key)
            .finalize()
            .into()
    }

    #[test]
    fn each_request_of_a_mixed_batch_has_the_hashes_that_it_has_alone() {
        let (own, public_key) = (secret(9), secret(1).public_key());
        let side = Side::Responder;
        let keys = PairKeys::derive(&own, &public_key, EXT_MINT_QUOTE, side, "pool", "mint");
        let name: PeerName = "pool/main".parse().unwrap();
        let pool = Pool {
            text: name.to_string(),
            name,
            keys: vec![(public_key, keys)],
        };
        let mut messages = Vec::new();
        let mut expected = Vec::new();
        for number in 1..=60_u8 {
            let request = MintQuoteRequest {
                amount: number.into(),
                unit: "u".repeat(1 + usize::from(number) * 4),
                locking_key: [number; 33],
                ..request_over(number)
            };
            let mut body = Vec::new();
            request.encode_body(&mut body).unwrap();
            let digest = request_digest(EXT_MINT_QUOTE, MintQuoteRequest::MSG_TYPE, &body);
            let mut bytes = sealed_request(&request, number.into());
            let mut msg_type = MintQuoteRequest::MSG_TYPE;
            expected.push(match number % 5 {
                1 => {
                    *bytes.last_mut().unwrap() ^= 1;
                    Some((0, digest, None))
                }
                2 => {
                    bytes.remove(0);
                    None
                }
                3 => {
                    msg_type += 1;
                    None
                }
                _ => {
                    let by_key = answers::key_hashes(EXT_MINT_QUOTE, [&request.header_hash[..]])[0];
                    Some((
                        number.into(),
                        digest,
                        Some((content_alone(&request), by_key)),
                    ))
                }
            });
            messages.push((msg_type, bytes));
        }
        let came = messages
            .iter()
            .map(|(msg_type, bytes)| (*msg_type, &bytes[..]));
        let together = pool.take(came.clone());
        assert_eq!(together.iter().map(hashes).collect::<Vec<_>>(), expected);
        let alone = came.flat_map(|message| pool.take([message]));
        assert_eq!(
            alone.map(|taken| hashes(&taken)).collect::<Vec<_>>(),
            expected
        );
    }
}
