//! Writing shares down: the share and the request for its quote, in one transaction.

use rusqlite::{Connection, OptionalExtension, params};
use winze_client::outbox::{self, Enqueued};
use winze_client::{NewRequest, Store, StoreError};
use winze_messages::families::mint_quote::{EXT_MINT_QUOTE, MintQuoteRequest};

use super::quotes::waiting_of;
use super::{MintId, WAITING};
use crate::mining::{AcceptedShare, Recorded};

/// Where shares are written down; clones share the store.
#[derive(Clone)]
pub struct Ledger {
    pub(super) store: Store,
    pub(super) settings: LedgerSettings,
}

/// What every quote request has in common.
#[derive(Clone, Debug)]
pub struct LedgerSettings {
    /// The mint that is asked.
    pub mint: MintId,
    /// The unit of the quotes.
    pub unit: String,
    /// Requests that may wait for the mint.
    pub waiting_max: u64,
    /// Of these, shares of one locking key.
    pub waiting_per_miner_max: u64,
}

impl Ledger {
    /// `store` was opened with [`POOL_SCHEMA`](super::POOL_SCHEMA) and the client's outbox.
    pub fn new(store: Store, settings: LedgerSettings) -> Ledger {
        Ledger { store, settings }
    }

    /// Writes a share down with the request for its quote, and comes back when both are on disk. Many calls at a
    /// time share a commit.
    pub async fn record(
        &self,
        share: &AcceptedShare,
        keyset_id: Vec<u8>,
        now_unix_ms: u64,
    ) -> Recorded {
        let settings = self.settings.clone();
        let share = share.clone();
        let header_hash = share.header_hash;
        let write = self
            .store
            .write_repeatable(move |tx| record(tx, &settings, &share, &keyset_id, now_unix_ms));
        write.await.unwrap_or_else(|error| {
            let share = winze_messages::text::header_hash_to_text(&header_hash);
            tracing::error!(%error, share, "a share could not be written down and is refused");
            Recorded::Failed
        })
    }

    /// Why nothing can be written down at present, where that is so.
    pub fn trouble(&self) -> Option<String> {
        self.store.trouble()
    }

    /// What was found wrong with the store at the start, where that is so.
    pub fn damage(&self) -> Option<String> {
        self.store.damage().map(str::to_owned)
    }

    /// The keyset of our unit that our mint's key has announced last, if it ever has.
    pub async fn keyset(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let (unit, key) = (self.settings.unit.clone(), self.settings.mint.key);
        self.store
            .read(move |connection| {
                Ok(connection
                    .prepare_cached(
                        "SELECT keyset_id FROM pool_keyset WHERE unit = ?1 AND mint_key = ?2",
                    )?
                    .query_row(params![unit, key.as_bytes()], |row| row.get(0))
                    .optional()?)
            })
            .await
    }

    /// The keyset of our unit that was last read in Redis while the hub was not dialled, if one ever was.
    pub async fn keyset_in_redis(&self) -> Result<Option<Vec<u8>>, StoreError> {
        let unit = self.settings.unit.clone();
        self.store
            .read(move |connection| {
                Ok(connection
                    .prepare_cached("SELECT keyset_id FROM pool_redis_keyset WHERE unit = ?1")?
                    .query_row([unit], |row| row.get(0))
                    .optional()?)
            })
            .await
    }
}

fn record(
    tx: &Connection,
    settings: &LedgerSettings,
    share: &AcceptedShare,
    keyset_id: &[u8],
    now_unix_ms: u64,
) -> Result<Recorded, StoreError> {
    if outbox::waiting(tx, &settings.mint.peer, EXT_MINT_QUOTE)? >= settings.waiting_max {
        return Ok(Recorded::BacklogFull);
    }
    let locking_key = share.miner.locking_key;
    if waiting_of(tx, &locking_key)? >= settings.waiting_per_miner_max {
        return Ok(Recorded::MinerBacklogFull);
    }
    let inserted = tx
        .prepare_cached(
            "INSERT INTO pool_share
             (header_hash, locking_key, worker, amount, accepted_unix_ms, state)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT DO NOTHING",
        )?
        .execute(params![
            share.header_hash,
            locking_key.as_bytes(),
            share.miner.worker,
            share.amount,
            now_unix_ms,
            WAITING
        ])?;
    if inserted == 0 {
        return Ok(Recorded::Duplicate);
    }
    let request = MintQuoteRequest {
        amount: share.amount,
        unit: settings.unit.clone(),
        header_hash: share.header_hash,
        description: None,
        locking_key: *locking_key.as_bytes(),
        keyset_id: keyset_id.to_vec(),
    };
    let mut body = Vec::new();
    let aborted = |reason: String| StoreError::Aborted { reason };
    request
        .encode_body(&mut body)
        .map_err(|error| aborted(error.to_string()))?;
    let request = NewRequest {
        peer: &settings.mint.peer,
        extension: EXT_MINT_QUOTE,
        key: &share.header_hash,
        msg_type: MintQuoteRequest::MSG_TYPE,
        body: &body,
    };
    match outbox::enqueue(tx, &request, now_unix_ms)? {
        Enqueued::New => Ok(Recorded::Stored),
        Enqueued::AlreadyThere => Err(aborted(
            "the outbox has a request for a share that the pool does not have".to_owned(),
        )),
    }
}
