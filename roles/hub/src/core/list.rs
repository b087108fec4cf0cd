//! The list that the configuration gives: who is let in, what each may open, which groups there are.

use winze_messages::names::{NameError, PeerName};
use winze_transport::PublicKey;

use super::registry::Registry;
use crate::limits::{GROUP_MEMBERS_MAX, GROUPS_MAX};

/// The role in a group's name. No peer has it.
pub(super) const GROUP_ROLE: &str = "group";

/// One identity that the hub lets in.
#[derive(Clone, Debug)]
pub struct ListedPeer {
    /// `role/name`, under which others open channels to it.
    pub name: PeerName,
    /// The key that it proves itself with.
    pub public_key: PublicKey,
    /// What it may open: extension (without the channel bit) and peer or group.
    pub may_open: Vec<(u16, PeerName)>,
}

/// A group of listed peers (specification, section 3.6).
#[derive(Clone, Debug)]
pub struct ListedGroup {
    name: PeerName,
    members: Vec<PeerName>,
}

impl ListedGroup {
    /// The group that openers name as `group/NAME`.
    ///
    /// # Errors
    /// `name` is not 1 to 32 characters out of `a-z`, `0-9` and `-`.
    pub fn new(name: &str, members: Vec<PeerName>) -> Result<ListedGroup, NameError> {
        let name = PeerName::new(GROUP_ROLE, name)?;
        Ok(ListedGroup { name, members })
    }

    pub(super) fn name(&self) -> &PeerName {
        &self.name
    }

    pub(super) fn members(&self) -> &[PeerName] {
        &self.members
    }
}

/// One way in which a list contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListError {
    /// A name stands in the list twice.
    #[error("peer {0} is listed twice")]
    NameTwice(PeerName),
    /// A key stands in the list twice. One key is one identity.
    #[error("peers {first} and {second} have the same public key")]
    KeyTwice {
        /// Whose entry came first.
        first: PeerName,
        /// Whose entry has the key again.
        second: PeerName,
    },
    /// A peer has the role that is for groups.
    #[error("peer {0} has the role of groups, and is none")]
    PeerAsGroup(PeerName),
    /// A permission names a peer or a group that is not listed: nobody could ever be there.
    #[error("{opener} may open channels to {peer}, which is not listed")]
    UnknownPeer {
        /// Whose permission it is.
        opener: PeerName,
        /// Who is missing.
        peer: PeerName,
    },
    /// A permission names its own owner.
    #[error("{0} may open channels to itself")]
    Itself(PeerName),
    /// A permission is for an extension that has no channels, or has the channel bit in its number.
    #[error("{opener} may open channels for extension {extension:#06x}, which has none")]
    NoChannels {
        /// Whose permission it is.
        opener: PeerName,
        /// The extension.
        extension: u16,
    },
    /// There are more groups than a hub takes.
    #[error("there are {0} groups, and {GROUPS_MAX} at most")]
    TooManyGroups(usize),
    /// A group stands in the list twice.
    #[error("{0} is listed twice")]
    GroupTwice(PeerName),
    /// A group is empty.
    #[error("{0} has no members")]
    NoMembers(PeerName),
    /// A group has more members than one may have.
    #[error("{group} has {members} members, and {GROUP_MEMBERS_MAX} at most")]
    TooManyMembers {
        /// The group.
        group: PeerName,
        /// How many it has.
        members: usize,
    },
    /// A group names a member that is not listed.
    #[error("{group} has the member {member}, which is not listed")]
    UnknownMember {
        /// The group.
        group: PeerName,
        /// Who is missing.
        member: PeerName,
    },
    /// A group names a member twice.
    #[error("{group} has the member {member} twice")]
    MemberTwice {
        /// The group.
        group: PeerName,
        /// Whom it names twice.
        member: PeerName,
    },
    /// A group names a group.
    #[error("{group} has the member {member}: groups have peers as members, and no groups")]
    GroupInGroup {
        /// The group.
        group: PeerName,
        /// The group in it.
        member: PeerName,
    },
}

impl ListError {
    /// Whether it is about the groups, rather than the peers.
    pub fn is_of_groups(&self) -> bool {
        matches!(
            self,
            ListError::TooManyGroups(_)
                | ListError::GroupTwice(_)
                | ListError::NoMembers(_)
                | ListError::TooManyMembers { .. }
                | ListError::UnknownMember { .. }
                | ListError::MemberTwice { .. }
                | ListError::GroupInGroup { .. }
        )
    }
}

/// Everything in which a list contradicts itself, in the order of the list; never empty.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListErrors(pub Vec<ListError>);

impl std::error::Error for ListErrors {}

impl std::fmt::Display for ListErrors {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let all: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&all.join("; "))
    }
}

/// Looks for contradictions in a list.
///
/// # Errors
/// All that there are.
pub fn contradictions(peers: &[ListedPeer], groups: &[ListedGroup]) -> Result<(), ListErrors> {
    Registry::new(peers, groups).map(drop)
}
