//! What the stories of `legacy_mint.rs` are played with: a hub, pools, a real Redis, and an old mint, in one process.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use winze_bridge::config::{HubPeer, LegacyMintConfig, LegacyPoolConfig};
use winze_bridge::{Bridge, BridgeConfig, BridgeError};
use winze_client::answers::AnswersFile;
use winze_client::{
    HubClient, HubClientConfig, Identity, NewRequest, OUTBOX_SCHEMA, QuoteAnswers, QuoteEvent,
    QuoteRequester, QuoteRequesterConfig, Store, StoreError, outbox,
};
use winze_hub::{Hub, HubConfig, HubError, HubLimits, MayOpen, PeerConfig};
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteRequest, MintQuoteResponse,
};
use winze_redis::testing::{RedisServer, Wanted};
use winze_runtime::config::ConfigPath;
use winze_runtime::{clock, keyfile};
use winze_testbed::legacy::{LegacyMint, LegacyMintPlan, LegacyQuote};
use winze_transport::keys::Certificate;
use winze_transport::{PublicKey, SecretKey};

/// Longer than anything here takes, on a loaded machine too.
const PATIENCE: Duration = Duration::from_secs(60);

const BRIDGE: &str = "bridge/main";
pub const LIST: &str = "mint:quotes:create";
pub const KEYSET: &str = "mint:keyset:active";

/// A hub and a Redis that run, and the keys of everybody.
pub struct Deployment {
    folder: tempfile::TempDir,
    hub: SocketAddr,
    authority: PublicKey,
    pub redis: RedisServer,
    _hub_task: JoinHandle<Result<(), HubError>>,
    _hub_stop: oneshot::Sender<()>,
}

