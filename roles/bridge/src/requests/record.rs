//! A batch off the list becomes rows of the outbox.

use rusqlite::Connection;
use winze_client::store::in_savepoint;
use winze_client::{Enqueued, NewRequest, StoreError, outbox};
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::mint_quote::MintQuoteRequest;

use super::read::{self, ToEnqueue};
use crate::store::{self, KnownKeyset};

/// What became of a batch.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recorded {
    /// Requests that were not there before.
    pub(super) new: usize,
    /// The header hashes of requests that were.
    pub(super) repeated: Vec<[u8; 32]>,
    /// The entries that there is no quote for, and why: see [`ToEnqueue::entry`].
    pub(super) put_aside: Vec<(usize, String)>,
}

/// Writes down what is not there yet, in its order.
pub(super) fn record(
    tx: &Connection,
    peer: &str,
    requests: &[ToEnqueue],
    keysets: &[KnownKeyset],
    now_unix_ms: u64,
) -> Result<Recorded, StoreError> {
    let mut recorded = Recorded::default();
    let mints_before = store::mints_before(tx, peer)?;
    let mut of_this_mint = Vec::with_capacity(requests.len());
    for request in requests {
        match asked_before(tx, &mints_before, request, now_unix_ms) {
            Ok(Some(mint)) => recorded.repeated(tx, mint, request)?,
            Ok(None) => of_this_mint.push(request),
            Err(StoreError::Conflict { .. }) => recorded.conflict(request),
            Err(error) => return Err(error),
        }
    }
    let all: Vec<NewRequest<'_>> = of_this_mint
        .iter()
        .map(|request| new_request(peer, &request.header_hash, &request.body))
        .collect();
    match in_savepoint(tx, || outbox::enqueue_all(tx, &all, now_unix_ms)) {
        Ok(outcomes) => {
            for (request, outcome) in of_this_mint.into_iter().zip(outcomes) {
                recorded.count(tx, peer, request, outcome)?;
            }
            return Ok(recorded);
        }
        // One of them; the others are good.
        Err(StoreError::Conflict { .. }) => {}
        Err(error) => return Err(error),
    }
    for (request, new) in of_this_mint.into_iter().zip(&all) {
        match outbox::enqueue(tx, new, now_unix_ms) {
            Ok(outcome) => recorded.count(tx, peer, request, outcome)?,
            Err(StoreError::Conflict { .. })
                if is_under_earlier_keyset(tx, peer, request, keysets, now_unix_ms)? =>
            {
                recorded.repeated(tx, peer, request)?;
            }
            Err(StoreError::Conflict { .. }) => recorded.conflict(request),
            Err(error) => return Err(error),
        }
    }
    Ok(recorded)
}

/// Which other mint was asked for it, before this one was configured: a batch may have been written down then, and not
/// been settled. A second quote, at this mint, would pay the share twice.
fn asked_before<'a>(
    tx: &Connection,
    mints_before: &'a [String],
    request: &ToEnqueue,
    now_unix_ms: u64,
) -> Result<Option<&'a str>, StoreError> {
    for mint in mints_before {
        let hash = &request.header_hash;
        if outbox::state_of(tx, mint, EXT_MINT_QUOTE, hash)?.is_none() {
            continue;
        }
        // Under a keyset of our choice it had one of that mint's then, and these are forgotten: the rest cannot be compared.
        if request.under_our_keyset.is_none() {
            // The key is there, so nothing is written.
            outbox::enqueue(tx, &new_request(mint, hash, &request.body), now_unix_ms)?;
        }
        return Ok(Some(mint));
    }
    Ok(None)
}

impl Recorded {
    fn count(
        &mut self,
        tx: &Connection,
        mint: &str,
        request: &ToEnqueue,
        outcome: Enqueued,
    ) -> Result<(), StoreError> {
        match outcome {
            Enqueued::New => self.new += 1,
            Enqueued::AlreadyThere => self.repeated(tx, mint, request)?,
        }
        Ok(())
    }

    /// One that is parked brings no quote however often it is pushed: whoever put its dead letter back on the list is told so
    /// once more.
    fn repeated(
        &mut self,
        tx: &Connection,
        mint: &str,
        request: &ToEnqueue,
    ) -> Result<(), StoreError> {
        let hash = request.header_hash;
        match outbox::parked_error(tx, mint, EXT_MINT_QUOTE, &hash)? {
            None => self.repeated.push(hash),
            Some(error) => {
                let reason = format!("{error} (by {mint}, before; the request is parked)");
                self.put_aside.push((request.entry, reason));
            }
        }
        Ok(())
    }

