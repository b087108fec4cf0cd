use std::os::unix::fs::PermissionsExt;
use std::sync::mpsc as std_mpsc;

use tempfile::TempDir;

use super::*;

const COINS: Schema = Schema {
    name: "coins",
    migrations: &["CREATE TABLE coins (id INTEGER PRIMARY KEY, owner TEXT NOT NULL) STRICT"],
};

fn open(folder: &TempDir) -> Store {
    Store::open(&folder.path().join("role.sqlite"), &[COINS]).unwrap()
}

fn insert(connection: &Connection, owner: &str) -> Result<(), StoreError> {
    connection.execute("INSERT INTO coins (owner) VALUES (?1)", [owner])?;
    Ok(())
}

async fn count(store: &Store) -> u64 {
    store
        .read(|connection| {
            Ok(connection.query_row("SELECT count(*) FROM coins", [], |row| row.get(0))?)
        })
        .await
        .unwrap()
}

/// Keeps the writer busy until the returned sender is dropped, so that what is handed in meanwhile
/// waits and becomes one batch.
async fn hold_writer(store: &Store) -> std_mpsc::Sender<()> {
    let (release, released) = std_mpsc::channel::<()>();
    let (holding, held) = tokio::sync::oneshot::channel();
    let store = store.clone();
    tokio::spawn(async move {
        store
            .write(move |_| {
                holding.send(()).unwrap();
                let _ = released.recv();
                Ok(())
            })
            .await
    });
    held.await.unwrap();
    release
}

/// Hands in each job and returns once all of them wait.
async fn hand_in<F>(
    store: &Store,
    jobs: Vec<F>,
) -> Vec<tokio::task::JoinHandle<Result<(), StoreError>>>
where
    F: FnOnce(&Connection) -> Result<(), StoreError> + Send + 'static,
{
    let before = store.threads.writes.as_ref().unwrap().capacity();
    let expected = before - jobs.len();
    let handles = jobs
        .into_iter()
        .map(|job| {
            let store = store.clone();
            tokio::spawn(async move { store.write(job).await })
        })
        .collect();
    while store.threads.writes.as_ref().unwrap().capacity() > expected {
        tokio::task::yield_now().await;
    }
    handles
}

type BoxedWrite = Box<dyn FnOnce(&Connection) -> Result<(), StoreError> + Send>;

#[tokio::test]
async fn writers_that_wait_share_a_commit_and_a_bad_one_fails_alone() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let release = hold_writer(&store).await;
    let mut jobs: Vec<BoxedWrite> = Vec::new();
    for worker in 0..98 {
        jobs.push(Box::new(move |c| insert(c, &format!("miner {worker}"))));
    }
    jobs.insert(
        40,
        Box::new(|c| {
            insert(c, "thief")?;
            Err(StoreError::Aborted {
                reason: "not his".into(),
            })
        }),
    );
    jobs.insert(
        60,
        Box::new(|c| {
            insert(c, "bug")?;
            panic!("a bug in a role");
        }),
    );
    let waiting = hand_in(&store, jobs).await;
    let commits_before = store.counts().commits;
    drop(release);

    let mut results = Vec::new();
    for handle in waiting {
        results.push(handle.await.unwrap());
    }
    assert!(matches!(results[40], Err(StoreError::Aborted { .. })));
    assert!(matches!(results[60], Err(StoreError::Panicked)));
    assert_eq!(results.iter().filter(|r| r.is_ok()).count(), 98);
    assert_eq!(count(&store).await, 98);
    // The one that held the writer, and one for all the others.
    assert_eq!(store.counts().commits, commits_before + 2);
}

