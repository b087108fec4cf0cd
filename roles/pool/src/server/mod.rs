//! Around the core: sockets, tasks, store, hub.
//!
//! One task per miner drives its [`MiningConnection`](crate::mining::MiningConnection). Beside them run the
//! template feed, the way back for found blocks, the client that talks to the hub and the HTTP port.

mod blocks;
mod connection;
mod health;
mod listen;
mod presence;
mod redis;
mod start;

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use winze_client::{HubClient, OpenError, QuoteRequester, StoreError};
use winze_redis::{RedisFault, RedisSetupError};
use winze_runtime::config::ConfigPath;
use winze_runtime::keyfile::KeyFileError;
use winze_runtime::ops_http;
use winze_transport::{CertificateError, ServerIdentity};

use crate::config::{InvalidValue, PoolConfig, QuotePath};
use crate::directory::Directory;
use crate::metrics::Metrics;
use crate::mining::{Intake, Shared};
use crate::store::{Ledger, OtherMint};
use crate::template::feed::{self, Away, Offered, Work};
use blocks::{FoundBlocks, Notes};
use redis::RedisHandle;
use start::Prepared;

/// Why a pool does not start, or stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// A value of the configuration cannot be used.
    #[error("{0}")]
    Config(#[from] InvalidValue),
    /// A key or a certificate cannot be read, or they do not belong together.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// No miner would accept the certificate at present.
    #[error("{file}: {source}")]
    Certificate {
        /// The certificate's file.
        file: String,
        /// What is wrong with it.
        source: CertificateError,
    },
    /// The store cannot be opened.
    #[error("store_file {file}: {source}")]
    StoreFile {
        /// As configured.
        file: ConfigPath,
        /// What is wrong with it.
        source: StoreError,
    },
    /// The store cannot be read.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The mint was changed while requests wait for the one before.
    #[error("{0}")]
    OtherMint(#[from] Box<OtherMint>),
    /// What the `[redis]` table names cannot be used.
    #[error(transparent)]
    RedisSetup(#[from] RedisSetupError),
    /// Redis does not let us in, or not do what we need.
    #[error("redis: {0}")]
    Redis(#[from] RedisFault),
    /// The channel to the mint cannot be asked for. A mistake of this program.
    #[error("channel to the mint: {0}")]
    Channel(#[from] OpenError),
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
    /// The HTTP port failed for good.
    #[error("HTTP port: {0}")]
    Http(io::Error),
}

/// The pool process. See [`Pool::bind`].
#[derive(Debug)]
pub struct Pool;

/// A pool that listens and does not serve yet.
pub struct BoundPool {
    /// Where miners connect.
    pub mining_addr: SocketAddr,
    /// Where the HTTP port is.
    pub http_addr: SocketAddr,
    listener: TcpListener,
    http: TcpListener,
    prepared: Prepared,
}

/// What every connection's task needs.
struct PoolState {
    identity: Arc<ServerIdentity>,
    shared: Shared,
    ledger: Ledger,
    requester: QuoteRequester,
    quote_path: QuotePath,
    redis: Option<RedisHandle>,
    directory: Arc<Directory>,
    metrics: Metrics,
    templates: watch::Receiver<Option<Work>>,
    source_away: watch::Receiver<Option<Away>>,
    freshness: Freshness,
    keyset: watch::Receiver<Option<Vec<u8>>>,
    blocks: FoundBlocks,
}

/// How old what is mined on may get.
#[derive(Clone, Copy, Debug)]
struct Freshness {
    /// A source that is away for longer may have another tip, and no share is paid for.
    away_max: Duration,
    /// A template that is older makes the pool not ready.
    template_age_max: Duration,
}

impl PoolState {
    /// Shares were written down, and their requests are to go on their way.
    fn nudge(&self) {
        self.requester.nudge();
        if let Some(redis) = &self.redis {
            redis.nudge();
        }
    }

    /// Whether shares can be paid for now.
    fn intake(&self) -> Intake {
        if self.keyset.borrow().is_none() {
            return Intake::KeysetUnknown;
        }
        match &*self.source_away.borrow() {
            Some(away) if away.since.elapsed() >= self.freshness.away_max => {
                Intake::TemplateOutdated
            }
            _ => Intake::Open,
        }
    }
}

/// Binds a pool and runs it until `shutdown` resolves.
///
/// # Errors
/// Those of [`Pool::bind`] and [`BoundPool::run`].
pub async fn run(config: PoolConfig, shutdown: impl Future<Output = ()>) -> Result<(), PoolError> {
    Pool::bind(config).await?.run(shutdown).await
}

impl Pool {
    /// Checks the configuration, loads the keys, opens the store and binds both ports.
    ///
    /// # Errors
    /// Every [`PoolError`] but [`PoolError::Http`] and [`PoolError::Channel`]. A certificate that is not valid now
    /// is one of them: no miner would connect.
    pub async fn bind(config: PoolConfig) -> Result<BoundPool, PoolError> {
        let prepared = start::prepare(&config).await?;
        let listener = listen::bind("listen", config.listen).await?;
        let http = listen::bind("http_listen", config.http_listen).await?;
        Ok(BoundPool {
            mining_addr: listen::address("listen", &listener, config.listen)?,
            http_addr: listen::address("http_listen", &http, config.http_listen)?,
            listener,
            http,
            prepared,
        })
    }
}

impl BoundPool {
    /// Serves until `shutdown` resolves. Then no more is read from miners, what they were promised is written down,
    /// they get the answers that are due, and the connection to the hub is closed in good order.
    ///
    /// # Errors
    /// [`PoolError::Http`] and [`PoolError::Channel`].
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> Result<(), PoolError> {
        let prepared = self.prepared;
        let hub = HubClient::start(prepared.hub, prepared.hub_identity);
        let running = async {
            let requester = QuoteRequester::start(
                &hub,
                prepared.store.clone(),
                prepared.requester,
                Arc::clone(&prepared.answers) as _,
            )?;
            let requests = requester.clone();
            let has_hub = prepared.quote_path.dials_hub();
            let redis = prepared.redis.map(|redis| {
                let parts = redis::Parts {
                    store: prepared.store.clone(),
                    answers: Arc::clone(&prepared.answers),
                    mint: prepared.mint.clone(),
                    unit: prepared.unit.clone(),
                    requester: requester.clone(),
                    metrics: prepared.metrics.clone(),
                    keyset: prepared.keyset.clone(),
                    has_hub,
                };
                redis::start(redis, parts)
            });
            let (redis, redis_task) = redis.unzip();
            let (stop, stopped) = watch::channel(false);
            let (template_sink, templates) = watch::channel(None);
            let (away_sink, source_away) = watch::channel(None);
            let (offers, found) = mpsc::channel(crate::limits::BLOCKS_QUEUED_MAX);
            let (notes, keeper) = Notes::new();
            let keeping = tokio::spawn(blocks::keep(prepared.blocks, keeper));
            let notes = prepared.source.outlives_the_pool().then_some(notes);
            let nudge = Arc::new(tokio::sync::Notify::new());
            tracing::info!(source = prepared.source.describe(), "block templates");
            for kept in &prepared.kept {
                let (hash, age_s) = (kept.block.hash, kept.age.as_secs());
                tracing::info!(%hash, age_s, "a block from before the restart is offered again");
            }
            let blocks = FoundBlocks::new(offers, notes.clone(), prepared.metrics.clone());
            let state = Arc::new(PoolState {
                identity: prepared.identity,
                shared: prepared.shared,
                ledger: prepared.ledger,
                requester,
                quote_path: prepared.quote_path,
                redis,
                directory: prepared.directory,
                metrics: prepared.metrics,
                templates,
                source_away,
                freshness: prepared.freshness,
                keyset: prepared.keyset,
                blocks,
            });
            let router = ops_http::router(health::ops(&state, &hub, prepared.registry));
            let router = router.merge(crate::http::router(prepared.store));
            let http = ops_http::serve(self.http, router, until(stopped.clone()));
            let feed = feed::fetch_templates(
                Arc::clone(&prepared.source),
                prepared.template_refresh,
                Arc::clone(&nudge),
                feed::FeedSinks {
                    work: template_sink,
                    away: away_sink,
                },
            );
            let presence = presence::watch(requests.clone());
            let feed = async { tokio::join!(feed, presence).1 };
            let metrics = state.metrics.clone();
            let kept = prepared.kept.into_iter();
            let kept = kept
                .map(|kept| Offered::again(kept.block, kept.age))
                .collect();
            let submission =
                feed::submit_blocks(prepared.source, kept, found, nudge, move |block, report| {
                    metrics.block(report);
                    if let Some(notes) = &notes {
                        notes.settled(block.hash);
                    }
                });
            let mining = listen::serve(self.listener, state, prepared.admission, stopped);
            let result = serve(http, feed, submission, mining, shutdown, stop).await;
            if let Some(task) = redis_task {
                task.stop().await;
            }
            // The store is closed when this function is left. Whoever makes notes went with `serve`.
            requests.shutdown().await;
            if tokio::time::timeout(listen::DRAIN_TIMEOUT, keeping)
                .await
                .is_err()
            {
                tracing::warn!("what became of a found block could not be written down in time");
            }
            result
        };
        let result = running.await;
        hub.shutdown().await;
        result
    }
}

/// Runs the parts next to one another; ends with `shutdown`, or because the HTTP port failed.
async fn serve(
    http: impl Future<Output = io::Result<()>>,
    feed: impl Future<Output = ()>,
    submission: impl Future<Output = ()>,
    mining: impl Future<Output = ()>,
    shutdown: impl Future<Output = ()>,
    stop: watch::Sender<bool>,
) -> Result<(), PoolError> {
    let mut http = std::pin::pin!(http);
    let mut mining = std::pin::pin!(mining);
    let mut submission = std::pin::pin!(submission);
    let mut feed = std::pin::pin!(feed);
    let failed = tokio::select! {
        () = shutdown => None,
        result = &mut http => Some(result),
        () = &mut feed => unreachable!("templates are fetched until this future is dropped"),
        () = &mut submission => unreachable!("the state holds a sender as long as mining lasts"),
        () = &mut mining => unreachable!("it serves until `stop` says otherwise"),
    };
    tracing::info!("pool is shutting down");
    // Whoever waits for it is in this function.
    let _ = stop.send(true);
    mining.await;
    // The last connection is gone. A block that it found is handed over before the pool ends, if the node is there.
    let submitted = tokio::time::timeout(listen::DRAIN_TIMEOUT, submission).await;
    if submitted.is_err() {
        // Which ones is said when they are dropped.
        tracing::warn!(
            "found blocks were not handed over in time; a node's are offered at the next start"
        );
    }
    let result = match failed {
        Some(result) => result,
        None => http.await,
    };
    result.map_err(PoolError::Http)
}

impl std::fmt::Debug for BoundPool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BoundPool")
            .field("mining_addr", &self.mining_addr)
            .field("http_addr", &self.http_addr)
            .finish_non_exhaustive()
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // An error means that the sender is gone, and so is the pool.
    let _ = stopped.wait_for(|stopped| *stopped).await;
}
