use super::error::SessionError;
use crate::limits::{IDLE_TIMEOUT_MS_MIN, PING_INTERVAL_MS_MIN};

/// Watches the hub's silence: a ping after some of it, the end after more.
pub(super) struct KeepAlive {
    ping_interval_ms: u64,
    idle_timeout_ms: u64,
    last_heard_ms: u64,
    /// The ping that no sign of life has followed yet.
    pinged: bool,
    next_nonce: u64,
}

impl KeepAlive {
    pub(super) fn new(ping_interval_ms: u32, idle_timeout_ms: u32, now_ms: u64) -> KeepAlive {
        KeepAlive {
            ping_interval_ms: u64::from(ping_interval_ms).max(PING_INTERVAL_MS_MIN),
            idle_timeout_ms: u64::from(idle_timeout_ms).max(IDLE_TIMEOUT_MS_MIN),
            last_heard_ms: now_ms,
            pinged: false,
            next_nonce: 1,
        }
    }

    /// Something came, whatever it was.
    pub(super) fn heard(&mut self, now_ms: u64) {
        self.last_heard_ms = now_ms;
        self.pinged = false;
    }

    pub(super) fn next_timeout_ms(&self) -> u64 {
        let after_ms = match self.pinged {
            false => self.ping_interval_ms.min(self.idle_timeout_ms),
            true => self.idle_timeout_ms,
        };
        self.last_heard_ms.saturating_add(after_ms)
    }

    /// The nonce of a ping that is due.
    pub(super) fn handle_timeout(&mut self, now_ms: u64) -> Result<Option<u64>, SessionError> {
        let silent_ms = now_ms.saturating_sub(self.last_heard_ms);
        if silent_ms >= self.idle_timeout_ms {
            return Err(SessionError::IdleTimeout { silent_ms });
        }
        if self.pinged || silent_ms < self.ping_interval_ms {
            return Ok(None);
        }
        self.pinged = true;
        self.next_nonce += 1;
        Ok(Some(self.next_nonce - 1))
    }
}
