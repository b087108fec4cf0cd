//! What the stories are played with: a hub, a mint that answers at once, a real Redis, and a bridge that is killed now and
//! then, in one process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use redis::Commands;
use winze_bridge::BridgeConfig;
use winze_bridge::config::RequestsConfig;
use winze_client::{
    ANSWERS_SCHEMA, HubClient, QuoteIssuer, QuoteOutcome, QuoteResponder, QuoteResponderConfig,
    Store,
};
use winze_messages::PeerName;
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteRequest, MintQuoteResponse, QuoteErrorCode, QuoteState,
};
use winze_messages::text::header_hash_to_text;
use winze_redis::RedisConfig;
use winze_redis::testing::{RedisServer, Wanted};
use winze_testbed::in_process::{HubSite, HubTask};
use winze_transport::PublicKey;

use crate::support::{self, BRIDGE, RunningBridge, until};

const MINT: &str = "mint/main";
pub const LIST: &str = "mint:quotes:create";
pub const TAKEN: &str = "mint:quotes:create:taken:main";
pub const DEAD: &str = "mint:quotes:dead";
pub const KEYSET: &str = "mint:keyset:active";
/// The keyset that the mint begins with.
pub const FIRST_KEYSET: [u8; 8] = [1; 8];
/// One that it does not know.
pub const FOREIGN_KEYSET: [u8; 8] = [9; 8];

/// Of a request that the mint answers without an id, as a bridge does whose own mint tells none.
pub const UNTOLD_AMOUNT: u64 = 7;

/// A Redis that runs, the keys of everybody, and where the hub is or was.
pub struct Deployment {
    // Before the folder that its files are in.
    pub redis: RedisServer,
    site: HubSite,
    _folder: tempfile::TempDir,
}

/// A mint that runs.
pub struct Mint {
    pub made: Arc<Made>,
    responder: QuoteResponder,
    _hub: HubClient,
}

/// What a mint was asked, and how often, in the order of the first time.
#[derive(Default)]
pub struct Made(Mutex<Vec<(MintQuoteRequest, u32)>>);

impl Deployment {
    pub fn new(wanted: Wanted) -> Deployment {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let site = HubSite::new(folder.path(), &[(BRIDGE, Some(MINT)), (MINT, None)]);
        let redis = RedisServer::start(&folder.path().join("redis"), wanted);
        Deployment {
            redis: redis.expect("redis-server starts"),
            site: site.expect("keys"),
            _folder: folder,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.site.path(name)
    }

    /// Where the one before was, if there was one.
    pub async fn start_hub(&self) -> HubTask {
        self.site.start().await.expect("the hub starts")
    }

    fn public_key(&self, peer: &str) -> PublicKey {
        self.site.public_key(peer).expect("it has one")
    }

    /// A mint whose active keyset is `keyset`.
    pub async fn start_mint(&self, keyset: [u8; 8]) -> Mint {
        let hub = self.site.connect(MINT).expect("it has a key");
        let store = Store::open(&self.path("mint.sqlite"), &[ANSWERS_SCHEMA]).expect("it opens");
        let bridge = BRIDGE.parse().expect("a peer name");
        let config = QuoteResponderConfig::new(vec![(bridge, self.public_key(BRIDGE))]);
        let made = Arc::new(Made::default());
        let responder = QuoteResponder::start(&hub, store, config, Arc::clone(&made) as _)
            .expect("the only one");
        let mint = Mint {
            made,
            responder,
            _hub: hub,
        };
        mint.announce(keyset).await;
        mint
    }

    pub fn config(&self, redis: RedisConfig) -> BridgeConfig {
        BridgeConfig {
            requests: Some(RequestsConfig {
                mint: MINT.to_owned(),
                public_key: self.public_key(MINT).into(),
                unit: "hash".to_owned(),
                default_locking_key: None,
                other_keysets: false,
                waiting_max: 100_000,
                takes_new: true,
                keyset_to_redis: true,
            }),
            ..support::config(&self.site, redis)
        }
    }

    pub async fn start_bridge(&self) -> RunningBridge {
        RunningBridge::start(self.config(self.redis.config())).await
    }

    /// An old pool, or somebody with `redis-cli`; with TLS or a password nobody is.
    pub fn old_pool(&self) -> redis::Connection {
        let client = redis::Client::open(format!("redis://{}", self.redis.address()));
        let client = client.expect("an address");
        client.get_connection().expect("redis-server runs")
    }
}

impl RunningBridge {
    /// The value of one of its metrics.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = self.get("/metrics").await.body;
        let name = format!("winze_bridge_{name} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("{name}is not in {text}"))
            .parse()
            .expect("a number")
    }

    pub async fn health(&self) -> serde_json::Value {
        self.get("/health").await.json().expect("JSON")
    }

    /// Waits until it is ready, which takes the mint's first keyset.
    pub async fn is_ready(&self) {
        until("it is ready", async || self.health().await["ready"] == true).await;
    }

