//! Members of a group that come and go, by the list, by their own word, or by the opener's.

use super::groups::*;
use super::*;

impl Grouped {
    /// The list is read again, with these members.
    fn regroup(&mut self, members: &[&str]) -> Reloaded {
        let limits = self.net.core.limits.clone();
        let groups = group_of(members);
        self.net
            .core
            .reload(&signers_and_pool(), &groups, limits)
            .unwrap()
    }
}

#[test]
fn a_member_that_joins_counts_from_there_and_one_that_leaves_is_missed_by_nobody() {
    let mut group = Grouped::new(HubLimits::default());
    let stays = group.join(SIGNERS[0], PLENTY);
    let leaves = group.join(SIGNERS[1], PLENTY);
    group.all(1);
    let reloaded = group.regroup(&[SIGNERS[0]]);
    assert_eq!(reloaded.channels_ended, 2);
    group.all(2);
    assert_eq!(group.read(stays), [1, 2]);
    let seen = group.net.receive(leaves.conn);
    assert!(
        matches!(&seen[..], [Seen::Channel(first), Seen::Hub(HubMessage::CloseChannel(close))]
            if first.payload[4] == 1 && close.reason_code == "not-allowed"),
        "what was taken before, and the end: {seen:?}"
    );
    let mut told = closed(&group.net.receive(group.pool));
    told.sort();
    let ended = |id| (id, "not-allowed".to_owned());
    assert_eq!(told, [ended(group.ids[1]), ended(group.ids[2])]);

    group.regroup(&[SIGNERS[0], SIGNERS[1]]);
    let offer = group.net.offer(leaves.conn);
    group.net.accept(leaves.conn, offer.channel_id, PLENTY);
    // Sent before the pool has read that there is a new member: it is on the new member's channel all the same.
    group.all(3);
    let joined = members(&group.net.receive(group.pool));
    assert_eq!(joined.len(), 1);
    assert_eq!(joined[0].peer, SIGNERS[1]);
    assert_eq!((joined[0].group_messages, joined[0].group_bytes), (2, 20));
    let back = Signer {
        id: offer.channel_id,
        ..leaves
    };
    assert_eq!(group.read(back), [3]);
    group.net.core.closed(back.conn);
    group.net.receive(group.pool);
    group.all(4);
    let missed = (joined[0].channel_id, 2, "peer-away".to_owned());
    assert_eq!(group.refusals(), [missed]);
}

#[test]
fn a_member_that_leaves_is_told_of_after_what_it_missed() {
    let mut group = Grouped::new(HubLimits::default());
    group.all(1);
    group.regroup(&[SIGNERS[0], SIGNERS[2]]);
    let seen = group.net.receive(group.pool);
    let of_second: Vec<&Seen> = seen
        .iter()
        .filter(|seen| match seen {
            Seen::Hub(HubMessage::Reject(reject)) => reject.channel_id == group.ids[1],
            Seen::Hub(HubMessage::CloseChannel(close)) => close.channel_id == group.ids[1],
            _ => false,
        })
        .collect();
    assert!(
        matches!(
            of_second[..],
            [
                Seen::Hub(HubMessage::Reject(_)),
                Seen::Hub(HubMessage::CloseChannel(_))
            ]
        ),
        "{of_second:?}"
    );
}

