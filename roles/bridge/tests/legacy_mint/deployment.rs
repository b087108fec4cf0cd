//! What the stories of `legacy_mint.rs` are played with: a hub, pools, a real Redis, and an old mint, in one process.

use std::collections::BTreeMap;
use std::path::PathBuf;

use rusqlite::Connection;
use winze_bridge::config::{LegacyMintConfig, LegacyPoolConfig};
use winze_bridge::{Bridge, BridgeConfig};
use winze_client::QuoteEvent;
use winze_client::answers::AnswersFile;
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteRequest, MintQuoteResponse,
};
use winze_redis::testing::{RedisServer, Wanted};
use winze_runtime::clock;
use winze_testbed::in_process::{Asker, HubSite, HubTask};
use winze_testbed::legacy::{LegacyMint, LegacyMintKind, LegacyMintPlan, LegacyQuote};
use winze_transport::SecretKey;

use crate::support::{self, BRIDGE, RunningBridge, until};

pub const LIST: &str = "mint:quotes:create";
pub const KEYSET: &str = "mint:keyset:active";

/// A hub and a Redis that run, and the keys of everybody.
pub struct Deployment {
    // Before the folder that their files are in.
    _hub: HubTask,
    pub redis: RedisServer,
    site: HubSite,
    _folder: tempfile::TempDir,
}

impl Deployment {
    pub async fn start() -> Deployment {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let peers = [
            (BRIDGE, None),
            ("pool/main", Some(BRIDGE)),
            ("pool/other", Some(BRIDGE)),
        ];
        let site = HubSite::new(folder.path(), &peers).expect("keys");
        let wanted = Wanted {
            durable: true,
            ..Wanted::default()
        };
        let redis = RedisServer::start(&site.path("redis"), wanted).expect("redis-server starts");
        Deployment {
            _hub: site.start().await.expect("the hub starts"),
            redis,
            site,
            _folder: folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.site.path(name)
    }

    /// The bridge, with `change` to its direction.
    pub async fn start_bridge(&self, change: impl FnOnce(&mut LegacyMintConfig)) -> RunningBridge {
        RunningBridge::start(self.bridge_config(change)).await
    }

    /// What keeps the bridge, with `change` to its direction, from starting.
    pub async fn bridge_fails(&self, change: impl FnOnce(&mut LegacyMintConfig)) -> String {
        match Bridge::bind(self.bridge_config(change)).await {
            Ok(_) => panic!("it starts"),
            Err(error) => error.to_string(),
        }
    }

    fn bridge_config(&self, change: impl FnOnce(&mut LegacyMintConfig)) -> BridgeConfig {
        let pool = |peer: &str| LegacyPoolConfig {
            peer: peer.to_owned(),
            public_key: self.site.public_key(peer).expect("it has one").into(),
        };
        let mut legacy_mint = LegacyMintConfig {
            pool: vec![pool("pool/main"), pool("pool/other")],
            list: None,
            unit: "hash".to_owned(),
            list_unit: "HASH".to_owned(),
            quote_key_prefix: None,
            shape: None,
            list_amount_max: None,
            takes_new: true,
            moved_from: None,
            push_again_after_s: 60,
            writes_quote_ids: true,
            list_length_max: 1_000,
            keyset_from_redis: true,
        };
        change(&mut legacy_mint);
        BridgeConfig {
            legacy_mint: Some(legacy_mint),
            ..support::config(&self.site, self.redis.config())
        }
    }

    /// An old mint on the store of the one before.
    pub fn start_old_mint(&self, change: impl FnOnce(&mut LegacyMintPlan)) -> LegacyMint {
        let url = format!("redis://{}", self.redis.address());
        let mut plan = LegacyMintPlan::new(url, self.path("old-mint.sqlite"));
        change(&mut plan);
        LegacyMint::start(plan).expect("the old mint starts")
    }

    /// As [`Self::start_old_mint`], one of those that there were.
    pub fn start_old_mint_of(&self, kind: LegacyMintKind) -> LegacyMint {
        self.start_old_mint(|plan| {
            *plan = LegacyMintPlan::of_kind(kind, &plan.redis_url, &plan.store_file);
        })
    }

    /// Somebody with `redis-cli`.
    pub fn redis(&self) -> redis::Connection {
        let client = redis::Client::open(format!("redis://{}", self.redis.address()));
        let client = client.expect("an address");
        client.get_connection().expect("redis-server runs")
    }

    /// Copies the bridge's store, while it does not run.
    pub fn save_store(&self) {
        std::fs::copy(self.path("bridge.sqlite"), self.path("saved")).expect("it is there");
    }

    /// Puts back what [`Self::save_store`] copied.
    pub fn bring_back_store(&self) {
        for file in ["bridge.sqlite-wal", "bridge.sqlite-shm"] {
            // After an orderly end there is none.
            let _ = std::fs::remove_file(self.path(file));
        }
        std::fs::copy(self.path("saved"), self.path("bridge.sqlite")).expect("it was saved");
    }

    /// The operator's word that the bridge may go on after its store was set back.
    pub fn accept_set_back(&self) {
        let mut file = AnswersFile::open(&self.path("bridge.sqlite")).expect("a store");
        let accepted = file.accept(None, clock::now_unix_ms()).expect("writable");
        assert_eq!(accepted, ["pool/main"]);
    }

    /// How many of the bridge's rows are noted as pushed, and how many rows there are.
    pub fn rows(&self) -> (u64, u64) {
        let store = Connection::open(self.path("bridge.sqlite")).expect("a store");
        let counts = "SELECT count(pushed_unix_ms), count(*) FROM bridge_pushed";
        let counts = store.query_row(counts, [], |row| Ok((row.get(0)?, row.get(1)?)));
        counts.expect("its table")
    }
}

impl RunningBridge {
    /// Waits until a line of its metrics is there.
    pub async fn shows(&self, line: &str) {
        until(line, async || {
            let metrics = self.get("/metrics").await.body;
            metrics.lines().any(|it| it == line)
        })
        .await;
    }
}

/// A pool's side of delivery, without miners.
pub struct Pool(Asker);

impl Pool {
    pub async fn start(deployment: &Deployment, name: &str) -> Pool {
        let site = &deployment.site;
        let bridge = site.public_key(BRIDGE).expect("it has one");
        let asker = Asker::start(site, &format!("pool/{name}"), BRIDGE, bridge);
        Pool(asker.expect("it starts"))
    }

