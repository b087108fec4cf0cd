use tempfile::TempDir;
use winze_messages::families::mint_quote::MintQuoteRequest;

use super::*;
use crate::limits::STORE_NUMBER_MAX;
use crate::outbox::{NewRequest, OUTBOX_SCHEMA, RequestState};
use crate::store::{Schema, Store};

const MINT: &str = "mint/main";

const LEDGER: Schema = Schema {
    name: "ledger",
    migrations: &["CREATE TABLE ledger (share INTEGER NOT NULL) STRICT"],
};

/// What goes wrong in the effect of a share's answer, after it was written down.
#[derive(Clone, Copy)]
enum Fault {
    Refuses(u8),
    Panics(u8),
    /// As a full disk does.
    EndsTheTransaction(u8),
}

/// A pool that writes down which shares were answered.
struct Ledger(Vec<Fault>);

impl Ledger {
    fn write(&self, tx: &Connection, request: &MintQuoteRequest) -> Result<(), StoreError> {
        let share = request.header_hash[0];
        tx.execute("INSERT INTO ledger (share) VALUES (?1)", [share])?;
        let failed = |reason: &str| {
            Err(StoreError::Aborted {
                reason: reason.to_owned(),
            })
        };
        for fault in &self.0 {
            match *fault {
                Fault::Refuses(at) if at == share => return failed("the pool is not ready"),
                Fault::Panics(at) if at == share => panic!("a bug in a role"),
                Fault::EndsTheTransaction(at) if at == share => {
                    tx.execute_batch("ROLLBACK")?;
                    return failed("the disk is full");
                }
                _ => {}
            }
        }
        Ok(())
    }
}

impl QuoteAnswers for Ledger {
    fn on_response(
        &self,
        tx: &Connection,
        request: &MintQuoteRequest,
        _: &MintQuoteResponse,
    ) -> Result<(), StoreError> {
        self.write(tx, request)
    }

    fn on_refusal(
        &self,
        tx: &Connection,
        request: &MintQuoteRequest,
        _: &MintQuoteError,
    ) -> Result<(), StoreError> {
        self.write(tx, request)
    }

    fn on_keyset(&self, _: &Connection, _: &KeysetAnnouncement) -> Result<(), StoreError> {
        Ok(())
    }

    fn committed(&self, _: &[QuoteEvent]) {}
}

fn request(share: u8) -> MintQuoteRequest {
    MintQuoteRequest {
        amount: u64::from(share),
        unit: "hash".to_owned(),
        header_hash: [share; 32],
        description: None,
        locking_key: [2; 33],
        keyset_id: vec![1; 8],
    }
}

fn quote(share: u8) -> MintQuoteResponse {
    let request = request(share);
    MintQuoteResponse {
        quote_id: format!("quote-{share}"),
        header_hash: request.header_hash,
        amount: request.amount,
        unit: request.unit,
        expires_at_unix_s: 0,
        state: QuoteState::Paid,
    }
}

fn open(folder: &TempDir) -> Store {
    Store::open(&folder.path().join("pool.sqlite"), &[OUTBOX_SCHEMA, LEDGER]).unwrap()
}

async fn open_with_shares(folder: &TempDir, shares: u8) -> Store {
    let store = open(folder);
    let asked = store.write(move |c| {
        for share in 1..=shares {
            let request = request(share);
            let mut body = Vec::new();
            request.encode_body(&mut body).unwrap();
            let new = NewRequest {
                peer: MINT,
                extension: EXT_MINT_QUOTE,
                key: &request.header_hash,
                msg_type: MintQuoteRequest::MSG_TYPE,
                body: &body,
            };
            outbox::enqueue(c, &new, 1)?;
        }
        Ok(())
    });
    asked.await.unwrap();
    store
}

