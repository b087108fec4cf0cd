//! Why a bridge does not start, or does not go on.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

use winze_client::{OpenError, StoreError};
use winze_redis::{RedisFault, RedisSetupError};
use winze_runtime::keyfile::KeyFileError;

use crate::config::InvalidValue;
use crate::legacy_mint::OtherList;
use crate::store::OtherMint;

/// Sorted by what the operator has to look at.
#[derive(Debug, thiserror::Error)]
pub enum BridgeError {
    /// A value of the configuration.
    #[error("{0}")]
    Config(#[from] InvalidValue),
    /// A key file.
    #[error(transparent)]
    Key(#[from] KeyFileError),
    /// The `[redis]` table, or a file that it names.
    #[error(transparent)]
    RedisSetup(#[from] RedisSetupError),
    /// Redis is there, and does not let this bridge do what it must.
    #[error("redis: {0}")]
    Redis(RedisFault),
    /// The store cannot be opened.
    #[error("store_file {file}: {source}", file = file.display())]
    StoreFile {
        /// As configured.
        file: PathBuf,
        /// What is wrong with it.
        source: StoreError,
    },
    /// The store failed.
    #[error("store: {0}")]
    Store(#[from] StoreError),
    /// The mint was changed while requests wait for the one before.
    #[error("{0}")]
    OtherMint(#[from] Box<OtherMint>),
    /// The legacy mint's list was changed while requests that went to the one before are open.
    #[error("{0}")]
    OtherList(#[from] Box<OtherList>),
    /// The hub client does not take a channel. It does: both are made here.
    #[error("channel: {0}")]
    Channel(#[from] OpenError),
    /// The HTTP port cannot be listened on.
    #[error("cannot listen on {address} (http_listen): {source}")]
    Listen {
        /// As configured.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The HTTP port failed for good.
    #[error("HTTP port: {0}")]
    Http(io::Error),
}
