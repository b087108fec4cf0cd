//! Why there is no figure.

use std::fmt::Display;

use thiserror::Error;

/// Why a measurement, or the whole run, came to nothing.
#[derive(Debug, Error)]
pub enum BenchError {
    /// This machine: a file, a process, a socket.
    #[error("{what}: {problem}")]
    Machine {
        /// What was tried.
        what: String,
        /// What was said.
        problem: String,
    },
    /// A system that is not on this machine. It is skipped, and the run says so.
    #[error("{system} is not there: {problem}")]
    Missing {
        /// Which system.
        system: String,
        /// What was looked for.
        problem: String,
    },
    /// A server or client did what the measurement cannot go on after.
    #[error("{who}: {problem}")]
    Peer {
        /// Which one.
        who: String,
        /// What it did.
        problem: String,
    },
    /// Nothing came for as long as the run waits.
    #[error("{what}: nothing within {within_s} s")]
    Stalled {
        /// What was waited for.
        what: String,
        /// For how long, in seconds.
        within_s: u64,
    },
}

impl BenchError {
    /// [`BenchError::Machine`].
    pub fn machine(what: impl Display, problem: impl Display) -> BenchError {
        BenchError::Machine {
            what: what.to_string(),
            problem: problem.to_string(),
        }
    }

    /// [`BenchError::Peer`].
    pub fn peer(who: impl Display, problem: impl Display) -> BenchError {
        BenchError::Peer {
            who: who.to_string(),
            problem: problem.to_string(),
        }
    }

    /// [`BenchError::Missing`].
    pub fn missing(system: impl Display, problem: impl Display) -> BenchError {
        BenchError::Missing {
            system: system.to_string(),
            problem: problem.to_string(),
        }
    }
}
