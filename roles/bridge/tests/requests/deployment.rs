//! What the stories are played with: a hub, a mint that answers at once, a real Redis, and a bridge that is killed now and
//! then, in one process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use redis::Commands;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use winze_bridge::config::{HubPeer, RequestsConfig};
use winze_bridge::{Bridge, BridgeConfig, BridgeError};
use winze_client::{
    ANSWERS_SCHEMA, HubClient, HubClientConfig, Identity, QuoteIssuer, QuoteOutcome,
    QuoteResponder, QuoteResponderConfig, Store,
};
use winze_hub::{Hub, HubConfig, HubError, HubLimits, MayOpen, PeerConfig};
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteRequest, MintQuoteResponse, QuoteErrorCode, QuoteState,
};
use winze_messages::text::header_hash_to_text;
use winze_messages::{EXT_MINT_QUOTE, PeerName};
use winze_redis::RedisConfig;
use winze_redis::testing::{RedisServer, Wanted};
use winze_runtime::config::ConfigPath;
use winze_runtime::{clock, keyfile};
use winze_transport::keys::Certificate;
use winze_transport::{PublicKey, SecretKey};

/// Longer than anything here takes, on a loaded machine too.
pub const PATIENCE: Duration = Duration::from_secs(120);

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
    folder: tempfile::TempDir,
    authority: PublicKey,
    hub: Mutex<SocketAddr>,
    pub redis: RedisServer,
}

/// A hub that runs.
pub struct RunningHub {
    task: JoinHandle<Result<(), HubError>>,
}

/// A bridge that runs.
pub struct RunningBridge {
    http: SocketAddr,
    task: JoinHandle<Result<(), BridgeError>>,
    stop: oneshot::Sender<()>,
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
        let path = |name: &str| folder.path().join(name);
        let authority = SecretKey::generate(&mut rand::rngs::OsRng);
        let hub_key = new_key(&path("hub.key"));
        let now_s = clock::now_unix_s_u32();
        let certificate =
            Certificate::sign(&authority, hub_key, now_s - 60, now_s + 3_600, &[1; 32]);
        keyfile::write_certificate(path("hub.cert"), &certificate).expect("writable");
        new_key(&path("bridge.key"));
        new_key(&path("mint.key"));
        let redis = RedisServer::start(&path("redis"), wanted).expect("redis-server starts");
        Deployment {
            authority: authority.public_key(),
            hub: Mutex::new(any_port()),
            redis,
            folder,
        }
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn file(&self, name: &str) -> ConfigPath {
        ConfigPath::new(self.path(name))
    }

    fn secret(&self, name: &str) -> SecretKey {
        keyfile::read_secret(self.path(&format!("{name}.key"))).expect("written")
    }

    /// Where the one before was, if there was one.
    pub async fn start_hub(&self) -> RunningHub {
        let may_open = vec![MayOpen {
            extension: EXT_MINT_QUOTE,
            peer: "mint/main".to_owned(),
        }];
        let peer = |role: &str, may_open| PeerConfig {
            role: role.to_owned(),
            name: "main".to_owned(),
            key: self.secret(role).public_key().into(),
            may_open,
        };
        let address = *self.hub.lock().expect("not poisoned");
        let hub = Hub::bind(HubConfig {
            listen: address,
            http_listen: any_port(),
            static_key_file: self.file("hub.key"),
            certificate_file: self.file("hub.cert"),
            log: "info".to_owned(),
            peers: vec![peer("bridge", may_open), peer("mint", Vec::new())],
            groups: Vec::new(),
            limits: HubLimits::default(),
        });
        let hub = hub.await.expect("the hub binds");
        *self.hub.lock().expect("not poisoned") = hub.hub_addr;
        RunningHub {
            task: tokio::spawn(hub.run(std::future::pending())),
        }
    }

    fn hub_address(&self) -> String {
        self.hub.lock().expect("not poisoned").to_string()
    }

