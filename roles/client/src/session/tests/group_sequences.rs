//! An opener's count of what it sent to a group against that of a hub, which counts what it gets, through any sequence
//! of sends, joins, leaves, refusals and reconnects.

use std::collections::{BTreeMap, VecDeque};

use proptest::prelude::*;
use winze_messages::families::hub::{
    CloseChannel, Credit as CreditMsg, GroupMember, OpenChannelSuccess, Reject,
};

use super::*;

const ALL: u32 = 1;
const WINDOW: Credit = Credit {
    messages: 5,
    bytes: 600,
};

/// What the hub counts on one channel id.
#[derive(Default)]
struct Counted {
    peer: String,
    counted: Credit,
    granted: Credit,
    /// What each ordinal was, by the number that every message carries, as far as it was not rejected yet.
    messages: BTreeMap<u64, u8>,
}

impl Counted {
    fn granting(peer: String) -> Counted {
        Counted {
            peer,
            granted: WINDOW,
            ..Counted::default()
        }
    }

    fn count(&mut self, number: u8, bytes: u64) {
        self.counted.messages += 1;
        self.counted.bytes += bytes;
        self.messages.insert(self.counted.messages, number);
    }

    fn is_within_credit(&self) -> bool {
        self.counted.messages <= self.granted.messages && self.counted.bytes <= self.granted.bytes
    }
}

/// An opener and its hub, whose words to one another take their time.
struct Pair {
    scene: Scene,
    group: ChannelKey,
    /// The owners' ends of the members' channels.
    keys: BTreeMap<String, ChannelKey>,
    hub: BTreeMap<u32, Counted>,
    next_id: u32,
    to_hub: VecDeque<Frame>,
    to_client: VecDeque<HubMessage>,
    next_number: u8,
    /// What the opener remembers: the message behind each ordinal, to all and to each member.
    to_all: BTreeMap<u64, u8>,
    to_one: BTreeMap<(ChannelKey, u64), u8>,
    /// What the opener is to hear, by channel id: whom which messages did not reach.
    missed: BTreeMap<u32, (String, VecDeque<u8>)>,
}

#[derive(Clone, Debug)]
enum Op {
    SendToAll(u8),
    SendToOne(u8, u8),
    /// So many of the opener's frames arrive.
    HubReads(u8),
    /// So many of the hub's messages arrive.
    ClientReads(u8),
    Join(u8),
    Leave(u8),
    Grant(u8),
    Reject(u8, u8),
    Reconnect,
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        6 => (0..40u8).prop_map(Op::SendToAll),
        4 => (0..6u8, 0..40u8).prop_map(|(member, bytes)| Op::SendToOne(member, bytes)),
        4 => (1..5u8).prop_map(Op::HubReads),
        6 => (1..8u8).prop_map(Op::ClientReads),
        3 => (0..6u8).prop_map(Op::Join),
        1 => (0..6u8).prop_map(Op::Leave),
        3 => (0..8u8).prop_map(Op::Grant),
        4 => (0..8u8, any::<u8>()).prop_map(|(channel, ordinal)| Op::Reject(channel, ordinal)),
        1 => Just(Op::Reconnect),
    ]
}

impl Pair {
    fn new() -> Pair {
        let mut scene = Scene::connected();
        let name = "group/signers".parse().unwrap();
        let group = scene.core.open_group(EXT_MINT_QUOTE, &name, "", 0).unwrap();
        let mut pair = Pair {
            scene,
            group,
            keys: BTreeMap::new(),
            hub: BTreeMap::new(),
            next_id: ALL + 1,
            to_hub: VecDeque::new(),
            to_client: VecDeque::new(),
            next_number: 0,
            to_all: BTreeMap::new(),
            to_one: BTreeMap::new(),
            missed: BTreeMap::new(),
        };
        pair.open();
        pair
    }

