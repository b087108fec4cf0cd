//! The mint's quotes, in a store of their own as cdk has one: each is made once for a header hash,
//! and found by it.

use rand::Rng;
use rand_chacha::ChaCha8Rng;
use rusqlite::{Connection, OptionalExtension, params};
use winze_client::delivery::Now;
use winze_client::mint_quote::QuoteOutcome;
use winze_client::store::StoreError;
use winze_messages::families::mint_quote::{
    MintQuoteRequest, MintQuoteResponse, QuoteErrorCode, QuoteState,
};

use crate::store::Disk;

const TABLE: &str = "
    CREATE TABLE issued (header_hash BLOB NOT NULL PRIMARY KEY, amount INTEGER NOT NULL,
                         locking_key BLOB NOT NULL, quote_id TEXT NOT NULL);
";

/// See the [module](self).
pub struct Quotes {
    /// What survives the process.
    pub disk: Disk,
}

impl Quotes {
    /// None.
    pub(crate) fn new() -> Quotes {
        Quotes {
            disk: Disk::new(&[], &[TABLE]),
        }
    }

    /// What was issued before; makes nothing.
    pub fn recall(&self, requests: &[MintQuoteRequest]) -> Vec<QuoteOutcome> {
        let found = |request| self.disk.read(|db| find(db, request)).ok().flatten();
        let outcomes = requests.iter().map(found);
        outcomes.map(|found| found.unwrap_or_else(later)).collect()
    }

    /// Issues, or not, in one transaction; and which requests have a new quote.
    pub fn issue<'a>(
        &self,
        requests: &'a [MintQuoteRequest],
        now: Now,
        rng: &mut ChaCha8Rng,
    ) -> (Vec<QuoteOutcome>, Vec<&'a MintQuoteRequest>) {
        let mut made = Vec::new();
        let outcomes = self.disk.write(now.ms, |db| {
            let outcomes = requests.iter().map(|request| {
                if let Some(found) = find(db, request)? {
                    return Ok(found);
                }
                if request.amount == 0 {
                    return Ok(QuoteOutcome::Refused {
                        code: QuoteErrorCode::AmountZero,
                        message: "nothing is not issued".to_owned(),
                    });
                }
                if rng.gen_ratio(1, 15) {
                    return Ok(later());
                }
                let quote_id = format!("{:016x}", rng.r#gen::<u64>());
                db.prepare_cached("INSERT INTO issued VALUES (?1, ?2, ?3, ?4)")?
                    .execute(params![
                        &request.header_hash[..],
                        request.amount,
                        &request.locking_key[..],
                        quote_id
                    ])?;
                made.push(request);
                Ok(issued(request, quote_id))
            });
            outcomes.collect::<Result<Vec<_>, StoreError>>()
        });
        match outcomes {
            Ok(outcomes) => (outcomes, made),
            Err(_) => (requests.iter().map(|_| later()).collect(), Vec::new()),
        }
    }

    /// The id of the quote for a header hash.
    pub fn quote_id(&self, header_hash: &[u8; 32]) -> Option<String> {
        let found = self.disk.read(|db| {
            Ok(db
                .prepare_cached("SELECT quote_id FROM issued WHERE header_hash = ?1")?
                .query_row([&header_hash[..]], |row| row.get(0))
                .optional()?)
        });
        found.ok().flatten()
    }
}

fn find(db: &Connection, request: &MintQuoteRequest) -> Result<Option<QuoteOutcome>, StoreError> {
    let found: Option<(u64, Vec<u8>, String)> = db
        .prepare_cached("SELECT amount, locking_key, quote_id FROM issued WHERE header_hash = ?1")?
        .query_row([&request.header_hash[..]], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    Ok(found.map(|(amount, locking_key, quote_id)| {
        match amount == request.amount && locking_key == request.locking_key {
            true => issued(request, quote_id),
            false => QuoteOutcome::Refused {
                code: QuoteErrorCode::Conflict,
                message: "this header hash has a quote over something else".to_owned(),
            },
        }
    }))
}

fn issued(request: &MintQuoteRequest, quote_id: String) -> QuoteOutcome {
    QuoteOutcome::Issued(MintQuoteResponse {
        quote_id,
        header_hash: request.header_hash,
        amount: request.amount,
        unit: request.unit.clone(),
        expires_at_unix_s: 0,
        state: QuoteState::Paid,
    })
}

fn later() -> QuoteOutcome {
    QuoteOutcome::Later {
        code: QuoteErrorCode::Unavailable,
        message: "not now".to_owned(),
        retry_after_ms: 300,
    }
}