#[test]
fn the_group_goes_on_without_a_member_that_has_closed_until_it_is_opened_anew() {
    let mut group = Grouped::new(HubLimits::default());
    let signers = SIGNERS.map(|name| group.join(name, PLENTY));
    let (reason_code, detail) = ("enough".to_owned(), String::new());
    let channel_id = signers[1].id;
    let gives_up = CloseChannel {
        channel_id,
        reason_code,
        detail,
    };
    group.net.say(signers[1].conn, gives_up);
    group.all(1);
    assert_eq!(group.read(signers[0]), [1]);
    let told = group.net.receive(group.pool);
    assert_eq!(closed(&told), [(group.ids[1], "closed-by-peer".to_owned())]);
    group.regroup(&SIGNERS);
    group.all(2);
    assert_eq!(group.read(signers[2]), [1, 2]);
    assert!(members(&group.net.receive(group.pool)).is_empty());

    let channel_id = group.group_id;
    let (reason_code, detail) = ("again".to_owned(), String::new());
    let closes = CloseChannel {
        channel_id,
        reason_code,
        detail,
    };
    group.net.say(group.pool, closes);
    let told = group.net.receive(signers[2].conn);
    assert_eq!(
        closed(&told),
        [(signers[2].id, "closed-by-peer".to_owned())]
    );
    group.net.receive(signers[0].conn);
    assert_eq!(group.net.core.load().channels, 0);
    group.net.say(group.pool, open_group(VENDOR));
    assert_eq!(members(&group.net.receive(group.pool)).len(), 3);
    let offer = group.net.offer(signers[1].conn);
    assert_eq!(offer.peer, POOL);
}

#[test]
fn an_opener_that_comes_back_meets_the_members_that_stayed() {
    let mut group = Grouped::new(HubLimits::default());
    let fine = group.join(SIGNERS[0], PLENTY);
    group.all(1);
    // Two processes of one pool: the newer one takes over.
    let newer = group.net.connect(POOL);
    assert_eq!(
        group.net.receive(fine.conn).len(),
        2,
        "endpoint changed, away"
    );
    group.net.say(newer, open_group(VENDOR));
    let told = members(&group.net.receive(newer));
    let present: Vec<bool> = told.iter().map(|member| member.peer_present).collect();
    assert_eq!(present, [true, false, false]);
    let seen = group.net.receive(fine.conn);
    assert!(
        matches!(&seen[..], [Seen::Hub(HubMessage::Presence(back))] if back.channel_id == fine.id && back.present),
        "the id of before, and no second offer: {seen:?}"
    );
    group.net.core.closed(group.pool);
    let group_id = told[0].group_channel_id;
    group.net.send(newer, [vendor(group_id, 2, 10)]);
    assert_eq!(group.read(fine), [2], "what was on the way is gone");
}

#[test]
fn an_opener_that_is_a_member_has_no_channel_to_itself() {
    let members_and_pool = [SIGNERS[0], POOL];
    let mut net = Net::listing(
        &signers_and_pool(),
        &group_of(&members_and_pool),
        HubLimits::default(),
    );
    let pool = net.connect(POOL);
    net.say(pool, open_group(VENDOR));
    let told = members(&net.receive(pool));
    let names: Vec<&str> = told.iter().map(|member| member.peer.as_str()).collect();
    assert_eq!(names, [SIGNERS[0]]);
}

#[test]
fn a_group_without_room_for_all_is_not_opened_and_one_that_outgrows_its_room_ends() {
    let limits = HubLimits {
        channels_max: 3,
        ..HubLimits::default()
    };
    let mut net = Net::listing(&signers_and_pool(), &group_of(&SIGNERS), limits.clone());
    let pool = net.connect(POOL);
    net.say(pool, open_group(VENDOR));
    let refused = net.receive(pool);
    assert!(
        matches!(&refused[..], [Seen::Hub(HubMessage::OpenChannelError(error))] if error.error_code == "too-many-channels"),
        "four channels: {refused:?}"
    );
    assert_eq!(net.core.load().channels, 0);

    let two = group_of(&SIGNERS[..2]);
    net.core
        .reload(&signers_and_pool(), &two, limits.clone())
        .unwrap();
    net.say(pool, open_group(VENDOR));
    let told = members(&net.receive(pool));
    assert_eq!(told.len(), 2);
    let signer = net.connect(SIGNERS[0]);
    let offer = net.offer(signer);
    let reloaded = net
        .core
        .reload(&signers_and_pool(), &group_of(&SIGNERS), limits)
        .unwrap();
    assert_eq!(reloaded.channels_ended, 1);
    let ended = closed(&net.receive(pool));
    let ids: Vec<u32> = ended.iter().map(|(id, _)| *id).collect();
    let [first, second] = [told[0].channel_id, told[1].channel_id];
    assert_eq!(
        ids,
        [first, second, told[0].group_channel_id],
        "the group's is the last"
    );
    assert!(
        ended
            .iter()
            .all(|(_, reason)| reason == "too-many-channels")
    );
    assert_eq!(closed(&net.receive(signer))[0].0, offer.channel_id);
    assert_eq!(net.core.load().channels, 0);
}

