use rusqlite::{Connection, OptionalExtension};

use super::{KeyIndex, StoreError};
use crate::{answers, outbox};

/// The tables of one part of a program, as the steps that lead to them.
///
/// Its version in a file is the number of steps that were run there (table `winze_schema`). A step
/// that was ever shipped is never changed: a change is one more step.
#[derive(Clone, Copy, Debug)]
pub struct Schema {
    /// Names it in the file; the tables' names should start with it.
    pub name: &'static str,
    /// SQL of each step, run once, in order, all missing ones in one transaction.
    pub migrations: &'static [&'static str],
}

/// Refuses a file in which nothing of `schemas` lies and something else does: two roles that were given one file, or a
/// database of another program. Without `schemas` every store will do.
pub(super) fn check_owner(connection: &Connection, schemas: &[Schema]) -> Result<(), StoreError> {
    let names = |sql: &str| -> Result<Vec<String>, rusqlite::Error> {
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect()
    };
    let tables = names(
        r"SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\'",
    )?;
    if tables.is_empty() {
        return Ok(());
    }
    if !tables.iter().any(|table| table == "winze_schema") {
        let found = format!("another program's database, with {}", tables.join(", "));
        return Err(StoreError::Foreign { found });
    }
    let there = names("SELECT name FROM winze_schema ORDER BY name")?;
    let ours = |name: &String| schemas.iter().any(|schema| schema.name == name);
    if there.is_empty() || schemas.is_empty() || there.iter().any(ours) {
        return Ok(());
    }
    let found = format!(
        "the store of another role, which keeps {}",
        there.join(", ")
    );
    Err(StoreError::Foreign { found })
}

/// What SQL cannot do: the rest of the step with this index.
fn run_code(connection: &Connection, name: &str, index: usize) -> Result<(), StoreError> {
    match (name, index) {
        ("outbox", 2) => outbox::seal_all(connection),
        ("outbox", 4) => outbox::move_all(connection),
        ("answers", 1) => answers::seal_all(connection),
        ("answers", 4) => answers::index_all(connection),
        _ => Ok(()),
    }
}

/// What a process does first with a file that is of this version: it looks at the rows whose loss or change would be one
/// of money, and makes ready what it keeps in memory about them. [`Store::open`](super::Store::open) does it; whoever has
/// a connection of its own instead, as a simulation has, does it whenever its process starts.
///
/// # Errors
/// [`StoreError::Corrupt`] where the file cannot be relied on, [`StoreError::Sqlite`].
pub fn begin(
    connection: &Connection,
    schemas: &[Schema],
    now_unix_ms: u64,
) -> Result<(), StoreError> {
    let transaction = connection.unchecked_transaction()?;
    for schema in schemas {
        match schema.name {
            "outbox" => outbox::check(&transaction, now_unix_ms)?,
            "answers" => answers::check(&transaction)?,
            _ => {}
        }
    }
    transaction.commit()?;
    for keys in key_indexes(schemas) {
        keys.opened(connection)?;
    }
    Ok(())
}

/// Keeps so many new keys of requests, and of answers, in memory, where [`KEY_INDEX_NEW_MAX`](crate::limits::KEY_INDEX_NEW_MAX)
/// are far more than there will be: for simulations.
///
/// # Errors
/// [`StoreError::Sqlite`]: [`begin`] was not called.
pub fn keep_new_keys(
    connection: &Connection,
    schemas: &[Schema],
    new_max: usize,
) -> Result<(), StoreError> {
    key_indexes(schemas).try_for_each(|keys| keys.keep(connection, new_max))
}

/// What a process does first in every transaction that writes: what it keeps in memory follows what was committed since
/// the last one.
///
/// # Errors
/// [`StoreError::Sqlite`]: the transaction is to be rolled back.
pub fn transaction_begun(connection: &Connection, schemas: &[Schema]) -> Result<(), StoreError> {
    key_indexes(schemas).try_for_each(|keys| keys.transaction_begun(connection))
}

/// What it does last in every transaction that has changed something, before it is committed: what is too much to be kept in
/// memory goes into the file.
///
/// # Errors
/// [`StoreError::Sqlite`]: the transaction is to be rolled back.
pub fn transaction_ends(connection: &Connection, schemas: &[Schema]) -> Result<(), StoreError> {
    key_indexes(schemas).try_for_each(|keys| keys.transaction_ends(connection))
}

fn key_indexes(schemas: &[Schema]) -> impl Iterator<Item = &'static KeyIndex> {
    schemas.iter().filter_map(|schema| match schema.name {
        "outbox" => Some(&outbox::KEYS),
        "answers" => Some(&answers::KEYS),
        _ => None,
    })
}

pub(super) fn create_table(connection: &Connection) -> Result<(), StoreError> {
    connection.execute_batch(
        "CREATE TABLE IF NOT EXISTS winze_schema (
            name TEXT NOT NULL PRIMARY KEY,
            version INTEGER NOT NULL
        ) STRICT",
    )?;
    Ok(())
}

/// Brings each of `schemas` up to date. Nothing at all is changed when one of them is newer in the
/// file than here, or when a step fails.
pub(super) fn migrate(connection: &Connection, schemas: &[Schema]) -> Result<(), StoreError> {
    let transaction = connection.unchecked_transaction()?;
    for schema in schemas {
        let found = transaction
            .query_row(
                "SELECT version FROM winze_schema WHERE name = ?1",
                [schema.name],
                |row| row.get::<_, usize>(0),
            )
            .optional()?
            .unwrap_or(0);
        let known = schema.migrations.len();
        let Some(missing) = schema.migrations.get(found..) else {
            return Err(StoreError::NewerSchema {
                name: schema.name,
                found,
                known,
            });
        };
        for (index, step) in (found..).zip(missing) {
            transaction.execute_batch(step)?;
            run_code(&transaction, schema.name, index)?;
        }
        transaction.execute(
            "INSERT INTO winze_schema (name, version) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET version = excluded.version",
            (schema.name, known),
        )?;
    }
    transaction.commit()?;
    Ok(())
}
