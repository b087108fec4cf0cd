mod elsewhere;

use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tempfile::TempDir;
use winze_client::outbox::{self, RecordedAnswer, RequestState};
use winze_client::{
    HubClient, NewRequest, OUTBOX_SCHEMA, QuoteAnswers, QuoteEvent, QuoteRequester,
    QuoteRequesterConfig, Schema, Store, StoreError,
};
use winze_messages::families::hub::{HubMessage, Reject};
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteRequest, MintQuoteResponse, QuoteErrorCode,
    QuoteState, StoreQuery, StoreState,
};
use winze_messages::{EXT_MINT_QUOTE, PairKeys, request_digest};

use crate::party::{
    MINT_KEY, STRANGER_KEY, body, digest, keyset, mint_keys, name, pool, public, refusal, request,
    request_body, response,
};
use crate::scripted_hub::{HubSide, ScriptedHub, until, within};

const MINT: &str = "mint/main";

const LEDGER: Schema = Schema {
    name: "ledger",
    migrations: &["CREATE TABLE ledger (entry TEXT NOT NULL) STRICT"],
};

/// A pool that writes down what its mint says.
#[derive(Default)]
struct Ledger {
    /// So many effects fail before one succeeds.
    failures_left: Mutex<u32>,
    committed: Mutex<Vec<QuoteEvent>>,
}

impl Ledger {
    fn write(&self, tx: &Connection, entry: &str) -> Result<(), StoreError> {
        tx.execute("INSERT INTO ledger (entry) VALUES (?1)", [entry])?;
        let mut failures_left = self.failures_left.lock().unwrap();
        if *failures_left > 0 {
            *failures_left -= 1;
            return Err(StoreError::Aborted {
                reason: "the pool is not ready".to_owned(),
            });
        }
        Ok(())
    }
}

impl QuoteAnswers for Ledger {
    fn on_response(
        &self,
        tx: &Connection,
        _request: &MintQuoteRequest,
        response: &MintQuoteResponse,
    ) -> Result<(), StoreError> {
        self.write(tx, &response.quote_id)
    }

    fn on_refusal(
        &self,
        tx: &Connection,
        _request: &MintQuoteRequest,
        error: &MintQuoteError,
    ) -> Result<(), StoreError> {
        self.write(tx, &format!("refused {}", error.error_code))
    }

    fn on_keyset(&self, tx: &Connection, keyset: &KeysetAnnouncement) -> Result<(), StoreError> {
        self.write(tx, &format!("keyset {}", keyset.keyset_id[0]))
    }

    fn committed(&self, events: &[QuoteEvent]) {
        self.committed.lock().unwrap().extend_from_slice(events);
    }
}

pub struct Pool {
    pub hub: ScriptedHub,
    client: HubClient,
    pub store: Store,
    pub requester: QuoteRequester,
    ledger: Arc<Ledger>,
    pub folder: TempDir,
}

impl Pool {
    pub async fn start() -> Pool {
        Pool::start_with(|_| {}).await
    }

    async fn start_with(configure: impl FnOnce(&mut QuoteRequesterConfig)) -> Pool {
        Pool::start_in(TempDir::new().unwrap(), configure).await
    }

    pub async fn start_in(
        folder: TempDir,
        configure: impl FnOnce(&mut QuoteRequesterConfig),
    ) -> Pool {
        let path = folder.path().join("pool.sqlite");
        let store = Store::open(&path, &[OUTBOX_SCHEMA, LEDGER]).unwrap();
        let hub = ScriptedHub::bind().await;
        let client = HubClient::start(hub.client_config(), pool());
        let mut config = QuoteRequesterConfig::new(name(MINT), public(MINT_KEY));
        config.delay_ms = 5;
        configure(&mut config);
        let ledger = Arc::new(Ledger::default());
        let answers: Arc<dyn QuoteAnswers> = Arc::<Ledger>::clone(&ledger);
        let requester = QuoteRequester::start(&client, store.clone(), config, answers).unwrap();
        Pool {
            hub,
            client,
            store,
            requester,
            ledger,
            folder,
        }
    }

