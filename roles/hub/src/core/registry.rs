//! The identities and groups that the configuration lists, and which connection each identity has.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use winze_messages::names::PeerName;
use winze_transport::PublicKey;

use super::ConnId;
use super::list::{GROUP_ROLE, ListError, ListErrors, ListedGroup, ListedPeer};
use crate::limits::{GROUP_MEMBERS_MAX, GROUPS_MAX, TAKEOVER_WINDOW_MS, TAKEOVERS_MAX};

/// A listed name, of a peer or of a group. It keeps its number while it stays on the list, whatever else of the list
/// changes.
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

#[derive(Debug)]
struct Group {
    name: PeerName,
    /// In the order of the list.
    members: Vec<PeerId>,
}

/// See the module. Whatever of the core holds an id, but for the name of a channel that is over, holds it only while it
/// is listed.
#[derive(Debug, Default)]
pub(super) struct Registry {
    entries: BTreeMap<PeerId, Entry>,
    groups: BTreeMap<PeerId, Group>,
    /// The ids of all peers, in the order of the list.
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
    pub(super) fn new(
        peers: &[ListedPeer],
        groups: &[ListedGroup],
    ) -> Result<Registry, ListErrors> {
        Registry::default().relisted(peers, groups)
    }

    /// What comes after this registry when the list changes. Who stays on the list under its name and key keeps its
    /// connection; a name that gets another key keeps its id, and with it the channels of its peers, but not its
    /// connection.
    pub(super) fn relisted(
        &self,
        peers: &[ListedPeer],
        groups: &[ListedGroup],
    ) -> Result<Registry, ListErrors> {
        let mut next = Registry {
            next_id: self.next_id,
            last_instance: self.last_instance,
            ..Registry::default()
        };
        let mut errors = Vec::new();
        for peer in peers {
            next.list_peer(peer, self, &mut errors);
        }
        if groups.len() > GROUPS_MAX {
            errors.push(ListError::TooManyGroups(groups.len()));
        }
        for group in groups {
            next.list_group(group, self, &mut errors);
        }
        for peer in peers {
            let may_open = next.permissions(peer, &mut errors);
            let id = next.by_name(&peer.name);
            if let Some(entry) = id.and_then(|id| next.entries.get_mut(&id)) {
                entry.may_open = may_open;
            }
        }
        if errors.is_empty() {
            Ok(next)
        } else {
            Err(ListErrors(errors))
        }
    }

    fn list_peer(&mut self, peer: &ListedPeer, before: &Registry, errors: &mut Vec<ListError>) {
        if peer.name.role() == GROUP_ROLE {
            errors.push(ListError::PeerAsGroup(peer.name.clone()));
            return;
        }
        if self.by_name.contains_key(&peer.name) {
            errors.push(ListError::NameTwice(peer.name.clone()));
            return;
        }
        let id = self.id_for(&peer.name, before);
        if let Some(first) = self.by_key.insert(peer.public_key, id) {
            errors.push(ListError::KeyTwice {
                first: self.name(first).clone(),
                second: peer.name.clone(),
            });
        }
        let same = before
            .entries
            .get(&id)
            .filter(|entry| entry.public_key == peer.public_key);
        let entry = Entry {
            name: peer.name.clone(),
            public_key: peer.public_key,
            may_open: BTreeSet::new(),
            present: same.and_then(|entry| entry.present),
            takeovers_ms: same.map_or_else(VecDeque::new, |entry| entry.takeovers_ms.clone()),
        };
        self.by_name.insert(peer.name.clone(), id);
        self.entries.insert(id, entry);
        self.listed.push(id);
    }

