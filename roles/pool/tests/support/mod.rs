//! A pool, and who it deals with, in one process on free ports and in a temporary folder.

// Each test file is a program of its own and uses a part of this.
#![allow(dead_code)]

pub mod miner;
pub mod mint;
pub mod node;
pub mod old_mint;

use std::future::Future;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use rand::rngs::OsRng;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use winze_client::{OUTBOX_SCHEMA, Store, StoreError};
use winze_hub::{Hub, HubConfig, HubLimits, MayOpen, PeerConfig};
use winze_pool::store::POOL_SCHEMA;
use winze_pool::{BoundPool, Pool, PoolConfig, PoolError};
use winze_redis::testing::HeldPort;
use winze_runtime::config::ConfigPath;
use winze_runtime::keyfile;
use winze_transport::{Certificate, PublicKey, SecretKey};

/// How long anything may take that should take milliseconds.
pub const SOON: Duration = Duration::from_secs(30);

pub const KEYSET_ID: [u8; 8] = [0, 0xad, 0x26, 0x8c, 0x4d, 0x1f, 0x58, 0x26];

/// Keys and files of everyone.
pub struct World {
    folder: TempDir,
    pub authority: PublicKey,
    pub mint_key: PublicKey,
    pool_key: PublicKey,
}

/// A process's part, running as a task.
pub struct Running {
    stop: Option<oneshot::Sender<()>>,
    task: JoinHandle<()>,
}

impl Running {
    fn spawn<F, E>(run: impl FnOnce(oneshot::Receiver<()>) -> F) -> Running
    where
        F: Future<Output = Result<(), E>> + Send + 'static,
        E: std::fmt::Display,
    {
        let (stop, stopped) = oneshot::channel();
        let running = run(stopped);
        let task = tokio::spawn(async move {
            if let Err(error) = running.await {
                panic!("{error}");
            }
        });
        Running {
            stop: Some(stop),
            task,
        }
    }

    /// Ends it in good order.
    pub async fn stop(mut self) {
        let _ = self.stop.take().unwrap().send(());
        within(&mut self.task).await.unwrap();
    }
}

impl Running {
    /// Ends it on the spot, as a crash does.
    pub async fn kill(self) {
        self.task.abort();
        let ended = within(self.task).await;
        assert!(ended.is_err_and(|error| error.is_cancelled()));
    }
}

pub struct RunningPool {
    pub mining: SocketAddr,
    pub http: SocketAddr,
    pub running: Running,
}

