//! Who takes part: a pool and a mint, their keys, and what they say.

use winze_client::Identity;
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteRequest, MintQuoteResponse, QuoteErrorCode,
    QuoteState,
};
use winze_messages::{EXT_MINT_QUOTE, PairKeys, PeerName, Side, request_digest};
use winze_transport::{PublicKey, SecretKey};

pub fn secret(byte: u8) -> SecretKey {
    SecretKey::from_bytes(&[byte; 32]).unwrap()
}

pub fn public(byte: u8) -> PublicKey {
    secret(byte).public_key()
}

pub const POOL_KEY: u8 = 0x11;
pub const MINT_KEY: u8 = 0x22;
pub const STRANGER_KEY: u8 = 0x33;

pub fn pool() -> Identity {
    Identity::new("pool", "main", secret(POOL_KEY)).unwrap()
}

pub fn mint() -> Identity {
    Identity::new("mint", "main", secret(MINT_KEY)).unwrap()
}

pub fn name(text: &str) -> PeerName {
    text.parse().unwrap()
}

/// The mint's end of the pair, with `key` as its own.
pub fn mint_keys(key: u8) -> PairKeys {
    PairKeys::derive(
        &secret(key),
        &public(POOL_KEY),
        EXT_MINT_QUOTE,
        Side::Responder,
        "pool",
        "mint",
    )
}

/// A pool's end of the pair, with `key` as its own.
pub fn pool_keys(key: u8) -> PairKeys {
    PairKeys::derive(
        &secret(key),
        &public(MINT_KEY),
        EXT_MINT_QUOTE,
        Side::Requester,
        "pool",
        "mint",
    )
}

pub fn request(share: u8) -> MintQuoteRequest {
    let mut locking_key = [share; 33];
    locking_key[0] = 2;
    MintQuoteRequest {
        amount: 1_024,
        unit: "hash".to_owned(),
        header_hash: [share; 32],
        description: None,
        locking_key,
        keyset_id: vec![0; 8],
    }
}

pub fn response(request: &MintQuoteRequest) -> MintQuoteResponse {
    MintQuoteResponse {
        quote_id: format!("quote-{}", request.header_hash[0]),
        header_hash: request.header_hash,
        amount: request.amount,
        unit: request.unit.clone(),
        expires_at_unix_s: 0,
        state: QuoteState::Paid,
    }
}

pub fn refusal(
    request: &MintQuoteRequest,
    code: QuoteErrorCode,
    retry_after_ms: u32,
) -> MintQuoteError {
    MintQuoteError {
        header_hash: request.header_hash,
        error_code: code.to_u32(),
        error_message: "because".to_owned(),
        retry_after_ms,
    }
}

pub fn keyset(id: u8) -> KeysetAnnouncement {
    KeysetAnnouncement {
        unit: "hash".to_owned(),
        keyset_id: vec![id; 8],
        keys: vec![(1, [2; 33]), (2, [3; 33])],
    }
}

pub fn body(
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), winze_messages::EncodeError>,
) -> Vec<u8> {
    let mut body = Vec::new();
    encode(&mut body).unwrap();
    body
}

pub fn request_body(request: &MintQuoteRequest) -> Vec<u8> {
    body(|out| request.encode_body(out))
}

pub fn digest(request: &MintQuoteRequest) -> [u8; 32] {
    request_digest(
        EXT_MINT_QUOTE,
        MintQuoteRequest::MSG_TYPE,
        &request_body(request),
    )
}
