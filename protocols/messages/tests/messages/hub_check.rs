//! What a hub lets through, and what it says of the rest.

use winze_messages::families::mint_quote::{MintQuoteFailure, MintQuoteRequest};
use winze_messages::{
    EXT_HUB, EXT_MINT_QUOTE, Refusal, Side, channel_frame, check_channel_payload,
};

fn request() -> Vec<u8> {
    let mut body = Vec::new();
    MintQuoteRequest {
        amount: 0,
        unit: "hash".to_owned(),
        header_hash: [1; 32],
        description: None,
        locking_key: [0; 33],
        keyset_id: vec![0; 8],
    }
    .encode_body(&mut body)
    .unwrap();
    body.extend_from_slice(&[0; 48]);
    channel_frame(EXT_MINT_QUOTE, 0x80, 1, &body).payload
}

fn check(msg_type: u8, payload: &[u8], from: Side) -> Result<(), Refusal> {
    check_channel_payload(EXT_MINT_QUOTE, msg_type, payload, from)
}

#[test]
fn a_hub_forwards_what_decodes_and_leaves_its_meaning_to_the_mint() {
    // No amount, no point on the curve, no authenticator: the mint has answers to each.
    assert_eq!(check(0x80, &request(), Side::Requester), Ok(()));
}

#[test]
fn a_hub_refuses_with_the_reason_and_the_place() {
    let code = |result: Result<(), Refusal>| result.unwrap_err().code();
    assert_eq!(
        code(check(0x80, &request(), Side::Responder)),
        "wrong-direction"
    );
    assert_eq!(
        code(check(0x8f, &request(), Side::Requester)),
        "unknown-message"
    );
    assert_eq!(
        code(check_channel_payload(
            EXT_HUB,
            0x0d,
            &[0; 8],
            Side::Requester
        )),
        "unknown-message",
        "a message of the connection is none of a channel"
    );

    let failure = MintQuoteFailure {
        header_hash: [0; 32],
        error_code: 1,
        error_message: String::new(),
    };
    let payload = failure.to_frame(1).unwrap().payload;
    for from in [Side::Requester, Side::Responder] {
        assert_eq!(
            code(check(MintQuoteFailure::MSG_TYPE, &payload, from)),
            "wrong-direction",
            "a pool's word to its miner does not go through a hub"
        );
    }

    let mut long = request();
    long.resize(674, 0);
    assert_eq!(
        code(check(0x80, &long, Side::Requester)),
        "payload-too-long"
    );

    let mut bad_text = request();
    bad_text[4 + 8 + 1] = 0xff;
    let refusal = check(0x80, &bad_text, Side::Requester).unwrap_err();
    assert_eq!(refusal.code(), "malformed");
    assert_eq!(
        refusal.to_string(),
        "MintQuoteRequest.unit at byte 13: not UTF-8"
    );
}
