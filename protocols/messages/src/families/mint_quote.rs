//! The mint-quote family (section 5): a pool has a mint issue a quote for each share.
//!
//! All but the last two messages travel between pool and mint and are sealed by
//! [`PairKeys`](crate::authenticator::PairKeys); the last two tell a miner about its quotes on
//! its mining connection. The structs are bodies: channel id and authenticator are outside.

mod error_code;
mod kinds;

pub use error_code::QuoteErrorCode;
pub use kinds::QuoteState;
use kinds::{ErrorCode, HeaderHash, KeysetId, KeysetKeys, LockingKey, OptionalText, State};

use crate::codec::error::{DecodeError, EncodeError, MessageError};
use crate::codec::kinds::{Bytes, Text, U32, U64};
use crate::codec::message::message;

/// The mint-quote family's extension.
pub const EXT_MINT_QUOTE: u16 = 0x4802;

message! {
    /// One share is to become one quote. `header_hash` is the idempotency key; amount, unit and
    /// locking key are its content.
    SealedChannel MintQuoteRequest = EXT_MINT_QUOTE, 0x80, "MintQuoteRequest" {
        /// 1..=[`AMOUNT_MAX`](crate::limits::AMOUNT_MAX) in `unit`. Other amounts decode; the
        /// mint refuses them by name.
        amount: u64 as U64,
        /// Lower case, for instance `hash`.
        unit: String as Text,
        /// Double SHA-256 of the share's block header, as the hash function gives it.
        header_hash: [u8; 32] as HeaderHash,
        /// For a person.
        description: Option<String> as OptionalText,
        /// Compressed secp256k1 key that the quote is locked to (NUT-20). Bytes that are no
        /// point decode; the mint refuses them by name.
        locking_key: [u8; 33] as LockingKey,
        /// 8 bytes (version 1) or 33 (version 2), NUT-02.
        keyset_id: Vec<u8> as KeysetId,
    }
}

message! {
    /// The quote exists; with [`QuoteState::Unknown`], whoever answers has done its part and cannot tell.
    SealedChannel MintQuoteResponse = EXT_MINT_QUOTE, 0x81, "MintQuoteResponse" {
        /// The mint's id of it (NUT-04). Empty with [`QuoteState::Unknown`], and only then.
        quote_id: String as Text,
        /// That of the request.
        header_hash: [u8; 32] as HeaderHash,
        /// That of the request.
        amount: u64 as U64,
        /// That of the request.
        unit: String as Text,
        /// Unix time in seconds; 0 is never. `expires_at` on the wire.
        expires_at_unix_s: u64 as U64,
        /// Paid from the start, since the share is the payment. [`QuoteState::Unknown`] is never a mint's own word, only a
        /// bridge's.
        state: QuoteState as State,
    }
}

message! {
    /// The quote will not exist, or not yet.
    SealedChannel MintQuoteError = EXT_MINT_QUOTE, 0x82, "MintQuoteError" {
        /// That of the request.
        header_hash: [u8; 32] as HeaderHash,
        /// A [`QuoteErrorCode`], or a code of a later version.
        error_code: u32 as ErrorCode,
        /// For a person.
        error_message: String as Text,
        /// When to ask again, in milliseconds; 0 for a final error.
        retry_after_ms: u32 as U32,
    }
}

message! {
    /// The active keyset of a unit. The authenticator's sequence is its serial number.
    SealedChannel KeysetAnnouncement = EXT_MINT_QUOTE, 0x83, "KeysetAnnouncement" {
        /// Lower case, for instance `hash`.
        unit: String as Text,
        /// 8 bytes (version 1) or 33 (version 2), NUT-02.
        keyset_id: Vec<u8> as KeysetId,
        /// 1..=64 pairs of amount and compressed public key, by rising amount.
        keys: Vec<(u64, [u8; 33])> as KeysetKeys,
    }
}

message! {
    /// Asks the far end how far its store has come. Its nonce makes the answer fresh.
    SealedChannel StoreQuery = EXT_MINT_QUOTE, 0x84, "StoreQuery" {
        /// Random, and never used again.
        nonce: [u8; 32] as Bytes<32>,
    }
}

message! {
    /// How far the sender's store has come, for the query whose digest the authenticator covers.
    SealedChannel StoreState = EXT_MINT_QUOTE, 0x85, "StoreState" {
        /// The highest number of a request between the two peers that this store holds or has held: a requester's
        /// highest that it ever gave, a responder's highest among those that it has answered.
        requests: u64 as U64,
        /// The highest number of an answer between the two peers: a responder's highest that it ever gave, a
        /// requester's highest among those whose effect it has recorded.
        answers: u64 as U64,
    }
}

