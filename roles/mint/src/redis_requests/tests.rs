//! Old pools that push to a real Redis, and a mint that takes from it and is killed now and then.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cdk::nuts::SecretKey as MinerKey;
use redis::Commands;
use rusqlite::Connection;
use tempfile::TempDir;
use winze_client::answers;
use winze_messages::EXT_MINT_QUOTE;
use winze_redis::testing::{RedisServer, Wanted};
use winze_runtime::config::ConfigPath;
use winze_runtime::keyfile;

use super::*;
use crate::config::LIST_ACCOUNT;
use crate::limits::DEAD_LETTER_REASON_CHARS_MAX;
use crate::testing::{CAPS, TestMint};

/// Longer than anything here takes, on a loaded machine too.
const PATIENCE: Duration = Duration::from_secs(60);
const LIST: &str = "mint:quotes:create";
const TAKEN: &str = "mint:quotes:create:taken:mint-main";
const DEAD: &str = "mint:quotes:dead";
const KEYSET: &str = "mint:keyset:active";
/// As [`TestMint`] calls its pool.
const ALICE: &str = "pool/alice";

struct Scene {
    server: RedisServer,
    folder: TempDir,
    /// Pool Alice has told how many answers it knows of.
    has_compared: Arc<AtomicBool>,
}

impl Scene {
    fn new(durable: bool) -> Scene {
        let folder = TempDir::new().unwrap();
        let wanted = Wanted {
            durable,
            ..Wanted::default()
        };
        let server = RedisServer::start(&folder.path().join("redis"), wanted).unwrap();
        Scene {
            server,
            folder,
            has_compared: Arc::default(),
        }
    }

    /// The mint's reading of the list, as `names` has it.
    fn read_by(&self, mint: &TestMint, names: RedisConfig) -> ListReading {
        self.read_as(mint, names, false)
    }

    fn read_as(&self, mint: &TestMint, names: RedisConfig, other_keysets: bool) -> ListReading {
        let config = RedisRequestsConfig {
            unit: "hash".to_owned(),
            default_locking_key: None,
            other_keysets,
            keyset_to_redis: true,
            allowance: Vec::new(),
        };
        let redis = names.open().unwrap();
        let settings = ListSettings::new(redis, names, "main", &config).unwrap();
        let metrics = mint.metrics.list().unwrap().clone();
        let has_compared = Arc::clone(&self.has_compared);
        let caution = Caution::new(
            mint.store.clone(),
            vec![ALICE.to_owned()],
            Arc::new(move |_| has_compared.load(Ordering::Relaxed)),
        );
        ListReading::start(
            settings,
            mint.issuer.clone(),
            mint.ecash.clone(),
            metrics,
            caution,
        )
    }

    /// As somebody else who uses the same Redis.
    fn pool(&self) -> redis::Connection {
        let client = redis::Client::open(format!("redis://{}", self.server.address())).unwrap();
        client.get_connection().unwrap()
    }
}

/// A share's header hash, the zeros in front as everywhere in Redis.
fn text(share: u8) -> String {
    format!("{share:064x}")
}

fn key(share: u8) -> String {
    format!("mint:quotes:hash:{}", text(share))
}

/// A share of the latest shape.
fn share(mint: &TestMint, share: u8, amount: u64, miner: &MinerKey) -> String {
    let keyset = hex::encode(mint.active_keyset_id());
    format!(
        r#"{{"unit":"HASH","amount":{amount},"header_hash":"{}","description":null,"pubkey":"{}","keyset_id":"{keyset}"}}"#,
        text(share),
        miner.public_key().to_hex(),
    )
}

fn push<T: AsRef<[u8]>>(pool: &mut redis::Connection, entries: &[T]) {
    for entry in entries {
        let _: u64 = pool.rpush(LIST, entry.as_ref()).unwrap();
    }
}

async fn until(what: &str, mut holds: impl FnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds() {
            sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "not in time: {what}");
}

/// Nothing is on the list, nor taken off it and open.
fn is_through(pool: &mut redis::Connection) -> bool {
    pool.llen::<_, u64>(LIST).unwrap() + pool.llen::<_, u64>(TAKEN).unwrap() == 0
}

fn quote_id(pool: &mut redis::Connection, share: u8) -> Option<String> {
    pool.get(key(share)).unwrap()
}

/// Id by header hash, as cdk's store has them.
async fn quotes(mint: &TestMint) -> HashMap<String, String> {
    let quotes = mint.ecash.mint().mint_quotes().await.unwrap();
    let quotes = quotes.into_iter();
    quotes
        .map(|quote| (quote.request, quote.id.to_string()))
        .collect()
}