    /// Waits until its health names a fault of Redis's with `words` in it, and it is not ready.
    pub async fn has_fault(&self, words: &str) {
        until(words, async || {
            let health = self.health().await;
            let fault = health["detail"]["redis_last_fault"].as_str();
            health["ready"] == false && fault.is_some_and(|fault| fault.contains(words))
        })
        .await;
    }
}

impl Mint {
    pub async fn announce(&self, keyset: [u8; 8]) {
        let announced = self.responder.announce(KeysetAnnouncement {
            unit: "hash".to_owned(),
            keyset_id: keyset.to_vec(),
            keys: vec![(1, [2; 33]), (2, [3; 33])],
        });
        announced.await.expect("it is stored");
    }
}

impl Made {
    /// Header hashes as text, in the order of the first time.
    pub fn in_order(&self) -> Vec<String> {
        let made = self.0.lock().expect("not poisoned");
        let hashes = made.iter();
        hashes
            .map(|(request, _)| header_hash_to_text(&request.header_hash))
            .collect()
    }

    pub fn requests(&self) -> Vec<MintQuoteRequest> {
        let made = self.0.lock().expect("not poisoned");
        made.iter().map(|(request, _)| request.clone()).collect()
    }

    /// No request was new twice.
    pub fn each_once(&self) -> bool {
        let made = self.0.lock().expect("not poisoned");
        made.iter().all(|(_, times)| *times == 1)
    }
}

/// The id that the mint gives.
pub fn quote_id(header_hash: &str) -> String {
    format!("quote-{header_hash}")
}

#[async_trait]
impl QuoteIssuer for Made {
    async fn issue(
        &self,
        _: &PeerName,
        _: &PublicKey,
        requests: Vec<MintQuoteRequest>,
    ) -> Vec<QuoteOutcome> {
        let mut made = self.0.lock().expect("not poisoned");
        let mut known: BTreeMap<[u8; 32], usize> = BTreeMap::new();
        for (at, (request, _)) in made.iter().enumerate() {
            known.insert(request.header_hash, at);
        }
        let decide = |request: MintQuoteRequest| {
            if request.keyset_id == FOREIGN_KEYSET {
                return QuoteOutcome::Refused {
                    code: QuoteErrorCode::UnknownKeyset,
                    message: "never heard of".to_owned(),
                };
            }
            let (quote_id, state) = match request.amount {
                UNTOLD_AMOUNT => (String::new(), QuoteState::Unknown),
                _ => (
                    quote_id(&header_hash_to_text(&request.header_hash)),
                    QuoteState::Paid,
                ),
            };
            let response = MintQuoteResponse {
                quote_id,
                header_hash: request.header_hash,
                amount: request.amount,
                unit: request.unit.clone(),
                expires_at_unix_s: 0,
                state,
            };
            match known
                .get(&request.header_hash)
                .and_then(|at| made.get_mut(*at))
            {
                Some((_, times)) => *times += 1,
                None => made.push((request, 1)),
            }
            QuoteOutcome::Issued(response)
        };
        requests.into_iter().map(decide).collect()
    }
}

/// The header hash of share number `share`, as text.
pub fn hash(share: u32) -> String {
    format!("{share:064x}")
}

/// The latest shape.
pub fn entry(share: u32) -> String {
    with_keyset(share, &hex::encode(FIRST_KEYSET))
}

pub fn with_keyset(share: u32, keyset: &str) -> String {
    without_keyset(share).replace('}', &format!(r#","keyset_id":"{keyset}"}}"#))
}

pub fn without_keyset(share: u32) -> String {
    format!(
        r#"{{"unit":"HASH","amount":8,"header_hash":"{}","description":null,"pubkey":"{}"}}"#,
        hash(share),
        "02".repeat(33)
    )
}

pub fn push<T: AsRef<[u8]>>(pool: &mut redis::Connection, entries: impl IntoIterator<Item = T>) {
    for entry in entries {
        let _: u64 = pool.rpush(LIST, entry.as_ref()).expect("it is taken");
    }
}

/// What lies under the key of a share's quote.
pub fn told(pool: &mut redis::Connection, share: u32) -> Option<String> {
    pool.get(format!("mint:quotes:hash:{}", hash(share)))
        .expect("a text or nothing")
}

/// Waits until each of these shares has its quote's id under its key.
pub async fn all_told(pool: &mut redis::Connection, shares: impl IntoIterator<Item = u32>) {
    for share in shares {
        until(&format!("share {share} is told"), async || {
            told(pool, share).is_some()
        })
        .await;
        assert_eq!(told(pool, share), Some(quote_id(&hash(share))));
    }
}

/// Nothing is on the list, nor taken off it and open.
pub fn is_through(pool: &mut redis::Connection) -> bool {
    length(pool, LIST) + length(pool, TAKEN) == 0
}

pub fn length(pool: &mut redis::Connection, list: &str) -> u64 {
    pool.llen(list).expect("a list")
}

/// Reason and entry of each dead letter.
pub fn dead_letters(pool: &mut redis::Connection) -> Vec<(String, String)> {
    let letters: Vec<String> = pool.lrange(DEAD, 0, -1).expect("a list");
    let read = |letter: String| {
        let letter: serde_json::Value = serde_json::from_str(&letter).expect("JSON");
        let text = |name: &str| letter[name].as_str().unwrap_or_default().to_owned();
        (text("reason"), text("entry"))
    };
    letters.into_iter().map(read).collect()
}
