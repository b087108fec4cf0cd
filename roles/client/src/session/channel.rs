use std::collections::VecDeque;

use winze_messages::families::hub::OpenChannel;
use winze_transport::Frame;

use super::ChannelKey;
use super::credit::{Credit, ReceiveWindow, SendWindow};
use super::inbox::{ChannelEvent, Inbox};
use super::ordinals::{Ordinals, Sent};
use crate::limits::{REOPEN_DELAY_MS_MAX, REOPEN_DELAY_MS_MIN};

/// What names a channel from one of its ends (specification, section 3).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChannelName {
    /// The family, without the channel bit.
    pub extension: u16,
    /// The other end, as `role/name`. Of an offered channel this is the hub's word: a hint.
    pub peer: String,
    /// Tells several channels between two peers apart.
    pub label: String,
}

/// Which end of a channel this client is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ChannelEnd {
    /// It asked for the channel.
    Opener,
    /// It was offered the channel.
    Acceptor,
}

/// What a channel has to do with a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// Nothing: it joins two peers.
    Pair,
    /// It is the one to all members.
    Group,
    /// It is the one to a member of this group, as long as that is open.
    Member(ChannelKey),
}

/// A channel that its owner holds, whether or not the hub knows it at present.
pub(super) struct Channel {
    pub(super) name: ChannelName,
    pub(super) end: ChannelEnd,
    pub(super) part: Part,
    pub(super) link: Link,
    pub(super) inbox: Inbox,
    /// Messages with ordinals that wait to be written; a group's has those to its members alone among them.
    pub(super) unsent: VecDeque<Frame>,
    /// The owner was told that there is no room, and wants to hear when there is.
    pub(super) starved: bool,
    /// The owner is gone; only the hub's answer is awaited, to close the channel there too.
    pub(super) abandoned: bool,
    /// It gave way to another channel; only the owner's [`close`](super::SessionCore::close) is
    /// awaited.
    pub(super) gave_way: bool,
    refusals: u32,
}

/// What the hub knows of a channel.
pub(super) enum Link {
    /// Nothing: there is no connection, or (acceptor) no offer.
    Down,
    /// It was asked for it.
    Opening,
    /// It has it.
    Open(OpenLink),
    /// It does not want it now; an opener asks again at this time.
    Refused { until_ms: u64 },
}

pub(super) struct OpenLink {
    pub(super) channel_id: u32,
    pub(super) send: SendWindow,
    pub(super) receive: ReceiveWindow,
    /// Which instance the far end is; `None` while it is away.
    pub(super) instance: Option<u64>,
    /// Of a group's member.
    pub(super) ordinals: Option<Ordinals>,
}

impl Channel {
    pub(super) fn new(name: ChannelName, end: ChannelEnd) -> Channel {
        Channel {
            name,
            end,
            part: Part::Pair,
            link: Link::Down,
            inbox: Inbox::default(),
            unsent: VecDeque::new(),
            starved: false,
            abandoned: false,
            gave_way: false,
            refusals: 0,
        }
    }

    pub(super) fn open_link(&mut self) -> Option<&mut OpenLink> {
        match &mut self.link {
            Link::Open(link) => Some(link),
            _ => None,
        }
    }

    /// An acceptor's end that waits for its opener.
    pub(super) fn is_absent(&self) -> bool {
        match &self.link {
            Link::Open(link) => link.instance.is_none(),
            Link::Down | Link::Opening | Link::Refused { .. } => true,
        }
    }

    /// Whether it is this client that asks the hub for it, rather than to be offered it or told of it.
    pub(super) fn is_asked_for(&self) -> bool {
        self.end == ChannelEnd::Opener && !matches!(self.part, Part::Member(_))
    }

    /// The message that asks for this channel.
    pub(super) fn request(&self, request_id: u32, window: Credit) -> OpenChannel {
        OpenChannel {
            request_id,
            extension: self.name.extension,
            peer: self.name.peer.clone(),
            label: self.name.label.clone(),
            credit_messages: window.messages,
            credit_bytes: window.bytes,
        }
    }

    pub(super) fn opened(
        &mut self,
        channel_id: u32,
        send: Credit,
        receive: Credit,
        instance: Option<u64>,
    ) {
        self.unsent.clear();
        self.link = Link::Open(OpenLink {
            channel_id,
            send: SendWindow::new(send),
            receive: ReceiveWindow::new(receive),
            instance: None,
            ordinals: None,
        });
        self.present(instance);
    }

    /// The hub says whether the far end is there, and as which instance.
    pub(super) fn present(&mut self, instance: Option<u64>) {
        if instance.is_some() {
            self.works();
        }
        if let Some(link) = self.open_link() {
            link.instance = instance;
            self.inbox.push(match instance {
                Some(instance) => ChannelEvent::Present { instance },
                None => ChannelEvent::Away,
            });
        }
    }

    /// It is of use: the next refusal is a first one.
    pub(super) fn works(&mut self) {
        self.refusals = 0;
    }

    /// Spends a message of so many bytes of payload and gives its ordinal, where the hub takes it.
    pub(super) fn spend(&mut self, payload_bytes: u64) -> Option<u64> {
        let link = self.open_link()?;
        let ordinal = link.send.spend(payload_bytes)?;
        if let Some(ordinals) = &mut link.ordinals {
            ordinals.sent_to_one(ordinal);
        }
        Some(ordinal)
    }

    /// The hub did not deliver the message with this ordinal. False where none such was sent.
    pub(super) fn rejected(&mut self, ordinal: u64, code: String, detail: String) -> bool {
        let Some(link) = self.open_link() else {
            return false;
        };
        // 0 is `unknown-channel`, and what was never sent cannot have been rejected.
        if ordinal == 0 || ordinal > link.send.last_ordinal() {
            return false;
        }
        let sent = link.ordinals.as_ref();
        let event = match sent.map_or(Sent::ToOne, |ordinals| ordinals.what_was(ordinal)) {
            Sent::ToOne => ChannelEvent::Reject {
                ordinal,
                code,
                detail,
            },
            Sent::ToAll(ordinal) => ChannelEvent::GroupReject {
                ordinal,
                code,
                detail,
            },
            Sent::Unknown => ChannelEvent::RejectsOverflowed,
        };
        self.inbox.push(event);
        true
    }

    /// The connection is gone.
    pub(super) fn lost(&mut self) {
        self.unsent.clear();
        let was_open = matches!(self.link, Link::Open(_));
        self.link = Link::Down;
        if was_open {
            self.inbox.push(ChannelEvent::Lost);
        }
    }

    /// The hub does not want the channel, or has closed it.
    pub(super) fn refused(&mut self, code: String, detail: String, now_ms: u64) {
        self.unsent.clear();
        self.link = match self.is_asked_for() {
            true => Link::Refused {
                until_ms: now_ms.saturating_add(self.reopen_delay_ms()),
            },
            false => Link::Down,
        };
        self.refusals = self.refusals.saturating_add(1);
        self.inbox.push(ChannelEvent::Closed { code, detail });
    }

    fn reopen_delay_ms(&self) -> u64 {
        REOPEN_DELAY_MS_MIN
            .saturating_mul(1 << self.refusals.min(16))
            .min(REOPEN_DELAY_MS_MAX)
    }
}
