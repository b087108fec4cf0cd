//! The bridge, Redis and the hub go away at the worst moments.

use rusqlite::Connection;
use winze_redis::RedisConfig;
use winze_redis::testing::Wanted;
use winze_runtime::config::ConfigPath;
use winze_runtime::keyfile;

use crate::deployment::{
    DEAD, Deployment, FIRST_KEYSET, LIST, TAKEN, all_told, entry, hash, is_through, length, push,
    told, without_keyset,
};
use crate::support::{RunningBridge, until};

/// Everything but to put dead letters aside: so no batch is ever settled.
const ALL_BUT_SETTLE: [&str; 5] = [
    "resetkeys",
    "~mint:quotes:create*",
    "~mint:quotes:hash*",
    "~mint:keyset:*",
    "%R~mint:quotes:dead",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_killed_between_the_commit_and_the_settling_asks_for_nothing_twice() {
    let deployment = Deployment::new(Wanted::default());
    let _hub = deployment.start_hub().await;
    let mint = deployment.start_mint(FIRST_KEYSET).await;
    let mut pool = deployment.old_pool();
    let names = limited(&deployment, &mut pool);
    may(&mut pool, &ALL_BUT_SETTLE);
    push(
        &mut pool,
        (1..=20).map(|share| match share % 2 {
            0 => entry(share),
            _ => without_keyset(share),
        }),
    );
    let bridge = RunningBridge::start(deployment.config(names.clone())).await;
    all_told(&mut pool, 1..=20).await;
    bridge.has_fault("does not allow").await;
    bridge.kill().await;
    assert_eq!(length(&mut pool, TAKEN), 20);

    // What names no keyset is taken again under another one than before.
    mint.announce([5; 8]).await;
    may(&mut pool, &["~mint:*"]);
    let bridge = RunningBridge::start(deployment.config(names)).await;
    push(&mut pool, [without_keyset(21)]);
    all_told(&mut pool, [21]).await;
    until("the batch is settled", async || is_through(&mut pool)).await;
    assert_eq!(
        length(&mut pool, DEAD),
        0,
        "what is repeated is no conflict"
    );
    assert_eq!(bridge.metric("requests_enqueued_total").await, 1);
    assert!(bridge.metric("requests_repeated_total").await >= 20);
    assert!(mint.made.each_once());
    assert_eq!(mint.made.in_order(), (1..=21).map(hash).collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_cannot_be_settled_is_repeated_and_grows_no_table() {
    let deployment = Deployment::new(Wanted::default());
    let _hub = deployment.start_hub().await;
    let mint = deployment.start_mint(FIRST_KEYSET).await;
    let mut pool = deployment.old_pool();
    let names = limited(&deployment, &mut pool);
    may(&mut pool, &["~mint:*"]);
    let bridge = RunningBridge::start(deployment.config(names)).await;
    push(&mut pool, (1..=20).map(entry));
    all_told(&mut pool, 1..=20).await;
    until("the bridge knows that Redis knows", async || {
        bridge.metric("quote_keys_written_total").await == 20
    })
    .await;
    may(&mut pool, &ALL_BUT_SETTLE);
    push(&mut pool, (1..=20).map(entry).chain(["{".to_owned()]));
    until("it is repeated", async || {
        bridge.metric("requests_repeated_total").await >= 60
    })
    .await;
    let store = Connection::open(deployment.path("bridge.sqlite")).expect("a store");
    let rows: u64 = store
        .query_row("SELECT count(*) FROM bridge_quote_id", [], |row| row.get(0))
        .expect("a number");
    assert_eq!(rows, 20, "one a share, however often it is taken");
    may(&mut pool, &["~mint:*"]);
    until("the batch is settled", async || is_through(&mut pool)).await;
    assert_eq!(length(&mut pool, DEAD), 1);
    assert!(mint.made.each_once());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bridge_killed_again_and_again_under_load_loses_and_doubles_nothing() {
    let deployment = Deployment::new(Wanted::default());
    let _hub = deployment.start_hub().await;
    let mint = deployment.start_mint(FIRST_KEYSET).await;
    let mut pool = deployment.old_pool();
    let mut bridge = deployment.start_bridge().await;
    for round in 0..5 {
        let shares = round * 300 + 1..=round * 300 + 300;
        push(&mut pool, shares.clone().map(entry));
        // Somewhere in the middle, and another time elsewhere.
        until("it is under way", async || {
            length(&mut pool, LIST) < 300 - u64::from(round) * 50
        })
        .await;
        bridge.kill().await;
        bridge = deployment.start_bridge().await;
    }
    all_told(&mut pool, 1..=1_500).await;
    assert!(mint.made.each_once());
    assert_eq!(
        mint.made.in_order(),
        (1..=1_500).map(hash).collect::<Vec<_>>()
    );
    until("the list is done with", async || is_through(&mut pool)).await;
    assert_eq!(length(&mut pool, DEAD), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_away_at_the_start_and_is_killed_later_loses_no_share() {
    let mut deployment = Deployment::new(Wanted {
        durable: true,
        ..Wanted::default()
    });
    let _hub = deployment.start_hub().await;
    let mint = deployment.start_mint(FIRST_KEYSET).await;
    deployment.redis.kill();
    let bridge = deployment.start_bridge().await;
    bridge.has_fault("127.0.0.1").await;
    deployment.redis.start_again().expect("it starts");
    let mut pool = deployment.old_pool();
    push(&mut pool, (1..=100).map(entry));
    all_told(&mut pool, [1]).await;
    deployment.redis.kill();
    deployment.redis.start_again().expect("it starts");
    let mut pool = deployment.old_pool();
    push(&mut pool, (101..=200).map(entry));
    all_told(&mut pool, 1..=200).await;
    assert!(mint.made.each_once());
    bridge.is_ready().await;
    assert_eq!(bridge.metric("redis_connected").await, 1);
    assert!(bridge.metric("redis_faults_total").await > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_redis_has_lost_is_written_again_when_its_share_is_pushed_again() {
    let mut deployment = Deployment::new(Wanted::default());
    let _hub = deployment.start_hub().await;
    let mint = deployment.start_mint(FIRST_KEYSET).await;
    let mut pool = deployment.old_pool();
    push(&mut pool, (1..=40).map(entry));
    let bridge = deployment.start_bridge().await;
    all_told(&mut pool, 1..=40).await;
    until("the bridge knows that Redis knows", async || {
        bridge.metric("quote_keys_written_total").await == 40
    })
    .await;
    // It writes nothing down.
    deployment.redis.kill();
    deployment.redis.start_again().expect("it starts");
    let mut pool = deployment.old_pool();
    push(&mut pool, [entry(3), entry(41), entry(17)]);
    all_told(&mut pool, [3, 17, 41]).await;
    assert_eq!(told(&mut pool, 4), None, "nobody asked for it");
    bridge.kill().await;
    let _bridge = deployment.start_bridge().await;
    push(&mut pool, [entry(4)]);
    all_told(&mut pool, [4]).await;
    assert!(mint.made.each_once());
    assert_eq!(mint.made.in_order().len(), 41);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_hub_is_away_as_many_requests_wait_as_may_and_the_rest_stays_on_the_list() {
    let deployment = Deployment::new(Wanted::default());
    let hub = deployment.start_hub().await;
    let mint = deployment.start_mint(FIRST_KEYSET).await;
    let mut pool = deployment.old_pool();
    let mut config = deployment.config(deployment.redis.config());
    config.requests.as_mut().expect("it is on").waiting_max = 50;
    let bridge = RunningBridge::start(config).await;
    bridge.is_ready().await;
    hub.kill().await;
    push(&mut pool, (1..=180).map(entry));
    until("as many wait as may", async || {
        bridge.metric("requests_enqueued_total").await == 50 && length(&mut pool, TAKEN) == 0
    })
    .await;
    until("the operator sees it", async || {
        let health = bridge.health().await;
        health["ready"] == false
            && health["detail"]["hub_connected"] == false
            && health["detail"]["redis_connected"] == true
            && health["detail"]["requests"]["list_length"] == 130
    })
    .await;
    assert_eq!(length(&mut pool, LIST), 130);
    assert_eq!(mint.made.in_order().len(), 0);
    let _hub = deployment.start_hub().await;
    all_told(&mut pool, 1..=180).await;
    assert!(mint.made.each_once());
    assert_eq!(
        mint.made.in_order(),
        (1..=180).map(hash).collect::<Vec<_>>()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_nothing_can_be_written_down_one_batch_is_taken_and_no_more() {
    const SHARES: u32 = 3_000;
    let deployment = Deployment::new(Wanted::default());
    let _hub = deployment.start_hub().await;
    let mint = deployment.start_mint(FIRST_KEYSET).await;
    let mut pool = deployment.old_pool();
    let bridge = deployment.start_bridge().await;
    bridge.is_ready().await;
    let other = Connection::open(deployment.path("bridge.sqlite")).expect("a store");
    other.execute_batch("BEGIN IMMEDIATE").expect("it is free");
    push(&mut pool, (1..=SHARES).map(entry));
    until("the operator sees it", async || {
        let health = bridge.health().await;
        health["ready"] == false && !health["detail"]["store_trouble"].is_null()
    })
    .await;
    let taken = length(&mut pool, TAKEN);
    assert_eq!(length(&mut pool, LIST), u64::from(SHARES) - taken);
    assert!((1..=1_024).contains(&taken), "{taken}");
    assert_eq!(mint.made.in_order().len(), 0);
    other.execute_batch("ROLLBACK").expect("it was begun");
    all_told(&mut pool, 1..=SHARES).await;
    assert_eq!(
        mint.made.in_order(),
        (1..=SHARES).map(hash).collect::<Vec<_>>()
    );
    bridge.is_ready().await;
    assert!(bridge.metric("requests_store_failures_total").await > 0);
}

/// A user of Redis whose keys [`may`] decides.
fn limited(deployment: &Deployment, pool: &mut redis::Connection) -> RedisConfig {
    let file = deployment.path("limited.password");
    keyfile::write_secret_text(&file, "a long secret").expect("writable");
    may(pool, &["on", ">a long secret", "+@all"]);
    RedisConfig {
        username: Some("limited".to_owned()),
        password_file: Some(ConfigPath::new(file)),
        ..deployment.redis.config()
    }
}

fn may(pool: &mut redis::Connection, rules: &[&str]) {
    let mut command = redis::cmd("ACL");
    command.arg("SETUSER").arg("limited").arg(rules);
    command.query::<()>(pool).expect("rules");
}
