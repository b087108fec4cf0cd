//! When nothing new may be made for the list: while the mint's store may lack quotes that pools have been told of.

use std::sync::Arc;

use tokio::time::Instant;
use winze_client::{Store, answers};
use winze_messages::EXT_MINT_QUOTE;

use crate::limits::LIST_POOLS_PATIENCE;

/// Whether a pool has told since the start how far its store has come.
pub(crate) type HasCompared = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// Looks before each batch. A list does not say who has pushed: what holds for one pool holds for all of it.
pub(crate) struct Caution {
    store: Store,
    /// Those that may have quotes made over the hub, by peer name.
    pools: Vec<String>,
    has_compared: HasCompared,
    waits_until: Instant,
}

impl Caution {
    /// `store` is the record of answers. From now on those of `pools` that it has answers to are waited for, up to
    /// [`LIST_POOLS_PATIENCE`].
    pub(crate) fn new(store: Store, pools: Vec<String>, has_compared: HasCompared) -> Self {
        Self {
            store,
            pools,
            has_compared,
            waits_until: Instant::now() + LIST_POOLS_PATIENCE,
        }
    }

    /// Why nothing new may be made now.
    pub(super) async fn reason(&self) -> Option<String> {
        let unheard: Vec<String> = match Instant::now() < self.waits_until {
            true => (self.pools.iter())
                .filter(|pool| !(self.has_compared)(pool))
                .cloned()
                .collect(),
            false => Vec::new(),
        };
        let looked = self.store.read(move |c| {
            let set_backs = answers::set_backs(c, EXT_MINT_QUOTE)?;
            if let Some(first) = set_backs.into_iter().next() {
                return Ok(Some(format!(
                    "{} knows of answers that this mint's store does not have, and its operator has yet to accept that",
                    first.peer
                )));
            }
            for pool in unheard {
                if answers::numbers(c, EXT_MINT_QUOTE, &pool)?.answers > 0 {
                    return Ok(Some(format!(
                        "{pool} has not told since this mint's start how many answers it knows of"
                    )));
                }
            }
            Ok(None)
        });
        looked.await.unwrap_or_else(|error| {
            tracing::error!(%error, "whether the record was set back cannot be read");
            Some("this mint's store cannot be read".to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use super::*;
    use crate::testing::TestMint;

    #[tokio::test]
    async fn after_a_start_a_pool_with_answers_is_waited_for_and_not_for_ever() {
        let mint = TestMint::start().await;
        let pools = vec!["pool/alice".to_owned(), "pool/new".to_owned()];
        let has_compared = Arc::new(AtomicBool::new(false));
        let asked = Arc::clone(&has_compared);
        let has_compared_too: HasCompared = Arc::new(move |_| asked.load(Ordering::Relaxed));
        let caution = Caution::new(mint.store.clone(), pools, has_compared_too);
        assert_eq!(caution.reason().await, None, "nobody was ever answered");

        let answered = "INSERT INTO answer_peer (extension, peer, last_sequence, last_request)
                        VALUES (?1, 'pool/alice', 3, 3)";
        let write = mint
            .store
            .write(move |c| Ok(c.execute(answered, [EXT_MINT_QUOTE])?));
        write.await.unwrap();
        let reason = caution.reason().await.unwrap();
        assert!(reason.starts_with("pool/alice has not told"), "{reason}");
        has_compared.store(true, Ordering::Relaxed);
        assert_eq!(caution.reason().await, None);

        has_compared.store(false, Ordering::Relaxed);
        let later = Caution {
            waits_until: Instant::now(),
            ..caution
        };
        assert_eq!(later.reason().await, None);
    }
}
