//! Bits that flip and tails that are cut off, anywhere in a role's files: nothing altered is ever sent, and nothing that
//! was answered counts as new.

use std::path::{Path, PathBuf};

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use tempfile::TempDir;
use winze_client::answers::{self, Answer, Asked, Decision, Found};
use winze_client::mint_quote::{FarStore, StoreNumbers};
use winze_client::outbox::{self, OutboxFile, RecordedAnswer, RequestState};
use winze_client::{ANSWERS_SCHEMA, NewRequest, OUTBOX_SCHEMA, Store, StoreError};

const MINT: &str = "mint/main";
const POOL: &str = "pool/main";
const QUOTES: u16 = 0x4802;
const ROWS: u16 = 120;

fn key(n: u16) -> [u8; 32] {
    let mut key = [7; 32];
    key[..2].copy_from_slice(&n.to_le_bytes());
    key
}

fn body(n: u16) -> Vec<u8> {
    format!("what share {n} is worth, and to whom").into_bytes()
}

/// The answer to request `n` has this number plus one.
fn answered(connection: &rusqlite::Connection, n: u16) -> Result<(), StoreError> {
    let answer = RecordedAnswer {
        sequence: u64::from(n) + 1,
        identity: key(n),
    };
    outbox::mark_answered(connection, MINT, QUOTES, &key(n), &answer, 2_000)?;
    outbox::note_answers(connection, MINT, QUOTES, answer.sequence)
}

/// Requests in every state, and their answers.
fn write_all(connection: &rusqlite::Connection) -> Result<(), StoreError> {
    for n in 0..ROWS {
        let request = NewRequest {
            peer: MINT,
            extension: QUOTES,
            key: &key(n),
            msg_type: 0x80,
            body: &body(n),
        };
        outbox::enqueue(connection, &request, 1_000 + u64::from(n))?;
        let asked = Asked {
            peer: POOL,
            extension: QUOTES,
            key: &key(n),
            content: &key(n),
        };
        let answer = Answer {
            msg_type: 0x81,
            body: body(n),
        };
        let decision = match n % 5 {
            0 => Decision::Refusal(answer),
            _ => Decision::Effect(answer),
        };
        answers::record(connection, &asked, Some(decision), || unreachable!(), 1)?;
        match n % 3 {
            1 => answered(connection, n)?,
            2 if n.is_multiple_of(2) => drop(outbox::park(
                connection,
                MINT,
                QUOTES,
                &key(n),
                "why",
                2_000,
            )?),
            _ => {}
        }
    }
    answers::announce(connection, QUOTES, "hash", b"a keyset", 3_000)?;
    Ok(())
}

fn state_of(n: u16) -> RequestState {
    match n % 3 {
        1 => RequestState::Answered,
        2 if n.is_multiple_of(2) => RequestState::Parked,
        _ => RequestState::Waiting,
    }
}

fn open(path: &Path) -> Result<Store, StoreError> {
    Store::open(path, &[OUTBOX_SCHEMA, ANSWERS_SCHEMA])
}