fn counts(mint: &TestMint, line: &str) -> bool {
    mint.metrics
        .text()
        .lines()
        .any(|it| it == format!("winze_mint_{line}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_shape_becomes_a_quote_under_its_key_and_every_bad_entry_a_dead_letter() {
    let (mint, scene, miner) = (
        TestMint::start().await,
        Scene::new(false),
        MinerKey::generate(),
    );
    let mut pool = scene.pool();
    let flat = share(&mint, 1, 5, &miner);
    let keyset = format!(r#","keyset_id":"{}""#, hex::encode(mint.active_keyset_id()));
    let fields = share(&mint, 2, 6, &miner).replace(&keyset, "");
    let messages = format!(
        r#""blinded_messages":[{{"amount":1,"id":"{}","B_":"02"}}]"#,
        hex::encode(mint.active_keyset_id())
    );
    let nested = format!(r#"{{"quote_request":{fields},{messages}}}"#);
    let fields = share(&mint, 3, 6, &miner).replace(&keyset, "");
    let between = format!("{},{messages}}}", fields.trim_end_matches('}')).replace("HASH", "hash");
    let without_keyset = share(&mint, 4, 7, &miner).replace(&keyset, "");
    let name = "n".repeat(20_000);
    let bad: [(Vec<u8>, &str); 9] = [
        (
            format!(r#"{{"{name}":1,"{name}":2}}"#).into(),
            "not JSON: \"nnn",
        ),
        (b"{\"unit\":\"HASH\"".to_vec(), "not JSON"),
        (vec![0xff, 0xfe], "not JSON"),
        (vec![b'x'; 10 * 1024 * 1024], "10485760 bytes long"),
        (share(&mint, 9, 0, &miner).into(), "amount-zero"),
        (share(&mint, 1, 6, &miner).into(), "conflict"),
        (
            share(&mint, 9, 1, &miner).replace("HASH", "SAT").into(),
            "unit \"sat\"",
        ),
        (
            share(&mint, 9, 1, &miner)
                .replace(&hex::encode(mint.active_keyset_id()), "0011223344556677")
                .into(),
            "unknown-keyset",
        ),
        (
            share(&mint, 9, 1, &miner)
                .replace(r#""description":null"#, r#""description":"a "fine" share""#)
                .into(),
            "not JSON",
        ),
    ];
    push(&mut pool, &[&flat, &nested]);
    for (entry, _) in &bad {
        push(&mut pool, &[entry]);
    }
    push(&mut pool, &[&between, &without_keyset, &flat]);

    let _reading = scene.read_by(&mint, scene.server.config());
    until("all are dealt with", || is_through(&mut pool)).await;
    let made = quotes(&mint).await;
    assert_eq!(made.len(), 4);
    for share in [1, 2, 3, 4] {
        let id = made.get(&text(share));
        assert_eq!(quote_id(&mut pool, share).as_ref(), id, "{share}");
    }
    assert_eq!(quote_id(&mut pool, 9), None);
    let mut dead: Vec<String> = pool.lrange(DEAD, 0, -1).unwrap();
    assert_eq!(dead.len(), bad.len());
    for letter in &dead {
        let letter: serde_json::Value = serde_json::from_str(letter).unwrap();
        assert!(letter["reason"].as_str().unwrap().len() <= DEAD_LETTER_REASON_CHARS_MAX);
    }
    for (_, reason) in bad {
        let reason = serde_json::Value::String(reason.to_owned()).to_string();
        let reason = reason.trim_matches('"');
        let at = dead.iter().position(|letter| letter.contains(reason));
        dead.swap_remove(at.unwrap_or_else(|| panic!("no letter has {reason}")));
    }
    until("it is counted", || {
        counts(&mint, "redis_dead_letters_total 9")
    })
    .await;
    assert!(counts(&mint, "redis_requests_answered_total 5"));
    assert!(counts(&mint, "quotes_issued_total 4"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mint_killed_between_cdks_commit_and_the_key_makes_no_second_quote_and_writes_the_key() {
    let (mint, scene, miner) = (
        TestMint::start().await,
        Scene::new(false),
        MinerKey::generate(),
    );
    let mut pool = scene.pool();
    let names = limited(&scene, &mut pool);
    // It may do everything but write the keys of quotes: so it never comes further than cdk's commit.
    may(
        &mut pool,
        &[
            "resetkeys",
            "~mint:quotes:create*",
            "~mint:keyset:*",
            "~mint:quotes:dead",
        ],
    );
    let entries = [1, 2, 3].map(|number| share(&mint, number, 5, &miner));
    push(&mut pool, &entries);
    let reading = scene.read_by(&mint, names.clone());
    until("the quotes are made", || {
        counts(&mint, "quotes_issued_total 3")
    })
    .await;
    assert_eq!(quote_id(&mut pool, 1), None);
    let link = reading.link();
    until("the operator can see why", || {
        let mut health = winze_runtime::ops_http::Health {
            ready: true,
            detail: serde_json::json!({}),
        };
        link.add_to(&mut health);
        let fault = health.detail["redis_last_fault"].as_str();
        !health.ready && fault.is_some_and(|fault| fault.contains("does not allow"))
    })
    .await;
    drop(reading);
    let mint = mint.killed_and_started().await;
    assert_eq!(pool.llen::<_, u64>(TAKEN).unwrap(), 3);

    may(&mut pool, &["~mint:*"]);
    let _reading = scene.read_by(&mint, names);
    until("all are dealt with", || is_through(&mut pool)).await;
    let made = quotes(&mint).await;
    assert_eq!(made.len(), 3);
    for share in [1, 2, 3] {
        assert_eq!(quote_id(&mut pool, share).as_ref(), made.get(&text(share)));
    }
    assert!(counts(&mint, "quotes_issued_total 0"));
    assert_eq!(
        mint.issuer.left_in_hour(LIST_ACCOUNT, "hash", CAPS).await,
        CAPS.per_hour - 15
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_over_the_allowance_waits_in_order_and_what_fits_is_served_at_once() {
    let (mint, scene, miner) = (
        TestMint::start().await,
        Scene::new(false),
        MinerKey::generate(),
    );
    let mut pool = scene.pool();
    let (most, little) = (CAPS.per_hour - 10, 7);
    let entries = [(1, most), (2, most), (3, little)];
    let entries = entries.map(|(number, amount)| share(&mint, number, amount, &miner));
    push(
        &mut pool,
        &[entries.as_slice(), &["no request".to_owned()]].concat(),
    );
    let reading = scene.read_by(&mint, scene.server.config());
    until("what fits is served", || {
        quote_id(&mut pool, 1).is_some() && quote_id(&mut pool, 3).is_some()
    })
    .await;
    until("the rest is tried again", || {
        counts(&mint, "redis_requests_later_total 2")
    })
    .await;
    assert_eq!(quote_id(&mut pool, 2), None);
    assert_eq!(pool.llen::<_, u64>(TAKEN).unwrap(), 4);
    assert_eq!(
        pool.llen::<_, u64>(DEAD).unwrap(),
        0,
        "with the batch, and once"
    );
    let waits_for = reading.link().waiting_for().unwrap();
    assert!(waits_for.starts_with("allowance: "), "{waits_for}");

    mint.turn_clock(3_700);
    until("the rest is served", || is_through(&mut pool)).await;
    assert!(quote_id(&mut pool, 2).is_some());
    assert_eq!(quotes(&mint).await.len(), 3);
    assert_eq!(pool.llen::<_, u64>(DEAD).unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_a_pool_knows_more_than_the_store_the_list_is_told_what_exists_and_nothing_is_made() {
    let (mint, scene, miner) = (
        TestMint::start().await,
        Scene::new(false),
        MinerKey::generate(),
    );
    let mut pool = scene.pool();
    push(&mut pool, &[share(&mint, 1, 5, &miner)]);
    let reading = scene.read_by(&mint, scene.server.config());
    until("share 1 has its quote", || is_through(&mut pool)).await;
    let first = quote_id(&mut pool, 1);

    // As the responder notes it, for good, where Alice has told.
    let noted = "INSERT INTO answer_set_back
                 (extension, peer, own_answers, told_answers, noticed_unix_ms)
                 VALUES (?1, ?2, 0, 5, 1)";
    let compare = move |c: &Connection| Ok(c.execute(noted, (EXT_MINT_QUOTE, ALICE))?);
    mint.store.write(compare).await.unwrap();
    let _: u64 = pool.del(key(1)).unwrap();
    let entries = [1, 2].map(|number| share(&mint, number, 5, &miner));
    push(&mut pool, &entries);
    until("share 2 is put off", || {
        counts(&mint, "redis_requests_later_total 1")
    })
    .await;
    assert_eq!(quote_id(&mut pool, 1), first);
    assert_eq!(quotes(&mint).await.len(), 1);

    // A restart ends it no sooner, not for the first batch either.
    drop(reading);
    let mint = mint.killed_and_started().await;
    scene.has_compared.store(true, Ordering::Relaxed);
    let reading = scene.read_by(&mint, scene.server.config());
    until("share 2 is put off again", || {
        counts(&mint, "redis_requests_later_total 1")
    })
    .await;
    assert_eq!(quotes(&mint).await.len(), 1);
    let waits_for = reading.link().waiting_for().unwrap();
    assert!(waits_for.contains(ALICE), "{waits_for}");

    let accept = |c: &Connection| answers::accept(c, EXT_MINT_QUOTE, ALICE, 2);
    assert!(mint.store.write(accept).await.unwrap());
    until("share 2 is served", || is_through(&mut pool)).await;
    assert!(quote_id(&mut pool, 2).is_some());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redis_that_is_away_at_the_start_and_is_killed_later_loses_no_share() {
    let (mint, mut scene) = (TestMint::start().await, Scene::new(true));
    let miner = MinerKey::generate();
    scene.server.kill();
    let reading = scene.read_by(&mint, scene.server.config());
    until("it is noticed", || reading.link().fault().is_some()).await;
    scene.server.start_again().unwrap();
    let mut pool = scene.pool();
    let entries = (1..=40).map(|number| share(&mint, number, 1, &miner));
    push(&mut pool, &entries.collect::<Vec<_>>());
    until("some are served", || quote_id(&mut pool, 1).is_some()).await;
    scene.server.kill();
    scene.server.start_again().unwrap();
    let mut pool = scene.pool();
    let entries = (41..=80).map(|number| share(&mint, number, 1, &miner));
    push(&mut pool, &entries.collect::<Vec<_>>());
    until("all are dealt with", || is_through(&mut pool)).await;
    let made = quotes(&mint).await;
    let ids: BTreeSet<&String> = made.values().collect();
    assert_eq!((made.len(), ids.len()), (80, 80));
    for number in 1..=80 {
        let told = quote_id(&mut pool, number);
        assert_eq!(told.as_ref(), made.get(&text(number)), "{number}");
    }
    until("all is well", || reading.link().fault().is_none()).await;
    // An orderly end leaves nothing half done.
    reading.shutdown().await;
    push(&mut pool, &[share(&mint, 81, 1, &miner)]);
    assert_eq!(pool.llen::<_, u64>(LIST).unwrap(), 1, "nobody takes it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_pools_find_the_active_keyset_whatever_was_there_and_may_go_on_with_another_mints() {
    let (mint, scene, miner) = (
        TestMint::start().await,
        Scene::new(false),
        MinerKey::generate(),
    );
    let mut pool = scene.pool();
    let _: u64 = pool
        .rpush(KEYSET, "a list where a keyset should be")
        .unwrap();
    let _reading = scene.read_as(&mint, scene.server.config(), true);
    let first = hex::encode(mint.active_keyset_id());
    until("the keyset is there", || {
        told_keyset(&mut pool).as_ref() == Some(&first)
    })
    .await;
    // A Redis without a disk that was started anew.
    let _: u64 = pool.del(KEYSET).unwrap();
    until("it is there again", || {
        told_keyset(&mut pool).as_ref() == Some(&first)
    })
    .await;
    mint.ecash.rotate("hash").await.unwrap();
    let second = hex::encode(mint.active_keyset_id());
    assert_ne!(first, second);
    until("the next is there", || {
        told_keyset(&mut pool).as_ref() == Some(&second)
    })
    .await;
    // This pool was started beside another mint and has not asked since.
    let foreign = share(&mint, 1, 5, &miner).replace(&second, "0011223344556677");
    push(&mut pool, &[foreign]);
    until("it is served", || quote_id(&mut pool, 1).is_some()).await;
}

fn told_keyset(pool: &mut redis::Connection) -> Option<String> {
    let text: Option<Vec<u8>> = pool.get(KEYSET).ok().flatten();
    let keyset = winze_legacy::Keyset::parse(&text?).ok()?;
    Some(hex::encode(keyset.id))
}

/// A user of Redis that may do nothing yet, and how to be it.
fn limited(scene: &Scene, pool: &mut redis::Connection) -> RedisConfig {
    let file = scene.folder.path().join("password");
    write_password(&file);
    may(pool, &["on", ">a long secret", "+@all"]);
    RedisConfig {
        username: Some("limited".to_owned()),
        password_file: Some(ConfigPath::new(file)),
        ..scene.server.config()
    }
}

fn write_password(file: &Path) {
    keyfile::write_secret_text(file, "a long secret").unwrap();
}

fn may(pool: &mut redis::Connection, rules: &[&str]) {
    let mut command = redis::cmd("ACL");
    command.arg("SETUSER").arg("limited").arg(rules);
    let _: () = command.query(pool).unwrap();
}
