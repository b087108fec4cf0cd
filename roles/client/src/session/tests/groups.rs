use winze_messages::families::hub::{
    CloseChannel, Credit as CreditMsg, GroupMember, OpenChannelSuccess, Pong, Presence, Reject,
};

use super::*;
use crate::limits::{GROUP_MEMBERS_MAX, REOPEN_DELAY_MS_MAX};

/// The hub's id of the channel to the group.
const ALL: u32 = 1;

fn signers() -> PeerName {
    "group/signers".parse().unwrap()
}

/// A member whose channel has an id of its own number.
fn member(number: u32, instance: Option<u64>) -> GroupMember {
    GroupMember {
        group_channel_id: ALL,
        channel_id: number,
        peer: format!("signer/{number}"),
        group_messages: 0,
        group_bytes: 0,
        peer_present: instance.is_some(),
        peer_instance: instance.unwrap_or(0),
        credit_messages: 10,
        credit_bytes: 1_000,
    }
}

fn reject(channel_id: u32, ordinal: u64, code: &str) -> Reject {
    Reject {
        channel_id,
        ordinal,
        error_code: code.to_owned(),
        detail: String::new(),
    }
}

fn rejected_to_one(ordinal: u64, code: &str) -> ChannelEvent {
    ChannelEvent::Reject {
        ordinal,
        code: code.to_owned(),
        detail: String::new(),
    }
}

fn rejected_to_all(ordinal: u64, code: &str) -> ChannelEvent {
    ChannelEvent::GroupReject {
        ordinal,
        code: code.to_owned(),
        detail: String::new(),
    }
}

impl Scene {
    /// Opens a channel to the group, with these members.
    fn group(&mut self, members: &[GroupMember]) -> (ChannelKey, Vec<ChannelKey>) {
        let group = self
            .core
            .open_group(EXT_MINT_QUOTE, &signers(), "", self.now_ms)
            .unwrap();
        let members = self.group_opened(group, members);
        (group, members)
    }

    /// The hub answers the `OpenChannel` that waits. Gives the members that are new.
    fn group_opened(&mut self, group: ChannelKey, members: &[GroupMember]) -> Vec<ChannelKey> {
        let HubMessage::OpenChannel(open) = self.take_hub_messages().remove(0) else {
            panic!("an OpenChannel is awaited");
        };
        assert_eq!(open.peer, "group/signers");
        self.say(OpenChannelSuccess {
            request_id: open.request_id,
            channel_id: ALL,
            peer_present: false,
            peer_instance: 0,
            credit_messages: 100,
            credit_bytes: 10_000,
        })
        .unwrap();
        for member in members {
            self.say(member.clone()).unwrap();
        }
        assert_eq!(self.events(group).last(), Some(&ChannelEvent::Away));
        self.new_members(group)
    }

    /// The members that nobody has taken yet; what they have to say so far is taken.
    fn new_members(&mut self, group: ChannelKey) -> Vec<ChannelKey> {
        let members: Vec<ChannelKey> =
            std::iter::from_fn(|| self.core.take_member(group)).collect();
        for member in &members {
            self.events(*member);
        }
        members
    }

    /// The channel ids of what was sent, in order.
    fn sent_to(&mut self) -> Vec<u32> {
        let frames = self.take_all();
        let ids = frames.iter().filter_map(Frame::channel_id);
        ids.collect()
    }

    /// A channel to a single peer, with the id 9.
    fn channel_to_mint(&mut self) {
        self.take_all();
        self.core.open(EXT_MINT_QUOTE, &mint(), "", 0).unwrap();
        self.opened(9, credit(1, 1), Some(1));
    }

    fn credit_of(&self, group: ChannelKey, peer: &str) -> Credit {
        let members = self.core.members(group);
        let member = members.iter().find(|member| member.peer == peer);
        member.expect("a member").send_credit
    }
}