/// What a store that could be opened says, compared with what was written. With `all`, nothing may be missing; else what
/// was written last may be.
async fn compare(store: &Store, all: bool, what: &str) -> u16 {
    let what = what.to_owned();
    let checked = store
        .write(move |connection| {
            let mut known = 0;
            let page = outbox::waiting_page(connection, MINT, QUOTES, 0, usize::from(ROWS) * 2)?;
            for request in page.iter().filter(|request| request.is_whole) {
                let n = u16::from_le_bytes([request.key[0], request.key[1]]);
                assert_eq!(request.key, key(n), "{what}");
                assert_eq!(request.body, body(n), "{what}: altered and to be sent");
                assert_eq!(request.msg_type, 0x80, "{what}");
            }
            let damaged = outbox::parked_page(connection, MINT, QUOTES, 0, usize::from(ROWS))?
                .into_iter()
                .filter(|parked| parked.error.contains("damaged on disk"))
                .count();
            let mut missing = 0;
            for n in 0..ROWS {
                match outbox::state_of(connection, MINT, QUOTES, &key(n))? {
                    None => missing += 1,
                    Some(RequestState::Answered) if state_of(n) == RequestState::Waiting && all => {
                        panic!("{what}: request {n} is taken for answered")
                    }
                    Some(_) => {}
                }
                let asked = Asked {
                    peer: POOL,
                    extension: QUOTES,
                    key: &key(n),
                    content: &key(n),
                };
                match answers::find(connection, &asked) {
                    Ok(Found::Given(given)) => {
                        assert_eq!(given.answer.body, body(n), "{what}: another answer");
                        known += 1;
                    }
                    // It is not answered at all.
                    Err(_) => known += 1,
                    Ok(Found::Nothing) if !all => {}
                    Ok(found) => panic!("{what}: answer {n} is {found:?}"),
                }
            }
            for announced in answers::announcements(connection, QUOTES)? {
                assert_eq!(announced.body, b"a keyset", "{what}");
            }
            if all {
                // A damaged key is another key, parked.
                assert!(
                    missing <= damaged,
                    "{what}: {missing} missing, {damaged} damaged"
                );
            }
            Ok(known)
        })
        .await;
    match checked {
        Ok(known) => known,
        Err(StoreError::Panicked) => panic!("see above"),
        // A read that fails promises nothing.
        Err(_) => ROWS,
    }
}

/// The files of a store as a power cut leaves them.
fn copy(from: &Path, to: &Path) -> PathBuf {
    for ending in ["", "-wal"] {
        let source = PathBuf::from(format!("{}{ending}", from.display()));
        if source.exists() {
            std::fs::copy(source, to.join(format!("role.sqlite{ending}"))).unwrap();
        }
    }
    to.join("role.sqlite")
}

#[tokio::test]
async fn a_bit_that_flips_in_a_store_alters_no_request_and_undoes_no_answer() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("whole.sqlite");
    let store = open(&path).unwrap();
    store.write(write_all).await.unwrap();
    drop(store);
    let mut rng = StdRng::seed_from_u64(0x57_49_4e);
    let (mut refused, mut opened) = (0, 0);
    for round in 0..250 {
        let work = TempDir::new().unwrap();
        let damaged = copy(&path, work.path());
        let mut bytes = std::fs::read(&damaged).unwrap();
        let (at, bit) = (rng.gen_range(0..bytes.len()), rng.gen_range(0..8));
        bytes[at] ^= 1 << bit;
        std::fs::write(&damaged, &bytes).unwrap();
        let what = format!("round {round}: bit {bit} of byte {at}");
        match open(&damaged) {
            Ok(store) => {
                opened += 1;
                compare(&store, true, &what).await;
            }
            Err(error) => {
                refused += 1;
                assert!(!error.to_string().is_empty(), "{what}");
            }
        }
    }
    assert!(
        refused > 10 && opened > 10,
        "{refused} refused, {opened} opened"
    );
}

#[tokio::test]
async fn a_flipped_bit_in_a_request_parks_it_with_the_reason_and_it_stays_unsent_when_retried() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("role.sqlite");
    let store = open(&path).unwrap();
    store.write(write_all).await.unwrap();
    drop(store);
    let store = open(&path).unwrap();
    // As a flipped bit leaves it.
    store
        .write(|c| {
            Ok(c.execute(
                "UPDATE outbox SET body = CAST(substr(body, 1, 20) || 'x' || substr(body, 22) AS BLOB)
                 WHERE key = ?1",
                [key(27)],
            )?)
        })
        .await
        .unwrap();
    let waiting = |store: &Store| {
        let store = store.clone();
        async move {
            let page = store.read(|c| outbox::waiting_page(c, MINT, QUOTES, 0, 1_000));
            let page = page.await.unwrap();
            page.into_iter().find(|request| request.key == key(27))
        }
    };
    assert!(!waiting(&store).await.unwrap().is_whole);
    drop(store);
    let store = open(&path).unwrap();
    assert_eq!(waiting(&store).await, None);
    let mut file = OutboxFile::open(&path).unwrap();
    let peer = file.peers().unwrap().remove(0);
    let parked = file.parked(&peer, 1_000).unwrap();
    let damaged = parked.iter().find(|parked| parked.key == key(27)).unwrap();
    assert!(damaged.error.as_ref().unwrap().contains("damaged on disk"));
    let text = outbox::key_to_text(QUOTES, &key(27));
    assert_eq!(file.retry(&text).unwrap(), 1);
    let retried = waiting(&store).await.unwrap();
    assert!(!retried.is_whole, "a change of state vouches for nothing");
}

