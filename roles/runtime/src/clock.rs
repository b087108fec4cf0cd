//! The wall clock. Only shells read it; protocol logic is given `now`.

use std::time::{SystemTime, UNIX_EPOCH};

/// Milliseconds since 1970-01-01T00:00:00Z; 0 when the machine's clock stands before that.
pub fn now_unix_ms() -> u64 {
    let since_epoch = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

/// Whole seconds since 1970-01-01T00:00:00Z; 0 when the machine's clock stands before that.
pub fn now_unix_s() -> u64 {
    now_unix_ms() / 1000
}

/// [`now_unix_s`] in the 32 bits that an Sv2 certificate has for a time (Sv2 specification, section 4.5.2);
/// stays at the largest value from the year 2106 on.
pub fn now_unix_s_u32() -> u32 {
    u32::try_from(now_unix_s()).unwrap_or(u32::MAX)
}
