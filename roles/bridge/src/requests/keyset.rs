//! Keeps the mint's active keyset under the key that old pools read.
//!
//! What lies there is compared once a second: so a rotation gets there, and what a Redis without a disk has forgotten, or
//! an older mint has left behind.

use std::sync::Arc;

use tokio::sync::watch;
use winze_redis::limits::KEYSET_INTERVAL;
use winze_redis::{KeysetKey, Link, LinkPart};

use super::answers::Keysets;
use super::status::Counts;

/// Keeps it until it is dropped.
pub(super) async fn run(
    mut key: KeysetKey,
    mut keysets: watch::Receiver<Keysets>,
    counts: Arc<Counts>,
    link: Link,
) {
    loop {
        let active = keysets.borrow_and_update().last().cloned();
        if let Some(active) = active {
            let kept = key.keep(&active.json).await;
            link.note(LinkPart::Keyset, kept.as_ref().map(|_| ()));
            if let Ok(true) = kept {
                let keyset_id = hex::encode(&active.id);
                tracing::info!(keyset_id, "keyset written to Redis");
                counts.keyset_written();
            }
        }
        tokio::select! {
            changed = keysets.changed() => if changed.is_err() {
                return;
            },
            () = tokio::time::sleep(KEYSET_INTERVAL) => {}
        }
    }
}