#[tokio::test]
async fn a_damaged_answer_keeps_the_store_shut_and_the_operator_hears_what_to_do() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("role.sqlite");
    let store = open(&path).unwrap();
    store.write(write_all).await.unwrap();
    // As a flipped bit leaves it.
    store
        .write(|c| {
            Ok(c.execute(
                "UPDATE answer_effect SET body = CAST('x' || substr(body, 2) AS BLOB) WHERE key = ?1",
                [key(28)],
            )?)
        })
        .await
        .unwrap();
    drop(store);
    let error = open(&path).err().unwrap();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("answer_effect") && text.contains("backup"),
        "{text}"
    );
}

#[tokio::test]
async fn damage_in_the_write_ahead_log_loses_what_came_last_and_no_more_and_is_told() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("whole.sqlite");
    let store = open(&path).unwrap();
    store.write(write_all).await.unwrap();
    for n in 0..20u16 {
        store.write(move |c| answered(c, n * 3)).await.unwrap();
    }
    // The store stays open: closed, it would have no log.
    let mut rng = StdRng::seed_from_u64(0x57_41_4c);
    let (mut told, mut cut_short) = (0, 0);
    for round in 0..80 {
        let work = TempDir::new().unwrap();
        let damaged = copy(&path, work.path());
        let log = work.path().join("role.sqlite-wal");
        let mut bytes = std::fs::read(&log).unwrap();
        let at = rng.gen_range(0..bytes.len());
        let cut = round % 2 == 0;
        match cut {
            true => bytes.truncate(at),
            false => bytes[at] ^= 1 << rng.gen_range(0..8),
        }
        std::fs::write(&log, &bytes).unwrap();
        let what = format!(
            "round {round}: {} at {at}",
            if cut { "cut" } else { "flipped" }
        );
        let Ok(store) = open(&damaged) else {
            continue;
        };
        // All answers were one transaction: known all, or none of them.
        let known = compare(&store, false, &what).await;
        assert!(known == 0 || known == ROWS, "{what}: {known}");
        match store.damage() {
            Some(_) if cut => panic!("{what}: a tail that is gone cannot be seen here"),
            Some(_) => told += 1,
            None => cut_short += 1,
        }
    }
    assert!(told > 10 && cut_short > 10, "{told} told, {cut_short} not");
    // As it is, nothing is wrong with it.
    let work = TempDir::new().unwrap();
    let sound = open(&copy(&path, work.path())).unwrap();
    assert_eq!(sound.damage(), None);
    assert_eq!(compare(&sound, false, "sound").await, ROWS);
}

#[tokio::test]
async fn a_file_whose_tail_is_cut_off_is_refused_or_whole() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("whole.sqlite");
    let store = open(&path).unwrap();
    store.write(write_all).await.unwrap();
    drop(store);
    let bytes = std::fs::read(&path).unwrap();
    let mut rng = StdRng::seed_from_u64(0x43_55_54);
    for _ in 0..40 {
        let work = TempDir::new().unwrap();
        let cut = work.path().join("role.sqlite");
        let at = rng.gen_range(1..bytes.len());
        std::fs::write(&cut, &bytes[..at]).unwrap();
        if let Ok(store) = open(&cut) {
            compare(&store, true, &format!("cut at {at}")).await;
        }
    }
}

