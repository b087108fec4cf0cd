use tempfile::TempDir;

use super::*;
use crate::outbox::{
    self, Answered, NewRequest, OUTBOX_SCHEMA, RecordedAnswer, backlog, delete_answered,
    mark_answered, waiting_page,
};
use crate::store::Store;

const MINT: &str = "mint/main";
const QUOTES: u16 = 0x4802;

fn open(folder: &TempDir) -> Store {
    Store::open(&folder.path().join("pool.sqlite"), &[OUTBOX_SCHEMA]).unwrap()
}

async fn with<T: Send + 'static>(
    store: &Store,
    f: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
) -> T {
    store.write(f).await.unwrap()
}

fn ask(connection: &Connection, n: u16) -> Result<(), StoreError> {
    let request = NewRequest {
        peer: MINT,
        extension: QUOTES,
        key: &n.to_le_bytes(),
        msg_type: 0x80,
        body: b"body",
    };
    outbox::enqueue(connection, &request, 1)?;
    Ok(())
}

fn hear(connection: &Connection, n: u16, sequence: u64) -> Result<Answered, StoreError> {
    let answer = RecordedAnswer {
        sequence,
        identity: [n as u8; 32],
    };
    note_answers(connection, MINT, QUOTES, sequence)?;
    mark_answered(connection, MINT, QUOTES, &n.to_le_bytes(), &answer, 2)
}

#[tokio::test]
async fn an_answer_that_is_asked_for_again_and_again_is_kept_no_longer_for_it() {
    let folder = TempDir::new().unwrap();
    with(&open(&folder), |c| {
        ask(c, 1)?;
        hear(c, 1, 1)?;
        for (met, now_unix_ms) in [(2, 1_000), (3, 2_000)] {
            meet(c, 1, 0)?;
            ask_again(c, MINT, QUOTES, 10, 10)?;
            let answer = RecordedAnswer {
                sequence: met,
                identity: [1; 32],
            };
            note_answers(c, MINT, QUOTES, met)?;
            let key = &1_u16.to_le_bytes();
            let again = mark_answered(c, MINT, QUOTES, key, &answer, now_unix_ms)?;
            assert_eq!(again, Answered::Again);
        }
        assert_eq!(delete_answered(c, 2, 10)?, 0);
        assert_eq!(delete_answered(c, 3, 10)?, 1);
        Ok(())
    })
    .await;
}

/// The mint tells what it has, asked now.
fn meet(connection: &Connection, requests: u64, answers: u64) -> Result<Compared, StoreError> {
    let told = FarStore {
        far: StoreNumbers { requests, answers },
        own_before: numbers(connection, MINT, QUOTES)?,
    };
    compare(connection, MINT, QUOTES, &told, 7)
}

