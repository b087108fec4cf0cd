//! Any sequence of sending to a group and to each, coming, going, reading and changing the list, by an opener and
//! members that keep the rules, gives each member exactly what was for it, and tells the opener the rest.

use std::collections::{BTreeMap, BTreeSet};

#[cfg(test)]
use proptest::prelude::*;

use super::group_opener::{Opener, credit, tagged};
use super::groups::{SIGNERS, WINDOW, group_of, signers_and_pool, tight};
use super::memory::check_memory;
use super::*;

/// Places in [`SIGNERS`] of the group's members, list by list. The first is the most lively.
const LISTS: [&[usize]; 5] = [&[0, 1, 2], &[0, 1], &[2], &[1, 2], &[0, 1, 2]];

#[derive(Clone, Debug)]
pub(super) enum GroupOp {
    /// The opener, or a signer, comes; whoever had the identity is replaced.
    Connect {
        who: usize,
    },
    Drop {
        who: usize,
    },
    Open,
    AnswerOffers {
        signer: usize,
        refuse: bool,
        credit: u8,
    },
    ToAll {
        bad: bool,
        filler: u16,
    },
    ToOne {
        member: u8,
        filler: u16,
    },
    Answer {
        signer: usize,
        filler: u16,
    },
    Read {
        who: usize,
        bytes: u16,
    },
    Raise {
        who: usize,
        member: u8,
        messages: u8,
    },
    /// The opener gives up a member, or the group.
    GiveUp {
        member: u8,
    },
    Leave {
        signer: usize,
    },
    Relist {
        list: u8,
    },
}

/// The opener's place among those that come and go; the signers' are those in [`SIGNERS`].
pub(super) const OPENER: usize = 3;

#[cfg(test)]
fn ops() -> impl Strategy<Value = Vec<GroupOp>> {
    let (who, signer, member) = (0..4usize, 0..3usize, 0..4u8);
    let op = prop_oneof![
        3 => who.clone().prop_map(|who| GroupOp::Connect { who }),
        1 => who.clone().prop_map(|who| GroupOp::Drop { who }),
        3 => Just(GroupOp::Open),
        6 => (signer.clone(), prop::bool::weighted(0.05), 0..20u8)
            .prop_map(|(signer, refuse, credit)| GroupOp::AnswerOffers { signer, refuse, credit }),
        16 => (prop::bool::weighted(0.05), 0..4_000u16)
            .prop_map(|(bad, filler)| GroupOp::ToAll { bad, filler }),
        6 => (member.clone(), 0..4_000u16)
            .prop_map(|(member, filler)| GroupOp::ToOne { member, filler }),
        4 => (signer.clone(), 0..1_000u16)
            .prop_map(|(signer, filler)| GroupOp::Answer { signer, filler }),
        14 => (who.clone(), 1..5_000u16).prop_map(|(who, bytes)| GroupOp::Read { who, bytes }),
        6 => (who, member.clone(), 0..10u8)
            .prop_map(|(who, member, messages)| GroupOp::Raise { who, member, messages }),
        1 => member.prop_map(|member| GroupOp::GiveUp { member }),
        1 => signer.prop_map(|signer| GroupOp::Leave { signer }),
        1 => (0..LISTS.len() as u8).prop_map(|list| GroupOp::Relist { list }),
    ];
    prop::collection::vec(op, 1..250)
}

/// What a signer knows of a channel that it was offered.
#[derive(Debug, Default)]
struct Offered {
    accepted: bool,
    granted: Totals,
    sent: Totals,
    given: Totals,
    received: Totals,
    last_tag: Option<u64>,
}

#[derive(Debug)]
struct Signer {
    conn: ConnId,
    instance: u64,
    channels: BTreeMap<u32, Offered>,
    unanswered: Vec<u32>,
}

struct World {
    net: Net,
    opener: Option<Opener>,
    signers: [Option<Signer>; 3],
    /// What has arrived: whose place, and the message's tag.
    arrived: BTreeSet<(usize, u64)>,
    last_tag: u64,
    polled: Vec<Frame>,
}

