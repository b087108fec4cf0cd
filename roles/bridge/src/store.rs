//! What the bridge must not lose on the way between a list and the hub, beside the client's outbox in one SQLite file.
//!
//! | table | what | until |
//! |---|---|---|
//! | `bridge_mint` | the mint that the outbox's requests are for | another mint is configured |
//! | `bridge_mint_before` | mints that they were for earlier | |
//! | `bridge_keyset` | what that mint has announced, the active one last | as many newer ones are there |
//! | `bridge_quote_id` | quotes, those whose keys are not in Redis yet among them | they are, and so many came after |
//! | `bridge_told` | up to which quote the keys are in Redis | |
//! | `bridge_refusal` | final refusals that are no dead letters yet | they are |
//! | `bridge_parked` | which parked requests have a dead letter, or will | they are released or given up, or so many are parked since |

use std::collections::{HashMap, HashSet};
use std::fmt;

use rusqlite::{Connection, OptionalExtension, params};
use winze_client::{Schema, StoreError, outbox};
use winze_messages::EXT_MINT_QUOTE;
use winze_transport::PublicKey;

use crate::limits::{KEYSETS_KEPT_MAX, LET_GO_MAX, QUOTE_IDS_KEPT_MAX};

/// The direction's tables.
pub(crate) static REQUESTS_SCHEMA: Schema = Schema {
    name: "bridge",
    migrations: &[
        "
        CREATE TABLE bridge_mint (
            only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
            peer TEXT NOT NULL,
            key BLOB NOT NULL
        ) STRICT;
        CREATE TABLE bridge_keyset (
            sequence INTEGER PRIMARY KEY,
            keyset_id BLOB NOT NULL UNIQUE,
            json TEXT NOT NULL
        ) STRICT;
        CREATE TABLE bridge_quote_id (
            sequence INTEGER PRIMARY KEY,
            header_hash TEXT NOT NULL,
            quote_id TEXT NOT NULL
        ) STRICT;
        CREATE TABLE bridge_told (
            only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
            through INTEGER NOT NULL
        ) STRICT;
        INSERT INTO bridge_told (only_row, through) VALUES (1, 0);
        CREATE TABLE bridge_refusal (
            sequence INTEGER PRIMARY KEY,
            entry TEXT NOT NULL,
            reason TEXT NOT NULL,
            refused_unix_ms INTEGER NOT NULL
        ) STRICT;
        ",
        "
        CREATE TABLE bridge_mint_before (
            peer TEXT NOT NULL,
            key BLOB NOT NULL,
            PRIMARY KEY (peer, key)
        ) STRICT, WITHOUT ROWID;
        ",
        "
        CREATE TABLE bridge_parked (
            sequence INTEGER PRIMARY KEY,
            mint TEXT NOT NULL,
            header_hash BLOB NOT NULL UNIQUE,
            refusal INTEGER,
            is_let_go INTEGER NOT NULL DEFAULT 0 CHECK (is_let_go IN (0, 1))
        ) STRICT;
        CREATE INDEX bridge_parked_untold ON bridge_parked (refusal) WHERE refusal IS NOT NULL;
        CREATE INDEX bridge_parked_let_go ON bridge_parked (is_let_go) WHERE is_let_go = 1;
        ",
    ],
};

/// The configuration names another mint than the one that the store's requests are for. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{waiting} requests in the store wait for {remembered}, and requests.mint is {configured} now: start with the old mint \
     until they are answered, or set another store_file and keep this one"
)]
pub struct OtherMint {
    /// Whom the requests are for, and its key.
    pub remembered: String,
    /// Whom the configuration names, and its key.
    pub configured: String,
    /// How many have no answer.
    pub waiting: u64,
}

/// A keyset that the mint has announced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownKeyset {
    pub(crate) id: Vec<u8>,
    /// As old pools read it.
    pub(crate) json: String,
}

/// Rows that were read, and up to which.
pub(crate) struct Page<T> {
    pub(crate) rows: Vec<T>,
    last: i64,
}

/// A final refusal.
pub(crate) struct Refusal {
    /// The request, in the latest historical shape.
    pub(crate) entry: String,
    pub(crate) reason: String,
    pub(crate) unix_ms: u64,
}

/// Which tables hold what Redis is still to be told.
#[derive(Clone, Copy)]
pub(crate) enum Untold {
    QuoteIds,
    Refusals,
}