impl World {
    pub fn new() -> World {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let authority = SecretKey::generate(&mut OsRng);
        for server in ["hub", "pool"] {
            let key = SecretKey::generate(&mut OsRng);
            let certificate =
                Certificate::sign(&authority, key.public_key(), 0, u32::MAX, &[7; 32]);
            keyfile::write_secret(at(&format!("{server}-static.key")), &key).unwrap();
            keyfile::write_certificate(at(&format!("{server}.toml")), &certificate).unwrap();
        }
        let pool = SecretKey::generate(&mut OsRng);
        keyfile::write_secret(at("pool.key"), &pool).unwrap();
        let mint = SecretKey::generate(&mut OsRng);
        keyfile::write_secret(at("mint.key"), &mint).unwrap();
        World {
            authority: authority.public_key(),
            mint_key: mint.public_key(),
            pool_key: pool.public_key(),
            folder,
        }
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub async fn start_hub(&self) -> (SocketAddr, Running) {
        self.start_hub_at(nobody()).await
    }

    pub async fn start_hub_at(&self, listen: SocketAddr) -> (SocketAddr, Running) {
        let loopback = SocketAddr::from(([127, 0, 0, 1], 0));
        let peer = |role: &str, key: PublicKey, may_open| PeerConfig {
            role: role.to_owned(),
            name: "main".to_owned(),
            key: key.into(),
            may_open,
        };
        let may_open = vec![MayOpen {
            extension: winze_messages::EXT_MINT_QUOTE,
            peer: "mint/main".to_owned(),
        }];
        let config = HubConfig {
            listen,
            http_listen: loopback,
            static_key_file: ConfigPath::new(self.at("hub-static.key")),
            certificate_file: ConfigPath::new(self.at("hub.toml")),
            log: "info".to_owned(),
            peers: vec![
                peer("pool", self.pool_key, may_open),
                peer("mint", self.mint_key, Vec::new()),
            ],
            groups: Vec::new(),
            limits: HubLimits::default(),
        };
        let hub = Hub::bind(config).await.unwrap();
        let address = hub.hub_addr;
        let running = Running::spawn(|stopped| {
            hub.run(async move {
                let _ = stopped.await;
            })
        });
        (address, running)
    }

    /// A pool whose shares need 8 zero bits; `more` is TOML that goes in front, `tables` behind.
    pub async fn start_pool(&self, hub: SocketAddr, more: &str, tables: &str) -> RunningPool {
        // One that was killed in this process lets go of the store when all its tasks have ended.
        let pool = until("the pool has its store", || async {
            match self.bind_pool(hub, more, tables).await {
                Err(PoolError::StoreFile {
                    source: StoreError::InUse { .. },
                    ..
                }) => None,
                bound => Some(bound.unwrap()),
            }
        })
        .await;
        let (mining, http) = (pool.mining_addr, pool.http_addr);
        let running = Running::spawn(|stopped| {
            pool.run(async move {
                let _ = stopped.await;
            })
        });
        RunningPool {
            mining,
            http,
            running,
        }
    }

    /// As [`Self::start_pool`], up to the point from which on it serves.
    pub async fn bind_pool(
        &self,
        hub: SocketAddr,
        more: &str,
        tables: &str,
    ) -> Result<BoundPool, PoolError> {
        let text = format!(
            r#"{more}
            listen = "127.0.0.1:0"
            http_listen = "127.0.0.1:0"
            secret_key_file = "pool.key"
            static_key_file = "pool-static.key"
            certificate_file = "pool.toml"
            store_file = "pool.sqlite"
            minimum_zero_bits = 8
            shares_per_minute = 6000.0
            [hub]
            address = "{hub}"
            authority = {{ public_key = "{}" }}
            [mint]
            public_key = "{}"
            {tables}"#,
            self.authority, self.mint_key
        );
        let path = self.at("pool-config.toml");
        std::fs::write(&path, text).unwrap();
        let config: PoolConfig = winze_runtime::config::load(&path).unwrap();
        Pool::bind(config).await
    }

    /// Has the pool know the mint's keyset, as if it had heard it on an earlier day.
    pub async fn seed_keyset(&self) {
        let store = Store::open(&self.at("pool.sqlite"), &[OUTBOX_SCHEMA, POOL_SCHEMA]).unwrap();
        let mint_key = self.mint_key;
        let write = store.write(move |tx| {
            tx.execute(
                "INSERT INTO pool_mint (only_row, peer, key) VALUES (1, 'mint/main', ?1)",
                [mint_key.as_bytes()],
            )?;
            tx.execute(
                "INSERT INTO pool_keyset (unit, mint_key, keyset_id) VALUES ('hash', ?1, ?2)",
                (mint_key.as_bytes(), &KEYSET_ID[..]),
            )?;
            Ok(())
        });
        write.await.unwrap();
    }
}

/// An address where nobody listens, or ever will but who is told to: the port is bound for as long as this process runs, so
/// that nobody gets it who asks for any.
pub fn nobody() -> SocketAddr {
    let port = HeldPort::new().unwrap();
    let address = port.address();
    std::mem::forget(port);
    address
}

/// The future's output, which has to come [`SOON`].
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(SOON, future)
        .await
        .expect("this should have taken milliseconds")
}

/// Status and JSON of a GET.
pub async fn get(address: SocketAddr, path: &str) -> (i32, Value) {
    let request = bitreq::get(format!("http://{address}{path}"));
    let response = within(request.send_async()).await.unwrap();
    let body = serde_json::from_slice(response.as_bytes()).unwrap_or(Value::Null);
    (response.status_code, body)
}

/// The value of a metric, 0 where it was not written yet.
pub async fn metric(address: SocketAddr, name: &str) -> f64 {
    let request = bitreq::get(format!("http://{address}/metrics"));
    let response = within(request.send_async()).await.unwrap();
    let text = response.as_str().unwrap().to_owned();
    text.lines()
        .find_map(|line| line.strip_prefix(name)?.trim().parse().ok())
        .unwrap_or(0.0)
}

/// Asks until `wanted` has an answer.
pub async fn until<T, F>(what: &str, mut wanted: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let asking = async {
        loop {
            if let Some(found) = wanted().await {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    match tokio::time::timeout(SOON, asking).await {
        Ok(found) => found,
        Err(_) => panic!("waited in vain: {what}"),
    }
}
