//! The process: opens what the configuration names, binds its ports, and runs until it is told to stop.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use winze_client::{
    ANSWERS_SCHEMA, HubClient, HubClientConfig, HubStatus, Identity, QuoteResponder,
    QuoteResponderConfig, Store,
};
use winze_redis::RedisFault;
use winze_runtime::ops_http::{self, Health, OpsState};
use winze_runtime::{clock, keyfile, ready};

use crate::allowance::{self, ALLOWANCE_SCHEMA, Account};
use crate::config::{self, MintConfig};
use crate::ecash::{self, Ecash, EcashError};
use crate::error::MintError;
use crate::issuance::Issuer;
use crate::issuance::check::Rules;
use crate::limits::{
    ALLOWANCE_GAUGE_INTERVAL, POOLS_MAX, SHUTDOWN_DRAIN_MAX, TRANSACTION_QUOTES_MAX,
};
use crate::metrics::Metrics;
use crate::redis_requests::{self, Caution, ListReading, ListSettings};
use crate::seed::Seed;
use crate::{announce, api};

/// The mint role.
pub struct Mint;

/// A mint whose stores are open and whose ports are bound, and which does not serve yet.
pub struct BoundMint {
    /// Where the NUT API will be.
    pub api_addr: SocketAddr,
    /// Where the operator's HTTP will be.
    pub http_addr: SocketAddr,
    api: TcpListener,
    http: TcpListener,
    ecash: Ecash,
    store: Store,
    rules: Rules,
    metrics: Metrics,
    identity: Identity,
    hub: HubClientConfig,
    list: Option<ListSettings>,
}

/// What can be asked of a mint while it runs. Clones are of the same mint.
#[derive(Clone)]
pub struct MintHandle {
    ecash: Ecash,
}

/// [`Mint::bind`], the ready line (`ready api=.. http=..`), [`BoundMint::run`].
///
/// # Errors
/// Those of the two. That nobody reads standard output is none.
pub async fn run(
    config: MintConfig,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), MintError> {
    let mint = Mint::bind(config).await?;
    if let Err(error) = ready::print(&[("api", mint.api_addr), ("http", mint.http_addr)]) {
        tracing::warn!(%error, "the ready line was not printed");
    }
    mint.run(shutdown).await
}

/// Makes a new active keyset for `unit` in the ecash store, whether or not a mint runs on it; one that does announces it
/// within seconds. Ecash of the old keyset stays good. Returns the new id in hex.
///
/// # Errors
/// The configuration, the seed or the store cannot be used, or the unit is not one of the mint's.
pub async fn rotate_keyset(config: &MintConfig, unit: &str) -> Result<String, MintError> {
    config.check()?;
    let seed = Seed::read(config.seed_file.as_path())?;
    let ecash = Ecash::open_beside(&config.ecash(), &seed).await?;
    Ok(ecash.rotate(unit).await?.to_string())
}

impl Mint {
    /// Reads the keys and the seed, opens both stores, and binds both ports. Where a list in Redis is read, Redis is asked
    /// once: that it is away is no error, that it refuses the login is one.
    ///
    /// # Errors
    /// [`MintError`], naming the value, file or address that cannot be used.
    pub async fn bind(config: MintConfig) -> Result<BoundMint, MintError> {
        config.check()?;
        let identity = Identity::of(
            config.peer_name()?,
            keyfile::read_secret(&config.secret_key_file)?,
        );
        let hub = HubClientConfig::new(config.hub.address.clone(), config.hub.authority.resolve()?);
        let rules = config.rules()?;
        let list = open_list(&config, &identity).await?;
        let ecash_config = config.ecash();
        let seed = Seed::read_or_create(
            config.seed_file.as_path(),
            &ecash_config.store,
            config.create_seed,
        )?;
        // Ours first: its lock keeps a second process off, from cdk's store as well.
        let store = Store::open(
            config.store_file.as_path(),
            &[ANSWERS_SCHEMA, ALLOWANCE_SCHEMA],
        )
        .map_err(|source| MintError::StoreFile {
            file: config.store_file.as_path().to_owned(),
            source,
        })?;
        if ecash::is_missing(&ecash_config.store) && store.read(allowance::was_ever_used).await? {
            return Err(EcashError::Lost {
                store: ecash_config.store,
                issued: config.store_file.as_path().to_owned(),
            }
            .into());
        }
        let ecash = Ecash::open(&ecash_config, &seed).await?;
        let (api, api_addr) = listen("api_listen", config.api_listen).await?;
        let (http, http_addr) = listen("http_listen", config.http_listen).await?;
        Ok(BoundMint {
            api_addr,
            http_addr,
            api,
            http,
            ecash,
            store,
            rules,
            metrics: Metrics::new(list.is_some()),
            identity,
            hub,
            list,
        })
    }
}

