//! The configuration changes while peers are connected.

use winze_hub::{HubLimits, ReloadError};
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::hub::HubMessage;
use winze_runtime::keyfile;
use winze_transport::{PublicKey, SecretKey};

use crate::common::hub::{certificate, static_key};
use crate::common::peer::proof;
use crate::common::{
    BAD_MINT, BAD_POOL, Exchange, GOOD_MINT, GOOD_POOL, Peer, TestHub, http_get, key_of, soon,
};

/// A peer and what it may open.
type Listed = (&'static str, &'static str);

/// Has the hub read a file with these peers and whatever else.
async fn reload(hub: &mut TestHub, rest: &str, peers: &[Listed]) -> Result<(), ReloadError> {
    let mut text = format!(
        "role = \"hub\"\nlisten = \"127.0.0.1:0\"\nhttp_listen = \"127.0.0.1:0\"\n\
         static_key_file = \"static.key\"\ncertificate_file = \"certificate.toml\"\n{rest}\n"
    );
    for (who, may_open) in peers {
        let (role, name) = who.split_once('/').unwrap();
        let key = key_of(who).public_key();
        text += &format!(
            "[[peers]]\nrole = \"{role}\"\nname = \"{name}\"\npublic_key = \"{key}\"\nmay_open = [{may_open}]\n"
        );
    }
    let file = hub.folder.path().join("hub.toml");
    std::fs::write(&file, text).unwrap();
    hub.reloader.reload(&file).await
}

const GOOD_PAIR: [Listed; 2] = [
    (GOOD_POOL, "{ extension = 0x4802, peer = \"mint/good\" }"),
    (GOOD_MINT, ""),
];
const BAD_PAIR: [Listed; 2] = [
    (BAD_POOL, "{ extension = 0x4802, peer = \"mint/bad\" }"),
    (BAD_MINT, ""),
];

