//! The connection to the hub, kept up by a task of its own.

mod config;
mod status;

use tokio::sync::watch;

pub use config::HubClientConfig;
pub use status::{HubCounts, HubState, HubStatus};

use crate::identity::Identity;

/// A handle on the connection; clones share it.
#[derive(Clone)]
pub struct HubClient {}

impl HubClient {
    /// Starts the task that dials, authenticates and stays connected. Must be called in a tokio
    /// runtime.
    pub fn start(_config: HubClientConfig, _identity: Identity) -> HubClient {
        unimplemented!()
    }

    /// How the connection is, now and at every change.
    pub fn status(&self) -> watch::Receiver<HubStatus> {
        unimplemented!()
    }

    /// What it has done so far.
    pub fn counts(&self) -> HubCounts {
        unimplemented!()
    }

    /// Ends the connection and the task, and waits for that.
    pub async fn shutdown(&self) {
        unimplemented!()
    }
}
