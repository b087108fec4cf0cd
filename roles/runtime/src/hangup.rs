//! The operator's word that a configuration has changed.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// SIGHUP, time after time. Several that come while one is being dealt with count as one more.
#[derive(Debug)]
pub struct Hangups(Signal);

impl Hangups {
    /// Installs the handler, which is in place when this returns: from then on the process no longer dies of this signal.
    /// Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The operating system refused a handler.
    pub fn install() -> io::Result<Hangups> {
        signal(SignalKind::hangup()).map(Hangups)
    }

    /// Waits for the next one; `None` once there can be no more.
    pub async fn next(&mut self) -> Option<()> {
        self.0.recv().await
    }
}