    /// The hub answers the `OpenChannel` that waits.
    fn open(&mut self) {
        let HubMessage::OpenChannel(open) = self.scene.take_hub_messages().remove(0) else {
            panic!("an OpenChannel is awaited");
        };
        self.hub.insert(ALL, Counted::granting(String::new()));
        self.to_client.push_back(
            OpenChannelSuccess {
                request_id: open.request_id,
                channel_id: ALL,
                peer_present: false,
                peer_instance: 0,
                credit_messages: WINDOW.messages,
                credit_bytes: WINDOW.bytes,
            }
            .into(),
        );
    }

    fn step(&mut self, op: Op) {
        match op {
            Op::SendToAll(bytes) => self.send(self.group, bytes),
            Op::SendToOne(member, bytes) => {
                if let Some(key) = self.keys.get(&peer(member)) {
                    self.send(*key, bytes);
                }
            }
            Op::HubReads(frames) => {
                self.to_hub
                    .extend(std::iter::from_fn(|| self.scene.core.poll_transmit()));
                for frame in self.to_hub.drain(..self.to_hub.len().min(frames.into())) {
                    count(&mut self.hub, &frame);
                }
            }
            Op::ClientReads(messages) => self.client_reads(messages.into()),
            Op::Join(member) => self.join(peer(member)),
            Op::Leave(member) => self.leave(&peer(member)),
            Op::Grant(channel) => self.grant(channel),
            Op::Reject(channel, ordinal) => self.reject(channel, ordinal),
            Op::Reconnect => self.reconnect(),
        }
    }

    fn send(&mut self, key: ChannelKey, bytes: u8) {
        let number = self.next_number;
        let credit = self.scene.core.send_credit(key);
        let Ok(ordinal) = self
            .scene
            .core
            .send(key, REQUEST, &vec![number; usize::from(bytes) + 1])
        else {
            return;
        };
        assert!(credit.messages > 0);
        self.next_number = self.next_number.wrapping_add(1);
        match key == self.group {
            true => self.to_all.insert(ordinal, number),
            false => self.to_one.insert((key, ordinal), number),
        };
    }

    fn client_reads(&mut self, messages: usize) {
        for message in self.to_client.drain(..self.to_client.len().min(messages)) {
            self.scene.say(message).unwrap();
        }
        while let Some(event) = self.scene.core.take_event(self.group) {
            assert!(!matches!(event, ChannelEvent::Closed { .. }));
        }
        while let Some(key) = self.scene.core.take_member(self.group) {
            let peer = self.scene.core.channel(key).unwrap().0.peer.clone();
            assert_eq!(self.keys.insert(peer, key), None);
        }
        for (peer, key) in &self.keys {
            while let Some(event) = self.scene.core.take_event(*key) {
                let number = match event {
                    ChannelEvent::Reject { ordinal, .. } => self.to_one[&(*key, ordinal)],
                    ChannelEvent::GroupReject { ordinal, .. } => self.to_all[&ordinal],
                    _ => continue,
                };
                let told = self.missed.values_mut().find_map(|(missed_by, missed)| {
                    let at = missed.iter().position(|missed| *missed == number)?;
                    (missed_by == peer).then(|| missed.drain(..=at).len())
                });
                assert_eq!(
                    told,
                    Some(1),
                    "{peer} got {number}, or missed another before"
                );
            }
        }
    }

    fn join(&mut self, peer: String) {
        if self.hub.values().any(|counted| counted.peer == peer) {
            return;
        }
        let group = self.hub[&ALL].counted;
        let channel_id = self.next_id;
        self.next_id += 1;
        self.to_client.push_back(
            GroupMember {
                group_channel_id: ALL,
                channel_id,
                peer: peer.clone(),
                group_messages: group.messages,
                group_bytes: group.bytes,
                peer_present: true,
                peer_instance: 1,
                credit_messages: WINDOW.messages,
                credit_bytes: WINDOW.bytes,
            }
            .into(),
        );
        self.hub.insert(channel_id, Counted::granting(peer));
    }