    /// Puts requests in the outbox.
    pub async fn ask(&self, requests: impl IntoIterator<Item = MintQuoteRequest>) {
        self.0.ask(requests).await.expect("it is stored");
    }

    /// The next event that is no keyset.
    pub async fn event(&mut self) -> QuoteEvent {
        self.0.answer().await.expect("an answer")
    }

    /// The next keyset, which comes before anything else.
    pub async fn keyset(&mut self) -> KeysetAnnouncement {
        self.0.keyset().await.expect("a keyset")
    }

    /// The next answer.
    pub async fn issued(&mut self) -> MintQuoteResponse {
        self.0.issued().await.expect("a quote")
    }

    /// The next `count` answers, by header hash.
    pub async fn all_issued(&mut self, count: usize) -> BTreeMap<[u8; 32], MintQuoteResponse> {
        let mut all = BTreeMap::new();
        for _ in 0..count {
            let response = self.issued().await;
            let before = all.insert(response.header_hash, response);
            assert_eq!(before, None, "one answer to each");
        }
        all
    }

    /// Nothing has come but keysets.
    pub fn has_heard_nothing(&mut self) -> bool {
        self.0.has_no_answer()
    }

    pub fn put_off_count(&self) -> u64 {
        self.0.status().counts.put_off
    }

    /// Waits until it was put off.
    pub async fn is_put_off(&self) {
        until("the pool is put off", async || self.put_off_count() > 0).await;
    }
}

/// A share's request; its amount is its number.
pub fn request(share: u32) -> MintQuoteRequest {
    let key = SecretKey::from_bytes(&[7; 32]).expect("a key").public_key();
    let mut locking_key = [2; 33];
    locking_key[1..].copy_from_slice(key.as_bytes());
    MintQuoteRequest {
        amount: share.into(),
        unit: "hash".to_owned(),
        header_hash: hash(share),
        description: Some("a \"share\"".to_owned()),
        locking_key,
        keyset_id: vec![0; 8],
    }
}

pub fn hash(share: u32) -> [u8; 32] {
    let mut hash = [0; 32];
    hash[..4].copy_from_slice(&share.to_le_bytes());
    hash
}

/// The old mint has exactly one quote for each of the answers, and it is that one.
pub fn are_the_quotes(
    answers: &BTreeMap<[u8; 32], MintQuoteResponse>,
    quotes: &BTreeMap<String, LegacyQuote>,
) {
    let told: BTreeMap<String, (String, u64)> = answers
        .values()
        .map(|it| {
            let hash = winze_messages::text::header_hash_to_text(&it.header_hash);
            (hash, (it.quote_id.clone(), it.amount))
        })
        .collect();
    let made: BTreeMap<String, (String, u64)> = quotes
        .iter()
        .map(|(hash, quote)| (hash.clone(), (quote.quote_id.clone(), quote.amount)))
        .collect();
    assert_eq!(told, made);
}
