//! One to many: what the opener of a group sends, to all and to each, and what it hears of each.

use super::*;

/// The members of [`GROUP`], in the order of the list.
pub(super) const SIGNERS: [&str; 3] = ["signer/1", "signer/2", "signer/3"];
pub(super) const GROUP: &str = "group/signers";

/// A pool that may open the group's channel, and the signers.
pub(super) fn signers_and_pool() -> Vec<ListedPeer> {
    let mut pool = listed(POOL, &[]);
    pool.may_open = vec![
        (VENDOR, GROUP.parse().unwrap()),
        (QUOTES, GROUP.parse().unwrap()),
        (VENDOR, SIGNERS[0].parse().unwrap()),
    ];
    let signers = SIGNERS.into_iter().map(|name| listed(name, &[]));
    std::iter::once(pool).chain(signers).collect()
}

pub(super) fn group_of(members: &[&str]) -> Vec<ListedGroup> {
    let members = members.iter().map(|name| name.parse().unwrap()).collect();
    vec![ListedGroup::new("signers", members).unwrap()]
}

/// The window of a group's channel, and of each member's, where a story is about its end.
pub(super) const WINDOW: Totals = Totals {
    messages: 4,
    bytes: 16_384,
};

pub(super) fn tight() -> HubLimits {
    HubLimits {
        payload_bytes_max: 4_096,
        window_messages: WINDOW.messages,
        window_bytes: WINDOW.bytes,
        ..HubLimits::default()
    }
}

/// A pool with an open group, and what it knows of the members.
pub(super) struct Grouped {
    pub(super) net: Net,
    pub(super) pool: ConnId,
    pub(super) group_id: u32,
    /// The pool's ids, in the order of [`SIGNERS`].
    pub(super) ids: [u32; 3],
}

/// A signer's connection and its id of the pool's channel.
#[derive(Clone, Copy)]
pub(super) struct Signer {
    pub(super) conn: ConnId,
    pub(super) id: u32,
}

pub(super) fn open_group(extension: u16) -> OpenChannel {
    OpenChannel {
        peer: GROUP.to_owned(),
        ..open_channel(extension, "")
    }
}

impl Grouped {
    /// Nobody but the pool is there.
    pub(super) fn new(limits: HubLimits) -> Grouped {
        Grouped::of(VENDOR, limits)
    }

    pub(super) fn of(extension: u16, limits: HubLimits) -> Grouped {
        let mut net = Net::listing(&signers_and_pool(), &group_of(&SIGNERS), limits);
        let pool = net.connect(POOL);
        net.say(pool, open_group(extension));
        let seen = net.receive(pool);
        let Some(Seen::Hub(HubMessage::OpenChannelSuccess(opened))) = seen.first() else {
            panic!("{seen:?}");
        };
        assert!(!opened.peer_present);
        let mut told = members(&seen);
        assert_eq!(told.len(), 3, "{seen:?}");
        let mut id = |name: &str| {
            let member = told.remove(0);
            assert_eq!(member.peer, name);
            assert_eq!(member.group_channel_id, opened.channel_id);
            assert_eq!((member.group_messages, member.group_bytes), (0, 0));
            member.channel_id
        };
        let ids = SIGNERS.map(&mut id);
        Grouped {
            net,
            pool,
            group_id: opened.channel_id,
            ids,
        }
    }

    /// A signer comes and accepts, and the pool hears of it.
    pub(super) fn join(&mut self, name: &str, credit: Totals) -> Signer {
        let conn = self.net.connect(name);
        let offer = self.net.offer(conn);
        assert_eq!((offer.peer.as_str(), offer.label.as_str()), (POOL, ""));
        self.net.accept(conn, offer.channel_id, credit);
        let told = self.net.receive(self.pool);
        let is_presence = |seen: &Seen| matches!(seen, Seen::Hub(HubMessage::Presence(_)));
        assert!(told.iter().any(is_presence), "{told:?}");
        Signer {
            conn,
            id: offer.channel_id,
        }
    }

    pub(super) fn send(&mut self, channel_id: u32, number: u8) {
        self.net.send(self.pool, [vendor(channel_id, number, 10)]);
    }

    pub(super) fn all(&mut self, number: u8) {
        self.send(self.group_id, number);
    }