#[tokio::test]
async fn a_peer_that_is_struck_off_goes_and_may_come_back_while_others_exchange() {
    let mut hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    let mut mint = Peer::connect(&hub, BAD_MINT).await;
    let mut pool = Peer::connect(&hub, BAD_POOL).await;
    pool.open(EXT_MINT_QUOTE, BAD_MINT).await;
    mint.accept().await;

    let without_pool = [GOOD_PAIR[0], GOOD_PAIR[1], BAD_PAIR[1]];
    reload(&mut hub, "", &without_pool).await.unwrap();
    pool.closed_with("struck-off").await;
    mint.wait_for(
        |message| matches!(message, HubMessage::CloseChannel(close) if close.reason_code == "not-allowed"),
    )
    .await;
    let mut again = Peer::dial(&hub).await;
    again.set_up().await;
    again.say(proof(BAD_POOL, &again.transcript)).await;
    assert!(matches!(
        again.last_words().await,
        HubMessage::AuthenticateError(error) if error.error_code == "unlisted-key"
    ));

    reload(&mut hub, "", &[GOOD_PAIR, BAD_PAIR].concat())
        .await
        .unwrap();
    let mut pool = Peer::connect(&hub, BAD_POOL).await;
    pool.open(EXT_MINT_QUOTE, BAD_MINT).await;
    mint.accept().await;
    pool.wait_for_peer().await;
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn a_faulty_file_changes_nothing_and_the_operator_hears_why() {
    let mut hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    let mut mint = Peer::connect(&hub, BAD_MINT).await;
    let faults: [(&str, &[Listed], &str); 4] = [
        ("colour = 1", &GOOD_PAIR, "colour"),
        ("", &GOOD_PAIR[..1], "mint/good, which is not listed"),
        (
            "[limits]\nwindow_messages = 0",
            &[],
            "limits.window_messages",
        ),
        ("[limits", &[], "hub.toml"),
    ];
    for (rest, peers, says) in faults {
        let error = reload(&mut hub, rest, peers).await.unwrap_err().to_string();
        assert!(error.contains(says), "{error}");
    }
    mint.still_answers().await;
    let (status, health) = http_get(hub.http_addr, "/health").await;
    assert_eq!(status, 200, "it does its job");
    assert!(health.contains("hub.toml"), "{health}");
    assert_eq!(hub.metric("winze_hub_config_stale").await, 1);
    assert_eq!(
        hub.metric("winze_hub_config_reloads_refused_total").await,
        4
    );

    reload(&mut hub, "", &[GOOD_PAIR, BAD_PAIR].concat())
        .await
        .unwrap();
    assert_eq!(hub.metric("winze_hub_config_stale").await, 0);
    assert_eq!(hub.metric("winze_hub_config_reloads_total").await, 1);
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn limits_for_what_comes_change_at_once_and_those_that_were_told_do_not() {
    let mut hub = TestHub::start().await;
    let _mint = Peer::connect(&hub, BAD_MINT).await;
    let limits = "[limits]\nconnections_max = 1\nchannels_max = 7";
    reload(&mut hub, limits, &BAD_PAIR).await.unwrap();
    let mut pool = Peer::dial(&hub).await;
    pool.closed_with("too-many-connections").await;
    let (_, health) = http_get(hub.http_addr, "/health").await;
    assert!(
        health.contains("\"after_restart\":[\"limits.channels_max\"]"),
        "{health}"
    );
}

/// Puts other files in the place of the hub's key and certificate.
fn renew(hub: &TestHub, key: &SecretKey, certified: PublicKey, validity_s: std::ops::Range<i64>) {
    let at = |name: &str| hub.folder.path().join(name);
    for name in ["static.key", "certificate.toml"] {
        std::fs::remove_file(at(name)).unwrap();
    }
    keyfile::write_secret(at("static.key"), key).unwrap();
    let certificate = certificate(certified, validity_s);
    keyfile::write_certificate(at("certificate.toml"), &certificate).unwrap();
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_those_who_come_and_cuts_nobody_off() {
    let mut hub = TestHub::start().await;
    let all = [GOOD_PAIR, BAD_PAIR].concat();
    let exchange = Exchange::start(&hub).await;
    let ends = "winze_hub_certificate_not_valid_after_seconds";
    let before = hub.metric(ends).await;
    assert_eq!(Peer::dial(&hub).await.hub_key, static_key().public_key());

    // Another key, as after a theft, with a certificate that lasts longer.
    let key = SecretKey::from_bytes(&[43; 32]).unwrap();
    renew(&hub, &key, key.public_key(), -3_600..36_000);
    reload(&mut hub, "", &all).await.unwrap();
    assert_eq!(Peer::dial(&hub).await.hub_key, key.public_key());
    let after = hub.metric(ends).await;
    assert!(after > before + 30_000, "{before} {after}");
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn a_key_or_certificate_that_is_not_to_be_used_changes_nothing_and_is_reported() {
    let mut hub = TestHub::start().await;
    let exchange = Exchange::start(&hub).await;
    let key = SecretKey::from_bytes(&[43; 32]).unwrap();
    let own = static_key().public_key();
    let faults = [
        (key.public_key(), -7_200..-3_600, "valid until"),
        (key.public_key(), 3_600..7_200, "valid from"),
        (own, -3_600..3_600, "static key"),
    ];
    for (certified, validity_s, says) in faults {
        renew(&hub, &key, certified, validity_s);
        // The list is a good one, and strikes everybody off.
        let error = reload(&mut hub, "", &[]).await.unwrap_err().to_string();
        assert!(
            error.contains("certificate.toml") && error.contains(says),
            "{error}"
        );
        let (status, health) = http_get(hub.http_addr, "/health").await;
        assert!(status == 200 && health.contains(says), "{health}");
    }
    std::fs::remove_file(hub.folder.path().join("static.key")).unwrap();
    let error = reload(&mut hub, "", &[]).await.unwrap_err().to_string();
    assert!(error.contains("static.key"), "{error}");
    assert_eq!(Peer::connect(&hub, BAD_MINT).await.hub_key, own);
    exchange.was_undisturbed().await;
}

#[tokio::test]
async fn a_peer_can_be_struck_off_though_the_certificate_has_expired_meanwhile() {
    // Clients allow for clocks that differ by ten seconds: it is good for three more.
    let mut hub = TestHub::start_certified(HubLimits::default(), -3_600..-7).await;
    let mut thief = Peer::connect(&hub, BAD_POOL).await;
    let mut mint = Peer::connect(&hub, GOOD_MINT).await;
    soon("the certificate's end", async {
        while http_get(hub.http_addr, "/health").await.0 == 200 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    reload(&mut hub, "", &GOOD_PAIR).await.unwrap();
    thief.closed_with("struck-off").await;
    mint.still_answers().await;
    let (status, health) = http_get(hub.http_addr, "/health").await;
    assert!(status != 200 && health.contains("valid until"), "{health}");
}
