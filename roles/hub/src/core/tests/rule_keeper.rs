//! A client that keeps the rules, and what it knows of its channels: what it sent and got, and whether it may send more.

use std::collections::{BTreeMap, BTreeSet};

use super::*;

/// Who takes part: two pools and the mint that they open channels to.
pub(super) const WHO: [&str; 3] = [POOL, OTHER_POOL, MINT];

/// What a client knows of one of its channels.
#[derive(Debug, Default)]
pub(super) struct Channel {
    /// The opener's place in [`WHO`], and the label.
    pub(super) name: (usize, u8),
    pub(super) accepted: bool,
    pub(super) granted: Totals,
    pub(super) sent: Totals,
    pub(super) given: Totals,
    pub(super) received: Totals,
    /// The instance of the far end that it was told of last.
    pub(super) far_instance: u64,
    /// Messages that it sent, by ordinal, with the instance that it meant them for.
    pub(super) unrefused: BTreeMap<u64, u64>,
    /// The last ordinal of each sender (by connection and its channel id) that has arrived.
    pub(super) arrived: BTreeMap<(u64, u32), u64>,
    pub(super) all_arrived: BTreeSet<(u64, u32, u64)>,
}

#[derive(Debug)]
pub(super) struct Client {
    pub(super) conn: ConnId,
    pub(super) instance: u64,
    /// Whether anybody could open channels when it came, so that it could ask for them.
    pub(super) negotiated: bool,
    pub(super) channels: BTreeMap<u32, Channel>,
    pub(super) unanswered: Vec<u32>,
    pub(super) requests: BTreeMap<u32, u8>,
}

pub(super) fn credit(messages: u64) -> Totals {
    Totals {
        messages,
        bytes: messages * 1_500,
    }
}

/// The body says who sent it, on which of its channels, as which message, and on the channel of which name.
pub(super) fn message(
    from: ConnId,
    channel_id: u32,
    ordinal: u64,
    name: (usize, u8),
    filler: u16,
) -> Frame {
    let mut body = Vec::new();
    body.extend(from.0.to_le_bytes());
    body.extend(channel_id.to_le_bytes());
    body.extend(ordinal.to_le_bytes());
    body.extend([name.0 as u8, name.1]);
    body.resize(body.len() + usize::from(filler), 0);
    channel_frame(VENDOR, 0x11, channel_id, &body)
}

fn number<const N: usize>(body: &[u8], at: usize) -> [u8; N] {
    body[at..at + N].try_into().unwrap()
}

impl Client {
    pub(super) fn take(&mut self, who: usize, seen: Seen) {
        let message = match seen {
            Seen::Channel(frame) => return self.take_message(&frame),
            Seen::Hub(message) => message,
            Seen::Common(_) | Seen::Negotiation(_) => return,
        };
        match message {
            HubMessage::OpenChannelSuccess(message) => {
                let label = self.requests.remove(&message.request_id).unwrap();
                let channel = Channel {
                    name: (who, label),
                    accepted: true,
                    granted: Totals {
                        messages: message.credit_messages,
                        bytes: message.credit_bytes,
                    },
                    given: credit(5),
                    far_instance: message.peer_instance,
                    ..Channel::default()
                };
                assert_eq!(message.peer_present, message.peer_instance != 0);
                assert!(self.channels.insert(message.channel_id, channel).is_none());
            }
            HubMessage::ChannelOffer(message) => {
                let opener = WHO.iter().position(|name| *name == message.peer).unwrap();
                let channel = Channel {
                    name: (opener, message.label.parse().unwrap()),
                    granted: Totals {
                        messages: message.credit_messages,
                        bytes: message.credit_bytes,
                    },
                    far_instance: message.peer_instance,
                    ..Channel::default()
                };
                assert!(self.channels.insert(message.channel_id, channel).is_none());
                self.unanswered.push(message.channel_id);
            }
            HubMessage::Credit(message) => {
                // A channel that this client has just closed is not there any more.
                if let Some(channel) = self.channels.get_mut(&message.channel_id) {
                    let totals = Totals {
                        messages: message.messages,
                        bytes: message.bytes,
                    };
                    assert!(totals.covers(channel.granted), "totals never fall");
                    channel.granted = totals;
                }
            }
            HubMessage::Presence(message) => {
                if let Some(channel) = self.channels.get_mut(&message.channel_id) {
                    assert_eq!(message.present, message.instance != 0);
                    assert_ne!(channel.far_instance, message.instance, "told twice");
                    channel.far_instance = message.instance;
                }
            }
            HubMessage::Reject(message) => {
                if let Some(channel) = self.channels.get_mut(&message.channel_id) {
                    let known = channel.unrefused.remove(&message.ordinal);
                    assert!(known.is_some(), "refused what was not sent: {message:?}");
                }
            }
            HubMessage::CloseChannel(message) => {
                self.channels.remove(&message.channel_id);
                self.unanswered.retain(|id| *id != message.channel_id);
            }
            HubMessage::OpenChannelError(message) => {
                self.requests.remove(&message.request_id).unwrap();
                let codes = ["already-open", "too-many-channels", "not-allowed"];
                let code = message.error_code.as_str();
                let not_asked_for = code == "extension-not-negotiated" && !self.negotiated;
                assert!(codes.contains(&code) || not_asked_for, "{message:?}");
            }
            HubMessage::AuthenticateSuccess(_) | HubMessage::Ping(_) => {}
            other => panic!("{other:?}"),
        }
    }

    fn take_message(&mut self, frame: &Frame) {
        let channel_id = frame.channel_id().unwrap();
        let Some(channel) = self.channels.get_mut(&channel_id) else {
            panic!("a message for a channel that this client gave up or never had");
        };
        let body = &frame.payload[4..];
        let sender = (
            u64::from_le_bytes(number(body, 0)),
            u32::from_le_bytes(number(body, 8)),
        );
        let ordinal = u64::from_le_bytes(number(body, 12));
        assert_eq!(
            channel.name,
            (usize::from(body[20]), body[21]),
            "a message of another channel"
        );
        let last = channel.arrived.insert(sender, ordinal);
        assert!(last.is_none_or(|last| last < ordinal), "out of order");
        channel.all_arrived.insert((sender.0, sender.1, ordinal));
        channel.received = channel.received.plus(Totals::one(frame.payload.len()));
        assert!(
            channel.given.covers(channel.received),
            "more than this client takes"
        );
    }
}