#[tokio::test]
async fn what_an_older_program_wrote_is_sealed_as_it_is() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("role.sqlite");
    let older = rusqlite::Connection::open(&path).unwrap();
    older
        .execute_batch("CREATE TABLE winze_schema (name TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL) STRICT")
        .unwrap();
    for schema in [OUTBOX_SCHEMA, ANSWERS_SCHEMA] {
        older.execute_batch(schema.migrations[0]).unwrap();
        older
            .execute("INSERT INTO winze_schema VALUES (?1, 1)", [schema.name])
            .unwrap();
    }
    older
        .execute_batch(
            "INSERT INTO outbox (peer, extension, sequence, key, msg_type, body, state, created_unix_ms)
             VALUES ('mint/main', 18434, 1, X'01', 128, X'02', 0, 5);
             INSERT INTO outbox_peer VALUES ('mint/main', 18434, 1, 1, 0);
             INSERT INTO answer_effect VALUES (18434, X'01', zeroblob(32), 'pool/main', 129, X'03', 1, 5);
             INSERT INTO answer_given VALUES (18434, X'02', 'pool/main', zeroblob(32), 130, X'04', 2, 5);
             INSERT INTO answer_announcement VALUES (18434, 'hash', 1, X'05');",
        )
        .unwrap();
    drop(older);
    for _ in 0..2 {
        let store = open(&path).unwrap();
        let page = store
            .read(|c| outbox::waiting_page(c, MINT, QUOTES, 0, 10))
            .await
            .unwrap();
        assert!(page.len() == 1 && page[0].is_whole);
        for key in [[1], [2]] {
            let found = store.write(move |c| {
                let asked = Asked {
                    peer: POOL,
                    extension: QUOTES,
                    key: &key,
                    content: &[0; 32],
                };
                answers::find(c, &asked)
            });
            assert!(matches!(found.await.unwrap(), Found::Given(_)));
        }
    }
}

/// A pool that was updated in the midst of its work: what waited waits, what was answered is known, and nothing that was
/// damaged counts as whole for having been moved.
#[tokio::test]
async fn requests_of_an_older_program_stand_where_they_stood_each_in_its_state() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("role.sqlite");
    let older = rusqlite::Connection::open(&path).unwrap();
    older
        .execute_batch("CREATE TABLE winze_schema (name TEXT NOT NULL PRIMARY KEY, version INTEGER NOT NULL) STRICT")
        .unwrap();
    for step in &OUTBOX_SCHEMA.migrations[..4] {
        older.execute_batch(step).unwrap();
    }
    older
        .execute("INSERT INTO winze_schema VALUES ('outbox', 4)", [])
        .unwrap();
    // Waiting, answered, answered by an even older one, parked, asked again, parked when asked again.
    let states = [(0, 0), (1, 6), (1, 0), (2, 0), (0, 8), (2, 9)];
    for (peer, first, damaged) in [(MINT, 1, 0), ("mint/other", 1 << 62, 1)] {
        for (n, (state, answer)) in (0_u64..).zip(states) {
            let (key, body) = (key(n as u16), body(n as u16));
            let answer = Some(answer).filter(|answer| *answer > 0);
            let checksum = older_checksum(peer, first + n, &key, state, &body, answer);
            older
                .execute(
                    "INSERT INTO outbox
                     (peer, extension, sequence, key, msg_type, body, state, created_unix_ms,
                      attempts, ended_unix_ms, error, checksum, answer_sequence, answer_identity)
                     VALUES (?1, ?2, ?3, ?4, 128, ?5, ?6, 5, 3, ?7, ?8, ?9, ?10, ?11)",
                    rusqlite::params![
                        peer,
                        QUOTES,
                        first + n,
                        key,
                        // Of the other peer the first one is damaged.
                        if n == 0 && damaged == 1 {
                            b"x".to_vec()
                        } else {
                            body
                        },
                        state,
                        (state > 0 || answer.is_some()).then_some(7),
                        (state == 2).then_some("why"),
                        checksum,
                        answer,
                        answer.map(|_| [1_u8; 32])
                    ],
                )
                .unwrap();
        }
        older
            .execute(
                "INSERT INTO outbox_peer (peer, extension, last_sequence, waiting, parked, sendable)
                 VALUES (?1, ?2, ?3, 2, 2, ?3)",
                rusqlite::params![peer, QUOTES, first + 5],
            )
            .unwrap();
    }
    drop(older);
    use RequestState::{Answered, Parked, Waiting};
    // Twice: what is kept in memory only is found again.
    for _ in 0..2 {
        let store = Store::open(&path, &[OUTBOX_SCHEMA]).unwrap();
        let read = store.write(|c| {
            let mut found = Vec::new();
            for peer in [MINT, "mint/other"] {
                let states = (0..6).map(|n| outbox::state_of(c, peer, QUOTES, &key(n)));
                let states: Vec<_> = states.collect::<Result<_, _>>()?;
                let page = outbox::waiting_page(c, peer, QUOTES, 0, 10)?;
                assert!(page.iter().all(|r| r.is_whole && r.attempts == 3));
                let page = page.iter().map(|r| (r.sequence, r.is_asked_again));
                let parked = outbox::parked_page(c, peer, QUOTES, 0, 10)?;
                let parked = parked.into_iter().map(|p| (p.sequence, p.error.len()));
                found.push((states, page.collect::<Vec<_>>(), parked.collect::<Vec<_>>()));
            }
            Ok(found)
        });
        let found = read.await.unwrap();
        let all = [Waiting, Answered, Answered, Parked, Waiting, Parked].map(Some);
        assert_eq!(
            found[0],
            (
                all.to_vec(),
                vec![(1, false), (5, true)],
                vec![(4, 3), (6, 3)]
            )
        );
        let mut others = all.to_vec();
        others[0] = Some(Parked);
        // A number that no id can hold was claimed by a peer: it is counted from 1.
        let parked: Vec<u64> = found[1].2.iter().map(|(sequence, _)| *sequence).collect();
        assert_eq!((&found[1].0, &found[1].1), (&others, &vec![(5, true)]));
        assert_eq!(parked, [1, 4, 6]);
    }
    let store = Store::open(&path, &[OUTBOX_SCHEMA]).unwrap();
    store
        .write(|c| {
            for n in 0..6 {
                let (key, body) = (key(n), body(n));
                let mut again = NewRequest {
                    peer: MINT,
                    extension: QUOTES,
                    key: &key,
                    msg_type: 0x80,
                    body: &body,
                };
                let there = outbox::enqueue(c, &again, 9)?;
                assert_eq!(there, outbox::Enqueued::AlreadyThere);
                again.body = b"another";
                let other = outbox::enqueue(c, &again, 9);
                assert!(matches!(other, Err(StoreError::Conflict { .. })));
            }
            // What has an answer is confirmed by the same one alone.
            let answer = |n: u8| RecordedAnswer {
                sequence: 20,
                identity: [n; 32],
            };
            let mark =
                |n, a: &RecordedAnswer| outbox::mark_answered(c, MINT, QUOTES, &key(n), a, 9);
            assert_eq!(mark(4, &answer(2))?, outbox::Answered::Otherwise);
            assert_eq!(mark(4, &answer(1))?, outbox::Answered::Again);
            assert_eq!(mark(0, &answer(2))?, outbox::Answered::First);
            assert_eq!(outbox::waiting(c, MINT, QUOTES)?, 0);
            // What was answered before goes, of both peers, also the one that was asked again.
            assert_eq!(outbox::delete_answered(c, 8, 10)?, 5);
            Ok(())
        })
        .await
        .unwrap();
}