#[tokio::test]
async fn of_writes_without_savepoints_a_bad_one_fails_alone_and_the_others_are_done_once() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let release = hold_writer(&store).await;
    let jobs: Vec<BoxedWrite> = vec![Box::new(|c| insert(c, "single"))];
    let single = hand_in(&store, jobs).await;
    let mut waiting = Vec::new();
    for worker in 0..20 {
        let store = store.clone();
        waiting.push(tokio::spawn(async move {
            let write = store.write_repeatable(move |c| {
                insert(c, &format!("miner {worker}"))?;
                match worker {
                    7 => Err(StoreError::Aborted {
                        reason: "not his".into(),
                    }),
                    11 => panic!("a bug in a role"),
                    _ => Ok(worker),
                }
            });
            write.await
        }));
        tokio::task::yield_now().await;
    }
    let commits_before = store.counts().commits;
    drop(release);
    for handle in single {
        handle.await.unwrap().unwrap();
    }
    for (worker, handle) in waiting.into_iter().enumerate() {
        match (worker, handle.await.unwrap()) {
            (7, outcome) => assert!(matches!(outcome, Err(StoreError::Aborted { .. }))),
            (11, outcome) => assert!(matches!(outcome, Err(StoreError::Panicked))),
            (_, outcome) => assert_eq!(outcome.unwrap(), worker),
        }
    }
    assert_eq!(count(&store).await, 19);
    assert_eq!(store.counts().commits, commits_before + 2);
    assert_eq!(store.counts().writes_failed, 2);
}

#[tokio::test]
async fn the_first_write_of_a_transaction_that_fails_leaves_nothing_and_takes_nothing_with_it() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for panics in [false, true] {
        let release = hold_writer(&store).await;
        let jobs: Vec<BoxedWrite> = vec![
            Box::new(move |c| {
                insert(c, "half of an effect")?;
                assert!(!panics, "a bug in a role");
                Err(StoreError::Aborted {
                    reason: "the other half failed".into(),
                })
            }),
            Box::new(|c| insert(c, "neighbour")),
        ];
        let waiting = hand_in(&store, jobs).await;
        drop(release);
        let mut failed = Vec::new();
        for handle in waiting {
            failed.push(handle.await.unwrap().is_err());
        }
        assert_eq!(failed, [true, false]);
    }
    assert_eq!(count(&store).await, 2);
}

#[tokio::test]
async fn a_disk_that_fails_only_until_the_work_is_done_again_is_no_trouble() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let mut has_failed = false;
    let write = store.write_repeatable(move |c| {
        insert(c, "miner")?;
        if !std::mem::replace(&mut has_failed, true) {
            let full = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL);
            return Err(rusqlite::Error::SqliteFailure(full, None).into());
        }
        Ok(())
    });
    write.await.unwrap();
    assert_eq!(count(&store).await, 1);
    assert_eq!(store.trouble(), None);
}

#[tokio::test]
async fn a_job_that_cannot_be_undone_takes_the_whole_transaction_with_it() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let release = hold_writer(&store).await;
    let jobs: Vec<BoxedWrite> = vec![
        Box::new(|c| insert(c, "neighbour")),
        Box::new(|c| {
            insert(c, "half of an effect")?;
            // As good as a disk that fails while the savepoint is rolled back.
            c.execute_batch("RELEASE winze")?;
            Err(StoreError::Aborted {
                reason: "the other half failed".into(),
            })
        }),
    ];
    let waiting = hand_in(&store, jobs).await;
    drop(release);
    for handle in waiting {
        assert!(handle.await.unwrap().is_err());
    }
    assert_eq!(count(&store).await, 0);
    store.write(|c| insert(c, "the next")).await.unwrap();
    assert_eq!(count(&store).await, 1);
}

