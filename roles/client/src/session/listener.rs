use std::collections::{BTreeSet, VecDeque};

use winze_messages::PeerName;

use super::{ChannelKey, ChannelName, ListenerKey, OpenError, SessionCore, Woken};

/// Says which offered channels are wanted.
pub type OfferFilter = Box<dyn Fn(&ChannelName) -> bool + Send>;

/// Takes the offers of one family.
pub(super) struct Listener {
    filter: OfferFilter,
    channels_max: usize,
    /// Accepted and not yet taken by the listener's owner.
    accepted: VecDeque<ChannelKey>,
    /// Accepted, whether or not taken, and not closed by their owner.
    alive: BTreeSet<ChannelKey>,
}

impl Listener {
    pub(super) fn forget(&mut self, key: ChannelKey) {
        self.alive.remove(&key);
        self.accepted.retain(|accepted| *accepted != key);
    }

    /// Whether a channel of this name is wanted at all.
    pub(super) fn wants(&self, name: &ChannelName) -> bool {
        name.peer.parse::<PeerName>().is_ok() && (self.filter)(name)
    }

    /// Whether as many channels are held as may be.
    pub(super) fn is_full(&self) -> bool {
        self.alive.len() >= self.channels_max
    }

    /// Whether the owner has not taken this channel yet.
    pub(super) fn awaits_taking(&self, key: ChannelKey) -> bool {
        self.accepted.contains(&key)
    }

    pub(super) fn channels_max(&self) -> usize {
        self.channels_max
    }

    pub(super) fn accept(&mut self, key: ChannelKey) {
        self.alive.insert(key);
        self.accepted.push_back(key);
    }
}

impl SessionCore {
    /// Takes offers of channels for `extension` that `filter` wants; at most `channels_max` of them
    /// at a time, the others are refused. An accepted channel stays its owner's until
    /// [`Self::close`]: while the opener is away, and over reconnects. Where there is no room for an
    /// offer, a channel whose opener is away gives way to it, and its owner hears
    /// [`Closed`](super::ChannelEvent::Closed): an opener that comes back opens it anew.
    pub fn listen(
        &mut self,
        extension: u16,
        channels_max: usize,
        filter: OfferFilter,
    ) -> Result<ListenerKey, OpenError> {
        if !self.config.extensions.contains(&extension) {
            return Err(OpenError::NotNegotiated { extension });
        }
        let key = ListenerKey(extension);
        if self.listeners.contains_key(&key) {
            return Err(OpenError::ListenerExists { extension });
        }
        self.listeners.insert(
            key,
            Listener {
                filter,
                channels_max,
                accepted: VecDeque::new(),
                alive: BTreeSet::new(),
            },
        );
        Ok(key)
    }

    /// The next channel that was accepted.
    pub fn take_accepted(&mut self, key: ListenerKey) -> Option<ChannelKey> {
        self.listeners.get_mut(&key)?.accepted.pop_front()
    }

    /// Takes no more offers. Channels that nobody has taken yet are closed, the others stay.
    pub fn stop_listening(&mut self, key: ListenerKey) {
        let Some(listener) = self.listeners.remove(&key) else {
            return;
        };
        self.woken.remove(&Woken::Listener(key));
        for channel in listener.accepted {
            self.close(channel);
        }
    }
}
