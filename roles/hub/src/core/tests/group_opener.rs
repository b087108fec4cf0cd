//! What the opener of a group knows: what it sent to all and to each, and what it heard of each. As the specification
//! has it, with nothing of the hub's.

use std::collections::BTreeMap;

use super::groups::{GROUP, SIGNERS};
use super::*;

/// One message that the opener has sent on its way to one member.
#[derive(Clone, Copy, Debug)]
struct Sent {
    tag: u64,
    /// The instance that the opener knew when it sent it.
    meant_for: u64,
    /// Whether it was within the credit that the opener knew. `None` before it knew of the member.
    within_credit: Option<bool>,
}

/// What the opener knows of one member's channel.
#[derive(Debug)]
pub(super) struct Member {
    /// The place in [`SIGNERS`].
    pub(super) who: usize,
    granted: Totals,
    sent: Totals,
    instance: u64,
    /// By ordinal, without those that were refused, to all for the group's sake or here.
    unrefused: BTreeMap<u64, Sent>,
    given: Totals,
    received: Totals,
}

/// An open group.
#[derive(Debug)]
pub(super) struct Group {
    pub(super) id: u32,
    granted: Totals,
    sent: Totals,
    /// What was sent to all, in order: tag, or nothing if it was a bad one, and payload bytes.
    to_all: Vec<(Option<u64>, usize)>,
    pub(super) members: BTreeMap<u32, Member>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Opener {
    pub(super) conn: ConnId,
    pub(super) group: Option<Group>,
    last_request: u32,
}

pub(super) fn credit(messages: u64) -> Totals {
    Totals {
        messages,
        bytes: messages * 1_500,
    }
}

/// A message with its tag, and for whom of [`SIGNERS`] it is: all, when that is no place.
pub(super) fn tagged(channel_id: u32, tag: u64, place: usize, filler: u16) -> Frame {
    let mut body = tag.to_le_bytes().to_vec();
    body.push(place as u8);
    body.resize(9 + usize::from(filler), 0);
    channel_frame(VENDOR, 0x11, channel_id, &body)
}

impl Opener {
    pub(super) fn new(conn: ConnId) -> Opener {
        Opener {
            conn,
            group: None,
            last_request: 0,
        }
    }

    pub(super) fn open(&mut self) -> OpenChannel {
        self.last_request += 1;
        let given = credit(5);
        OpenChannel {
            request_id: self.last_request,
            extension: VENDOR,
            peer: GROUP.to_owned(),
            label: String::new(),
            credit_messages: given.messages,
            credit_bytes: given.bytes,
        }
    }

    /// A message to all, where the group's own credit allows it. `bad` ones are of another extension.
    pub(super) fn message_to_all(&mut self, tag: u64, bad: bool, filler: u16) -> Option<Frame> {
        let group = self.group.as_mut()?;
        let frame = if bad {
            quote_request(group.id)
        } else {
            tagged(group.id, tag, SIGNERS.len(), filler)
        };
        let bytes = frame.payload.len();
        let sent = group.sent.plus(Totals::one(bytes));
        if !group.granted.covers(sent) {
            return None;
        }
        group.sent = sent;
        let tag = (!bad).then_some(tag);
        group.to_all.push((tag, bytes));
        for member in group.members.values_mut() {
            member.count(tag, bytes, true);
        }
        Some(frame)
    }

    /// A message to one member, where its credit allows it.
    pub(super) fn message_to_one(&mut self, place: u8, tag: u64, filler: u16) -> Option<Frame> {
        let members = &mut self.group.as_mut()?.members;
        let place = usize::from(place) % members.len().max(1);
        let (id, member) = members.iter_mut().nth(place)?;
        let frame = tagged(*id, tag, member.who, filler);
        let bytes = frame.payload.len();
        if !member.granted.covers(member.sent.plus(Totals::one(bytes))) {
            return None;
        }
        member.count(Some(tag), bytes, true);
        Some(frame)
    }

    /// Gives credit on one member's channel.
    pub(super) fn raise(&mut self, place: u8, messages: u64) -> Option<Credit> {
        let members = &mut self.group.as_mut()?.members;
        let place = usize::from(place) % members.len().max(1);
        let (id, member) = members.iter_mut().nth(place)?;
        member.given = member.given.plus(credit(messages));
        Some(Credit {
            channel_id: *id,
            messages: member.given.messages,
            bytes: member.given.bytes,
        })
    }

    /// Gives up one member, or the group: which channel that is.
    pub(super) fn give_up(&mut self, place: u8) -> Option<u32> {
        let group = self.group.as_mut()?;
        let ids: Vec<u32> = group.members.keys().copied().collect();
        match ids.get(usize::from(place)) {
            Some(id) => {
                group.members.remove(id);
                Some(*id)
            }
            None => self.group.take().map(|group| group.id),
        }
    }

