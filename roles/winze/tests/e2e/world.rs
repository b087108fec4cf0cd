//! Hub and mint in this process, with keys and configuration as an operator would make them.

use std::future::Future;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use winze_hub::{Hub, HubConfig};
use winze_mint::{Mint, MintConfig};
use winze_runtime::{config, keyfile};
use winze_testbed::configs::{self, Ports, Settings};
use winze_testbed::{DeploymentPlan, Metrics, Wallet, deployment, http, wait};
use winze_transport::{PublicKey, SecretKey};

use crate::WINZE;
use crate::peer::PATIENCE;
use crate::pool::ScriptedPool;

/// Everybody's secrets. A test may play anyone.
pub struct Keys {
    pub pool: SecretKey,
    pub mint: SecretKey,
}

/// The folder of a world, with keys.
pub struct Stage {
    pub folder: TempDir,
    pub keys: Keys,
    pub authority: PublicKey,
}

/// A hub (real or hostile) and a real mint that is connected to it. Ends with its owner.
pub struct World {
    pub stage: Stage,
    pub hub: SocketAddr,
    /// The operator's HTTP port of a real hub.
    pub hub_http: Option<SocketAddr>,
    pub mint_api: SocketAddr,
    pub mint_http: SocketAddr,
    stop: watch::Sender<bool>,
    _tasks: Vec<AbortOnDrop>,
}

/// A task that ends with its owner.
pub struct AbortOnDrop(pub JoinHandle<()>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Stage {
    pub fn new() -> Stage {
        let folder = tempfile::tempdir().unwrap();
        deployment::make_keys(Path::new(WINZE), &folder.path().join("keys")).unwrap();
        let key = |name: &str| folder.path().join("keys").join(name);
        let keys = Keys {
            pool: keyfile::read_secret(key("pool/identity.key")).unwrap(),
            mint: keyfile::read_secret(key("mint/identity.key")).unwrap(),
        };
        let authority = keyfile::read_public(key("hub/authority.pub")).unwrap();
        Stage {
            folder,
            keys,
            authority,
        }
    }

    pub fn hub_config(&self) -> HubConfig {
        self.load("hub.toml", &configs::hub(&Ports::default(), &settings()))
    }

    fn mint_config(&self, hub: SocketAddr, settings: &Settings) -> MintConfig {
        self.load(
            "mint.toml",
            &configs::mint(&Ports::default(), hub, settings, None),
        )
    }

    fn load<T: serde::de::DeserializeOwned>(&self, name: &str, text: &str) -> T {
        let file = self.folder.path().join(name);
        std::fs::write(&file, text).unwrap();
        config::load(&file).unwrap_or_else(|error| panic!("{error}"))
    }
}

/// Settings of a mint for tests: quotes up to 1,000, and no allowance that a test would reach by chance.
pub fn settings() -> Settings {
    Settings {
        quote_amount_max: 1_000,
        ..DeploymentPlan::new(WINZE).settings
    }
}

impl World {
    /// A real hub and a real mint.
    pub async fn start(settings: Settings) -> World {
        let stage = Stage::new();
        let hub = Hub::bind(stage.hub_config()).await.unwrap();
        let (hub_addr, hub_http) = (hub.hub_addr, hub.http_addr);
        let (stop, stopping) = watch::channel(false);
        let hub_task = spawn(async move { hub.run(stopped(stopping)).await.unwrap() });
        let mut world = World::with_hub(stage, settings, hub_addr, stop, hub_task).await;
        world.hub_http = Some(hub_http);
        world
    }

    /// A real mint behind a hub of the test's own.
    pub async fn behind(
        stage: Stage,
        settings: Settings,
        hub: SocketAddr,
        hub_task: AbortOnDrop,
    ) -> World {
        World::with_hub(stage, settings, hub, watch::channel(false).0, hub_task).await
    }

    async fn with_hub(
        stage: Stage,
        settings: Settings,
        hub: SocketAddr,
        stop: watch::Sender<bool>,
        hub_task: AbortOnDrop,
    ) -> World {
        let mint = Mint::bind(stage.mint_config(hub, &settings)).await.unwrap();
        let (mint_api, mint_http) = (mint.api_addr, mint.http_addr);
        let stopping = stop.subscribe();
        let mint_task = spawn(async move { mint.run(stopped(stopping)).await.unwrap() });
        World {
            stage,
            hub,
            hub_http: None,
            mint_api,
            mint_http,
            stop,
            _tasks: vec![hub_task, mint_task],
        }
    }

    /// A pool that speaks to the mint.
    pub async fn pool(&self) -> ScriptedPool {
        ScriptedPool::connect(self.hub, self.stage.authority, &self.stage.keys).await
    }

    /// A wallet of the mint's.
    pub async fn wallet(&self) -> Arc<Wallet> {
        let wallet = Wallet::new(&format!("http://{}", self.mint_api), "hash").await;
        Arc::new(wallet.unwrap_or_else(|error| panic!("{error}")))
    }

    pub async fn mint_metrics(&self) -> Metrics {
        let answer = http::get(&format!("http://{}/metrics", self.mint_http))
            .await
            .unwrap();
        Metrics::parse(&answer.body)
    }

    /// Waits until the mint has counted so many of something.
    pub async fn mint_counted(&self, name: &str, labels: &[(&str, &str)], at_least: f64) {
        let what = format!("{at_least} of the mint's {name}");
        let looked = wait::until(&what, PATIENCE, || async {
            let metrics = self.mint_metrics().await;
            match metrics.sum(name, labels) {
                Some(found) if found >= at_least => Ok(()),
                found => Err(format!("{found:?}")),
            }
        });
        looked.await.unwrap_or_else(|error| panic!("{error}"));
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.stop.send_replace(true);
    }
}

pub fn spawn(task: impl Future<Output = ()> + Send + 'static) -> AbortOnDrop {
    AbortOnDrop(tokio::spawn(task))
}

async fn stopped(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stopping.wait_for(|stop| *stop).await;
}