impl BoundMint {
    /// A handle on the mint, good until it has run.
    pub fn handle(&self) -> MintHandle {
        MintHandle {
            ecash: self.ecash.clone(),
        }
    }

    /// Connects to the hub and serves until `shutdown` resolves, then finishes the requests under way, of wallets and of
    /// pools, for a few seconds.
    ///
    /// # Errors
    /// A server failed for good; the hub being away is no error.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), MintError> {
        let api_router = api::router(Arc::clone(self.ecash.mint()), self.metrics.clone()).await?;
        let issuer = Issuer::new(
            self.rules.clone(),
            self.ecash.clone(),
            self.store.clone(),
            self.metrics.clone(),
            Arc::new(clock::now_unix_s),
        );
        let hub = HubClient::start(self.hub, self.identity);
        let responder = QuoteResponder::start(
            &hub,
            self.store.clone(),
            responder_config(&self.rules),
            Arc::new(issuer.clone()),
        )?;
        let reading = self.list.zip(self.metrics.list().cloned());
        let reading = reading.map(|(settings, metrics)| {
            let responder = responder.clone();
            let pools = self.rules.pools.values();
            let caution = Caution::new(
                self.store.clone(),
                pools.map(|pool| pool.name.to_string()).collect(),
                Arc::new(move |pool| responder.has_compared(pool)),
            );
            ListReading::start(settings, issuer, self.ecash.clone(), metrics, caution)
        });
        let ops_router = ops_http::router(ops_state(
            &self.ecash,
            &hub,
            &responder,
            &self.store,
            &self.metrics,
            reading.as_ref().map(ListReading::link),
        ));

        let (stop, stopping) = watch::channel(false);
        let mut servers = JoinSet::new();
        servers.spawn(server("NUT API", self.api, api_router, stopping.clone()));
        servers.spawn(server("operator's HTTP", self.http, ops_router, stopping));
        let mut helpers = JoinSet::new();
        helpers.spawn(announce::run(
            self.ecash.clone(),
            responder.clone(),
            self.metrics.clone(),
        ));
        helpers.spawn(show_allowances(self.rules, self.store, self.metrics));

        let failed = tokio::select! {
            () = shutdown => None,
            Some(ended) = servers.join_next() => Some(ended),
        };
        stop.send_replace(true);
        helpers.shutdown().await;
        // First the pools' requests: their answers go out on the connection that ends next.
        let (drained, ()) = tokio::join!(
            tokio::time::timeout(SHUTDOWN_DRAIN_MAX, responder.shutdown()),
            async {
                if let Some(reading) = reading {
                    reading.shutdown().await;
                }
            },
        );
        if drained.is_err() {
            tracing::warn!("requests are still under way; their pools will ask again");
        }
        hub.shutdown().await;
        while servers.join_next().await.is_some() {}
        self.ecash.stop().await?;
        match failed {
            None => Ok(()),
            Some(Ok((what, detail))) => Err(MintError::Stopped { what, detail }),
            Some(Err(error)) => Err(MintError::Stopped {
                what: "a server",
                detail: error.to_string(),
            }),
        }
    }
}

impl MintHandle {
    /// Makes a new active keyset for `unit`, which is announced within a second. Ecash of the old one, and requests that
    /// name it, stay good. Returns the new id in hex.
    ///
    /// # Errors
    /// The unit is not one of the mint's, or cdk's store failed.
    pub async fn rotate_keyset(&self, unit: &str) -> Result<String, MintError> {
        Ok(self.ecash.rotate(unit).await?.to_string())
    }
}

/// What the list in Redis is read with, where it is.
async fn open_list(
    config: &MintConfig,
    identity: &Identity,
) -> Result<Option<ListSettings>, MintError> {
    let (Some(names), Some(requests)) = (&config.redis, &config.redis_requests) else {
        return Ok(None);
    };
    let settings = ListSettings::new(names.open()?, names.clone(), &config.name, requests)
        .map_err(|message| config::invalid("redis_requests.default_locking_key", message))?
        .owned_by(identity);
    match settings.redis().greet().await {
        Ok(()) => {}
        Err(fault @ (RedisFault::Login { .. } | RedisFault::NotAllowed { .. })) => {
            return Err(MintError::Redis(fault));
        }
        Err(fault) => tracing::warn!(%fault, "Redis is not there; starting without"),
    }
    Ok(Some(settings))
}

