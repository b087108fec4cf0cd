//! Channels by name, and which ends each has at present.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use super::end::EndRef;
use super::registry::PeerId;

/// What names a channel (specification, section 3). The acceptor comes first: when it connects, its channels stand
/// next to each other.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ChannelName {
    pub(super) acceptor: PeerId,
    pub(super) opener: PeerId,
    /// For a group member's channel, the group. It is another channel than the one that the opener opens to the same
    /// peer by name. A channel to a group itself has the group as acceptor.
    pub(super) group: Option<PeerId>,
    pub(super) extension: u16,
    pub(super) label: String,
}

/// The two ends, each while its connection lasts. One of them is always there.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Channel {
    pub(super) opener: Option<EndRef>,
    /// Offered or accepted.
    pub(super) acceptor: Option<EndRef>,
}

/// See the module. Its size is bounded by `channels_max` of the connections at its ends.
#[derive(Debug, Default)]
pub(super) struct Channels {
    by_name: BTreeMap<Arc<ChannelName>, Channel>,
}

impl Channels {
    pub(super) fn get(&self, name: &ChannelName) -> Option<Channel> {
        self.by_name.get(name).copied()
    }

    pub(super) fn get_mut(&mut self, name: &ChannelName) -> Option<&mut Channel> {
        self.by_name.get_mut(name)
    }

    /// The channel of this name, made when there is none, and the one copy of its name.
    pub(super) fn entry(&mut self, name: ChannelName) -> (Arc<ChannelName>, &mut Channel) {
        let name = match self.by_name.get_key_value(&name) {
            Some((name, _)) => Arc::clone(name),
            None => Arc::new(name),
        };
        let channel = self.by_name.entry(Arc::clone(&name)).or_default();
        (name, channel)
    }

    pub(super) fn remove(&mut self, name: &ChannelName) -> Option<Channel> {
        self.by_name.remove(name)
    }

    /// Takes out the channels that are not to stay, in the order of their names.
    pub(super) fn remove_unless(
        &mut self,
        stays: impl Fn(&ChannelName) -> bool,
    ) -> Vec<(Arc<ChannelName>, Channel)> {
        let mut gone = Vec::new();
        self.by_name.retain(|name, channel| {
            let keep = stays(name);
            if !keep {
                gone.push((Arc::clone(name), *channel));
            }
            keep
        });
        gone
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// The channels to `acceptor`, in the order of their names.
    pub(super) fn of_acceptor(
        &self,
        acceptor: PeerId,
    ) -> impl Iterator<Item = (&Arc<ChannelName>, &Channel)> {
        self.names_from(first_name(acceptor, PeerId(0)))
            .take_while(move |(name, _)| name.acceptor == acceptor)
    }

    /// The channels from `opener` to `acceptor`, in the order of their names.
    pub(super) fn of_pair(
        &self,
        opener: PeerId,
        acceptor: PeerId,
    ) -> impl Iterator<Item = (&Arc<ChannelName>, &Channel)> {
        self.names_from(first_name(acceptor, opener))
            .take_while(move |(name, _)| name.acceptor == acceptor && name.opener == opener)
    }

    fn names_from(
        &self,
        first: ChannelName,
    ) -> impl Iterator<Item = (&Arc<ChannelName>, &Channel)> {
        self.by_name
            .range::<ChannelName, _>((Bound::Included(&first), Bound::Unbounded))
    }
}

/// The smallest name of a pair.
fn first_name(acceptor: PeerId, opener: PeerId) -> ChannelName {
    ChannelName {
        acceptor,
        opener,
        group: None,
        extension: 0,
        label: String::new(),
    }
}
