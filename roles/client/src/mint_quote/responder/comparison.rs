//! What a pool tells of its store is compared with the record, before anything is made for it.

use std::sync::Arc;

use rusqlite::Connection;
use winze_messages::EXT_MINT_QUOTE;

use super::ResponderCounts;
use super::asked::Pool;
use crate::answers::{self, Compared};
use crate::mint_quote::{FarStore, StoreNumbers};
use crate::store::StoreError;

/// Work for the store: what a pool has told, to be compared in one transaction.
pub struct Comparison {
    pool: Arc<Pool>,
    far: FarStore,
}

impl Comparison {
    pub(super) fn new(pool: Arc<Pool>, far: FarStore) -> Comparison {
        Comparison { pool, far }
    }

    /// Compares, and marks the record as set back where it was, in the transaction that is under
    /// way.
    pub fn run(self, connection: &Connection, now_unix_ms: u64) -> Result<Compared, StoreError> {
        let pool = &self.pool.text;
        answers::compare(connection, EXT_MINT_QUOTE, pool, &self.far, now_unix_ms)
    }
}

/// Tells the operator.
pub(super) fn report(
    pool: &str,
    far: StoreNumbers,
    compared: &Compared,
    counts: &mut ResponderCounts,
) {
    match compared {
        Compared::Agree => {}
        Compared::PeerSetBack { own_requests } => {
            counts.pools_set_back += 1;
            tracing::warn!(
                pool,
                told_requests = far.requests,
                own_requests,
                "the pool's store was set back: it has forgotten requests that were answered here"
            );
        }
        Compared::SetBack { set_back, is_new } => {
            counts.set_back += u64::from(*is_new);
            tracing::error!(
                pool,
                own_answers = set_back.own_answers,
                told_answers = set_back.told_answers,
                "the record of answers was set back, says this pool: nothing new is made for it until \
                 the operator accepts that (`winze answers accept`)"
            );
        }
    }
}
