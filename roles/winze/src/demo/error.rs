//! What ends a demonstration early, and what is wrong with its chain.

use std::time::Duration;

use winze_redis::{RedisFault, RedisSetupError};
use winze_testbed::TestbedError;

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
    #[error("{name} ended by itself; the end of its log:\n{log_tail}")]
    RoleEnded {
        /// Which one.
        name: String,
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
    /// There is no Redis to be had.
    #[error(
        "no redis-server on the PATH; it comes with the package redis-server (Debian, Ubuntu) or redis (others)"
    )]
    NoRedisServer,
    /// The machine refused a file, a folder or a port.
    #[error("{what}: {source}")]
    Machine {
        /// What was tried.
        what: String,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Redis cannot be asked.
    #[error(transparent)]
    Redis(#[from] RedisFault),
    /// Redis cannot be dialled.
    #[error(transparent)]
    RedisSetup(#[from] RedisSetupError),
    /// The mint's store cannot be read.
    #[error("{file}: {source}")]
    Store {
        /// Which file.
        file: String,
        /// What SQLite said.
        source: rusqlite::Error,
    },
    /// A stage of the move showed nothing for too long.
    #[error("it came to a halt where {stage}: {state}")]
    Halted {
        /// What should have happened.
        stage: &'static str,
        /// How things stood.
        state: String,
    },
    /// The old pool was disturbed.
    #[error("the old pool ended by itself: {0}")]
    OldPoolEnded(String),
}
