//! A pool, a hub and a mint in one process, each with stores and ports of its own, and a wallet that redeems over HTTP.

mod deployment;
mod redis_list;

use cdk::Wallet;
use cdk::amount::SplitTarget;
use cdk::nuts::{CurrencyUnit, PaymentMethod, SecretKey as MinerKey};
use winze_client::QuoteEvent;
use winze_messages::families::mint_quote::{KeysetAnnouncement, MintQuoteRequest};
use winze_mint::{EcashError, MINING_SHARE, Mint, MintError};
use winze_transport::SecretKey;

use deployment::{Deployment, Pool, until};

fn request(
    share: u8,
    amount: u64,
    miner: &MinerKey,
    keyset: &KeysetAnnouncement,
) -> MintQuoteRequest {
    MintQuoteRequest {
        amount,
        unit: "hash".to_owned(),
        header_hash: [share; 32],
        description: Some("a share".to_owned()),
        locking_key: miner.public_key().to_bytes(),
        keyset_id: keyset.keyset_id.clone(),
    }
}

async fn redeem(api: std::net::SocketAddr, quote_id: &str, miner: &MinerKey) -> u64 {
    let store = cdk_sqlite::wallet::memory::empty().await.expect("memory");
    let wallet = Wallet::new(
        &format!("http://{api}"),
        CurrencyUnit::custom("hash"),
        std::sync::Arc::new(store),
        [7; 64],
        None,
    )
    .expect("a wallet");
    let method = PaymentMethod::Custom(MINING_SHARE.to_owned());
    let mut quote = wallet
        .fetch_mint_quote(quote_id, Some(method))
        .await
        .expect("the quote is there");
    quote.secret_key = Some(miner.clone());
    wallet
        .localstore
        .add_mint_quote(quote)
        .await
        .expect("memory");
    wallet
        .mint(quote_id, SplitTarget::default(), None)
        .await
        .expect("it is the miner's");
    wallet.total_balance().await.expect("memory").into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_becomes_ecash_before_and_after_a_rotation() {
    let deployment = Deployment::start().await;
    let mint = deployment.start_mint().await;
    let mut pool = Pool::start(&deployment, &deployment.mint_key()).await;
    let first = pool.keyset().await;
    assert_eq!(first.keys.len(), 63);

    let miner = MinerKey::generate();
    pool.ask(&request(1, 5, &miner, &first)).await;
    let (quote_id, amount) = pool.issued().await;
    assert_eq!(amount, 5);
    assert_eq!(redeem(mint.api_addr, &quote_id, &miner).await, 5);

    let rotated = mint.handle.rotate_keyset("hash").await.expect("it rotates");
    let second = pool.keyset().await;
    assert_eq!(hex::encode(&second.keyset_id), rotated);
    // A backlog from before the rotation names the old keyset.
    pool.ask(&request(2, 6, &miner, &first)).await;
    let (quote_id, _) = pool.issued().await;
    assert_eq!(redeem(mint.api_addr, &quote_id, &miner).await, 6);

    pool.ask(&request(3, 0, &miner, &second)).await;
    let QuoteEvent::Refused { request, error } = pool.event().await else {
        panic!("nothing is worth a quote of 0");
    };
    assert_eq!((request.header_hash, error.error_code), ([3; 32], 2));

    let health = mint.get("/health").await;
    assert_eq!(health.status, 200, "{health:?}");
    let metrics = mint.get("/metrics").await.body;
    for line in [
        "winze_mint_quotes_issued_total 2",
        r#"winze_mint_quotes_refused_total{code="amount-zero"} 1"#,
        "winze_mint_hub_connected 1",
        r#"winze_mint_allowance_left{pool="pool/main",unit="hash",window="hour"} 989"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }
    mint.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_outlives_the_mint_and_is_issued_once() {
    let deployment = Deployment::start().await;
    let mint = deployment.start_mint().await;
    let mut pool = Pool::start(&deployment, &deployment.mint_key()).await;
    let keyset = pool.keyset().await;
    let miner = MinerKey::generate();
    pool.ask(&request(0, 1, &miner, &keyset)).await;
    pool.issued().await;
    mint.stop().await;

    for share in 1..20 {
        pool.ask(&request(share, 1, &miner, &keyset)).await;
    }
    let mint = deployment.start_mint().await;
    let mut quotes = std::collections::HashSet::new();
    for _ in 1..20 {
        quotes.insert(pool.issued().await.0);
    }
    assert_eq!(quotes.len(), 19);
    let metrics = mint.get("/metrics").await.body;
    assert!(
        metrics.contains("winze_mint_quotes_issued_total 19"),
        "{metrics}"
    );
    mint.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mint_that_has_issued_does_not_start_without_its_list_of_spent_ecash() {
    let deployment = Deployment::start().await;
    // Before anything was issued an empty store is a first start, however often.
    let mint = deployment.start_mint().await;
    mint.stop().await;
    deployment.lose_ecash_store();
    let mint = deployment.start_mint().await;
    let mut pool = Pool::start(&deployment, &deployment.mint_key()).await;
    let keyset = pool.keyset().await;
    pool.ask(&request(1, 5, &MinerKey::generate(), &keyset))
        .await;
    pool.issued().await;
    mint.stop().await;

    deployment.lose_ecash_store();
    let config = deployment.mint_config();
    // Nor may a rotation make the store that the mint misses.
    let rotated = winze_mint::rotate_keyset(&config, "hash").await;
    assert!(matches!(
        rotated,
        Err(MintError::Ecash(EcashError::NoStore { .. }))
    ));
    let started = Mint::bind(config).await.err();
    assert!(
        matches!(started, Some(MintError::Ecash(EcashError::Lost { .. }))),
        "{started:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_was_not_sealed_for_this_mint_issues_nothing() {
    let deployment = Deployment::start().await;
    let mint = deployment.start_mint().await;
    // As a hub would be that speaks for the mint: the pool seals for another key than the mint's.
    let other = SecretKey::generate(&mut rand::rngs::OsRng).public_key();
    let pool = Pool::start(&deployment, &other).await;
    let keyset = KeysetAnnouncement {
        unit: "hash".to_owned(),
        keyset_id: vec![0; 8],
        keys: Vec::new(),
    };
    pool.ask(&request(1, 5, &MinerKey::generate(), &keyset))
        .await;
    // The pool asks a mint how far it has come before anything else, and this one drops the question.
    until("the mint drops what it says", async || {
        let metrics = mint.get("/metrics").await.body;
        metrics.contains("winze_mint_stores_unauthentic_total")
            && !metrics.contains("winze_mint_stores_unauthentic_total 0")
    })
    .await;
    let metrics = mint.get("/metrics").await.body;
    assert!(
        metrics.contains("winze_mint_quotes_issued_total 0"),
        "{metrics}"
    );
    mint.stop().await;
}

/// A mint that has issued for shares 1 and 2 and is stopped; its stores were saved between the two. Gives the quote of
/// share 2.
async fn issued_and_saved(
    deployment: &Deployment,
    pool: &mut Option<Pool>,
    miner: &MinerKey,
) -> (KeysetAnnouncement, String) {
    let mint = deployment.start_mint().await;
    let pool = pool.insert(Pool::start(deployment, &deployment.mint_key()).await);
    let keyset = pool.keyset().await;
    pool.ask(&request(1, 1, miner, &keyset)).await;
    pool.issued().await;
    mint.stop().await;
    deployment.save_stores();
    let mint = deployment.start_mint().await;
    pool.ask(&request(2, 2, miner, &keyset)).await;
    let (quote_id, _) = pool.issued().await;
    mint.stop().await;
    (keyset, quote_id)
}

/// Waits until the mint's operator can see that the pool knows of two answers and the store of one.
async fn is_told(mint: &deployment::RunningMint) {
    until("the operator is told", async || {
        let health = mint.get("/health").await.body;
        health.contains("pool/main") && health.contains(r#""told_answers":2"#)
    })
    .await;
    let metrics = mint.get("/metrics").await.body;
    assert!(metrics.contains("winze_mint_store_set_back 1"), "{metrics}");
}

async fn counts(mint: &deployment::RunningMint, line: &str) -> bool {
    mint.get("/metrics").await.body.contains(line)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mint_whose_own_store_was_set_back_makes_nothing_until_accepted_and_knows_cdks_quotes() {
    let deployment = Deployment::start().await;
    let (miner, mut pool) = (MinerKey::generate(), None);
    let (keyset, quote_id) = issued_and_saved(&deployment, &mut pool, &miner).await;
    let mut pool = pool.expect("it was started");
    deployment.bring_back_stores(false);
    let mint = deployment.start_mint().await;
    is_told(&mint).await;
    // The pool asks for share 2 again by itself, and cdk's store has its quote.
    until("share 2 is asked for again", async || {
        deployment.answers() == 3
    })
    .await;
    pool.ask(&request(3, 3, &miner, &keyset)).await;
    let put_off = r#"winze_mint_quotes_later_total{code="unavailable"}"#;
    until("share 3 is put off", async || counts(&mint, put_off).await).await;
    assert!(counts(&mint, "winze_mint_quotes_issued_total 0").await);

    deployment.accept_set_back();
    assert_eq!(pool.issued().await.1, 3);
    assert!(counts(&mint, "winze_mint_quotes_issued_total 1").await);
    assert_eq!(deployment.answers(), 4);
    assert_eq!(redeem(mint.api_addr, &quote_id, &miner).await, 2);
    mint.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mint_whose_stores_were_both_set_back_makes_a_lost_quote_anew_only_once_accepted() {
    let deployment = Deployment::start().await;
    let (miner, mut pool) = (MinerKey::generate(), None);
    issued_and_saved(&deployment, &mut pool, &miner).await;
    deployment.bring_back_stores(true);
    let mint = deployment.start_mint().await;
    is_told(&mint).await;
    let put_off = r#"winze_mint_quotes_later_total{code="unavailable"}"#;
    until("share 2 is put off", async || counts(&mint, put_off).await).await;
    assert!(counts(&mint, "winze_mint_quotes_issued_total 0").await);

    deployment.accept_set_back();
    until("share 2 has a quote again", async || {
        counts(&mint, "winze_mint_quotes_issued_total 1").await && deployment.answers() == 3
    })
    .await;
    mint.stop().await;
}
