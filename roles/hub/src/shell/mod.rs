//! Around the core: sockets, clock, tasks.
//!
//! One task for each connection reads batches into the core, which is behind one mutex, and writes what the core has for
//! it. A task that finds work for another wakes it. Nothing waits while it holds the mutex.

mod connection;
mod health;
mod identity;
mod linger;
mod log;
mod metrics;
mod reload;
mod shared;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;
use winze_runtime::admission::Admission;
use winze_runtime::ops_http::{self, OpsState};

use crate::config::{HubConfig, InvalidValues};
use crate::core::ConnId;
use crate::limits::{ACCEPT_RETRY_MS, TICK_MS};

use connection::Served;
pub use identity::IdentityError;
use reload::FixedKeys;
pub use reload::{ReloadError, Reloader};
use shared::Shared;

/// Why a hub does not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum HubError {
    /// Values of the configuration cannot be used.
    #[error("configuration: {0}")]
    Config(#[from] InvalidValues),
    /// The hub's key or certificate is not to be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({key}): {source}")]
    Listen {
        /// The key of the configuration.
        key: &'static str,
        /// The address.
        address: SocketAddr,
        /// What the operating system said.
        source: io::Error,
    },
    /// The operator's HTTP port failed for good.
    #[error("operator's HTTP port: {0}")]
    Http(io::Error),
}

/// The hub process. See [`Hub::bind`].
#[derive(Debug)]
pub struct Hub;

/// A hub that listens and does not serve yet.
pub struct BoundHub {
    /// Where peers connect.
    pub hub_addr: SocketAddr,
    /// Where the operator's HTTP port is.
    pub http_addr: SocketAddr,
    listener: TcpListener,
    http: TcpListener,
    shared: Arc<Shared>,
    admission: Arc<Admission>,
    fixed: FixedKeys,
}

/// Binds a hub and runs it until `shutdown` resolves.
///
/// # Errors
/// Those of [`Hub::bind`] and [`BoundHub::run`].
pub async fn run(config: HubConfig, shutdown: impl Future<Output = ()>) -> Result<(), HubError> {
    Hub::bind(config).await?.run(shutdown).await
}

impl Hub {
    /// Checks the configuration, loads the hub's key and certificate and binds both ports.
    ///
    /// # Errors
    /// Every [`HubError`] but [`HubError::Http`]. A certificate that is not valid now is one of them: no client would
    /// connect.
    pub async fn bind(config: HubConfig) -> Result<BoundHub, HubError> {
        let core = config.core()?;
        let identity = identity::read(&config, None)?;
        let listener = listen("listen", config.listen).await?;
        let http = listen("http_listen", config.http_listen).await?;
        let bound = |key, listener: &TcpListener, address| {
            listener.local_addr().map_err(|source| HubError::Listen {
                key,
                address,
                source,
            })
        };
        Ok(BoundHub {
            hub_addr: bound("listen", &listener, config.listen)?,
            http_addr: bound("http_listen", &http, config.http_listen)?,
            listener,
            http,
            admission: Arc::new(Admission::new(config.limits.admission())),
            fixed: FixedKeys::of(&config),
            shared: Arc::new(Shared::new(core, config.limits, identity)),
        })
    }
}

impl BoundHub {
    /// What has this hub read its configuration again while it runs.
    pub fn reloader(&self) -> Reloader {
        Reloader::new(
            Arc::clone(&self.shared),
            Arc::clone(&self.admission),
            self.fixed.clone(),
        )
    }

    /// Serves until `shutdown` resolves, then asks every client to reconnect, delivers what is on the way, says goodbye
    /// and waits for all to take it: for at most `limits.shutdown_drain_ms` in all.
    ///
    /// # Errors
    /// [`HubError::Http`].
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), HubError> {
        let (stop, stopped) = watch::channel(false);
        let ops = {
            let (health, metrics) = (Arc::clone(&self.shared), Arc::clone(&self.shared));
            OpsState::new(
                move || health::health(&health),
                move || metrics::text(&metrics),
            )
        };
        let http = ops_http::serve(self.http, ops_http::router(ops), until(stopped.clone()));
        let mut http = std::pin::pin!(http);
        let serving = serve(self.listener, &self.shared, &self.admission, stopped);
        let mut serving = std::pin::pin!(serving);
        tracing::info!(hub = %self.hub_addr, http = %self.http_addr, "hub is ready");

        let mut shutdown = std::pin::pin!(shutdown);
        let failed = tokio::select! {
            () = &mut shutdown => None,
            result = &mut http => Some(result),
            () = &mut serving => unreachable!("it serves until `stop` says otherwise"),
        };
        tracing::info!("hub is shutting down");
        // Whoever waits for it is in this function.
        let _ = stop.send(true);
        match failed {
            Some(result) => {
                serving.await;
                result
            }
            None => tokio::join!(serving, http).1,
        }
        .map_err(HubError::Http)
    }
}

impl std::fmt::Debug for BoundHub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundHub")
            .field("hub_addr", &self.hub_addr)
            .field("http_addr", &self.http_addr)
            .finish_non_exhaustive()
    }
}

async fn listen(key: &'static str, address: SocketAddr) -> Result<TcpListener, HubError> {
    TcpListener::bind(address)
        .await
        .map_err(|source| HubError::Listen {
            key,
            address,
            source,
        })
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, and so is the hub.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}

/// Accepts connections until told to stop, then ends them in good order.
async fn serve(
    listener: TcpListener,
    shared: &Arc<Shared>,
    admission: &Arc<Admission>,
    stopped: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    let mut last_conn = 0;
    let mut ticker = tokio::time::interval(Duration::from_millis(TICK_MS));
    ticker.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut stop = std::pin::pin!(until(stopped.clone()));
    loop {
        tokio::select! {
            () = &mut stop => break,
            _ = ticker.tick() => shared.tick(),
            // Finished tasks are collected as they end; admission bounds how many there are.
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    let Some(mut place) = admission.admit(address.ip(), Instant::now()) else {
                        shared.count_turned_away();
                        tracing::debug!(%address, "connection closed unheard: the hub or this address has too many");
                        continue;
                    };
                    last_conn += 1;
                    let client = connection::Client {
                        conn: ConnId(last_conn),
                        address,
                        identity: shared.identity(),
                        shared: Arc::clone(shared),
                        stopped: stopped.clone(),
                    };
                    connections.spawn(async move {
                        if client.serve(stream).await == Served::Stranger {
                            place.keep_a_while();
                        }
                        drop(place);
                    });
                }
                Err(error) => {
                    shared.log_accept_error(&error);
                    tokio::time::sleep(Duration::from_millis(ACCEPT_RETRY_MS)).await;
                }
            },
        }
    }
    drop(listener);
    let (stopped_at, drain) = (
        tokio::time::Instant::now(),
        Duration::from_millis(shared.limits().shutdown_drain_ms),
    );
    shared.wind_down();
    let drained = async {
        while !shared.is_drained() {
            ticker.tick().await;
            shared.tick();
        }
    };
    if tokio::time::timeout_at(stopped_at + drain / 2, drained)
        .await
        .is_err()
    {
        tracing::warn!("some messages were not read in time; their senders send them again");
    }
    shared.shut_down();
    let all_gone = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout_at(stopped_at + drain, all_gone)
        .await
        .is_err()
    {
        tracing::warn!("some clients did not take the last messages in time");
        connections.shutdown().await;
    }
    shared.finish_log();
}