    /// An orderly end; what it leaves is its folder.
    pub async fn stop(self) -> TempDir {
        self.requester.shutdown().await;
        self.client.shutdown().await;
        self.folder
    }

    pub async fn ask(&self, shares: impl IntoIterator<Item = u8>) {
        for share in shares {
            let request = request(share);
            self.store
                .write(move |tx| {
                    outbox::enqueue(
                        tx,
                        &NewRequest {
                            peer: MINT,
                            extension: EXT_MINT_QUOTE,
                            key: &request.header_hash,
                            msg_type: MintQuoteRequest::MSG_TYPE,
                            body: &request_body(&request),
                        },
                        winze_runtime::clock::now_unix_ms(),
                    )
                })
                .await
                .unwrap();
        }
        self.requester.nudge();
    }

    pub async fn connect(&self) -> HubSide {
        let mut side = self.hub.accept().await;
        side.open_channel().await;
        side
    }

    pub async fn ledger(&self) -> Vec<String> {
        self.store
            .read(|c| {
                let mut statement = c.prepare("SELECT entry FROM ledger ORDER BY rowid")?;
                let rows = statement.query_map([], |row| row.get(0))?;
                Ok(rows.collect::<Result<_, _>>()?)
            })
            .await
            .unwrap()
    }

    pub async fn state(&self, share: u8) -> Option<RequestState> {
        self.store
            .read(move |c| outbox::state_of(c, MINT, EXT_MINT_QUOTE, &[share; 32]))
            .await
            .unwrap()
    }

