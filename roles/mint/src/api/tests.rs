//! Miners' wallets and strangers at the NUT API, over real HTTP.

use std::net::SocketAddr;
use std::sync::Arc;

use cdk::Wallet;
use cdk::amount::SplitTarget;
use cdk::nuts::{CurrencyUnit, PaymentMethod, SecretKey};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use winze_messages::families::mint_quote::QuoteState;

use super::*;
use crate::testing::{TestMint, issued, open_ecash};

/// Serves the mint's API on a free port, for as long as the test runs.
async fn serve(mint: Arc<cdk::Mint>, metrics: &Metrics) -> SocketAddr {
    let router = router(mint, metrics.clone()).await.expect("a router");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("it is bound");
    tokio::spawn(winze_runtime::ops_http::serve(
        listener,
        router,
        std::future::pending(),
    ));
    address
}

/// Status and body of a request written by hand, so that paths stay as they are.
async fn send(api: SocketAddr, method: &str, path: &str, body: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(api).await.expect("it listens");
    let request = format!(
        "{method} {path} HTTP/1.1\r\nhost: mint\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n{body}",
        body.len()
    );
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it is read");
    let mut answer = String::new();
    stream
        .read_to_string(&mut answer)
        .await
        .expect("an answer in text");
    let status = answer.split(' ').nth(1).and_then(|code| code.parse().ok());
    let body = answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned());
    (status.expect("a status"), body.expect("a body"))
}

async fn wallet(api: SocketAddr) -> Wallet {
    let store = cdk_sqlite::wallet::memory::empty().await.expect("memory");
    let seed = rand::random::<[[u8; 32]; 2]>().concat();
    Wallet::new(
        &format!("http://{api}"),
        CurrencyUnit::custom("hash"),
        Arc::new(store),
        seed.try_into().expect("64 bytes"),
        None,
    )
    .expect("a wallet")
}

/// Redeems a quote with `key`, as the miner's wallet does with what the pool told it.
async fn redeem(wallet: &Wallet, quote_id: &str, key: &SecretKey) -> Result<u64, cdk::Error> {
    let method = PaymentMethod::Custom(MINING_SHARE.to_owned());
    let mut quote = wallet.fetch_mint_quote(quote_id, Some(method)).await?;
    quote.secret_key = Some(key.clone());
    wallet.localstore.add_mint_quote(quote).await?;
    wallet.mint(quote_id, SplitTarget::default(), None).await?;
    Ok(wallet.total_balance().await?.into())
}

#[tokio::test]
async fn a_miner_redeems_its_quote_and_nobody_else_does() {
    let mint = TestMint::start().await;
    let miner = SecretKey::generate();
    let request = mint.request_locked(1, 777, &miner);
    let quote = mint.quote(&request).await;
    let api = serve(Arc::clone(mint.ecash.mint()), &mint.metrics).await;

    let thief = wallet(api).await;
    let stolen = redeem(&thief, &quote.quote_id, &SecretKey::generate()).await;
    assert!(stolen.is_err(), "{stolen:?}");

    let own = wallet(api).await;
    assert_eq!(
        redeem(&own, &quote.quote_id, &miner)
            .await
            .expect("it is the miner's"),
        777
    );
    let twice = redeem(&wallet(api).await, &quote.quote_id, &miner).await;
    assert!(twice.is_err(), "{twice:?}");

    // After a restart the ecash is still good, and the share still has its quote, redeemed.
    let mint = mint.killed_and_started().await;
    let again = mint.quote(&request).await;
    assert_eq!(again.quote_id, quote.quote_id);
    assert_eq!(again.state, QuoteState::Issued);
    assert_eq!(mint.quotes().await, 1);
}

