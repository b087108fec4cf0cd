use tempfile::TempDir;

use super::*;
use crate::limits::BODY_BYTES_MAX;
use crate::store::Store;

const MINT: &str = "mint/main";
const QUOTES: u16 = 0x4802;

fn request<'a>(key: &'a [u8], body: &'a [u8]) -> NewRequest<'a> {
    NewRequest {
        peer: MINT,
        extension: QUOTES,
        key,
        msg_type: 0x80,
        body,
    }
}

fn open(folder: &TempDir) -> Store {
    Store::open(&folder.path().join("pool.sqlite"), &[OUTBOX_SCHEMA]).unwrap()
}

async fn with<T: Send + 'static>(
    store: &Store,
    f: impl FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
) -> T {
    store.write(f).await.unwrap()
}

fn answered(connection: &Connection, key: &[u8], now_unix_ms: u64) -> Result<Answered, StoreError> {
    let answer = RecordedAnswer {
        sequence: 1,
        identity: [1; 32],
    };
    mark_answered(connection, MINT, QUOTES, key, &answer, now_unix_ms)
}

fn waiting_keys(connection: &Connection) -> Vec<(u64, Vec<u8>)> {
    waiting_page(connection, MINT, QUOTES, 0, 100)
        .unwrap()
        .into_iter()
        .map(|r| (r.sequence, r.key))
        .collect()
}