    /// Takes what the hub sent.
    pub(super) fn take(&mut self, seen: Seen) {
        let message = match seen {
            Seen::Hub(message) => message,
            Seen::Channel(frame) => return self.take_message(&frame),
            Seen::Common(_) | Seen::Negotiation(_) => return,
        };
        match message {
            HubMessage::OpenChannelSuccess(opened) => {
                assert!(self.group.is_none() && !opened.peer_present);
                self.group = Some(Group {
                    id: opened.channel_id,
                    granted: Totals {
                        messages: opened.credit_messages,
                        bytes: opened.credit_bytes,
                    },
                    sent: Totals::default(),
                    to_all: Vec::new(),
                    members: BTreeMap::new(),
                });
            }
            HubMessage::OpenChannelError(error) => {
                let codes = ["already-open", "not-allowed", "extension-not-negotiated"];
                assert!(codes.contains(&error.error_code.as_str()), "{error:?}");
            }
            HubMessage::GroupMember(member) => self.meet(&member),
            HubMessage::Credit(raised) => self.hear_credit(&raised),
            HubMessage::Presence(notice) => {
                if let Some(member) = self.member(notice.channel_id) {
                    assert_ne!(member.instance, notice.instance, "told twice");
                    member.instance = notice.instance;
                }
            }
            HubMessage::Reject(reject) => self.hear_reject(&reject),
            HubMessage::CloseChannel(closed) => self.hear_close(closed.channel_id),
            HubMessage::AuthenticateSuccess(_) | HubMessage::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn member(&mut self, id: u32) -> Option<&mut Member> {
        self.group.as_mut()?.members.get_mut(&id)
    }

    /// What was sent to all after the member's channel began counts on it.
    fn meet(&mut self, told: &GroupMember) {
        let Some(group) = &mut self.group else {
            return;
        };
        if group.id != told.group_channel_id {
            // Of a group that this opener has just given up.
            return;
        }
        let who = SIGNERS.iter().position(|name| *name == told.peer).unwrap();
        let mut member = Member {
            who,
            granted: Totals {
                messages: told.credit_messages,
                bytes: told.credit_bytes,
            },
            sent: Totals::default(),
            instance: told.peer_instance,
            unrefused: BTreeMap::new(),
            given: credit(5),
            received: Totals::default(),
        };
        let (before, since) = group.to_all.split_at(told.group_messages as usize);
        let bytes: usize = before.iter().map(|(_, bytes)| bytes).sum();
        assert_eq!(told.group_bytes, bytes as u64);
        for (tag, bytes) in since {
            member.count(*tag, *bytes, false);
        }
        assert!(group.members.insert(told.channel_id, member).is_none());
    }

    fn hear_credit(&mut self, raised: &Credit) {
        let totals = Totals {
            messages: raised.messages,
            bytes: raised.bytes,
        };
        let Some(group) = &mut self.group else {
            return;
        };
        let granted = if raised.channel_id == group.id {
            &mut group.granted
        } else if let Some(member) = group.members.get_mut(&raised.channel_id) {
            &mut member.granted
        } else {
            return;
        };
        assert!(totals.covers(*granted), "totals never fall");
        *granted = totals;
    }

    fn hear_reject(&mut self, reject: &Reject) {
        let Some(group) = &mut self.group else {
            return;
        };
        if reject.channel_id == group.id {
            let place = reject.ordinal as usize - 1;
            assert_eq!(group.to_all[place].0, None, "refused for all: {reject:?}");
        } else if let Some(member) = group.members.get_mut(&reject.channel_id) {
            let refused = member.unrefused.remove(&reject.ordinal);
            let refused = refused.unwrap_or_else(|| panic!("was not sent: {reject:?}"));
            let no_credit = reject.error_code == "no-credit";
            assert!(no_credit || reject.error_code == "peer-away", "{reject:?}");
            assert!(
                !(no_credit && refused.within_credit == Some(true)),
                "there was credit: {reject:?}"
            );
        }
    }

    fn hear_close(&mut self, id: u32) {
        let Some(group) = &mut self.group else {
            return;
        };
        group.members.remove(&id);
        if group.id == id {
            assert!(group.members.is_empty(), "the group's is the last");
            self.group = None;
        }
    }

    fn take_message(&mut self, frame: &Frame) {
        let Some(member) = self.member(frame.channel_id().unwrap()) else {
            panic!("a message on a channel that the opener gave up or never had");
        };
        assert_eq!(usize::from(frame.payload[12]), member.who, "of another");
        member.received = member.received.plus(Totals::one(frame.payload.len()));
        assert!(member.given.covers(member.received), "more than it takes");
    }

    /// When all was read: there is credit again everywhere, and whatever was meant for a member as it is now has arrived
    /// (`has_arrived` says so by tag) or was refused.
    pub(super) fn check_settled(
        &self,
        instances: [Option<u64>; 3],
        has_arrived: impl Fn(usize, u64) -> bool,
    ) {
        let Some(group) = &self.group else {
            return;
        };
        let largest = Totals::one(4_096);
        assert!(group.granted.covers(group.sent.plus(largest)), "{group:?}");
        for (id, member) in &group.members {
            assert!(
                member.granted.covers(member.sent.plus(largest)),
                "{id}: {member:?}"
            );
            let instance = instances[member.who].unwrap_or(0);
            assert_eq!(member.instance, instance, "the truth about {id}");
            for (ordinal, sent) in &member.unrefused {
                assert!(
                    sent.meant_for != instance
                        || instance == 0
                        || has_arrived(member.who, sent.tag),
                    "message {ordinal} on {id} is lost: {member:?}"
                );
            }
        }
    }
}

impl Member {
    fn count(&mut self, tag: Option<u64>, bytes: usize, knows_credit: bool) {
        self.sent = self.sent.plus(Totals::one(bytes));
        if let Some(tag) = tag {
            let sent = Sent {
                tag,
                meant_for: self.instance,
                within_credit: knows_credit.then(|| self.granted.covers(self.sent)),
            };
            self.unrefused.insert(self.sent.messages, sent);
        }
    }
}
