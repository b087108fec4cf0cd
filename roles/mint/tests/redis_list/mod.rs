//! The mint beside a list in Redis and a hub at once.

use redis::Commands;
use winze_mint::RedisRequestsConfig;
use winze_mint::config::AllowanceConfig;
use winze_redis::testing::{RedisServer, Wanted};
use winze_redis::{RedisConfig, RedisFault};

use super::*;

const LIST: &str = "mint:quotes:create";

/// The deployment's mint, reading the list of this Redis.
fn reading(deployment: &Deployment, redis: RedisConfig) -> winze_mint::MintConfig {
    winze_mint::MintConfig {
        redis: Some(redis),
        redis_requests: Some(RedisRequestsConfig {
            unit: "hash".to_owned(),
            default_locking_key: None,
            other_keysets: false,
            keyset_to_redis: true,
            allowance: vec![AllowanceConfig {
                unit: "hash".to_owned(),
                amount_per_hour_max: 1_000,
                amount_per_day_max: 10_000,
            }],
        }),
        ..deployment.mint_config()
    }
}

fn redis_of(folder: &tempfile::TempDir, wanted: Wanted) -> RedisServer {
    RedisServer::start(&folder.path().join("redis"), wanted).expect("redis-server starts")
}

fn pool_at(server: &RedisServer) -> redis::Connection {
    let client = redis::Client::open(format!("redis://{}", server.address())).expect("an address");
    client.get_connection().expect("it listens")
}

/// The same request, as a pool of the Redis era pushes it.
fn entry(request: &MintQuoteRequest) -> String {
    format!(
        r#"{{"unit":"HASH","amount":{},"header_hash":"{}","description":null,"pubkey":"{}","keyset_id":"{}"}}"#,
        request.amount,
        hex::encode(request.header_hash),
        hex::encode(request.locking_key),
        hex::encode(&request.keyset_id),
    )
}