impl World {
    fn new() -> World {
        World {
            net: Net::listing(&signers_and_pool(), &group_of(&SIGNERS), tight()),
            opener: None,
            signers: [None, None, None],
            arrived: BTreeSet::new(),
            last_tag: 0,
            polled: Vec::new(),
        }
    }

    fn apply(&mut self, op: GroupOp) {
        match op {
            GroupOp::Connect { who } => self.connect(who),
            GroupOp::Drop { who } => self.drop_connection(who),
            GroupOp::Open => {
                if let Some(opener) = self.opener.as_mut().filter(|o| o.group.is_none()) {
                    let request = opener.open();
                    self.net.say(opener.conn, request);
                }
            }
            GroupOp::AnswerOffers {
                signer,
                refuse,
                credit,
            } => self.answer_offers(signer, refuse, u64::from(credit)),
            GroupOp::ToAll { bad, filler } => {
                let tag = self.next_tag();
                self.opener_sends(|opener| opener.message_to_all(tag, bad, filler));
            }
            GroupOp::ToOne { member, filler } => {
                let tag = self.next_tag();
                self.opener_sends(|opener| opener.message_to_one(member, tag, filler));
            }
            GroupOp::Answer { signer, filler } => self.answer(signer, filler),
            GroupOp::Read { who, bytes } => {
                self.read(who, usize::from(bytes));
            }
            GroupOp::Raise {
                who,
                member,
                messages,
            } => self.raise(who, member, u64::from(messages)),
            GroupOp::GiveUp { member } => {
                if let Some(opener) = &mut self.opener
                    && let Some(channel_id) = opener.give_up(member)
                {
                    let conn = opener.conn;
                    self.close(conn, channel_id);
                }
            }
            GroupOp::Leave { signer } => {
                if let Some(signer) = &mut self.signers[signer]
                    && let Some((channel_id, _)) = signer.channels.pop_first()
                {
                    signer.unanswered.retain(|id| *id != channel_id);
                    let conn = signer.conn;
                    self.close(conn, channel_id);
                }
            }
            GroupOp::Relist { list } => {
                let places = LISTS[usize::from(list) % LISTS.len()];
                let names: Vec<&str> = places.iter().map(|place| SIGNERS[*place]).collect();
                let limits = self.net.core.limits.clone();
                let groups = group_of(&names);
                let peers = signers_and_pool();
                self.net.core.reload(&peers, &groups, limits).unwrap();
            }
        }
        check_memory(&self.net.core, WINDOW);
        for event in self.net.core.take_events() {
            if let Event::Ended { cause, .. } = event {
                assert_eq!(cause, EndCause::Gone, "nobody broke a rule");
            }
        }
    }

    fn next_tag(&mut self) -> u64 {
        self.last_tag += 1;
        self.last_tag
    }

    fn connect(&mut self, who: usize) {
        self.drop_connection(who);
        let name = SIGNERS.get(who).copied().unwrap_or(POOL);
        let conn = self.net.dial();
        let proof = proof(name, &transcript(conn));
        self.net
            .send(conn, [setup_connection(), request_extensions(), proof]);
        let let_in = self.net.core.take_events().into_iter().find_map(|event| {
            let Event::Authenticated { instance, .. } = event else {
                return None;
            };
            Some(instance)
        });
        let instance = let_in.expect("it was not connected, and is listed");
        match self.signers.get_mut(who) {
            Some(signer) => {
                *signer = Some(Signer {
                    conn,
                    instance,
                    channels: BTreeMap::new(),
                    unanswered: Vec::new(),
                });
            }
            None => self.opener = Some(Opener::new(conn)),
        }
    }

    fn drop_connection(&mut self, who: usize) {
        let conn = match self.signers.get_mut(who) {
            Some(signer) => signer.take().map(|signer| signer.conn),
            None => self.opener.take().map(|opener| opener.conn),
        };
        if let Some(conn) = conn {
            self.net.core.closed(conn);
        }
    }

    fn opener_sends(&mut self, frame: impl FnOnce(&mut Opener) -> Option<Frame>) {
        if let Some(opener) = &mut self.opener
            && let Some(frame) = frame(opener)
        {
            self.net.send(opener.conn, [frame]);
        }
    }

