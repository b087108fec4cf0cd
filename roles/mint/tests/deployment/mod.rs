//! What the stories in `through_the_hub.rs` are played with.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
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
use winze_mint::config::{AllowanceConfig, HubPeer, Info, PoolConfig};
use winze_mint::{Mint, MintConfig, MintError, MintHandle};
use winze_runtime::clock;
use winze_runtime::config::ConfigPath;
use winze_runtime::keyfile;
use winze_transport::keys::Certificate;
use winze_transport::{PublicKey, SecretKey};

/// Longer than anything here takes, on a loaded machine too.
const PATIENCE: Duration = Duration::from_secs(60);

/// A hub that runs, and the keys of everybody.
pub struct Deployment {
    folder: tempfile::TempDir,
    hub: SocketAddr,
    authority: PublicKey,
    mint: PublicKey,
    pool: PublicKey,
    _hub: Running<HubError>,
}

/// A process that is a task here.
struct Running<E> {
    task: JoinHandle<Result<(), E>>,
    stop: oneshot::Sender<()>,
}

impl Deployment {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = |name: &str| folder.path().join(name);
        let authority = SecretKey::generate(&mut rand::rngs::OsRng);
        let hub_key = new_key(&path("hub.key"));
        let now_s = clock::now_unix_s_u32();
        let certificate =
            Certificate::sign(&authority, hub_key, now_s - 60, now_s + 3_600, &[1; 32]);
        keyfile::write_certificate(path("hub.cert"), &certificate).expect("writable");
        let mint = new_key(&path("mint.key"));
        let pool = new_key(&path("pool.key"));
        let peer = |role: &str, key: PublicKey, may_open| PeerConfig {
            role: role.to_owned(),
            name: "main".to_owned(),
            key: key.into(),
            may_open,
        };
        let hub = Hub::bind(HubConfig {
            listen: free_port(),
            http_listen: free_port(),
            static_key_file: ConfigPath::new(path("hub.key")),
            certificate_file: ConfigPath::new(path("hub.cert")),
            log: "info".to_owned(),
            peers: vec![
                peer("mint", mint, Vec::new()),
                peer(
                    "pool",
                    pool,
                    vec![MayOpen {
                        extension: EXT_MINT_QUOTE,
                        peer: "mint/main".to_owned(),
                    }],
                ),
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
        Self {
            hub: address,
            authority: authority.public_key(),
            mint,
            pool,
            _hub: Running { task, stop },
            folder,
        }
    }

    pub fn mint_key(&self) -> PublicKey {
        self.mint
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The mint's configuration.
    pub fn mint_config(&self) -> MintConfig {
        let file = |name: &str| ConfigPath::new(self.path(name));
        MintConfig {
            name: "main".to_owned(),
            secret_key_file: file("mint.key"),
            hub: HubPeer {
                address: self.hub.to_string(),
                authority: self.authority.into(),
            },
            api_listen: free_port(),
            http_listen: free_port(),
            store_file: file("mint.sqlite"),
            ecash_store_file: file("ecash.sqlite"),
            seed_file: file("seed"),
            create_seed: true,
            units: vec!["hash".to_owned()],
            amount_max: 1_000,
            description_bytes_max: 128,
            input_fee_ppk: 0,
            info: Info::default(),
            log: "info".to_owned(),
            pool: vec![PoolConfig {
                peer: "pool/main".to_owned(),
                public_key: self.pool.into(),
                next_key: None,
                allowance: vec![AllowanceConfig {
                    unit: "hash".to_owned(),
                    amount_per_hour_max: 1_000,
                    amount_per_day_max: 10_000,
                }],
            }],
            redis: None,
            redis_requests: None,
        }
    }

    /// Takes the mint's ecash store away, as somebody does who restores a backup that lacks it.
    pub fn lose_ecash_store(&self) {
        for name in ["ecash.sqlite", "ecash.sqlite-wal", "ecash.sqlite-shm"] {
            match std::fs::remove_file(self.path(name)) {
                Ok(()) => {}
                Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{name}"),
            }
        }
    }

    /// Copies both of the mint's stores, while it does not run.
    pub fn save_stores(&self) {
        for name in STORE_FILES.into_iter().flatten() {
            copy(&self.path(name), &self.path(&format!("saved-{name}")));
        }
    }

    /// Puts back what [`Self::save_stores`] copied of the mint's own store, and where `ecash` says so of cdk's.
    pub fn bring_back_stores(&self, ecash: bool) {
        for name in STORE_FILES
            .into_iter()
            .take(1 + usize::from(ecash))
            .flatten()
        {
            copy(&self.path(&format!("saved-{name}")), &self.path(name));
        }
    }

    /// The operator's word that the mint may go on after its store was set back.
    pub fn accept_set_back(&self) {
        let mut file = AnswersFile::open(&self.path("mint.sqlite")).expect("a mint's store");
        let accepted = file.accept(None, clock::now_unix_ms()).expect("writable");
        assert_eq!(accepted, ["pool/main"]);
    }

    /// The highest number of an answer to the pool.
    pub fn answers(&self) -> u64 {
        let file = AnswersFile::open_read_only(&self.path("mint.sqlite")).expect("a mint's store");
        file.peers().expect("readable")[0].numbers.answers
    }

    /// Starts the mint, on the stores that an earlier one left.
    pub async fn start_mint(&self) -> RunningMint {
        self.start_as(self.mint_config()).await
    }

    /// As [`Self::start_mint`], with this configuration.
    pub async fn start_as(&self, config: MintConfig) -> RunningMint {
        let mint = Mint::bind(config).await.expect("the mint binds");
        let (stop, stopped) = oneshot::channel();
        RunningMint {
            api_addr: mint.api_addr,
            http_addr: mint.http_addr,
            handle: mint.handle(),
            running: Running {
                task: tokio::spawn(mint.run(async {
                    let _ = stopped.await;
                })),
                stop,
            },
        }
    }
}

pub struct RunningMint {
    pub api_addr: SocketAddr,
    pub http_addr: SocketAddr,
    pub handle: MintHandle,
    running: Running<MintError>,
}

impl RunningMint {
    /// Tells it to stop and waits until it has.
    pub async fn stop(self) {
        self.running.stop.send(()).expect("it runs");
        tokio::time::timeout(PATIENCE, self.running.task)
            .await
            .expect("it stops")
            .expect("it does not panic")
            .expect("it ends well");
    }
}

/// The pool's side of delivery, without miners.
pub struct Pool {
    store: Store,
    requester: QuoteRequester,
    events: mpsc::Receiver<QuoteEvent>,
    _hub: HubClient,
}

impl Pool {
    /// Connects, with `mint` as the key that it takes for the mint's.
    pub async fn start(deployment: &Deployment, mint: &PublicKey) -> Self {
        let secret = keyfile::read_secret(deployment.path("pool.key")).expect("just written");
        let identity = Identity::new("pool", "main", secret).expect("a peer name");
        let hub = HubClient::start(
            HubClientConfig::new(deployment.hub.to_string(), deployment.authority),
            identity,
        );
        let store =
            Store::open(&deployment.path("pool.sqlite"), &[OUTBOX_SCHEMA]).expect("it opens");
        let (sender, events) = mpsc::channel(1_024);
        let config = QuoteRequesterConfig::new("mint/main".parse().expect("a name"), *mint);
        let answers = Arc::new(Told(sender));
        let requester =
            QuoteRequester::start(&hub, store.clone(), config, answers).expect("the only one");
        Self {
            store,
            requester,
            events,
            _hub: hub,
        }
    }

    /// Puts a request in the outbox.
    pub async fn ask(&self, request: &MintQuoteRequest) {
        let mut body = Vec::new();
        request.encode_body(&mut body).expect("it fits");
        let key = request.header_hash;
        self.store
            .write(move |conn| {
                let new = NewRequest {
                    peer: "mint/main",
                    extension: EXT_MINT_QUOTE,
                    key: &key,
                    msg_type: MintQuoteRequest::MSG_TYPE,
                    body: &body,
                };
                outbox::enqueue(conn, &new, clock::now_unix_ms())
            })
            .await
            .expect("it is stored");
        self.requester.nudge();
    }

    /// The next event that is no keyset known before.
    pub async fn event(&mut self) -> QuoteEvent {
        tokio::time::timeout(PATIENCE, self.events.recv())
            .await
            .expect("an event in time")
            .expect("the requester runs")
    }

    /// The next keyset announced.
    pub async fn keyset(&mut self) -> KeysetAnnouncement {
        match self.event().await {
            QuoteEvent::Keyset(keyset) => keyset,
            other => panic!("expected a keyset, got {other:?}"),
        }
    }

    /// Id and amount of the next quote; keysets told again meanwhile are passed over.
    pub async fn issued(&mut self) -> (String, u64) {
        loop {
            match self.event().await {
                QuoteEvent::Issued { response, .. } => return (response.quote_id, response.amount),
                QuoteEvent::Keyset(_) => {}
                other => panic!("expected a quote, got {other:?}"),
            }
        }
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
            self.0
                .try_send(event.clone())
                .expect("a story has few events");
        }
    }
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
    let request = format!("GET {path} HTTP/1.1\r\nhost: mint\r\nconnection: close\r\n\r\n");
    stream
        .write_all(request.as_bytes())
        .await
        .expect("it is read");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("text");
    answer
}

/// The mint's own store, then cdk's.
const STORE_FILES: [[&str; 3]; 2] = [
    ["mint.sqlite", "mint.sqlite-wal", "mint.sqlite-shm"],
    ["ecash.sqlite", "ecash.sqlite-wal", "ecash.sqlite-shm"],
];

/// What is not there is not there afterwards either.
fn copy(from: &Path, to: &Path) {
    let outcome = match from.exists() {
        true => std::fs::copy(from, to).map(drop),
        false => std::fs::remove_file(to),
    };
    match outcome {
        Ok(()) => {}
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{to:?}"),
    }
}

fn new_key(path: &Path) -> PublicKey {
    let secret = SecretKey::generate(&mut rand::rngs::OsRng);
    keyfile::write_secret(path, &secret).expect("writable");
    secret.public_key()
}

fn free_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}
