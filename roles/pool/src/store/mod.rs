//! What the pool must not lose: shares, quotes, found blocks and the mint's keyset, beside the client's outbox in one SQLite file.
//!
//! | table | what |
//! |---|---|
//! | `pool_share` | every share that was ever accepted, by header hash: none counts twice, not even after a restart |
//! | `pool_waiting` | how many of them wait for their quote, by locking key |
//! | `pool_quote` | every quote the mint has issued for one |
//! | `pool_refusal` | every share whose quote the mint has refused for good |
//! | `pool_unknown` | every share that was handed to a mint which tells no ids |
//! | `pool_pushed` | requests that were pushed to a list in Redis and whose quote is not known there yet |
//! | `pool_block` | every found block that the node has not judged yet |
//! | `pool_mint` | the mint that all of this belongs to |
//! | `pool_keyset` | the active keyset of each unit, as that mint's key has last announced it |
//! | `pool_redis_keyset` | the same, as it was last read in Redis, where the hub is not dialled: nobody has vouched for it |

mod answers;
mod blocks;
mod ledger;
mod mint;
mod pushed;
mod quotes;

pub use answers::Answers;
pub use blocks::{Blocks, KeptBlock};
pub use ledger::{Ledger, LedgerSettings};
pub use mint::{MintId, OtherMint};
pub use pushed::{GivenUp, LastPush, LookedUp, PushedRow, Pushes, WaitingRow};
pub use quotes::{QuotePage, QuoteRow, RefusalRow, UnknownRow, quote_page};

use winze_client::Schema;

