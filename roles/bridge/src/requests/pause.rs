use std::time::Duration;

use crate::limits::{RETRY_LEAST, RETRY_MOST};

/// How long to wait after something that failed, until it goes well again.
pub(super) struct Pause(Duration);

impl Pause {
    pub(super) fn new() -> Pause {
        Pause(RETRY_LEAST)
    }

    pub(super) fn reset(&mut self) {
        self.0 = RETRY_LEAST;
    }

    /// Waits; the next wait is longer.
    pub(super) async fn wait(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(RETRY_MOST);
    }
}