    fn close(&mut self, conn: ConnId, channel_id: u32) {
        let (reason_code, detail) = ("done".to_owned(), String::new());
        let closes = CloseChannel {
            channel_id,
            reason_code,
            detail,
        };
        self.net.say(conn, closes);
    }

    fn answer_offers(&mut self, signer: usize, refuse: bool, messages: u64) {
        let Some(signer) = &mut self.signers[signer] else {
            return;
        };
        for channel_id in std::mem::take(&mut signer.unanswered) {
            if refuse {
                signer.channels.remove(&channel_id);
                let reason_code = "no".to_owned();
                let refusal = ChannelOfferRefuse {
                    channel_id,
                    reason_code,
                };
                self.net.say(signer.conn, refusal);
            } else if let Some(channel) = signer.channels.get_mut(&channel_id) {
                channel.accepted = true;
                channel.given = credit(messages);
                self.net.accept(signer.conn, channel_id, channel.given);
            }
        }
    }

    /// A signer sends to the opener.
    fn answer(&mut self, place: usize, filler: u16) {
        let tag = self.next_tag();
        let Some(signer) = &mut self.signers[place] else {
            return;
        };
        let Some((id, channel)) = signer.channels.iter_mut().next() else {
            return;
        };
        let frame = tagged(*id, tag, place, filler);
        let sent = channel.sent.plus(Totals::one(frame.payload.len()));
        if channel.accepted && channel.granted.covers(sent) {
            channel.sent = sent;
            self.net.send(signer.conn, [frame]);
        }
    }

    fn raise(&mut self, who: usize, member: u8, messages: u64) {
        let Some(signer) = self.signers.get_mut(who) else {
            if let Some(opener) = &mut self.opener
                && let Some(raised) = opener.raise(member, messages)
            {
                self.net.say(opener.conn, raised);
            }
            return;
        };
        let Some(signer) = signer else { return };
        for (channel_id, channel) in &mut signer.channels {
            if channel.accepted {
                channel.given = channel.given.plus(credit(messages));
                let raised = Credit {
                    channel_id: *channel_id,
                    messages: channel.given.messages,
                    bytes: channel.given.bytes,
                };
                self.net.say(signer.conn, raised);
            }
        }
    }

    /// One poll. Whether it gave anything.
    fn read(&mut self, who: usize, bytes_max: usize) -> bool {
        let conn = match self.signers.get(who) {
            Some(signer) => signer.as_ref().map(|signer| signer.conn),
            None => self.opener.as_ref().map(|opener| opener.conn),
        };
        let Some(conn) = conn else { return false };
        let mut frames = Vec::new();
        let left = self.net.core.poll_transmit(conn, bytes_max, &mut frames);
        assert_ne!(left, Transmit::Last, "{who} was closed: {frames:?}");
        self.polled.extend(frames.iter().cloned());
        let some = !frames.is_empty();
        for frame in frames {
            match self.signers.get_mut(who) {
                Some(Some(signer)) => signer.take(who, seen(frame), &mut self.arrived),
                Some(None) => {}
                None => {
                    if let Some(opener) = &mut self.opener {
                        opener.take(seen(frame));
                    }
                }
            }
        }
        some
    }

    /// Everyone reads everything, with credit for it. Then nothing that was promised is missing.
    fn settle(&mut self) {
        loop {
            for signer in 0..3 {
                self.answer_offers(signer, false, 0);
            }
            for who in 0..4 {
                for member in 0..3 {
                    self.raise(who, member, 100);
                }
            }
            let reads = [0, 1, 2, OPENER].map(|who| self.read(who, 1 << 20));
            if reads == [false; 4] {
                break;
            }
        }
        assert_eq!(self.net.core.load().queued, Totals::default());
        if let Some(opener) = &self.opener {
            let instances = [0, 1, 2].map(|place: usize| {
                let signer = self.signers[place].as_ref()?;
                Some(signer.instance).filter(|_| !signer.channels.is_empty())
            });
            opener.check_settled(instances, |who, tag| self.arrived.contains(&(who, tag)));
        }
    }
}

