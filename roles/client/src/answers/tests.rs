use tempfile::TempDir;

use super::*;
use crate::limits::STORE_NUMBER_MAX;
use crate::mint_quote::{FarStore, StoreNumbers};
use crate::store::Store;

const QUOTES: u16 = 0x4802;
const SHARE: &[u8] = b"header hash";

fn open(folder: &TempDir) -> Store {
    Store::open(&folder.path().join("mint.sqlite"), &[ANSWERS_SCHEMA]).unwrap()
}

fn asked<'a>(peer: &'a str, content: &'a [u8; 32]) -> Asked<'a> {
    Asked {
        peer,
        extension: QUOTES,
        key: SHARE,
        content,
    }
}

fn answer(body: &str) -> Answer {
    Answer {
        msg_type: 0x81,
        body: body.into(),
    }
}

fn conflict() -> Answer {
    answer("conflict")
}

fn sent(answer: NumberedAnswer) -> (String, u64) {
    (
        String::from_utf8(answer.answer.body).unwrap(),
        answer.sequence,
    )
}

/// Asks and decides, as a responder would.
async fn ask(store: &Store, peer: &'static str, content: u8, decision: Decision) -> (String, u64) {
    store
        .write(move |c| {
            let content = [content; 32];
            let asked = asked(peer, &content);
            Ok(sent(
                record(c, &asked, Some(decision), conflict, 7)?.unwrap(),
            ))
        })
        .await
        .unwrap()
}

fn issue(body: &str) -> Decision {
    Decision::Effect(answer(body))
}

fn refuse(body: &str) -> Decision {
    Decision::Refusal(answer(body))
}

#[tokio::test]
async fn a_share_gets_one_quote_whoever_asks_and_however_often() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    assert_eq!(
        ask(&store, "pool/a", 1, issue("quote")).await,
        ("quote".into(), 1)
    );
    drop(store);

    // After a restart, and although the issuer would decide differently now.
    let store = open(&folder);
    assert_eq!(
        ask(&store, "pool/a", 1, refuse("no")).await,
        ("quote".into(), 1)
    );
    // Another pool is told the same, under a number of its own.
    ask(&store, "pool/b", 9, refuse("first of b")).await;
    let found = store
        .write(|c| find(c, &asked("pool/c", &[1; 32])))
        .await
        .unwrap();
    assert_eq!(found, Found::Effect(answer("quote")));
    assert_eq!(
        ask(&store, "pool/c", 1, issue("second")).await,
        ("quote".into(), 1)
    );
    assert_eq!(
        ask(&store, "pool/c", 1, issue("third")).await,
        ("quote".into(), 1)
    );
}

/// By what a transaction has changed the store knows whether the disk can be written again.
#[tokio::test]
async fn a_request_about_which_nothing_is_decided_changes_nothing() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let changed = store.write(|c| {
        let changes = || c.query_row("SELECT total_changes()", [], |row| row.get::<_, i64>(0));
        let before = changes()?;
        let recorded = record(c, &asked("pool/a", &[1; 32]), None, conflict, 7)?;
        assert_eq!(recorded, None);
        Ok(changes()? - before)
    });
    assert_eq!(changed.await.unwrap(), 0);
}

#[tokio::test]
async fn other_content_under_a_used_key_is_a_conflict_and_stays_one() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    ask(&store, "pool/a", 1, issue("quote")).await;
    for pool in ["pool/a", "pool/b"] {
        let first = ask(&store, pool, 2, issue("theft")).await;
        assert_eq!(first.0, "conflict");
        assert_eq!(ask(&store, pool, 2, issue("theft")).await, first);
    }
    assert_eq!(ask(&store, "pool/a", 1, issue("x")).await.0, "quote");
}

/// Each look would go through all of them, on the thread that writes for all pools.
#[tokio::test]
async fn a_pool_that_asks_for_one_share_in_many_ways_makes_no_look_at_it_long() {
    let folder = TempDir::new().unwrap();
    let mut store = open(&folder);
    for round in 0..2 {
        let refused = ask(&store, "pool/c", 7, refuse("no")).await;
        assert_eq!(refused, ("no".into(), 1), "round {round}");
        let first = ask(&store, "pool/a", 1, issue("quote")).await;
        assert_eq!(first, ("quote".into(), 1), "round {round}");
        let other = ask(&store, "pool/c", 8, issue("theft")).await;
        assert_eq!(other, ("conflict".into(), 2), "round {round}");
        ask(&store, "pool/b", 1, issue("quote")).await;
        for content in 2..=255 {
            let told = ask(&store, "pool/b", content, issue("theft")).await;
            assert_eq!(told, ("conflict".into(), content.into()), "round {round}");
        }
        let by_key = store.write(|c| index::KEYS.find(c, index::hash(QUOTES, SHARE)));
        assert!(by_key.await.unwrap().len() <= 3, "round {round}");
        // What was in memory alone is found by the next process.
        drop(store);
        store = open(&folder);
    }
}