#[test]
fn what_goes_to_all_and_to_one_goes_out_in_order_and_a_reject_says_which_it_was() {
    let mut scene = Scene::connected();
    let (group, members) = scene.group(&[member(2, Some(5)), member(3, Some(6))]);
    let [two, three] = members[..] else {
        panic!("{members:?}");
    };
    assert_eq!(scene.core.send(group, REQUEST, &[1; 16]), Ok(1));
    assert_eq!(scene.core.send(two, REQUEST, &[2; 6]), Ok(2));
    assert_eq!(scene.core.send(two, REQUEST, &[3; 6]), Ok(3));
    assert_eq!(scene.core.send(group, REQUEST, &[4; 16]), Ok(2));
    assert_eq!(scene.core.send(three, REQUEST, &[5; 6]), Ok(3));
    assert_eq!(scene.sent_to(), [ALL, 2, 2, ALL, 3]);
    assert_eq!(scene.core.send_credit(group), credit(98, 9_960));
    assert_eq!(scene.credit_of(group, "signer/2"), credit(6, 940));
    assert_eq!(scene.credit_of(group, "signer/3"), credit(7, 950));

    for ordinal in 1..=5 {
        scene.say(reject(2, ordinal, "peer-away")).unwrap();
    }
    scene.say(reject(3, 2, "no-credit")).unwrap();
    scene.say(reject(ALL, 2, "malformed")).unwrap();
    assert_eq!(
        scene.events(two),
        [
            rejected_to_all(1, "peer-away"),
            rejected_to_one(2, "peer-away"),
            rejected_to_one(3, "peer-away"),
            rejected_to_all(2, "peer-away"),
        ]
    );
    assert_eq!(scene.events(three), [rejected_to_all(2, "no-credit")]);
    assert_eq!(scene.events(group), [rejected_to_one(2, "malformed")]);
}

#[test]
fn a_member_that_is_slow_or_away_is_seen_beforehand_and_holds_nobody_up() {
    let mut scene = Scene::connected();
    let slow = GroupMember {
        credit_messages: 2,
        ..member(2, Some(5))
    };
    let (group, members) = scene.group(&[slow, member(3, None), member(4, Some(6))]);
    for sent in 1..=5 {
        assert_eq!(scene.core.send(group, REQUEST, &[]), Ok(sent));
    }
    let seen: Vec<(bool, u64)> = scene
        .core
        .members(group)
        .iter()
        .map(|member| (member.is_present, member.send_credit.messages))
        .collect();
    assert_eq!(seen, [(true, 0), (false, 0), (true, 5)]);
    // To it alone it stays an offence, and is not sent.
    let to_one = scene.core.send(members[0], REQUEST, &[]);
    assert_eq!(to_one, Err(SendError::NoCredit));
    assert_eq!(scene.sent_to(), [ALL; 5]);

    // The hub has refused three of the five, which count as taken, and the group's owner hears that there is credit again.
    while scene.core.poll_woken().is_some() {}
    scene
        .say(CreditMsg {
            channel_id: 2,
            messages: 7,
            bytes: 1_000,
        })
        .unwrap();
    let woken: Vec<Woken> = std::iter::from_fn(|| scene.core.poll_woken()).collect();
    assert_eq!(woken, [Woken::Channel(group), Woken::Channel(members[0])]);
    assert_eq!(scene.credit_of(group, "signer/2"), credit(2, 980));
    assert_eq!(scene.core.send(members[0], REQUEST, &[]), Ok(6));

    // What is not seen beforehand is the group's own bound.
    for sent in 6..=100 {
        assert_eq!(scene.core.send(group, REQUEST, &[]), Ok(sent));
        scene.take_all();
    }
    let beyond = scene.core.send(group, REQUEST, &[]);
    assert_eq!(beyond, Err(SendError::NoCredit));
}

#[test]
fn members_share_one_queue_and_all_who_waited_for_room_in_it_are_told() {
    let mut scene = Scene::connected();
    let (group, members) = scene.group(&[member(2, Some(5)), member(3, Some(6))]);
    for _ in 0..8 {
        scene.core.send(members[0], REQUEST, b"x").unwrap();
    }
    for refused in [group, members[1]] {
        let sent = scene.core.send(refused, REQUEST, b"x");
        assert_eq!(sent, Err(SendError::Unsent));
    }
    while scene.core.poll_woken().is_some() {}
    assert_eq!(scene.sent_to(), [2; 8]);
    let woken: Vec<Woken> = std::iter::from_fn(|| scene.core.poll_woken()).collect();
    assert_eq!(woken, [Woken::Channel(group), Woken::Channel(members[1])]);
}