#[tokio::test]
async fn a_full_disk_promises_nothing_and_the_store_goes_on_when_there_is_room() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    store.write(|c| insert(c, "first")).await.unwrap();
    let pages: u64 = store
        .write(|c| {
            let pages: u64 = c.query_row("PRAGMA page_count", [], |row| row.get(0))?;
            Ok(
                c.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |row| {
                    row.get(0)
                })?,
            )
        })
        .await
        .unwrap();
    let error = store
        .write(|c| insert(c, &"x".repeat(100_000)))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("full"), "{error}");
    assert!(store.trouble().unwrap().contains("full"));
    // What changes nothing says nothing about the disk.
    store.write(|_| Ok(())).await.unwrap();
    assert!(store.trouble().is_some());

    store
        .write(move |c| {
            let more = pages + 1_000;
            c.query_row(&format!("PRAGMA max_page_count = {more}"), [], |_| Ok(()))?;
            insert(c, &"x".repeat(100_000))
        })
        .await
        .unwrap();
    assert_eq!(store.trouble(), None);
    assert_eq!(count(&store).await, 2);
}

#[tokio::test]
async fn what_was_answered_is_there_after_the_process_is_gone() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    store.write(|c| insert(c, "miner")).await.unwrap();
    // A copy of the files as they are while the store is open is what a power cut leaves.
    let after_cut = TempDir::new().unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), after_cut.path().join(entry.file_name())).unwrap();
    }
    assert_eq!(count(&open(&after_cut)).await, 1);

    drop(store);
    assert_eq!(count(&open(&folder)).await, 1);
}

#[tokio::test]
async fn a_job_whose_caller_left_is_committed_all_the_same() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let release = hold_writer(&store).await;
    let waiting = hand_in(&store, vec![|c: &Connection| insert(c, "impatient")]).await;
    waiting[0].abort();
    drop(release);
    // One queue, one order: this write comes after the abandoned one.
    store.write(|_| Ok(())).await.unwrap();
    assert_eq!(count(&store).await, 1);
}

#[tokio::test]
async fn a_job_that_ends_the_transaction_costs_everyone_in_it_their_ok() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let release = hold_writer(&store).await;
    let jobs: Vec<BoxedWrite> = vec![
        Box::new(|c| insert(c, "before")),
        Box::new(|c| Ok(c.execute_batch("ROLLBACK")?)),
        Box::new(|c| insert(c, "after")),
    ];
    let waiting = hand_in(&store, jobs).await;
    drop(release);
    for handle in waiting {
        assert!(handle.await.unwrap().is_err());
    }
    assert_eq!(count(&store).await, 0);
    store.write(|c| insert(c, "later")).await.unwrap();
    assert_eq!(count(&store).await, 1);
}

#[test]
fn a_second_process_is_refused_until_the_first_has_closed() {
    let folder = TempDir::new().unwrap();
    let first = open(&folder);
    let path = folder.path().join("role.sqlite");
    let link = folder.path().join("alias.sqlite");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    for name in [&path, &link] {
        assert!(matches!(
            Store::open(name, &[COINS]),
            Err(StoreError::InUse { .. })
        ));
    }
    drop(first);
    open(&folder);
}

#[tokio::test]
async fn a_file_of_a_newer_program_is_left_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("role.sqlite");
    const COINS_2: Schema = Schema {
        name: "coins",
        migrations: &[
            COINS.migrations[0],
            "ALTER TABLE coins ADD COLUMN worth INTEGER NOT NULL DEFAULT 1",
        ],
    };
    const OTHER: Schema = Schema {
        name: "other",
        migrations: &["CREATE TABLE other (id INTEGER PRIMARY KEY)"],
    };
    let store = open(&folder);
    store.write(|c| insert(c, "miner")).await.unwrap();
    drop(store);
    let upgraded = Store::open(&path, &[COINS_2]).unwrap();
    let worth: u64 = upgraded
        .read(|c| Ok(c.query_row("SELECT sum(worth) FROM coins", [], |row| row.get(0))?))
        .await
        .unwrap();
    assert_eq!(worth, 1);
    drop(upgraded);

    assert!(matches!(
        Store::open(&path, &[OTHER, COINS]),
        Err(StoreError::NewerSchema {
            name: "coins",
            found: 2,
            known: 1
        })
    ));
    // The refusal rolled back the other schema's step too, or this would fail.
    Store::open(&path, &[COINS_2, OTHER]).unwrap();
}

