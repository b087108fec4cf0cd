mod mint;
mod pushed;

use std::path::Path;
use std::sync::Arc;

use tokio::sync::watch;
use winze_client::outbox::{self, Backlog, RecordedAnswer};
use winze_client::{OUTBOX_SCHEMA, QuoteAnswers, QuoteEvent, Store, StoreError};
use winze_messages::families::mint_quote::*;
use winze_transport::{PublicKey, SecretKey};

use super::*;
use crate::directory::Directory;
use crate::identity::MinerIdentity;
use crate::metrics::Metrics;
use crate::mining::{AcceptedShare, QuoteNotice, Recorded};

const ALICE: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798.rig";
const BOB: &str = "02c6047f9441ed7d6d3045406e95c07cd85c778e4b8cef3ca7abac09b95c709ee5";
/// Shares of one miner that may wait.
const PER_MINER_MAX: u64 = 5;
const KEYSET: [u8; 8] = [0, 1, 2, 3, 4, 5, 6, 7];

struct Pool {
    store: Store,
    ledger: Ledger,
    answers: Answers,
    directory: Arc<Directory>,
    keyset: watch::Receiver<Option<Vec<u8>>>,
}

/// The key whose secret is one byte over and over.
fn key(secret: u8) -> PublicKey {
    SecretKey::from_bytes(&[secret; 32]).unwrap().public_key()
}

fn start(folder: &Path, waiting_max: u64) -> Pool {
    start_with(folder, waiting_max, "mint/main", key(1))
}

fn start_with(folder: &Path, waiting_max: u64, mint: &str, mint_key: PublicKey) -> Pool {
    let store = Store::open(&folder.join("pool.sqlite"), &[OUTBOX_SCHEMA, POOL_SCHEMA]).unwrap();
    let settings = LedgerSettings {
        mint: MintId {
            peer: mint.to_owned(),
            key: mint_key,
        },
        unit: "hash".to_owned(),
        waiting_max,
        waiting_per_miner_max: PER_MINER_MAX,
    };
    let directory = Arc::new(Directory::default());
    let (sink, keyset) = watch::channel(None);
    let metrics = Metrics::new().0;
    Pool {
        ledger: Ledger::new(store.clone(), settings),
        answers: Answers::new(
            "hash".to_owned(),
            mint_key,
            Arc::clone(&directory),
            metrics,
            sink,
        ),
        store,
        directory,
        keyset,
    }
}

fn share(miner: &str, number: u8) -> AcceptedShare {
    AcceptedShare {
        channel_id: 2,
        sequence_number: u32::from(number),
        header_hash: [number; 32],
        amount: 1 << number,
        miner: Arc::new(MinerIdentity::parse(miner.as_bytes()).unwrap()),
        difficulty: 1.0,
    }
}

impl Pool {
    async fn record(&self, share: &AcceptedShare) -> Recorded {
        self.ledger.record(share, KEYSET.to_vec(), 1_000).await
    }

    async fn waiting(&self) -> Vec<MintQuoteRequest> {
        let read = self.store.read(|connection| {
            outbox::waiting_page(connection, "mint/main", EXT_MINT_QUOTE, 0, 100)
        });
        let rows = read.await.unwrap();
        rows.iter()
            .map(|row| MintQuoteRequest::decode_body(&row.body).unwrap())
            .collect()
    }

    async fn backlog(&self) -> Backlog {
        let read = self
            .store
            .read(|connection| outbox::backlog(connection, "mint/main", EXT_MINT_QUOTE));
        read.await.unwrap()
    }

    async fn page(&self, miner: &str, after: u64, limit: u32) -> QuotePage {
        let key = MinerIdentity::parse(miner.as_bytes()).unwrap().locking_key;
        let read = self
            .store
            .read(move |connection| quote_page(connection, &key, after, limit));
        read.await.unwrap()
    }
}

/// What the client does with an answer: the effect and the end of the request are one transaction.
async fn answer(pool: Pool, request: MintQuoteRequest, refuse: bool) -> Pool {
    let store = pool.store.clone();
    let event = if refuse {
        let error = MintQuoteError {
            header_hash: request.header_hash,
            error_code: QuoteErrorCode::UnitNotAllowed.to_u32(),
            error_message: "not you".to_owned(),
            retry_after_ms: 0,
        };
        QuoteEvent::Refused { request, error }
    } else {
        let response = MintQuoteResponse {
            quote_id: format!("quote-{}", request.header_hash[0]),
            header_hash: request.header_hash,
            amount: request.amount,
            unit: request.unit.clone(),
            expires_at_unix_s: 0,
            state: QuoteState::Paid,
        };
        QuoteEvent::Issued { request, response }
    };
    let answers = Arc::new(pool.answers);
    let (for_tx, in_tx) = (Arc::clone(&answers), event.clone());
    store
        .write(move |tx| {
            match &in_tx {
                QuoteEvent::Issued { request, response } => {
                    for_tx.on_response(tx, request, response)?;
                    let key = &request.header_hash;
                    let answer = RecordedAnswer {
                        sequence: 1,
                        identity: *key,
                    };
                    outbox::mark_answered(tx, "mint/main", EXT_MINT_QUOTE, key, &answer, 2_000)?;
                }
                QuoteEvent::Refused { request, error } => {
                    for_tx.on_refusal(tx, request, error)?;
                    let key = &request.header_hash;
                    outbox::park(tx, "mint/main", EXT_MINT_QUOTE, key, "refused", 2_000)?;
                }
                QuoteEvent::Withdrawn { request, error } => {
                    for_tx.on_withdrawal(tx, request, error)?;
                }
                QuoteEvent::Keyset(keyset) => for_tx.on_keyset(tx, keyset)?,
            }
            Ok::<_, StoreError>(())
        })
        .await
        .unwrap();
    answers.committed(&[event]);
    let answers = Arc::into_inner(answers).expect("the write has ended");
    Pool { answers, ..pool }
}