/// As the version before wrote it.
fn older_checksum(
    peer: &str,
    sequence: u64,
    key: &[u8],
    state: u8,
    body: &[u8],
    answer: Option<u64>,
) -> Vec<u8> {
    use sha2::{Digest, Sha256};
    let mut digest = Sha256::new().chain_update(b"winze/row/v1");
    let (extension, sequence) = (QUOTES.to_le_bytes(), sequence.to_le_bytes());
    let (kind, created) = ([0x80, state], 5_u64.to_le_bytes());
    let answer = answer.map(u64::to_le_bytes);
    let mut fields: Vec<&[u8]> = vec![
        b"outbox",
        peer.as_bytes(),
        &extension,
        &sequence,
        key,
        &kind,
        body,
        &created,
    ];
    if let Some(answer) = &answer {
        fields.extend([&answer[..], &[1; 32]]);
    }
    for field in fields {
        digest.update((field.len() as u64).to_le_bytes());
        digest.update(field);
    }
    digest.finalize()[..16].to_vec()
}

/// The row was whole when it was sent; while its answer was on its way a bit has flipped.
#[tokio::test]
async fn damage_beside_an_answer_shows_at_the_next_start_whichever_of_the_two_it_hit() {
    for damage in [
        "UPDATE outbox SET body = X'00' WHERE key = ?1",
        "UPDATE outbox SET checksum = zeroblob(16) WHERE key = ?1",
        "UPDATE outbox_answer SET identity = zeroblob(32)
         WHERE id = (SELECT id FROM outbox WHERE key = ?1)",
        "UPDATE outbox_answer SET is_asked_again = 1
         WHERE id = (SELECT id FROM outbox WHERE key = ?1)",
    ] {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("role.sqlite");
        let store = open(&path).unwrap();
        store.write(write_all).await.unwrap();
        store
            .write(move |c| Ok(c.execute(damage, [key(28)])?))
            .await
            .unwrap();
        drop(store);
        for _ in 0..2 {
            let store = open(&path).unwrap();
            let found = store.write(|c| {
                let page = outbox::waiting_page(c, MINT, QUOTES, 0, 1_000)?;
                let page = page.into_iter().find(|r| r.key == key(28));
                // The operator's word vouches for nothing either.
                let was_parked = outbox::release(c, MINT, QUOTES, &key(28))?;
                let retried = outbox::waiting_page(c, MINT, QUOTES, 0, 1_000)?;
                let retried = retried.into_iter().find(|r| r.key == key(28));
                Ok((page, was_parked, retried.map(|r| r.is_whole)))
            });
            let found = found.await.unwrap();
            assert_eq!(found, (None, true, Some(false)), "{damage}");
        }
    }
}

