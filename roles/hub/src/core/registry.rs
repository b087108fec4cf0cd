//! The identities that the configuration lists, and which connection each has.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use winze_messages::names::PeerName;
use winze_transport::PublicKey;

use super::ConnId;
use crate::limits::{TAKEOVER_WINDOW_MS, TAKEOVERS_MAX};

/// One identity that the hub lets in.
#[derive(Clone, Debug)]
pub struct ListedPeer {
    /// `role/name`, under which others open channels to it.
    pub name: PeerName,
    /// The key that it proves itself with.
    pub public_key: PublicKey,
    /// What it may open: extension (without the channel bit) and peer.
    pub may_open: Vec<(u16, PeerName)>,
}

/// A list of peers that contradicts itself.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegistryError {
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
    /// A permission names a peer that is not listed: nobody could ever be there.
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
}

/// A listed name. It keeps its number while it stays on the list, whatever else of the list changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct PeerId(pub(super) u64);

/// The connection that an identity has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Present {
    pub(super) conn: ConnId,
    /// The number of this authenticated connection, from 1 (specification, section 3.4).
    pub(super) instance: u64,
}

#[derive(Debug)]
struct Entry {
    name: PeerName,
    public_key: PublicKey,
    may_open: BTreeSet<(u16, PeerId)>,
    present: Option<Present>,
    /// When connections of this identity replaced one another, oldest first; at most [`TAKEOVERS_MAX`].
    takeovers_ms: VecDeque<u64>,
}

/// See the module. Whatever of the core holds an id, but for the name of a channel that is over, holds it only while it
/// is listed.
#[derive(Debug, Default)]
pub(super) struct Registry {
    entries: BTreeMap<PeerId, Entry>,
    /// All ids, in the order of the list.
    listed: Vec<PeerId>,
    by_key: BTreeMap<PublicKey, PeerId>,
    by_name: BTreeMap<PeerName, PeerId>,
    next_id: u64,
    last_instance: u64,
}

/// Whom a claim of an identity has to replace.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Claimed {
    pub(super) instance: u64,
    pub(super) replaced: Option<ConnId>,
}

impl Registry {
    pub(super) fn new(peers: &[ListedPeer]) -> Result<Registry, RegistryError> {
        Registry::default().relisted(peers)
    }

    /// What comes after this registry when the list changes. Who stays on the list under its name and key keeps its
    /// connection; a name that gets another key keeps its id, and with it the channels of its peers, but not its
    /// connection.
    pub(super) fn relisted(&self, peers: &[ListedPeer]) -> Result<Registry, RegistryError> {
        let mut next = Registry {
            next_id: self.next_id,
            last_instance: self.last_instance,
            ..Registry::default()
        };
        for peer in peers {
            let before = self.by_name(&peer.name);
            let id = before.unwrap_or(PeerId(next.next_id));
            next.next_id = next.next_id.max(id.0 + 1);
            if let Some(first) = next.by_key.insert(peer.public_key, id) {
                return Err(RegistryError::KeyTwice {
                    first: next.name(first).clone(),
                    second: peer.name.clone(),
                });
            }
            if next.by_name.insert(peer.name.clone(), id).is_some() {
                return Err(RegistryError::NameTwice(peer.name.clone()));
            }
            let same = before
                .map(|id| self.entry(id))
                .filter(|entry| entry.public_key == peer.public_key);
            let entry = Entry {
                name: peer.name.clone(),
                public_key: peer.public_key,
                may_open: BTreeSet::new(),
                present: same.and_then(|entry| entry.present),
                takeovers_ms: same.map_or_else(VecDeque::new, |entry| entry.takeovers_ms.clone()),
            };
            next.entries.insert(id, entry);
            next.listed.push(id);
        }
        for (id, peer) in next.listed.clone().into_iter().zip(peers) {
            let may_open = next.permissions(peer)?;
            next.entry_mut(id).may_open = may_open;
        }
        Ok(next)
    }

    /// The names whose key is listed here and not in `other`, in the order of the list, each with its connection.
    pub(super) fn missing_in(&self, other: &Registry) -> Vec<(PeerName, Option<ConnId>)> {
        let entries = self.listed.iter().map(|id| self.entry(*id));
        let missing = entries.filter(|entry| {
            let same = other.by_name(&entry.name).map(|id| other.entry(id));
            same.is_none_or(|same| same.public_key != entry.public_key)
        });
        missing
            .map(|entry| {
                let conn = entry.present.map(|present| present.conn);
                (entry.name.clone(), conn)
            })
            .collect()
    }

    fn permissions(&self, peer: &ListedPeer) -> Result<BTreeSet<(u16, PeerId)>, RegistryError> {
        let mut permissions = BTreeSet::new();
        for (extension, name) in &peer.may_open {
            if !super::has_channels(*extension) {
                return Err(RegistryError::NoChannels {
                    opener: peer.name.clone(),
                    extension: *extension,
                });
            }
            if *name == peer.name {
                return Err(RegistryError::Itself(name.clone()));
            }
            let Some(id) = self.by_name.get(name) else {
                return Err(RegistryError::UnknownPeer {
                    opener: peer.name.clone(),
                    peer: name.clone(),
                });
            };
            permissions.insert((*extension, *id));
        }
        Ok(permissions)
    }

    /// Every extension that someone may open channels for.
    pub(super) fn extensions(&self) -> BTreeSet<u16> {
        let permissions = self.entries.values().flat_map(|entry| &entry.may_open);
        permissions.map(|(extension, _)| *extension).collect()
    }

    pub(super) fn by_key(&self, key: &PublicKey) -> Option<PeerId> {
        self.by_key.get(key).copied()
    }

