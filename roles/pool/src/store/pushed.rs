//! What was pushed to a list in Redis, so that a restart does not push all of it again.

use std::sync::Arc;

use rusqlite::{Connection, OptionalExtension, params};
use winze_client::outbox::{self, RequestState, StoredRequest};
use winze_client::{LearnedQuote, QuoteEvent, Store, StoreError, record_elsewhere};
use winze_messages::families::mint_quote::EXT_MINT_QUOTE;

use super::{Answers, QUOTED, UNKNOWN, WAITING};

/// Where it is written down; clones share the store.
#[derive(Clone)]
pub struct Pushes {
    store: Store,
    mint: Arc<str>,
    answers: Arc<Answers>,
    is_of_the_mint: bool,
}

/// A request that waits for its quote.
#[derive(Clone, Debug)]
pub struct WaitingRow {
    /// As it lies in the outbox.
    pub request: StoredRequest,
    /// The last time that it was pushed. `None` also where the operator has brought it back since.
    pub pushed: Option<LastPush>,
}

/// The last time that a request was pushed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastPush {
    /// When, Unix time in milliseconds.
    pub unix_ms: u64,
    /// How often it was pushed so far.
    pub times: u32,
    /// The keyset that was active in Redis then, if one was known.
    pub keyset_id: Option<Vec<u8>>,
}

/// A request that was pushed and whose quote was not found in Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PushedRow {
    /// Its number in the outbox.
    pub sequence: u64,
    /// The share's header hash, as the hash function gives it.
    pub header_hash: [u8; 32],
    /// It has its answer by now, or is gone: nobody has to look for it any more.
    pub is_over: bool,
    /// It was parked because no quote came of it. One that comes later ends that.
    pub is_parked: bool,
}

/// A request of which no quote came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GivenUp {
    /// Its number in the outbox.
    pub sequence: u64,
    /// The share's header hash, as the hash function gives it.
    pub header_hash: [u8; 32],
    /// For the operator.
    pub reason: String,
}

/// What became of looking.
#[derive(Clone, Debug, Default)]
pub struct LookedUp {
    /// Those of which a quote was found, with its id.
    pub found: Vec<(PushedRow, String)>,
    /// Those for which nobody has to look any more.
    pub over: Vec<PushedRow>,
}

impl Pushes {
    /// `store` was opened with [`POOL_SCHEMA`](super::POOL_SCHEMA) and the client's outbox; `mint` is whom its requests are
    /// for. `is_of_the_mint`: it is that mint that serves the list, and not perhaps an older one.
    pub fn new(store: Store, mint: &str, answers: Arc<Answers>, is_of_the_mint: bool) -> Pushes {
        Pushes {
            store,
            mint: mint.into(),
            answers,
            is_of_the_mint,
        }
    }

    fn settling(&self) -> Settling {
        Settling {
            mint: Arc::clone(&self.mint),
            answers: Arc::clone(&self.answers),
            is_of_the_mint: self.is_of_the_mint,
            settled: Settled::default(),
        }
    }

    /// Up to `rows_max` waiting requests with numbers above `after`, the oldest first.
    ///
    /// # Errors
    /// What the store says.
    pub async fn waiting(
        &self,
        after: u64,
        rows_max: usize,
    ) -> Result<Vec<WaitingRow>, StoreError> {
        let mint = Arc::clone(&self.mint);
        self.store
            .read(move |connection| {
                let page =
                    outbox::waiting_page(connection, &mint, EXT_MINT_QUOTE, after, rows_max)?;
                let mut pushed = connection.prepare_cached(
                    "SELECT pushed_unix_ms, pushes, keyset_id FROM pool_pushed
                     WHERE sequence = ?1 AND is_parked = 0",
                )?;
                page.into_iter()
                    .map(|request| {
                        let pushed = pushed
                            .query_row([request.sequence], |row| {
                                Ok(LastPush {
                                    unix_ms: row.get(0)?,
                                    times: row.get(1)?,
                                    keyset_id: row.get(2)?,
                                })
                            })
                            .optional()?;
                        Ok(WaitingRow { request, pushed })
                    })
                    .collect()
            })
            .await
    }

