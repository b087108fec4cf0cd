//! A party's disk: one SQLite database in memory, used as the real store uses its file. What was
//! committed survives a crash of its party, nothing else does.

use std::collections::VecDeque;

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use winze_client::store::{self, Schema, StoreError};

/// New keys that a party keeps in memory: so few that they come to the disk in nearly every run.
const NEW_KEYS_MAX: usize = 8;

/// Backups of one disk that are kept.
const BACKUPS_MAX: usize = 8;

/// A database, and the trouble that its disk has at present.
pub struct Disk {
    db: Connection,
    schemas: Vec<Schema>,
    /// Nothing can be committed before.
    pub full_until_ms: u64,
    /// Everything takes longer before.
    pub slow_until_ms: u64,
    /// The oldest first.
    backups: VecDeque<Backup>,
}

/// All that was committed at the beginning of a step.
struct Backup {
    step: u64,
    tables: Vec<(String, Vec<Vec<Value>>)>,
}

impl Disk {
    /// An empty database with these tables, beside those of `schemas`.
    pub fn new(schemas: &[Schema], tables: &[&str]) -> Disk {
        let db = Connection::open_in_memory().expect("memory is there");
        let migrations = schemas.iter().flat_map(|schema| schema.migrations);
        for sql in migrations.chain(tables) {
            db.execute_batch(sql).expect("the tables are SQL");
        }
        store::begin(&db, schemas, 0).expect("it is empty");
        store::keep_new_keys(&db, schemas, NEW_KEYS_MAX).expect("it has begun");
        Disk {
            db,
            schemas: schemas.to_vec(),
            full_until_ms: 0,
            slow_until_ms: 0,
            backups: VecDeque::new(),
        }
    }

    /// Another process opens it: what the one before kept in memory is gone.
    pub fn begin(&self, now_unix_ms: u64) -> Result<(), StoreError> {
        store::begin(&self.db, &self.schemas, now_unix_ms)?;
        store::keep_new_keys(&self.db, &self.schemas, NEW_KEYS_MAX)
    }

    /// Keeps a copy. Nothing was committed in this step yet.
    pub fn back_up(&mut self, step: u64) -> Result<(), StoreError> {
        let names: Vec<String> = self
            .db
            .prepare_cached("SELECT name FROM sqlite_schema WHERE type = 'table'")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let mut tables = Vec::new();
        for name in names {
            let mut all = self.db.prepare_cached(&format!("SELECT * FROM {name}"))?;
            let columns = all.column_count();
            let rows = all
                .query_map([], |row| {
                    (0..columns).map(|column| row.get(column)).collect()
                })?
                .collect::<Result<_, _>>()?;
            drop(all);
            tables.push((name, rows));
        }
        if self.backups.len() >= BACKUPS_MAX {
            self.backups.pop_front();
        }
        self.backups.push_back(Backup { step, tables });
        Ok(())
    }

    /// Goes back to one of the last backups, by its place from the newest one on: an older copy of
    /// the file, or its write-ahead log without the end. Gives the step whose work, and all after
    /// it, is gone; `None` where there is no such backup.
    pub fn restore(&mut self, place: usize, now_unix_ms: u64) -> Result<Option<u64>, StoreError> {
        let Some(left) = self.backups.len().checked_sub(place + 1) else {
            return Ok(None);
        };
        self.backups.truncate(left + 1);
        let Some(backup) = self.backups.back() else {
            return Ok(None);
        };
        self.db.execute_batch("BEGIN IMMEDIATE")?;
        for (name, rows) in &backup.tables {
            self.db.execute(&format!("DELETE FROM {name}"), [])?;
            for row in rows {
                let places = vec!["?"; row.len()].join(", ");
                self.db
                    .prepare_cached(&format!("INSERT INTO {name} VALUES ({places})"))?
                    .execute(params_from_iter(row))?;
            }
        }
        self.db.execute_batch("COMMIT")?;
        let step = backup.step;
        // What the process before kept in memory was of another file; whoever looks at this one before the next process
        // does is to see what that will.
        self.begin(now_unix_ms)?;
        Ok(Some(step))
    }

    /// A transaction. On a full disk it does its work and is rolled back at the commit.
    pub fn write<T>(
        &self,
        now_ms: u64,
        f: impl FnOnce(&Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.db.execute_batch("BEGIN IMMEDIATE")?;
        store::transaction_begun(&self.db, &self.schemas)?;
        let outcome = f(&self.db).and_then(|done| {
            store::transaction_ends(&self.db, &self.schemas)?;
            Ok(done)
        });
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
        store::transaction_begun(&self.db, &self.schemas)?;
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
