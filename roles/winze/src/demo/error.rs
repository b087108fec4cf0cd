//! What ends a demonstration early, and what is wrong with its chain.

use std::time::Duration;

use winze_testbed::{Role, TestbedError};

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DemoError {
    /// The deployment, a miner or a wallet failed.
    #[error(transparent)]
    Testbed(#[from] TestbedError),
    /// This program cannot start itself once more.
    #[error("cannot find this program's own file: {0}")]
    Executable(std::io::Error),
    /// A role ended that nobody ended.
    #[error("winze {role} ended by itself; the end of its log:\n{log_tail}")]
    RoleEnded {
        /// Which one.
        role: Role,
        /// The last lines of its log.
        log_tail: String,
    },
    /// Nothing came about for too long.
    #[error("no further share, quote or redemption for {} s: {state}", .within.as_secs())]
    Stalled {
        /// How long.
        within: Duration,
        /// How things stood.
        state: String,
    },
    /// The node took none of the pool's blocks.
    #[error("no block of the pool is on the node's chain")]
    NoBlock,
    /// A block of the pool pays somebody else.
    #[error(
        "the block at height {height} pays {payments:?}, and not the configured script {script} alone"
    )]
    OtherScript {
        /// Which block.
        height: u64,
        /// Scripts in hexadecimal and amounts in satoshi.
        payments: Vec<(String, u64)>,
        /// What it should pay to.
        script: String,
    },
}
