//! A channel to a group, as its opener has it (specification, section 3.6): one id to send to all, and a channel for
//! each member.

use std::collections::{BTreeMap, VecDeque};

use winze_messages::PeerName;
use winze_messages::families::hub::GroupMember;

use super::channel::{Channel, ChannelEnd, ChannelName, Link, Part};
use super::credit::Credit;
use super::error::{Misbehaviour, OpenError, SessionError};
use super::ordinals::Ordinals;
use super::{ChannelKey, SessionCore, Woken};
use crate::limits::GROUP_MEMBERS_MAX;

/// The role under which groups are named.
const GROUP_ROLE: &str = "group";

/// The members that the hub has named for one channel to a group.
#[derive(Default)]
pub(super) struct Group {
    /// By peer name; whether or not their channels are open at present. At most [`GROUP_MEMBERS_MAX`].
    members: BTreeMap<String, ChannelKey>,
    /// Those of them that the group's owner has not taken yet.
    joined: VecDeque<ChannelKey>,
}

/// A member of a group as it is at this moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMemberState {
    /// The channel to it alone.
    pub channel: ChannelKey,
    /// Its peer name, as the hub says: a hint.
    pub peer: String,
    /// Whether it is there: what is sent to the group while it is not comes back as
    /// [`GroupReject`](super::ChannelEvent::GroupReject).
    pub is_present: bool,
    /// How many messages had been sent to the group before its channel began: it gets none of those, and no reject
    /// tells of them.
    pub messages_before: u64,
    /// What it takes for now, of what is sent to the group and to it alone together; nothing while it is away. Sending
    /// to the group uses it up and does not stop where there is none left: the hub then leaves this member out.
    pub send_credit: Credit,
}

pub(super) fn is_group(peer: &PeerName) -> bool {
    peer.role() == GROUP_ROLE
}

impl Group {
    fn forget(&mut self, key: ChannelKey) {
        self.members.retain(|_, member| *member != key);
        self.joined.retain(|joined| *joined != key);
    }
}

impl SessionCore {
    /// Wants a channel to `group`, whose role is `group`, from now until [`Self::close`]. What is sent on it goes to
    /// every member that the hub names. Each of them has a channel of its own, which
    /// [`Self::take_member`] gives: what it answers comes there, what did not reach it is told there, and what is sent
    /// there is for it alone.
    ///
    /// Of the group's channel itself [`ChannelEvent::Away`](super::ChannelEvent::Away) says that it is open.
    pub fn open_group(
        &mut self,
        extension: u16,
        group: &PeerName,
        label: &str,
        now_ms: u64,
    ) -> Result<ChannelKey, OpenError> {
        if !is_group(group) {
            return Err(OpenError::NotAGroup {
                peer: group.to_string(),
            });
        }
        let key = self.open_part(extension, group, label, Part::Group, now_ms)?;
        self.groups.insert(key, Group::default());
        Ok(key)
    }

    /// The next member of a group that was not taken yet. Its channel is its owner's until [`Self::close`], over reconnects,
    /// and when it leaves the group and joins it again. Closing it leaves the member out until the group is opened anew.
    pub fn take_member(&mut self, group: ChannelKey) -> Option<ChannelKey> {
        self.groups.get_mut(&group)?.joined.pop_front()
    }

    /// Whom a message to the group would go to, by peer name, taken by the owner or not.
    pub fn members(&self, group: ChannelKey) -> Vec<GroupMemberState> {
        let Some(group) = self.groups.get(&group) else {
            return Vec::new();
        };
        let states = group.members.iter().filter_map(|(peer, key)| {
            let Link::Open(link) = &self.channels.get(key)?.link else {
                return None;
            };
            Some(GroupMemberState {
                channel: *key,
                peer: peer.clone(),
                is_present: link.instance.is_some(),
                messages_before: link.ordinals.as_ref().map_or(0, Ordinals::messages_before),
                send_credit: self.send_credit(*key),
            })
        });
        states.collect()
    }

    /// The hub names a member.
    pub(super) fn group_member(&mut self, told: GroupMember) -> Result<(), SessionError> {
        if self.by_id.contains_key(&told.channel_id) {
            return Err(Misbehaviour::Answer("it gave a channel id twice").into());
        }
        let Some(&group_key) = self.by_id.get(&told.group_channel_id) else {
            // We may just have closed it.
            self.counts.ignored += 1;
            return Ok(());
        };
        let peer = match told.peer.parse::<PeerName>() {
            Ok(peer) if !is_group(&peer) => peer.to_string(),
            _ => return Err(Misbehaviour::Answer("it named a member that is no peer").into()),
        };
        let counted = Credit {
            messages: told.group_messages,
            bytes: told.group_bytes,
        };
        let Some(Channel {
            part: Part::Group,
            link: Link::Open(link),
            name,
            ..
        }) = self.channels.get(&group_key)
        else {
            return Err(
                Misbehaviour::Answer("it named a member of a channel to a single peer").into(),
            );
        };
        let Some(spent) = link.send.spent_since(counted) else {
            return Err(Misbehaviour::Answer("it counted more to a group than was sent").into());
        };
        let name = ChannelName {
            peer,
            ..name.clone()
        };
        let key = match self.member(group_key, name)? {
            Some(key) => key,
            None => {
                self.counts.offers_refused += 1;
                self.close_on_hub(told.channel_id);
                return Ok(());
            }
        };
        // One that has left and is back may be named before the end of its older channel is told.
        self.detach(key);
        let window = self.window();
        if let Some(group) = self.channels.get_mut(&group_key) {
            group.works();
        }
        if let Some(channel) = self.channels.get_mut(&key) {
            channel.lost();
            channel.opened(
                told.channel_id,
                Credit {
                    messages: told.credit_messages,
                    bytes: told.credit_bytes,
                },
                window,
                told.peer_present.then_some(told.peer_instance),
            );
            if let Some(link) = channel.open_link() {
                link.send.count(spent);
                link.ordinals = Some(Ordinals::after(told.group_messages));
            }
            self.by_id.insert(told.channel_id, key);
            self.wake_member(key);
        }
        Ok(())
    }

