//! Quotes over a list in Redis, beside the hub and in its place, against a real redis-server.

mod support;

use serde_json::Value;
use support::miner::{ALICE, Miner};
use support::mint::TestMint;
use support::old_mint::{
    OldMint, list_length, put_text, redis, tables, write_id, write_keyset, write_keyset_of,
};
use support::{RunningPool, World, get, metric, nobody, until};
use winze_client::{Store, outbox};
use winze_messages::families::mint_quote::EXT_MINT_QUOTE;
use winze_messages::text::header_hash_to_text;
use winze_miner::{ChannelKind, Share};
use winze_pool::PoolError;
use winze_redis::testing::{RedisServer, Wanted};

fn path(name: &str) -> String {
    format!("quote_path = \"{name}\"")
}

async fn page(pool: &RunningPool) -> Value {
    get(pool.http, &format!("/v1/quotes/{ALICE}")).await.1
}

fn list(page: &Value, name: &str) -> Vec<String> {
    let rows = page[name].as_array().unwrap();
    let hash = |row: &Value| row["header_hash"].as_str().unwrap().to_owned();
    rows.iter().map(hash).collect()
}

async fn said(pool: &RunningPool) -> Value {
    get(pool.http, "/health").await.1["detail"].take()
}

async fn health(pool: &RunningPool, key: &str, wanted: Value) {
    until(key, || async {
        (said(pool).await[key] == wanted).then_some(())
    })
    .await;
}

/// Alice has this many shares accepted.
async fn mine(pool: &RunningPool, world: &World, shares: usize) -> Vec<Share> {
    until("the keyset", || async {
        let health = said(pool).await;
        (!health["mint_keyset_id"].is_null()).then_some(())
    })
    .await;
    let mut alice = Miner::start(pool.mining, world.authority, ChannelKind::Extended).await;
    let mut found = Vec::new();
    for _ in 0..shares {
        let share = alice.find().await;
        assert_eq!(alice.ask(&share).await, Ok(()));
        found.push(share);
    }
    found
}

/// The store of a pool that was stopped, once what was under way holds it no longer.
async fn let_go(world: &World) -> Store {
    until("the store", || async {
        Store::open(&world.at("pool.sqlite"), &[]).ok()
    })
    .await
}

/// Each of these has its quote, with the id that the mint gives it, and there are no others.
async fn all_quoted(pool: &RunningPool, shares: &[Share]) {
    until("every quote", || async {
        (page(pool).await["pending"] == 0).then_some(())
    })
    .await;
    let page = page(pool).await;
    let mut expected: Vec<(String, String)> = shares
        .iter()
        .map(|share| {
            let hash = header_hash_to_text(&share.header_hash);
            (hash, hex::encode(&share.header_hash[..8]))
        })
        .collect();
    let mut quoted: Vec<(String, String)> = list(&page, "quotes")
        .into_iter()
        .zip(page["quotes"].as_array().unwrap())
        .map(|(hash, row)| (hash, row["quote_id"].as_str().unwrap().to_owned()))
        .collect();
    expected.sort_unstable();
    quoted.sort_unstable();
    assert_eq!(quoted, expected);
}

async fn waiting(pool: &RunningPool) -> f64 {
    metric(pool.http, "winze_pool_quotes_waiting").await
}

async fn pushed(pool: &RunningPool) -> f64 {
    metric(pool.http, "winze_pool_redis_pushed_total").await
}

async fn issued(pool: &RunningPool) -> f64 {
    metric(pool.http, "winze_pool_quotes_issued_total").await
}

