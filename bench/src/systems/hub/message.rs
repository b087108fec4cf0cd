//! What is sent through the hub: quote requests and answers with their authenticators, or opaque bytes.

use winze_messages::authenticator::{PairKeys, request_digest};
use winze_messages::families::mint_quote::{MintQuoteRequest, MintQuoteResponse, QuoteState};
use winze_messages::{EXT_MINT_QUOTE, Sealed, Side, Unsealed, channel_frame};
use winze_transport::{Frame, PublicKey, SecretKey};

use super::{RECEIVER_ROLE, SENDER_ROLE};
use crate::error::BenchError;

/// Type of `MintQuoteRequest`.
const REQUEST: u8 = 0x80;
/// Type of `MintQuoteResponse`.
const RESPONSE: u8 = 0x81;
/// Type of the opaque message.
const OPAQUE: u8 = 1;
/// In front of each message.
const CHANNEL_ID_BYTES: usize = 4;
/// What a payload has beside a message's body: the channel id and the authenticator.
const AROUND_BODY_BYTES: usize = CHANNEL_ID_BYTES + 48;

/// Makes the messages of one side, and checks those of the other.
pub enum Messages {
    /// Sealed for each message anew by its sender, verified by its receiver.
    Quote {
        /// Shared with the other side.
        keys: Box<PairKeys>,
        /// Type and body of what this side sends.
        own: (u8, Vec<u8>),
        /// What the other side sends.
        theirs: (u8, Vec<u8>),
        /// What an answer of this side covers.
        own_digest: Option<[u8; 32]>,
        /// What an answer of the other side covers.
        their_digest: Option<[u8; 32]>,
        /// The next message's number.
        sequence: u64,
    },
    /// Bytes.
    Opaque {
        /// Of which extension.
        extension: u16,
        /// What comes behind the channel id.
        bytes: Vec<u8>,
    },
}

impl Messages {
    /// Messages between `own` and `peer` whose payloads are `payload_bytes`.
    pub fn new(
        extension: u16,
        own: &SecretKey,
        peer: &PublicKey,
        side: Side,
        payload_bytes: usize,
    ) -> Result<Messages, BenchError> {
        if extension != EXT_MINT_QUOTE {
            let bytes = vec![0x5a; payload_bytes.saturating_sub(CHANNEL_ID_BYTES)];
            return Ok(Messages::Opaque { extension, bytes });
        }
        let keys = PairKeys::derive(own, peer, extension, side, SENDER_ROLE, RECEIVER_ROLE);
        let body_bytes = payload_bytes.saturating_sub(AROUND_BODY_BYTES);
        let request = (REQUEST, padded(body_bytes, request_body)?);
        let response = (RESPONSE, padded(body_bytes, response_body)?);
        let digest = Some(request_digest(extension, REQUEST, &request.1));
        let keys = Box::new(keys);
        Ok(match side {
            Side::Requester => Messages::Quote {
                keys,
                own: request,
                theirs: response,
                own_digest: None,
                their_digest: digest,
                sequence: 1,
            },
            Side::Responder => Messages::Quote {
                keys,
                own: response,
                theirs: request,
                own_digest: digest,
                their_digest: None,
                sequence: 1,
            },
        })
    }

    /// Bytes of a message's payload.
    pub fn payload_bytes(&self) -> usize {
        match self {
            Messages::Quote { own: (_, body), .. } => body.len() + AROUND_BODY_BYTES,
            Messages::Opaque { bytes, .. } => bytes.len() + CHANNEL_ID_BYTES,
        }
    }

    /// The next messages, as many as that.
    pub fn make(&mut self, channel_id: u32, messages: usize, mut made: impl FnMut(Frame)) {
        match self {
            Messages::Quote {
                keys,
                own: (msg_type, body),
                own_digest,
                sequence,
                ..
            } => {
                let first = *sequence;
                *sequence += messages as u64;
                let messages = (first..*sequence).map(|sequence| Unsealed {
                    msg_type: *msg_type,
                    body,
                    sequence,
                    request_digest: *own_digest,
                });
                keys.seal_frames(EXT_MINT_QUOTE, channel_id, messages, made);
            }
            Messages::Opaque { extension, bytes } => {
                for _ in 0..messages {
                    made(channel_frame(*extension, OPAQUE, channel_id, bytes));
                }
            }
        }
    }

    /// Whether all of these are what the other side sends.
    pub fn check<'f>(&self, mut frames: impl Iterator<Item = &'f Frame> + Clone) -> bool {
        match self {
            Messages::Quote {
                keys,
                theirs: (msg_type, body),
                their_digest,
                ..
            } => {
                if frames.clone().any(|frame| frame.msg_type != *msg_type) {
                    return false;
                }
                let received = frames.map(|frame| Sealed {
                    msg_type: *msg_type,
                    bytes: frame.payload.get(CHANNEL_ID_BYTES..).unwrap_or_default(),
                    request_digest: *their_digest,
                });
                let mut are_theirs = true;
                keys.open_all(received, |opened| {
                    are_theirs &= opened.is_ok_and(|opened| opened.body == body);
                });
                are_theirs
            }
            Messages::Opaque { bytes, .. } => {
                frames.all(|frame| frame.payload.len() == bytes.len() + CHANNEL_ID_BYTES)
            }
        }
    }
}

/// A body of exactly so many bytes, by the text in it.
fn padded(
    body_bytes: usize,
    make: impl Fn(String) -> Result<Vec<u8>, BenchError>,
) -> Result<Vec<u8>, BenchError> {
    let short = make("x".to_owned())?.len();
    let text = "x".repeat(1 + body_bytes.saturating_sub(short));
    let body = make(text)?;
    match body.len() == body_bytes {
        true => Ok(body),
        false => Err(BenchError::machine(
            "a message",
            format!("{} bytes instead of {body_bytes}", body.len()),
        )),
    }
}

fn request_body(description: String) -> Result<Vec<u8>, BenchError> {
    let request = MintQuoteRequest {
        amount: 1 << 20,
        unit: "hash".to_owned(),
        header_hash: [0x17; 32],
        description: Some(description),
        locking_key: [2; 33],
        keyset_id: vec![0; 8],
    };
    let mut body = Vec::new();
    request
        .encode_body(&mut body)
        .map_err(|error| BenchError::machine("a request", error))?;
    Ok(body)
}

fn response_body(quote_id: String) -> Result<Vec<u8>, BenchError> {
    let response = MintQuoteResponse {
        quote_id,
        header_hash: [0x17; 32],
        amount: 1 << 20,
        unit: "hash".to_owned(),
        expires_at_unix_s: 0,
        state: QuoteState::Paid,
    };
    let mut body = Vec::new();
    response
        .encode_body(&mut body)
        .map_err(|error| BenchError::machine("an answer", error))?;
    Ok(body)
}
