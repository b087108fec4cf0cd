//! What was asked of the old mint, on disk until the pool's answer is on record.

use rusqlite::{Connection, OptionalExtension, Row, named_params, params};
use sha2::{Digest, Sha256};
use winze_client::answers::{self, Asked, Found};
use winze_client::{Schema, StoreError};
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::mint_quote::MintQuoteRequest;

use super::open::HeaderHash;

/// The requests that were handed to the old mint, each until its answer is on record; and where they were pushed.
pub(crate) static PUSHED_SCHEMA: Schema = Schema {
    name: "bridge_pushed",
    migrations: &[
        "
        CREATE TABLE bridge_pushed (
            id INTEGER PRIMARY KEY,
            header_hash BLOB NOT NULL UNIQUE,
            pool TEXT NOT NULL,
            amount INTEGER NOT NULL,
            unit TEXT NOT NULL,
            locking_key BLOB NOT NULL,
            json TEXT NOT NULL,
            checksum BLOB NOT NULL,
            -- Null while it is not known to have been pushed.
            pushed_unix_ms INTEGER,
            -- Null while it is not known.
            quote_id TEXT,
            quote_id_checksum BLOB
        ) STRICT;
        ",
        "
        CREATE TABLE bridge_pushed_to (
            only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
            place TEXT NOT NULL,
            -- The mint's, when it was first seen with nothing open; null until then.
            keyset_id BLOB
        ) STRICT;
        ",
    ],
};

/// A request that may be new.
#[derive(Clone)]
pub(super) struct NewRow {
    pub(super) request: MintQuoteRequest,
    /// What is to be pushed. `None` where it must not be: then it is only looked for.
    pub(super) json: Option<String>,
}

/// What is on disk about a request now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// The old mint has told this id.
    Id(String),
    /// It has told none yet.
    Open {
        /// It was written down just now.
        is_new: bool,
    },
    /// The header hash stands for another amount, unit or locking key.
    Conflict,
    /// Nothing is, and nothing was written.
    Nothing,
}

/// A row without an id, as it was left.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct LeftOpen {
    pub(super) hash: HeaderHash,
    pub(super) pool: String,
}

/// Writes down those of `rows` that are new, up to `room`, and tells what is known of each, in their order.
pub(super) fn take(
    connection: &Connection,
    pool: &str,
    rows: &[NewRow],
    mut room: usize,
) -> Result<Vec<Known>, StoreError> {
    let mut known = Vec::with_capacity(rows.len());
    for row in rows {
        let found = find(connection, &row.request)?;
        if found != Known::Nothing {
            known.push(found);
            continue;
        }
        known.push(match &row.json {
            Some(json) if room > 0 => {
                room -= 1;
                insert(connection, pool, &row.request, json)?;
                Known::Open { is_new: true }
            }
            _ => Known::Nothing,
        });
    }
    Ok(known)
}

/// What is known of a request. A damaged row counts as none: whoever asks brings it again.
pub(super) fn find(
    connection: &Connection,
    request: &MintQuoteRequest,
) -> Result<Known, StoreError> {
    let row = connection
        .prepare_cached(
            "SELECT header_hash, amount, unit, locking_key, json, checksum, quote_id, quote_id_checksum
             FROM bridge_pushed WHERE header_hash = ?1",
        )?
        .query_row([&request.header_hash], Stored::read)
        .optional()?;
    let Some(row) = row.filter(Stored::is_whole) else {
        return Ok(Known::Nothing);
    };
    let is_same = row.amount == request.amount
        && row.unit == request.unit
        && row.locking_key == request.locking_key;
    Ok(match (is_same, row.whole_quote_id()) {
        (false, _) => Known::Conflict,
        (true, Some(id)) => Known::Id(id),
        (true, None) => Known::Open { is_new: false },
    })
}

fn insert(
    connection: &Connection,
    pool: &str,
    request: &MintQuoteRequest,
    json: &str,
) -> Result<(), StoreError> {
    let checksum = checksum(
        &request.header_hash,
        request.amount,
        &request.unit,
        &request.locking_key,
        json,
    );
    connection
        .prepare_cached(
            "INSERT OR REPLACE INTO bridge_pushed (header_hash, pool, amount, unit, locking_key, json, checksum)
             VALUES (:header_hash, :pool, :amount, :unit, :locking_key, :json, :checksum)",
        )?
        .execute(named_params! {
            ":header_hash": request.header_hash,
            ":pool": pool,
            ":amount": request.amount,
            ":unit": request.unit,
            ":locking_key": request.locking_key,
            ":json": json,
            ":checksum": checksum,
        })?;
    Ok(())
}

/// What is to be pushed for these, in their order; `None` where the row is gone or damaged.
pub(super) fn entries(
    connection: &Connection,
    hashes: &[HeaderHash],
) -> Result<Vec<Option<String>>, StoreError> {
    let mut select = connection.prepare_cached(
        "SELECT header_hash, amount, unit, locking_key, json, checksum, quote_id, quote_id_checksum
         FROM bridge_pushed WHERE header_hash = ?1",
    )?;
    let entry = |hash: &HeaderHash| {
        let row = select.query_row([hash], Stored::read).optional()?;
        Ok(row.filter(Stored::is_whole).map(|row| row.json))
    };
    hashes.iter().map(entry).collect()
}