#[tokio::test(flavor = "multi_thread")]
async fn over_redis_alone_shares_become_quotes_and_a_restart_pushes_none_again() {
    let world = World::new();
    let redis = redis(&world);
    write_keyset(&redis).await;
    // Where the hub should be somebody listens, and is not dialled.
    let hub = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    hub.set_nonblocking(true).unwrap();
    let hub_addr = hub.local_addr().unwrap();
    let pool = world
        .start_pool(hub_addr, &path("redis"), &tables(&redis, ""))
        .await;
    let mut shares = mine(&pool, &world, 5).await;
    until("all of them in the list", || async {
        (list_length(&redis).await == 5).then_some(())
    })
    .await;
    until("noted", || async {
        (pushed(&pool).await == 5.0).then_some(())
    })
    .await;
    pool.running.kill().await;

    let pool = world
        .start_pool(hub_addr, &path("redis"), &tables(&redis, ""))
        .await;
    let mut alice = Miner::start(pool.mining, world.authority, ChannelKind::Extended).await;
    let share = alice.find().await;
    assert_eq!(alice.ask(&share).await, Ok(()));
    shares.push(share);
    let mint = OldMint::start(&redis, true).await;
    all_quoted(&pool, &shares).await;
    alice.wait_for_quotes(1).await;
    let taken = mint.taken();
    let order: Vec<[u8; 32]> = taken
        .iter()
        .map(|(request, _)| request.header_hash)
        .collect();
    let found: Vec<[u8; 32]> = shares.iter().map(|share| share.header_hash).collect();
    assert_eq!(order, found, "first sent in order");
    assert!(taken.iter().all(|(_, times)| *times == 1));
    assert_eq!(get(pool.http, "/health").await.0, 200);
    assert_eq!(
        hub.accept().unwrap_err().kind(),
        std::io::ErrorKind::WouldBlock
    );
    until("none waits", || async {
        (waiting(&pool).await == 0.0).then_some(())
    })
    .await;
    pool.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_both_a_share_has_one_quote_whichever_way_answers_first() {
    let world = World::new();
    let redis = redis(&world);
    let (hub_addr, hub) = world.start_hub().await;
    let pool = world
        .start_pool(hub_addr, &path("both"), &tables(&redis, ""))
        .await;
    // Redis alone answers.
    let old = OldMint::start(&redis, true).await;
    let mut shares = mine(&pool, &world, 5).await;
    all_quoted(&pool, &shares).await;
    assert_eq!(
        metric(pool.http, "winze_pool_redis_quotes_total").await,
        5.0
    );
    // Then the hub as well: what is quoted is not asked there.
    let mint = TestMint::start(&world, hub_addr, false).await;
    health(&pool, "mint_store_known", true.into()).await;
    shares.extend(mine(&pool, &world, 20).await);
    all_quoted(&pool, &shares).await;
    // Then the hub alone, while the list fills.
    drop(old);
    shares.extend(mine(&pool, &world, 5).await);
    all_quoted(&pool, &shares).await;
    assert_eq!(issued(&pool).await, 30.0);
    until("none waits", || async {
        (waiting(&pool).await == 0.0).then_some(())
    })
    .await;
    pool.running.stop().await;
    let store = let_go(&world).await;
    let count = "SELECT count(*) FROM pool_quote";
    let quotes = store.read(move |c| Ok(c.query_row(count, [], |row| row.get::<_, u64>(0))?));
    assert_eq!(quotes.await.unwrap(), 30);
    mint.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_fallback_goes_over_redis_only_while_the_hub_is_away_and_nothing_is_lost_or_doubled() {
    let world = World::new();
    let redis = redis(&world);
    let (hub_addr, hub) = world.start_hub().await;
    let mint = TestMint::start(&world, hub_addr, false).await;
    let tables = tables(&redis, "fallback_after_ms = 1500");
    let pool = world.start_pool(hub_addr, &path("fallback"), &tables).await;
    health(&pool, "mint_store_known", true.into()).await;
    let mut shares = mine(&pool, &world, 5).await;
    all_quoted(&pool, &shares).await;
    assert_eq!(pushed(&pool).await, 0.0);

    hub.stop().await;
    shares.extend(mine(&pool, &world, 5).await);
    let old = OldMint::start(&redis, true).await;
    all_quoted(&pool, &shares).await;
    assert_eq!(old.taken().len(), 5);
    assert_eq!(get(pool.http, "/health").await.0, 200, "one way is open");
    // These are pushed, and the old mint is gone before it takes them. Meanwhile the pool is killed.
    drop(old);
    shares.extend(mine(&pool, &world, 5).await);
    until("pushed", || async {
        (pushed(&pool).await == 10.0).then_some(())
    })
    .await;
    pool.running.kill().await;
    let (_, hub) = world.start_hub_at(hub_addr).await;
    let pool = world.start_pool(hub_addr, &path("fallback"), &tables).await;
    all_quoted(&pool, &shares).await;
    // The list is taken at last: by the same mint.
    let before = list_length(&redis).await;
    assert!(before >= 5);
    let old = OldMint::start(&redis, true).await;
    old.has_taken(5).await;
    shares.extend(mine(&pool, &world, 3).await);
    all_quoted(&pool, &shares).await;
    assert_eq!(issued(&pool).await, 8.0);
    assert_eq!(pushed(&pool).await, 0.0);
    pool.running.stop().await;
    mint.stop().await;
    hub.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_keyset_out_of_redis_is_never_taken_for_the_mints_own_word_by_a_later_life() {
    const OTHER: [u8; 8] = [0, 0xbb, 0, 0, 0, 0, 0, 0];
    let world = World::new();
    let mut redis = redis(&world);
    write_keyset_of(&redis, OTHER).await;
    let tables = tables(&redis, "");
    let other = hex::encode(OTHER);
    for name in ["redis", "both"] {
        let pool = world.start_pool(nobody(), &path(name), &tables).await;
        health(&pool, "mint_keyset_id", other.as_str().into()).await;
        pool.running.stop().await;
        let pool = world.start_pool(nobody(), "", "").await;
        assert_eq!(said(&pool).await["mint_keyset_id"], Value::Null, "{name}");
        pool.running.stop().await;
    }

    // The mint's own word, once heard, stays, whatever Redis says while the mint is away.
    let (hub_addr, hub) = world.start_hub().await;
    let mint = TestMint::start(&world, hub_addr, false).await;
    let pool = world.start_pool(hub_addr, &path("both"), &tables).await;
    let own = hex::encode(support::KEYSET_ID);
    health(&pool, "mint_keyset_id", own.as_str().into()).await;
    pool.running.stop().await;
    mint.stop().await;
    hub.stop().await;
    let pool = world.start_pool(nobody(), &path("both"), &tables).await;
    health(&pool, "redis_connected", true.into()).await;
    assert_eq!(said(&pool).await["mint_keyset_id"], own.as_str());
    pool.running.stop().await;

    // Over Redis alone its keyset is known again, also before Redis is there.
    redis.kill();
    let pool = world.start_pool(nobody(), &path("redis"), &tables).await;
    assert_eq!(said(&pool).await["mint_keyset_id"], other.as_str());
    pool.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_is_away_stops_nothing_that_goes_over_the_hub() {
    for name in ["both", "fallback"] {
        let world = World::new();
        let mut redis = redis(&world);
        redis.kill();
        let (hub_addr, hub) = world.start_hub().await;
        let mint = TestMint::start(&world, hub_addr, false).await;
        let tables = tables(&redis, "fallback_after_ms = 0");
        let pool = world.start_pool(hub_addr, &path(name), &tables).await;
        let mut shares = mine(&pool, &world, 5).await;
        all_quoted(&pool, &shares).await;
        assert_eq!(get(pool.http, "/health").await.0, 200);
        assert_eq!(said(&pool).await["redis_connected"], false);
        until("the fault", || async {
            let said = said(&pool).await;
            said["redis_last_error"].as_str().map(str::to_owned)
        })
        .await;

        redis.start_again().unwrap();
        health(&pool, "redis_connected", true.into()).await;
        redis.kill();
        health(&pool, "redis_connected", false.into()).await;
        shares.extend(mine(&pool, &world, 5).await);
        all_quoted(&pool, &shares).await;
        pool.running.stop().await;
        mint.stop().await;
        hub.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn redis_that_dies_in_the_middle_loses_no_share_of_its_own_path() {
    let world = World::new();
    let mut redis = redis(&world);
    let old = OldMint::start(&redis, true).await;
    let tables = tables(&redis, "push_again_after_s = 1");
    let pool = world.start_pool(nobody(), &path("redis"), &tables).await;
    let mut shares = mine(&pool, &world, 5).await;
    redis.kill();
    shares.extend(mine(&pool, &world, 10).await);
    redis.start_again().unwrap();
    shares.extend(mine(&pool, &world, 5).await);
    all_quoted(&pool, &shares).await;
    assert_eq!(old.taken().len(), 20);
    pool.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redis_that_is_read_and_takes_nothing_is_no_open_way() {
    let world = World::new();
    let redis = redis(&world);
    write_keyset(&redis).await;
    let pool = world
        .start_pool(nobody(), &path("redis"), &tables(&redis, ""))
        .await;
    health(&pool, "redis_connected", true.into()).await;
    // For some seconds something else lies where the list should be.
    put_text(&redis, "mint:quotes", "create", 5).await;
    let shares = mine(&pool, &world, 1).await;
    health(&pool, "redis_takes_requests", false.into()).await;
    assert_eq!(said(&pool).await["redis_connected"], true);
    assert_eq!(get(pool.http, "/health").await.0, 503);
    health(&pool, "redis_takes_requests", true.into()).await;
    assert_eq!(get(pool.http, "/health").await.0, 200);
    let _mint = OldMint::start(&redis, true).await;
    all_quoted(&pool, &shares).await;
    pool.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mint_that_tells_no_ids_leaves_shares_that_are_no_quotes_and_no_refusals() {
    let world = World::new();
    let redis = redis(&world);
    let old = OldMint::start(&redis, false).await;
    let tables = tables(&redis, "writes_quote_ids = false");
    let pool = world.start_pool(nobody(), &path("redis"), &tables).await;
    let shares = mine(&pool, &world, 4).await;
    until("all handed over", || async {
        (page(&pool).await["pending"] == 0).then_some(())
    })
    .await;
    let page = page(&pool).await;
    let mut unknown = list(&page, "unknown");
    unknown.reverse();
    let hashes = shares
        .iter()
        .map(|share| header_hash_to_text(&share.header_hash));
    assert_eq!(unknown, hashes.collect::<Vec<_>>());
    assert!(list(&page, "quotes").is_empty() && list(&page, "refused").is_empty());
    old.has_taken(4).await;
    assert!(old.taken().iter().all(|(_, times)| *times == 1));
    assert_eq!(
        metric(pool.http, "winze_pool_quotes_unknown_total").await,
        4.0
    );
    assert_eq!(issued(&pool).await, 0.0);
    pool.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strange_value_is_no_id_and_what_the_mint_has_lost_is_pushed_again() {
    let world = World::new();
    let redis = redis(&world);
    let thief = OldMint::start(&redis, false).await;
    let tables = tables(&redis, "push_again_after_s = 1");
    let pool = world.start_pool(nobody(), &path("redis"), &tables).await;
    let shares = mine(&pool, &world, 2).await;
    thief.has_taken(2).await;
    drop(thief);
    let hash = header_hash_to_text(&shares[0].header_hash);
    for strange in ["", "two words", &"9".repeat(300)] {
        write_id(&redis, &hash, strange).await;
        until("it is seen", || async {
            (metric(pool.http, "winze_pool_redis_strange_ids").await == 1.0).then_some(())
        })
        .await;
        assert_eq!(page(&pool).await["pending"], 2, "{strange:?}");
    }
    let mint = OldMint::start(&redis, true).await;
    all_quoted(&pool, &shares).await;
    assert_eq!(mint.taken().len(), 2);
    assert!(metric(pool.http, "winze_pool_redis_pushed_again_total").await >= 2.0);
    pool.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_one_mint_was_handed_no_other_is_before_the_operator_says_so() {
    let world = World::new();
    let redis = redis(&world);
    // It takes three shares and is replaced before it has told of a quote.
    let old = OldMint::start(&redis, false).await;
    let tables = tables(&redis, "push_again_after_s = 1");
    let pool = world.start_pool(nobody(), &path("redis"), &tables).await;
    let shares = mine(&pool, &world, 3).await;
    old.has_taken(3).await;
    drop(old);
    write_keyset_of(&redis, [0, 0xbb, 0, 0, 0, 0, 0, 0]).await;
    health(&pool, "quotes_parked", 3.into()).await;
    assert_eq!(list_length(&redis).await, 0);
    // Of the first there was a quote, as it turns out.
    let hash = header_hash_to_text(&shares[0].header_hash);
    write_id(&redis, &hash, &hex::encode(&shares[0].header_hash[..8])).await;
    health(&pool, "quotes_parked", 2.into()).await;
    assert_eq!(page(&pool).await["pending"], 2);
    // Of the others there is none, says the operator.
    pool.running.stop().await;
    for share in &shares[1..3] {
        let (store, key) = (let_go(&world).await, share.header_hash);
        let release = store.write(move |c| outbox::release(c, "mint/main", EXT_MINT_QUOTE, &key));
        assert!(release.await.unwrap());
    }
    let pool = world.start_pool(nobody(), &path("redis"), &tables).await;
    until("pushed once", || async {
        (pushed(&pool).await == 2.0).then_some(())
    })
    .await;
    let mint = OldMint::start(&redis, true).await;
    all_quoted(&pool, &shares).await;
    assert!(mint.taken().iter().all(|(_, times)| *times == 1));
    pool.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_no_quote_comes_of_is_parked_with_a_word_about_the_dead_letters() {
    let world = World::new();
    let redis = redis(&world);
    let thief = OldMint::start(&redis, false).await;
    let tables = tables(&redis, "");
    let pool = world.start_pool(nobody(), &path("redis"), &tables).await;
    mine(&pool, &world, 1).await;
    thief.has_taken(1).await;
    until("noted", || async {
        (pushed(&pool).await == 1.0).then_some(())
    })
    .await;
    pool.running.stop().await;
    // Half a day later.
    let store = let_go(&world).await;
    let later = "UPDATE pool_pushed SET pushes = 16, pushed_unix_ms = 0";
    store.write(|c| Ok(c.execute(later, [])?)).await.unwrap();
    drop(store);
    let pool = world.start_pool(nobody(), &path("redis"), &tables).await;
    health(&pool, "quotes_parked", 1.into()).await;
    assert_eq!(thief.taken()[0].1, 1);
    pool.running.stop().await;
    let store = let_go(&world).await;
    let parked = store.read(|c| outbox::parked_page(c, "mint/main", EXT_MINT_QUOTE, 0, 9));
    let reason = parked.await.unwrap().remove(0).error;
    let dead = redis.config().dead_letters_list;
    assert!(
        reason.contains("16 times") && reason.contains(&dead),
        "{reason}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_share_of_more_than_the_old_mint_takes_waits_and_is_never_unknown() {
    let world = World::new();
    let redis = redis(&world);
    let old = OldMint::start(&redis, false).await;
    let no_ids = |max: u64| format!("writes_quote_ids = false\nlist_amount_max = {max}");
    let few = tables(&redis, &no_ids(1));
    let pool = world.start_pool(nobody(), &path("redis"), &few).await;
    let mut shares = mine(&pool, &world, 4).await;
    let too_large = |said: &Value| said["redis_too_large"].as_u64().unwrap();
    while too_large(&said(&pool).await) == 0 {
        shares.extend(mine(&pool, &world, 4).await);
    }
    let large = until("the others are handed over", || async {
        let (said, page) = (said(&pool).await, page(&pool).await);
        let large = too_large(&said);
        let unknown = list(&page, "unknown").len() as u64;
        (page["pending"] == large && unknown + large == shares.len() as u64).then_some(large)
    })
    .await;
    let handed_over = shares.len() - usize::try_from(large).unwrap();
    old.has_taken(handed_over).await;
    assert!(old.taken().iter().all(|(request, _)| request.amount == 1));
    assert_eq!(old.taken().len(), handed_over);
    pool.running.stop().await;

    // A mint that takes them is put there.
    let all = tables(&redis, &no_ids(0));
    let pool = world.start_pool(nobody(), &path("redis"), &all).await;
    old.has_taken(shares.len()).await;
    health(&pool, "redis_too_large", 0.into()).await;
    pool.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn while_the_list_is_full_the_backlog_stays_in_the_store() {
    let world = World::new();
    let redis = redis(&world);
    write_keyset(&redis).await;
    let tables = tables(&redis, "list_length_max = 3");
    let pool = world.start_pool(nobody(), &path("redis"), &tables).await;
    let shares = mine(&pool, &world, 8).await;
    until("the list is found full", || async {
        let full = metric(pool.http, "winze_pool_redis_list_full_total").await;
        (full >= 2.0).then_some(())
    })
    .await;
    assert_eq!(list_length(&redis).await, 3);
    assert_eq!(page(&pool).await["pending"], 8);
    let mint = OldMint::start(&redis, true).await;
    all_quoted(&pool, &shares).await;
    let taken = mint.taken();
    let order: Vec<[u8; 32]> = taken
        .iter()
        .map(|(request, _)| request.header_hash)
        .collect();
    let found: Vec<[u8; 32]> = shares.iter().map(|share| share.header_hash).collect();
    assert_eq!(order, found);
    pool.running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_password_stops_the_start_and_is_not_told() {
    let world = World::new();
    let wanted = Wanted {
        password: Some("right".to_owned()),
        ..Wanted::default()
    };
    let redis = RedisServer::start(&world.at("redis"), wanted).unwrap();
    let secret = "battery-staple";
    winze_runtime::keyfile::write_secret_text(world.at("wrong"), secret).unwrap();
    let address = redis.address();
    let tables = format!(
        "[redis]\naddress = \"{address}\"\nusername = \"winze\"\npassword_file = \"wrong\"\n"
    );
    let bound = world.bind_pool(nobody(), &path("both"), &tables).await;
    let error = bound.unwrap_err();
    assert!(matches!(error, PoolError::Redis(_)), "{error}");
    let (text, all) = (error.to_string(), format!("{error:?}"));
    assert!(text.contains(&address) && text.contains("login"), "{text}");
    assert!(!text.contains(secret) && !all.contains(secret));
}