#[tokio::test]
async fn a_share_that_was_taken_before_a_restart_is_still_known_after_it() {
    let folder = tempfile::tempdir().unwrap();
    let pool = start(folder.path(), 100);
    assert_eq!(pool.record(&share(ALICE, 1)).await, Recorded::Stored);
    drop(pool);

    let pool = start(folder.path(), 100);
    assert_eq!(pool.record(&share(ALICE, 1)).await, Recorded::Duplicate);
    let request = pool.waiting().await;
    assert_eq!(request.len(), 1, "and is asked for once");
    assert_eq!(request[0].amount, 2);
    assert_eq!(request[0].keyset_id, KEYSET);
    assert_eq!(&request[0].locking_key[..2], [0x02, 0x79]);
}

#[tokio::test]
async fn at_the_bound_a_share_is_refused_and_leaves_no_trace() {
    let folder = tempfile::tempdir().unwrap();
    let pool = start(folder.path(), 2);
    assert_eq!(pool.record(&share(ALICE, 1)).await, Recorded::Stored);
    assert_eq!(pool.record(&share(BOB, 2)).await, Recorded::Stored);
    assert_eq!(pool.record(&share(ALICE, 3)).await, Recorded::BacklogFull);
    assert_eq!(pool.page(ALICE, 0, 10).await.pending, 1);

    let first = pool.waiting().await.remove(0);
    let pool = answer(pool, first, false).await;
    assert_eq!(pool.record(&share(ALICE, 3)).await, Recorded::Stored);
    assert_eq!(pool.backlog().await.waiting, 2);
}

#[tokio::test]
async fn a_miner_at_its_bound_is_refused_and_the_others_are_not() {
    let folder = tempfile::tempdir().unwrap();
    let pool = start(folder.path(), 100);
    for number in 1..=5 {
        assert_eq!(pool.record(&share(ALICE, number)).await, Recorded::Stored);
    }
    drop(pool);
    // A pool that was restarted knows how many wait.
    let pool = start(folder.path(), 100);
    let sixth = share(ALICE, 6);
    assert_eq!(pool.record(&sixth).await, Recorded::MinerBacklogFull);
    assert_eq!(pool.record(&share(BOB, 7)).await, Recorded::Stored);
    assert_eq!(pool.page(ALICE, 0, 10).await.pending, PER_MINER_MAX);

    // A quote and a refusal make room for one share each.
    let first = pool.waiting().await.remove(0);
    let pool = answer(pool, first, false).await;
    let second = pool.waiting().await.remove(0);
    let pool = answer(pool, second, true).await;
    for number in [6, 8] {
        assert_eq!(pool.record(&share(ALICE, number)).await, Recorded::Stored);
    }
    let ninth = share(ALICE, 9);
    assert_eq!(pool.record(&ninth).await, Recorded::MinerBacklogFull);
    assert_eq!(pool.page(ALICE, 0, 10).await.pending, PER_MINER_MAX);
}

#[tokio::test]
async fn what_waited_in_the_file_of_an_older_pool_counts_for_its_miner() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("pool.sqlite");
    let (older, _) = POOL_SCHEMA.migrations.split_at(3);
    let schema = Schema {
        name: POOL_SCHEMA.name,
        migrations: older,
    };
    let store = Store::open(&file, &[OUTBOX_SCHEMA, schema]).unwrap();
    let alice = MinerIdentity::parse(ALICE.as_bytes()).unwrap().locking_key;
    let write = store.write(move |tx| {
        for (number, state) in [
            (1u8, WAITING),
            (2, WAITING),
            (3, WAITING),
            (4, QUOTED),
            (5, REFUSED),
        ] {
            tx.execute(
                "INSERT INTO pool_share VALUES (?1, ?2, NULL, 1, 1, ?3)",
                (&[number; 32][..], &alice.as_bytes()[..], state),
            )?;
        }
        Ok(())
    });
    write.await.unwrap();
    drop(store);

    let pool = start(folder.path(), 100);
    assert_eq!(pool.page(ALICE, 0, 10).await.pending, 3);
    for number in [6, 7] {
        assert_eq!(pool.record(&share(ALICE, number)).await, Recorded::Stored);
    }
    let eighth = share(ALICE, 8);
    assert_eq!(pool.record(&eighth).await, Recorded::MinerBacklogFull);
}

