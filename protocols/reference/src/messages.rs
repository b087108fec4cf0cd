//! The messages, laid out for `binary_sv2` from the tables of the specification. Nothing checks a value: a test may
//! send what no peer should.

#![expect(
    missing_docs,
    reason = "the derives add `into_owned` and `as_owned` without documentation"
)]

use binary_sv2::{
    B0255, Deserialize, PubKey, Seq064K, Serialize, Signature, Str0255, Sv2Option, U256,
};

/// The extension that negotiates extensions (Sv2 extension 0x0001).
pub const EXT_EXTENSIONS: u16 = 0x0001;
/// The hub family (specification, section 2).
pub const EXT_HUB: u16 = 0x4801;
/// The mint-quote family (specification, section 5).
pub const EXT_MINT_QUOTE: u16 = 0x4802;

/// A text field. Panics above 255 bytes.
pub fn text(text: &str) -> Str0255<'_> {
    text.try_into().unwrap()
}

/// `RequestExtensions`, and `RequestExtensions.Success`, which has the same layout.
#[derive(Debug, Serialize, Deserialize)]
pub struct Extensions<'decoder> {
    /// The client's, returned in the answer.
    pub request_id: u16,
    /// What is wanted, or what is offered of it.
    pub extensions: Seq064K<'decoder, u16>,
}

/// 0x00 of the hub family.
#[derive(Debug, Serialize, Deserialize)]
pub struct Authenticate<'decoder> {
    /// What the client is, as `pool`.
    pub role: Str0255<'decoder>,
    /// Which one it is, as `main`.
    pub name: Str0255<'decoder>,
    /// Its x-only key.
    pub public_key: PubKey<'decoder>,
    /// BIP 340, over [`authenticate_digest`](crate::authenticate_digest).
    pub signature: Signature<'decoder>,
}

/// 0x01 of the hub family.
#[derive(Debug, Serialize, Deserialize)]
pub struct AuthenticateSuccess {
    /// The longest payload on this connection, in bytes.
    pub payload_bytes_max: u32,
    /// How many channels it may have.
    pub channels_max: u32,
    /// After so much silence of the client the hub asks whether it is there.
    pub ping_interval_ms: u32,
    /// After so much silence the connection is closed.
    pub idle_timeout_ms: u32,
}

/// 0x03 of the hub family.
#[derive(Debug, Serialize, Deserialize)]
pub struct OpenChannel<'decoder> {
    /// The client's, returned in the answer.
    pub request_id: u32,
    /// Without the channel bit.
    pub extension: u16,
    /// The peer name of the other end.
    pub peer: Str0255<'decoder>,
    /// Tells apart several channels between the same two.
    pub label: Str0255<'decoder>,
    /// How many messages the opener will take.
    pub credit_messages: u64,
    /// How many bytes of payload the opener will take.
    pub credit_bytes: u64,
}

/// 0x04 of the hub family.
#[derive(Debug, Serialize, Deserialize)]
pub struct OpenChannelSuccess {
    /// That of the request.
    pub request_id: u32,
    /// Of this connection.
    pub channel_id: u32,
    /// 1 where the far end is there.
    pub peer_present: u8,
    /// Which instance of the far end; 0 while it is away.
    pub peer_instance: u64,
    /// How many messages the hub will take.
    pub credit_messages: u64,
    /// How many bytes of payload the hub will take.
    pub credit_bytes: u64,
}

/// 0x0b of the hub family.
#[derive(Debug, Serialize, Deserialize)]
pub struct Presence {
    /// Of this connection.
    pub channel_id: u32,
    /// 1 where the far end is there.
    pub present: u8,
    /// Which instance of the far end; 0 while it is away.
    pub instance: u64,
}

/// The last 48 bytes of a channel's message (specification, section 4).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Authenticator<'decoder> {
    /// Says which key the code was made with.
    pub key_id: u64,
    /// The sender's number for the message.
    pub sequence: u64,
    /// HMAC-SHA256.
    pub mac: U256<'decoder>,
}

/// 0x80 of the mint-quote family.
#[derive(Debug, Serialize, Deserialize)]
pub struct QuoteRequest<'decoder> {
    /// Of this connection.
    pub channel_id: u32,
    /// What the mint reads, and the authenticator covers.
    pub body: QuoteRequestBody<'decoder>,
    /// By the requester.
    pub authenticator: Authenticator<'decoder>,
}

/// What is between channel id and authenticator of a [`QuoteRequest`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuoteRequestBody<'decoder> {
    /// In `unit`.
    pub amount: u64,
    /// As `hash`.
    pub unit: Str0255<'decoder>,
    /// Of the share's block header, as the hash function gives it.
    pub header_hash: U256<'decoder>,
    /// For a person.
    pub description: Sv2Option<'decoder, Str0255<'decoder>>,
    /// The compressed key that the quote is locked to.
    pub locking_key: B0255<'decoder>,
    /// 8 or 33 bytes (NUT-02).
    pub keyset_id: B0255<'decoder>,
}

/// 0x84 of the mint-quote family.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoreQuery<'decoder> {
    /// Of this connection.
    pub channel_id: u32,
    /// Random.
    pub nonce: U256<'decoder>,
    /// By the end that asks.
    pub authenticator: Authenticator<'decoder>,
}

/// 0x85 of the mint-quote family.
#[derive(Debug, Serialize, Deserialize)]
pub struct StoreState<'decoder> {
    /// Of this connection.
    pub channel_id: u32,
    /// Highest number of a request.
    pub requests: u64,
    /// Highest number of an answer.
    pub answers: u64,
    /// By the end that answers, over the query's digest.
    pub authenticator: Authenticator<'decoder>,
}

/// 0x81 of the mint-quote family.
#[derive(Debug, Serialize, Deserialize)]
pub struct QuoteResponse<'decoder> {
    /// Of this connection.
    pub channel_id: u32,
    /// What the requester reads, and the authenticator covers.
    pub body: QuoteResponseBody<'decoder>,
    /// By the responder.
    pub authenticator: Authenticator<'decoder>,
}

/// What is between channel id and authenticator of a [`QuoteResponse`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct QuoteResponseBody<'decoder> {
    /// The mint's id of it (NUT-04).
    pub quote_id: Str0255<'decoder>,
    /// That of the request.
    pub header_hash: U256<'decoder>,
    /// That of the request.
    pub amount: u64,
    /// That of the request.
    pub unit: Str0255<'decoder>,
    /// Unix time in seconds; 0 is never.
    pub expires_at: u64,
    /// 0 unpaid, 1 paid, 2 issued.
    pub state: u8,
}