message! {
    /// The pool tells a miner: this share became this quote.
    Channel MintQuoteNotification = EXT_MINT_QUOTE, 0xC0, "MintQuoteNotification" {
        /// The share's block header hash, as the hash function gives it.
        header_hash: [u8; 32] as HeaderHash,
        /// The mint's id of the quote (NUT-04).
        quote_id: String as Text,
        /// In `unit`.
        amount: u64 as U64,
        /// Lower case, for instance `hash`.
        unit: String as Text,
        /// Unix time in seconds; 0 is never. `expires_at` on the wire.
        expires_at_unix_s: u64 as U64,
    }
}

message! {
    /// The pool tells a miner: the mint finally refused this share's quote.
    Channel MintQuoteFailure = EXT_MINT_QUOTE, 0xC1, "MintQuoteFailure" {
        /// The share's block header hash, as the hash function gives it.
        header_hash: [u8; 32] as HeaderHash,
        /// A [`QuoteErrorCode`], or a code of a later version.
        error_code: u32 as ErrorCode,
        /// For a person.
        error_message: String as Text,
    }
}

/// Any body of this family.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each variant is the message of its name")]
pub enum MintQuoteMessage {
    Request(MintQuoteRequest),
    Response(MintQuoteResponse),
    Error(MintQuoteError),
    Keyset(KeysetAnnouncement),
    StoreQuery(StoreQuery),
    StoreState(StoreState),
    Notification(MintQuoteNotification),
    Failure(MintQuoteFailure),
}

impl MintQuoteMessage {
    /// Reads a body: what is behind the channel id, without the authenticator (which
    /// [`PairKeys::open`](crate::authenticator::PairKeys::open) takes off).
    pub fn decode_body(msg_type: u8, body: &[u8]) -> Result<MintQuoteMessage, MessageError> {
        let decoded: Result<_, DecodeError> = match msg_type {
            MintQuoteRequest::MSG_TYPE => {
                MintQuoteRequest::decode_body(body).map(MintQuoteMessage::Request)
            }
            MintQuoteResponse::MSG_TYPE => {
                MintQuoteResponse::decode_body(body).map(MintQuoteMessage::Response)
            }
            MintQuoteError::MSG_TYPE => {
                MintQuoteError::decode_body(body).map(MintQuoteMessage::Error)
            }
            KeysetAnnouncement::MSG_TYPE => {
                KeysetAnnouncement::decode_body(body).map(MintQuoteMessage::Keyset)
            }
            StoreQuery::MSG_TYPE => StoreQuery::decode_body(body).map(MintQuoteMessage::StoreQuery),
            StoreState::MSG_TYPE => StoreState::decode_body(body).map(MintQuoteMessage::StoreState),
            MintQuoteNotification::MSG_TYPE => {
                MintQuoteNotification::decode_body(body).map(MintQuoteMessage::Notification)
            }
            MintQuoteFailure::MSG_TYPE => {
                MintQuoteFailure::decode_body(body).map(MintQuoteMessage::Failure)
            }
            _ => {
                return Err(MessageError::Unknown {
                    extension_type: EXT_MINT_QUOTE | winze_transport::CHANNEL_BIT,
                    msg_type,
                });
            }
        };
        Ok(decoded?)
    }

    /// The message's id within the family.
    pub fn msg_type(&self) -> u8 {
        match self {
            MintQuoteMessage::Request(_) => MintQuoteRequest::MSG_TYPE,
            MintQuoteMessage::Response(_) => MintQuoteResponse::MSG_TYPE,
            MintQuoteMessage::Error(_) => MintQuoteError::MSG_TYPE,
            MintQuoteMessage::Keyset(_) => KeysetAnnouncement::MSG_TYPE,
            MintQuoteMessage::StoreQuery(_) => StoreQuery::MSG_TYPE,
            MintQuoteMessage::StoreState(_) => StoreState::MSG_TYPE,
            MintQuoteMessage::Notification(_) => MintQuoteNotification::MSG_TYPE,
            MintQuoteMessage::Failure(_) => MintQuoteFailure::MSG_TYPE,
        }
    }

    /// Appends the body. On an error (a field over its bounds) nothing is appended.
    pub fn encode_body(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self {
            MintQuoteMessage::Request(message) => message.encode_body(out),
            MintQuoteMessage::Response(message) => message.encode_body(out),
            MintQuoteMessage::Error(message) => message.encode_body(out),
            MintQuoteMessage::Keyset(message) => message.encode_body(out),
            MintQuoteMessage::StoreQuery(message) => message.encode_body(out),
            MintQuoteMessage::StoreState(message) => message.encode_body(out),
            MintQuoteMessage::Notification(message) => message.encode_body(out),
            MintQuoteMessage::Failure(message) => message.encode_body(out),
        }
    }
}
