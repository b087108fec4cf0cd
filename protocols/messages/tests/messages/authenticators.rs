//! What a hub can do to a quote that it carries, and gains nothing by.

use proptest::collection::vec;
use proptest::prelude::*;
use winze_messages::families::mint_quote::{MintQuoteError, MintQuoteRequest, MintQuoteResponse};
use winze_messages::{
    AuthenticatorError, EXT_MINT_QUOTE, EXT_SIGNING, PairKeys, Sealed, Side, Unsealed,
    channel_frame, request_digest, request_digests,
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

/// Fewer than a batch has, and more than fit into one. Of some the hub alters the MAC or the key
/// id, cuts them off, or passes them off for the answers to other requests.
#[test]
fn many_messages_are_sealed_and_judged_as_if_each_came_alone() {
    let bodies: Vec<Vec<u8>> = (0..70_u8)
        .map(|i| vec![i; usize::from(i) * 3 % 160])
        .collect();
    let digest = |i: u64| (!i.is_multiple_of(4)).then(|| digest_of(&i.to_le_bytes()));
    let message = |i: usize| Unsealed {
        msg_type: [MintQuoteResponse::MSG_TYPE, MintQuoteError::MSG_TYPE][i % 2],
        body: &bodies[i],
        sequence: i as u64,
        request_digest: digest(i as u64),
    };
    for count in [0, 1, 2, 15, 16, 17, 70] {
        let mut sealed = Vec::new();
        mint_keys().seal_all((0..count).map(message), |message, authenticator| {
            sealed.push([message.body, &authenticator].concat());
        });
        let mut frames = Vec::new();
        let messages = (0..count).map(message);
        mint_keys().seal_frames(EXT_MINT_QUOTE, 9, messages, |frame| frames.push(frame));
        let alone: Vec<_> = (0..count)
            .map(message)
            .map(|one| mint_keys().seal(one.msg_type, one.body, one.sequence, one.request_digest))
            .collect();
        assert_eq!(sealed, alone);
        let framed =
            (0..count).map(|i| channel_frame(EXT_MINT_QUOTE, message(i).msg_type, 9, &alone[i]));
        assert_eq!(frames, framed.collect::<Vec<_>>());

        for (i, bytes) in sealed.iter_mut().enumerate() {
            let last = bytes.len() - 1;
            match i % 9 {
                2 => bytes[last] ^= 1,
                5 => bytes[last - 39 - 8] ^= 1,
                7 => bytes.truncate(i % 48),
                _ => {}
            }
        }
        let received = |i: usize| Sealed {
            msg_type: message(i).msg_type,
            bytes: &sealed[i],
            request_digest: digest(i as u64 + u64::from(i % 9 == 8)),
        };
        let mut opened = Vec::new();
        pool_keys().open_all((0..count).map(received), |one| opened.push(one));
        let alone: Vec<_> = (0..count)
            .map(received)
            .map(|one| pool_keys().open(one.msg_type, one.bytes, one.request_digest))
            .collect();
        assert_eq!(opened, alone);
        for (i, one) in opened.iter().enumerate() {
            match i % 9 {
                2 | 8 => assert_eq!(*one, Err(AuthenticatorError::BadMac)),
                5 => assert!(matches!(one, Err(AuthenticatorError::UnknownKey { .. }))),
                7 => assert!(matches!(one, Err(AuthenticatorError::TooShort { .. }))),
                _ => assert_eq!(one.unwrap().body, bodies[i]),
            }
        }
    }
}

proptest! {
    #[test]
    fn many_requests_have_the_digests_that_each_has_alone(
        extension in any::<u16>(),
        messages in vec((any::<u8>(), vec(any::<u8>(), 0..200)), 0..40),
    ) {
        let messages: Vec<_> = (messages.iter())
            .map(|(msg_type, body)| (*msg_type, body.as_slice()))
            .collect();
        let alone = (messages.iter())
            .map(|(msg_type, body)| request_digest(extension, *msg_type, body));
        prop_assert!(request_digests(extension, &messages).into_iter().eq(alone));
    }
}
