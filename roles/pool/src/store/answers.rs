//! What the mint says, written down in the transaction that ends the request.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::watch;
use winze_client::{QuoteAnswers, QuoteEvent, StoreError};
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteFailure, MintQuoteNotification, MintQuoteRequest,
    MintQuoteResponse, QuoteState,
};
use winze_runtime::clock::now_unix_ms;
use winze_transport::PublicKey;

use super::{QUOTED, REFUSED, UNKNOWN, WAITING};
use crate::directory::Directory;
use crate::metrics::Metrics;
use crate::mining::QuoteNotice;

/// The pool's side of the mint's answers.
pub struct Answers {
    unit: String,
    mint_key: PublicKey,
    directory: Arc<Directory>,
    metrics: Metrics,
    keyset: watch::Sender<Option<Vec<u8>>>,
}

impl Answers {
    /// `keyset` holds the id of the active keyset of `unit`, and hears of each new one. `mint_key` is the key that all
    /// that comes here was authenticated with.
    pub fn new(
        unit: String,
        mint_key: PublicKey,
        directory: Arc<Directory>,
        metrics: Metrics,
        keyset: watch::Sender<Option<Vec<u8>>>,
    ) -> Answers {
        Answers {
            unit,
            mint_key,
            directory,
            metrics,
            keyset,
        }
    }
}

impl QuoteAnswers for Answers {
    fn on_response(
        &self,
        tx: &Connection,
        request: &MintQuoteRequest,
        response: &MintQuoteResponse,
    ) -> Result<(), StoreError> {
        if response.state == QuoteState::Unknown {
            return handed_over(tx, request);
        }
        tx.prepare_cached(
            "INSERT INTO pool_quote (header_hash, quote_id, locking_key, amount, unit,
                                     expires_at_unix_s, state, issued_unix_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (header_hash) DO NOTHING",
        )?
        .execute(params![
            request.header_hash,
            response.quote_id,
            request.locking_key,
            request.amount,
            request.unit,
            // Past the end of SQLite's numbers is never, in effect.
            response.expires_at_unix_s.min(i64::MAX as u64),
            response.state as u8,
            now_unix_ms()
        ])?;
        // A refused request that the operator has brought back.
        tx.prepare_cached("DELETE FROM pool_refusal WHERE header_hash = ?1")?
            .execute([&request.header_hash[..]])?;
        set_state(tx, &request.header_hash, QUOTED)
    }

    fn on_refusal(
        &self,
        tx: &Connection,
        request: &MintQuoteRequest,
        error: &MintQuoteError,
    ) -> Result<(), StoreError> {
        tx.prepare_cached(
            "INSERT INTO pool_refusal (header_hash, locking_key, amount, unit, error_code,
                                       error_message, refused_unix_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)
             ON CONFLICT (header_hash) DO UPDATE
             SET error_code = excluded.error_code, error_message = excluded.error_message,
                 refused_unix_ms = excluded.refused_unix_ms",
        )?
        .execute(params![
            request.header_hash,
            request.locking_key,
            request.amount,
            request.unit,
            error.error_code,
            error.error_message,
            now_unix_ms()
        ])?;
        set_state(tx, &request.header_hash, REFUSED)
    }

    fn on_withdrawal(
        &self,
        tx: &Connection,
        request: &MintQuoteRequest,
        error: &MintQuoteError,
    ) -> Result<bool, StoreError> {
        let state = tx
            .prepare_cached("SELECT state FROM pool_share WHERE header_hash = ?1")?
            .query_row([&request.header_hash[..]], |row| row.get::<_, u8>(0))
            .optional()?;
        // What the mint has said of a share stands, also when its request is given up.
        let is_news = state == Some(WAITING);
        if is_news {
            self.on_refusal(tx, request, error)?;
        }
        Ok(is_news)
    }

    fn on_keyset(&self, tx: &Connection, keyset: &KeysetAnnouncement) -> Result<(), StoreError> {
        // One row for each unit that we ask for, however many a mint announces.
        if keyset.unit != self.unit {
            return Ok(());
        }
        tx.prepare_cached(
            "INSERT OR REPLACE INTO pool_keyset (unit, mint_key, keyset_id) VALUES (?1, ?2, ?3)",
        )?
        .execute(params![
            keyset.unit,
            self.mint_key.as_bytes(),
            keyset.keyset_id
        ])?;
        Ok(())
    }

    fn committed(&self, events: &[QuoteEvent]) {
        for event in events {
            match event {
                // There is no quote to tell of: the miner finds it at the mint, by its locking key.
                QuoteEvent::Issued { response, .. } if response.state == QuoteState::Unknown => {
                    self.metrics.quotes_unknown.inc();
                }
                QuoteEvent::Issued { request, response } => {
                    self.metrics.quotes_issued.inc();
                    self.tell(
                        request,
                        QuoteNotice::Issued(MintQuoteNotification {
                            header_hash: request.header_hash,
                            quote_id: response.quote_id.clone(),
                            amount: request.amount,
                            unit: request.unit.clone(),
                            expires_at_unix_s: response.expires_at_unix_s,
                        }),
                    );
                }
                QuoteEvent::Refused { request, error } => {
                    self.metrics.quotes_refused.inc();
                    let share = winze_messages::text::header_hash_to_text(&request.header_hash);
                    let (code, message) = (error.error_code, &error.error_message);
                    tracing::warn!(share, code, message, "the mint refuses a quote for good");
                    self.tell_refused(request, error);
                }
                QuoteEvent::Withdrawn { request, error } => {
                    let share = winze_messages::text::header_hash_to_text(&request.header_hash);
                    tracing::warn!(share, "the operator has given a share's quote up");
                    self.tell_refused(request, error);
                }
                QuoteEvent::Keyset(keyset) if keyset.unit == self.unit => {
                    if self.go_by(&keyset.keyset_id, |_| true) {
                        let keyset_id = hex::encode(&keyset.keyset_id);
                        tracing::info!(keyset_id, unit = keyset.unit, "the mint's active keyset");
                    }
                }
                QuoteEvent::Keyset(_) => {}
            }
        }
    }
}