/// The pool's own tables.
pub static POOL_SCHEMA: Schema = Schema {
    name: "pool",
    migrations: &[
        "
        CREATE TABLE pool_share (
            header_hash BLOB NOT NULL PRIMARY KEY,
            locking_key BLOB NOT NULL,
            worker TEXT,
            amount INTEGER NOT NULL,
            accepted_unix_ms INTEGER NOT NULL,
            state INTEGER NOT NULL CHECK (state IN (0, 1, 2))
        ) STRICT, WITHOUT ROWID;
        CREATE INDEX pool_share_waiting ON pool_share (locking_key) WHERE state = 0;
        CREATE TABLE pool_quote (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            header_hash BLOB NOT NULL UNIQUE,
            quote_id TEXT NOT NULL,
            locking_key BLOB NOT NULL,
            amount INTEGER NOT NULL,
            unit TEXT NOT NULL,
            expires_at_unix_s INTEGER NOT NULL,
            state INTEGER NOT NULL,
            issued_unix_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX pool_quote_key ON pool_quote (locking_key, sequence);
        CREATE TABLE pool_refusal (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            header_hash BLOB NOT NULL UNIQUE,
            locking_key BLOB NOT NULL,
            amount INTEGER NOT NULL,
            unit TEXT NOT NULL,
            error_code INTEGER NOT NULL,
            error_message TEXT NOT NULL,
            refused_unix_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX pool_refusal_key ON pool_refusal (locking_key, sequence);
        CREATE TABLE pool_keyset (
            unit TEXT NOT NULL PRIMARY KEY,
            keyset_id BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
    ",
        "
        -- Nobody knows any more whose keysets these were; they are announced again.
        DROP TABLE pool_keyset;
        CREATE TABLE pool_keyset (
            unit TEXT NOT NULL PRIMARY KEY,
            mint_key BLOB NOT NULL,
            keyset_id BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
        CREATE TABLE pool_mint (
            only_row INTEGER PRIMARY KEY CHECK (only_row = 1),
            peer TEXT NOT NULL,
            key BLOB NOT NULL
        ) STRICT;
    ",
        "
        CREATE TABLE pool_block (
            id INTEGER PRIMARY KEY,
            hash BLOB NOT NULL UNIQUE,
            height INTEGER NOT NULL,
            bytes BLOB NOT NULL,
            found_unix_ms INTEGER NOT NULL
        ) STRICT;
    ",
        "
        -- Kept by the store itself: whoever changes a share's state changes the count with it.
        CREATE TABLE pool_waiting (
            locking_key BLOB NOT NULL PRIMARY KEY,
            shares INTEGER NOT NULL
        ) STRICT, WITHOUT ROWID;
        INSERT INTO pool_waiting (locking_key, shares)
            SELECT locking_key, count(*) FROM pool_share WHERE state = 0 GROUP BY locking_key;
        DROP INDEX pool_share_waiting;
        CREATE TRIGGER pool_share_waits AFTER INSERT ON pool_share WHEN new.state = 0 BEGIN
            INSERT INTO pool_waiting (locking_key, shares) VALUES (new.locking_key, 1)
                ON CONFLICT (locking_key) DO UPDATE SET shares = shares + 1;
        END;
        CREATE TRIGGER pool_share_waits_again AFTER UPDATE OF state ON pool_share
            WHEN old.state <> 0 AND new.state = 0 BEGIN
            INSERT INTO pool_waiting (locking_key, shares) VALUES (new.locking_key, 1)
                ON CONFLICT (locking_key) DO UPDATE SET shares = shares + 1;
        END;
        CREATE TRIGGER pool_share_answered AFTER UPDATE OF state ON pool_share
            WHEN old.state = 0 AND new.state <> 0 BEGIN
            UPDATE pool_waiting SET shares = shares - 1 WHERE locking_key = old.locking_key;
            DELETE FROM pool_waiting WHERE locking_key = old.locking_key AND shares <= 0;
        END;
    ",
        "
        -- One state more. The triggers go with the old table.
        CREATE TABLE pool_share_anew (
            header_hash BLOB NOT NULL PRIMARY KEY,
            locking_key BLOB NOT NULL,
            worker TEXT,
            amount INTEGER NOT NULL,
            accepted_unix_ms INTEGER NOT NULL,
            state INTEGER NOT NULL CHECK (state IN (0, 1, 2, 3))
        ) STRICT, WITHOUT ROWID;
        INSERT INTO pool_share_anew
            (header_hash, locking_key, worker, amount, accepted_unix_ms, state)
            SELECT header_hash, locking_key, worker, amount, accepted_unix_ms, state
            FROM pool_share;
        DROP TABLE pool_share;
        ALTER TABLE pool_share_anew RENAME TO pool_share;
        CREATE TRIGGER pool_share_waits AFTER INSERT ON pool_share WHEN new.state = 0 BEGIN
            INSERT INTO pool_waiting (locking_key, shares) VALUES (new.locking_key, 1)
                ON CONFLICT (locking_key) DO UPDATE SET shares = shares + 1;
        END;
        CREATE TRIGGER pool_share_waits_again AFTER UPDATE OF state ON pool_share
            WHEN old.state <> 0 AND new.state = 0 BEGIN
            INSERT INTO pool_waiting (locking_key, shares) VALUES (new.locking_key, 1)
                ON CONFLICT (locking_key) DO UPDATE SET shares = shares + 1;
        END;
        CREATE TRIGGER pool_share_answered AFTER UPDATE OF state ON pool_share
            WHEN old.state = 0 AND new.state <> 0 BEGIN
            UPDATE pool_waiting SET shares = shares - 1 WHERE locking_key = old.locking_key;
            DELETE FROM pool_waiting WHERE locking_key = old.locking_key AND shares <= 0;
        END;
        CREATE TABLE pool_unknown (
            sequence INTEGER PRIMARY KEY AUTOINCREMENT,
            header_hash BLOB NOT NULL UNIQUE,
            locking_key BLOB NOT NULL,
            amount INTEGER NOT NULL,
            unit TEXT NOT NULL,
            handed_over_unix_ms INTEGER NOT NULL
        ) STRICT;
        CREATE INDEX pool_unknown_key ON pool_unknown (locking_key, sequence);
        CREATE TABLE pool_pushed (
            sequence INTEGER PRIMARY KEY,
            header_hash BLOB NOT NULL,
            pushed_unix_ms INTEGER NOT NULL
        ) STRICT;
    ",
        "
        -- Some of these were read in Redis, and nobody knows which. The mint announces its own again.
        DELETE FROM pool_keyset;
        CREATE TABLE pool_redis_keyset (
            unit TEXT NOT NULL PRIMARY KEY,
            keyset_id BLOB NOT NULL
        ) STRICT, WITHOUT ROWID;
    ",
        "
        ALTER TABLE pool_pushed ADD COLUMN pushes INTEGER NOT NULL DEFAULT 1;
        -- Which was active in Redis when it was last pushed.
        ALTER TABLE pool_pushed ADD COLUMN keyset_id BLOB;
        -- It was parked because no quote came of that.
        ALTER TABLE pool_pushed ADD COLUMN is_parked INTEGER NOT NULL DEFAULT 0;
    ",
    ],
};

/// `pool_share.state`: its quote request waits in the outbox.
const WAITING: u8 = 0;
/// `pool_share.state`: its quote is in `pool_quote`.
const QUOTED: u8 = 1;
/// `pool_share.state`: its quote was refused for good, see `pool_refusal`.
const REFUSED: u8 = 2;
/// `pool_share.state`: its request was handed to a mint that tells no ids, see `pool_unknown`. That is no quote of the
/// pool's knowledge, and no refusal.
const UNKNOWN: u8 = 3;

#[cfg(test)]
mod tests;