impl Signer {
    fn take(&mut self, place: usize, seen: Seen, arrived: &mut BTreeSet<(usize, u64)>) {
        let message = match seen {
            Seen::Hub(message) => message,
            Seen::Channel(frame) => return self.take_message(place, &frame, arrived),
            Seen::Common(_) | Seen::Negotiation(_) => return,
        };
        match message {
            HubMessage::ChannelOffer(offer) => {
                let channel = Offered {
                    granted: Totals {
                        messages: offer.credit_messages,
                        bytes: offer.credit_bytes,
                    },
                    ..Offered::default()
                };
                assert_eq!((offer.peer.as_str(), offer.label.as_str()), (POOL, ""));
                assert!(self.channels.insert(offer.channel_id, channel).is_none());
                self.unanswered.push(offer.channel_id);
            }
            HubMessage::Credit(raised) => {
                if let Some(channel) = self.channels.get_mut(&raised.channel_id) {
                    channel.granted = Totals {
                        messages: raised.messages,
                        bytes: raised.bytes,
                    };
                }
            }
            HubMessage::CloseChannel(closed) => {
                self.channels.remove(&closed.channel_id);
                self.unanswered.retain(|id| *id != closed.channel_id);
            }
            HubMessage::Reject(reject) => assert_eq!(reject.error_code, "peer-away"),
            HubMessage::Presence(_) | HubMessage::AuthenticateSuccess(_) | HubMessage::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn take_message(&mut self, place: usize, frame: &Frame, arrived: &mut BTreeSet<(usize, u64)>) {
        let channel_id = frame.channel_id().unwrap();
        let Some(channel) = self.channels.get_mut(&channel_id) else {
            panic!("a message on a channel that this signer gave up or never had");
        };
        let (tag, _) = frame.payload[4..].split_first_chunk().unwrap();
        let (tag, whose) = (u64::from_le_bytes(*tag), usize::from(frame.payload[12]));
        assert!(whose == place || whose == SIGNERS.len(), "another's");
        assert!(channel.last_tag < Some(tag), "in the order of sending");
        channel.last_tag = Some(tag);
        assert!(arrived.insert((place, tag)), "once");
        channel.received = channel.received.plus(Totals::one(frame.payload.len()));
        assert!(channel.given.covers(channel.received), "more than it takes");
    }
}

/// The operations, and what is left when all have read what is theirs. The same operations give the same outputs.
pub(super) fn check_groups_after(ops: &[GroupOp]) {
    let run = || {
        let mut world = World::new();
        for op in ops {
            world.apply(op.clone());
        }
        world.settle();
        world.polled
    };
    assert!(run() == run(), "the same inputs gave other outputs");
}

#[cfg(test)]
proptest! {
    #[test]
    fn a_group_gives_each_member_what_is_for_it_and_tells_the_opener_the_rest(ops in ops()) {
        check_groups_after(&ops);
    }
}

#[cfg(all(test, feature = "sabotage"))]
#[test]
fn a_message_that_goes_to_another_member_is_noticed() {
    use crate::sabotage::{Rule, break_rule};

    let read_all = || [0, 1, OPENER].map(|who| GroupOp::Read { who, bytes: 5_000 });
    let join = |who| {
        let (signer, refuse, credit) = (who, false, 19);
        let offered = [
            GroupOp::Connect { who },
            GroupOp::Read { who, bytes: 5_000 },
        ];
        let answer = GroupOp::AnswerOffers {
            signer,
            refuse,
            credit,
        };
        offered.into_iter().chain([answer])
    };
    let to_all = GroupOp::ToAll {
        bad: false,
        filler: 1,
    };
    let to_one = GroupOp::ToOne {
        member: 0,
        filler: 1,
    };
    for message in [to_all, to_one] {
        let opened = [GroupOp::Connect { who: OPENER }, GroupOp::Open];
        let mut ops: Vec<GroupOp> = opened.into_iter().chain(read_all()).collect();
        ops.extend(join(0).chain(join(1)).chain(read_all()));
        ops.push(message);
        check_groups_after(&ops);
        break_rule(Some(Rule::MemberAlone));
        let noticed = std::panic::catch_unwind(|| check_groups_after(&ops)).is_err();
        break_rule(None);
        assert!(noticed, "{ops:?}");
    }
}