#[tokio::test]
async fn a_share_that_is_handed_in_twice_is_one_request() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    with(&store, |c| {
        assert_eq!(enqueue(c, &request(b"share", b"1"), 10)?, Enqueued::New);
        assert_eq!(
            enqueue(c, &request(b"share", b"1"), 11)?,
            Enqueued::AlreadyThere
        );
        // Another family and another peer have keys of their own.
        let mut elsewhere = request(b"share", b"2");
        elsewhere.extension = 0x4803;
        assert_eq!(enqueue(c, &elsewhere, 12)?, Enqueued::New);
        elsewhere = request(b"share", b"2");
        elsewhere.peer = "mint/other";
        assert_eq!(enqueue(c, &elsewhere, 12)?, Enqueued::New);
        Ok(())
    })
    .await;
    drop(store);

    // The pool was restarted and the miner sends the share again, now for more.
    let store = open(&folder);
    let error = store
        .write(|c| enqueue(c, &request(b"share", b"2"), 13))
        .await
        .unwrap_err();
    assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
    with(&store, |c| {
        assert_eq!(waiting_keys(c), [(1, b"share".to_vec())]);
        assert_eq!(answered(c, b"share", 20)?, Answered::First);
        assert_eq!(answered(c, b"share", 21)?, Answered::Stale);
        assert_eq!(
            enqueue(c, &request(b"share", b"1"), 22)?,
            Enqueued::AlreadyThere
        );
        assert_eq!(backlog(c, MINT, QUOTES)?.waiting, 0);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn shares_that_are_handed_in_together_are_counted_as_those_that_come_alone() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    with(&store, |c| {
        enqueue(c, &request(b"one", b"1"), 1)?;
        let both = [request(b"two", b"2"), request(b"one", b"1")];
        let other = NewRequest {
            peer: "mint/other",
            ..request(b"one", b"1")
        };
        let all = [both[0], both[1], both[0], other];
        let enqueued = enqueue_all(c, &all, 2)?;
        use Enqueued::{AlreadyThere, New};
        assert_eq!(enqueued, [New, AlreadyThere, AlreadyThere, New]);
        assert_eq!(
            waiting_keys(c),
            [(1, b"one".to_vec()), (2, b"two".to_vec())]
        );
        let own = backlog(c, both[0].peer, both[0].extension)?;
        assert_eq!((own.waiting, own.last_sequence), (2, 2));
        assert_eq!(waiting(c, other.peer, other.extension)?, 1);
        // Another content under a known key: the whole hand-in is refused.
        let refused = crate::store::in_savepoint(c, || {
            enqueue_all(c, &[request(b"three", b"3"), request(b"one", b"x")], 3)
        });
        assert!(matches!(refused, Err(StoreError::Conflict { .. })));
        assert_eq!(waiting(c, both[0].peer, both[0].extension)?, 2);
        Ok(())
    })
    .await;
}

/// More than are hashed together, some of them twice: those behind get other numbers than if all were new.
#[tokio::test]
async fn shares_that_are_handed_in_together_are_whole_wherever_one_was_there_already() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let keys: Vec<u32> = (0..200)
        .map(|i| if i % 9 == 8 { i / 2 } else { i })
        .collect();
    with(&store, move |c| {
        let third = 3_u32.to_le_bytes();
        enqueue(c, &request(&third, b"3"), 1)?;
        let texts: Vec<_> = (keys.iter())
            .map(|key| (key.to_le_bytes(), key.to_string()))
            .collect();
        let requests: Vec<_> = (texts.iter())
            .map(|(key, text)| request(key, text.as_bytes()))
            .collect();
        let enqueued = enqueue_all(c, &requests, 2)?;

        let mut new = vec![third.to_vec()];
        for (request, enqueued) in requests.iter().zip(enqueued) {
            let is_new = !new.iter().any(|key| key == request.key);
            assert_eq!(enqueued == Enqueued::New, is_new);
            new.extend(is_new.then(|| request.key.to_vec()));
        }
        let page = waiting_page(c, MINT, QUOTES, 0, 1_000)?;
        assert!(page.iter().all(|request| request.is_whole));
        let numbered = page
            .into_iter()
            .map(|request| (request.sequence, request.key));
        assert!(numbered.eq((1..).zip(new)));

        // What is wrong ends it there, whatever is before.
        let long = vec![0; BODY_BYTES_MAX + 1];
        let wrong = [
            request(b"new", b""),
            request(b"long", &long),
            request(b"", b""),
        ];
        let error = enqueue_all(c, &wrong, 3).unwrap_err().to_string();
        assert!(error.contains("65537"), "{error}");
        let conflict = [request(&third, b"4"), request(b"long", &long)];
        let error = enqueue_all(c, &conflict, 3).unwrap_err();
        assert!(matches!(error, StoreError::Conflict { .. }), "{error}");
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_backlog_comes_out_in_pages_in_the_order_it_was_made() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    with(&store, |c| {
        for n in 0..25u8 {
            enqueue(c, &request(&[n], b"body"), u64::from(n))?;
        }
        answered(c, &[3], 30)?;
        let mut seen = Vec::new();
        let mut after = 0;
        loop {
            let page = waiting_page(c, MINT, QUOTES, after, 10)?;
            let Some(last) = page.last() else { break };
            after = last.sequence;
            seen.extend(page.into_iter().map(|r| r.key[0]));
        }
        let expected: Vec<u8> = (0..25).filter(|n| *n != 3).collect();
        assert_eq!(seen, expected);
        assert_eq!(
            backlog(c, MINT, QUOTES)?,
            Backlog {
                waiting: 24,
                parked: 0,
                oldest_unix_ms: Some(0),
                last_sequence: 25,
                ..Backlog::default()
            }
        );
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_page_is_read_without_looking_at_the_rows_below_it_or_at_what_is_answered() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    with(&store, |c| {
        for n in 0..3_000u16 {
            enqueue(c, &request(&n.to_le_bytes(), b"body"), 1)?;
            if n % 1_000 != 7 {
                answered(c, &n.to_le_bytes(), 2)?;
            }
        }
        let sequences = |after, rows_max| {
            let page = waiting_page(c, MINT, QUOTES, after, rows_max);
            page.map(|page| page.iter().map(|r| r.sequence).collect::<Vec<_>>())
        };
        assert_eq!(sequences(0, 2)?, [8, 1_008]);
        assert_eq!(sequences(1_007, 10)?, [1_008, 2_008]);
        assert_eq!(sequences(1_008, 10)?, [2_008]);
        assert_eq!(sequences(u64::MAX, 10)?, [0; 0]);
        let sql = blocks::waiting_rows(row::COLUMNS);
        let plan: Vec<String> = c
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?
            .query_map([0, 0, 0], |row| row.get(3))?
            .collect::<Result<_, _>>()?;
        assert_eq!(plan.len(), 3, "{plan:?}");
        assert!(
            plan.iter()
                .all(|step| step.contains("USING INTEGER PRIMARY KEY")),
            "{plan:?}"
        );
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_the_mint_refused_waits_for_the_operator() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    with(&store, |c| {
        enqueue(c, &request(b"bad", b"1"), 1)?;
        assert!(park(c, MINT, QUOTES, b"bad", "unknown-unit", 2)?);
        assert_eq!(waiting_keys(c), []);
        let parked = parked_page(c, MINT, QUOTES, 0, 10)?;
        assert_eq!(parked[0].error, "unknown-unit");
        assert_eq!(backlog(c, MINT, QUOTES)?.parked, 1);
        // Neither time nor an answer that comes late brings it back.
        assert_eq!(delete_answered(c, u64::MAX >> 1, 100)?, 0);
        assert_eq!(answered(c, b"bad", 3)?, Answered::Stale);

        assert!(release(c, MINT, QUOTES, b"bad")?);
        assert!(!release(c, MINT, QUOTES, b"bad")?);
        assert_eq!(waiting_keys(c), [(1, b"bad".to_vec())]);
        let backlog = backlog(c, MINT, QUOTES)?;
        assert_eq!((backlog.waiting, backlog.parked), (1, 0));
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn answered_requests_go_after_their_time_in_bounded_steps() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    with(&store, |c| {
        for n in 0..10u8 {
            enqueue(c, &request(&[n], b"body"), 1)?;
            if n < 8 {
                answered(c, &[n], 100 + u64::from(n))?;
            }
        }
        assert_eq!(delete_answered(c, 106, 4)?, 4);
        assert_eq!(delete_answered(c, 106, 4)?, 2);
        assert_eq!(delete_answered(c, 106, 4)?, 0);
        assert_eq!(
            state_of(c, MINT, QUOTES, &[7])?,
            Some(RequestState::Answered)
        );
        assert_eq!(state_of(c, MINT, QUOTES, &[0])?, None);
        assert_eq!(waiting_keys(c).len(), 2);
        Ok(())
    })
    .await;
}

/// Asked early and answered late: what was answered before it goes, though it lies above.
#[tokio::test]
async fn answered_requests_that_lie_above_others_which_are_to_be_kept_are_found_in_time() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    with(&store, |c| {
        for n in 0..200u8 {
            enqueue(c, &request(&[n], b"body"), 1)?;
            answered(c, &[n], if n < 150 { 900 } else { 100 })?;
        }
        let steps: Vec<usize> = (0..20)
            .map(|_| delete_answered(c, 500, 10))
            .collect::<Result<_, _>>()?;
        assert_eq!(steps.iter().sum::<usize>(), 50, "{steps:?}");
        assert!(steps.iter().all(|deleted| *deleted <= 10), "{steps:?}");
        // Their keys are free, those of the others are not.
        assert_eq!(enqueue(c, &request(&[150], b"other"), 2)?, Enqueued::New);
        let kept = enqueue(c, &request(&[149], b"body"), 2)?;
        assert_eq!(kept, Enqueued::AlreadyThere);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_old_announcement_has_no_effect_also_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    with(&store, |c| {
        assert!(admit_announcement(c, MINT, QUOTES, "hash", 5)?);
        assert!(admit_announcement(c, MINT, QUOTES, "hash", 7)?);
        Ok(())
    })
    .await;
    drop(store);
    with(&open(&folder), |c| {
        assert!(!admit_announcement(c, MINT, QUOTES, "hash", 6)?);
        assert!(admit_announcement(c, MINT, QUOTES, "hash", 7)?);
        assert!(admit_announcement(c, "mint/other", QUOTES, "hash", 1)?);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_mint_with_two_units_announces_both_again_after_a_reconnect() {
    let folder = TempDir::new().unwrap();
    with(&open(&folder), |c| {
        for connection in ["the first", "the next"] {
            for (unit, serial) in [("hash", 1), ("sat", 2)] {
                assert!(
                    admit_announcement(c, MINT, QUOTES, unit, serial)?,
                    "{unit} on {connection} connection"
                );
            }
        }
        assert!(admit_announcement(c, MINT, QUOTES, "hash", 3)?);
        assert!(!admit_announcement(c, MINT, QUOTES, "hash", 1)?);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn a_mint_that_invents_units_is_listened_to_up_to_the_bound() {
    let folder = TempDir::new().unwrap();
    with(&open(&folder), |c| {
        for n in 0..ANNOUNCED_TOPICS_MAX as u64 {
            assert!(admit_announcement(
                c,
                MINT,
                QUOTES,
                &format!("unit {n}"),
                n
            )?);
        }
        assert!(!admit_announcement(c, MINT, QUOTES, "one more", 1_000)?);
        assert!(admit_announcement(c, MINT, QUOTES, "unit 0", 1_001)?);
        assert!(admit_announcement(c, "mint/other", QUOTES, "hash", 1)?);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn what_is_given_up_is_gone_for_the_peer_and_left_for_the_role_to_note() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    with(&store, |c| {
        for n in 0..3u8 {
            enqueue(c, &request(&[n], b"body"), 1)?;
        }
        assert!(!discard(c, MINT, QUOTES, &[0])?, "it waits");
        park(c, MINT, QUOTES, &[0], "the hub rejects it", 2)?;
        assert!(discard(c, MINT, QUOTES, &[0])?);
        assert!(!discard(c, MINT, QUOTES, &[0])?);
        assert!(!release(c, MINT, QUOTES, &[0])?);
        let backlog = backlog(c, MINT, QUOTES)?;
        assert_eq!((backlog.waiting, backlog.parked), (2, 0));
        let page = discarded_page(c, QUOTES, 10)?;
        assert_eq!(
            (page.len(), page[0].error.as_str()),
            (1, "the hub rejects it")
        );
        forget_discarded(c, &page[0])?;
        assert_eq!(discarded_page(c, QUOTES, 10)?.len(), 0);
        Ok(())
    })
    .await;
}

#[tokio::test]
async fn an_operator_works_on_the_file_beside_the_role_and_both_see_what_the_other_did() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    let path = folder.path().join("pool.sqlite");
    with(&store, |c| {
        // More than one step of the operator's.
        for n in 0..2_500u16 {
            enqueue(c, &request(&n.to_le_bytes(), b"body"), 1)?;
            park(c, MINT, QUOTES, &n.to_le_bytes(), "unknown-unit", 2)?;
        }
        enqueue(c, &request(&[7; 32], b"body"), 1)?;
        park(c, MINT, QUOTES, &[7; 32], "unknown-unit", 2)?;
        Ok(())
    })
    .await;
    let looking = OutboxFile::open_read_only(&path).unwrap();
    let mut acting = OutboxFile::open(&path).unwrap();
    let parked = || looking.peers().unwrap()[0].backlog.parked;
    assert_eq!(parked(), 2_501);
    let mut hash = [7; 32];
    hash[31] = 8;
    with(&store, move |c| {
        enqueue(c, &request(&hash, b"body"), 1)?;
        park(c, MINT, QUOTES, &hash, "unknown-unit", 2)
    })
    .await;
    // As block hashes are written.
    let text = format!("08{}", "07".repeat(31));
    assert_eq!(acting.discard(&text).unwrap(), 1);
    assert_eq!(acting.retry(&text).unwrap(), 0);
    assert_eq!(acting.retry("no key").unwrap(), 0);
    assert_eq!(acting.retry(&"07".repeat(32)).unwrap(), 1);
    assert_eq!(acting.retry_all().unwrap(), 2_500);
    assert_eq!(parked(), 0);
    let waiting = with(&store, |c| backlog(c, MINT, QUOTES)).await.waiting;
    assert_eq!(waiting, 2_501);
}

/// Damaged ones stay for the operator, however many, and what lies behind them goes all the same.
#[tokio::test]
async fn answered_requests_that_are_parked_do_not_keep_the_others() {
    let folder = TempDir::new().unwrap();
    let store = open(&folder);
    with(&store, |c| {
        for n in 0..30u8 {
            enqueue(c, &request(&[n], b"body"), 1)?;
            answered(c, &[n], 100)?;
        }
        c.execute(
            "UPDATE outbox SET body = X'00' WHERE (id & 65535) <= 10",
            [],
        )?;
        Ok(())
    })
    .await;
    drop(store);
    let store = open(&folder);
    with(&store, |c| {
        let parked = backlog(c, MINT, QUOTES)?.parked;
        let steps: Vec<usize> = (0..10)
            .map(|_| delete_answered(c, 500, 5))
            .collect::<Result<_, _>>()?;
        assert_eq!(
            steps.iter().sum::<usize>() as u64,
            30 - parked,
            "{steps:?}, {parked} parked"
        );
        assert!(parked >= 5, "{parked} parked");
        Ok(())
    })
    .await;
}