    /// A mint whose active keyset is `keyset`.
    pub async fn start_mint(&self, keyset: [u8; 8]) -> Mint {
        let identity = Identity::new("mint", "main", self.secret("mint")).expect("a peer name");
        let hub = HubClientConfig::new(self.hub_address(), self.authority);
        let hub = HubClient::start(hub, identity);
        let store = Store::open(&self.path("mint.sqlite"), &[ANSWERS_SCHEMA]).expect("it opens");
        let bridge = "bridge/main".parse().expect("a peer name");
        let config = QuoteResponderConfig::new(vec![(bridge, self.secret("bridge").public_key())]);
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
            name: "main".to_owned(),
            secret_key_file: self.file("bridge.key"),
            hub: HubPeer {
                address: self.hub_address(),
                authority: self.authority.into(),
            },
            http_listen: any_port(),
            store_file: self.file("bridge.sqlite"),
            log: "info".to_owned(),
            redis,
            requests: Some(RequestsConfig {
                mint: "mint/main".to_owned(),
                public_key: self.secret("mint").public_key().into(),
                unit: "hash".to_owned(),
                default_locking_key: None,
                other_keysets: false,
                waiting_max: 100_000,
                keyset_to_redis: true,
            }),
            legacy_mint: None,
        }
    }

    pub async fn start_bridge(&self) -> RunningBridge {
        self.start_bridge_as(self.config(self.redis.config())).await
    }

    pub async fn start_bridge_as(&self, config: BridgeConfig) -> RunningBridge {
        // One that was killed gives the store free when its last thread ends.
        let mut bound = None;
        until("the store is free", async || {
            match Bridge::bind(config.clone()).await {
                Ok(bridge) => bound = Some(bridge),
                Err(BridgeError::StoreFile { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            bound.is_some()
        })
        .await;
        let bridge = bound.expect("it is bound");
        let (stop, stopped) = oneshot::channel();
        RunningBridge {
            http: bridge.http_addr,
            task: tokio::spawn(bridge.run(async {
                let _ = stopped.await;
            })),
            stop,
        }
    }

    /// An old pool, or somebody with `redis-cli`; with TLS or a password nobody is.
    pub fn old_pool(&self) -> redis::Connection {
        let client = redis::Client::open(format!("redis://{}", self.redis.address()));
        let client = client.expect("an address");
        client.get_connection().expect("redis-server runs")
    }
}

impl RunningHub {
    /// Ends it wherever it is.
    pub async fn kill(self) {
        self.task.abort();
        // It was cancelled.
        let _ = self.task.await;
    }
}

impl RunningBridge {
    /// Tells it to stop and waits until it has.
    pub async fn stop(self) {
        self.stop.send(()).expect("it runs");
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended.expect("it stops").expect("no panic").expect("well");
    }

    /// Ends it wherever it is.
    pub async fn kill(self) {
        self.task.abort();
        // It was cancelled.
        let _ = self.task.await;
    }

    /// The value of one of its metrics.
    pub async fn metric(&self, name: &str) -> u64 {
        let text = get(self.http, "/metrics").await;
        let name = format!("winze_bridge_{name} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&name));
        line.unwrap_or_else(|| panic!("{name}is not in {text}"))
            .parse()
            .expect("a number")
    }

    pub async fn health(&self) -> serde_json::Value {
        let text = get(self.http, "/health").await;
        let body = text.split("\r\n\r\n").nth(1).expect("a body");
        serde_json::from_str(body).expect("JSON")
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

/// Waits until `holds`, for no longer than is patient.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    });
    assert!(waited.await.is_ok(), "not in time: {what}");
}

/// The whole answer to a GET.
async fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).await.expect("it listens");
    let request = format!("GET {path} HTTP/1.1\r\nhost: bridge\r\nconnection: close\r\n\r\n");
    let written = stream.write_all(request.as_bytes()).await;
    written.expect("it is read");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    answer
}

fn new_key(path: &std::path::Path) -> PublicKey {
    let secret = SecretKey::generate(&mut rand::rngs::OsRng);
    keyfile::write_secret(path, &secret).expect("writable");
    secret.public_key()
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