#[test]
fn the_file_of_another_role_or_program_is_refused_and_left_alone() {
    let folder = TempDir::new().unwrap();
    drop(open(&folder));
    let path = folder.path().join("role.sqlite");
    let cards = Schema {
        name: "cards",
        migrations: &["CREATE TABLE cards (id INTEGER PRIMARY KEY) STRICT"],
    };
    let refused = Store::open(&path, &[cards]).err();
    assert!(
        matches!(&refused, Some(StoreError::Foreign { found }) if found.contains("coins")),
        "{refused:?}"
    );
    // What has something of both is one role's, grown by a part.
    drop(Store::open(&path, &[COINS, cards]).unwrap());

    let other = folder.path().join("other.sqlite");
    let connection = Connection::open(&other).unwrap();
    connection.execute_batch("CREATE TABLE songs (id)").unwrap();
    drop(connection);
    let refused = Store::open(&other, &[COINS]).err();
    assert!(
        matches!(refused, Some(StoreError::Foreign { .. })),
        "{refused:?}"
    );
    let connection = Connection::open(&other).unwrap();
    let tables = "SELECT count(*) FROM sqlite_schema";
    let tables: u64 = connection.query_row(tables, [], |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

#[tokio::test]
async fn the_files_belong_to_their_owner_alone() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("role.sqlite");
    std::fs::write(&path, b"").unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
    let store = open(&folder);
    store.write(|c| insert(c, "miner")).await.unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{:?}", entry.file_name());
    }
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    assert!(store.read(|c| insert(c, "reader")).await.is_err());
    assert_eq!(count(&store).await, 0);
}

#[tokio::test]
async fn a_job_may_own_the_last_clone() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let (release, released) = std_mpsc::channel::<()>();
    let (report, reported) = std_mpsc::channel::<()>();
    let last = store.clone();
    let write = store.write(move |_| {
        let _ = released.recv();
        drop(last);
        report.send(()).unwrap();
        Ok(())
    });
    // Polled once, which hands the job in, and then called off.
    tokio::select! {
        biased;
        _ = write => panic!("the job is held"),
        () = std::future::ready(()) => {}
    }
    drop(store);
    drop(release);
    reported
        .recv_timeout(std::time::Duration::from_secs(20))
        .expect("the writer does not wait for itself");
}

/// Whoever copies the file of a role that was stopped has all of it, and a copy that is put back has no later log beside it.
#[test]
fn a_store_that_was_closed_is_one_file() {
    let close_often = || {
        let folder = TempDir::new().unwrap();

        for round in 0..100 {
            let store = open(&folder);
            let runtime = tokio::runtime::Builder::new_current_thread().build();
            let runtime = runtime.unwrap();
            runtime
                .block_on(store.write(move |c| insert(c, &format!("round {round}"))))
                .unwrap();
            assert_eq!(runtime.block_on(count(&store)), round + 1);
            drop(store);
            let log = folder.path().join("role.sqlite-wal");
            assert!(!log.exists(), "round {round}");
        }
    };
    // Which of its threads ends first is up to how busy the machine is.
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(close_often);
        }
    });
}

/// SQLite before 3.51.3 can lose what one connection commits while another copies the log.
#[tokio::test]
async fn an_operators_command_leaves_the_log_to_the_role() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let path = folder.path().join("role.sqlite");
    let bytes_before = std::fs::metadata(&path).unwrap().len();
    let operator = beside::open(&path, &COINS, "coins").unwrap();
    let long = "o".repeat(100_000);
    for _ in 0..400 {
        insert(&operator, &long).unwrap();
    }
    assert_eq!(std::fs::metadata(&path).unwrap().len(), bytes_before);
    drop(operator);
    assert_eq!(count(&store).await, 400);
}