/// Makes the store the configured mint's, if it is not already: then what the one before has announced is forgotten, and who
/// that was is kept. To be called before anything is enqueued.
pub(crate) fn belong_to(
    tx: &Connection,
    peer: &str,
    key: &PublicKey,
) -> Result<Result<(), OtherMint>, StoreError> {
    let remembered: Option<(String, [u8; 32])> = tx
        .query_row("SELECT peer, key FROM bridge_mint", [], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    if let Some((old_peer, old_key)) = remembered {
        if old_peer == peer && old_key == *key.as_bytes() {
            return Ok(Ok(()));
        }
        let waiting = outbox::waiting(tx, &old_peer, EXT_MINT_QUOTE)?;
        if waiting > 0 {
            return Ok(Err(OtherMint {
                remembered: Mint(&old_peer, &hex::encode(old_key)).to_string(),
                configured: Mint(peer, &hex::encode(key.as_bytes())).to_string(),
                waiting,
            }));
        }
        tx.execute(
            "INSERT OR IGNORE INTO bridge_mint_before (peer, key) VALUES (?1, ?2)",
            params![old_peer, old_key],
        )?;
    }
    tx.execute("DELETE FROM bridge_keyset", [])?;
    tx.execute(
        "INSERT OR REPLACE INTO bridge_mint (only_row, peer, key) VALUES (1, ?1, ?2)",
        params![peer, key.as_bytes()],
    )?;
    Ok(Ok(()))
}

/// The peer names, other than `peer`, of mints that requests in the outbox were for.
pub(crate) fn mints_before(connection: &Connection, peer: &str) -> Result<Vec<String>, StoreError> {
    let mut statement = connection
        .prepare_cached("SELECT DISTINCT peer FROM bridge_mint_before WHERE peer <> ?1")?;
    let rows = statement.query_map([peer], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Mints that requests in the outbox were for before, as peer name and key.
pub(crate) fn earlier_mints(
    connection: &Connection,
) -> Result<Vec<(String, [u8; 32])>, StoreError> {
    let mut statement = connection.prepare("SELECT peer, key FROM bridge_mint_before")?;
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

struct Mint<'a>(&'a str, &'a str);

impl fmt::Display for Mint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with the x-only key {}", self.0, self.1)
    }
}

/// Takes down which keyset is active now.
pub(crate) fn keyset_announced(tx: &Connection, keyset: &KnownKeyset) -> Result<(), StoreError> {
    tx.prepare_cached("DELETE FROM bridge_keyset WHERE keyset_id = ?1")?
        .execute([&keyset.id])?;
    tx.prepare_cached("INSERT INTO bridge_keyset (keyset_id, json) VALUES (?1, ?2)")?
        .execute(params![keyset.id, keyset.json])?;
    tx.prepare_cached(
        "DELETE FROM bridge_keyset WHERE sequence NOT IN
            (SELECT sequence FROM bridge_keyset ORDER BY sequence DESC LIMIT ?1)",
    )?
    .execute([KEYSETS_KEPT_MAX])?;
    Ok(())
}

/// All that are remembered, the active one last.
pub(crate) fn keysets(connection: &Connection) -> Result<Vec<KnownKeyset>, StoreError> {
    let mut statement =
        connection.prepare("SELECT keyset_id, json FROM bridge_keyset ORDER BY sequence")?;
    let rows = statement.query_map([], |row| {
        Ok(KnownKeyset {
            id: row.get(0)?,
            json: row.get(1)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A quote whose key is to be written.
pub(crate) fn add_quote_id(
    tx: &Connection,
    header_hash: &str,
    quote_id: &str,
) -> Result<(), StoreError> {
    tx.prepare_cached("INSERT INTO bridge_quote_id (header_hash, quote_id) VALUES (?1, ?2)")?
        .execute([header_hash, quote_id])?;
    Ok(())
}

/// Of these header hashes, those whose quotes Redis was told and that are kept: header hash and id. It looks through all that
/// are kept.
pub(crate) fn told_before(
    connection: &Connection,
    hashes: &HashSet<String>,
) -> Result<HashMap<String, String>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT header_hash, quote_id FROM bridge_quote_id
         WHERE sequence <= (SELECT through FROM bridge_told)",
    )?;
    let mut rows = statement.query([])?;
    let mut found = HashMap::new();
    while let Some(row) = rows.next()? {
        let hash = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        if hashes.contains(hash) {
            found.insert(hash.to_owned(), row.get(1)?);
        }
    }
    Ok(found)
}

/// A refusal that is to become a dead letter.
pub(crate) fn add_refusal(tx: &Connection, refusal: &Refusal) -> Result<(), StoreError> {
    tx.prepare_cached(
        "INSERT INTO bridge_refusal (entry, reason, refused_unix_ms) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![refusal.entry, refusal.reason, refusal.unix_ms])?;
    Ok(())
}

/// [`add_refusal`] for a request that this mint's refusal parks.
pub(crate) fn add_parked(
    tx: &Connection,
    mint: &str,
    header_hash: &[u8; 32],
    refusal: &Refusal,
) -> Result<(), StoreError> {
    add_refusal(tx, refusal)?;
    tx.prepare_cached(
        "INSERT OR REPLACE INTO bridge_parked (mint, header_hash, refusal) VALUES (?1, ?2, ?3)",
    )?
    .execute(params![mint, header_hash, tx.last_insert_rowid()])?;
    Ok(())
}

/// A request that was parked is none any more. False where it has no dead letter, and is to get none.
pub(crate) fn forget_parked(tx: &Connection, header_hash: &[u8; 32]) -> Result<bool, StoreError> {
    let forgotten = tx
        .prepare_cached("DELETE FROM bridge_parked WHERE header_hash = ?1")?
        .execute([header_hash])?;
    Ok(forgotten > 0)
}

/// Gives up to `rows_max` parked requests up, the longest refused first, of those whose dead letters Redis has: all that is to
/// know of them stands there. Whether there was one. No more are given up than the requester may be behind with.
pub(crate) fn let_go(tx: &Connection, rows_max: u64) -> Result<bool, StoreError> {
    let under_way: u64 = tx.query_row(
        "SELECT count(*) FROM bridge_parked WHERE is_let_go = 1",
        [],
        |row| row.get(0),
    )?;
    let rows_max = rows_max.min(LET_GO_MAX.saturating_sub(under_way));
    let mut statement = tx.prepare_cached(
        "SELECT sequence, mint, header_hash FROM bridge_parked
         WHERE refusal IS NULL AND is_let_go = 0 ORDER BY sequence LIMIT ?1",
    )?;
    let rows = statement.query_map([rows_max], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    let rows: Vec<(i64, String, Vec<u8>)> = rows.collect::<Result<_, _>>()?;
    for (sequence, mint, hash) in &rows {
        // One that the operator has released is not parked.
        let statement = match outbox::discard(tx, mint, EXT_MINT_QUOTE, hash)? {
            true => "UPDATE bridge_parked SET is_let_go = 1 WHERE sequence = ?1",
            false => "DELETE FROM bridge_parked WHERE sequence = ?1",
        };
        tx.prepare_cached(statement)?.execute([sequence])?;
    }
    Ok(!rows.is_empty())
}

/// The oldest quotes, as header hash and id, that Redis does not have for certain.
pub(crate) fn quote_ids(
    connection: &Connection,
    rows_max: usize,
) -> Result<Page<(String, String)>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence, header_hash, quote_id FROM bridge_quote_id
         WHERE sequence > (SELECT through FROM bridge_told) ORDER BY sequence LIMIT ?1",
    )?;
    let rows = statement.query_map([rows_max], |row| {
        Ok((row.get(0)?, (row.get(1)?, row.get(2)?)))
    })?;
    page(rows)
}

/// The oldest refusals that are no dead letters for certain.
pub(crate) fn refusals(
    connection: &Connection,
    rows_max: usize,
) -> Result<Page<Refusal>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT sequence, entry, reason, refused_unix_ms FROM bridge_refusal
         ORDER BY sequence LIMIT ?1",
    )?;
    let rows = statement.query_map([rows_max], |row| {
        let refusal = Refusal {
            entry: row.get(1)?,
            reason: row.get(2)?,
            unix_ms: row.get(3)?,
        };
        Ok((row.get(0)?, refusal))
    })?;
    page(rows)
}

fn page<T>(
    read: impl Iterator<Item = Result<(i64, T), rusqlite::Error>>,
) -> Result<Page<T>, StoreError> {
    let (mut rows, mut last) = (Vec::new(), 0);
    for row in read {
        let (sequence, row) = row?;
        last = sequence;
        rows.push(row);
    }
    Ok(Page { rows, last })
}

impl<T> Page<T> {
    /// Redis has them: refusals may go, and so may quotes behind which there are [`QUOTE_IDS_KEPT_MAX`]. What is written
    /// meanwhile has higher numbers, as long as these are there.
    pub(crate) fn told(
        &self,
        of: Untold,
    ) -> impl FnOnce(&Connection) -> Result<(), StoreError> + use<T> {
        let last = self.last;
        move |tx| {
            match of {
                Untold::QuoteIds => {
                    tx.prepare_cached("UPDATE bridge_told SET through = ?1")?
                        .execute([last])?;
                    tx.prepare_cached("DELETE FROM bridge_quote_id WHERE sequence <= ?1")?
                        .execute([last - QUOTE_IDS_KEPT_MAX])?;
                }
                Untold::Refusals => {
                    tx.prepare_cached("DELETE FROM bridge_refusal WHERE sequence <= ?1")?
                        .execute([last])?;
                    tx.prepare_cached(
                        "UPDATE bridge_parked SET refusal = NULL WHERE refusal <= ?1",
                    )?
                    .execute([last])?;
                }
            }
            Ok(())
        }
    }
}

/// How many quotes and refusals Redis is still to be told.
pub(crate) fn untold(connection: &Connection) -> Result<i64, StoreError> {
    Ok(connection.query_row(
        "SELECT (SELECT count(*) FROM bridge_quote_id
                 WHERE sequence > (SELECT through FROM bridge_told))
              + (SELECT count(*) FROM bridge_refusal)",
        [],
        |row| row.get(0),
    )?)
}
