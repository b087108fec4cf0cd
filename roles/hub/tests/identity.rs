//! Who the hub is, and who a client is.

use rand::rngs::OsRng;
use tempfile::TempDir;
use tokio::net::TcpStream;
use winze_hub::{Hub, HubError, HubLimits, IdentityError};
use winze_messages::authentication;
use winze_messages::families::hub::{Authenticate, HubMessage};
use winze_runtime::clock::now_unix_s_u32;
use winze_transport::{
    CertificateError, EstablishError, HandshakeError, PublicKey, Session, Transcript, initiate,
};

use crate::common::hub::config;
use crate::common::peer::proof;
use crate::common::{BAD_MINT, BAD_POOL, Exchange, Peer, TestHub, key_of, soon};

async fn handshake(
    hub: &TestHub,
    authority: PublicKey,
    now_unix_s: u32,
) -> Result<Session, EstablishError> {
    let mut stream = TcpStream::connect(hub.addr).await.unwrap();
    let mut rng = OsRng;
    let handshake = initiate(&mut stream, Some(authority), now_unix_s, &mut rng);
    soon("handshake", handshake).await
}

#[tokio::test]
async fn a_client_refuses_a_hub_that_its_authority_did_not_certify() {
    let hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    let other = key_of("authority/other").public_key();
    let refused = handshake(&hub, other, now_unix_s_u32()).await.unwrap_err();
    assert!(
        matches!(
            refused,
            EstablishError::Handshake(HandshakeError::Certificate(
                CertificateError::NotSignedBy { .. }
            ))
        ),
        "{refused}"
    );
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn a_client_refuses_a_hub_whose_certificate_has_expired() {
    let hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    let next_year = now_unix_s_u32() + 365 * 86_400;
    let refused = handshake(&hub, hub.authority, next_year).await.unwrap_err();
    assert!(
        matches!(
            refused,
            EstablishError::Handshake(HandshakeError::Certificate(
                CertificateError::Expired { .. }
            ))
        ),
        "{refused}"
    );
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn a_hub_does_not_start_with_a_certificate_that_no_client_would_accept() {
    for validity_s in [-7_200..-3_600, 3_600..7_200] {
        let folder = TempDir::new().unwrap();
        let config = config(&folder, HubLimits::default(), validity_s);
        let file = config.certificate_file.to_string();
        let refused = Hub::bind(config).await.unwrap_err();
        assert!(
            matches!(
                refused,
                HubError::Identity(IdentityError::Certificate { .. })
            ),
            "{refused}"
        );
        assert!(refused.to_string().contains(&file), "{refused}");
    }
}

/// The error code that answers what `claim` makes of the transcript.
async fn refusal(hub: &TestHub, claim: impl FnOnce(&Transcript) -> Authenticate) -> String {
    let mut client = Peer::dial(hub).await;
    client.set_up().await;
    let claim = claim(&client.transcript);
    client.say(claim).await;
    match client.last_words().await {
        HubMessage::AuthenticateError(error) => error.error_code,
        other => panic!("{other:?}"),
    }
}

fn sign(key: &str, name: &str, transcript: &Transcript) -> Authenticate {
    let name = name.parse().unwrap();
    authentication::sign(&key_of(key), transcript.as_bytes(), &name, &[1; 32])
}

#[tokio::test]
async fn a_key_that_is_not_listed_is_not_let_in() {
    let hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    let code = refusal(&hub, |transcript| sign("thief/x", BAD_MINT, transcript)).await;
    assert_eq!(code, "unlisted-key");
    let series = "winze_hub_setup_refusals_total{reason=\"unlisted-key\"}";
    assert_eq!(hub.metric(series).await, 1);
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn the_right_key_with_a_wrong_or_a_replayed_signature_is_not_let_in() {
    let hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    let altered = refusal(&hub, |transcript| {
        let mut claim = sign(BAD_MINT, BAD_MINT, transcript);
        claim.signature[40] ^= 1;
        claim
    });
    assert_eq!(altered.await, "bad-signature");

    // The hub let this very message in, on the connection that it was made for.
    let mut real = Peer::dial(&hub).await;
    real.set_up().await;
    let recorded = proof(BAD_MINT, &real.transcript);
    real.say(recorded.clone()).await;
    real.still_answers().await;
    assert_eq!(refusal(&hub, |_| recorded).await, "bad-signature");
    real.still_answers().await;
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn a_role_or_a_name_that_is_not_the_keys_is_not_let_in() {
    let hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    for claimed in [BAD_POOL, "mint/main", "signer/bad"] {
        let code = refusal(&hub, |transcript| sign(BAD_MINT, claimed, transcript)).await;
        assert_eq!(code, "identity-mismatch", "{claimed}");
    }
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn the_same_identity_twice_leaves_the_newer_connection() {
    let hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    let mut older = Peer::connect(&hub, BAD_MINT).await;
    let mut newer = Peer::connect(&hub, BAD_MINT).await;
    let close = older.closed_with("replaced").await;
    assert!(close.retry_after_ms > 0);
    newer.still_answers().await;
    exchange.was_undisturbed().await;
}