#[tokio::test]
async fn what_is_enqueued_before_the_mint_is_met_hides_no_set_back_over_any_number_of_restarts() {
    let folder = TempDir::new().unwrap();
    with(&open(&folder), |c| {
        meet(c, 0, 0)?;
        (0..3).try_for_each(|n| ask(c, n))
    })
    .await;
    // From here on it is the copy: the mint has answered ten. Shares come in, and the pool starts
    // again and again before it meets its mint.
    for start in 1..=4 {
        with(&open(&folder), move |c| {
            (0..5).try_for_each(|n| ask(c, start * 100 + n))?;
            assert_eq!(numbers(c, MINT, QUOTES)?.requests, 3);
            Ok(())
        })
        .await;
    }
    with(&open(&folder), |c| {
        let own = meet(c, 10, 10)?.own.unwrap();
        assert_eq!((own.had, own.known), (3, 10));
        // The second time it is no news.
        assert_eq!(meet(c, 10, 10)?, Compared::default());
        assert_eq!(numbers(c, MINT, QUOTES)?.requests, 23);
        ask(c, 999)?;
        assert_eq!(numbers(c, MINT, QUOTES)?.requests, 24);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_mint_that_claims_an_impossible_number_does_not_keep_the_pool_from_asking() {
    let folder = TempDir::new().unwrap();
    with(&open(&folder), |c| {
        assert_eq!(
            meet(c, u64::MAX, u64::MAX)?.own.unwrap().known,
            STORE_NUMBER_MAX
        );
        ask(c, 1)?;
        hear(c, 1, u64::MAX)?;
        assert_eq!(numbers(c, MINT, QUOTES)?.answers, STORE_NUMBER_MAX);
        Ok(())
    })
    .await;
    with(&open(&folder), |c| {
        assert_eq!(
            backlog(c, MINT, QUOTES)?.last_sequence,
            STORE_NUMBER_MAX + 1
        );
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_a_mint_has_forgotten_is_asked_again_in_steps_that_survive_a_restart() {
    let folder = TempDir::new().unwrap();
    with(&open(&folder), |c| {
        meet(c, 0, 0)?;
        for n in 0..100 {
            ask(c, n)?;
            hear(c, n, u64::from(n) + 1)?;
        }
        // Two of them are gone by now.
        assert_eq!(delete_answered(c, 3, 2)?, 2);
        let peer = meet(c, 100, 10)?.peer.unwrap();
        assert_eq!((peer.had, peer.known), (10, 100));
        assert!(ask_again(c, MINT, QUOTES, 30, 50)?);
        Ok(())
    })
    .await;
    with(&open(&folder), |c| {
        assert!(ask_again(c, MINT, QUOTES, 30, 50)?);
        // More than that do not wait at a time.
        assert!(ask_again(c, MINT, QUOTES, 30, 50)?);
        let page = waiting_page(c, MINT, QUOTES, 0, 100)?;
        assert_eq!(page.len(), 60);
        assert!(
            page.iter()
                .all(|request| request.is_whole && request.is_asked_again)
        );
        assert_eq!(page[0].sequence, 11);
        for n in 10..70 {
            assert_eq!(hear(c, n, u64::from(n) + 101)?, Answered::Again);
        }
        assert!(ask_again(c, MINT, QUOTES, 30, 50)?);
        assert!(!ask_again(c, MINT, QUOTES, 30, 50)?);
        assert_eq!(backlog(c, MINT, QUOTES)?.waiting, 30);
        for n in 70..100 {
            assert_eq!(hear(c, n, u64::from(n) + 101)?, Answered::Again);
        }
        // What it has answered anew is not asked a third time.
        assert_eq!(meet(c, 100, 200)?, Compared::default());
        assert!(!ask_again(c, MINT, QUOTES, 30, 50)?);
        assert_eq!(backlog(c, MINT, QUOTES)?.waiting, 0);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_was_learned_elsewhere_is_asked_again_of_the_mint_that_made_it_and_of_no_other() {
    let folder = TempDir::new().unwrap();
    with(&open(&folder), |c| {
        meet(c, 0, 0)?;
        let numbers = [(1, 1), (2, LEARNED), (3, OF_ANOTHER), (4, 2), (5, 3)];
        for (n, sequence) in numbers {
            ask(c, n)?;
            let answer = RecordedAnswer {
                sequence,
                identity: [n as u8; 32],
            };
            let key = n.to_le_bytes();
            mark_answered(c, MINT, QUOTES, &key, &answer, 2)?;
        }
        note_answers(c, MINT, QUOTES, 3)?;
        assert_eq!(meet(c, 5, 1)?.peer.unwrap().had, 1);
        assert!(!ask_again(c, MINT, QUOTES, 10, 10)?);
        let page = waiting_page(c, MINT, QUOTES, 0, 10)?;
        let asked: Vec<u64> = page.iter().map(|request| request.sequence).collect();
        assert_eq!(asked, [2, 4, 5]);
        assert!(page.iter().all(|request| request.is_whole));
        // Once the mint has given it itself it is one like the others.
        assert_eq!(hear(c, 2, 4)?, Answered::Again);
        assert_eq!(meet(c, 5, 4)?, Compared::default());
        Ok(())
    })
    .await;
    // What claims no number of the mint's does not stand in for a damaged one.
    with(&open(&folder), |c| {
        c.execute("UPDATE outbox_heard SET answers = answers + 1024", [])?;
        Ok(())
    })
    .await;
    with(&open(&folder), |c| {
        assert_eq!(numbers(c, MINT, QUOTES)?.answers, 4);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_damaged_number_claims_no_answer_that_was_not_heard() {
    let folder = TempDir::new().unwrap();
    with(&open(&folder), |c| {
        ask(c, 1)?;
        hear(c, 1, 5)?;
        // As a flipped bit leaves it.
        c.execute("UPDATE outbox_heard SET answers = answers + 1024", [])?;
        Ok(())
    })
    .await;
    with(&open(&folder), |c| {
        assert_eq!(numbers(c, MINT, QUOTES)?.answers, 5);
        Ok(())
    })
    .await;
}