    fn leave(&mut self, peer: &str) {
        let Some((&channel_id, _)) = self.hub.iter().find(|(_, counted)| counted.peer == peer)
        else {
            return;
        };
        self.hub.remove(&channel_id);
        let close = CloseChannel {
            channel_id,
            reason_code: "not-allowed".to_owned(),
            detail: String::new(),
        };
        self.to_client.push_back(close.into());
    }

    fn grant(&mut self, channel: u8) {
        let Some((&channel_id, counted)) = self.hub.iter_mut().nth(channel.into()) else {
            return;
        };
        counted.granted = Credit {
            messages: counted.counted.messages + WINDOW.messages,
            bytes: counted.counted.bytes + WINDOW.bytes,
        };
        let credit = CreditMsg {
            channel_id,
            messages: counted.granted.messages,
            bytes: counted.granted.bytes,
        };
        self.to_client.push_back(credit.into());
    }

    /// The hub does not deliver one of what it has counted on a member's channel.
    fn reject(&mut self, channel: u8, ordinal: u8) {
        let mut members = self.hub.iter_mut().filter(|(id, _)| **id != ALL);
        let Some((&channel_id, counted)) = members.nth(channel.into()) else {
            return;
        };
        let Some(ordinal) = counted
            .messages
            .keys()
            .nth(usize::from(ordinal) % counted.messages.len().max(1))
            .copied()
        else {
            return;
        };
        let number = counted.messages.remove(&ordinal).unwrap();
        let missed = self.missed.entry(channel_id).or_default();
        missed.0.clone_from(&counted.peer);
        missed.1.push_back(number);
        let reject = Reject {
            channel_id,
            ordinal,
            error_code: "peer-away".to_owned(),
            detail: String::new(),
        };
        self.to_client.push_back(reject.into());
    }

    fn reconnect(&mut self) {
        self.hub.clear();
        self.to_hub.clear();
        self.to_client.clear();
        self.missed.clear();
        self.to_all.clear();
        self.to_one.clear();
        self.next_id = ALL + 1;
        self.scene.reconnect();
        self.open();
    }

    /// Once both have read everything, they agree on what every channel still takes.
    fn settle(&mut self) {
        self.step(Op::HubReads(u8::MAX));
        self.client_reads(usize::MAX);
        let members = self.scene.core.members(self.group);
        let of_hub: Vec<&Counted> = self.hub.values().skip(1).collect();
        assert_eq!(members.len(), of_hub.len());
        for counted in of_hub {
            let member = members.iter().find(|member| member.peer == counted.peer);
            let left = Credit {
                messages: counted
                    .granted
                    .messages
                    .saturating_sub(counted.counted.messages),
                bytes: counted.granted.bytes.saturating_sub(counted.counted.bytes),
            };
            assert_eq!(member.unwrap().send_credit, left, "{}", counted.peer);
        }
        // What a member missed that has left may have gone with its channel.
        for channel_id in self.hub.keys() {
            let missed = self.missed.get(channel_id);
            assert!(missed.is_none_or(|(_, missed)| missed.is_empty()));
        }
    }
}

fn peer(number: u8) -> String {
    format!("signer/{number}")
}

/// What the hub does with a frame, whose ids are what it is counted by.
fn count(hub: &mut BTreeMap<u32, Counted>, frame: &Frame) {
    let Some(channel_id) = frame.channel_id() else {
        return;
    };
    let (number, bytes) = (frame.payload[4], frame.payload.len() as u64);
    if channel_id == ALL {
        for counted in hub.values_mut() {
            counted.count(number, bytes);
        }
        assert!(hub[&ALL].is_within_credit());
    } else if let Some(counted) = hub.get_mut(&channel_id) {
        // What went to all may be beyond a member's credit, and what goes to it alone may not be.
        counted.count(number, bytes);
        assert!(counted.is_within_credit(), "credit-exceeded");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn opener_and_hub_agree_on_what_was_sent_to_whom(ops in prop::collection::vec(op(), 0..120)) {
        let mut pair = Pair::new();
        for op in ops {
            pair.step(op);
        }
        pair.settle();
    }
}