    pub(super) fn by_name(&self, name: &PeerName) -> Option<PeerId> {
        self.by_name.get(name).copied()
    }

    pub(super) fn name(&self, id: PeerId) -> &PeerName {
        &self.entry(id).name
    }

    /// Whether the list allows it. False also for an opener that is not listed any more.
    pub(super) fn may_open(&self, opener: PeerId, extension: u16, peer: PeerId) -> bool {
        self.entries
            .get(&opener)
            .is_some_and(|entry| entry.may_open.contains(&(extension, peer)))
    }

    pub(super) fn present(&self, id: PeerId) -> Option<Present> {
        self.entry(id).present
    }

    /// The names of those that are connected, in the order of the list.
    pub(super) fn present_names(&self) -> Vec<PeerName> {
        let entries = self.listed.iter().map(|id| self.entry(*id));
        let present = entries.filter(|entry| entry.present.is_some());
        present.map(|entry| entry.name.clone()).collect()
    }

    /// Gives the identity to `conn`. The error is for how many milliseconds it may not change hands again.
    pub(super) fn claim(&mut self, id: PeerId, conn: ConnId, now_ms: u64) -> Result<Claimed, u64> {
        let instance = self.last_instance + 1;
        let entry = self.entry_mut(id);
        if entry.present.is_some() {
            while let Some(oldest_ms) = entry.takeovers_ms.front()
                && oldest_ms.saturating_add(TAKEOVER_WINDOW_MS) <= now_ms
            {
                entry.takeovers_ms.pop_front();
            }
            if let Some(oldest_ms) = entry.takeovers_ms.front()
                && entry.takeovers_ms.len() >= TAKEOVERS_MAX
            {
                return Err(oldest_ms.saturating_add(TAKEOVER_WINDOW_MS) - now_ms);
            }
            entry.takeovers_ms.push_back(now_ms);
        }
        let replaced = entry.present.replace(Present { conn, instance });
        self.last_instance = instance;
        Ok(Claimed {
            instance,
            replaced: replaced.map(|present| present.conn),
        })
    }

    /// Takes the identity back from `conn`, unless a newer connection has it already.
    pub(super) fn release(&mut self, id: PeerId, conn: ConnId) {
        let entry = self.entry_mut(id);
        if entry.present.is_some_and(|present| present.conn == conn) {
            entry.present = None;
        }
    }

    fn entry(&self, id: PeerId) -> &Entry {
        self.entries
            .get(&id)
            .expect("an id is held only while it is listed")
    }

    fn entry_mut(&mut self, id: PeerId) -> &mut Entry {
        self.entries
            .get_mut(&id)
            .expect("an id is held only while it is listed")
    }
}

#[cfg(test)]
mod tests {
    use winze_transport::SecretKey;

    use super::*;

    fn listed(name: &str, key: u8, may_open: &[(u16, &str)]) -> ListedPeer {
        ListedPeer {
            name: name.parse().unwrap(),
            public_key: SecretKey::from_bytes(&[key; 32]).unwrap().public_key(),
            may_open: may_open
                .iter()
                .map(|(extension, peer)| (*extension, peer.parse().unwrap()))
                .collect(),
        }
    }

    #[test]
    fn a_list_that_contradicts_itself_is_refused_with_the_names() {
        let refused = |peers: &[ListedPeer]| Registry::new(peers).unwrap_err().to_string();
        assert_eq!(
            refused(&[listed("pool/a", 1, &[]), listed("pool/a", 2, &[])]),
            "peer pool/a is listed twice"
        );
        assert_eq!(
            refused(&[listed("pool/a", 1, &[]), listed("pool/b", 1, &[])]),
            "peers pool/a and pool/b have the same public key"
        );
        assert_eq!(
            refused(&[listed("pool/a", 1, &[(0x4802, "mint/x")])]),
            "pool/a may open channels to mint/x, which is not listed"
        );
        assert_eq!(
            refused(&[listed("pool/a", 1, &[(0x4802, "pool/a")])]),
            "pool/a may open channels to itself"
        );
        for extension in [0x0000, 0x0001, 0x4801, 0xc802] {
            let peers = [
                listed("pool/a", 1, &[(extension, "mint/x")]),
                listed("mint/x", 2, &[]),
            ];
            assert!(
                refused(&peers).contains("which has none"),
                "{extension:#06x}"
            );
        }
    }

    #[test]
    fn two_instances_that_fight_are_parted_until_the_first_takeover_is_old() {
        let mut registry = Registry::new(&[listed("mint/main", 1, &[])]).unwrap();
        let id = PeerId(0);
        assert_eq!(registry.claim(id, ConnId(0), 0).unwrap().replaced, None);
        for round in 1..=TAKEOVERS_MAX as u64 {
            let claimed = registry.claim(id, ConnId(round), round * 100).unwrap();
            assert_eq!(claimed.replaced, Some(ConnId(round - 1)));
        }
        let refused = registry.claim(id, ConnId(99), 1_000);
        assert_eq!(refused, Err(TAKEOVER_WINDOW_MS - 900));
        assert!(
            registry
                .claim(id, ConnId(99), 100 + TAKEOVER_WINDOW_MS)
                .is_ok()
        );
    }

    #[test]
    fn whoever_was_replaced_takes_nothing_away_when_it_goes() {
        let mut registry = Registry::new(&[listed("mint/main", 1, &[])]).unwrap();
        let id = PeerId(0);
        registry.claim(id, ConnId(1), 0).unwrap();
        registry.claim(id, ConnId(2), 1).unwrap();
        registry.release(id, ConnId(1));
        assert_eq!(registry.present(id).unwrap().conn, ConnId(2));
    }
}