    /// The numbers that a signer gets, all of them on its channel with the pool.
    pub(super) fn read(&mut self, signer: Signer) -> Vec<u8> {
        let seen = self.net.receive(signer.conn);
        for seen in &seen {
            if let Seen::Channel(frame) = seen {
                assert_eq!(frame.channel_id(), Some(signer.id));
            }
        }
        numbers(seen)
    }

    /// The refusals that the pool gets: channel id, ordinal, reason. Credit may come with them.
    pub(super) fn refusals(&mut self) -> Vec<(u32, u64, String)> {
        let refusal = |seen| match seen {
            Seen::Hub(HubMessage::Reject(reject)) => {
                Some((reject.channel_id, reject.ordinal, reject.error_code))
            }
            Seen::Hub(HubMessage::Credit(_)) => None,
            other => panic!("{other:?}"),
        };
        let seen = self.net.receive(self.pool);
        seen.into_iter().filter_map(refusal).collect()
    }
}

pub(super) fn members(seen: &[Seen]) -> Vec<GroupMember> {
    let member = |seen: &Seen| match seen {
        Seen::Hub(HubMessage::GroupMember(member)) => Some(member.clone()),
        _ => None,
    };
    seen.iter().filter_map(member).collect()
}

/// Those that the pool was told have ended, each with the reason.
pub(super) fn closed(seen: &[Seen]) -> Vec<(u32, String)> {
    let closed = |seen: &Seen| match seen {
        Seen::Hub(HubMessage::CloseChannel(close)) => {
            Some((close.channel_id, close.reason_code.clone()))
        }
        _ => None,
    };
    seen.iter().filter_map(closed).collect()
}

#[test]
fn what_is_sent_to_a_group_reaches_all_and_what_is_sent_to_one_reaches_that_one() {
    let mut group = Grouped::new(HubLimits::default());
    let signers = SIGNERS.map(|name| group.join(name, PLENTY));
    group.all(1);
    group.send(group.ids[1], 2);
    group.all(3);
    assert_eq!(group.read(signers[0]), [1, 3]);
    assert_eq!(group.read(signers[1]), [1, 2, 3]);
    assert_eq!(group.read(signers[2]), [1, 3]);

    for (place, signer) in signers.into_iter().enumerate() {
        let answer = vendor(signer.id, 10 + place as u8, 10);
        group.net.send(signer.conn, [answer]);
    }
    let answers: Vec<_> = group
        .net
        .receive(group.pool)
        .into_iter()
        .filter_map(|seen| match seen {
            Seen::Channel(frame) => Some((frame.channel_id().unwrap(), frame.payload[4])),
            _ => None,
        })
        .collect();
    let [first, second, third] = group.ids;
    assert_eq!(answers, [(first, 10), (second, 11), (third, 12)]);
}

#[test]
fn the_opener_hears_which_member_missed_what_and_the_others_notice_nothing() {
    let mut group = Grouped::new(tight());
    let fine = group.join(SIGNERS[0], PLENTY);
    // Takes two messages; what else is for it waits in the hub, up to the window.
    let two = Totals {
        messages: 2,
        bytes: PLENTY.bytes,
    };
    let slow = group.join(SIGNERS[1], two);
    let [_, slow_id, away_id] = group.ids;

    for number in 1..=8 {
        group.all(number);
        assert_eq!(group.read(fine), [number], "never held up");
        let got = group.read(slow);
        assert_eq!(got.len(), usize::from(number <= 2));
        // Two were taken, and a window of four waits.
        let mut missed = vec![(away_id, u64::from(number), "peer-away".to_owned())];
        if number > 6 {
            missed.insert(0, (slow_id, u64::from(number), "no-credit".to_owned()));
        }
        assert_eq!(group.refusals(), missed, "message {number}");
    }

    group.net.say(
        slow.conn,
        Credit {
            channel_id: slow.id,
            messages: PLENTY.messages,
            bytes: PLENTY.bytes,
        },
    );
    assert_eq!(group.read(slow), [3, 4, 5, 6]);
    let credit = group.net.receive(group.pool);
    assert!(
        credit.iter().any(|seen| matches!(seen,
            Seen::Hub(HubMessage::Credit(credit)) if credit.channel_id == slow_id && credit.messages == 12)),
        "the window again, on top of all that was counted: {credit:?}"
    );
    group.send(slow_id, 9);
    group.all(10);
    assert_eq!(group.read(slow), [9, 10]);
    assert_eq!(group.read(fine), [10]);
    // The message to one counted on its channel alone.
    let third = (away_id, 9, "peer-away".to_owned());
    assert_eq!(group.refusals(), [third]);
}

