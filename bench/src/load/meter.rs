//! What happened between two moments, and what it cost the server.

use std::time::Instant;

use crate::error::BenchError;
use crate::server::Server;

/// Counts, time and the server's processor time at one moment.
#[derive(Clone, Copy, Debug)]
pub struct Reading {
    at: Instant,
    count: u64,
    cpu_ns: u64,
}

/// The difference of two readings.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cost {
    /// Thousands a second.
    pub k_per_s: f64,
    /// The server's processor time for each, in microseconds.
    pub cpu_us: f64,
}

impl Reading {
    /// Reads the clock and the server now; `count` is what was done so far.
    ///
    /// # Errors
    /// Those of [`Server::cpu_ns`].
    pub fn now(server: &Server, count: u64) -> Result<Reading, BenchError> {
        Ok(Reading {
            at: Instant::now(),
            count,
            cpu_ns: server.cpu_ns()?,
        })
    }

    /// What was done since `earlier`.
    ///
    /// # Errors
    /// [`BenchError::Stalled`] where nothing was.
    pub fn since(&self, earlier: &Reading) -> Result<Cost, BenchError> {
        let seconds = self.at.duration_since(earlier.at).as_secs_f64();
        let count = self.count.saturating_sub(earlier.count);
        if count == 0 {
            return Err(BenchError::Stalled {
                what: "the load".to_owned(),
                within_s: seconds as u64,
            });
        }
        let count = count as f64;
        Ok(Cost {
            k_per_s: count / seconds / 1e3,
            cpu_us: self.cpu_ns.saturating_sub(earlier.cpu_ns) as f64 / count / 1e3,
        })
    }
}
