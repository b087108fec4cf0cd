//! Messages of the mint-quote family.

use serde_json::{Value, json};
use winze_messages::families::mint_quote;
use winze_messages::{EXT_MINT_QUOTE, PairKeys, channel_frame, request_digest};
use winze_transport::Frame;

use super::{FrameVector, vector};
use crate::people::{compressed_key, header_hash, mint_keys, pool_keys};

/// The frame of a sealed message on channel 1, and the values of its fields with the
/// authenticator's.
fn sealed(
    keys: &PairKeys,
    msg_type: u8,
    body: &[u8],
    sequence: u64,
    digest: Option<[u8; 32]>,
    mut values: Vec<Value>,
) -> (Frame, Value) {
    let sealed = keys.seal(msg_type, body, sequence, digest);
    let mac = &sealed[sealed.len() - 32..];
    values.insert(0, json!(1));
    values.push(json!(hex::encode(keys.own_key_id())));
    values.push(json!(sequence));
    values.push(json!(hex::encode(mac)));
    let frame = channel_frame(EXT_MINT_QUOTE, msg_type, 1, &sealed);
    (frame, Value::Array(values))
}

/// The first request, which the answers answer.
pub fn request() -> mint_quote::MintQuoteRequest {
    mint_quote::MintQuoteRequest {
        amount: 256,
        unit: "hash".to_owned(),
        header_hash: header_hash("1"),
        description: None,
        locking_key: compressed_key("miner 1"),
        keyset_id: [vec![1], header_hash("keyset").to_vec()].concat(),
    }
}

pub fn body(
    encode: impl FnOnce(&mut Vec<u8>) -> Result<(), winze_messages::EncodeError>,
) -> Vec<u8> {
    let mut body = Vec::new();
    encode(&mut body).unwrap();
    body
}

pub fn digest_of_request() -> [u8; 32] {
    let body = body(|out| request().encode_body(out));
    request_digest(
        EXT_MINT_QUOTE,
        mint_quote::MintQuoteRequest::MSG_TYPE,
        &body,
    )
}

fn request_vector(
    name: &'static str,
    request: &mint_quote::MintQuoteRequest,
    sequence: u64,
) -> FrameVector {
    let (frame, values) = sealed(
        &pool_keys(),
        mint_quote::MintQuoteRequest::MSG_TYPE,
        &body(|out| request.encode_body(out)),
        sequence,
        None,
        vec![
            json!(request.amount),
            json!(request.unit),
            json!(hex::encode(request.header_hash)),
            json!(request.description),
            json!(hex::encode(request.locking_key)),
            json!(hex::encode(&request.keyset_id)),
        ],
    );
    vector(name, &frame, values)
}

fn error_vector(
    name: &'static str,
    error: &mint_quote::MintQuoteError,
    sequence: u64,
) -> FrameVector {
    let (frame, values) = sealed(
        &mint_keys(),
        mint_quote::MintQuoteError::MSG_TYPE,
        &body(|out| error.encode_body(out)),
        sequence,
        Some(digest_of_request()),
        vec![
            json!(hex::encode(error.header_hash)),
            json!(error.error_code),
            json!(error.error_message),
            json!(error.retry_after_ms),
        ],
    );
    vector(name, &frame, values)
}

fn announcement_vector(
    name: &'static str,
    keyset_id: Vec<u8>,
    keys: Vec<(u64, [u8; 33])>,
    serial: u64,
) -> FrameVector {
    let values = vec![
        json!("hash"),
        json!(hex::encode(&keyset_id)),
        keys.iter()
            .map(|(amount, key)| json!([amount, hex::encode(key)]))
            .collect(),
    ];
    let announcement = mint_quote::KeysetAnnouncement {
        unit: "hash".to_owned(),
        keyset_id,
        keys,
    };
    let (frame, values) = sealed(
        &mint_keys(),
        mint_quote::KeysetAnnouncement::MSG_TYPE,
        &body(|out| announcement.encode_body(out)),
        serial,
        None,
        values,
    );
    vector(name, &frame, values)
}

