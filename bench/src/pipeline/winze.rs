//! Our flow: the pool's own ledger writes each share down with its request, the requester sends it through the hub, the
//! mint makes the quotes in cdk's store, and the pool records the answers. Everything but the miners' connections is
//! what the roles run, with its defaults.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use cdk::nuts::SecretKey as MinerKey;
use rand::RngCore;
use rusqlite::Connection;
use tokio::sync::{oneshot, watch};
use tokio::task::{JoinHandle, JoinSet};
use winze_client::{
    HubClient, HubClientConfig, Identity, OUTBOX_SCHEMA, QuoteAnswers, QuoteEvent, QuoteRequester,
    QuoteRequesterConfig, Store, StoreError,
};
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteRequest, MintQuoteResponse,
};
use winze_mint::config::{AllowanceConfig, HubPeer, Info, PoolConfig};
use winze_mint::limits::AMOUNT_MAX;
use winze_mint::{Mint, MintConfig, MintError};
use winze_pool::directory::Directory;
use winze_pool::identity::MinerIdentity;
use winze_pool::metrics::Metrics;
use winze_pool::mining::{AcceptedShare, Recorded};
use winze_pool::store::{Answers, Ledger, LedgerSettings, MintId, POOL_SCHEMA};
use winze_runtime::clock::now_unix_ms;
use winze_runtime::config::ConfigPath;
use winze_runtime::keyfile;

use super::{AMOUNT, MINERS, UNIT};
use crate::durable::Progress;
use crate::error::BenchError;
use crate::systems::hub::{Hub, Member};

/// How long pool and mint may take to find each other.
const PATIENCE: Duration = Duration::from_secs(20);

/// A mint that runs. Dropping it ends its task.
pub struct RunningMint {
    task: JoinHandle<Result<(), MintError>>,
    stop: oneshot::Sender<()>,
}

impl RunningMint {
    /// Starts it on stores in `folder`.
    pub async fn start(
        folder: &Path,
        hub: &Hub,
        mint: &Member,
        pool: &Member,
    ) -> Result<RunningMint, BenchError> {
        let file = |name: &str| ConfigPath::new(folder.join(name));
        keyfile::write_secret(folder.join("mint.key"), &mint.secret).map_err(mint_failed)?;
        let any_port = ([127, 0, 0, 1], 0).into();
        let config = MintConfig {
            name: mint.name.name().to_owned(),
            secret_key_file: file("mint.key"),
            hub: HubPeer {
                address: hub.address.to_string(),
                authority: hub.authority.into(),
            },
            api_listen: any_port,
            http_listen: any_port,
            store_file: file("mint.sqlite"),
            ecash_store_file: file("ecash.sqlite"),
            seed_file: file("seed"),
            create_seed: true,
            units: vec![UNIT.to_owned()],
            amount_max: AMOUNT_MAX,
            description_bytes_max: 128,
            input_fee_ppk: 0,
            info: Info::default(),
            log: "warn".to_owned(),
            pool: vec![PoolConfig {
                peer: pool.name.to_string(),
                public_key: pool.secret.public_key().into(),
                next_key: None,
                allowance: vec![AllowanceConfig {
                    unit: UNIT.to_owned(),
                    amount_per_hour_max: AMOUNT_MAX,
                    amount_per_day_max: AMOUNT_MAX,
                }],
            }],
            redis: None,
            redis_requests: None,
        };
        let bound = Mint::bind(config).await.map_err(mint_failed)?;
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(bound.run(async {
            // A sender that is gone means the same.
            let _ = stopped.await;
        }));
        Ok(RunningMint { task, stop })
    }

    /// Ends it in order.
    pub async fn stop(mut self) -> Result<(), BenchError> {
        let (stop, _) = oneshot::channel();
        let stop = std::mem::replace(&mut self.stop, stop);
        // It hears of a sender that is gone as well.
        let _ = stop.send(());
        (&mut self.task)
            .await
            .map_err(mint_failed)?
            .map_err(mint_failed)
    }
}

impl Drop for RunningMint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A pool without a mining server.
pub struct Pool {
    ledger: Ledger,
    requester: QuoteRequester,
    keyset_id: Vec<u8>,
    hub: HubClient,
}