#[test]
fn a_member_that_waits_for_room_is_told_of_it_though_the_group_got_credit_meanwhile() {
    let mut scene = Scene::connected();
    let (_, members) = scene.group(&[member(2, Some(5)), member(3, Some(6))]);
    for _ in 0..8 {
        scene.core.send(members[0], REQUEST, b"x").unwrap();
    }
    let sent = scene.core.send(members[1], REQUEST, b"x");
    assert_eq!(sent, Err(SendError::Unsent));
    let raised = CreditMsg {
        channel_id: ALL,
        messages: 200,
        bytes: 20_000,
    };
    scene.say(raised).unwrap();
    while scene.core.poll_woken().is_some() {}
    assert_eq!(scene.sent_to(), [2; 8]);
    let mut woken = std::iter::from_fn(|| scene.core.poll_woken());
    assert!(woken.any(|woken| woken == Woken::Channel(members[1])));
}

#[test]
fn a_member_that_joins_counts_from_where_the_hub_let_it_in() {
    let mut scene = Scene::connected();
    let (group, members) = scene.group(&[member(2, Some(5))]);
    for length in [6, 16, 26, 36] {
        scene.core.send(group, REQUEST, &vec![0; length]).unwrap();
    }
    // The hub had counted two of the four, of 10 and 20 bytes with their ids, when the member joined.
    let joins = |channel_id| GroupMember {
        peer: "signer/7".to_owned(),
        group_messages: 2,
        group_bytes: 30,
        ..member(channel_id, Some(9))
    };
    scene.say(joins(3)).unwrap();
    let [joined] = scene.new_members(group)[..] else {
        panic!("one has joined");
    };
    assert_eq!(scene.credit_of(group, "signer/7"), credit(8, 930));
    assert_eq!(scene.core.members(group)[1].messages_before, 2);
    assert_eq!(scene.core.send(joined, REQUEST, &[]), Ok(3));
    scene.say(reject(3, 1, "peer-away")).unwrap();
    scene.say(reject(3, 2, "peer-away")).unwrap();
    let missed = [3, 4].map(|ordinal| rejected_to_all(ordinal, "peer-away"));
    assert_eq!(scene.events(joined), missed);

    // It is struck off and listed again: its owner keeps it, and what is told of the older id is about nothing.
    scene.say(joins(8)).unwrap();
    scene
        .say(CloseChannel {
            channel_id: 3,
            reason_code: "not-allowed".to_owned(),
            detail: String::new(),
        })
        .unwrap();
    assert!(scene.new_members(group).is_empty());
    assert_eq!(
        scene.events(joined),
        [ChannelEvent::Lost, ChannelEvent::Present { instance: 9 }]
    );
    assert_eq!(scene.core.send(joined, REQUEST, &[]), Ok(3));
    // What waited for the older id went with it.
    assert_eq!(scene.sent_to(), [ALL, ALL, ALL, ALL, 8]);

    // One that leaves is no member any more, and the others stay.
    scene
        .say(CloseChannel {
            channel_id: 8,
            reason_code: "not-allowed".to_owned(),
            detail: String::new(),
        })
        .unwrap();
    assert!(matches!(
        &scene.events(joined)[..],
        [ChannelEvent::Closed { code, .. }] if code == "not-allowed"
    ));
    let left = scene.core.send(joined, REQUEST, &[]);
    assert_eq!(left, Err(SendError::NotOpen));
    let members_left = scene.core.members(group);
    assert!(matches!(&members_left[..], [one] if one.channel == members[0]));
    assert_eq!(scene.core.send(group, REQUEST, &[]), Ok(5));
    // It is the hub's to name it again: nobody asks for a member's channel.
    scene.take_all();
    scene.say(Pong { nonce: 1 }).unwrap();
    scene.core.handle_timeout(scene.now_ms + 900).unwrap();
    assert!(scene.take_all().is_empty());
}