async fn listen(
    key: &'static str,
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), MintError> {
    let listen_error = |source| MintError::Listen {
        key,
        address,
        source,
    };
    let listener = TcpListener::bind(address).await.map_err(listen_error)?;
    let bound = listener.local_addr().map_err(listen_error)?;
    Ok((listener, bound))
}

/// Serves until `stopping` says so; who it is and how it ended.
async fn server(
    what: &'static str,
    listener: TcpListener,
    router: axum::Router,
    mut stopping: watch::Receiver<bool>,
) -> (&'static str, String) {
    let stopped = async move {
        // A sender that is gone means the same.
        let _ = stopping.wait_for(|stop| *stop).await;
    };
    match ops_http::serve(listener, router, stopped).await {
        Ok(()) => (what, "no reason given".to_owned()),
        Err(error) => (what, error.to_string()),
    }
}

fn responder_config(rules: &Rules) -> QuoteResponderConfig {
    let pools = rules.pools.iter();
    let pools = pools.map(|(key, pool)| (pool.name.clone(), *key)).collect();
    QuoteResponderConfig {
        batch_max: TRANSACTION_QUOTES_MAX,
        channels_max: POOLS_MAX,
        ..QuoteResponderConfig::new(pools)
    }
}

fn ops_state(
    ecash: &Ecash,
    hub: &HubClient,
    responder: &QuoteResponder,
    store: &Store,
    metrics: &Metrics,
    list: Option<redis_requests::Link>,
) -> OpsState {
    let status = hub.status();
    let health = {
        let (ecash, responder, status) = (ecash.clone(), responder.clone(), status.clone());
        let store = store.clone();
        move || {
            let mut health = health(&ecash, &responder, &store, &status.borrow());
            if let Some(list) = &list {
                list.add_to(&mut health);
            }
            health
        }
    };
    let (hub, responder) = (hub.clone(), responder.clone());
    let (store, metrics) = (store.clone(), metrics.clone());
    let text = move || {
        let connected = status.borrow().is_connected();
        metrics.take_over(connected, hub.counts(), responder.status(), &store);
        metrics.text()
    };
    OpsState::new(health, text)
}

fn health(ecash: &Ecash, responder: &QuoteResponder, store: &Store, hub: &HubStatus) -> Health {
    let keysets: serde_json::Map<String, serde_json::Value> = ecash
        .units()
        .iter()
        .map(|unit| {
            let active = ecash
                .active_keyset(unit)
                .map(|keyset| keyset.id.to_string());
            (unit.to_string(), active.into())
        })
        .collect();
    let set_back: Vec<serde_json::Value> = responder
        .set_backs()
        .into_iter()
        .map(|set_back| {
            serde_json::json!({
                "pool": set_back.peer,
                "own_answers": set_back.own_answers,
                "told_answers": set_back.told_answers,
                "noticed_unix_ms": set_back.noticed_unix_ms,
            })
        })
        .collect();
    let responder = responder.status();
    let trouble = store.trouble();
    Health {
        ready: hub.is_connected()
            && keysets.values().all(|keyset| !keyset.is_null())
            && trouble.is_none(),
        detail: serde_json::json!({
            "store_trouble": trouble,
            "store_damage": store.damage(),
            "store_set_back": set_back,
            "hub_connected": hub.is_connected(),
            "hub_last_error": hub.last_error,
            "pools_present": responder.pools_present,
            "requests_under_way": responder.under_way,
            "active_keysets": keysets,
        }),
    }
}

/// Keeps the allowance gauges in step with the clock. The issuer sets them too, whenever it reserves.
async fn show_allowances(rules: Rules, store: Store, metrics: Metrics) {
    let accounts: Vec<Account> = rules
        .pools
        .values()
        .chain(&rules.list)
        .flat_map(|pool| {
            pool.caps
                .keys()
                .filter_map(|unit| pool.account(unit.clone()))
        })
        .collect();
    let mut ticks = tokio::time::interval(ALLOWANCE_GAUGE_INTERVAL);
    loop {
        ticks.tick().await;
        for account in &accounts {
            let of = account.clone();
            let used = store
                .read(move |conn| allowance::used(conn, &of.pool, &of.unit))
                .await;
            match used {
                Ok(used) => metrics.show_allowance(account, &used, clock::now_unix_s()),
                Err(error) => tracing::warn!(%error, "allowances cannot be read"),
            }
        }
    }
}
