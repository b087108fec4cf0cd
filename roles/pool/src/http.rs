//! `GET /v1/quotes/{locking_key}`: what a miner's key has earned, for whoever asks.
//!
//! A quote can be redeemed by the owner of its locking key alone, so nothing here is a secret.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use tokio::sync::Semaphore;
use winze_client::{Store, StoreError};

use crate::identity::LockingKey;
use crate::limits::{QUOTE_PAGES_READ_MAX, QUOTES_PAGE_DEFAULT, QUOTES_PAGE_MAX};
use crate::store::{QuotePage, QuoteRow, RefusalRow, UnknownRow, quote_page};
use winze_messages::text::header_hash_to_text;

/// The route, reading from `store`.
///
/// `?after=` (a `sequence`, default 0) and `?limit=` (1 to [`QUOTES_PAGE_MAX`], default [`QUOTES_PAGE_DEFAULT`]) page
/// through the quotes. A key that is none is status 400, and the answer says why.
pub fn router(store: Store) -> Router {
    Router::new()
        .route("/v1/quotes/{locking_key}", get(quotes))
        .with_state(Pages::of(store))
}

/// The store, as far as strangers may use it.
#[derive(Clone)]
struct Pages {
    store: Store,
    turns: Arc<Semaphore>,
}

impl Pages {
    fn of(store: Store) -> Pages {
        Pages {
            store,
            turns: Arc::new(Semaphore::new(QUOTE_PAGES_READ_MAX)),
        }
    }

    async fn read(
        &self,
        locking_key: LockingKey,
        after: u64,
        limit: u32,
    ) -> Result<QuotePage, StoreError> {
        // Nobody closes it.
        let _turn = self.turns.acquire().await.map_err(|_| StoreError::Closed)?;
        self.store
            .read(move |connection| quote_page(connection, &locking_key, after, limit))
            .await
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Paging {
    #[serde(default)]
    after: u64,
    limit: Option<u32>,
}

#[derive(Serialize)]
struct Answer {
    locking_key: String,
    quotes: Vec<Quote>,
    /// Whether another page follows after the last quote's `sequence`.
    more: bool,
    /// Shares whose quote the mint has not answered yet.
    pending: u64,
    /// Shares whose quote the mint has refused for good, the latest first, at most `limit`.
    refused: Vec<Refused>,
    /// Shares that were handed to a mint which tells no ids, the latest first, at most `limit`: their quotes are found at
    /// the mint, by the locking key.
    unknown: Vec<Unknown>,
}

#[derive(Serialize)]
struct Quote {
    sequence: u64,
    quote_id: String,
    header_hash: String,
    amount: u64,
    unit: String,
    /// Unix time in seconds; 0 is never.
    expires_at: u64,
    /// Unix time in milliseconds.
    issued_at_ms: u64,
}

#[derive(Serialize)]
struct Refused {
    header_hash: String,
    amount: u64,
    unit: String,
    error_code: u32,
    error_message: String,
}

#[derive(Serialize)]
struct Unknown {
    header_hash: String,
    amount: u64,
    unit: String,
    /// Unix time in milliseconds.
    handed_over_at_ms: u64,
}

async fn quotes(
    State(pages): State<Pages>,
    Path(key): Path<String>,
    paging: Result<Query<Paging>, QueryRejection>,
) -> Response {
    let locking_key = match LockingKey::from_hex(&key) {
        Ok(locking_key) => locking_key,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.to_string()),
    };
    let Query(Paging { after, limit }) = match paging {
        Ok(paging) => paging,
        Err(error) => return refuse(StatusCode::BAD_REQUEST, error.body_text()),
    };
    let limit = limit.unwrap_or(QUOTES_PAGE_DEFAULT);
    if !(1..=QUOTES_PAGE_MAX).contains(&limit) {
        let message = format!("limit is 1 to {QUOTES_PAGE_MAX}");
        return refuse(StatusCode::BAD_REQUEST, message);
    }
    match pages.read(locking_key, after, limit).await {
        Ok(page) => Json(answer(&locking_key, page)).into_response(),
        Err(error) => {
            tracing::error!(%error, "quotes cannot be read");
            let message = "the store cannot be read".to_owned();
            refuse(StatusCode::INTERNAL_SERVER_ERROR, message)
        }
    }
}

fn answer(locking_key: &LockingKey, page: QuotePage) -> Answer {
    let quote = |row: QuoteRow| Quote {
        sequence: row.sequence,
        quote_id: row.quote_id,
        header_hash: header_hash_to_text(&row.header_hash),
        amount: row.amount,
        unit: row.unit,
        expires_at: row.expires_at_unix_s,
        issued_at_ms: row.issued_unix_ms,
    };
    let refused = |row: RefusalRow| Refused {
        header_hash: header_hash_to_text(&row.header_hash),
        amount: row.amount,
        unit: row.unit,
        error_code: row.error_code,
        error_message: row.error_message,
    };
    let unknown = |row: UnknownRow| Unknown {
        header_hash: header_hash_to_text(&row.header_hash),
        amount: row.amount,
        unit: row.unit,
        handed_over_at_ms: row.handed_over_unix_ms,
    };
    Answer {
        locking_key: locking_key.to_string(),
        quotes: page.quotes.into_iter().map(quote).collect(),
        more: page.more,
        pending: page.pending,
        refused: page.refused.into_iter().map(refused).collect(),
        unknown: page.unknown.into_iter().map(unknown).collect(),
    }
}

fn refuse(status: StatusCode, error: String) -> Response {
    (status, Json(serde_json::json!({ "error": error }))).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::POOL_SCHEMA;

    const ALICE: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

    /// Fifty strangers ask while the reader is busy; then the pool reads what it has to send to the mint.
    #[tokio::test]
    async fn however_many_ask_for_pages_the_pools_own_reads_are_not_behind_them_all() {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(&folder.path().join("pool.sqlite"), &[POOL_SCHEMA]).unwrap();
        let (free, busy) = std::sync::mpsc::channel::<()>();
        let reader = store.clone();
        let occupied = tokio::spawn(async move {
            let read = reader.read(move |_| {
                let _ = busy.recv();
                Ok(())
            });
            read.await
        });
        let pages = Pages::of(store.clone());
        let alice = LockingKey::from_hex(ALICE).unwrap();
        let mut strangers = tokio::task::JoinSet::new();
        for _ in 0..50 {
            let pages = pages.clone();
            strangers.spawn(async move { pages.read(alice, 0, 1_000).await.map(|_| ()) });
        }
        settle().await;

        // While the pool's read holds the reader, those that it had to wait for have their answers.
        let (reached, at_last) = tokio::sync::oneshot::channel();
        let (done, held) = std::sync::mpsc::channel::<()>();
        let own = tokio::spawn(async move {
            let read = store.read(move |_| {
                let _ = reached.send(());
                let _ = held.recv();
                Ok(())
            });
            read.await
        });
        settle().await;
        free.send(()).unwrap();
        at_last.await.unwrap();
        settle().await;
        let mut before = 0;
        while let Some(answered) = strangers.try_join_next() {
            answered.unwrap().unwrap();
            before += 1;
        }
        assert!(before <= QUOTE_PAGES_READ_MAX, "behind {before} strangers");

        done.send(()).unwrap();
        own.await.unwrap().unwrap();
        occupied.await.unwrap().unwrap();
        while let Some(answered) = strangers.join_next().await {
            answered.unwrap().unwrap();
        }
    }

    /// Lets every task of this one-threaded runtime go as far as it can.
    async fn settle() {
        for _ in 0..500 {
            tokio::task::yield_now().await;
        }
    }
}