#[test]
fn a_group_is_opened_again_on_the_next_connection_and_its_members_keep_their_owners() {
    let mut scene = Scene::connected();
    let (group, members) = scene.group(&[member(2, Some(5)), member(3, Some(6))]);
    scene.core.send(group, REQUEST, b"unsent").unwrap();
    scene.core.send(members[1], REQUEST, b"unsent").unwrap();
    scene.reconnect();
    // On the new connection one has another id, one is gone and one is new.
    let again = GroupMember {
        peer: "signer/3".to_owned(),
        ..member(2, None)
    };
    let joined = scene.group_opened(group, &[again, member(4, Some(7))]);
    assert_eq!(joined.len(), 1);
    assert_eq!(scene.events(members[0]), [ChannelEvent::Lost]);
    assert_eq!(
        scene.events(members[1]),
        [ChannelEvent::Lost, ChannelEvent::Away]
    );
    assert!(scene.take_all().is_empty());
    assert_eq!(scene.core.send(group, REQUEST, &[]), Ok(1));
    scene.say(reject(2, 1, "peer-away")).unwrap();
    let missed = [rejected_to_all(1, "peer-away")];
    assert_eq!(scene.events(members[1]), missed);
    assert_eq!(scene.core.members(group).len(), 2);
}

#[test]
fn the_end_of_a_group_is_the_end_of_its_members_channels() {
    let mut scene = Scene::connected();
    let (group, members) = scene.group(&[member(2, Some(5)), member(3, Some(6))]);
    // The hub has no room for one more member.
    scene
        .say(CloseChannel {
            channel_id: ALL,
            reason_code: "too-many-channels".to_owned(),
            detail: String::new(),
        })
        .unwrap();
    for key in [group, members[0], members[1]] {
        assert!(matches!(
            &scene.events(key)[..],
            [ChannelEvent::Closed { code, .. }] if code == "too-many-channels"
        ));
    }
    // What was under way for them is about nothing.
    scene.hear(from_mint(2, b"late")).unwrap();
    scene.now_ms += REOPEN_DELAY_MS_MAX;
    scene.say(Pong { nonce: 1 }).unwrap();
    scene.core.handle_timeout(scene.now_ms).unwrap();
    let members_again = [member(2, Some(5)), member(3, Some(6))].map(|member| GroupMember {
        channel_id: member.channel_id + 10,
        ..member
    });
    assert!(scene.group_opened(group, &members_again).is_empty());
    assert_eq!(
        scene.events(members[0]),
        [ChannelEvent::Present { instance: 5 }]
    );

    // An owner that closes one member leaves it out; one that closes the group closes the rest.
    scene.core.close(members[0]);
    scene.core.send(group, REQUEST, b"x").unwrap();
    scene.core.close(group);
    let closed: Vec<u32> = scene
        .take_hub_messages()
        .iter()
        .map(|message| match message {
            HubMessage::CloseChannel(close) => close.channel_id,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(closed, [12, ALL]);
    assert!(matches!(
        &scene.events(members[1])[..],
        [.., ChannelEvent::Closed { .. }]
    ));
    scene.say(member(20, Some(1))).unwrap();
    assert!(scene.core.members(group).is_empty());
    scene.core.close(members[1]);
    scene.reconnect();
    assert!(scene.take_all().is_empty());
}

#[test]
fn groups_and_peers_are_not_taken_for_one_another() {
    let mut scene = Scene::connected();
    assert!(matches!(
        scene.core.open(EXT_MINT_QUOTE, &signers(), "", 0),
        Err(OpenError::IsAGroup { .. })
    ));
    assert!(matches!(
        scene.core.open_group(EXT_MINT_QUOTE, &mint(), "", 0),
        Err(OpenError::NotAGroup { .. })
    ));
    // A member's channel is another one than the channel to the same peer.
    scene.group(&[member(2, Some(5))]);
    let two: PeerName = "signer/2".parse().unwrap();
    scene.core.open(EXT_MINT_QUOTE, &two, "", 0).unwrap();
    assert!(matches!(
        scene.core.open(EXT_MINT_QUOTE, &two, "", 0),
        Err(OpenError::AlreadyOpen { .. })
    ));
}

#[test]
fn a_hub_that_lies_about_a_group_is_left() {
    let with_group = || {
        let mut scene = Scene::connected();
        let (group, _) = scene.group(&[member(2, Some(5))]);
        scene.core.send(group, REQUEST, &[0; 6]).unwrap();
        scene.channel_to_mint();
        scene
    };
    let lies = [
        GroupMember {
            channel_id: 2,
            ..member(8, Some(5))
        },
        GroupMember {
            group_channel_id: 9,
            ..member(8, Some(5))
        },
        GroupMember {
            group_channel_id: 2,
            ..member(8, Some(5))
        },
        GroupMember {
            group_messages: 2,
            group_bytes: 10,
            ..member(8, Some(5))
        },
        GroupMember {
            group_messages: 1,
            group_bytes: 11,
            ..member(8, Some(5))
        },
        GroupMember {
            peer: "group/signers".to_owned(),
            ..member(8, Some(5))
        },
        GroupMember {
            peer: "nobody".to_owned(),
            ..member(8, Some(5))
        },
    ];
    for lie in lies {
        let mut scene = with_group();
        let heard = scene.say(lie.clone());
        assert!(
            matches!(heard, Err(SessionError::Misbehaved(_))),
            "{lie:?}: {heard:?}"
        );
    }
    let mut scene = with_group();
    let presence = Presence {
        channel_id: ALL,
        present: true,
        instance: 4,
    };
    assert!(matches!(
        scene.say(presence),
        Err(SessionError::Misbehaved(_))
    ));
    let mut scene = with_group();
    assert!(matches!(
        scene.hear(from_mint(ALL, b"from nobody")),
        Err(SessionError::Misbehaved(_))
    ));
    // What may have crossed with the end of a channel is none.
    let mut scene = with_group();
    let unknown = GroupMember {
        group_channel_id: 77,
        ..member(8, Some(5))
    };
    scene.say(unknown).unwrap();
}

#[test]
fn a_hub_cannot_make_an_opener_hold_members_without_end() {
    let mut scene = Scene::connected();
    let (group, _) = scene.group(&[]);
    let first = 1_000;
    let count = GROUP_MEMBERS_MAX as u32;
    let join = |scene: &mut Scene, ids: std::ops::Range<u32>| {
        for id in ids {
            scene.say(member(id, Some(1)))?;
        }
        Ok::<(), SessionError>(())
    };
    let leave = |scene: &mut Scene, ids: std::ops::Range<u32>| {
        for channel_id in ids {
            let close = CloseChannel {
                channel_id,
                reason_code: "not-allowed".to_owned(),
                detail: String::new(),
            };
            scene.say(close).unwrap();
        }
    };
    // Nobody has taken these, and they are gone without a trace when others come in their places.
    for round in 0..5 {
        let ids = first + round * count..first + (round + 1) * count;
        join(&mut scene, ids.clone()).unwrap();
        if round < 4 {
            leave(&mut scene, ids);
        }
    }
    let last = first + 4 * count..first + 5 * count;
    assert!(matches!(
        scene.say(member(9_999, Some(1))),
        Err(SessionError::Misbehaved(_))
    ));
    // Their owners hold on to these: there are as many again, and then no more.
    assert_eq!(scene.new_members(group).len(), GROUP_MEMBERS_MAX);
    leave(&mut scene, last);
    join(&mut scene, 10_000..10_000 + count).unwrap();
    assert_eq!(scene.new_members(group).len(), GROUP_MEMBERS_MAX);
    leave(&mut scene, 10_000..10_000 + count);
    scene.take_all();
    join(&mut scene, 20_000..20_001).unwrap();
    assert!(scene.new_members(group).is_empty());
    assert!(matches!(
        &scene.take_hub_messages()[..],
        [HubMessage::CloseChannel(close)] if close.channel_id == 20_000
    ));
    assert_eq!(scene.core.counts().offers_refused, 1);
}
