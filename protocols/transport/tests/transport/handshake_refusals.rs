use tokio::io::{AsyncWriteExt, duplex};
use winze_transport::{
    ACT_1_BYTES, ACT_2_BYTES, CertificateError, EstablishError, HandshakeError, Initiator,
    PublicKey, Responder, SecretKey, ServerIdentity, Session, initiate, respond,
};

use crate::world::{NOW, ONE_HOUR_S, authority, hub, hub_certified_for, rng};

/// A handshake in which the network may change what it carries.
fn handshake(
    trusted: Option<PublicKey>,
    identity: &ServerIdentity,
    alter_1: impl Fn(&mut [u8; ACT_1_BYTES]),
    alter_2: impl Fn(&mut [u8; ACT_2_BYTES]),
) -> Result<Session, HandshakeError> {
    let (client, mut act_1) = Initiator::start(trusted, &mut rng(1));
    alter_1(&mut act_1);
    let (mut act_2, _) = Responder::respond(identity, &act_1, &mut rng(2)).unwrap();
    alter_2(&mut act_2);
    client.finish(&act_2, NOW)
}

#[test]
fn a_network_that_alters_any_byte_of_the_handshake_gets_no_session() {
    let identity = hub(&authority());
    let trusted = Some(authority().public_key());
    for position in 0..ACT_1_BYTES {
        let outcome = handshake(trusted, &identity, |act| act[position] ^= 1, |_| {});
        assert_eq!(
            outcome.err(),
            Some(HandshakeError::StaticKeyNotAuthentic),
            "byte {position} of act 1"
        );
    }
    for position in 0..ACT_2_BYTES {
        let outcome = handshake(trusted, &identity, |_| {}, |act| act[position] ^= 0x80);
        let expected = match position {
            0..144 => HandshakeError::StaticKeyNotAuthentic,
            _ => HandshakeError::CertificateNotAuthentic,
        };
        assert_eq!(outcome.err(), Some(expected), "byte {position} of act 2");
    }
    assert!(handshake(trusted, &identity, |_| {}, |_| {}).is_ok());
}

#[test]
fn each_certificate_that_does_not_vouch_is_refused_by_its_own_name() {
    let authority = authority();
    let meet = |identity: &ServerIdentity, trusted: PublicKey| match handshake(
        Some(trusted),
        identity,
        |_| {},
        |_| {},
    ) {
        Err(HandshakeError::Certificate(error)) => Some(error),
        Err(other) => panic!("{other}"),
        Ok(_) => None,
    };
    let trusted = authority.public_key();
    assert_eq!(meet(&hub(&authority), trusted), None);

    let expired = hub_certified_for(&authority, 0, NOW - ONE_HOUR_S);
    assert_eq!(
        meet(&expired, trusted),
        Some(CertificateError::Expired {
            not_valid_after_unix_s: NOW - ONE_HOUR_S,
            now_unix_s: NOW
        })
    );
    let early = hub_certified_for(&authority, NOW + ONE_HOUR_S, u32::MAX);
    assert_eq!(
        meet(&early, trusted),
        Some(CertificateError::NotYetValid {
            valid_from_unix_s: NOW + ONE_HOUR_S,
            now_unix_s: NOW
        })
    );
    let mallory = SecretKey::from_bytes(&[0x66; 32]).unwrap();
    assert!(matches!(
        meet(&hub(&mallory), trusted),
        Some(CertificateError::NotSignedBy { authority, .. }) if authority == trusted
    ));
}

#[test]
fn without_a_trusted_authority_a_session_claims_no_certificate() {
    let mallory = SecretKey::from_bytes(&[0x66; 32]).unwrap();
    let session = handshake(None, &hub(&mallory), |_| {}, |_| {}).unwrap();
    assert_eq!(session.certificate, None);
}

#[test]
fn two_connections_of_the_same_peers_have_different_transcripts() {
    let identity = hub(&authority());
    let session = |seed| {
        let (_, act_1) = Initiator::start(None, &mut rng(seed));
        // Even with the client's part replayed, the hub's fresh key tells them apart.
        let (_, first) = Responder::respond(&identity, &act_1, &mut rng(seed + 1)).unwrap();
        let (_, again) = Responder::respond(&identity, &act_1, &mut rng(seed + 2)).unwrap();
        (first.transcript, again.transcript)
    };
    let (first, again) = session(1);
    assert_ne!(first, again);
}

#[tokio::test]
async fn client_and_hub_meet_over_a_stream() {
    // Smaller than either act, so that both sides have to wait for each other.
    let (mut to_hub, mut to_client) = duplex(16);
    let identity = hub(&authority());
    let (mut client_rng, mut hub_rng) = (rng(1), rng(2));
    let (client, hub) = tokio::join!(
        initiate(
            &mut to_hub,
            Some(authority().public_key()),
            NOW,
            &mut client_rng
        ),
        respond(&mut to_client, &identity, &mut hub_rng),
    );
    assert_eq!(client.unwrap().transcript, hub.unwrap().transcript);
}

#[tokio::test]
async fn a_peer_that_leaves_during_its_act_is_named() {
    let identity = hub(&authority());
    let (mut stray, mut to_stray) = duplex(1024);
    stray.write_all(&[0; ACT_1_BYTES - 1]).await.unwrap();
    drop(stray);
    assert!(matches!(
        respond(&mut to_stray, &identity, &mut rng(2)).await,
        Err(EstablishError::PeerClosed { act: 1 })
    ));

    let (mut to_hub, mut dying_hub) = duplex(1024);
    dying_hub.write_all(&[0; ACT_2_BYTES - 1]).await.unwrap();
    dying_hub.shutdown().await.unwrap();
    assert!(matches!(
        initiate(&mut to_hub, None, NOW, &mut rng(1)).await,
        Err(EstablishError::PeerClosed { act: 2 })
    ));
}
