//! Why a mint does not start, or does not go on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use winze_client::{OpenError, StoreError};
use winze_redis::{RedisFault, RedisSetupError};
use winze_runtime::keyfile::KeyFileError;

use crate::api::ApiError;
use crate::config::InvalidValue;
use crate::ecash::EcashError;
use crate::seed::SeedError;

/// Sorted by what the operator has to look at.
#[derive(Debug, thiserror::Error)]
pub enum MintError {
    /// A value of the configuration.
    #[error("{0}")]
    Config(#[from] InvalidValue),
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The seed.
    #[error(transparent)]
    Seed(#[from] SeedError),
    /// cdk or its store.
    #[error(transparent)]
    Ecash(#[from] EcashError),
    /// The role's own store cannot be opened.
    #[error("store_file {file}: {source}", file = file.display())]
    StoreFile {
        /// As configured.
        file: PathBuf,
        /// What is wrong with it.
        source: StoreError,
    },
    /// The role's own store failed.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The hub client does not take the responder. It does: both are made here.
    #[error("responder: {0}")]
    Responder(#[from] OpenError),
    /// The `[redis]` table, or a file that it names.
    #[error(transparent)]
    RedisSetup(#[from] RedisSetupError),
    /// Redis is there, and does not let this mint do what it must.
    #[error("redis: {0}")]
    Redis(RedisFault),
    /// The NUT API.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// An address cannot be listened on.
    #[error("cannot listen on {address} ({key}): {source}")]
    Listen {
        /// The key of the configuration.
        key: &'static str,
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// A server that ran stopped.
    #[error("{what} stopped: {detail}")]
    Stopped {
        /// Which server.
        what: &'static str,
        /// Why.
        detail: String,
    },
}
