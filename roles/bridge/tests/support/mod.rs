//! A bridge as a task of the test's process, and waiting for what it does.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use winze_bridge::config::HubPeer;
use winze_bridge::{Bridge, BridgeConfig, BridgeError};
use winze_redis::RedisConfig;
use winze_runtime::config::ConfigPath;
use winze_testbed::http::{self, Answer};
use winze_testbed::in_process::HubSite;
use winze_testbed::wait;

/// Longer than anything here takes, on a loaded machine too.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Its name at the hub.
pub const BRIDGE: &str = "bridge/main";

/// A bridge that runs.
pub struct RunningBridge {
    http_addr: SocketAddr,
    task: JoinHandle<Result<(), BridgeError>>,
    stop: oneshot::Sender<()>,
}

/// A bridge at this hub and this Redis, with no direction switched on.
pub fn config(site: &HubSite, redis: RedisConfig) -> BridgeConfig {
    BridgeConfig {
        name: "main".to_owned(),
        secret_key_file: ConfigPath::new(site.key_file(BRIDGE)),
        hub: HubPeer {
            address: site.address().to_string(),
            authority: site.authority().into(),
        },
        http_listen: (Ipv4Addr::LOCALHOST, 0).into(),
        store_file: ConfigPath::new(site.path("bridge.sqlite")),
        log: "info".to_owned(),
        redis,
        requests: None,
        legacy_mint: None,
    }
}

impl RunningBridge {
    pub async fn start(config: BridgeConfig) -> RunningBridge {
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

    /// What it answers the operator.
    pub async fn get(&self, path: &str) -> Answer {
        let answer = http::get(&format!("http://{}{path}", self.http_addr)).await;
        answer.expect("it answers")
    }
}

/// Waits until `holds`, for no longer than is patient.
pub async fn until(what: &str, holds: impl AsyncFnMut() -> bool) {
    let waited = wait::until_true(what, PATIENCE, holds).await;
    waited.unwrap_or_else(|error| panic!("{error}"));
}