async fn quote_id(list: &mut redis::Connection, share: u8) -> String {
    let key = format!("mint:quotes:hash:{}", hex::encode([share; 32]));
    let mut found = None;
    until("the quote's key", async || {
        found = list.get(&key).expect("a text or nothing");
        found.is_some()
    })
    .await;
    found.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_goes_over_hub_and_list_has_one_quote_whichever_comes_first() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = redis_of(&folder, Wanted::default());
    let deployment = Deployment::start().await;
    let mint = deployment
        .start_as(reading(&deployment, server.config()))
        .await;
    let mut pool = Pool::start(&deployment, &deployment.mint_key()).await;
    let keyset = pool.keyset().await;
    let (miner, mut list) = (MinerKey::generate(), pool_at(&server));

    let hub_first = request(1, 5, &miner, &keyset);
    pool.ask(&hub_first).await;
    let (over_hub, _) = pool.issued().await;
    let _: u64 = list.rpush(LIST, entry(&hub_first)).expect("pushed");
    assert_eq!(quote_id(&mut list, 1).await, over_hub);

    let list_first = request(2, 6, &miner, &keyset);
    let _: u64 = list.rpush(LIST, entry(&list_first)).expect("pushed");
    let over_list = quote_id(&mut list, 2).await;
    pool.ask(&list_first).await;
    assert_eq!(pool.issued().await.0, over_list);
    assert_eq!(redeem(mint.api_addr, &over_list, &miner).await, 6);

    let metrics = mint.get("/metrics").await.body;
    for line in [
        "winze_mint_quotes_issued_total 2",
        "winze_mint_quotes_repeated_total 2",
        "winze_mint_redis_connected 1",
        // Each is paid for out of the allowance of whoever was first.
        r#"winze_mint_allowance_left{pool="pool/main",unit="hash",window="hour"} 995"#,
        r#"winze_mint_allowance_left{pool="redis/requests",unit="hash",window="hour"} 994"#,
    ] {
        assert!(metrics.contains(line), "{line} is not in {metrics}");
    }

    server.kill();
    let mut health = None;
    until("the operator is told", async || {
        let told = health.insert(mint.get("/health").await);
        told.body.contains(r#""redis_connected":false"#)
    })
    .await;
    let health = health.expect("it was asked");
    assert_eq!(health.status, 503, "{health:?}");
    assert!(health.body.contains(&server.address()), "{health:?}");
    // The hub's way knows nothing of it.
    pool.ask(&request(3, 7, &miner, &keyset)).await;
    assert_eq!(pool.issued().await.1, 7);
    server.start_again().expect("it starts again");
    until("all is well", async || {
        mint.get("/health").await.status == 200
    })
    .await;
    let mut list = pool_at(&server);
    let fourth = request(4, 8, &miner, &keyset);
    let _: u64 = list.rpush(LIST, entry(&fourth)).expect("pushed");
    quote_id(&mut list, 4).await;
    mint.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mint_from_older_stores_makes_nothing_off_its_list_before_its_pool_has_told_what_it_knows()
 {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = redis_of(&folder, Wanted::default());
    let deployment = Deployment::start().await;
    let (miner, mut pool) = (MinerKey::generate(), None);
    let (keyset, first_id) = issued_and_saved(&deployment, &mut pool, &miner).await;
    deployment.bring_back_stores(true);
    // Share 2 went both ways: it is still on the list when the mint starts.
    let mut list = pool_at(&server);
    let share = entry(&request(2, 2, &miner, &keyset));
    let _: u64 = list.rpush(LIST, share).expect("pushed");
    let mint = deployment
        .start_as(reading(&deployment, server.config()))
        .await;
    let put_off = "winze_mint_redis_requests_later_total";
    until("share 2 is put off", async || {
        let metrics = mint.get("/metrics").await.body;
        metrics.contains(put_off) && !metrics.contains(&format!("{put_off} 0"))
    })
    .await;
    is_told(&mint).await;
    assert!(counts(&mint, "winze_mint_quotes_issued_total 0").await);
    deployment.accept_set_back();
    // Only now the loss is the operator's.
    assert_ne!(quote_id(&mut list, 2).await, first_id);
    mint.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wrong_password_stops_the_start_in_words_and_the_right_one_serves_over_tls() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let server = redis_of(
        &folder,
        Wanted {
            tls: true,
            password: Some("a-long-secret".to_owned()),
            ..Wanted::default()
        },
    );
    let deployment = Deployment::start().await;
    let wrong = folder.path().join("wrong");
    winze_runtime::keyfile::write_secret_text(&wrong, "another secret").expect("writable");
    let config = RedisConfig {
        password_file: Some(winze_runtime::config::ConfigPath::new(wrong)),
        ..server.config()
    };
    let started = Mint::bind(reading(&deployment, config)).await.err();
    let Some(MintError::Redis(fault @ RedisFault::Login { .. })) = started else {
        panic!("{started:?}");
    };
    let said = format!("{fault} {fault:?}");
    assert!(said.contains(&server.address()), "{said}");
    assert!(!said.contains("secret"), "{said}");

    let mint = deployment
        .start_as(reading(&deployment, server.config()))
        .await;
    until("all is well", async || {
        mint.get("/health")
            .await
            .body
            .contains(r#""redis_connected":true"#)
    })
    .await;
    mint.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mint_whose_redis_is_away_starts_and_serves_its_hub() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut server = redis_of(&folder, Wanted::default());
    server.kill();
    let deployment = Deployment::start().await;
    let mint = deployment
        .start_as(reading(&deployment, server.config()))
        .await;
    let mut pool = Pool::start(&deployment, &deployment.mint_key()).await;
    let keyset = pool.keyset().await;
    pool.ask(&request(1, 5, &MinerKey::generate(), &keyset))
        .await;
    assert_eq!(pool.issued().await.1, 5);
    let health = mint.get("/health").await.body;
    assert!(health.contains(r#""redis_connected":false"#), "{health}");
    mint.stop().await;
}
