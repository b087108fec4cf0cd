use std::sync::Arc;

use super::channel::{ChannelHandle, ClientStopped};
use super::shared::{Alive, Shared};
use crate::session::{
    ChannelEvent, ChannelKey, ChannelName, Credit, GroupMemberState, SendError, Woken,
};

/// What happens to a channel to a group.
pub enum GroupEvent {
    /// It is open, and what is sent goes to the members that the hub names from here on. Ordinals start from 1.
    Open,
    /// The hub has named a member that had no channel here. It keeps this one over reconnects, and when it leaves the
    /// group and joins it again; dropping it leaves the member out until the group is opened anew.
    Joined(ChannelHandle),
    /// The connection to the hub is gone; with it, as their own events say, all that the members had yet to get.
    Lost,
    /// The hub does not want the channel (any more); it is asked again after a while.
    Closed {
        /// Why, as the hub says.
        code: String,
        /// For a person.
        detail: String,
    },
    /// The hub delivered a message to nobody, for its own sake.
    Reject {
        /// Which one.
        ordinal: u64,
        /// Why (specification, section 3.5).
        code: String,
        /// For a person.
        detail: String,
    },
    /// More rejects waited to be taken than are kept: any message may have been rejected.
    RejectsOverflowed,
}

/// A channel to a group, for any family. It outlives connections; dropping it closes it, and the channels to its members
/// with it.
pub struct GroupHandle {
    key: ChannelKey,
    name: ChannelName,
    notify: Arc<tokio::sync::Notify>,
    shared: Arc<Shared>,
    alive: Arc<Alive>,
}

impl GroupHandle {
    pub(super) fn new(
        key: ChannelKey,
        name: ChannelName,
        shared: Arc<Shared>,
        alive: Arc<Alive>,
    ) -> GroupHandle {
        GroupHandle {
            key,
            name,
            notify: shared.register(Woken::Channel(key)),
            shared,
            alive,
        }
    }

    /// Which channel it is.
    pub fn name(&self) -> &ChannelName {
        &self.name
    }

    /// Who would get a message that is sent now: for each member whether it is there and what it has credit for.
    pub fn members(&self) -> Vec<GroupMemberState> {
        self.shared.lock().core.members(self.key)
    }

    /// Hands a message for all members over: `bytes` is what comes behind the channel id. Gives its ordinal, by which the
    /// [`ChannelEvent::GroupReject`] of each member that does not get it names it. Waits for nobody, least of all for a
    /// member that is slow: after [`SendError::NoCredit`] and [`SendError::Unsent`], which are the hub's and this client's
    /// own, [`Self::changed`] says when to try again.
    pub fn try_send(&self, msg_type: u8, bytes: &[u8]) -> Result<u64, SendError> {
        self.shared
            .with(|core, _| core.send(self.key, msg_type, bytes))
    }

    /// What the hub takes for the group for now, whatever its members have credit for.
    pub fn send_credit(&self) -> Credit {
        self.shared.lock().core.send_credit(self.key)
    }

    /// Waits until there may be something new: an event, credit, or another answer of [`Self::members`]. May return for
    /// nothing. Cancel-safe.
    pub async fn changed(&mut self) -> Result<(), ClientStopped> {
        if self.shared.lock().stopped {
            return Err(ClientStopped);
        }
        self.notify.notified().await;
        Ok(())
    }

    /// The next event, where there is one.
    pub fn try_event(&mut self) -> Option<GroupEvent> {
        let event = self.shared.with(|core, _| core.take_event(self.key));
        event.and_then(group_event).or_else(|| self.try_member())
    }

    /// Waits for the next event; `None` when the client was shut down. Cancel-safe.
    pub async fn next_event(&mut self) -> Option<GroupEvent> {
        loop {
            if let Some(event) = self.try_event() {
                return Some(event);
            }
            self.changed().await.ok()?;
        }
    }

    fn try_member(&mut self) -> Option<GroupEvent> {
        let key = self.shared.with(|core, _| core.take_member(self.key))?;
        let (shared, alive) = (Arc::clone(&self.shared), Arc::clone(&self.alive));
        Some(GroupEvent::Joined(ChannelHandle::new(key, shared, alive)))
    }
}

impl Drop for GroupHandle {
    fn drop(&mut self) {
        self.shared.unregister(Woken::Channel(self.key));
        self.shared.with(|core, _| core.close(self.key));
    }
}

fn group_event(event: ChannelEvent) -> Option<GroupEvent> {
    match event {
        ChannelEvent::Away => Some(GroupEvent::Open),
        ChannelEvent::Lost => Some(GroupEvent::Lost),
        ChannelEvent::Closed { code, detail } => Some(GroupEvent::Closed { code, detail }),
        ChannelEvent::Reject {
            ordinal,
            code,
            detail,
        } => Some(GroupEvent::Reject {
            ordinal,
            code,
            detail,
        }),
        ChannelEvent::RejectsOverflowed => Some(GroupEvent::RejectsOverflowed),
        // A hub that sends what these stand for ends its connection.
        ChannelEvent::Present { .. }
        | ChannelEvent::Message { .. }
        | ChannelEvent::GroupReject { .. } => None,
    }
}