    /// Notes that these were pushed, number and header hash of each, while this keyset was active in Redis.
    ///
    /// # Errors
    /// What the store says.
    pub async fn pushed(
        &self,
        rows: Vec<(u64, [u8; 32])>,
        keyset_id: Option<Vec<u8>>,
        now_unix_ms: u64,
    ) -> Result<(), StoreError> {
        self.store
            .write(move |tx| {
                let mut note = tx.prepare_cached(
                    "INSERT INTO pool_pushed (sequence, header_hash, pushed_unix_ms, keyset_id)
                     VALUES (?1, ?2, ?3, ?4)
                     ON CONFLICT (sequence) DO UPDATE
                     SET header_hash = excluded.header_hash, pushed_unix_ms = excluded.pushed_unix_ms,
                         keyset_id = excluded.keyset_id, is_parked = 0,
                         pushes = CASE is_parked WHEN 1 THEN 1 ELSE pushes + 1 END",
                )?;
                for (sequence, header_hash) in &rows {
                    note.execute(params![sequence, header_hash, now_unix_ms, keyset_id])?;
                }
                Ok(())
            })
            .await
    }

    /// Parks these for the operator. A quote that is found for one of them later is recorded all the same. Gives the numbers
    /// of those that were waiting, and do no more.
    ///
    /// # Errors
    /// What the store says; then nothing has changed.
    pub async fn give_up(
        &self,
        rows: Vec<GivenUp>,
        now_unix_ms: u64,
    ) -> Result<Vec<u64>, StoreError> {
        let mint = Arc::clone(&self.mint);
        self.store
            .write(move |tx| {
                let mut note =
                    tx.prepare_cached("UPDATE pool_pushed SET is_parked = 1 WHERE sequence = ?1")?;
                let mut parked = Vec::with_capacity(rows.len());
                for row in &rows {
                    let (key, reason) = (&row.header_hash, &row.reason);
                    if outbox::park(tx, &mint, EXT_MINT_QUOTE, key, reason, now_unix_ms)? {
                        note.execute([row.sequence])?;
                        parked.push(row.sequence);
                    }
                }
                Ok(parked)
            })
            .await
    }

    /// Up to `rows_max` of those that were pushed with numbers above `after`.
    ///
    /// # Errors
    /// What the store says.
    pub async fn open(&self, after: u64, rows_max: usize) -> Result<Vec<PushedRow>, StoreError> {
        let mint = Arc::clone(&self.mint);
        self.store
            .read(move |connection| open(connection, &mint, after, rows_max))
            .await
    }

    /// Records what was found, each with the effect that the mint's answer has, and forgets what is over. The role is told
    /// here; gives the numbers of those that are settled.
    ///
    /// # Errors
    /// What the store says; then nothing was recorded.
    pub async fn settle(&self, looked: LookedUp, now_unix_ms: u64) -> Result<Vec<u64>, StoreError> {
        let mut settling = self.settling();
        let settled = self.store.write(move |tx| {
            let mut forget = tx.prepare_cached("DELETE FROM pool_pushed WHERE sequence = ?1")?;
            for (row, id) in &looked.found {
                if settling.record(tx, row, Some(id), now_unix_ms) {
                    forget.execute([row.sequence])?;
                }
            }
            for row in &looked.over {
                forget.execute([row.sequence])?;
            }
            settling.checked(tx)
        });
        Ok(self.tell(settled.await?))
    }

