//! A batch off the list becomes rows of the outbox.

use rusqlite::Connection;
use winze_client::store::in_savepoint;
use winze_client::{Enqueued, NewRequest, StoreError, outbox};
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::mint_quote::MintQuoteRequest;

use super::read::{self, ToEnqueue};
use crate::store::KnownKeyset;

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recorded {
    /// Requests that were not there before.
    pub(super) new: usize,
    /// The header hashes of requests that were.
    pub(super) repeated: Vec<[u8; 32]>,
    /// The entries whose header hash stands for something else: see [`ToEnqueue::entry`].
    pub(super) conflicts: Vec<usize>,
}

/// Writes down what is not there yet, in its order.
pub(super) fn record(
    tx: &Connection,
    peer: &str,
    requests: &[ToEnqueue],
    keysets: &[KnownKeyset],
    now_unix_ms: u64,
) -> Result<Recorded, StoreError> {
    let all: Vec<NewRequest<'_>> = requests
        .iter()
        .map(|request| new_request(peer, &request.header_hash, &request.body))
        .collect();
    let mut recorded = Recorded::default();
    match in_savepoint(tx, || outbox::enqueue_all(tx, &all, now_unix_ms)) {
        Ok(outcomes) => {
            for (request, outcome) in requests.iter().zip(outcomes) {
                recorded.count(request, outcome);
            }
            return Ok(recorded);
        }
        // One of them; the others are good.
        Err(StoreError::Conflict { .. }) => {}
        Err(error) => return Err(error),
    }
    for (request, new) in requests.iter().zip(&all) {
        match outbox::enqueue(tx, new, now_unix_ms) {
            Ok(outcome) => recorded.count(request, outcome),
            Err(StoreError::Conflict { .. })
                if is_under_earlier_keyset(tx, peer, request, keysets, now_unix_ms)? =>
            {
                recorded.repeated.push(request.header_hash);
            }
            Err(StoreError::Conflict { .. }) => recorded.conflicts.push(request.entry),
            Err(error) => return Err(error),
        }
    }
    Ok(recorded)
}

impl Recorded {
    fn count(&mut self, request: &ToEnqueue, outcome: Enqueued) {
        match outcome {
            Enqueued::New => self.new += 1,
            Enqueued::AlreadyThere => self.repeated.push(request.header_hash),
        }
    }
}

fn new_request<'a>(peer: &'a str, header_hash: &'a [u8; 32], body: &'a [u8]) -> NewRequest<'a> {
    NewRequest {
        peer,
        extension: EXT_MINT_QUOTE,
        key: header_hash,
        msg_type: MintQuoteRequest::MSG_TYPE,
        body,
    }
}

/// An entry that names no keyset, was taken before under the one that was active then, and is taken again.
fn is_under_earlier_keyset(
    tx: &Connection,
    peer: &str,
    request: &ToEnqueue,
    keysets: &[KnownKeyset],
    now_unix_ms: u64,
) -> Result<bool, StoreError> {
    let Some(asked) = &request.under_our_keyset else {
        return Ok(false);
    };
    for keyset in keysets.iter().rev() {
        let earlier = MintQuoteRequest {
            keyset_id: keyset.id.clone(),
            ..MintQuoteRequest::clone(asked)
        };
        let Ok(body) = read::body(&earlier) else {
            continue;
        };
        // The key is there, so nothing is written.
        match outbox::enqueue(
            tx,
            &new_request(peer, &request.header_hash, &body),
            now_unix_ms,
        ) {
            Ok(_) => return Ok(true),
            Err(StoreError::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(false)
}