#[tokio::test]
async fn a_miner_finds_its_quotes_page_by_page_and_nobody_elses() {
    let folder = tempfile::tempdir().unwrap();
    let mut pool = start(folder.path(), 100);
    for number in 1..=5 {
        pool.record(&share(ALICE, number)).await;
    }
    pool.record(&share(BOB, 6)).await;
    for request in pool.waiting().await {
        let refuse = request.header_hash == [4; 32];
        if request.header_hash != [5; 32] {
            pool = answer(pool, request, refuse).await;
        }
    }
    let ids = |page: &QuotePage| -> Vec<String> {
        page.quotes.iter().map(|row| row.quote_id.clone()).collect()
    };
    let first = pool.page(ALICE, 0, 2).await;
    assert_eq!(ids(&first), ["quote-1", "quote-2"]);
    assert!(first.more);
    let last = pool.page(ALICE, first.quotes[1].sequence, 2).await;
    assert_eq!(ids(&last), ["quote-3"]);
    assert!(!last.more);
    assert_eq!(last.pending, 1);
    assert_eq!(last.refused.len(), 1);
    assert_eq!(last.refused[0].error_message, "not you");
    assert_eq!(ids(&pool.page(BOB, 0, 2).await), ["quote-6"]);
}

#[tokio::test]
async fn a_refusal_that_the_operator_has_brought_back_can_become_a_quote() {
    let folder = tempfile::tempdir().unwrap();
    let pool = start(folder.path(), 100);
    let alice = MinerIdentity::parse(ALICE.as_bytes()).unwrap().locking_key;
    let mut notices = pool.directory.connected(1);
    pool.directory.opened(1, 2, alice);
    pool.record(&share(ALICE, 1)).await;
    let request = pool.waiting().await.remove(0);

    let pool = answer(pool, request.clone(), true).await;
    assert_eq!(pool.page(ALICE, 0, 10).await.refused.len(), 1);
    assert!(matches!(
        notices.try_recv().unwrap(),
        (2, QuoteNotice::Refused(_))
    ));

    let pool = answer(pool, request, false).await;
    let page = pool.page(ALICE, 0, 10).await;
    assert_eq!(
        (page.quotes.len(), page.refused.len(), page.pending),
        (1, 0, 0)
    );
    assert!(matches!(
        notices.try_recv().unwrap(),
        (2, QuoteNotice::Issued(_))
    ));
}

#[tokio::test]
async fn a_share_that_the_operator_gives_up_is_refused_and_what_the_mint_had_said_of_one_stands() {
    let folder = tempfile::tempdir().unwrap();
    let pool = start(folder.path(), 100);
    for number in 1..=3 {
        pool.record(&share(ALICE, number)).await;
    }
    let requests = pool.waiting().await;
    let pool = answer(pool, requests[0].clone(), true).await;
    let pool = answer(pool, requests[1].clone(), false).await;
    let store = pool.store.clone();
    let (pool, news) = store
        .write(move |tx| {
            let withdraw = |request: &MintQuoteRequest| {
                let error = MintQuoteError {
                    header_hash: request.header_hash,
                    error_code: QuoteErrorCode::Withdrawn.to_u32(),
                    error_message: "given up".to_owned(),
                    retry_after_ms: 0,
                };
                pool.answers.on_withdrawal(tx, request, &error)
            };
            let news: Result<Vec<bool>, StoreError> = requests.iter().map(withdraw).collect();
            let news = news?;
            Ok((pool, news))
        })
        .await
        .unwrap();
    assert_eq!(news, [false, false, true]);
    let page = pool.page(ALICE, 0, 10).await;
    let mut codes: Vec<u32> = page.refused.iter().map(|share| share.error_code).collect();
    codes.sort_unstable();
    assert_eq!(codes, [8, 9]);
    assert_eq!((page.quotes.len(), page.pending), (1, 0));
}

#[tokio::test]
async fn the_keyset_is_learnt_for_our_unit_and_outlives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let pool = start(folder.path(), 100);
    assert_eq!(pool.ledger.keyset().await.unwrap(), None);
    for (unit, first) in [("hash", 7), ("sat", 9)] {
        let keyset = KeysetAnnouncement {
            unit: unit.to_owned(),
            keyset_id: vec![first; 8],
            keys: Vec::new(),
        };
        pool.answers
            .committed(&[QuoteEvent::Keyset(keyset.clone())]);
        let answers = Answers::new(
            "hash".to_owned(),
            key(1),
            Arc::default(),
            Metrics::new().0,
            watch::Sender::new(None),
        );
        let write = pool.store.write(move |tx| answers.on_keyset(tx, &keyset));
        write.await.unwrap();
    }
    assert_eq!(*pool.keyset.borrow(), Some(vec![7; 8]));
    drop(pool);
    let pool = start(folder.path(), 100);
    assert_eq!(pool.ledger.keyset().await.unwrap(), Some(vec![7; 8]));
}