#[tokio::test]
async fn a_pool_that_is_refused_cannot_have_another_one_refused() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    assert_eq!(
        ask(&store, "pool/a", 1, refuse("unit-not-allowed")).await.0,
        "unit-not-allowed"
    );
    assert_eq!(ask(&store, "pool/b", 1, issue("quote")).await.0, "quote");
    // The first one was told, and is told the same for ever; with other content it is a conflict.
    assert_eq!(
        ask(&store, "pool/a", 1, issue("late")).await.0,
        "unit-not-allowed"
    );
    assert_eq!(ask(&store, "pool/a", 3, issue("late")).await.0, "conflict");
}

#[tokio::test]
async fn serials_rise_over_all_units_and_only_with_a_change() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let say = async |store: &Store, unit: &'static str, body: &'static [u8]| {
        store
            .write(move |c| announce(c, QUOTES, unit, body, 0))
            .await
            .unwrap()
    };
    assert!(say(&store, "hash", b"k1").await);
    assert!(say(&store, "sat", b"k2").await);
    assert!(!say(&store, "hash", b"k1").await);
    drop(store);
    let store = open(&folder);
    assert!(say(&store, "hash", b"k3").await);
    let all = store.read(|c| announcements(c, QUOTES)).await.unwrap();
    let all: Vec<_> = all.iter().map(|a| (a.serial, &a.body[..])).collect();
    assert_eq!(all, [(2, &b"k2"[..]), (3, &b"k3"[..])]);
}

async fn ask_for(store: &Store, key: u8, body: &'static str) -> Result<String, StoreError> {
    let asked_for = store.write(move |c| {
        let asked = Asked {
            key: &[key],
            ..asked("pool/a", &[1; 32])
        };
        Ok(sent(record(c, &asked, Some(issue(body)), conflict, 7)?.unwrap()).0)
    });
    asked_for.await
}

/// An index that has lost the way to an effect would have it made again.
#[tokio::test]
async fn what_the_index_has_lost_is_found_again_by_the_next_process() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for key in 0..4 {
        ask_for(&store, key, "first").await.unwrap();
    }
    let damaged = store.write(|c| {
        index::KEYS.merge(c)?;
        let hash = |key: u8| index::hash(QUOTES, &[key]);
        // As flipped bits leave them: an entry that is another key's, and one of a row that is not there.
        let moved = c.execute(
            "UPDATE answer_key SET hash = hash + 1 WHERE hash = ?1",
            [hash(1)],
        )?;
        let nowhere = c.execute("UPDATE answer_key SET id = 99 WHERE hash = ?1", [hash(2)])?;
        let lost = c.execute("DELETE FROM answer_key WHERE hash = ?1", [hash(3)])?;
        Ok([moved, nowhere, lost])
    });
    assert_eq!(damaged.await.unwrap(), [1; 3]);
    drop(store);
    let store = open(&folder);
    for key in 0..4 {
        assert_eq!(ask_for(&store, key, "second").await.unwrap(), "first");
    }
    assert_eq!(ask_for(&store, 4, "new").await.unwrap(), "new");
}

#[tokio::test]
async fn keys_that_share_a_hash_have_their_own_answers_and_damage_is_not_taken_for_such_a_key() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    ask_for(&store, 1, "one").await.unwrap();
    let shared = store.write(|c| {
        let effect = index::place(row::Table::Effect, 1);
        index::KEYS.insert(c, index::hash(QUOTES, &[2]), effect)?;
        let missing = index::place(row::Table::Effect, 99);
        index::KEYS.insert(c, index::hash(QUOTES, &[3]), missing)
    });
    shared.await.unwrap();
    assert_eq!(ask_for(&store, 2, "two").await.unwrap(), "two");
    assert_eq!(ask_for(&store, 1, "again").await.unwrap(), "one");
    assert_eq!(ask_for(&store, 2, "again").await.unwrap(), "two");
    // What the index knows and the record does not have may have been an effect.
    let gone = ask_for(&store, 3, "again").await;
    assert!(matches!(gone, Err(StoreError::Corrupt { .. })), "{gone:?}");
    let flipped = store
        .write(|c| Ok(c.execute("UPDATE answer_effect SET key = X'05' WHERE key = X'01'", [])?));
    assert_eq!(flipped.await.unwrap(), 1);
    let damaged = ask_for(&store, 1, "again").await;
    assert!(
        matches!(damaged, Err(StoreError::Corrupt { .. })),
        "{damaged:?}"
    );
}

/// The backup knows nothing of the keyset that was announced under 2; a pool does, and would take nothing below for new.
#[tokio::test]
async fn what_a_restored_record_announces_is_newer_than_what_was_announced_since_the_backup() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let announce_at = async |store: &Store, body: &'static [u8], now_unix_ms| {
        store
            .write(move |c| announce(c, QUOTES, "hash", body, now_unix_ms))
            .await
            .unwrap();
        let all = store.read(|c| announcements(c, QUOTES)).await.unwrap();
        all.last().unwrap().serial
    };
    announce_at(&store, b"k1", 1_000).await;
    drop(store);
    let backup = TempDir::new().unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), backup.path().join(file.file_name())).unwrap();
    }
    let store = open(&folder);
    let since = announce_at(&store, b"k2", 2_000).await;
    drop(store);

    let store = open(&backup);
    let all = store
        .write(|c| {
            renew_announcements(c, QUOTES, 3_000)?;
            announcements(c, QUOTES)
        })
        .await
        .unwrap();
    assert_eq!(all[0].body, b"k1");
    assert!(all[0].serial > since, "{all:?} after {since}");
    // A row that was renewed is whole.
    drop(store);
    open(&backup);
}