    fn list_group(&mut self, group: &ListedGroup, before: &Registry, errors: &mut Vec<ListError>) {
        let name = group.name();
        if self.by_name.contains_key(name) {
            errors.push(ListError::GroupTwice(name.clone()));
            return;
        }
        match group.members().len() {
            0 => errors.push(ListError::NoMembers(name.clone())),
            members if members > GROUP_MEMBERS_MAX => errors.push(ListError::TooManyMembers {
                group: name.clone(),
                members,
            }),
            _ => {}
        }
        let mut members = Vec::new();
        for member in group.members() {
            let (group, member) = (name.clone(), member.clone());
            match self.by_name(&member) {
                _ if member.role() == GROUP_ROLE => {
                    errors.push(ListError::GroupInGroup { group, member });
                }
                None => errors.push(ListError::UnknownMember { group, member }),
                Some(id) if members.contains(&id) => {
                    errors.push(ListError::MemberTwice { group, member });
                }
                Some(id) => members.push(id),
            }
        }
        let id = self.id_for(name, before);
        self.by_name.insert(name.clone(), id);
        let name = name.clone();
        self.groups.insert(id, Group { name, members });
    }

    /// The id that a name had, or a new one.
    fn id_for(&mut self, name: &PeerName, before: &Registry) -> PeerId {
        let id = before.by_name(name).unwrap_or(PeerId(self.next_id));
        self.next_id = self.next_id.max(id.0 + 1);
        id
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

    fn permissions(
        &self,
        peer: &ListedPeer,
        errors: &mut Vec<ListError>,
    ) -> BTreeSet<(u16, PeerId)> {
        let mut permissions = BTreeSet::new();
        for (extension, name) in &peer.may_open {
            if !super::has_channels(*extension) {
                errors.push(ListError::NoChannels {
                    opener: peer.name.clone(),
                    extension: *extension,
                });
            }
            if *name == peer.name {
                errors.push(ListError::Itself(name.clone()));
            } else if let Some(id) = self.by_name.get(name) {
                permissions.insert((*extension, *id));
            } else {
                errors.push(ListError::UnknownPeer {
                    opener: peer.name.clone(),
                    peer: name.clone(),
                });
            }
        }
        permissions
    }

    /// The members of a group, in the order of the list; none of what is no group.
    pub(super) fn members(&self, group: PeerId) -> &[PeerId] {
        self.groups.get(&group).map_or(&[], |group| &group.members)
    }

    pub(super) fn is_group(&self, id: PeerId) -> bool {
        self.groups.contains_key(&id)
    }

    /// For each group that was there before, those of its members that were not in it then.
    pub(super) fn joined_since(&self, before: &Registry) -> Vec<(PeerId, Vec<PeerId>)> {
        let still = self.groups.iter().filter(|(id, _)| before.is_group(**id));
        let joined = still.map(|(id, group)| {
            let was = before.members(*id);
            let members = group.members.iter().filter(|id| !was.contains(id));
            (*id, members.copied().collect())
        });
        joined.collect()
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
        match self.groups.get(&id) {
            Some(group) => &group.name,
            None => &self.entry(id).name,
        }
    }

    /// Whether the list allows a channel, to a peer or to a group. False also for an opener that is not listed any more.
    pub(super) fn may_open(&self, opener: PeerId, extension: u16, peer: PeerId) -> bool {
        self.entries
            .get(&opener)
            .is_some_and(|entry| entry.may_open.contains(&(extension, peer)))
    }

    /// The connection that a peer has. A group never has one.
    pub(super) fn present(&self, id: PeerId) -> Option<Present> {
        self.entries.get(&id).and_then(|entry| entry.present)
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
        let refused = |peers: &[ListedPeer]| Registry::new(peers, &[]).unwrap_err().to_string();
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
        let mut registry = Registry::new(&[listed("mint/main", 1, &[])], &[]).unwrap();
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
        let mut registry = Registry::new(&[listed("mint/main", 1, &[])], &[]).unwrap();
        let id = PeerId(0);
        registry.claim(id, ConnId(1), 0).unwrap();
        registry.claim(id, ConnId(2), 1).unwrap();
        registry.release(id, ConnId(1));
        assert_eq!(registry.present(id).unwrap().conn, ConnId(2));
    }
}
