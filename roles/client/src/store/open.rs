use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use winze_runtime::clock::now_unix_ms;

use super::checkpoint::{Log, LogBytes};
use super::lock::FileLock;
use super::schema::{Schema, begin, migrate};
use super::{StoreError, schema, wal};
use crate::limits::{
    STORE_BUSY_TIMEOUT_MS, STORE_CHECKPOINT_CACHE_KIB, STORE_PAGE_BYTES,
    STORE_STATEMENTS_CACHED_MAX, STORE_WRITER_CACHE_KIB,
};

/// A connection, and its database as a file. Whoever closes a file gives back every lock that the process has on it, those of
/// SQLite too, so it is closed after all connections: the order of these fields.
pub(super) struct Held {
    pub(super) connection: Connection,
    pub(super) file: Arc<File>,
}

pub(super) struct Opened {
    pub(super) writer: Held,
    pub(super) reader: Held,
    /// Copies long logs.
    pub(super) bulk: Held,
    /// Keeps the log from beginning anew meanwhile.
    pub(super) snapshot: Held,
    pub(super) log: Log,
    pub(super) lock: FileLock,
    pub(super) path: PathBuf,
    /// What was wrong with the write-ahead log.
    pub(super) damage: Option<String>,
}

pub(super) fn open(
    path: &Path,
    schemas: &[Schema],
    log_bytes: LogBytes,
) -> Result<Opened, StoreError> {
    let (path, file) = prepare_file(path).map_err(|source| StoreError::File {
        path: path.to_owned(),
        source: Arc::new(source),
    })?;
    let file = Arc::new(file);
    let lock = FileLock::take(&path)?;
    let log_path = log_path(&path);
    let damage = look_at_log(&log_path);
    let held = |connection| Held {
        connection,
        file: Arc::clone(&file),
    };
    let open_all = || {
        let (writer, page_bytes) = open_writer(&path, schemas, log_bytes)?;
        Ok(Opened {
            writer: held(writer),
            reader: held(open_reader(&path)?),
            bulk: held(open_copier(&path)?),
            snapshot: held(open_copier(&path)?),
            log: Log {
                path: log_path,
                bytes: log_bytes,
                page_bytes,
            },
            lock,
            path: path.clone(),
            damage,
        })
    };
    open_all().map_err(|error: StoreError| error.at_open(&path))
}

fn log_path(path: &Path) -> PathBuf {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    log.into()
}

/// Before SQLite does, which takes what it can and empties it.
fn look_at_log(log: &Path) -> Option<String> {
    let damage = match wal::damage(log) {
        Ok(damage) => damage?,
        Err(error) => format!("it cannot be read: {error}"),
    };
    tracing::error!(
        log = %log.display(), damage,
        "the write-ahead log is damaged. What was committed last is gone, as with a backup of then"
    );
    Some(damage)
}

/// With the length of its pages.
fn open_writer(
    path: &Path,
    schemas: &[Schema],
    log_bytes: LogBytes,
) -> Result<(Connection, i64), StoreError> {
    let writer = connect(path)?;
    schema::check_owner(&writer, schemas)?;
    // Says something to a file in which nothing is yet.
    writer.pragma_update(None, "page_size", STORE_PAGE_BYTES)?;
    // Must answer "wal": on a file system without shared memory SQLite stays with another journal.
    let mode: String = writer.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(StoreError::File {
            path: path.to_owned(),
            source: Arc::new(io::Error::other(format!(
                "journal mode is {mode}, WAL is needed"
            ))),
        });
    }
    writer.pragma_update(None, "synchronous", "FULL")?;
    writer.pragma_update(None, "journal_size_limit", log_bytes.kept_max)?;
    let page_bytes: i64 = writer.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    // It is copied before that, as a rule.
    let pages = log_bytes.max / page_bytes.max(1);
    writer.pragma_update(None, "wal_autocheckpoint", pages)?;
    // Negative: in KiB.
    writer.pragma_update(None, "cache_size", -STORE_WRITER_CACHE_KIB)?;
    let verdict: String = writer.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict != "ok" {
        return Err(StoreError::Damaged {
            path: path.to_owned(),
            detail: verdict,
        });
    }
    schema::create_table(&writer)?;
    migrate(&writer, schemas)?;
    // What a savepoint would bring back is kept in memory, not in a file beside. Not before: a migration sorts every key
    // of a table where it makes an index.
    writer.pragma_update(None, "temp_store", "MEMORY")?;
    begin(&writer, schemas, now_unix_ms())?;
    Ok((writer, page_bytes))
}

fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let reader = connect(path)?;
    reader.pragma_update(None, "query_only", true)?;
    // Where a job that reads has owned the last clone, this one closes last, and the log stays for the next start: whether it
    // may be removed only the writer knows.
    reader.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true)?;
    Ok(reader)
}

/// It copies, and writes nothing.
fn open_copier(path: &Path) -> Result<Connection, StoreError> {
    let copier = connect(path)?;
    copier.pragma_update(None, "query_only", true)?;
    // What it copies is on disk before the log is written over.
    copier.pragma_update(None, "synchronous", "FULL")?;
    copier.pragma_update(None, "cache_size", -STORE_CHECKPOINT_CACHE_KIB)?;
    // SQLite opens the log with the first look at the database, and copies nothing before.
    copier.query_row("SELECT count(*) FROM winze_schema", [], |_| Ok(()))?;
    Ok(copier)
}

/// Makes the file where there is none and takes it away from group and others. SQLite gives the
/// same mode to the log beside it.
fn prepare_file(path: &Path) -> io::Result<(PathBuf, File)> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    Ok((path.canonicalize()?, file))
}

fn connect(path: &Path) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(Duration::from_millis(STORE_BUSY_TIMEOUT_MS))?;
    connection.pragma_update(None, "foreign_keys", true)?;
    connection.pragma_update(None, "cell_size_check", true)?;
    connection.set_prepared_statement_cache_capacity(STORE_STATEMENTS_CACHED_MAX);
    Ok(connection)
}