impl Deployment {
    pub async fn start() -> Deployment {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        let authority = SecretKey::generate(&mut rand::rngs::OsRng);
        let hub_key = new_key(&path("hub.key"));
        let now_s = clock::now_unix_s_u32();
        let certificate =
            Certificate::sign(&authority, hub_key, now_s - 60, now_s + 3_600, &[1; 32]);
        keyfile::write_certificate(path("hub.cert"), &certificate).expect("writable");
        let peer = |role: &str, name: &str, may_open| PeerConfig {
            role: role.to_owned(),
            name: name.to_owned(),
            key: new_key(&path(&format!("{role}-{name}.key"))).into(),
            may_open,
        };
        let to_the_bridge = || {
            vec![MayOpen {
                extension: EXT_MINT_QUOTE,
                peer: BRIDGE.to_owned(),
            }]
        };
        let hub = Hub::bind(HubConfig {
            listen: free_port(),
            http_listen: free_port(),
            static_key_file: ConfigPath::new(path("hub.key")),
            certificate_file: ConfigPath::new(path("hub.cert")),
            log: "info".to_owned(),
            peers: vec![
                peer("bridge", "main", Vec::new()),
                peer("pool", "main", to_the_bridge()),
                peer("pool", "other", to_the_bridge()),
            ],
            groups: Vec::new(),
            limits: HubLimits::default(),
        })
        .await
        .expect("the hub binds");
        let address = hub.hub_addr;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(hub.run(async {
            let _ = stopped.await;
        }));
        let wanted = Wanted {
            durable: true,
            ..Wanted::default()
        };
        let redis = RedisServer::start(&path("redis"), wanted).expect("redis-server starts");
        Deployment {
            hub: address,
            authority: authority.public_key(),
            redis,
            _hub_task: task,
            _hub_stop: stop,
            folder,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn public_key(&self, peer: &str) -> PublicKey {
        let secret = keyfile::read_secret(self.path(&format!("{peer}.key"))).expect("written");
        secret.public_key()
    }

    /// The bridge, with `change` to its direction.
    pub async fn start_bridge(&self, change: impl FnOnce(&mut LegacyMintConfig)) -> RunningBridge {
        let file = |name: &str| ConfigPath::new(self.path(name));
        let pool = |name: &str| LegacyPoolConfig {
            peer: format!("pool/{name}"),
            public_key: self.public_key(&format!("pool-{name}")).into(),
        };
        let mut legacy_mint = LegacyMintConfig {
            pool: vec![pool("main"), pool("other")],
            list: None,
            unit: "hash".to_owned(),
            list_unit: "HASH".to_owned(),
            push_again_after_s: 60,
            writes_quote_ids: true,
            list_length_max: 1_000,
            keyset_from_redis: true,
        };
        change(&mut legacy_mint);
        let config = BridgeConfig {
            name: "main".to_owned(),
            secret_key_file: file("bridge-main.key"),
            hub: HubPeer {
                address: self.hub.to_string(),
                authority: self.authority.into(),
            },
            http_listen: free_port(),
            store_file: file("bridge.sqlite"),
            log: "info".to_owned(),
            redis: self.redis.config(),
            requests: None,
            legacy_mint: Some(legacy_mint),
        };
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
            http_addr: bridge.http_addr,
            task: tokio::spawn(bridge.run(async {
                let _ = stopped.await;
            })),
            stop,
        }
    }

    /// An old mint on the store of the one before.
    pub fn start_old_mint(&self, change: impl FnOnce(&mut LegacyMintPlan)) -> LegacyMint {
        let url = format!("redis://{}", self.redis.address());
        let mut plan = LegacyMintPlan::new(url, self.path("old-mint.sqlite"));
        change(&mut plan);
        LegacyMint::start(plan).expect("the old mint starts")
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

pub struct RunningBridge {
    pub http_addr: SocketAddr,
    task: JoinHandle<Result<(), BridgeError>>,
    stop: oneshot::Sender<()>,
}

impl RunningBridge {
    /// Tells it to stop and waits until it has.
    pub async fn stop(self) {
        self.stop.send(()).expect("it runs");
        tokio::time::timeout(PATIENCE, self.task)
            .await
            .expect("it stops")
            .expect("it does not panic")
            .expect("it ends well");
    }

    /// Ends it wherever it is.
    pub async fn kill(self) {
        self.task.abort();
        // It was cancelled.
        let _ = self.task.await;
    }

    /// Waits until a line of its metrics is there.
    pub async fn shows(&self, line: &str) {
        until(line, async || {
            let metrics = get(self.http_addr, "/metrics").await;
            metrics.lines().any(|it| it == line)
        })
        .await;
    }
}

/// A pool's side of delivery, without miners.
pub struct Pool {
    store: Store,
    requester: QuoteRequester,
    events: mpsc::Receiver<QuoteEvent>,
    _hub: HubClient,
}

impl Pool {
    pub async fn start(deployment: &Deployment, name: &str) -> Pool {
        let file = |ending: &str| deployment.path(&format!("pool-{name}.{ending}"));
        let secret = keyfile::read_secret(file("key")).expect("written");
        let hub = HubClient::start(
            HubClientConfig::new(deployment.hub.to_string(), deployment.authority),
            Identity::new("pool", name, secret).expect("a peer name"),
        );
        let store = Store::open(&file("sqlite"), &[OUTBOX_SCHEMA]).expect("it opens");
        let (sender, events) = mpsc::channel(10_000);
        let bridge = deployment.public_key("bridge-main");
        let config = QuoteRequesterConfig::new(BRIDGE.parse().expect("a name"), bridge);
        let requester = QuoteRequester::start(&hub, store.clone(), config, Arc::new(Told(sender)));
        Pool {
            store,
            requester: requester.expect("the only one"),
            events,
            _hub: hub,
        }
    }

    /// Puts requests in the outbox.
    pub async fn ask(&self, requests: impl IntoIterator<Item = MintQuoteRequest>) {
        let requests: Vec<MintQuoteRequest> = requests.into_iter().collect();
        let asked = self.store.write(move |conn| {
            for request in &requests {
                let mut body = Vec::new();
                request.encode_body(&mut body).expect("it fits");
                let new = NewRequest {
                    peer: BRIDGE,
                    extension: EXT_MINT_QUOTE,
                    key: &request.header_hash,
                    msg_type: MintQuoteRequest::MSG_TYPE,
                    body: &body,
                };
                outbox::enqueue(conn, &new, clock::now_unix_ms())?;
            }
            Ok(())
        });
        asked.await.expect("it is stored");
        self.requester.nudge();
    }

    /// The next event that is no keyset.
    pub async fn event(&mut self) -> QuoteEvent {
        loop {
            match self.any_event().await {
                QuoteEvent::Keyset(_) => {}
                other => return other,
            }
        }
    }

    async fn any_event(&mut self) -> QuoteEvent {
        tokio::time::timeout(PATIENCE, self.events.recv())
            .await
            .expect("an event in time")
            .expect("the requester runs")
    }

    /// The next keyset, which comes before anything else.
    pub async fn keyset(&mut self) -> KeysetAnnouncement {
        match self.any_event().await {
            QuoteEvent::Keyset(keyset) => keyset,
            other => panic!("expected a keyset, got {other:?}"),
        }
    }

    /// The next answer.
    pub async fn issued(&mut self) -> MintQuoteResponse {
        match self.event().await {
            QuoteEvent::Issued { response, .. } => response,
            other => panic!("expected a quote, got {other:?}"),
        }
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
        let mut events = std::iter::from_fn(|| self.events.try_recv().ok());
        events.all(|event| matches!(event, QuoteEvent::Keyset(_)))
    }

    pub fn put_off_count(&self) -> u64 {
        self.requester.status().counts.put_off
    }

    /// Waits until it was put off.
    pub async fn is_put_off(&self) {
        until("the pool is put off", async || self.put_off_count() > 0).await;
    }
}

struct Told(mpsc::Sender<QuoteEvent>);

impl QuoteAnswers for Told {
    fn on_response(
        &self,
        _: &Connection,
        _: &MintQuoteRequest,
        _: &MintQuoteResponse,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn on_refusal(
        &self,
        _: &Connection,
        _: &MintQuoteRequest,
        _: &MintQuoteError,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn on_keyset(&self, _: &Connection, _: &KeysetAnnouncement) -> Result<(), StoreError> {
        Ok(())
    }

    fn committed(&self, events: &[QuoteEvent]) {
        for event in events {
            // A pool that is dropped hears nothing.
            let _ = self.0.try_send(event.clone());
        }
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

/// Waits until `holds`, for no longer than is patient.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let waited = tokio::time::timeout(PATIENCE, async {
        while !holds().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    });
    assert!(waited.await.is_ok(), "not in time: {what}");
}

/// The whole answer to a GET.
pub async fn get(address: SocketAddr, path: &str) -> String {
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

fn free_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
