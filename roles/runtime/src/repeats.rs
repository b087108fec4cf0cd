//! A log that says what is wrong, and does not say it a thousand times.

use std::fmt::Display;
use std::time::{Duration, Instant};

/// How often an error that stays the same is logged.
pub const REPEAT_INTERVAL: Duration = Duration::from_secs(60);

/// Errors of one thing that is tried again and again: which of them are worth a line. The first is, each that says
/// something else than the last line did, and one in [`REPEAT_INTERVAL`] while nothing changes.
#[derive(Clone, Debug, Default)]
pub struct Repeats {
    said: Option<(String, Instant)>,
}

impl Repeats {
    /// Nothing was said.
    pub fn new() -> Repeats {
        Repeats::default()
    }

    /// Whether this error, at `now`, is to be logged; the next ones are measured against it then.
    pub fn is_due(&mut self, error: &impl Display, now: Instant) -> bool {
        let error = error.to_string();
        if let Some((last, at)) = &self.said
            && *last == error
            && now.saturating_duration_since(*at) < REPEAT_INTERVAL
        {
            return false;
        }
        self.said = Some((error, now));
        true
    }

    /// It works; the next error is a first one. Whether there was one before.
    pub fn works(&mut self) -> bool {
        self.said.take().is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_that_stays_is_said_once_a_minute_and_another_at_once() {
        let mut repeats = Repeats::new();
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        assert!(repeats.is_due(&"refused", at(0)));
        assert!((1..60).all(|second| !repeats.is_due(&"refused", at(second))));
        assert!(repeats.is_due(&"refused", at(60)));
        assert!(repeats.is_due(&"no route", at(61)));
        assert!(repeats.works() && !repeats.works());
        assert!(repeats.is_due(&"no route", at(62)));
    }
}
