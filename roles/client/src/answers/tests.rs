use tempfile::TempDir;

use super::*;
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
        .read(|c| find(c, &asked("pool/c", &[1; 32])))
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
            .write(move |c| announce(c, QUOTES, unit, body))
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
