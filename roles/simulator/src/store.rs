//! A party's disk: one SQLite database in memory, used as the real store uses its file. What was
//! committed survives a crash of its party, nothing else does.

use rusqlite::Connection;
use winze_client::store::StoreError;

/// A database, and the trouble that its disk has at present.
pub struct Disk {
    db: Connection,
    /// Nothing can be committed before.
    pub full_until_ms: u64,
    /// Everything takes longer before.
    pub slow_until_ms: u64,
}

impl Disk {
    /// An empty database with these tables.
    pub fn new(tables: &[&str]) -> Disk {
        let db = Connection::open_in_memory().expect("memory is there");
        for sql in tables {
            db.execute_batch(sql).expect("the tables are SQL");
        }
        Disk {
            db,
            full_until_ms: 0,
            slow_until_ms: 0,
        }
    }

    /// A transaction. On a full disk it does its work and is rolled back at the commit.
    pub fn write<T>(
        &self,
        now_ms: u64,
        f: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.db.execute_batch("BEGIN IMMEDIATE")?;
        let outcome = f(&self.db);
        let outcome = match now_ms < self.full_until_ms {
            true => outcome.and(Err(StoreError::Aborted {
                reason: "the disk is full".to_owned(),
            })),
            false => outcome,
        };
        self.db.execute_batch(match outcome {
            Ok(_) => "COMMIT",
            Err(_) => "ROLLBACK",
        })?;
        outcome
    }

    /// A transaction that is never committed.
    pub fn rehearse<T>(
        &self,
        f: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.db.execute_batch("BEGIN IMMEDIATE")?;
        let outcome = f(&self.db);
        self.db.execute_batch("ROLLBACK")?;
        outcome
    }

    /// What is committed.
    pub fn read<T>(
        &self,
        f: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        f(&self.db)
    }
}
