//! The legacy flow: the pool pushes one JSON object for each share onto a Redis list (`RPUSH`), the mint pops one after
//! the other (`BRPOP`) and makes its quote, one to a transaction of cdk's store. The store is opened as our mint opens
//! it (write-ahead log, `synchronous = FULL`).
//!
//! A share counts once its quote is in the store: the later legacy mints told the pool nothing. So what the legacy flow
//! leaves out (the answer's way back and its record) is not held against it.

use std::fmt::Display;
use std::path::Path;
use std::sync::Arc;

use cdk::Amount;
use cdk::cdk_database::{Error as StoreError, MintDatabase};
use cdk::cdk_payment::PaymentIdentifier;
use cdk::mint::MintQuote;
use cdk::nuts::{CurrencyUnit, PaymentMethod, PublicKey, SecretKey as MinerKey};
use cdk::util::unix_time;
use cdk_sqlite::MintSqliteDatabase;
use rand::RngCore;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use winze_messages::text::header_hash_to_text;

use super::{AMOUNT, MINERS, UNIT};
use crate::durable::Progress;
use crate::error::BenchError;

/// The list of the legacy pool, by its exact key.
pub const QUEUE: &str = "mint:quotes:create";

type Quotes = Arc<dyn MintDatabase<StoreError> + Send + Sync>;

/// What the legacy pool pushes for a share.
#[derive(Serialize, Deserialize)]
pub struct Share {
    unit: String,
    amount: u64,
    /// As text.
    pub header_hash: String,
    description: Option<String>,
    pubkey: String,
    keyset_id: String,
}

impl Share {
    /// One that nobody has mined, for the miner with this key.
    pub fn new(pubkey: &str) -> Share {
        let mut header_hash = [0; 32];
        rand::thread_rng().fill_bytes(&mut header_hash);
        Share {
            unit: UNIT.to_uppercase(),
            amount: AMOUNT,
            header_hash: header_hash_to_text(&header_hash),
            description: None,
            pubkey: pubkey.to_owned(),
            keyset_id: "0000000000000000".to_owned(),
        }
    }

    /// As the pool pushes it.
    pub fn to_json(&self) -> Result<Vec<u8>, BenchError> {
        serde_json::to_vec(self).map_err(pool_failed)
    }
}

/// Pool and mint at work, the mint on a store in `folder`. Ends by being dropped, or with an error.
pub async fn keep_going(
    client: &Client,
    folder: &Path,
    progress: &Arc<Progress>,
) -> Result<(), BenchError> {
    let mut tasks = JoinSet::new();
    tasks.spawn(mint(client, folder, progress).await?);
    let pool = connect(client).await?;
    for _ in 0..MINERS {
        tasks.spawn(push_shares(pool.clone(), Arc::clone(progress)));
    }
    match tasks.join_next().await {
        None => Ok(()),
        Some(ended) => ended.map_err(pool_failed)?,
    }
}

/// The mint alone, on a store in `folder`. Ends by being dropped, or with an error.
pub async fn keep_taking(
    client: &Client,
    folder: &Path,
    progress: &Arc<Progress>,
) -> Result<(), BenchError> {
    // A task of its own, as beside a pool: cdk runs SQL on the thread that polls it.
    let mut task = JoinSet::new();
    task.spawn(mint(client, folder, progress).await?);
    match task.join_next().await {
        None => Ok(()),
        Some(ended) => ended.map_err(mint_failed)?,
    }
}

async fn mint(
    client: &Client,
    folder: &Path,
    progress: &Arc<Progress>,
) -> Result<impl Future<Output = Result<(), BenchError>> + Send + use<>, BenchError> {
    let store = MintSqliteDatabase::new(&folder.join("legacy.sqlite"))
        .await
        .map_err(mint_failed)?;
    let redis = connect(client).await?;
    Ok(make_quotes(redis, Arc::new(store), Arc::clone(progress)))
}

/// A connection that waits for as long as its commands do.
pub async fn connect(client: &Client) -> Result<MultiplexedConnection, BenchError> {
    // What blocks until there is something may block for long.
    let config = AsyncConnectionConfig::new().set_response_timeout(None);
    let connection = client.get_multiplexed_async_connection_with_config(&config);
    connection.await.map_err(pool_failed)
}

async fn push_shares(
    mut redis: MultiplexedConnection,
    progress: Arc<Progress>,
) -> Result<(), BenchError> {
    let room = progress.room();
    let pubkey = MinerKey::generate().public_key().to_hex();
    loop {
        room.acquire().await.map_err(pool_failed)?.forget();
        let mut push = redis::cmd("RPUSH");
        push.arg(QUEUE).arg(Share::new(&pubkey).to_json()?);
        let pushed: Result<u64, _> = push.query_async(&mut redis).await;
        pushed.map_err(pool_failed)?;
    }
}

async fn make_quotes(
    mut redis: MultiplexedConnection,
    store: Quotes,
    progress: Arc<Progress>,
) -> Result<(), BenchError> {
    let mut pop = redis::cmd("BRPOP");
    pop.arg(QUEUE).arg(0);
    loop {
        let popped: (String, Vec<u8>) = pop.query_async(&mut redis).await.map_err(mint_failed)?;
        let share: Share = serde_json::from_slice(&popped.1).map_err(mint_failed)?;
        let quote = quote(share)?;
        let mut transaction = store.begin_transaction().await.map_err(mint_failed)?;
        let mut stored = transaction
            .add_mint_quote(quote)
            .await
            .map_err(mint_failed)?;
        transaction
            .update_mint_quote(&mut stored)
            .await
            .map_err(mint_failed)?;
        transaction.commit().await.map_err(mint_failed)?;
        progress.count(1);
    }
}

/// A paid quote, as our mint makes it.
fn quote(share: Share) -> Result<MintQuote, BenchError> {
    let unit = CurrencyUnit::custom(share.unit.to_lowercase());
    let amount = Amount::new(share.amount, unit.clone());
    let nothing = Amount::new(0, unit.clone());
    let now = unix_time();
    let mut quote = MintQuote::new(
        None,
        share.header_hash.clone(),
        unit,
        Some(amount.clone()),
        0,
        PaymentIdentifier::CustomId(share.header_hash.clone()),
        Some(PublicKey::from_hex(&share.pubkey).map_err(mint_failed)?),
        nothing.clone(),
        nothing,
        PaymentMethod::Custom("mining_share".to_owned()),
        now,
        now,
        Vec::new(),
        Vec::new(),
        None,
    );
    quote
        .add_payment(amount, share.header_hash, Some(now))
        .map_err(mint_failed)?;
    Ok(quote)
}

fn pool_failed(problem: impl Display) -> BenchError {
    BenchError::peer("the legacy pool", problem)
}

fn mint_failed(problem: impl Display) -> BenchError {
    BenchError::peer("the legacy mint", problem)
}
