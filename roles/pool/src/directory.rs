//! Who may be told of which quote: the mining channels that are open now.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use crate::identity::LockingKey;
use crate::limits::{NOTICES_QUEUED_MAX, SHARE_ORIGINS_MAX};
use crate::mining::QuoteNotice;

/// A connection of this run.
pub type ConnectionId = u64;

/// A notice with the channel it is for.
pub type Addressed = (u32, QuoteNotice);

/// The open channels whose miners have negotiated to be told, by key and by the shares that they found.
#[derive(Debug, Default)]
pub struct Directory(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    connections: HashMap<ConnectionId, Entry>,
    channels: BTreeMap<[u8; 33], BTreeSet<(ConnectionId, u32)>>,
    origins: HashMap<[u8; 32], (ConnectionId, u32)>,
    /// Shares in `origins`, the oldest first; may name some that are gone from there.
    origins_by_age: VecDeque<[u8; 32]>,
}

#[derive(Debug)]
struct Entry {
    notices: mpsc::Sender<Addressed>,
    channels: BTreeMap<u32, [u8; 33]>,
}

impl Directory {
    /// Enters a connection; its notices come out of the receiver.
    pub fn connected(&self, connection: ConnectionId) -> mpsc::Receiver<Addressed> {
        let (notices, receiver) = mpsc::channel(NOTICES_QUEUED_MAX);
        let entry = Entry {
            notices,
            channels: BTreeMap::new(),
        };
        self.lock().connections.insert(connection, entry);
        receiver
    }

    /// Strikes off a connection and its channels.
    pub fn disconnected(&self, connection: ConnectionId) {
        let mut inner = self.lock();
        let Some(entry) = inner.connections.remove(&connection) else {
            return;
        };
        for (channel_id, key) in entry.channels {
            inner.forget_channel(connection, channel_id, &key);
        }
    }

    /// Enters a channel.
    pub fn opened(&self, connection: ConnectionId, channel_id: u32, locking_key: LockingKey) {
        let mut inner = self.lock();
        let key = *locking_key.as_bytes();
        if let Some(entry) = inner.connections.get_mut(&connection) {
            entry.channels.insert(channel_id, key);
            let channels = inner.channels.entry(key).or_default();
            channels.insert((connection, channel_id));
        }
    }

    /// Strikes off a channel.
    pub fn closed(&self, connection: ConnectionId, channel_id: u32) {
        let mut inner = self.lock();
        let key = inner
            .connections
            .get_mut(&connection)
            .and_then(|entry| entry.channels.remove(&channel_id));
        if let Some(key) = key {
            inner.forget_channel(connection, channel_id, &key);
        }
    }

    /// Remembers which channel found a share, for as long as [`SHARE_ORIGINS_MAX`] others have not come after it.
    pub fn found(&self, connection: ConnectionId, channel_id: u32, header_hash: [u8; 32]) {
        let mut inner = self.lock();
        if inner.origins_by_age.len() == SHARE_ORIGINS_MAX
            && let Some(oldest) = inner.origins_by_age.pop_front()
        {
            inner.origins.remove(&oldest);
        }
        inner.origins_by_age.push_back(header_hash);
        inner.origins.insert(header_hash, (connection, channel_id));
    }

    /// Passes a notice on to the channel that found the share, or else to one with the same key. False where a
    /// connection has too many waiting and the notice was dropped; that nobody is there is no failure.
    pub fn deliver(
        &self,
        header_hash: &[u8; 32],
        locking_key: &[u8; 33],
        notice: QuoteNotice,
    ) -> bool {
        let mut inner = self.lock();
        let origin = inner.origins.remove(header_hash);
        let Some(candidates) = inner.channels.get(locking_key) else {
            return true;
        };
        let receiver = origin
            .filter(|origin| candidates.contains(origin))
            .or_else(|| candidates.first().copied());
        let Some((connection, channel_id)) = receiver else {
            return true;
        };
        match inner.connections.get(&connection) {
            Some(entry) => {
                let sent = entry.notices.try_send((channel_id, notice));
                !matches!(sent, Err(mpsc::error::TrySendError::Full(_)))
            }
            None => true,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // No step leaves the maps in a state that the next one could not work with.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn forget_channel(&mut self, connection: ConnectionId, channel_id: u32, key: &[u8; 33]) {
        if let Some(channels) = self.channels.get_mut(key) {
            channels.remove(&(connection, channel_id));
            if channels.is_empty() {
                self.channels.remove(key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use winze_messages::families::mint_quote::MintQuoteFailure;

    const ALICE: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

    fn notice() -> QuoteNotice {
        QuoteNotice::Refused(MintQuoteFailure {
            header_hash: [1; 32],
            error_code: 4,
            error_message: String::new(),
        })
    }

    #[test]
    fn the_channel_that_found_the_share_hears_of_it_and_if_it_is_gone_another_of_the_miner() {
        let alice = LockingKey::from_hex(ALICE).unwrap();
        let directory = Directory::default();
        let mut first = directory.connected(1);
        let mut second = directory.connected(2);
        directory.opened(1, 2, alice);
        directory.opened(2, 2, alice);
        directory.opened(2, 3, alice);

        directory.found(2, 3, [1; 32]);
        assert!(directory.deliver(&[1; 32], alice.as_bytes(), notice()));
        assert_eq!(second.try_recv().unwrap().0, 3);

        directory.found(2, 3, [2; 32]);
        directory.disconnected(2);
        assert!(directory.deliver(&[2; 32], alice.as_bytes(), notice()));
        assert_eq!(first.try_recv().unwrap().0, 2);

        directory.closed(1, 2);
        assert!(directory.deliver(&[3; 32], alice.as_bytes(), notice()));
        assert!(first.try_recv().is_err());
        assert!(directory.lock().channels.is_empty());
    }

    #[test]
    fn a_connection_that_takes_nothing_loses_notices_and_holds_up_nobody() {
        let alice = LockingKey::from_hex(ALICE).unwrap();
        let directory = Directory::default();
        let _unread = directory.connected(1);
        directory.opened(1, 2, alice);
        let delivered = (0..NOTICES_QUEUED_MAX + 10)
            .filter(|_| directory.deliver(&[1; 32], alice.as_bytes(), notice()))
            .count();
        assert_eq!(delivered, NOTICES_QUEUED_MAX);
    }
}