#[test]
fn a_group_that_is_not_on_the_list_any_more_ends_with_all_its_channels() {
    let mut group = Grouped::new(HubLimits::default());
    let fine = group.join(SIGNERS[0], PLENTY);
    let answer = vendor(fine.id, 1, 10);
    group.net.send(fine.conn, [answer]);
    let mut peers = signers_and_pool();
    peers[0].may_open.retain(|(_, peer)| peer.role() != "group");
    let limits = group.net.core.limits.clone();
    group.net.core.reload(&peers, &[], limits).unwrap();
    let told = group.net.receive(group.pool);
    assert!(
        told.iter().any(|seen| matches!(seen, Seen::Channel(_))),
        "what was taken before"
    );
    let mut ended: Vec<u32> = closed(&told).into_iter().map(|(id, _)| id).collect();
    assert_eq!(ended.pop(), Some(group.group_id));
    ended.sort_unstable();
    assert_eq!(ended, group.ids);
    let told = closed(&group.net.receive(fine.conn));
    assert_eq!(told, [(fine.id, "not-allowed".to_owned())]);
    group.all(1);
    let refused = group.net.receive(group.pool);
    assert!(
        matches!(&refused[..], [Seen::Hub(HubMessage::Reject(reject))] if reject.error_code == "unknown-channel")
    );
}

#[test]
fn a_member_has_no_more_channels_with_one_opener_for_being_in_a_group() {
    let limits = HubLimits {
        channels_per_pair_max: 1,
        ..HubLimits::default()
    };
    let mut group = Grouped::new(limits);
    let fine = group.join(SIGNERS[0], PLENTY);
    let refused = |net: &mut Net, pool, request: OpenChannel| {
        net.say(pool, request);
        let seen = net.receive(pool);
        matches!(&seen[..], [Seen::Hub(HubMessage::OpenChannelError(error))] if error.error_code == "too-many-channels")
    };
    let by_name = OpenChannel {
        peer: SIGNERS[0].to_owned(),
        ..open_channel(VENDOR, "")
    };
    let second = OpenChannel {
        label: "second".to_owned(),
        ..open_group(VENDOR)
    };
    assert!(refused(&mut group.net, group.pool, by_name.clone()));
    assert!(refused(&mut group.net, group.pool, second.clone()));

    // What the opener has left gives way: once for a channel by name, and with it all of the group is out of room.
    group.net.core.closed(group.pool);
    let pool = group.net.connect(POOL);
    group.net.say(pool, by_name);
    let told = group.net.receive(fine.conn);
    assert_eq!(closed(&told), [(fine.id, "closed-by-peer".to_owned())]);
    group.net.receive(pool);
    assert!(refused(&mut group.net, pool, second));
    assert_eq!(group.net.core.load().channels, 1, "none of the group's");
}