/// Has the mint's answers recorded: share and number of each, with a quote where the share is not among `refused`.
async fn record(
    store: &Store,
    answers: &[(u8, u64)],
    refused: &[u8],
    faults: &[Fault],
) -> Result<RecordedBatch, StoreError> {
    let page = store.read(|c| outbox::waiting_page(c, MINT, EXT_MINT_QUOTE, 0, 100));
    let held = page.await.unwrap().into_iter();
    let held: Vec<_> = held
        .map(|row| Arc::new(HeldRequest::read(row).unwrap()))
        .collect();
    let settlements = answers.iter().map(|(share, number)| {
        let held = held
            .iter()
            .find(|held| held.request.header_hash[0] == *share);
        let held = Arc::clone(held.unwrap());
        let header_hash = held.request.header_hash;
        if refused.contains(share) {
            let error = MintQuoteError {
                header_hash,
                error_code: QuoteErrorCode::Conflict.to_u32(),
                error_message: "no".to_owned(),
                retry_after_ms: 0,
            };
            return Settlement::Refused(held, error, *number);
        }
        Settlement::Issued(held, quote(*share), *number)
    });
    let settlements: Vec<_> = settlements.collect();
    let mint = Mint {
        name: MINT.to_owned(),
        announcer: MINT.to_owned(),
    };
    let ledger = Ledger(faults.to_vec());
    store
        .write(move |c| record_all(c, &mint, settlements, &ledger, 5))
        .await
}

/// Whose effects are there; how many requests are counted as waiting and as parked, and how many do and are.
async fn on_disk(store: &Store) -> (Vec<u8>, [u64; 2], [u64; 2]) {
    let read = store.read(|c| {
        let ledger = c
            .prepare("SELECT share FROM ledger ORDER BY share")?
            .query_map([], |row| row.get(0))?
            .collect::<Result<_, _>>()?;
        let backlog = outbox::backlog(c, MINT, EXT_MINT_QUOTE)?;
        let rows = c.query_row(
            "SELECT count(*) FILTER (WHERE NOT is_parked AND id NOT IN (SELECT id FROM outbox_answer)),
                    count(*) FILTER (WHERE is_parked) FROM outbox",
            [],
            |row| Ok([row.get(0)?, row.get(1)?]),
        )?;
        Ok((ledger, [backlog.waiting, backlog.parked], rows))
    });
    read.await.unwrap()
}

#[tokio::test]
async fn of_effects_that_are_recorded_together_those_that_fail_fail_alone() {
    let folder = TempDir::new().unwrap();
    let store = open_with_shares(&folder, 7).await;
    let faults = [Fault::Refuses(3), Fault::Panics(5), Fault::Refuses(6)];
    // The mint has answered the first one twice.
    let answers = [
        (1, 1),
        (2, 2),
        (3, 3),
        (4, 4),
        (5, 5),
        (6, 6),
        (1, 7),
        (7, 8),
    ];
    let batch = record(&store, &answers, &[4, 6], &faults).await.unwrap();
    let failed: Vec<bool> = batch
        .settlements
        .iter()
        .map(|(_, recorded)| matches!(recorded, Recorded::Failed(_)))
        .collect();
    assert_eq!(
        failed,
        [false, false, true, false, true, true, false, false]
    );
    assert!(matches!(batch.settlements[6].1, Recorded::Stale));
    assert!(matches!(
        batch.settlements[4].1,
        Recorded::Failed(StoreError::Panicked)
    ));
    assert_eq!((batch.backlog.waiting, batch.backlog.parked), (3, 1));
    assert_eq!(on_disk(&store).await, (vec![1, 2, 4, 7], [3, 1], [3, 1]));

    let batch = record(&store, &[(3, 3), (5, 5), (6, 6)], &[6], &[])
        .await
        .unwrap();
    assert_eq!((batch.backlog.waiting, batch.backlog.parked), (0, 2));
    let all = (vec![1, 2, 3, 4, 5, 6, 7], [0, 2], [0, 2]);
    assert_eq!(on_disk(&store).await, all);
    let states = store.read(|c| {
        (1..=7_u8)
            .map(|share| outbox::state_of(c, MINT, EXT_MINT_QUOTE, &[share; 32]))
            .collect::<Result<Vec<_>, _>>()
    });
    let is_parked = |state: &Option<RequestState>| *state == Some(RequestState::Parked);
    let parked: Vec<bool> = states.await.unwrap().iter().map(is_parked).collect();
    assert_eq!(parked, [false, false, false, true, false, true, false]);

    // What is counted anew at a start is what was counted.
    drop(store);
    assert_eq!(on_disk(&open(&folder)).await, all);
}

