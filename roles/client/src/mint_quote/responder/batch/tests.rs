use tempfile::TempDir;
use winze_messages::families::mint_quote::QuoteState;
use winze_messages::{PairKeys, Side};
use winze_transport::SecretKey;

use super::*;
use crate::answers::ANSWERS_SCHEMA;
use crate::store::Store;

fn secret(n: u8) -> SecretKey {
    SecretKey::from_bytes(&[n; 32]).unwrap()
}

fn pool(text: &str, n: u8) -> Arc<Pool> {
    let public_key = secret(n).public_key();
    let keys = PairKeys::derive(
        &secret(1),
        &public_key,
        EXT_MINT_QUOTE,
        Side::Responder,
        "pool",
        "mint",
    );
    Arc::new(Pool {
        name: text.parse().unwrap(),
        text: text.to_owned(),
        keys: vec![(public_key, keys)],
    })
}

/// A batch of requests for these shares over this amount; each comes twice in it.
fn batch(pool: &Arc<Pool>, shares: &[u8], amount: u64) -> QuoteBatch {
    let twice = shares.iter().chain(shares);
    let requests = twice.zip(1..).map(|(share, number)| Request {
        request: MintQuoteRequest {
            amount,
            unit: "hash".to_owned(),
            header_hash: [*share; 32],
            description: None,
            locking_key: [2; 33],
            keyset_id: vec![1; 8],
        },
        digest: [0; 32],
        content: [amount as u8; 32],
        by_key: answers::key_hashes(EXT_MINT_QUOTE, [&[*share; 32][..]])[0],
        key_index: 0,
        number,
    });
    QuoteBatch::new(Arc::clone(pool), requests.collect(), true, 100)
}

async fn look_up(store: &Store, batch: &mut QuoteBatch) {
    let look_up = batch.look_up();
    let looked_up = store.write(move |c| look_up.find(c)).await;
    batch.looked_up(looked_up.unwrap());
}

/// An issuer without a record of its own: whoever is asked makes a quote that has this name.
fn decide(batch: &mut QuoteBatch, quote_id: &str) {
    for asked in batch.to_decide() {
        let issued = asked.requests.iter();
        let issued = issued.map(|request| issued_as(quote_id, request)).collect();
        batch.decided(asked, issued);
    }
}

fn issued_as(quote_id: &str, request: &MintQuoteRequest) -> QuoteOutcome {
    QuoteOutcome::Issued(MintQuoteResponse {
        quote_id: quote_id.to_owned(),
        amount: request.amount,
        unit: request.unit.clone(),
        header_hash: request.header_hash,
        expires_at_unix_s: 0,
        state: QuoteState::Paid,
    })
}

/// The quote of each answer, `None` for a conflict.
async fn record(store: &Store, mut batch: QuoteBatch) -> Vec<Option<String>> {
    let wanted = batch.recording_wanted().unwrap();
    let recorded = store.write(move |c| wanted.record(c, 7)).await.unwrap();
    let replies = batch.recorded(Some(recorded), &mut ResponderCounts::default());
    let quote = |reply: &Reply| match reply.answer.msg_type {
        MintQuoteResponse::MSG_TYPE => {
            let response = MintQuoteResponse::decode_body(&reply.answer.body).unwrap();
            Some(response.quote_id)
        }
        _ => None,
    };
    replies.iter().map(quote).collect()
}

/// What was looked up is acted on only as long as it is so.
#[tokio::test]
async fn two_pools_that_ask_for_one_share_at_once_are_told_one_quote() {
    let folder = TempDir::new().unwrap();
    let store = Store::open(&folder.path().join("mint.sqlite"), &[ANSWERS_SCHEMA]).unwrap();
    let (honest, other) = (pool("pool/a", 2), pool("pool/b", 3));
    let mut first = batch(&honest, &[1, 2], 5);
    let mut same = batch(&other, &[2, 3], 5);
    let mut conflicting = batch(&other, &[1], 6);
    for batch in [&mut first, &mut same, &mut conflicting] {
        look_up(&store, batch).await;
    }
    decide(&mut first, "first");
    decide(&mut same, "second");
    decide(&mut conflicting, "third");
    let quote = |id: &str| Some(id.to_owned());
    assert_eq!(record(&store, first).await, vec![quote("first"); 4]);
    assert_eq!(
        record(&store, same).await,
        [
            quote("first"),
            quote("second"),
            quote("first"),
            quote("second")
        ]
    );
    assert_eq!(record(&store, conflicting).await, [None, None]);

    let effects = store.read(|c| {
        let count = "SELECT count(*), count(DISTINCT key) FROM answer_effect";
        Ok(c.query_row(count, [], |row| Ok([row.get::<_, u64>(0)?, row.get(1)?]))?)
    });
    assert_eq!(effects.await.unwrap(), [3, 3]);
}

