//! The connection to the hub, kept up by a task of its own, and the channels on it.
//!
//! The protocol is [`SessionCore`](crate::session::SessionCore)'s; here it gets a socket, a clock
//! and randomness. The core lies behind one mutex that is held for moments; the task and the
//! handles each lock it, call it, and wake who has something new to look at.

mod channel;
mod config;
mod connect;
mod driver;
mod group;
mod shared;
mod status;

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::watch;
use tokio::task::JoinHandle;
use winze_messages::PeerName;

pub use channel::{ChannelHandle, ChannelListener, ClientStopped};
pub use config::{HubClientConfig, WINDOW_BYTES_DEFAULT, WINDOW_MESSAGES_DEFAULT};
pub use group::{GroupEvent, GroupHandle};
pub use status::{HubCounts, HubState, HubStatus};

use crate::identity::Identity;
use crate::session::{ChannelName, OpenError, Woken};
use shared::{Alive, Shared};

/// A handle on the connection; clones share it. The task ends with the last of them and of the
/// channels and listeners that they made, or by [`Self::shutdown`].
#[derive(Clone)]
pub struct HubClient {
    shared: Arc<Shared>,
    alive: Arc<Alive>,
    task: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl HubClient {
    /// Starts the task that dials, authenticates and stays connected. Must be called in a tokio
    /// runtime.
    pub fn start(config: HubClientConfig, identity: Identity) -> HubClient {
        let (stop, stopped) = watch::channel(false);
        let own = format!("{} with the key {}", identity.peer(), identity.public_key());
        let shared = Arc::new(Shared::new(&config, identity));
        let task = tokio::spawn(driver::run(Arc::clone(&shared), config, own, stopped));
        HubClient {
            shared,
            alive: Arc::new(Alive { stop }),
            task: Arc::new(Mutex::new(Some(task))),
        }
    }

    /// Wants a channel of the family `extension` (without the channel bit) to `peer`, from now
    /// until the handle is dropped: it is opened when there is a connection, and again after each
    /// reconnect. `label` tells several to one peer apart, and is usually empty.
    ///
    /// # Errors
    /// [`OpenError`], for a group ([`Self::open_group`]) as well; that the hub does not allow the channel is an event of
    /// it.
    pub fn open_channel(
        &self,
        extension: u16,
        peer: &PeerName,
        label: &str,
    ) -> Result<ChannelHandle, OpenError> {
        let key = self
            .shared
            .with(|core, now_ms| core.open(extension, peer, label, now_ms))?;
        // A refusal may have set a time at which to ask again.
        self.shared.wake.notify_one();
        Ok(ChannelHandle::new(
            key,
            Arc::clone(&self.shared),
            Arc::clone(&self.alive),
        ))
    }

    /// Wants a channel of the family `extension` to all members of `group` (a peer name whose role is `group`), from now
    /// until the handle is dropped, over reconnects. The members come as [`GroupEvent::Joined`], each with a channel of
    /// its own.
    ///
    /// # Errors
    /// [`OpenError`]; that the hub does not allow the channel is an event of it.
    pub fn open_group(
        &self,
        extension: u16,
        group: &PeerName,
        label: &str,
    ) -> Result<GroupHandle, OpenError> {
        let key = self
            .shared
            .with(|core, now_ms| core.open_group(extension, group, label, now_ms))?;
        // A refusal may have set a time at which to ask again.
        self.shared.wake.notify_one();
        let name = ChannelName {
            extension,
            peer: group.to_string(),
            label: label.to_owned(),
        };
        Ok(GroupHandle::new(
            key,
            name,
            Arc::clone(&self.shared),
            Arc::clone(&self.alive),
        ))
    }

    /// Takes the channels of the family `extension` that others open to this peer and `filter`
    /// wants, `channels_max` at a time; others are refused. `filter` runs while the core is
    /// locked: it only compares.
    ///
    /// # Errors
    /// [`OpenError::NotNegotiated`], and [`OpenError::ListenerExists`] for a second listener of one
    /// family.
    pub fn accept(
        &self,
        extension: u16,
        channels_max: usize,
        filter: impl Fn(&ChannelName) -> bool + Send + 'static,
    ) -> Result<ChannelListener, OpenError> {
        let key = self
            .shared
            .with(|core, _| core.listen(extension, channels_max, Box::new(filter)))?;
        let notify = self.shared.register(Woken::Listener(key));
        Ok(ChannelListener::new(
            key,
            notify,
            Arc::clone(&self.shared),
            Arc::clone(&self.alive),
        ))
    }

    /// Who this client is.
    pub fn identity(&self) -> &Identity {
        &self.shared.identity
    }

    /// How the connection is, now and at every change.
    pub fn status(&self) -> watch::Receiver<HubStatus> {
        self.shared.status.subscribe()
    }

    /// What it has done so far.
    pub fn counts(&self) -> HubCounts {
        self.shared.counts()
    }

    /// Ends the connection and the task, and waits for that: what was sent is written first,
    /// within a second.
    pub async fn shutdown(&self) {
        self.alive.stop.send_replace(true);
        let task = self
            .task
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the hub connection's task");
        }
    }
}