    /// The channel for a member of this name: the one that it had before, or a new one; none where too many owners hold
    /// channels of members that are gone.
    fn member(
        &mut self,
        group_key: ChannelKey,
        name: ChannelName,
    ) -> Result<Option<ChannelKey>, SessionError> {
        let Some(group) = self.groups.get_mut(&group_key) else {
            return Ok(None);
        };
        if let Some(key) = group.members.get(&name.peer) {
            return Ok(Some(*key));
        }
        if group.members.len() >= GROUP_MEMBERS_MAX {
            let gone = group.members.values().find(|key| {
                let channel = self.channels.get(key);
                channel.is_none_or(|channel| !matches!(channel.link, Link::Open(_)))
            });
            let Some(gone) = gone.copied() else {
                return Err(Misbehaviour::Answer("it named more members than a group has").into());
            };
            let is_taken = !group.joined.contains(&gone);
            let held = self
                .channels
                .values()
                .filter(|channel| channel.part == Part::Member(group_key));
            if is_taken && held.count() >= 2 * GROUP_MEMBERS_MAX {
                return Ok(None);
            }
            let detail = "another member is there in its place";
            self.dismiss(group_key, gone, "gave-way", detail);
        }
        let peer = name.peer.clone();
        let mut channel = Channel::new(name, ChannelEnd::Opener);
        channel.part = Part::Member(group_key);
        let key = self.add_channel(channel);
        if let Some(group) = self.groups.get_mut(&group_key) {
            group.members.insert(peer, key);
            group.joined.push_back(key);
        }
        Ok(Some(key))
    }

    /// The owner has closed the channel to the group: its members' end with it.
    pub(super) fn close_members(&mut self, group_key: ChannelKey) {
        for key in self.member_keys(group_key) {
            self.dismiss(
                group_key,
                key,
                "done",
                "the channel to the group was closed",
            );
        }
        self.groups.remove(&group_key);
    }

    /// The hub has closed the channel to the group: its members' end with it, until it is open again.
    pub(super) fn members_closed(&mut self, group_key: ChannelKey, code: &str, detail: &str) {
        for key in self.member_keys(group_key) {
            self.end_member(key, code, detail);
        }
    }

    /// A member's channel has closed, at whichever end, or is another one from now on: nothing more is for its id.
    pub(super) fn detach(&mut self, key: ChannelKey) {
        let Some(channel) = self.channels.get_mut(&key) else {
            return;
        };
        let (Part::Member(group_key), Link::Open(link)) = (channel.part, &channel.link) else {
            return;
        };
        let channel_id = link.channel_id;
        self.by_id.remove(&channel_id);
        if let Some(group) = self.channels.get_mut(&group_key) {
            let unsent = &mut group.unsent;
            unsent.retain(|frame| frame.channel_id() != Some(channel_id));
        }
    }

    /// A member's owner, and its group's, have something to look at.
    pub(super) fn wake_member(&mut self, key: ChannelKey) {
        self.woken.insert(Woken::Channel(key));
        if let Some(Part::Member(group_key)) = self.channels.get(&key).map(|channel| channel.part)
            && self.groups.contains_key(&group_key)
        {
            self.woken.insert(Woken::Channel(group_key));
        }
    }

    /// The channel is its owner's no more.
    pub(super) fn forget_member(&mut self, key: ChannelKey, part: Part) {
        if let Part::Member(group_key) = part
            && let Some(group) = self.groups.get_mut(&group_key)
        {
            group.forget(key);
        }
    }

    /// A message was sent to the group: it counts for every member.
    pub(super) fn count_for_members(&mut self, group_key: ChannelKey, sent: Credit) {
        let Some(group) = self.groups.get(&group_key) else {
            return;
        };
        for key in group.members.values() {
            if let Some(link) = self.channels.get_mut(key).and_then(Channel::open_link) {
                link.send.count(sent);
            }
        }
    }

    fn member_keys(&self, group_key: ChannelKey) -> Vec<ChannelKey> {
        let group = self.groups.get(&group_key);
        group.map_or_else(Vec::new, |group| group.members.values().copied().collect())
    }

    /// Ends a member's channel, if it is open; the hub knows.
    fn end_member(&mut self, key: ChannelKey, code: &str, detail: &str) {
        self.detach(key);
        if let Some(channel) = self.channels.get_mut(&key)
            && matches!(channel.link, Link::Open(_))
        {
            channel.refused(code.to_owned(), detail.to_owned(), 0);
            self.woken.insert(Woken::Channel(key));
        }
    }

    /// The group gives a member up for good; its owner, where it has one, is told, and is to close the channel.
    fn dismiss(&mut self, group_key: ChannelKey, key: ChannelKey, code: &str, detail: &str) {
        let Some(group) = self.groups.get_mut(&group_key) else {
            return;
        };
        let is_taken = !group.joined.contains(&key);
        group.forget(key);
        self.detach(key);
        if is_taken {
            if let Some(channel) = self.channels.get_mut(&key) {
                channel.refused(code.to_owned(), detail.to_owned(), 0);
                self.woken.insert(Woken::Channel(key));
            }
        } else {
            self.forget(key);
        }
    }
}
