//! A pool's store, or its mint's, that was set back.

use std::path::Path;

use tempfile::TempDir;
use winze_client::RequesterStatus;
use winze_client::outbox::{self, OutboxFile, RequestState};
use winze_messages::families::mint_quote::{MintQuoteResponse, StoreQuery, StoreState};
use winze_messages::{EXT_MINT_QUOTE, channel_frame};

use crate::party::{MINT_KEY, STRANGER_KEY, body, digest, mint_keys, request, response};
use crate::requester::{Pool, answer, receive, tell};
use crate::scripted_hub::{HubSide, until, within};

const FILE: &str = "pool.sqlite";

/// As an operator does it while the pool is stopped.
fn copy(from: &Path, to: &Path) {
    std::fs::copy(from.join(FILE), to.join(FILE)).unwrap();
}

async fn start(folder: TempDir) -> Pool {
    Pool::start_in(folder, |config| config.delay_ms = 5).await
}

async fn query(side: &mut HubSide) -> Vec<u8> {
    let (msg_type, sealed) = side.channel_message().await;
    assert_eq!(msg_type, StoreQuery::MSG_TYPE);
    sealed
}

/// The mint's answer to a request, under a number and with a quote of choice.
async fn answer_with(side: &mut HubSide, share: u8, number: u64, quote_id: &str) {
    let request = request(share);
    let mut response = response(&request);
    response.quote_id = quote_id.to_owned();
    let body = body(|out| response.encode_body(out));
    let keys = mint_keys(MINT_KEY);
    let digest = Some(digest(&request));
    side.send_sealed(&keys, MintQuoteResponse::MSG_TYPE, &body, number, digest)
        .await;
}

async fn status(pool: &Pool, what: &str, is: impl Fn(&RequesterStatus) -> bool) -> RequesterStatus {
    until(what, || pool.requester.status(), |status| is(status)).await
}

#[tokio::test]
async fn a_pool_from_an_older_copy_notices_and_goes_on_above_what_the_mint_knows() {
    let pool = Pool::start().await;
    pool.ask(1..=3).await;
    let mut side = pool.connect().await;
    for share in 1..=3 {
        assert_eq!(receive(&mut side).await, (share, u64::from(share)));
    }
    answer_with(&mut side, 1, 1, "first").await;
    pool.settled(1, RequestState::Answered).await;
    // Two wait when the copy is made; then they are answered, and two more.
    let backup = TempDir::new().unwrap();
    let folder = pool.stop().await;
    copy(folder.path(), backup.path());
    let pool = start(folder).await;
    pool.ask(4..=5).await;
    let mut side = pool.connect().await;
    for share in 2..=5 {
        assert_eq!(receive(&mut side).await.0, share);
        answer_with(
            &mut side,
            share,
            u64::from(share),
            &format!("quote-{share}"),
        )
        .await;
        pool.settled(share, RequestState::Answered).await;
    }
    let folder = pool.stop().await;
    copy(backup.path(), folder.path());

    // The pool takes shares before its mint is there: more than it has forgotten.
    let pool = start(folder).await;
    pool.ask(6..=9).await;
    let mut side = pool.connect().await;
    let asked = query(&mut side).await;
    tell(&mut side, &asked, 5, 5).await;
    let mut seen = Vec::new();
    for _ in 0..6 {
        seen.push(receive(&mut side).await.0);
    }
    seen.sort_unstable();
    assert_eq!(seen, [2, 3, 6, 7, 8, 9]);
    let status = status(&pool, "the notice", |status| status.set_back.is_some()).await;
    let set_back = status.set_back.unwrap();
    assert_eq!((set_back.had, set_back.known), (3, 5));
    assert_eq!(status.peer_set_back, None);
    // What was answered before is answered the same again, once here.
    for share in 2..=3 {
        answer_with(
            &mut side,
            share,
            u64::from(share),
            &format!("quote-{share}"),
        )
        .await;
        pool.settled(share, RequestState::Answered).await;
    }
    assert_eq!(pool.ledger().await, ["first", "quote-2", "quote-3"]);
    pool.ask([10]).await;
    assert_eq!(receive(&mut side).await, (10, 8));

    // It stays noticed over a restart, until the operator has seen it, and is noticed once.
    let folder = pool.stop().await;
    let mut file = OutboxFile::open(&folder.path().join(FILE)).unwrap();
    assert_eq!(file.peers().unwrap()[0].backlog.set_back, Some(set_back));
    assert_eq!(file.acknowledge().unwrap(), 1);
    assert_eq!(file.peers().unwrap()[0].backlog.set_back, None);
    drop(file);
    let pool = start(folder).await;
    let mut side = pool.connect().await;
    receive(&mut side).await;
    assert_eq!(pool.requester.status().set_back, None);
}

#[tokio::test]
async fn a_store_that_is_gone_altogether_is_noticed_too() {
    let pool = Pool::start().await;
    pool.ask([1]).await;
    let mut side = pool.connect().await;
    let asked = query(&mut side).await;
    tell(&mut side, &asked, 7, 7).await;
    assert_eq!(receive(&mut side).await, (1, 1));
    let set_back = status(&pool, "the notice", |status| status.set_back.is_some()).await;
    assert_eq!(set_back.set_back.unwrap().known, 7);
    pool.ask([2]).await;
    assert_eq!(receive(&mut side).await, (2, 8));
}