fn far(requests: u64, answers: u64, own_requests: u64) -> FarStore {
    FarStore {
        far: StoreNumbers { requests, answers },
        own_before: StoreNumbers {
            requests: own_requests,
            answers: 0,
        },
    }
}

async fn told(store: &Store, peer: &'static str, far: FarStore) -> Compared {
    let compared = store
        .write(move |c| compare(c, QUOTES, peer, &far, 9))
        .await;
    compared.unwrap()
}

/// Whatever a pool claims, it stops itself alone, and its pair can go on counting afterwards.
#[tokio::test]
async fn a_pool_that_lies_about_its_answers_stops_nobody_else_and_breaks_nothing() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    ask(&store, "pool/liar", 1, issue("a")).await;
    let lie = told(&store, "pool/liar", far(u64::MAX, u64::MAX, 1)).await;
    assert!(
        matches!(lie, Compared::SetBack { is_new: true, .. }),
        "{lie:?}"
    );
    let again = told(&store, "pool/liar", far(1, 1, 1)).await;
    assert!(
        matches!(again, Compared::SetBack { is_new: false, .. }),
        "{again:?}"
    );
    assert_eq!(
        told(&store, "pool/honest", far(0, 0, 0)).await,
        Compared::Agree
    );
    let accepted = store.write(|c| {
        Ok([
            accept(c, QUOTES, "pool/liar", 10)?,
            accept(c, QUOTES, "pool/liar", 10)?,
        ])
    });
    assert_eq!(accepted.await.unwrap(), [true, false]);
    // What was accepted stays so, also before the next answer.
    let same = told(&store, "pool/liar", far(u64::MAX, u64::MAX, 1)).await;
    assert_eq!(same, Compared::Agree);
    let (number, others) = store
        .write(|c| {
            assert!(set_back(c, QUOTES, "pool/honest")?.is_none());
            let next = |peer| {
                let content = [3; 32];
                let asked = Asked {
                    key: b"next",
                    ..asked(peer, &content)
                };
                record(c, &asked, Some(refuse("no")), conflict, 7)
            };
            Ok((
                next("pool/liar")?.unwrap().sequence,
                next("pool/honest")?.unwrap().sequence,
            ))
        })
        .await
        .unwrap();
    assert_eq!((number, others), (STORE_NUMBER_MAX + 1, 1));
    let told = told(&store, "pool/liar", far(u64::MAX, u64::MAX, 1)).await;
    assert_eq!(told, Compared::Agree);
}

/// A write-ahead log that was cut is a restored backup: whoever has the answers that it held knows.
#[tokio::test]
async fn a_cut_log_is_noticed_by_the_pool_that_has_the_answers_and_told_as_it_is() {
    const ANSWERS: u64 = 40;
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    for n in 0..ANSWERS {
        let written = store.write(move |c| {
            let content = [5; 32];
            let key = n.to_le_bytes();
            let asked = Asked {
                key: &key,
                ..asked("pool/main", &content)
            };
            record(c, &asked, Some(issue("quote")), conflict, 7)?;
            note_requests(c, QUOTES, "pool/main", n + 1)
        });
        written.await.unwrap();
    }
    let database = std::fs::read(folder.path().join("mint.sqlite")).unwrap();
    let log = std::fs::read(folder.path().join("mint.sqlite-wal")).unwrap();
    let mut lost_something = 0;
    for part in 0..=50 {
        let cut = log.len() * part / 50;
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("mint.sqlite"), &database).unwrap();
        std::fs::write(folder.path().join("mint.sqlite-wal"), &log[..cut]).unwrap();
        let store = open(&folder);
        let kept = store.write(|c| {
            let mut kept = 0;
            for n in 0..ANSWERS {
                let content = [5; 32];
                let key = n.to_le_bytes();
                let asked = Asked {
                    key: &key,
                    ..asked("pool/main", &content)
                };
                kept += u64::from(find(c, &asked)? != Found::Nothing);
            }
            Ok((kept, numbers(c, QUOTES, "pool/main")?))
        });
        let (kept, own) = kept.await.unwrap();
        assert_eq!((own.answers, own.requests), (kept, kept), "cut at {cut}");
        match told(&store, "pool/main", far(ANSWERS, ANSWERS, own.requests)).await {
            Compared::SetBack {
                set_back,
                is_new: true,
            } => {
                assert_eq!(
                    (set_back.own_answers, set_back.told_answers),
                    (kept, ANSWERS)
                );
                assert!(kept < ANSWERS, "cut at {cut}");
                lost_something += 1;
            }
            other => assert_eq!((other, kept), (Compared::Agree, ANSWERS), "cut at {cut}"),
        }
    }
    assert!(lost_something > 20, "{lost_something}");
}