    fn conflict(&mut self, request: &ToEnqueue) {
        self.put_aside.push((request.entry, CONFLICT.to_owned()));
    }
}

/// As the mint says it.
const CONFLICT: &str =
    "conflict: this header hash was taken before with another content, which stands";

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

#[cfg(test)]
mod tests {
    use tempfile::TempDir;
    use winze_client::{OUTBOX_SCHEMA, Store};
    use winze_transport::{PublicKey, SecretKey};

    use super::*;
    use crate::store::REQUESTS_SCHEMA;

    const FIRST: &str = "mint/first";
    const SECOND: &str = "mint/second";

    struct Scene {
        store: Store,
        key: PublicKey,
        _folder: TempDir,
    }

    impl Scene {
        fn new() -> Scene {
            let folder = TempDir::new().expect("a temporary folder");
            let schemas = [OUTBOX_SCHEMA, REQUESTS_SCHEMA];
            Scene {
                store: Store::open(&folder.path().join("bridge.sqlite"), &schemas)
                    .expect("a store"),
                key: SecretKey::generate(&mut rand::rngs::OsRng).public_key(),
                _folder: folder,
            }
        }

        async fn belongs_to(&self, mint: &'static str) {
            let key = self.key;
            let belongs = self.store.write(move |tx| store::belong_to(tx, mint, &key));
            belongs.await.expect("written").expect("nothing waits");
        }

        async fn taken(&self, mint: &'static str, requests: Vec<ToEnqueue>) -> Recorded {
            let keysets = [known(1)];
            let recorded = self
                .store
                .write(move |tx| record(tx, mint, &requests, &keysets, 7));
            recorded.await.expect("written")
        }

        async fn answered(&self, mint: &'static str, share: u8) {
            let answer = outbox::RecordedAnswer {
                sequence: 1,
                identity: [share; 32],
            };
            let marked = self.store.write(move |tx| {
                outbox::mark_answered(tx, mint, EXT_MINT_QUOTE, &[share; 32], &answer, 8)
            });
            marked.await.expect("written");
        }
    }

    fn known(id: u8) -> KnownKeyset {
        KnownKeyset {
            id: vec![id; 8],
            json: String::new(),
        }
    }

    fn share(share: u8, amount: u64, keyset: u8) -> ToEnqueue {
        let request = MintQuoteRequest {
            amount,
            unit: "hash".to_owned(),
            header_hash: [share; 32],
            description: None,
            locking_key: [2; 33],
            keyset_id: vec![keyset; 8],
        };
        ToEnqueue {
            entry: share.into(),
            header_hash: request.header_hash,
            body: read::body(&request).expect("it fits"),
            under_our_keyset: None,
        }
    }

    fn under_ours(of: ToEnqueue) -> ToEnqueue {
        let request = MintQuoteRequest::decode_body(&of.body).expect("just encoded");
        ToEnqueue {
            under_our_keyset: Some(Box::new(request)),
            ..of
        }
    }

    #[tokio::test]
    async fn a_batch_that_another_mint_was_asked_for_and_that_was_not_settled_is_asked_of_nobody_else()
     {
        let scene = Scene::new();
        scene.belongs_to(FIRST).await;
        let batch = vec![share(1, 8, 1), under_ours(share(2, 8, 1))];
        assert_eq!(scene.taken(FIRST, batch).await.new, 2);
        // Redis dies before the batch is settled; the mint answers; the operator names another one; Redis comes back.
        scene.answered(FIRST, 1).await;
        scene.answered(FIRST, 2).await;
        scene.belongs_to(SECOND).await;
        let again = vec![share(1, 8, 1), under_ours(share(2, 8, 5)), share(3, 8, 5)];
        let of_second = Recorded {
            new: 1,
            repeated: vec![[1; 32], [2; 32]],
            put_aside: vec![],
        };
        assert_eq!(scene.taken(SECOND, again).await, of_second);
        let other = scene.taken(SECOND, vec![share(1, 9, 1)]).await;
        let conflict = (1, CONFLICT.to_owned());
        assert_eq!(other.put_aside, [conflict], "another amount");
        scene.answered(SECOND, 3).await;
        scene.belongs_to(FIRST).await;
        let back = scene
            .taken(FIRST, vec![share(1, 8, 1), share(3, 8, 5)])
            .await;
        assert_eq!((back.new, back.repeated.len()), (0, 2));
    }
}
