//! What the stories in `through_the_hub.rs` are played with.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use winze_client::QuoteEvent;
use winze_client::answers::AnswersFile;
use winze_messages::families::mint_quote::{KeysetAnnouncement, MintQuoteRequest};
use winze_mint::config::{AllowanceConfig, HubPeer, Info, PoolConfig};
use winze_mint::{Mint, MintConfig, MintError, MintHandle};
use winze_runtime::clock;
use winze_runtime::config::ConfigPath;
use winze_testbed::http::{self, Answer};
use winze_testbed::in_process::{Asker, HubSite, HubTask};
use winze_testbed::wait;
use winze_transport::PublicKey;

/// Longer than anything here takes, on a loaded machine too.
const PATIENCE: Duration = Duration::from_secs(60);

const MINT: &str = "mint/main";
const POOL: &str = "pool/main";

/// A hub that runs, and the keys of everybody.
pub struct Deployment {
    // Before the folder that its files are in.
    _hub: HubTask,
    site: HubSite,
    _folder: tempfile::TempDir,
}

impl Deployment {
    pub async fn start() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let site = HubSite::new(folder.path(), &[(MINT, None), (POOL, Some(MINT))]);
        let site = site.expect("keys");
        Self {
            _hub: site.start().await.expect("the hub starts"),
            site,
            _folder: folder,
        }
    }

    pub fn mint_key(&self) -> PublicKey {
        self.site.public_key(MINT).expect("it has one")
    }

    fn path(&self, name: &str) -> PathBuf {
        self.site.path(name)
    }

    /// The mint's configuration.
    pub fn mint_config(&self) -> MintConfig {
        let file = |name: &str| ConfigPath::new(self.path(name));
        MintConfig {
            name: "main".to_owned(),
            secret_key_file: ConfigPath::new(self.site.key_file(MINT)),
            hub: HubPeer {
                address: self.site.address().to_string(),
                authority: self.site.authority().into(),
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
                peer: POOL.to_owned(),
                public_key: self.site.public_key(POOL).expect("it has one").into(),
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
        self.stores_are_closed();
        for name in STORE_FILES.into_iter().flatten() {
            copy(&self.path(name), &self.path(&format!("saved-{name}")));
        }
    }

    /// Puts back what [`Self::save_stores`] copied of the mint's own store, and where `ecash` says so of cdk's.
    pub fn bring_back_stores(&self, ecash: bool) {
        self.stores_are_closed();
        for name in STORE_FILES
            .into_iter()
            .take(1 + usize::from(ecash))
            .flatten()
        {
            copy(&self.path(&format!("saved-{name}")), &self.path(name));
        }
    }

    /// Waits until no connection has a store open: those of cdk's pool are closed by threads that outlive the mint, and the
    /// last of them moves its write-ahead log into the file.
    fn stores_are_closed(&self) {
        let began = std::time::Instant::now();
        let is_store = |at: std::path::PathBuf| {
            STORE_FILES
                .iter()
                .flatten()
                .any(|name| at == self.path(name))
        };
        let is_open = || {
            let open = std::fs::read_dir("/proc/self/fd").expect("Linux");
            open.flatten()
                .filter_map(|fd| std::fs::read_link(fd.path()).ok())
                .any(is_store)
        };
        while is_open() {
            assert!(began.elapsed() < PATIENCE, "a store stays open");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// The operator's word that the mint may go on after its store was set back.
    pub fn accept_set_back(&self) {
        let mut file = AnswersFile::open(&self.path("mint.sqlite")).expect("a mint's store");
        let accepted = file.accept(None, clock::now_unix_ms()).expect("writable");
        assert_eq!(accepted, [POOL]);
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
            task: tokio::spawn(mint.run(async {
                let _ = stopped.await;
            })),
            stop,
        }
    }
}

pub struct RunningMint {
    pub api_addr: SocketAddr,
    http_addr: SocketAddr,
    pub handle: MintHandle,
    task: JoinHandle<Result<(), MintError>>,
    stop: oneshot::Sender<()>,
}

impl RunningMint {
    /// Tells it to stop and waits until it has.
    pub async fn stop(self) {
        self.stop.send(()).expect("it runs");
        let ended = tokio::time::timeout(PATIENCE, self.task).await;
        ended.expect("it stops").expect("no panic").expect("well");
    }

    /// What it answers the operator.
    pub async fn get(&self, path: &str) -> Answer {
        let answer = http::get(&format!("http://{}{path}", self.http_addr)).await;
        answer.expect("it answers")
    }
}

/// The pool's side of delivery, without miners.
pub struct Pool(Asker);

impl Pool {
    /// Connects, with `mint` as the key that it takes for the mint's.
    pub async fn start(deployment: &Deployment, mint: &PublicKey) -> Self {
        let asker = Asker::start(&deployment.site, POOL, MINT, *mint);
        Self(asker.expect("it starts"))
    }

    /// Puts a request in the outbox.
    pub async fn ask(&self, request: &MintQuoteRequest) {
        let asked = self.0.ask([request.clone()]).await;
        asked.expect("it is stored");
    }

    /// The next event that is no keyset.
    pub async fn event(&mut self) -> QuoteEvent {
        self.0.answer().await.expect("an answer")
    }

    /// The next keyset announced.
    pub async fn keyset(&mut self) -> KeysetAnnouncement {
        self.0.keyset().await.expect("a keyset")
    }

    /// Id and amount of the next quote; keysets told again meanwhile are passed over.
    pub async fn issued(&mut self) -> (String, u64) {
        let response = self.0.issued().await.expect("a quote");
        (response.quote_id, response.amount)
    }
}

/// Waits until `holds`, for no longer than is patient.
pub async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    let waited = wait::until_true(what, PATIENCE, holds).await;
    waited.unwrap_or_else(|error| panic!("{error}"));
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

fn free_port() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 0).into()
}