    pub async fn settled(&self, share: u8, state: RequestState) {
        within("the answer to be recorded", async {
            while self.state(share).await != Some(state) {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    pub async fn one_is_parked(&self) {
        until(
            "parked",
            || self.requester.status(),
            |status| status.parked == 1,
        )
        .await;
    }
}

/// The next request that reaches the mint: which share it is about, and its number. The mint's store
/// is as whole as can be.
pub async fn receive(side: &mut HubSide) -> (u8, u64) {
    loop {
        let (msg_type, sealed) = side.channel_message().await;
        let opened = mint_keys(MINT_KEY).open(msg_type, &sealed, None).unwrap();
        if msg_type == StoreQuery::MSG_TYPE {
            tell(side, &sealed, 0, 1).await;
            continue;
        }
        let request = MintQuoteRequest::decode_body(opened.body).unwrap();
        return (request.header_hash[0], opened.sequence);
    }
}

/// The mint answers the pool's query with these numbers.
pub async fn tell(side: &mut HubSide, query: &[u8], requests: u64, answers: u64) {
    let keys = mint_keys(MINT_KEY);
    let opened = keys.open(StoreQuery::MSG_TYPE, query, None).unwrap();
    let digest = request_digest(EXT_MINT_QUOTE, StoreQuery::MSG_TYPE, opened.body);
    let body = body(|out| StoreState { requests, answers }.encode_body(out));
    side.send_sealed(&keys, StoreState::MSG_TYPE, &body, 0, Some(digest))
        .await;
}

pub async fn answer(side: &mut HubSide, keys: &PairKeys, share: u8) {
    let request = request(share);
    let body = body(|out| response(&request).encode_body(out));
    let digest = Some(digest(&request));
    side.send_sealed(keys, MintQuoteResponse::MSG_TYPE, &body, 1, digest)
        .await;
}

async fn refuse(side: &mut HubSide, share: u8, code: QuoteErrorCode, retry_after_ms: u32) {
    let request = request(share);
    let body = body(|out| refusal(&request, code, retry_after_ms).encode_body(out));
    let digest = Some(digest(&request));
    side.send_sealed(
        &mint_keys(MINT_KEY),
        MintQuoteError::MSG_TYPE,
        &body,
        1,
        digest,
    )
    .await;
}

#[tokio::test]
async fn shares_become_quotes_and_each_answer_is_recorded_once() {
    let pool = Pool::start().await;
    pool.ask(1..=3).await;
    let mut side = pool.connect().await;
    for share in 1..=3 {
        assert_eq!(receive(&mut side).await, (share, u64::from(share)));
    }
    let keys = mint_keys(MINT_KEY);
    for share in [2, 2, 3, 1, 2] {
        answer(&mut side, &keys, share).await;
    }
    let status = until(
        "three quotes",
        || pool.requester.status(),
        |status| status.counts.issued == 3 && status.waiting == 0 && status.counts.stale > 0,
    )
    .await;
    assert!(status.peer_present);
    assert_eq!((status.in_flight, status.parked), (0, 0));
    assert_eq!(pool.ledger().await, ["quote-2", "quote-3", "quote-1"]);
    assert_eq!(pool.ledger.committed.lock().unwrap().len(), 3);
    // What comes later finds its way too, and has the next number.
    pool.ask([9]).await;
    assert_eq!(receive(&mut side).await, (9, 4));
}

#[tokio::test]
async fn what_was_on_its_way_when_hub_or_mint_died_is_sent_again() {
    let pool = Pool::start().await;
    pool.ask(1..=2).await;
    let mut side = pool.connect().await;
    assert_eq!(receive(&mut side).await, (1, 1));
    assert_eq!(receive(&mut side).await, (2, 2));
    answer(&mut side, &mint_keys(MINT_KEY), 1).await;
    pool.settled(1, RequestState::Answered).await;

    side.peer_is_replaced().await;
    assert_eq!(receive(&mut side).await, (2, 2));
    drop(side);
    let mut side = pool.connect().await;
    assert_eq!(receive(&mut side).await, (2, 2));
    answer(&mut side, &mint_keys(MINT_KEY), 2).await;
    pool.settled(2, RequestState::Answered).await;
    assert_eq!(pool.ledger().await, ["quote-1", "quote-2"]);
}

#[tokio::test]
async fn a_hub_that_alters_or_invents_answers_gains_nothing() {
    let pool = Pool::start().await;
    pool.ask(1..=2).await;
    let mut side = pool.connect().await;
    receive(&mut side).await;
    receive(&mut side).await;
    let (good, stranger) = (mint_keys(MINT_KEY), mint_keys(STRANGER_KEY));
    let msg_type = MintQuoteResponse::MSG_TYPE;
    let wanted = body(|out| response(&request(1)).encode_body(out));

    // Invented, under a key that is not the mint's.
    answer(&mut side, &stranger, 1).await;
    // The mint's own answer to another request, under this one's name.
    let digest_2 = Some(digest(&request(2)));
    side.send_sealed(&good, msg_type, &wanted, 1, digest_2)
        .await;
    // The mint's answer, altered on the way.
    let mut altered = response(&request(1));
    altered.quote_id = "thief".to_owned();
    let mut sealed = good.seal(msg_type, &wanted, 1, Some(digest(&request(1))));
    let altered = body(|out| altered.encode_body(out));
    sealed.splice(..wanted.len(), altered);
    side.send(winze_messages::channel_frame(
        EXT_MINT_QUOTE,
        msg_type,
        1,
        &sealed,
    ))
    .await;
    // A request sent back as an answer, garbage, nothing at all.
    for bytes in [&sealed[..50], &[0; 60], &[]] {
        side.send(winze_messages::channel_frame(
            EXT_MINT_QUOTE,
            msg_type,
            1,
            bytes,
        ))
        .await;
    }
    // A final refusal that the hub made up.
    let no = body(|out| refusal(&request(1), QuoteErrorCode::Conflict, 0).encode_body(out));
    side.send_sealed(
        &stranger,
        MintQuoteError::MSG_TYPE,
        &no,
        1,
        Some(digest(&request(1))),
    )
    .await;
    // A keyset that it made up.
    let mine = body(|out| keyset(66).encode_body(out));
    side.send_sealed(&stranger, KeysetAnnouncement::MSG_TYPE, &mine, 99, None)
        .await;
    // The mint's answer to a request that nobody made.
    answer(&mut side, &good, 77).await;

    let counts = until(
        "every message to be judged",
        || pool.requester.status().counts,
        |counts| counts.unauthentic + counts.stale == 9,
    )
    .await;
    assert_eq!((counts.unauthentic, counts.stale), (8, 1));
    assert_eq!(pool.state(1).await, Some(RequestState::Waiting));
    assert!(pool.ledger().await.is_empty());

    answer(&mut side, &good, 1).await;
    pool.settled(1, RequestState::Answered).await;
    assert_eq!(pool.ledger().await, ["quote-1"]);
}

#[tokio::test]
async fn a_final_refusal_parks_and_the_operator_can_bring_it_back() {
    let pool = Pool::start().await;
    pool.ask([1]).await;
    let mut side = pool.connect().await;
    receive(&mut side).await;
    refuse(&mut side, 1, QuoteErrorCode::UnknownUnit, 0).await;
    pool.settled(1, RequestState::Parked).await;
    assert_eq!(pool.ledger().await, ["refused 4"]);
    pool.one_is_parked().await;

    let released = pool
        .store
        .write(|tx| outbox::release(tx, MINT, EXT_MINT_QUOTE, &[1; 32]))
        .await
        .unwrap();
    assert!(released);
    // Found by itself, under its old number.
    assert_eq!(receive(&mut side).await, (1, 1));
}

#[tokio::test]
async fn a_mint_that_is_busy_is_asked_again_later() {
    let pool = Pool::start().await;
    pool.ask([1]).await;
    let mut side = pool.connect().await;
    receive(&mut side).await;
    for code in [
        QuoteErrorCode::Busy,
        QuoteErrorCode::BadAuthenticator,
        QuoteErrorCode::Allowance,
    ] {
        refuse(&mut side, 1, code, 10).await;
        assert_eq!(receive(&mut side).await, (1, 1));
    }
    assert_eq!(pool.requester.status().counts.put_off, 3);
    answer(&mut side, &mint_keys(MINT_KEY), 1).await;
    pool.settled(1, RequestState::Answered).await;
}

#[tokio::test]
async fn a_mint_that_loses_a_request_gets_it_again_without_any_reconnect() {
    let pool = Pool::start_with(|config| config.timeout_ms = 20).await;
    pool.ask([1]).await;
    let mut side = pool.connect().await;
    assert_eq!(receive(&mut side).await, (1, 1));
    assert_eq!(receive(&mut side).await, (1, 1));
    assert!(pool.requester.status().counts.timeouts >= 1);
}

#[tokio::test]
async fn what_the_hub_keeps_rejecting_is_parked_and_the_rest_goes_on() {
    let pool = Pool::start_with(|config| config.rejects_max = 3).await;
    pool.ask([1]).await;
    let mut side = pool.connect().await;
    // The first message asks how far the mint's store has come.
    for ordinal in 2..=4 {
        receive(&mut side).await;
        side.say(Reject {
            channel_id: 1,
            ordinal,
            error_code: "malformed".to_owned(),
            detail: "MintQuoteRequest.unit at byte 12".to_owned(),
        })
        .await;
    }
    pool.one_is_parked().await;
    let parked = pool
        .store
        .read(|c| outbox::parked_page(c, MINT, EXT_MINT_QUOTE, 0, 10))
        .await
        .unwrap();
    assert!(parked[0].error.contains("byte 12"), "{}", parked[0].error);
    pool.ask([2]).await;
    assert_eq!(receive(&mut side).await, (2, 2));
}

#[tokio::test]
async fn an_effect_that_cannot_be_recorded_leaves_nothing_and_is_tried_again() {
    let pool = Pool::start().await;
    *pool.ledger.failures_left.lock().unwrap() = 2;
    pool.ask(1..=1).await;
    let mut side = pool.connect().await;
    for _ in 0..3 {
        receive(&mut side).await;
        answer(&mut side, &mint_keys(MINT_KEY), 1).await;
    }
    pool.settled(1, RequestState::Answered).await;
    assert_eq!(pool.ledger().await, ["quote-1"]);
    assert_eq!(pool.requester.status().counts.store_failures, 2);
}

#[tokio::test]
async fn an_old_keyset_does_not_come_back() {
    let pool = Pool::start().await;
    let mut side = pool.connect().await;
    let keys = mint_keys(MINT_KEY);
    for (serial, id) in [(5, 5), (4, 4), (5, 5), (6, 6)] {
        let body = body(|out| keyset(id).encode_body(out));
        side.send_sealed(&keys, KeysetAnnouncement::MSG_TYPE, &body, serial, None)
            .await;
    }
    until(
        "keysets",
        || pool.ledger.committed.lock().unwrap().len(),
        |n| *n == 3,
    )
    .await;
    assert_eq!(pool.ledger().await, ["keyset 5", "keyset 5", "keyset 6"]);
}

#[tokio::test]
async fn a_mint_under_a_new_key_is_listened_to_from_its_first_keyset_on() {
    let pool = Pool::start().await;
    let mut side = pool.connect().await;
    let announce = |id| body(|out| keyset(id).encode_body(out));
    let msg_type = KeysetAnnouncement::MSG_TYPE;
    side.send_sealed(&mint_keys(MINT_KEY), msg_type, &announce(7), 7, None)
        .await;
    let heard = || pool.ledger.committed.lock().unwrap().len();
    until("the old mint's keyset", heard, |n| *n == 1).await;
    pool.requester.shutdown().await;
    assert!(matches!(
        side.hub_message().await,
        HubMessage::CloseChannel(_)
    ));

    // The pool's operator has entered the key of the mint that follows; its name is the same.
    let config = QuoteRequesterConfig::new(name(MINT), public(STRANGER_KEY));
    let answers: Arc<dyn QuoteAnswers> = Arc::<Ledger>::clone(&pool.ledger);
    let _requester =
        QuoteRequester::start(&pool.client, pool.store.clone(), config, answers).unwrap();
    side.open_channel().await;
    let new_keys = mint_keys(STRANGER_KEY);
    side.send_sealed(&new_keys, msg_type, &announce(1), 1, None)
        .await;
    until("the new mint's keyset", heard, |n| *n == 2).await;
    assert_eq!(pool.ledger().await, ["keyset 7", "keyset 1"]);
}

#[tokio::test]
async fn a_mint_that_answers_over_another_amount_is_stopped_for_the_operator() {
    let pool = Pool::start().await;
    pool.ask([1]).await;
    let mut side = pool.connect().await;
    receive(&mut side).await;
    let mut wrong = response(&request(1));
    wrong.amount += 1;
    let body = body(|out| wrong.encode_body(out));
    let digest = Some(digest(&request(1)));
    let keys = mint_keys(MINT_KEY);
    side.send_sealed(&keys, MintQuoteResponse::MSG_TYPE, &body, 1, digest)
        .await;
    pool.one_is_parked().await;
    assert!(pool.ledger().await.is_empty());
}

#[tokio::test]
async fn a_bridge_that_knows_no_id_answers_for_good_and_no_quote_goes_without_one() {
    let pool = Pool::start().await;
    pool.ask([1, 2, 3]).await;
    let mut side = pool.connect().await;
    let keys = mint_keys(MINT_KEY);
    let told = [
        (QuoteState::Unknown, ""),
        (QuoteState::Unknown, "quote-2"),
        (QuoteState::Paid, ""),
    ];
    for (share, (state, quote_id)) in (1..).zip(told) {
        assert_eq!(receive(&mut side).await.0, share);
        let answer = MintQuoteResponse {
            quote_id: quote_id.to_owned(),
            state,
            ..response(&request(share))
        };
        let body = body(|out| answer.encode_body(out));
        let digest = Some(digest(&request(share)));
        side.send_sealed(&keys, MintQuoteResponse::MSG_TYPE, &body, 1, digest)
            .await;
    }
    pool.settled(1, RequestState::Answered).await;
    for contradicted in [2, 3] {
        pool.settled(contradicted, RequestState::Parked).await;
    }
    assert_eq!(pool.ledger().await, [""]);
    assert_eq!(pool.requester.status().counts.nonsense, 2);
}

#[tokio::test]
async fn a_backlog_larger_than_the_window_is_worked_off_in_order() {
    let pool = Pool::start_with(|config| config.window = 4).await;
    pool.ask(1..=60).await;
    let mut side = pool.connect().await;
    let keys = mint_keys(MINT_KEY);
    let mut under_way = std::collections::VecDeque::new();
    for expected in 1..=60 {
        let (share, sequence) = receive(&mut side).await;
        assert_eq!((share, sequence), (expected, u64::from(expected)));
        under_way.push_back(share);
        assert!(under_way.len() <= 4);
        if under_way.len() == 4 {
            answer(&mut side, &keys, under_way.pop_front().unwrap()).await;
        }
    }
    while let Some(share) = under_way.pop_front() {
        answer(&mut side, &keys, share).await;
    }
    until(
        "all quotes",
        || pool.requester.status(),
        |status| status.counts.issued == 60 && status.waiting == 0,
    )
    .await;
    assert_eq!(pool.requester.status().counts.sent_again, 0);
}

#[tokio::test]
async fn a_pool_that_is_killed_finds_its_requests_again() {
    let Pool {
        hub,
        client,
        store,
        requester,
        ledger,
        folder,
    } = {
        let pool = Pool::start().await;
        pool.ask(1..=2).await;
        pool
    };
    let mut side = hub.accept().await;
    side.open_channel().await;
    receive(&mut side).await;
    // What a SIGKILL leaves: the files.
    let left = TempDir::new().unwrap();
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        std::fs::copy(entry.path(), left.path().join(entry.file_name())).unwrap();
    }
    requester.shutdown().await;
    client.shutdown().await;
    drop((store, ledger));

    let store = Store::open(&left.path().join("pool.sqlite"), &[OUTBOX_SCHEMA, LEDGER]).unwrap();
    let client = HubClient::start(hub.client_config(), pool());
    let _requester = QuoteRequester::start(
        &client,
        store,
        QuoteRequesterConfig::new(name(MINT), public(MINT_KEY)),
        Arc::new(Ledger::default()),
    )
    .unwrap();
    let mut side = hub.accept().await;
    side.open_channel().await;
    assert_eq!(receive(&mut side).await, (1, 1));
    assert_eq!(receive(&mut side).await, (2, 2));
}

/// A role that asks faster than a fixed number of them goes each second would have a file that grows without end.
#[tokio::test]
async fn old_answered_requests_go_as_fast_as_they_were_asked() {
    const ASKED: u32 = 30_000;
    let pool = Pool::start_with(|config| config.keep_answered_ms = 0).await;
    let asked = pool.store.write(|tx| {
        for n in 0..ASKED {
            let request = NewRequest {
                peer: MINT,
                extension: EXT_MINT_QUOTE,
                key: &n.to_le_bytes(),
                msg_type: MintQuoteRequest::MSG_TYPE,
                body: b"body",
            };
            outbox::enqueue(tx, &request, 1)?;
            let answer = RecordedAnswer {
                sequence: u64::from(n) + 1,
                identity: [1; 32],
            };
            outbox::mark_answered(tx, MINT, EXT_MINT_QUOTE, request.key, &answer, 1)?;
        }
        Ok(())
    });
    asked.await.unwrap();
    let began = tokio::time::Instant::now();
    let mut left = u64::from(ASKED);
    while left > 0 {
        let rows = pool.store.read(|c| {
            let rows = "SELECT count(*) FROM outbox";
            Ok(c.query_row(rows, [], |row| row.get(0))?)
        });
        left = rows.await.unwrap();
        let after_s = began.elapsed().as_secs();
        assert!(after_s < 15, "{left} are left after {after_s} s");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
