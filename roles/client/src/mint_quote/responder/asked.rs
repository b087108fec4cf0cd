//! Who asks for what: a request is taken apart and its author verified.

use sha2::{Digest, Sha256};
use winze_messages::authenticator::Unverified;
use winze_messages::families::mint_quote::MintQuoteRequest;
use winze_messages::{EXT_MINT_QUOTE, PairKeys, PeerName, request_digest};
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

impl Pool {
    pub(super) fn take(&self, msg_type: u8, bytes: &[u8]) -> Taken {
        if msg_type != MintQuoteRequest::MSG_TYPE {
            return Taken::Malformed;
        }
        let Ok(unverified) = Unverified::split(bytes) else {
            return Taken::Malformed;
        };
        let Ok(request) = MintQuoteRequest::decode_body(unverified.body) else {
            return Taken::Malformed;
        };
        let digest = request_digest(EXT_MINT_QUOTE, msg_type, unverified.body);
        let key_index = self.keys.iter().position(|(_, keys)| {
            keys.open(msg_type, bytes, None).is_ok() || is_broken(Rule::Authenticator)
        });
        match key_index {
            Some(key_index) => Taken::Request(Request {
                content: content(&request),
                request,
                digest,
                key_index,
                number: unverified.sequence,
            }),
            None => Taken::Unauthentic {
                header_hash: request.header_hash,
                digest,
            },
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
