//! The pool's list of a miner's quotes: `GET /v1/quotes/{locking_key}`.

use std::net::SocketAddr;

use serde::Deserialize;
use winze_messages::text::header_hash_from_text;

use crate::error::TestbedError;
use crate::http;
use crate::limits::LIST_PAGE_QUOTES;

/// What a pool says about the quotes of one locking key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct QuoteList {
    /// The quotes, oldest first.
    pub quotes: Vec<ListedQuote>,
    /// Accepted shares that have no answer from the mint yet.
    pub pending: u64,
    /// Accepted shares that the mint finally refused, the latest first; as many as fit a page.
    pub refused: Vec<ListedRefusal>,
    /// Accepted shares that were handed to a mint which tells no ids, the latest first; as many as fit a page.
    pub unknown: Vec<ListedUnknown>,
}

/// One quote of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedQuote {
    /// Its place in the list; rises.
    pub sequence: u64,
    /// The mint's id for it.
    pub quote_id: String,
    /// The share that it was made for, in the byte order of the hash function.
    pub header_hash: [u8; 32],
    /// How much it is worth.
    pub amount: u64,
    /// Of what.
    pub unit: String,
}

/// One refusal of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedRefusal {
    /// The share, in the byte order of the hash function.
    pub header_hash: [u8; 32],
    /// What the share is worth, and the mint would not make a quote for.
    pub amount: u64,
    /// The mint's reason: section 5 of the specification.
    pub error_code: u32,
    /// The mint's reason, for a person.
    pub error_message: String,
}

/// One share of the list whose quote the mint alone knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedUnknown {
    /// The share, in the byte order of the hash function.
    pub header_hash: [u8; 32],
    /// What the share is worth.
    pub amount: u64,
}

#[derive(Deserialize)]
struct Page {
    quotes: Vec<Row>,
    more: bool,
    pending: u64,
    refused: Vec<RefusalRow>,
    unknown: Vec<UnknownRow>,
}

#[derive(Deserialize)]
struct Row {
    sequence: u64,
    quote_id: String,
    header_hash: String,
    amount: u64,
    unit: String,
}

#[derive(Deserialize)]
struct RefusalRow {
    header_hash: String,
    amount: u64,
    error_code: u32,
    error_message: String,
}

#[derive(Deserialize)]
struct UnknownRow {
    header_hash: String,
    amount: u64,
}

/// Everything that the pool lists for `locking_key` after the place `after` (0: from the start).
///
/// # Errors
/// [`TestbedError::Http`] where the pool does not answer, or not as documented.
pub async fn list(
    pool_http: SocketAddr,
    locking_key: &[u8; 33],
    after: u64,
) -> Result<QuoteList, TestbedError> {
    let mut list = QuoteList::default();
    let mut after = after;
    loop {
        let url = format!(
            "http://{pool_http}/v1/quotes/{}?after={after}&limit={LIST_PAGE_QUOTES}",
            hex::encode(locking_key)
        );
        let answer = http::get(&url).await?;
        let page: Page = answer.ok()?;
        let header_hash = |text: &str| {
            header_hash_from_text(text).map_err(|error| TestbedError::Http {
                url: url.clone(),
                problem: format!("{text:?}: {error}"),
            })
        };
        for row in page.quotes {
            after = after.max(row.sequence);
            list.quotes.push(ListedQuote {
                sequence: row.sequence,
                quote_id: row.quote_id,
                header_hash: header_hash(&row.header_hash)?,
                amount: row.amount,
                unit: row.unit,
            });
        }
        if !page.more {
            list.pending = page.pending;
            for row in page.refused {
                list.refused.push(ListedRefusal {
                    header_hash: header_hash(&row.header_hash)?,
                    amount: row.amount,
                    error_code: row.error_code,
                    error_message: row.error_message,
                });
            }
            for row in page.unknown {
                list.unknown.push(ListedUnknown {
                    header_hash: header_hash(&row.header_hash)?,
                    amount: row.amount,
                });
            }
            return Ok(list);
        }
    }
}