#[tokio::test]
async fn a_mint_that_was_set_back_is_asked_again_and_the_first_quote_stays() {
    let pool = Pool::start().await;
    pool.ask(1..=4).await;
    let mut side = pool.connect().await;
    for share in 1..=4 {
        receive(&mut side).await;
        answer_with(
            &mut side,
            share,
            u64::from(share),
            &format!("quote-{share}"),
        )
        .await;
        pool.settled(share, RequestState::Answered).await;
    }
    // The mint comes back from a copy of after its second answer.
    side.peer_is_replaced().await;
    let asked = query(&mut side).await;
    tell(&mut side, &asked, 2, 2).await;
    assert_eq!(receive(&mut side).await, (3, 3));
    assert_eq!(receive(&mut side).await, (4, 4));
    let found = status(&pool, "the notice", |status| status.peer_set_back.is_some()).await;
    let set_back = found.peer_set_back.unwrap();
    assert_eq!((set_back.had, set_back.known), (2, 4));
    assert_eq!(found.set_back, None);
    // It finds the one quote again, and makes another for the other.
    answer_with(&mut side, 3, 5, "quote-3").await;
    pool.settled(3, RequestState::Answered).await;
    answer_with(&mut side, 4, 6, "another").await;
    pool.settled(4, RequestState::Parked).await;
    let quotes = ["quote-1", "quote-2", "quote-3", "quote-4"];
    assert_eq!(pool.ledger().await, quotes);
    let counted = |found: &RequesterStatus| {
        (found.counts.nonsense, found.counts.answered_again) == (1, 1) && found.parked == 1
    };
    status(&pool, "both to be counted", counted).await;
    // The operator who gives it up leaves the miner with what it was told.
    let parked = pool
        .store
        .read(|c| outbox::parked_page(c, "mint/main", EXT_MINT_QUOTE, 0, 9));
    let reason = parked.await.unwrap().remove(0).error;
    assert!(reason.contains("another"), "{reason}");
    pool.store
        .write(|c| outbox::discard(c, "mint/main", EXT_MINT_QUOTE, &[4; 32]))
        .await
        .unwrap();
    assert_eq!(pool.state(4).await, Some(RequestState::Answered));
    // The next time nothing is left to be asked again.
    side.peer_is_replaced().await;
    let asked = query(&mut side).await;
    tell(&mut side, &asked, 4, 6).await;
    pool.ask([5]).await;
    assert_eq!(receive(&mut side).await, (5, 5));
    assert_eq!(pool.ledger().await, quotes);
}

#[tokio::test]
async fn a_hub_that_withholds_replays_or_invents_what_the_mint_has_gets_no_request() {
    let pool = Pool::start().await;
    pool.ask([1]).await;
    let mut side = pool.connect().await;
    let asked = query(&mut side).await;
    // Nothing is sent, and the status says why.
    let waits = |status: &RequesterStatus| status.peer_present && !status.peer_known;
    status(&pool, "the mint to be there", waits).await;
    // The query comes again by itself, the same.
    assert_eq!(query(&mut side).await, asked);
    // Its own query, sent back; an answer under another key; the mint's to another query, altered.
    let far = body(|out| {
        StoreState {
            requests: 9,
            answers: 9,
        }
        .encode_body(out)
    });
    let msg_type = StoreState::MSG_TYPE;
    side.send(channel_frame(
        EXT_MINT_QUOTE,
        StoreQuery::MSG_TYPE,
        1,
        &asked,
    ))
    .await;
    side.send_sealed(&mint_keys(STRANGER_KEY), msg_type, &far, 0, None)
        .await;
    let mut altered = mint_keys(MINT_KEY).seal(msg_type, &far, 0, Some([7; 32]));
    side.send(channel_frame(EXT_MINT_QUOTE, msg_type, 1, &altered))
        .await;
    altered[0] ^= 1;
    side.send(channel_frame(EXT_MINT_QUOTE, msg_type, 1, &altered))
        .await;
    status(&pool, "four to be dropped", |s| s.counts.unauthentic == 4).await;
    let found = pool.requester.status();
    assert!(waits(&found) && found.set_back.is_none() && found.counts.sent == 0);
    // What the mint says to this query counts; replayed to the next one it does not.
    tell(&mut side, &asked, 0, 0).await;
    assert_eq!(receive(&mut side).await, (1, 1));
    side.peer_is_replaced().await;
    assert_ne!(query(&mut side).await, asked);
    tell(&mut side, &asked, 9, 9).await;
    status(&pool, "the replay to be dropped", |s| {
        s.counts.unauthentic == 5
    })
    .await;
    let found = pool.requester.status();
    assert!(waits(&found) && found.set_back.is_none() && found.counts.sent == 1);
}

#[tokio::test]
async fn a_mint_that_asks_hears_what_is_on_disk() {
    let pool = Pool::start().await;
    pool.ask(1..=2).await;
    let mut side = pool.connect().await;
    receive(&mut side).await;
    receive(&mut side).await;
    answer(&mut side, &mint_keys(MINT_KEY), 1).await;
    pool.settled(1, RequestState::Answered).await;
    let keys = mint_keys(MINT_KEY);
    side.send_sealed(&keys, StoreQuery::MSG_TYPE, &[5; 32], 0, None)
        .await;
    let (msg_type, sealed) = within("the answer", side.channel_message()).await;
    assert_eq!(msg_type, StoreState::MSG_TYPE);
    let digest = winze_messages::request_digest(EXT_MINT_QUOTE, StoreQuery::MSG_TYPE, &[5; 32]);
    let opened = keys.open(msg_type, &sealed, Some(digest)).unwrap();
    let state = StoreState::decode_body(opened.body).unwrap();
    assert_eq!((state.requests, state.answers), (2, 1));
}
