//! What the opener's end of a channel to a group has beside other ends: the members, and what some of them could not
//! have.

use std::collections::BTreeMap;

use super::credit::Totals;

/// A message to the group that some members did not get. It stays in the window of the group's channel until the
/// opener has been told of each of them, so that the window bounds these notices.
#[derive(Debug)]
struct Undelivered {
    payload_bytes: usize,
    /// Members of which the opener was not told yet, at least 1.
    members: usize,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Fan {
    /// What the opener takes on each member's channel from its beginning.
    pub(super) credit: Totals,
    /// The opener's ids of the members' channels, in the order of the list; those that joined later behind them.
    members: Vec<u32>,
    /// By ordinal on the group's channel; at most a window of them.
    undelivered: BTreeMap<u64, Undelivered>,
}

impl Fan {
    pub(super) fn new(credit: Totals) -> Fan {
        Fan {
            credit,
            members: Vec::new(),
            undelivered: BTreeMap::new(),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn members(&self) -> &[u32] {
        &self.members
    }

    /// Takes the members out while they are gone through; to be followed by [`Self::give_back`].
    pub(super) fn take(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.members)
    }

    pub(super) fn give_back(&mut self, members: Vec<u32>) {
        self.members = members;
    }

    pub(super) fn add(&mut self, channel_id: u32) {
        self.members.push(channel_id);
    }

    pub(super) fn remove(&mut self, channel_id: u32) {
        self.members.retain(|id| *id != channel_id);
    }

    /// Puts down that so many members, at least 1, did not get a message.
    pub(super) fn not_delivered(&mut self, ordinal: u64, payload_bytes: usize, members: usize) {
        let undelivered = Undelivered {
            payload_bytes,
            members,
        };
        self.undelivered.insert(ordinal, undelivered);
    }

    /// The opener was told of one member that did not get a message, or that member's channel is gone. The payload bytes
    /// of the message once it was the last one.
    pub(super) fn told(&mut self, ordinal: u64) -> Option<usize> {
        let undelivered = self.undelivered.get_mut(&ordinal)?;
        undelivered.members -= 1;
        if undelivered.members > 0 {
            return None;
        }
        let undelivered = self.undelivered.remove(&ordinal)?;
        Some(undelivered.payload_bytes)
    }

    /// Messages that some member did not get and whose sender was not told of all of them.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn undelivered(&self) -> u64 {
        self.undelivered.len() as u64
    }
}
