//! What a hub can do to a quote that it carries, and gains nothing by.

use winze_messages::families::mint_quote::{MintQuoteError, MintQuoteRequest, MintQuoteResponse};
use winze_messages::{
    AuthenticatorError, EXT_MINT_QUOTE, EXT_SIGNING, PairKeys, Side, request_digest,
};
use winze_transport::SecretKey;

fn pool() -> SecretKey {
    SecretKey::from_bytes(&[0x31; 32]).unwrap()
}

fn mint() -> SecretKey {
    SecretKey::from_bytes(&[0x32; 32]).unwrap()
}

fn pool_keys() -> PairKeys {
    let mint = mint().public_key();
    PairKeys::derive(
        &pool(),
        &mint,
        EXT_MINT_QUOTE,
        Side::Requester,
        "pool",
        "mint",
    )
}

fn mint_keys() -> PairKeys {
    let pool = pool().public_key();
    PairKeys::derive(
        &mint(),
        &pool,
        EXT_MINT_QUOTE,
        Side::Responder,
        "pool",
        "mint",
    )
}

const REQUEST: &[u8] = b"issue 8 hash for this share";
const ANSWER: &[u8] = b"it is quote 1234";

fn digest_of(body: &[u8]) -> [u8; 32] {
    request_digest(EXT_MINT_QUOTE, MintQuoteRequest::MSG_TYPE, body)
}

#[test]
fn pool_and_mint_understand_one_another() {
    let sealed = pool_keys().seal(MintQuoteRequest::MSG_TYPE, REQUEST, 41, None);
    let opened = mint_keys()
        .open(MintQuoteRequest::MSG_TYPE, &sealed, None)
        .unwrap();
    assert_eq!((opened.body, opened.sequence), (REQUEST, 41));

    let answers = Some(digest_of(opened.body));
    let sealed = mint_keys().seal(MintQuoteResponse::MSG_TYPE, ANSWER, 7, answers);
    let opened = pool_keys()
        .open(MintQuoteResponse::MSG_TYPE, &sealed, answers)
        .unwrap();
    assert_eq!((opened.body, opened.sequence), (ANSWER, 7));
}

#[test]
fn a_hub_that_alters_any_byte_is_found_out() {
    let sealed = pool_keys().seal(MintQuoteRequest::MSG_TYPE, REQUEST, 41, None);
    for place in 0..sealed.len() {
        let mut altered = sealed.clone();
        altered[place] ^= 0x10;
        let refused = mint_keys().open(MintQuoteRequest::MSG_TYPE, &altered, None);
        assert!(refused.is_err(), "byte {place}");
    }
    for end in 0..sealed.len() {
        let refused = mint_keys().open(MintQuoteRequest::MSG_TYPE, &sealed[..end], None);
        assert!(refused.is_err(), "cut off at {end}");
    }
}

#[test]
fn a_hub_cannot_pass_an_answer_off_for_another_request() {
    let answers = Some(digest_of(REQUEST));
    let sealed = mint_keys().seal(MintQuoteResponse::MSG_TYPE, ANSWER, 7, answers);
    let another = Some(digest_of(b"issue 9 hash for that share"));
    for digest in [another, None] {
        assert_eq!(
            pool_keys().open(MintQuoteResponse::MSG_TYPE, &sealed, digest),
            Err(AuthenticatorError::BadMac)
        );
    }
    // Nor for an answer of another kind.
    assert_eq!(
        pool_keys().open(MintQuoteError::MSG_TYPE, &sealed, answers),
        Err(AuthenticatorError::BadMac)
    );
}

#[test]
fn a_hub_cannot_send_a_pools_own_message_back_to_it() {
    let sealed = pool_keys().seal(MintQuoteRequest::MSG_TYPE, REQUEST, 41, None);
    assert_eq!(
        pool_keys().open(MintQuoteRequest::MSG_TYPE, &sealed, None),
        Err(AuthenticatorError::UnknownKey {
            key_id: pool_keys().own_key_id()
        })
    );
}

#[test]
fn keys_of_another_family_role_or_peer_do_not_fit() {
    let pool_key = pool().public_key();
    let other_pool_key = SecretKey::from_bytes(&[0x33; 32]).unwrap().public_key();
    let derive = |peer, extension, requester_role, responder_role| {
        PairKeys::derive(
            &mint(),
            peer,
            extension,
            Side::Responder,
            requester_role,
            responder_role,
        )
    };
    let sealed = pool_keys().seal(MintQuoteRequest::MSG_TYPE, REQUEST, 41, None);
    for other in [
        derive(&pool_key, EXT_SIGNING, "pool", "mint"),
        derive(&pool_key, EXT_MINT_QUOTE, "bridge", "mint"),
        derive(&pool_key, EXT_MINT_QUOTE, "poolm", "int"),
        derive(&other_pool_key, EXT_MINT_QUOTE, "pool", "mint"),
    ] {
        assert_eq!(
            other.open(MintQuoteRequest::MSG_TYPE, &sealed, None),
            Err(AuthenticatorError::UnknownKey {
                key_id: pool_keys().own_key_id()
            })
        );
    }
}
