use std::sync::Arc;

use tokio::sync::watch;
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::mint_quote::KeysetAnnouncement;
use winze_runtime::clock::now_unix_ms;

use crate::answers::{self, Announcement};
use crate::store::{Store, StoreError};

/// The active keyset of each unit, as every channel is to be told.
pub(super) struct Announcements {
    store: Store,
    current: watch::Sender<Arc<Vec<Announcement>>>,
}

impl Announcements {
    pub(super) fn new(store: Store) -> Announcements {
        Announcements {
            store,
            current: watch::Sender::new(Arc::default()),
        }
    }

    /// What is announced, by rising serial number, now and at every change.
    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<Vec<Announcement>>> {
        self.current.subscribe()
    }

    /// Takes up what was announced before the process was started.
    pub(super) async fn load(&self) -> Result<(), StoreError> {
        let now_unix_ms = now_unix_ms();
        let stored = self
            .store
            .write(move |c| {
                answers::renew_announcements(c, EXT_MINT_QUOTE, now_unix_ms)?;
                answers::announcements(c, EXT_MINT_QUOTE)
            })
            .await?;
        self.publish(stored);
        Ok(())
    }

    pub(super) async fn announce(&self, keyset: &KeysetAnnouncement) -> Result<(), StoreError> {
        let mut body = Vec::new();
        keyset
            .encode_body(&mut body)
            .map_err(|error| StoreError::Aborted {
                reason: error.to_string(),
            })?;
        let unit = keyset.unit.clone();
        let now_unix_ms = now_unix_ms();
        let stored = self
            .store
            .write(move |c| {
                answers::announce(c, EXT_MINT_QUOTE, &unit, &body, now_unix_ms)?;
                answers::announcements(c, EXT_MINT_QUOTE)
            })
            .await?;
        self.publish(stored);
        Ok(())
    }

    /// Serial numbers only rise: of two that race, the one with the higher last number is newer.
    fn publish(&self, stored: Vec<Announcement>) {
        let last = |list: &[Announcement]| list.last().map_or(0, |last| last.serial);
        self.current.send_if_modified(|current| {
            let newer = last(&stored) > last(current);
            if newer {
                *current = Arc::new(stored);
            }
            newer
        });
    }
}