    /// Records that these were handed to a mint that tells no ids. The role is told here; gives the numbers of those that
    /// are settled.
    ///
    /// # Errors
    /// What the store says; then nothing was recorded.
    pub async fn handed_over(
        &self,
        rows: Vec<(u64, [u8; 32])>,
        now_unix_ms: u64,
    ) -> Result<Vec<u64>, StoreError> {
        let mut settling = self.settling();
        let settled = self.store.write(move |tx| {
            for (sequence, header_hash) in rows {
                let row = PushedRow {
                    sequence,
                    header_hash,
                    is_over: false,
                    is_parked: false,
                };
                settling.record(tx, &row, None, now_unix_ms);
            }
            settling.checked(tx)
        });
        Ok(self.tell(settled.await?))
    }

    fn tell(&self, settled: Settled) -> Vec<u64> {
        use winze_client::QuoteAnswers as _;
        self.answers.committed(&settled.events);
        settled.sequences
    }
}

#[derive(Default)]
struct Settled {
    events: Vec<QuoteEvent>,
    sequences: Vec<u64>,
}

/// Quotes that are being recorded in a transaction.
struct Settling {
    mint: Arc<str>,
    answers: Arc<Answers>,
    is_of_the_mint: bool,
    settled: Settled,
}

impl Settling {
    /// False where it could not be recorded, and stays as it is.
    fn record(
        &mut self,
        tx: &Connection,
        row: &PushedRow,
        quote_id: Option<&str>,
        now_unix_ms: u64,
    ) -> bool {
        let learned = LearnedQuote {
            sequence: row.sequence,
            header_hash: &row.header_hash,
            quote_id,
            is_of_the_mint: self.is_of_the_mint,
        };
        if row.is_parked
            && let Err(error) = outbox::release(tx, &self.mint, EXT_MINT_QUOTE, &row.header_hash)
        {
            tracing::error!(%error, "a parked request whose quote was found cannot be brought back");
            return false;
        }
        // Where this fails the request waits again, and what was found is found again.
        match record_elsewhere(tx, &self.mint, &learned, &*self.answers, now_unix_ms) {
            Ok(Some(event)) => {
                self.settled.events.push(event);
                self.settled.sequences.push(row.sequence);
                true
            }
            // It was answered meanwhile, or the operator has put it aside.
            Ok(None) => true,
            Err(error) => {
                let sequence = row.sequence;
                tracing::error!(%error, sequence, "a quote found in Redis cannot be recorded");
                false
            }
        }
    }

    /// What was recorded is on its way to the disk, unless a failure has ended the transaction.
    fn checked(self, tx: &Connection) -> Result<Settled, StoreError> {
        match tx.is_autocommit() {
            false => Ok(self.settled),
            true => Err(StoreError::RolledBack {
                cause: "the transaction ended while quotes were recorded".to_owned(),
            }),
        }
    }
}

fn open(
    connection: &Connection,
    mint: &str,
    after: u64,
    rows_max: usize,
) -> Result<Vec<PushedRow>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT p.sequence, p.header_hash, p.is_parked, s.state FROM pool_pushed p
         LEFT JOIN pool_share s ON s.header_hash = p.header_hash
         WHERE p.sequence > ?1 ORDER BY p.sequence LIMIT ?2",
    )?;
    let mut found = statement.query(params![after.min(i64::MAX as u64), rows_max])?;
    let mut rows = Vec::new();
    while let Some(row) = found.next()? {
        let (sequence, header_hash): (u64, [u8; 32]) = (row.get(0)?, row.get(1)?);
        let is_over = match row.get::<_, Option<u8>>(3)? {
            Some(WAITING) => false,
            Some(QUOTED | UNKNOWN) => true,
            // Refused, and perhaps brought back by the operator since.
            _ => {
                let state = outbox::state_of(connection, mint, EXT_MINT_QUOTE, &header_hash)?;
                state != Some(RequestState::Waiting)
            }
        };
        rows.push(PushedRow {
            sequence,
            header_hash,
            is_over,
            is_parked: row.get(2)?,
        });
    }
    Ok(rows)
}