#[test]
fn what_is_wrong_with_a_message_is_said_once_and_it_counts_for_every_member() {
    let mut group = Grouped::new(HubLimits::default());
    let fine = group.join(SIGNERS[0], PLENTY);
    let foreign = winze_messages::channel_frame(QUOTES, 0x80, group.group_id, &[0; 6]);
    group.net.send(group.pool, [foreign]);
    let once = (group.group_id, 1, "wrong-extension".to_owned());
    assert_eq!(group.refusals(), [once]);
    group.all(2);
    assert_eq!(group.read(fine), [2]);
    let [_, second, third] = group.ids;
    let away = |id| (id, 2, "peer-away".to_owned());
    assert_eq!(group.refusals(), [away(second), away(third)]);
}

#[test]
fn a_hub_that_goes_refuses_what_is_for_a_group_once() {
    let mut group = Grouped::new(HubLimits::default());
    let fine = group.join(SIGNERS[0], PLENTY);
    group.net.core.wind_down(100, 0);
    group.net.receive(group.pool);
    group.all(1);
    let once = (group.group_id, 1, "peer-away".to_owned());
    assert_eq!(group.refusals(), [once]);
    let asked = group.net.receive(fine.conn);
    assert!(matches!(asked[..], [Seen::Common(_)]), "{asked:?}");
}

#[test]
fn an_opener_that_does_not_read_who_missed_what_is_held_by_the_groups_window() {
    let mut group = Grouped::new(tight());
    let fine = group.join(SIGNERS[0], PLENTY);
    for number in 1..=4 {
        group.all(number);
    }
    let connection = &group.net.core.connections[&group.pool];
    let end = connection.end_at(group.group_id).unwrap();
    assert_eq!(end.inbound.held().messages, 4, "all of the window");
    assert_eq!(end.fan.as_ref().unwrap().undelivered(), 4);
    assert_eq!(group.read(fine), [1, 2, 3, 4]);

    assert_eq!(group.refusals().len(), 8, "of two members");
    for number in 5..=8 {
        group.all(number);
    }
    assert!(group.net.core.is_open(group.pool));
    group.all(9);
    let last_words = group.net.receive(group.pool);
    assert_eq!(close_of(&last_words).0, "credit-exceeded");
}

#[test]
fn a_groups_id_is_no_offer_and_takes_no_credit() {
    let mut group = Grouped::new(HubLimits::default());
    let fine = group.join(SIGNERS[0], PLENTY);
    let raised = Credit {
        channel_id: group.group_id,
        messages: u64::MAX,
        bytes: u64::MAX,
    };
    group.net.say(group.pool, raised);
    group.all(1);
    assert_eq!(group.read(fine), [1]);
    group.net.accept(group.pool, group.group_id, PLENTY);
    let last_words = group.net.receive(group.pool);
    assert_eq!(close_of(&last_words).0, "malformed");
    let told = group.net.receive(fine.conn);
    assert!(
        matches!(&told[..], [Seen::Common(_), Seen::Hub(HubMessage::Presence(notice))] if !notice.present),
        "{told:?}"
    );
}

#[test]
fn a_groups_channel_does_not_take_the_place_of_one_by_name() {
    let mut group = Grouped::new(HubLimits::default());
    let fine = group.join(SIGNERS[0], PLENTY);
    let by_name = OpenChannel {
        peer: SIGNERS[0].to_owned(),
        ..open_channel(VENDOR, "")
    };
    group.net.say(group.pool, by_name);
    let offer = group.net.offer(fine.conn);
    group.net.accept(fine.conn, offer.channel_id, PLENTY);
    group.net.receive(group.pool);
    group.all(1);
    assert_eq!(group.read(fine), [1], "once, and on the group's");
    group.net.say(group.pool, open_group(VENDOR));
    let refused = group.net.receive(group.pool);
    assert!(
        matches!(refused.first(), Some(Seen::Hub(HubMessage::OpenChannelError(error))) if error.error_code == "already-open"),
        "{refused:?}"
    );
}
