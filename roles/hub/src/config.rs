//! The hub's configuration: table by table, each key with unit and default.

use std::net::SocketAddr;

use serde::Deserialize;
use winze_messages::names::PeerName;
use winze_runtime::config::{ConfigPath, PublicKeySource};

use crate::core::{HubCore, ListedPeer, RegistryError};
use crate::limits::HubLimits;

/// A hub's configuration file. Unknown keys are refused; relative paths start at the file's folder.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubConfig {
    /// Where peers connect, as `address:port`. Default `127.0.0.1:34254`. Port 0 takes a free one.
    #[serde(default = "default_listen")]
    pub listen: SocketAddr,
    /// Where the operator's HTTP port listens: `/health` and `/metrics`, without authentication. Default
    /// `127.0.0.1:9254`. Port 0 takes a free one.
    #[serde(default = "default_http_listen")]
    pub http_listen: SocketAddr,
    /// File with the hub's static secret key, mode 0600.
    pub static_key_file: ConfigPath,
    /// File with the authority's certificate for that key.
    pub certificate_file: ConfigPath,
    /// The log's filter, as in `info` or `winze_hub=debug,info`. The variable `WINZE_LOG` goes before it. Default
    /// `info`.
    #[serde(default = "default_log")]
    pub log: String,
    /// Who is let in. Nobody else is.
    #[serde(default)]
    pub peers: Vec<PeerConfig>,
    /// See [`HubLimits`], whose defaults hold where nothing is set.
    #[serde(default)]
    pub limits: HubLimits,
}

/// One identity that is let in.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeerConfig {
    /// What it is: `pool`, `mint`, ...; 1 to 32 characters out of `a-z`, `0-9` and `-`.
    pub role: String,
    /// Which one of its role it is; characters as in `role`.
    pub name: String,
    /// The key that it proves itself with: `public_key` or `public_key_file`.
    #[serde(flatten)]
    pub key: PublicKeySource,
    /// The channels that it may open. Default none: a peer that only accepts, such as a mint, needs none.
    #[serde(default)]
    pub may_open: Vec<MayOpen>,
}

/// Leave to open channels: `{ extension = 0x4802, peer = "mint/main" }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MayOpen {
    /// The extension, without the channel bit. One that this hub does not know is forwarded unread.
    pub extension: u16,
    /// The peer at the other end, as `role/name`; it must be in the list as well.
    pub peer: String,
}

fn default_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 34254))
}

fn default_http_listen() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 9254))
}

fn default_log() -> String {
    "info".to_owned()
}

/// A value that is well formed and yet cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct InvalidValue {
    /// The key with its table: `limits.window_bytes`, `peers[2].may_open[0].peer`.
    pub key: String,
    /// What is wrong with its value.
    pub message: String,
}

impl HubConfig {
    /// Checks everything that can be checked without the hub's own key: limits, and the list of peers with the key
    /// files that it names.
    ///
    /// # Errors
    /// The first value that cannot be used.
    pub fn check(&self) -> Result<(), InvalidValue> {
        self.core().map(drop)
    }

    /// The state machine for this configuration.
    pub(crate) fn core(&self) -> Result<HubCore, InvalidValue> {
        HubCore::new(&self.listed()?, self.limits.clone()).map_err(InvalidValue::from)
    }

    /// The list of peers, with the keys that their files hold, once the limits are found to be usable.
    pub(crate) fn listed(&self) -> Result<Vec<ListedPeer>, InvalidValue> {
        if let Some((key, message)) = self.limits.problem() {
            return Err(InvalidValue {
                key: format!("limits.{key}"),
                message,
            });
        }
        let entries = self.peers.iter().enumerate();
        entries.map(|(index, peer)| peer.listed(index)).collect()
    }
}

impl From<RegistryError> for InvalidValue {
    fn from(contradiction: RegistryError) -> InvalidValue {
        InvalidValue {
            key: "peers".to_owned(),
            message: contradiction.to_string(),
        }
    }
}

impl PeerConfig {
    fn listed(&self, index: usize) -> Result<ListedPeer, InvalidValue> {
        let invalid = |key: &str, message: String| InvalidValue {
            key: format!("peers[{index}]{key}"),
            message,
        };
        let name = PeerName::new(&self.role, &self.name)
            .map_err(|error| invalid("", error.to_string()))?;
        let public_key = self
            .key
            .resolve()
            .map_err(|error| invalid(".public_key", error.to_string()))?;
        let may_open = self.may_open.iter().enumerate().map(|(place, leave)| {
            let peer = leave.peer.parse().map_err(|error| {
                invalid(
                    &format!(".may_open[{place}].peer"),
                    format!("{:?}: {error}", leave.peer),
                )
            })?;
            Ok::<_, InvalidValue>((leave.extension, peer))
        });
        Ok(ListedPeer {
            name,
            public_key,
            may_open: may_open.collect::<Result<_, InvalidValue>>()?,
        })
    }
}