/// These were pushed.
pub(super) fn note_pushed(
    connection: &Connection,
    hashes: &[HeaderHash],
    now_unix_ms: u64,
) -> Result<(), StoreError> {
    let mut update = connection
        .prepare_cached("UPDATE bridge_pushed SET pushed_unix_ms = ?2 WHERE header_hash = ?1")?;
    for hash in hashes {
        update.execute(params![hash, now_unix_ms])?;
    }
    Ok(())
}

/// The old mint has told these ids.
pub(super) fn note_quote_ids(
    connection: &Connection,
    ids: &[(HeaderHash, String)],
) -> Result<(), StoreError> {
    let mut update = connection.prepare_cached(
        "UPDATE bridge_pushed SET quote_id = ?2, quote_id_checksum = ?3 WHERE header_hash = ?1",
    )?;
    for (hash, id) in ids {
        update.execute(params![hash, id, quote_id_checksum(hash, id)])?;
    }
    Ok(())
}

/// Forgets those of `hashes` whose answer is on record: from then on the record answers. Those that are not there yet. Runs
/// on the connection that writes.
pub(super) fn forget_recorded(
    connection: &Connection,
    hashes: &[HeaderHash],
) -> Result<Vec<HeaderHash>, StoreError> {
    let mut left = Vec::new();
    for hash in hashes {
        match is_recorded(connection, hash)? {
            false => left.push(*hash),
            true => {
                connection
                    .prepare_cached("DELETE FROM bridge_pushed WHERE header_hash = ?1")?
                    .execute([hash])?;
            }
        }
    }
    Ok(left)
}

/// Forgets what is on record among the first `rows_max` rows after `after`, and adds those without an id to `open`, in the
/// order in which they came. The last row looked at; `None` behind the last one.
pub(super) fn sweep(
    connection: &Connection,
    after: i64,
    rows_max: usize,
    open: &mut Vec<LeftOpen>,
) -> Result<Option<i64>, StoreError> {
    let rows: Vec<(i64, HeaderHash, String, bool)> = connection
        .prepare_cached(
            "SELECT id, header_hash, pool, quote_id IS NOT NULL FROM bridge_pushed
             WHERE id > ?1 ORDER BY id LIMIT ?2",
        )?
        .query_map(params![after, rows_max], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    let last = rows.last().map(|(id, ..)| *id);
    for (id, hash, pool, has_id) in rows {
        if is_recorded(connection, &hash)? {
            connection.execute("DELETE FROM bridge_pushed WHERE id = ?1", [id])?;
        } else if !has_id {
            open.push(LeftOpen { hash, pool });
        }
    }
    Ok(last)
}

/// Whoever was told: an effect binds everybody.
fn is_recorded(connection: &Connection, hash: &HeaderHash) -> Result<bool, StoreError> {
    let asked = Asked {
        peer: "",
        extension: EXT_MINT_QUOTE,
        key: hash,
        content: &[0; 32],
    };
    Ok(answers::find(connection, &asked)? != Found::Nothing)
}

struct Stored {
    hash: HeaderHash,
    amount: u64,
    unit: String,
    locking_key: [u8; 33],
    json: String,
    checksum: [u8; 16],
    quote_id: Option<String>,
    quote_id_checksum: Option<[u8; 16]>,
}

impl Stored {
    fn read(row: &Row<'_>) -> Result<Stored, rusqlite::Error> {
        Ok(Stored {
            hash: row.get(0)?,
            amount: row.get(1)?,
            unit: row.get(2)?,
            locking_key: row.get(3)?,
            json: row.get(4)?,
            checksum: row.get(5)?,
            quote_id: row.get(6)?,
            quote_id_checksum: row.get(7)?,
        })
    }

    fn is_whole(&self) -> bool {
        let checksum = checksum(
            &self.hash,
            self.amount,
            &self.unit,
            &self.locking_key,
            &self.json,
        );
        if checksum != self.checksum {
            tracing::error!(header_hash = hex::encode(self.hash), "a damaged row");
        }
        checksum == self.checksum
    }

    /// One that is damaged is looked for again.
    fn whole_quote_id(self) -> Option<String> {
        let checksum = self.quote_id_checksum;
        self.quote_id
            .filter(|id| Some(quote_id_checksum(&self.hash, id)) == checksum)
    }
}

fn checksum(
    hash: &HeaderHash,
    amount: u64,
    unit: &str,
    locking_key: &[u8; 33],
    json: &str,
) -> [u8; 16] {
    digest(&[
        hash,
        &amount.to_le_bytes(),
        unit.as_bytes(),
        locking_key,
        json.as_bytes(),
    ])
}

fn quote_id_checksum(hash: &HeaderHash, id: &str) -> [u8; 16] {
    digest(&[hash, id.as_bytes()])
}

/// A bit that flips on the disk does not become another amount.
fn digest(fields: &[&[u8]]) -> [u8; 16] {
    let mut digest = Sha256::new().chain_update(b"winze/bridge_pushed/v1");
    for field in fields {
        digest.update((field.len() as u64).to_le_bytes());
        digest.update(field);
    }
    let mut checksum = [0; 16];
    checksum.copy_from_slice(&digest.finalize()[..16]);
    checksum
}

#[cfg(test)]
mod tests;