/// Requests for these shares over these amounts, once each and in this order.
fn mixed(pool: &Arc<Pool>, asked: &[(u8, u64)]) -> QuoteBatch {
    let requests = asked.iter().zip(1..).map(|((share, amount), number)| {
        let twice = batch(pool, &[*share], *amount).requests;
        let request = Arc::into_inner(twice).unwrap().swap_remove(0);
        Request { number, ..request }
    });
    QuoteBatch::new(Arc::clone(pool), requests.collect(), true, 100)
}

/// An issuer that refuses each third share.
fn decide_or_refuse(batch: &mut QuoteBatch) {
    for asked in batch.to_decide() {
        let outcomes = asked.requests.iter().map(|request| {
            if request.header_hash[0].is_multiple_of(3) {
                return QuoteOutcome::Refused {
                    code: QuoteErrorCode::UnitNotAllowed,
                    message: format!("not over {}", request.amount),
                };
            }
            issued_as(&format!("quote {}", request.header_hash[0]), request)
        });
        let outcomes = outcomes.collect();
        batch.decided(asked, outcomes);
    }
}

/// The checksum of a row is over its number too, which is another one than a batch of new requests alone would give it.
#[tokio::test]
async fn new_requests_among_those_that_have_an_answer_are_recorded_whole() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("mint.sqlite");
    let store = Store::open(&file, &[ANSWERS_SCHEMA]).unwrap();
    let (honest, other) = (pool("pool/a", 2), pool("pool/b", 3));
    for (pool, shares) in [(&other, [201, 202, 203]), (&honest, [204, 205, 206])] {
        let mut before = mixed(pool, &shares.map(|share| (share, 5)));
        look_up(&store, &mut before).await;
        decide_or_refuse(&mut before);
        record(&store, before).await;
    }
    let mut asked = Vec::new();
    for share in 1..=150 {
        asked.push((share, 5));
        match share {
            // Its own answers, which take no number: one from before, one from this batch.
            10 => asked.extend([(204, 5), (9, 5)]),
            // A conflict with its own answer, and one with another pool's: these take one.
            20 => asked.extend([(205, 6), (202, 6)]),
            // Another pool's quote.
            30 => asked.push((203, 5)),
            // A conflict with what is recorded in this batch.
            100 => asked.extend([(98, 7), (100, 7)]),
            _ => {}
        }
    }
    let mut wanted = mixed(&honest, &asked);
    look_up(&store, &mut wanted).await;
    decide_or_refuse(&mut wanted);
    let recording = wanted.recording_wanted().unwrap();
    let recorded = store.write(move |c| recording.record(c, 7)).await.unwrap();
    let mut numbers: Vec<u64> = recorded.iter().flatten().map(|a| a.sequence).collect();
    assert_eq!(numbers.len(), asked.len());
    numbers.sort_unstable();
    numbers.dedup();
    // Three from before, of which one is told again; all that is asked here but that and one repetition is new.
    assert_eq!(
        numbers,
        Vec::from_iter((1..2).chain(4..=asked.len() as u64 + 1))
    );

    // Looks at every row.
    drop(store);
    let store = Store::open(&file, &[ANSWERS_SCHEMA]).unwrap();
    let mut again = mixed(&honest, &asked);
    look_up(&store, &mut again).await;
    let given = recorded
        .into_iter()
        .map(|answer| Found::Given(answer.unwrap()));
    assert_eq!(again.found, Vec::from_iter(given));
}
