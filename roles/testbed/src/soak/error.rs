//! What can go wrong with a soak that is not a broken bound.

use std::time::Duration;

use crate::error::TestbedError;

/// Why a soak came to no result.
#[derive(Debug, thiserror::Error)]
pub enum SoakError {
    /// The hub could not be started, or asked.
    #[error(transparent)]
    Testbed(#[from] TestbedError),
    /// A peer lost its connection, or the hub did not do its part.
    #[error("{who}: {problem}")]
    Peer {
        /// Which peer.
        who: String,
        /// What was wrong.
        problem: String,
    },
    /// Something did not come about in time.
    #[error("{what} did not come about within {} s", .within.as_secs())]
    Deadline {
        /// What was waited for.
        what: &'static str,
        /// How long.
        within: Duration,
    },
}

impl SoakError {
    /// For use with `map_err` on whatever goes wrong on a peer's connection.
    pub(super) fn peer<E: ToString>(who: impl ToString) -> impl FnOnce(E) -> SoakError {
        let who = who.to_string();
        move |error| SoakError::Peer {
            who,
            problem: error.to_string(),
        }
    }
}