/// A question of one end and the other's answer, which is verified for it.
fn store_vectors(
    [asked, said]: [&'static str; 2],
    asker_keys: &PairKeys,
    other_keys: &PairKeys,
    nonce: [u8; 32],
    state: &mint_quote::StoreState,
) -> [FrameVector; 2] {
    let query = mint_quote::StoreQuery { nonce };
    let query_body = body(|out| query.encode_body(out));
    let query_type = mint_quote::StoreQuery::MSG_TYPE;
    let digest = request_digest(EXT_MINT_QUOTE, query_type, &query_body);
    let nonce = vec![json!(hex::encode(nonce))];
    let (query_frame, query_values) = sealed(asker_keys, query_type, &query_body, 0, None, nonce);
    let (state_frame, state_values) = sealed(
        other_keys,
        mint_quote::StoreState::MSG_TYPE,
        &body(|out| state.encode_body(out)),
        0,
        Some(digest),
        vec![json!(state.requests), json!(state.answers)],
    );
    [
        vector(asked, &query_frame, query_values),
        vector(said, &state_frame, state_values),
    ]
}

pub fn quote_frames() -> Vec<FrameVector> {
    let quote = mint_quote::MintQuoteResponse {
        quote_id: "0192b7e4-6f7d-7cc3-98c4-dc0c0c07398f".to_owned(),
        header_hash: header_hash("1"),
        amount: 256,
        unit: "hash".to_owned(),
        expires_at_unix_s: 0,
        state: mint_quote::QuoteState::Paid,
    };
    let unknown = mint_quote::MintQuoteResponse {
        quote_id: String::new(),
        state: mint_quote::QuoteState::Unknown,
        ..quote.clone()
    };
    let answer = |response: &mint_quote::MintQuoteResponse| {
        sealed(
            &mint_keys(),
            mint_quote::MintQuoteResponse::MSG_TYPE,
            &body(|out| response.encode_body(out)),
            9,
            Some(digest_of_request()),
            vec![
                json!(response.quote_id),
                json!(hex::encode(response.header_hash)),
                json!(response.amount),
                json!(response.unit),
                json!(response.expires_at_unix_s),
                json!(response.state as u8),
            ],
        )
    };
    let (response_frame, response_values) = answer(&quote);
    let (unknown_frame, unknown_values) = answer(&unknown);
    let all_amounts = (0..64)
        .map(|power| (1 << power, compressed_key(&format!("2^{power}"))))
        .collect();
    let mut vectors = vec![
        request_vector("a share is to become a quote", &request(), 1),
        request_vector(
            "the largest quote, with a description and a version 1 keyset",
            &mint_quote::MintQuoteRequest {
                amount: 1 << 62,
                unit: "hash".to_owned(),
                header_hash: header_hash("2"),
                description: Some("rack 7, worker \u{e4}".to_owned()),
                locking_key: compressed_key("miner 2"),
                keyset_id: vec![0, 0xad, 0x26, 0x8c, 0x4d, 0x1f, 0x58, 0x26],
            },
            u64::MAX,
        ),
        vector(
            "the quote, as the answer to the first request",
            &response_frame,
            response_values,
        ),
        vector(
            "no id is known, as a bridge's answer to the first request",
            &unknown_frame,
            unknown_values,
        ),
        error_vector(
            "a final error, as the answer to the first request",
            &mint_quote::MintQuoteError {
                header_hash: header_hash("1"),
                error_code: 1,
                error_message: "this header hash was used with another amount".to_owned(),
                retry_after_ms: 0,
            },
            10,
        ),
        error_vector(
            "a temporary error, as the answer to the first request",
            &mint_quote::MintQuoteError {
                header_hash: header_hash("1"),
                error_code: 100,
                error_message: String::new(),
                retry_after_ms: 250,
            },
            0,
        ),
        announcement_vector(
            "a keyset of one key",
            vec![0, 0xad, 0x26, 0x8c, 0x4d, 0x1f, 0x58, 0x26],
            vec![(1, compressed_key("2^0"))],
            1,
        ),
        announcement_vector(
            "a keyset of 64 keys",
            [vec![1], header_hash("keyset").to_vec()].concat(),
            all_amounts,
            2,
        ),
    ];
    vectors.extend(store_vectors(
        [
            "the pool asks how far the mint's store has come",
            "the mint's store, as the answer",
        ],
        &pool_keys(),
        &mint_keys(),
        header_hash("nonce of the pool"),
        &mint_quote::StoreState {
            requests: 12,
            answers: 9,
        },
    ));
    vectors.extend(store_vectors(
        [
            "the mint asks how far the pool's store has come",
            "the pool's store, as the answer: the mint was set back",
        ],
        &mint_keys(),
        &pool_keys(),
        header_hash("nonce of the mint"),
        &mint_quote::StoreState {
            requests: 12,
            answers: 10,
        },
    ));
    vectors
}

pub fn miner_frames() -> Vec<FrameVector> {
    vec![
        vector(
            "a pool tells a miner its quote, on the mining connection",
            &mint_quote::MintQuoteNotification {
                header_hash: header_hash("1"),
                quote_id: "0192b7e4-6f7d-7cc3-98c4-dc0c0c07398f".to_owned(),
                amount: 256,
                unit: "hash".to_owned(),
                expires_at_unix_s: 1_800_000_000,
            }
            .to_frame(3)
            .unwrap(),
            json!([
                3,
                hex::encode(header_hash("1")),
                "0192b7e4-6f7d-7cc3-98c4-dc0c0c07398f",
                256,
                "hash",
                1_800_000_000_u64
            ]),
        ),
        vector(
            "a pool tells a miner that there will be none",
            &mint_quote::MintQuoteFailure {
                header_hash: header_hash("2"),
                error_code: 3,
                error_message: "over the cap".to_owned(),
            }
            .to_frame(3)
            .unwrap(),
            json!([3, hex::encode(header_hash("2")), 3, "over the cap"]),
        ),
    ]
}
