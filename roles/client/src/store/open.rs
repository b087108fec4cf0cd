use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use winze_runtime::clock::now_unix_ms;

use super::lock::FileLock;
use super::schema::{Schema, begin, migrate};
use super::{StoreError, schema, wal};
use crate::limits::{
    STORE_BUSY_TIMEOUT_MS, STORE_CHECKPOINT_BYTES, STORE_PAGE_BYTES, STORE_STATEMENTS_CACHED_MAX,
    STORE_WAL_BYTES_KEPT_MAX, STORE_WRITER_CACHE_KIB,
};

pub(super) struct Opened {
    pub(super) writer: Connection,
    pub(super) reader: Connection,
    pub(super) lock: FileLock,
    pub(super) path: PathBuf,
    /// What was wrong with the write-ahead log.
    pub(super) damage: Option<String>,
}

pub(super) fn open(path: &Path, schemas: &[Schema]) -> Result<Opened, StoreError> {
    let path = prepare_file(path).map_err(|source| StoreError::File {
        path: path.to_owned(),
        source: Arc::new(source),
    })?;
    let lock = FileLock::take(&path)?;
    let damage = look_at_log(&path);
    let (writer, reader) = open_database(&path, schemas).map_err(|error| error.at_open(&path))?;
    Ok(Opened {
        writer,
        reader,
        lock,
        path,
        damage,
    })
}

/// Before SQLite does, which takes what it can and empties it.
fn look_at_log(path: &Path) -> Option<String> {
    let mut log = path.as_os_str().to_owned();
    log.push("-wal");
    let damage = match wal::damage(Path::new(&log)) {
        Ok(damage) => damage?,
        Err(error) => format!("it cannot be read: {error}"),
    };
    tracing::error!(
        log = %Path::new(&log).display(), damage,
        "the write-ahead log is damaged. What was committed last is gone, as with a backup of then"
    );
    Some(damage)
}

fn open_database(path: &Path, schemas: &[Schema]) -> Result<(Connection, Connection), StoreError> {
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
    writer.pragma_update(None, "journal_size_limit", STORE_WAL_BYTES_KEPT_MAX)?;
    let page_bytes: i64 = writer.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    // The writer does it before that.
    let pages = 2 * STORE_CHECKPOINT_BYTES / page_bytes.max(1);
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

    let reader = connect(path)?;
    reader.pragma_update(None, "query_only", true)?;
    Ok((writer, reader))
}

/// Makes the file where there is none and takes it away from group and others. SQLite gives the
/// same mode to the log beside it.
fn prepare_file(path: &Path) -> io::Result<PathBuf> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)?;
    file.set_permissions(Permissions::from_mode(0o600))?;
    path.canonicalize()
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
