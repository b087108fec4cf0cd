use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::sync_channel;
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::copier::{copy_bulk, under_snapshot};
use super::*;
use crate::store::Schema;
use crate::store::open::{Opened, open};

const COINS: Schema = Schema {
    name: "coins",
    migrations: &["CREATE TABLE coins (id INTEGER PRIMARY KEY, owner TEXT NOT NULL) STRICT"],
};

/// Rows that make a copy due, and the log long, where nothing is known yet.
const MANY_ROWS: i64 = 20_000;

fn open_in(folder: &TempDir) -> Opened {
    let path = folder.path().join("role.sqlite");
    open(&path, &[COINS], LogBytes::short()).unwrap()
}

/// A transaction of some 64 KiB.
fn commit(connection: &Connection) {
    let insert = "INSERT INTO coins (owner) VALUES (?1)";
    connection.execute(insert, ["x".repeat(65_536)]).unwrap();
}

fn count(connection: &Connection) -> i64 {
    let count = "SELECT count(*) FROM coins";
    connection.query_row(count, [], |row| row.get(0)).unwrap()
}

fn file_bytes(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

/// Other than before where the log has begun anew.
fn salts(log: &Path) -> Vec<u8> {
    fs::read(log).unwrap()[16..24].to_vec()
}

#[test]
fn the_thread_copies_what_the_writer_has_committed() {
    let folder = TempDir::new().unwrap();
    let opened = open_in(&folder);
    for _ in 0..10 {
        commit(&opened.writer.connection);
    }
    let database = folder.path().join("role.sqlite");
    let before = file_bytes(&database);
    let report = copy_bulk(&opened.bulk, &opened.snapshot, 1);
    assert!(matches!(report, Report::Copied));
    assert!(file_bytes(&database) >= before + 10 * 65_536);
}

/// SQLite may lose pages where it begins anew in the moment in which another connection begins to copy.
#[test]
fn the_log_does_not_begin_anew_while_the_thread_copies() {
    let folder = TempDir::new().unwrap();
    let opened = open_in(&folder);
    let (writer, log) = (&opened.writer.connection, &opened.log.path);
    commit(writer);
    let before = salts(log);
    let during = under_snapshot(&opened.snapshot.connection, || {
        assert!(copy(&opened.bulk.connection).unwrap().is_all);
        commit(writer);
        salts(log)
    });
    assert_eq!(during.unwrap(), before);
    assert!(copy(writer).unwrap().is_all);
    commit(writer);
    assert_ne!(salts(log), before);

    // Of one that is all copied no snapshot is kept, and nothing is copied beside it.
    assert!(copy(writer).unwrap().is_all);
    let copied = under_snapshot(&opened.snapshot.connection, || {
        commit(writer);
        copy(&opened.bulk.connection).unwrap()
    });
    assert_eq!(copied.unwrap().copied, 0);
}

#[test]
fn the_writer_goes_on_while_a_log_is_copied_and_waits_where_it_becomes_too_long() {
    let folder = TempDir::new().unwrap();
    let opened = open_in(&folder);
    let (path, bytes_max) = (
        opened.log.path.clone(),
        LogBytes::short().max.unsigned_abs(),
    );
    let (ask, asked) = sync_channel(1);
    let (report, reports) = sync_channel(1);
    let commits = AtomicU64::new(0);
    thread::scope(|scope| {
        let slow = scope.spawn(|| {
            asked.recv().unwrap();
            drop(asked);
            let deadline = Instant::now() + Duration::from_secs(60);
            while file_bytes(&path) < bytes_max {
                assert!(Instant::now() < deadline, "the writer does not go on");
                thread::yield_now();
            }
            // It may have been in the midst of one, and of the one that makes the file so long.
            let most = commits.load(Ordering::SeqCst) + 2;
            let deadline = Instant::now() + Duration::from_millis(300);
            while Instant::now() < deadline && commits.load(Ordering::SeqCst) <= most {
                thread::yield_now();
            }
            let is_waiting = commits.load(Ordering::SeqCst) <= most;
            report.send(Report::Copied).unwrap();
            is_waiting
        });
        let copier = Some(Copier::played_by(ask, reports));
        let mut checkpointer = Checkpointer::new(&opened.writer, opened.log, copier);
        let mut longest = 0;
        for number in 0..100 {
            commit(&opened.writer.connection);
            checkpointer.committed(if number == 0 { MANY_ROWS } else { 1 });
            commits.fetch_add(1, Ordering::SeqCst);
            longest = longest.max(file_bytes(&path));
        }
        assert!(slow.join().unwrap(), "the writer does not wait");
        assert!(longest < bytes_max + 2 * 65_536, "{longest} bytes");
        assert_eq!(count(&opened.writer.connection), 100);
    });
}

#[test]
fn what_the_thread_leaves_or_fails_to_copy_the_writer_copies() {
    for report in [
        Some(Report::Copied),
        Some(Report::Failed("database or disk is full".into())),
        None,
    ] {
        let folder = TempDir::new().unwrap();
        let opened = open_in(&folder);
        let path = opened.log.path.clone();
        let (ask, asked) = sync_channel(1);
        let (reports, heard) = sync_channel(1);
        let copier = Some(Copier::played_by(ask, heard));
        let mut checkpointer = Checkpointer::new(&opened.writer, opened.log, copier);
        let writer = &opened.writer.connection;
        commit(writer);
        let before = salts(&path);
        checkpointer.committed(MANY_ROWS);
        asked.try_recv().unwrap();
        commit(writer);
        checkpointer.committed(1);
        commit(writer);
        assert_eq!(salts(&path), before, "it is not asked for a report");
        if let Some(report) = report {
            reports.send(report).unwrap();
        }
        drop(reports);
        checkpointer.committed(1);
        commit(writer);
        assert_ne!(salts(&path), before, "it is not copied");
        assert_eq!(checkpointer.trouble(), None);
    }
}

/// Pages that the disk has not taken are not written again by whoever syncs next. Where the log still has them, nothing is
/// lost.
#[test]
fn a_log_is_kept_until_the_next_start_where_the_disk_has_failed_to_take_what_was_copied() {
    for is_closing in [false, true] {
        let folder = TempDir::new().unwrap();
        let opened = open_in(&folder);
        let database = folder.path().join("role.sqlite");
        let path = opened.log.path.clone();
        let (ask, asked) = sync_channel(1);
        let (reports, heard) = sync_channel(1);
        let copier = Some(Copier::played_by(ask, heard));
        let mut checkpointer = Checkpointer::new(&opened.writer, opened.log, copier);
        let writer = &opened.writer.connection;
        for _ in 0..10 {
            commit(writer);
        }
        let on_disk = fs::read(&database).unwrap();
        checkpointer.committed(MANY_ROWS);
        asked.try_recv().unwrap();
        // Something is committed meanwhile: SQLite takes what was before for copied, and does not sync it.
        let copied = under_snapshot(&opened.snapshot.connection, || {
            commit(writer);
            copy(&opened.bulk.connection).unwrap()
        });
        let copied = copied.unwrap();
        assert!(0 < copied.copied && !copied.is_all, "{copied:?}");
        let lost = Report::NotOnDisk("Input/output error".into());
        reports.send(lost).unwrap();
        let mut rows = 11;
        if !is_closing {
            // As long as makes SQLite copy by itself.
            for _ in 0..100 {
                checkpointer.committed(MANY_ROWS);
                commit(writer);
                rows += 1;
            }
            let trouble = checkpointer.trouble().unwrap();
            assert!(trouble.contains("Input/output error"), "{trouble}");
        }
        drop((opened.bulk, opened.snapshot, opened.reader));
        drop(reports);
        checkpointer.close();
        drop((opened.writer, opened.lock));
        assert!(path.exists());

        fs::write(&database, on_disk).unwrap();
        assert_eq!(count(&open_in(&folder).writer.connection), rows);
    }
}
