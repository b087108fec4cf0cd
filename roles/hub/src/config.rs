//! The hub's configuration: table by table, each key with unit and default.

use std::net::SocketAddr;

use serde::Deserialize;
use winze_messages::names::{NameError, PeerName};
use winze_runtime::config::{ConfigPath, PublicKeySource};

use crate::core::{HubCore, ListError, ListErrors, ListedGroup, ListedPeer, contradictions};
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
    /// Groups of them, to which channels can be opened at once.
    #[serde(default)]
    pub groups: Vec<GroupConfig>,
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

/// A group of peers (specification, section 3.6).
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupConfig {
    /// Its name; 1 to 32 characters out of `a-z`, `0-9` and `-`. Where a peer is named it is `group/NAME`.
    pub name: String,
    /// Who belongs to it, each as `role/name`; listed peers, at most
    /// [`GROUP_MEMBERS_MAX`](crate::limits::GROUP_MEMBERS_MAX).
    pub members: Vec<String>,
}

/// Leave to open channels: `{ extension = 0x4802, peer = "mint/main" }`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MayOpen {
    /// The extension, without the channel bit. One that this hub does not know is forwarded unread.
    pub extension: u16,
    /// The peer at the other end, as `role/name`, or a group, as `group/name`; it must be in the list as well.
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

/// Every value that cannot be used; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvalidValues(pub Vec<InvalidValue>);

impl std::error::Error for InvalidValues {}

impl std::fmt::Display for InvalidValues {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&all.join("; "))
    }
}

impl From<ListErrors> for InvalidValues {
    fn from(errors: ListErrors) -> InvalidValues {
        InvalidValues(errors.0.into_iter().map(InvalidValue::from).collect())
    }
}

impl From<ListError> for InvalidValue {
    fn from(contradiction: ListError) -> InvalidValue {
        let key = if contradiction.is_of_groups() {
            "groups"
        } else {
            "peers"
        };
        InvalidValue {
            key: key.to_owned(),
            message: contradiction.to_string(),
        }
    }
}

/// Who is let in, as the core takes it.
#[derive(Clone, Debug)]
pub(crate) struct Listed {
    pub(crate) peers: Vec<ListedPeer>,
    pub(crate) groups: Vec<ListedGroup>,
}

impl HubConfig {
    /// Checks everything that can be checked without the hub's own key: limits, and the list of peers and groups with the
    /// key files that it names.
    ///
    /// # Errors
    /// Every value that cannot be used. What peers and groups say of one another is looked at once each of them can be
    /// read.
    pub fn check(&self) -> Result<(), InvalidValues> {
        self.core().map(drop)
    }

    /// The state machine for this configuration.
    pub(crate) fn core(&self) -> Result<HubCore, InvalidValues> {
        let listed = self.listed()?;
        let core = HubCore::new(&listed.peers, &listed.groups, self.limits.clone());
        Ok(core?)
    }

    /// The list, with the keys that the peers' files hold, once everything of the configuration is found to be usable.
    pub(crate) fn listed(&self) -> Result<Listed, InvalidValues> {
        let mut invalid = Vec::new();
        let peers = self.peers.iter().enumerate();
        let peers = peers.filter_map(|(index, peer)| peer.listed(index, &mut invalid));
        let peers: Vec<ListedPeer> = peers.collect();
        let groups = self.groups.iter().enumerate();
        let groups = groups.filter_map(|(index, group)| group.listed(index, &mut invalid));
        let groups: Vec<ListedGroup> = groups.collect();
        if invalid.is_empty()
            && let Err(errors) = contradictions(&peers, &groups)
        {
            // Where an entry could not be read, others would only be missing it.
            invalid = InvalidValues::from(errors).0;
        }
        let limits = self.limits.problems().into_iter();
        let limits = limits.map(|(key, message)| InvalidValue {
            key: format!("limits.{key}"),
            message,
        });
        invalid.splice(0..0, limits);
        if invalid.is_empty() {
            Ok(Listed { peers, groups })
        } else {
            Err(InvalidValues(invalid))
        }
    }
}

/// A value, or what is wrong with it put down under its key.
fn noted<T>(
    value: Result<T, impl std::fmt::Display>,
    key: String,
    invalid: &mut Vec<InvalidValue>,
) -> Option<T> {
    let put_down = |error: &dyn std::fmt::Display| {
        let message = error.to_string();
        invalid.push(InvalidValue { key, message });
    };
    value.map_err(|error| put_down(&error)).ok()
}

/// The peer or group that a text names.
fn named(text: &str, key: String, invalid: &mut Vec<InvalidValue>) -> Option<PeerName> {
    let name = text
        .parse()
        .map_err(|error: NameError| format!("{text:?}: {error}"));
    noted(name, key, invalid)
}

impl PeerConfig {
    /// `None` when something of it, which is put down then, cannot be used.
    fn listed(&self, index: usize, invalid: &mut Vec<InvalidValue>) -> Option<ListedPeer> {
        let key = |key: &str| format!("peers[{index}]{key}");
        let name = noted(PeerName::new(&self.role, &self.name), key(""), invalid);
        let public_key = noted(self.key.resolve(), key(".public_key"), invalid);
        let leaves: Vec<_> = self.may_open.iter().enumerate().collect();
        let may_open: Vec<(u16, PeerName)> = leaves
            .into_iter()
            .filter_map(|(place, leave)| {
                let key = key(&format!(".may_open[{place}].peer"));
                Some((leave.extension, named(&leave.peer, key, invalid)?))
            })
            .collect();
        Some(ListedPeer {
            name: name?,
            public_key: public_key?,
            may_open,
        })
    }
}

impl GroupConfig {
    /// As for a peer.
    fn listed(&self, index: usize, invalid: &mut Vec<InvalidValue>) -> Option<ListedGroup> {
        let members = self.members.iter().enumerate();
        let members = members.filter_map(|(place, member)| {
            named(member, format!("groups[{index}].members[{place}]"), invalid)
        });
        let members = members.collect();
        let group = ListedGroup::new(&self.name, members);
        noted(group, format!("groups[{index}].name"), invalid)
    }
}