#[tokio::test]
async fn a_log_that_is_cut_anywhere_is_noticed_by_just_as_much_as_the_pool_has_forgotten() {
    const ASKED: u16 = 60;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("whole.sqlite");
    let store = open(&path).unwrap();
    let meet = |connection: &rusqlite::Connection, requests, answers| {
        let told = FarStore {
            far: StoreNumbers { requests, answers },
            own_before: outbox::numbers(connection, MINT, QUOTES)?,
        };
        outbox::compare(connection, MINT, QUOTES, &told, 9)
    };
    store.write(move |c| meet(c, 0, 0)).await.unwrap();
    for n in 0..ASKED {
        store
            .write(move |c| {
                let request = NewRequest {
                    peer: MINT,
                    extension: QUOTES,
                    key: &key(n),
                    msg_type: 0x80,
                    body: &body(n),
                };
                outbox::enqueue(c, &request, 1_000)?;
                n.checked_sub(3).map_or(Ok(()), |n| answered(c, n))
            })
            .await
            .unwrap();
    }
    let mut rng = StdRng::seed_from_u64(0x53_45_54);
    let (mut noticed, mut whole) = (0, 0);
    for round in 0..80 {
        let work = TempDir::new().unwrap();
        let cut = copy(&path, work.path());
        let log = work.path().join("role.sqlite-wal");
        let mut bytes = std::fs::read(&log).unwrap();
        match round {
            0 => {}
            _ => bytes.truncate(rng.gen_range(0..bytes.len())),
        }
        std::fs::write(&log, &bytes).unwrap();
        let store = open(&cut).unwrap();
        // The mint has answered all of them. Before the pool meets it, miners hand in as many again.
        let (forgotten, compared) = store
            .write(move |c| {
                let mut forgotten = 0;
                for n in 0..ASKED {
                    forgotten += u64::from(outbox::state_of(c, MINT, QUOTES, &key(n))?.is_none());
                }
                for n in ASKED..ASKED * 2 {
                    let request = NewRequest {
                        peer: MINT,
                        extension: QUOTES,
                        key: &key(n),
                        msg_type: 0x80,
                        body: &body(n),
                    };
                    outbox::enqueue(c, &request, 2_000)?;
                }
                let all = u64::from(ASKED);
                Ok((forgotten, meet(c, all, all)?))
            })
            .await
            .unwrap();
        assert_eq!(compared.peer, None, "round {round}");
        match compared.own {
            None => {
                whole += 1;
                assert_eq!(forgotten, 0, "round {round}: shares are forgotten, unseen");
            }
            Some(own) => {
                noticed += 1;
                assert_eq!(own.known - own.had, forgotten, "round {round}");
            }
        }
    }
    assert!(
        noticed > 10 && whole > 0,
        "{noticed} noticed, {whole} whole"
    );
}