impl Pool {
    /// Starts it on a store in `folder`, and waits for the mint's keyset.
    pub async fn start(
        folder: &Path,
        hub: &Hub,
        pool: Member,
        mint: &Member,
        progress: Arc<Progress>,
    ) -> Result<Pool, BenchError> {
        let file = folder.join("pool.sqlite");
        let store = Store::open(&file, &[OUTBOX_SCHEMA, POOL_SCHEMA]).map_err(pool_failed)?;
        let mint_key = mint.secret.public_key();
        let settings = LedgerSettings {
            mint: MintId {
                peer: mint.name.to_string(),
                key: mint_key,
            },
            unit: UNIT.to_owned(),
            waiting_max: 1_000_000,
            waiting_per_miner_max: 250_000,
        };
        let ledger = Ledger::new(store.clone(), settings);
        let (metrics, _) = Metrics::new();
        let (keyset_sink, mut keyset) = watch::channel(None);
        let directory = Arc::new(Directory::default());
        let answers = Counted {
            answers: Answers::new(UNIT.to_owned(), mint_key, directory, metrics, keyset_sink),
            progress,
        };
        let client_config = HubClientConfig::new(hub.address.to_string(), hub.authority);
        let client = HubClient::start(client_config, Identity::of(pool.name, pool.secret));
        let config = QuoteRequesterConfig::new(mint.name.clone(), mint_key);
        let requester = QuoteRequester::start(&client, store, config, Arc::new(answers));
        let requester = requester.map_err(pool_failed)?;
        let known = tokio::time::timeout(PATIENCE, keyset.wait_for(Option::is_some)).await;
        let known = known.map_err(|_| BenchError::Stalled {
            what: "the mint's keyset".to_owned(),
            within_s: PATIENCE.as_secs(),
        })?;
        let keyset_id = known.map_err(pool_failed)?.clone().unwrap_or_default();
        Ok(Pool {
            ledger,
            requester,
            keyset_id,
            hub: client,
        })
    }

    /// Lets miners submit, as many shares as there is room for. Ends by being dropped, or with an error.
    pub async fn keep_mining(&self, progress: &Progress) -> Result<(), BenchError> {
        let mut miners = JoinSet::new();
        for number in 0..MINERS {
            let identity = format!("{}.{number}", MinerKey::generate().public_key().to_hex());
            let identity = MinerIdentity::parse(identity.as_bytes()).map_err(pool_failed)?;
            let (ledger, requester) = (self.ledger.clone(), self.requester.clone());
            let (room, keyset_id) = (progress.room(), self.keyset_id.clone());
            let mut share = AcceptedShare {
                channel_id: 1,
                sequence_number: 0,
                header_hash: [0; 32],
                amount: AMOUNT,
                miner: Arc::new(identity),
                difficulty: 1.0,
            };
            miners.spawn(async move {
                loop {
                    room.acquire().await.map_err(pool_failed)?.forget();
                    share.sequence_number += 1;
                    rand::thread_rng().fill_bytes(&mut share.header_hash);
                    let recorded = ledger
                        .record(&share, keyset_id.clone(), now_unix_ms())
                        .await;
                    if recorded != Recorded::Stored {
                        return Err(pool_failed(format!("a share was not stored: {recorded:?}")));
                    }
                    requester.nudge();
                }
            });
        }
        match miners.join_next().await {
            None => Ok(()),
            Some(ended) => ended.map_err(pool_failed)?,
        }
    }

    /// Ends it in order.
    pub async fn stop(self) -> Result<(), BenchError> {
        self.requester.shutdown().await;
        self.hub.shutdown().await;
        let counts = self.requester.status().counts;
        let strange = counts.refused + counts.unauthentic + counts.nonsense + counts.store_failures;
        match strange {
            0 => Ok(()),
            _ => Err(pool_failed(format!("not all went well: {counts:?}"))),
        }
    }
}

/// The pool's own dealing with answers, counted.
struct Counted {
    answers: Answers,
    progress: Arc<Progress>,
}

impl QuoteAnswers for Counted {
    fn on_response(
        &self,
        tx: &Connection,
        request: &MintQuoteRequest,
        response: &MintQuoteResponse,
    ) -> Result<(), StoreError> {
        self.answers.on_response(tx, request, response)
    }

    fn on_refusal(
        &self,
        tx: &Connection,
        request: &MintQuoteRequest,
        error: &MintQuoteError,
    ) -> Result<(), StoreError> {
        self.answers.on_refusal(tx, request, error)
    }

    fn on_keyset(&self, tx: &Connection, keyset: &KeysetAnnouncement) -> Result<(), StoreError> {
        self.answers.on_keyset(tx, keyset)
    }

    fn committed(&self, events: &[QuoteEvent]) {
        self.answers.committed(events);
        let issued = events
            .iter()
            .filter(|event| matches!(event, QuoteEvent::Issued { .. }));
        self.progress.count(issued.count());
    }
}

fn pool_failed(problem: impl Display) -> BenchError {
    BenchError::peer("the pool", problem)
}

fn mint_failed(problem: impl Display) -> BenchError {
    BenchError::peer("the mint", problem)
}
