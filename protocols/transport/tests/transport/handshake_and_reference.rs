use proptest::prelude::*;
use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::RngCore;
use winze_transport::{
    Certificate, FrameEncoder, Initiator, PublicKey, Responder, SecretKey, ServerIdentity,
};

use crate::reference::{self, ReferenceInitiator};
use crate::world::{LIMITS, NOW, ONE_HOUR_S, authority, frame, hub, rng};

/// The identity that a reference server makes up from `rng`, which it takes by value to leave the
/// caller's at the start: an ephemeral key comes first, and both sides draw that one alike.
fn identity_of_reference(authority: &SecretKey, mut rng: ChaCha20Rng) -> ServerIdentity {
    SecretKey::generate(&mut rng);
    let static_key = SecretKey::generate(&mut rng);
    let mut aux_rand = [0; 32];
    rng.fill_bytes(&mut aux_rand);
    let certificate = Certificate::sign(
        authority,
        static_key.public_key(),
        NOW,
        NOW + ONE_HOUR_S,
        &aux_rand,
    );
    ServerIdentity::new(static_key, certificate).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn with_the_same_keys_every_byte_is_that_of_the_reference(
        client_seed: u64,
        hub_seed: u64,
        authority_seed: u64,
        payload_bytes in 0..70_000_usize,
    ) {
        let authority = SecretKey::generate(&mut rng(authority_seed));
        let trusted = authority.public_key();
        let (ours, act_1) = Initiator::start(Some(trusted), &mut rng(client_seed));
        let (theirs, their_act_1) = ReferenceInitiator::start(trusted, &mut rng(client_seed));
        prop_assert_eq!(act_1, their_act_1);

        let identity = identity_of_reference(&authority, rng(hub_seed));
        let (act_2, our_hub) =
            Responder::respond(&identity, &act_1, &mut rng(hub_seed)).unwrap();
        let (their_act_2, mut their_hub) =
            reference::respond(&authority, act_1, NOW, &mut rng(hub_seed));
        prop_assert_eq!(act_2, their_act_2);

        let our_client = ours.finish(&act_2, NOW).unwrap();
        let mut their_client = theirs.finish(act_2, NOW).unwrap();
        prop_assert_eq!(our_client.transcript, our_hub.transcript);
        prop_assert_eq!(our_client.certificate.as_ref(), Some(identity.certificate()));

        let mut from_client = FrameEncoder::new(our_client.sealer, LIMITS);
        let mut from_hub = FrameEncoder::new(our_hub.sealer, LIMITS);
        for number in 0..3 {
            let frame = frame(number, payload_bytes / (1 + usize::from(number)));
            let mut wire = Vec::new();
            from_client.encode(&frame, &mut wire).unwrap();
            prop_assert!(wire == their_client.send(&frame));
            wire.clear();
            from_hub.encode(&frame, &mut wire).unwrap();
            prop_assert!(wire == their_hub.send(&frame));
        }
    }
}

#[test]
fn a_reference_client_accepts_a_static_key_of_either_parity() {
    let authority = authority();
    // A key and its negation have one public key, and the points of one of them are odd.
    let key = hub(&authority).static_key().expose_bytes().to_owned();
    let negated = secp256k1::SecretKey::from_slice(&key).unwrap().negate();
    for bytes in [key, negated.secret_bytes()] {
        let static_key = SecretKey::from_bytes(&bytes).unwrap();
        let certificate = hub(&authority).certificate().clone();
        let identity = ServerIdentity::new(static_key, certificate).unwrap();

        let (client, act_1) = ReferenceInitiator::start(authority.public_key(), &mut rng(1));
        let (act_2, _) = Responder::respond(&identity, &act_1, &mut rng(2)).unwrap();
        assert!(client.finish(act_2, NOW).is_some());
    }
}

#[test]
fn certificates_begin_and_end_for_us_when_they_do_for_the_reference() {
    let authority = authority();
    let (from, until) = (NOW - ONE_HOUR_S, NOW + ONE_HOUR_S);
    let judged = |trusted: PublicKey, now| {
        let (ours, act_1) = Initiator::start(Some(trusted), &mut rng(1));
        let (theirs, _) = ReferenceInitiator::start(trusted, &mut rng(1));
        let (act_2, _) = Responder::respond(&hub(&authority), &act_1, &mut rng(2)).unwrap();
        let ours = ours.finish(&act_2, now).is_ok();
        assert_eq!(ours, theirs.finish(act_2, now).is_some(), "at {now}");
        ours
    };
    let trusted = authority.public_key();
    let accepted: Vec<bool> = [from - 11, from - 10, NOW, until + 10, until + 11]
        .map(|now| judged(trusted, now))
        .to_vec();
    assert_eq!(accepted, [false, true, true, true, false]);

    let somebody_else = SecretKey::from_bytes(&[0x44; 32]).unwrap().public_key();
    assert!(!judged(somebody_else, NOW));
}
