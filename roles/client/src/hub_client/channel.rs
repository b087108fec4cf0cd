use std::sync::Arc;

use thiserror::Error;
use tokio::sync::Notify;

use super::shared::{Alive, Shared};
use crate::delivery::SendChannel;
use crate::session::{
    ChannelEnd, ChannelEvent, ChannelKey, ChannelName, Credit, ListenerKey, SendError, Woken,
};

/// The client was shut down; nothing more will come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the hub client was shut down")]
pub struct ClientStopped;

/// One end of a channel, for any family. It outlives connections; dropping it closes the channel.
pub struct ChannelHandle {
    key: ChannelKey,
    name: ChannelName,
    end: ChannelEnd,
    notify: Arc<Notify>,
    shared: Arc<Shared>,
    _alive: Arc<Alive>,
}

impl ChannelHandle {
    pub(super) fn new(key: ChannelKey, shared: Arc<Shared>, alive: Arc<Alive>) -> ChannelHandle {
        let notify = shared.register(Woken::Channel(key));
        let (name, end) = match shared.lock().core.channel(key) {
            Some((name, end)) => (name.clone(), end),
            None => unreachable!("the core keeps a channel until its handle closes it"),
        };
        ChannelHandle {
            key,
            name,
            end,
            notify,
            shared,
            _alive: alive,
        }
    }

    /// Which channel it is.
    pub fn name(&self) -> &ChannelName {
        &self.name
    }

    /// Whether this end opened it or was offered it.
    pub fn end(&self) -> ChannelEnd {
        self.end
    }

    /// Hands a message over: `bytes` is what comes behind the channel id. Gives its ordinal, by
    /// which a [`ChannelEvent::Reject`] would name it. Does not wait: after
    /// [`SendError::NoCredit`] and [`SendError::Unsent`], [`Self::changed`] says when to try again.
    pub fn try_send(&self, msg_type: u8, bytes: &[u8]) -> Result<u64, SendError> {
        self.shared
            .with(|core, _| core.send(self.key, msg_type, bytes))
    }

    /// What the hub takes for now; nothing while the far end is away.
    pub fn send_credit(&self) -> Credit {
        self.shared.lock().core.send_credit(self.key)
    }

    /// Moves up to `events_max` events to `out`. Taking messages is what raises the credit for
    /// more. Where some are left, [`Self::changed`] returns at once.
    pub fn take_events(&mut self, out: &mut Vec<ChannelEvent>, events_max: usize) {
        let some_left = self.shared.with(|core, _| {
            let events = std::iter::from_fn(|| core.take_event(self.key));
            out.extend(events.take(events_max));
            core.has_events(self.key)
        });
        if some_left {
            self.notify.notify_one();
        }
    }

    /// Whether [`Self::take_events`] has something to give.
    pub fn has_events(&self) -> bool {
        self.shared.lock().core.has_events(self.key)
    }

    /// Whether one of the events that wait is a change of the channel itself: until it is taken,
    /// [`Self::try_send`] fails with [`SendError::EventsUnread`].
    pub fn has_change(&self) -> bool {
        self.shared.lock().core.has_change(self.key)
    }

    /// Waits until there may be something new: an event, credit, or room for messages. May return
    /// for nothing. Cancel-safe.
    pub async fn changed(&mut self) -> Result<(), ClientStopped> {
        if self.shared.lock().stopped {
            return Err(ClientStopped);
        }
        self.notify.notified().await;
        Ok(())
    }

    /// Waits for the next event; `None` when the client was shut down. Cancel-safe.
    pub async fn next_event(&mut self) -> Option<ChannelEvent> {
        loop {
            if let Some(event) = self.shared.with(|core, _| core.take_event(self.key)) {
                return Some(event);
            }
            self.changed().await.ok()?;
        }
    }
}

impl SendChannel for ChannelHandle {
    fn send_credit(&self) -> Credit {
        ChannelHandle::send_credit(self)
    }

    fn try_send(&mut self, msg_type: u8, bytes: &[u8]) -> Result<u64, SendError> {
        ChannelHandle::try_send(self, msg_type, bytes)
    }
}

impl Drop for ChannelHandle {
    fn drop(&mut self) {
        self.shared.unregister(Woken::Channel(self.key));
        self.shared.with(|core, _| core.close(self.key));
    }
}

/// Takes the channels that others open to this peer. Dropping it refuses further ones; the
/// channels that it gave stay.
pub struct ChannelListener {
    key: ListenerKey,
    notify: Arc<Notify>,
    shared: Arc<Shared>,
    alive: Arc<Alive>,
}

impl ChannelListener {
    pub(super) fn new(
        key: ListenerKey,
        notify: Arc<Notify>,
        shared: Arc<Shared>,
        alive: Arc<Alive>,
    ) -> ChannelListener {
        ChannelListener {
            key,
            notify,
            shared,
            alive,
        }
    }

    /// Waits for the next channel; `None` when the client was shut down. Cancel-safe.
    pub async fn accept(&mut self) -> Option<ChannelHandle> {
        loop {
            if let Some(key) = self.shared.with(|core, _| core.take_accepted(self.key)) {
                return Some(ChannelHandle::new(
                    key,
                    Arc::clone(&self.shared),
                    Arc::clone(&self.alive),
                ));
            }
            if self.shared.lock().stopped {
                return None;
            }
            self.notify.notified().await;
        }
    }
}

impl Drop for ChannelListener {
    fn drop(&mut self) {
        self.shared.unregister(Woken::Listener(self.key));
        self.shared.with(|core, _| core.stop_listening(self.key));
    }
}
