//! What keeps a bridge from starting, and what does not.

use std::time::Duration;

use winze_bridge::{Bridge, BridgeError};
use winze_redis::testing::Wanted;
use winze_redis::{Intake, RedisFault};
use winze_runtime::config::ConfigPath;
use winze_runtime::keyfile;

use crate::deployment::{
    DEAD, Deployment, FIRST_KEYSET, FOREIGN_KEYSET, LIST, TAKEN, all_told, dead_letters, entry,
    hash, is_through, length, push, with_keyset,
};
use crate::support::{RunningBridge, until};

const PASSWORD: &str = "correct horse battery staple";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_is_a_clear_error_at_the_start_and_stands_in_none() {
    let deployment = Deployment::new(Wanted {
        tls: true,
        password: Some("correct-horse".to_owned()),
        ..Wanted::default()
    });
    let file = deployment.path("wrong.password");
    keyfile::write_secret_text(&file, PASSWORD).expect("writable");
    let mut redis = deployment.redis.config();
    redis.password_file = Some(ConfigPath::new(file));
    let refused = Bridge::bind(deployment.config(redis)).await;
    let error = refused.err().expect("it is refused");
    assert!(
        matches!(&error, BridgeError::Redis(RedisFault::Login { .. })),
        "{error}"
    );
    let text = format!("{error} {error:?}");
    assert!(
        text.contains("refuses the login") && !text.contains("staple"),
        "{text}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_and_with_a_password_everything_is_as_without() {
    let deployment = Deployment::new(Wanted {
        tls: true,
        password: Some("correct-horse".to_owned()),
        ..Wanted::default()
    });
    let _hub = deployment.start_hub().await;
    let mint = deployment.start_mint(FIRST_KEYSET).await;
    let bridge = deployment.start_bridge().await;
    bridge.is_ready().await;
    let redis = deployment.redis.config().open().expect("it is usable");
    let mut pool = winze_redis::Handover::new(&redis, LIST, "mint:quotes:hash");
    let entries: Vec<String> = (1..=20).map(entry).collect();
    assert_eq!(pool.push(&entries, 100).await.expect("it is taken"), 20);
    let hashes: Vec<String> = (1..=20).map(hash).collect();
    until("all are told", async || {
        let ids = pool.quote_ids(&hashes).await.expect("they are read");
        ids.iter()
            .all(|id| matches!(id, winze_redis::QuoteId::Known(_)))
    })
    .await;
    assert!(mint.made.each_once());
    bridge.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_mint_is_refused_while_requests_wait_for_the_one_before() {
    let deployment = Deployment::new(Wanted::default());
    let hub = deployment.start_hub().await;
    let mint = deployment.start_mint(FIRST_KEYSET).await;
    let bridge = deployment.start_bridge().await;
    bridge.is_ready().await;
    hub.kill().await;
    let mut pool = deployment.old_pool();
    push(&mut pool, [entry(1)]);
    until("it waits", async || {
        bridge.metric("requests_enqueued_total").await == 1
    })
    .await;
    bridge.stop().await;
    let mut other = deployment.config(deployment.redis.config());
    other.requests.as_mut().expect("it is on").mint = "mint/other".to_owned();
    let error = Bridge::bind(other.clone())
        .await
        .err()
        .expect("it is refused");
    assert!(matches!(error, BridgeError::OtherMint(_)), "{error}");

    let _hub = deployment.start_hub().await;
    let bridge = deployment.start_bridge().await;
    all_told(&mut pool, [1]).await;
    bridge.stop().await;
    drop(mint);
    let changed = RunningBridge::start(other).await;
    until("the keysets of the one before are forgotten", async || {
        let health = changed.health().await;
        health["detail"]["requests"]["mint_keyset_id"].is_null()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_another_of_the_same_name_has_taken_is_not_asked_for_a_second_time() {
    let deployment = Deployment::new(Wanted::default());
    let _hub = deployment.start_hub().await;
    let mint = deployment.start_mint(FIRST_KEYSET).await;
    let mut pool = deployment.old_pool();
    push(&mut pool, [entry(1), entry(2)]);
    // A bridge elsewhere that is called main as well, asks another mint, and has settled nothing yet.
    let redis = deployment.redis.config().open().expect("it is usable");
    let mut elsewhere =
        Intake::new(&redis, LIST, DEAD, "main").owned_by("elsewhere".into(), vec![]);
    let taken = elsewhere.take(1, Duration::from_secs(1)).await;
    assert_eq!(taken.expect("it is there").len(), 1);
    let bridge = deployment.start_bridge().await;
    bridge.has_fault("was taken by \"elsewhere\"").await;
    assert_eq!((length(&mut pool, TAKEN), length(&mut pool, LIST)), (1, 1));
    assert!(mint.made.in_order().is_empty());
    assert!(elsewhere.settle(&[]).await.expect("Redis is there"));
    all_told(&mut pool, [2]).await;
    bridge.is_ready().await;
    assert_eq!(mint.made.in_order(), [hash(2)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_dead_letter_that_is_put_back_on_the_list_is_one_again_with_its_reason() {
    let deployment = Deployment::new(Wanted::default());
    let _hub = deployment.start_hub().await;
    let _mint = deployment.start_mint(FIRST_KEYSET).await;
    let mut pool = deployment.old_pool();
    let foreign = with_keyset(1, &hex::encode(FOREIGN_KEYSET));
    push(&mut pool, [&foreign]);
    let bridge = deployment.start_bridge().await;
    until("it is refused", async || length(&mut pool, DEAD) == 1).await;
    let _: u64 = redis::Commands::del(&mut pool, DEAD).expect("it goes");
    push(&mut pool, [foreign.clone(), entry(2)]);
    all_told(&mut pool, [2]).await;
    until("it is through", async || is_through(&mut pool)).await;
    let letters = dead_letters(&mut pool);
    let [(reason, entry)] = &letters[..] else {
        panic!("{letters:?}");
    };
    assert!(
        reason.contains("unknown-keyset: never heard of") && reason.contains("parked"),
        "{reason}"
    );
    assert_eq!(*entry, foreign);
    bridge.stop().await;
}