impl Answers {
    /// Writes down a keyset of our unit that was read in Redis, apart from what the mint's key has announced.
    ///
    /// # Errors
    /// What the store says.
    pub fn on_redis_keyset(&self, tx: &Connection, keyset_id: &[u8]) -> Result<(), StoreError> {
        tx.prepare_cached(
            "INSERT OR REPLACE INTO pool_redis_keyset (unit, keyset_id) VALUES (?1, ?2)",
        )?
        .execute(params![self.unit, keyset_id])?;
        Ok(())
    }

    /// Goes by a keyset that was read in Redis; where `has_hub`, only if there is none yet, for the mint's own word may come
    /// over the hub at any moment.
    pub fn go_by_redis(&self, keyset_id: &[u8], has_hub: bool) {
        if self.go_by(keyset_id, |known| !has_hub || known.is_none()) {
            let keyset_id = hex::encode(keyset_id);
            tracing::info!(keyset_id, unit = self.unit, "the active keyset in Redis");
        }
    }

    /// True where that is another than before.
    fn go_by(&self, keyset_id: &[u8], may: impl FnOnce(&Option<Vec<u8>>) -> bool) -> bool {
        self.keyset.send_if_modified(|known| {
            let changes = may(known) && known.as_deref() != Some(keyset_id);
            if changes {
                *known = Some(keyset_id.to_vec());
            }
            changes
        })
    }

    fn tell_refused(&self, request: &MintQuoteRequest, error: &MintQuoteError) {
        let failure = MintQuoteFailure {
            header_hash: request.header_hash,
            error_code: error.error_code,
            error_message: error.error_message.clone(),
        };
        self.tell(request, QuoteNotice::Refused(failure));
    }

    fn tell(&self, request: &MintQuoteRequest, notice: QuoteNotice) {
        let header_hash = request.header_hash;
        if !self
            .directory
            .deliver(&header_hash, &request.locking_key, notice)
        {
            self.metrics.notices_dropped.inc();
        }
    }
}

/// The mint has the request, and nobody will say what it calls the quote.
fn handed_over(tx: &Connection, request: &MintQuoteRequest) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO pool_unknown (header_hash, locking_key, amount, unit, handed_over_unix_ms)
         VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT (header_hash) DO NOTHING",
    )?
    .execute(params![
        request.header_hash,
        request.locking_key,
        request.amount,
        request.unit,
        now_unix_ms()
    ])?;
    tx.prepare_cached("DELETE FROM pool_refusal WHERE header_hash = ?1")?
        .execute([&request.header_hash[..]])?;
    set_state(tx, &request.header_hash, UNKNOWN)
}

fn set_state(tx: &Connection, header_hash: &[u8; 32], state: u8) -> Result<(), StoreError> {
    tx.prepare_cached("UPDATE pool_share SET state = ?2 WHERE header_hash = ?1")?
        .execute(params![&header_hash[..], state])?;
    Ok(())
}
