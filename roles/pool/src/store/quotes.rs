//! Reading quotes back, for the miner that they are locked to.

use rusqlite::{Connection, OptionalExtension, Row, params};
use winze_client::StoreError;

use crate::identity::LockingKey;

/// A part of what belongs to one locking key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuotePage {
    /// Quotes, by rising sequence.
    pub quotes: Vec<QuoteRow>,
    /// Whether there are more after the last one.
    pub more: bool,
    /// Shares whose quote the mint has not answered yet.
    pub pending: u64,
    /// Shares whose quote was refused for good, the latest first, as many as quotes were asked for.
    pub refused: Vec<RefusalRow>,
    /// Shares that were handed to a mint which tells no ids, the latest first, as many as quotes were asked for.
    pub unknown: Vec<UnknownRow>,
}

/// One quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuoteRow {
    /// Rises from quote to quote, over all keys; what a next page starts after.
    pub sequence: u64,
    /// The mint's id.
    pub quote_id: String,
    /// The share's header hash, as the hash function gives it.
    pub header_hash: [u8; 32],
    /// In `unit`.
    pub amount: u64,
    /// As in the request.
    pub unit: String,
    /// Unix time in seconds; 0 is never.
    pub expires_at_unix_s: u64,
    /// When the pool heard of it, Unix time in milliseconds.
    pub issued_unix_ms: u64,
}

/// One share that will have no quote.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusalRow {
    /// The share's header hash, as the hash function gives it.
    pub header_hash: [u8; 32],
    /// What the share was worth, in `unit`.
    pub amount: u64,
    /// As in the request.
    pub unit: String,
    /// SPECIFICATION.md, section 5.
    pub error_code: u32,
    /// The mint's words.
    pub error_message: String,
}

/// One share whose quote only the mint knows: it is found there by its locking key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownRow {
    /// The share's header hash, as the hash function gives it.
    pub header_hash: [u8; 32],
    /// What the share is worth, in `unit`.
    pub amount: u64,
    /// As in the request.
    pub unit: String,
    /// When the pool heard that the mint has it, Unix time in milliseconds.
    pub handed_over_unix_ms: u64,
}

/// Up to `limit` quotes locked to `locking_key` with sequences above `after`, and what else there is for that key.
/// To be called inside a read of the store.
pub fn quote_page(
    connection: &Connection,
    locking_key: &LockingKey,
    after: u64,
    limit: u32,
) -> Result<QuotePage, StoreError> {
    let key = &locking_key.as_bytes()[..];
    // One more than wanted tells whether there is a next page.
    let mut quotes = connection
        .prepare_cached(
            "SELECT sequence, quote_id, header_hash, amount, unit, expires_at_unix_s, issued_unix_ms
             FROM pool_quote WHERE locking_key = ?1 AND sequence > ?2 ORDER BY sequence LIMIT ?3",
        )?
        .query_map(
            params![key, after.min(i64::MAX as u64), u64::from(limit) + 1],
            quote_row,
        )?
        .collect::<Result<Vec<_>, _>>()?;
    let more = quotes.len() > limit as usize;
    quotes.truncate(limit as usize);
    let pending = waiting_of(connection, locking_key)?;
    let refused = connection
        .prepare_cached(
            "SELECT header_hash, amount, unit, error_code, error_message
             FROM pool_refusal WHERE locking_key = ?1 ORDER BY sequence DESC LIMIT ?2",
        )?
        .query_map(params![key, limit], |row| {
            Ok(RefusalRow {
                header_hash: row.get(0)?,
                amount: row.get(1)?,
                unit: row.get(2)?,
                error_code: row.get(3)?,
                error_message: row.get(4)?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let unknown = connection
        .prepare_cached(
            "SELECT header_hash, amount, unit, handed_over_unix_ms
             FROM pool_unknown WHERE locking_key = ?1 ORDER BY sequence DESC LIMIT ?2",
        )?
        .query_map(params![key, limit], |row| {
            Ok(UnknownRow {
                header_hash: row.get(0)?,
                amount: row.get(1)?,
                unit: row.get(2)?,
                handed_over_unix_ms: row.get(3)?,
            })
        })?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(QuotePage {
        quotes,
        more,
        pending,
        refused,
        unknown,
    })
}

/// How many shares of `locking_key` have no answer of the mint's yet, parked ones included.
pub(super) fn waiting_of(
    connection: &Connection,
    locking_key: &LockingKey,
) -> Result<u64, StoreError> {
    let counted = connection
        .prepare_cached("SELECT shares FROM pool_waiting WHERE locking_key = ?1")?
        .query_row([&locking_key.as_bytes()[..]], |row| row.get(0))
        .optional()?;
    Ok(counted.unwrap_or(0))
}

fn quote_row(row: &Row<'_>) -> rusqlite::Result<QuoteRow> {
    Ok(QuoteRow {
        sequence: row.get(0)?,
        quote_id: row.get(1)?,
        header_hash: row.get(2)?,
        amount: row.get(3)?,
        unit: row.get(4)?,
        expires_at_unix_s: row.get(5)?,
        issued_unix_ms: row.get(6)?,
    })
}
