//! `GET /v1/quotes/{locking_key}`: what a miner's key has earned, for whoever asks.
//!
//! A quote can be redeemed by the owner of its locking key alone, so nothing here is a secret.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};
use winze_client::Store;

use crate::identity::LockingKey;
use crate::limits::{QUOTES_PAGE_DEFAULT, QUOTES_PAGE_MAX};
use crate::store::{QuotePage, QuoteRow, RefusalRow, quote_page};
use winze_messages::text::header_hash_to_text;

/// The route, reading from `store`.
///
/// `?after=` (a `sequence`, default 0) and `?limit=` (1 to [`QUOTES_PAGE_MAX`], default [`QUOTES_PAGE_DEFAULT`]) page
/// through the quotes. A key that is none is status 400, and the answer says why.
pub fn router(store: Store) -> Router {
    Router::new()
        .route("/v1/quotes/{locking_key}", get(quotes))
        .with_state(store)
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

async fn quotes(
    State(store): State<Store>,
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
    let read = store.read(move |connection| quote_page(connection, &locking_key, after, limit));
    match read.await {
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
    Answer {
        locking_key: locking_key.to_string(),
        quotes: page.quotes.into_iter().map(quote).collect(),
        more: page.more,
        pending: page.pending,
        refused: page.refused.into_iter().map(refused).collect(),
    }
}

fn refuse(status: StatusCode, error: String) -> Response {
    (status, Json(serde_json::json!({ "error": error }))).into_response()
}