#[tokio::test]
async fn each_of_many_quotes_is_recorded_as_the_answer_to_its_own_share() {
    let folder = TempDir::new().unwrap();
    let store = open_with_shares(&folder, 40).await;
    let mut answers: Vec<(u8, u64)> = (1..=40).rev().zip(1..).collect();
    // More than the table can hold.
    answers[38].1 = STORE_NUMBER_MAX + 2;
    let refused = [3, 17, 40];
    record(&store, &answers, &refused, &[]).await.unwrap();

    let recorded = store.read(|c| {
        let recorded = c
            .prepare(
                "SELECT o.key, a.identity, a.sequence
                 FROM outbox_answer a JOIN outbox o ON o.id = a.id ORDER BY a.sequence",
            )?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?
            .collect::<Result<Vec<([u8; 32], [u8; 32], u64)>, _>>()?;
        Ok(recorded)
    });
    let issued = answers.iter().filter(|(share, _)| !refused.contains(share));
    let expected = issued.map(|(share, number)| {
        let number = (*number).min(STORE_NUMBER_MAX);
        ([*share; 32], identity(&quote(*share)), number)
    });
    let mut expected: Vec<_> = expected.collect();
    expected.sort_unstable_by_key(|(.., number)| *number);
    assert_eq!(recorded.await.unwrap(), expected);
    // A row whose checksum was another's would be parked at a start.
    drop(store);
    assert_eq!(on_disk(&open(&folder)).await.1, [0, 3]);
}

#[tokio::test]
async fn where_an_effect_ends_the_transaction_nothing_is_kept_not_even_that_answers_came() {
    let folder = TempDir::new().unwrap();
    let store = open_with_shares(&folder, 3).await;
    let faults = [Fault::Refuses(2), Fault::EndsTheTransaction(3)];
    let batch = record(&store, &[(1, 1), (2, 2), (3, 3)], &[], &faults).await;
    assert!(matches!(batch, Err(StoreError::RolledBack { .. })));
    assert_eq!(on_disk(&store).await, (vec![], [3, 0], [3, 0]));
    let numbers = store.read(|c| outbox::numbers(c, MINT, EXT_MINT_QUOTE));
    assert_eq!(numbers.await.unwrap().answers, 0);

    record(&store, &[(1, 1), (2, 2), (3, 3)], &[], &[])
        .await
        .unwrap();
    assert_eq!(on_disk(&store).await, (vec![1, 2, 3], [0, 0], [0, 0]));
}

#[tokio::test]
async fn where_only_the_count_of_a_batch_cannot_be_written_no_settlement_is_blamed_for_it() {
    let folder = TempDir::new().unwrap();
    let store = open_with_shares(&folder, 3).await;
    let refuse_counts_of_several = store.write(|c| {
        c.execute_batch(
            "CREATE TRIGGER several BEFORE UPDATE ON outbox_peer WHEN old.waiting - new.waiting > 1
             BEGIN SELECT RAISE(ABORT, 'several at once'); END;",
        )?;
        Ok(())
    });
    refuse_counts_of_several.await.unwrap();

    let batch = record(&store, &[(1, 1), (2, 2), (3, 3)], &[], &[])
        .await
        .unwrap();
    let is_done = |recorded: &Recorded| matches!(recorded, Recorded::Done);
    assert!(
        batch
            .settlements
            .iter()
            .all(|(_, recorded)| is_done(recorded))
    );
    assert_eq!(batch.backlog.waiting, 0);
}
