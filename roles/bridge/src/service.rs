//! The process: opens what the configuration names, binds its port, and runs until it is told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use winze_client::{
    ANSWERS_SCHEMA, HubClient, HubClientConfig, Identity, OUTBOX_SCHEMA, Schema, Store,
};
use winze_redis::{Redis, RedisFault};
use winze_runtime::ops_http::{self, OpsState};
use winze_runtime::{keyfile, ready};

use crate::config::BridgeConfig;
use crate::error::BridgeError;
use crate::health::health;
use crate::legacy_mint::{LegacyMint, PUSHED_SCHEMA, belong_to_list};
use crate::limits::{CHANNEL_WINDOW_BYTES, REQUESTS_IN_FLIGHT_MAX};
use crate::metrics::Metrics;
use crate::requests::{Requests, RequestsSettings, RequestsView};
use crate::store::REQUESTS_SCHEMA;

/// The bridge role.
pub struct Bridge;

/// A bridge whose store is open and whose port is bound, and which does not serve yet.
pub struct BoundBridge {
    /// Where the operator's HTTP will be.
    pub http_addr: SocketAddr,
    http: TcpListener,
    config: BridgeConfig,
    identity: Identity,
    hub: HubClientConfig,
    store: Store,
    redis: Redis,
    requests: Option<RequestsSettings>,
}

/// [`Bridge::bind`], the ready line (`ready http=..`), [`BoundBridge::run`].
///
/// # Errors
/// Those of the two. That nobody reads standard output is none.
pub async fn run(
    config: BridgeConfig,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), BridgeError> {
    let bridge = Bridge::bind(config).await?;
    if let Err(error) = ready::print(&[("http", bridge.http_addr)]) {
        tracing::warn!(%error, "the ready line was not printed");
    }
    bridge.run(shutdown).await
}

impl Bridge {
    /// Reads the keys, opens the store, greets Redis and binds the port.
    ///
    /// # Errors
    /// [`BridgeError`], naming the value, file or address that cannot be used; [`BridgeError::Redis`] where Redis refuses the
    /// login or what we are to do. That it is away is none.
    pub async fn bind(config: BridgeConfig) -> Result<BoundBridge, BridgeError> {
        config.check()?;
        let identity = Identity::of(
            config.peer_name()?,
            keyfile::read_secret(&config.secret_key_file)?,
        );
        let hub = hub_config(&config)?;
        let requests = config.requests.as_ref().map(RequestsSettings::new);
        let requests = requests.transpose()?;
        for pool in config.legacy_mint.iter().flat_map(|it| &it.pool) {
            pool.public_key.resolve()?;
        }
        let redis = config.redis.open()?;
        match redis.greet().await {
            Ok(()) => {}
            Err(fault @ (RedisFault::Login { .. } | RedisFault::NotAllowed { .. })) => {
                return Err(BridgeError::Redis(fault));
            }
            Err(fault) => tracing::warn!(%fault, "Redis is not there; trying again"),
        }
        let schemas: [Schema; 4] = [
            OUTBOX_SCHEMA,
            ANSWERS_SCHEMA,
            REQUESTS_SCHEMA,
            PUSHED_SCHEMA,
        ];
        let store = Store::open(config.store_file.as_path(), &schemas);
        let store = store.map_err(|source| BridgeError::StoreFile {
            file: config.store_file.as_path().to_owned(),
            source,
        })?;
        if let Some(requests) = &requests {
            requests.belong_to_mint(&store).await?;
        }
        if let Some(direction) = &config.legacy_mint {
            belong_to_list(&store, &config, direction).await?;
        }
        let address = config.http_listen;
        let listen_error = |source| BridgeError::Listen { address, source };
        let http = TcpListener::bind(address).await.map_err(listen_error)?;
        Ok(BoundBridge {
            http_addr: http.local_addr().map_err(listen_error)?,
            http,
            config,
            identity,
            hub,
            store,
            redis,
            requests,
        })
    }
}

impl BoundBridge {
    /// Connects to the hub and carries until `shutdown` resolves. Then no more is taken, what was taken is written down,
    /// what was answered is told, for a few seconds each, and the connection to the hub is closed in good order.
    ///
    /// # Errors
    /// The HTTP port failed for good, or the store at the start. Neither the hub nor Redis being away is one.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), BridgeError> {
        let identity = self.identity;
        let hub = HubClient::start(self.hub, identity.clone());
        let metrics = Metrics::new(self.requests.is_some(), self.config.legacy_mint.is_some());
        let (redis, store, config) = (&self.redis, &self.store, &self.config);
        let requests = match self.requests {
            None => None,
            Some(settings) => {
                let started =
                    Requests::start(settings, &identity, &hub, redis, config, store).await?;
                Some(started)
            }
        };
        let legacy_mint = match &config.legacy_mint {
            None => None,
            Some(direction) => {
                let store = store.clone();
                let started = LegacyMint::start(&hub, redis, store, config, direction).await?;
                Some(Arc::new(started))
            }
        };
        let views = Views {
            hub: hub.clone(),
            store: self.store.clone(),
            requests: requests.as_ref().map(Requests::view),
            legacy_mint: legacy_mint.clone(),
        };
        let router = ops_http::router(views.ops(metrics));
        let (stop, stopping) = watch::channel(false);
        let mut http = std::pin::pin!(ops_http::serve(self.http, router, until(stopping)));
        let failed = tokio::select! {
            () = shutdown => None,
            ended = &mut http => Some(ended),
        };
        tracing::info!("bridge is shutting down");
        stop.send_replace(true);
        if let Some(requests) = requests {
            requests.shutdown().await;
        }
        if let Some(legacy_mint) = legacy_mint {
            legacy_mint.shutdown().await;
        }
        hub.shutdown().await;
        let ended = match failed {
            Some(ended) => ended,
            None => http.await,
        };
        ended.map_err(BridgeError::Http)
    }
}

/// What the operator's port looks at.
struct Views {
    hub: HubClient,
    store: Store,
    requests: Option<RequestsView>,
    legacy_mint: Option<Arc<LegacyMint>>,
}

impl Views {
    fn ops(self, metrics: Metrics) -> OpsState {
        let views = Arc::new(self);
        let hub = views.hub.status();
        let for_metrics = (Arc::clone(&views), hub.clone());
        OpsState::new(
            move || {
                let requests = views.requests.as_ref().map(RequestsView::status);
                let legacy_mint = views.legacy_mint.as_deref();
                health(&hub.borrow(), &views.store, requests.as_ref(), legacy_mint)
            },
            move || {
                let (views, hub) = &for_metrics;
                let requests = views.requests.as_ref().map(RequestsView::status);
                let legacy_mint = views.legacy_mint.as_ref().map(|it| it.status());
                let is_connected = hub.borrow().is_connected();
                metrics.text(
                    is_connected,
                    views.hub.counts(),
                    &views.store,
                    requests.as_ref(),
                    legacy_mint.as_ref(),
                )
            },
        )
    }
}

async fn until(mut stopping: watch::Receiver<bool>) {
    // A sender that is gone means the same.
    let _ = stopping.wait_for(|stop| *stop).await;
}

fn hub_config(config: &BridgeConfig) -> Result<HubClientConfig, BridgeError> {
    let authority = config.hub.authority.resolve()?;
    Ok(HubClientConfig {
        window_messages: REQUESTS_IN_FLIGHT_MAX as u64,
        window_bytes: CHANNEL_WINDOW_BYTES,
        unsent_messages_max: REQUESTS_IN_FLIGHT_MAX,
        ..HubClientConfig::new(config.hub.address.clone(), authority)
    })
}