#[test]
fn a_member_that_takes_nothing_is_left_out_when_the_group_is_opened_again_and_again() {
    let mut group = Grouped::new(HubLimits {
        channels_per_pair_max: 2,
        ..HubLimits::default()
    });
    let fine = group.join(SIGNERS[0], PLENTY);
    let mut stuck = group.join(SIGNERS[1], Totals::default());
    let (mut fine_id, mut group_id) = (fine.id, group.group_id);
    // Every time the group is closed with a message that the second one gives no credit for.
    let mut named = 3;
    for round in 1..=4 {
        group.send(group_id, round);
        let last = Signer {
            id: fine_id,
            ..fine
        };
        assert_eq!(group.read(last), [round]);
        let close = CloseChannel {
            channel_id: group_id,
            reason_code: "done".to_owned(),
            detail: String::new(),
        };
        group.net.say(group.pool, close);
        group.net.receive(fine.conn);
        group.net.receive(group.pool);
        group.net.say(group.pool, open_group(VENDOR));
        let told = members(&group.net.receive(group.pool));
        named = told.len();
        assert!(named >= 2, "the first and the third: {told:?}");
        group_id = told[0].group_channel_id;
        fine_id = group.net.offer(fine.conn).channel_id;
        group.net.accept(fine.conn, fine_id, PLENTY);
        for seen in group.net.receive(stuck.conn) {
            if let Seen::Hub(HubMessage::ChannelOffer(offer)) = seen {
                stuck.id = offer.channel_id;
                let nothing = Totals::default();
                group.net.accept(stuck.conn, offer.channel_id, nothing);
            }
        }
    }
    assert_eq!(named, 2, "its ends of closed channels are bounded");
    for listed in [&[SIGNERS[0], SIGNERS[2]][..], &SIGNERS] {
        let reloaded = group.regroup(listed);
        assert_eq!(reloaded.channels_ended, 0, "nor by joining again");
    }
    group.send(group_id, 5);
    let last = Signer {
        id: fine_id,
        ..fine
    };
    assert_eq!(group.read(last), [5]);
}

#[test]
fn what_is_sent_to_a_group_that_has_ended_counts_on_its_members_channels() {
    let mut group = Grouped::new(HubLimits::default());
    let mut peers = signers_and_pool();
    peers[0].may_open.retain(|(_, peer)| peer.role() != "group");
    let limits = group.net.core.limits.clone();
    group.net.core.reload(&peers, &[], limits).unwrap();
    // The pool has not read yet that there is nobody to send to.
    let first = group.ids[0];
    group.all(1);
    group.send(first, 2);
    let seen = group.net.receive(group.pool);
    let refused: Vec<(u32, u64)> = seen
        .iter()
        .filter_map(|seen| match seen {
            Seen::Hub(HubMessage::Reject(reject)) => Some((reject.channel_id, reject.ordinal)),
            _ => None,
        })
        .collect();
    assert!(refused.contains(&(group.group_id, 1)), "{refused:?}");
    assert!(refused.contains(&(first, 2)), "{refused:?}");
}

#[test]
fn an_opener_that_sends_before_it_reads_of_a_member_hears_that_the_member_is_another_since() {
    let mut group = Grouped::new(HubLimits::default());
    let fine = group.join(SIGNERS[0], PLENTY);
    let opener = group.net.connect(POOL);
    group.net.say(opener, open_group(VENDOR));
    let opened = group.net.receive_frames(opener, 1);
    let [Seen::Hub(HubMessage::OpenChannelSuccess(opened))] = &opened[..] else {
        panic!("{opened:?}");
    };
    group.net.send(opener, [vendor(opened.channel_id, 1, 10)]);
    // It goes without having read that, and is back before the opener reads anything.
    group.net.core.closed(fine.conn);
    let back = group.net.connect(SIGNERS[0]);
    let offer = group.net.offer(back);
    group.net.accept(back, offer.channel_id, PLENTY);
    let told = group.net.receive(opener);
    let member = &members(&told)[0];
    assert_eq!(member.peer, SIGNERS[0]);
    let now = told.iter().find_map(|seen| match seen {
        Seen::Hub(HubMessage::Presence(now)) if now.channel_id == member.channel_id => Some(now),
        _ => None,
    });
    let now = now.expect("the message that it has no reject for is lost");
    assert!(member.peer_present && now.present);
    assert!(member.peer_instance < now.instance);
}