#[tokio::test]
async fn no_request_over_http_makes_a_quote() {
    let mint = TestMint::start().await;
    let api = serve(Arc::clone(mint.ecash.mint()), &mint.metrics).await;
    let squat = format!(
        r#"{{"amount":1,"unit":"hash","request":"{}","pubkey":"{}"}}"#,
        "00".repeat(32),
        SecretKey::generate().public_key()
    );
    for method in [
        "mining_share",
        "MINING_SHARE",
        "mining%5Fshare",
        "bolt11",
        "onchain",
    ] {
        let path = format!("/v1/mint/quote/{method}");
        let (status, body) = send(api, "POST", &path, &squat).await;
        let body: Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(
            (status, &body["code"]),
            (400, &Value::from(20_003)),
            "{path}"
        );
        let detail = body["detail"].as_str().expect("a detail");
        assert!(detail.contains("mining shares"), "{detail}");
    }
    for path in [
        "/v1/mint/quote/mining_share/",
        "/v1/mint/quote/mining_share/batch",
        "/v1//mint/quote/mining_share",
        "/V1/MINT/QUOTE/mining_share",
        "/v1/mint/quote%2Fmining_share",
        "/v1/mint/./quote/mining_share",
        "/v1/mint/quote/mining_share/check",
        "/v1/mint/quote/batch/mining_share",
    ] {
        for method in ["POST", "PUT", "PATCH"] {
            let (status, body) = send(api, method, path, &squat).await;
            assert!(
                (400..500).contains(&status),
                "{method} {path}: {status} {body}"
            );
        }
    }
    for path in [
        "/v1/melt/quote/mining_share",
        "/v1/melt/mining_share",
        "/v1/melt/bolt11",
    ] {
        let (status, body) = send(api, "POST", path, "{}").await;
        assert_eq!(status, 400, "{path}");
        assert!(body.contains("does not melt"), "{body}");
    }
    assert_eq!(send(api, "GET", "/v1/ws", "").await.0, 404);
    assert_eq!(mint.quotes().await, 0);
    let metrics = mint.metrics.text();
    assert!(
        metrics.contains(r#"api_refused_total{reason="new-quote"} 5"#),
        "{metrics}"
    );
}

#[tokio::test]
async fn wallets_are_told_what_the_configuration_says_now() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut key = None;
    for amount_max in [1_000u64, 20] {
        let ecash = open_ecash(folder.path(), amount_max).await;
        let api = serve(Arc::clone(ecash.mint()), &Metrics::new(false)).await;
        let (status, body) = send(api, "GET", "/v1/info", "").await;
        assert_eq!(status, 200);
        let info: Value = serde_json::from_str(&body).expect("JSON");
        let minting = &info["nuts"]["4"];
        assert_eq!(minting["disabled"], false);
        assert_eq!(minting["methods"][0]["method"], MINING_SHARE);
        assert_eq!(minting["methods"][0]["max_amount"], amount_max);
        let melting = &info["nuts"]["5"];
        assert_eq!(
            melting["methods"].as_array().map(Vec::len).unwrap_or(0),
            0,
            "{melting}"
        );
        assert_eq!(info["nuts"]["29"]["methods"][0], MINING_SHARE);
        // The mint stays the same mint.
        let pubkey = info["pubkey"].clone();
        assert!(pubkey.is_string());
        assert_eq!(*key.get_or_insert(pubkey.clone()), pubkey);
        ecash.stop().await.expect("cdk stops");
    }
}

#[tokio::test]
async fn a_body_that_is_too_long_is_not_read() {
    let mint = TestMint::start().await;
    let api = serve(Arc::clone(mint.ecash.mint()), &mint.metrics).await;
    let mut stream = TcpStream::connect(api).await.expect("it listens");
    let head = format!(
        "POST /v1/swap HTTP/1.1\r\nhost: mint\r\nconnection: close\r\ncontent-type: application/json\r\n\
         content-length: {}\r\n\r\n",
        crate::limits::API_BODY_BYTES_MAX + 1
    );
    stream.write_all(head.as_bytes()).await.expect("it is read");
    let mut status = [0; 12];
    stream.read_exact(&mut status).await.expect("an answer");
    assert_eq!(&status, b"HTTP/1.1 413");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn wallets_and_pools_do_not_stop_each_other() {
    let mint = TestMint::start().await;
    let miner = SecretKey::generate();
    let shares: Vec<_> = (0..12)
        .map(|share| mint.request_locked(share, 1, &miner))
        .collect();
    let quotes = mint.ask(&shares).await;
    let api = serve(Arc::clone(mint.ecash.mint()), &mint.metrics).await;
    // More wallets than workers and more than runtime threads, each with writes of its own.
    let mut wallets = tokio::task::JoinSet::new();
    for outcome in &quotes {
        let (quote, miner) = (issued(outcome), miner.clone());
        wallets.spawn(async move { redeem(&wallet(api).await, &quote.quote_id, &miner).await });
    }
    let mut share = 12;
    while !wallets.is_empty() {
        let batch: Vec<_> = (share..share + 8)
            .map(|share| mint.request_locked(share, 1, &miner))
            .collect();
        assert!(
            mint.ask(&batch)
                .await
                .iter()
                .all(|it| issued(it).amount == 1)
        );
        share += 8;
        if share > 200 {
            break;
        }
    }
    let redeemed = tokio::time::timeout(std::time::Duration::from_secs(60), wallets.join_all());
    for amount in redeemed.await.expect("nobody waits for ever") {
        assert_eq!(amount.expect("each is its own"), 1);
    }
}
