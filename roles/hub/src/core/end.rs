//! One end of a channel: what one connection knows of it under its `channel_id`, and what is due to be told to it.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

use winze_messages::families::common::ChannelEndpointChanged;
use winze_messages::families::hub::{
    ChannelOffer, CloseChannel, Credit, GroupMember, OpenChannelSuccess, Presence, Reject, detail,
};
use winze_messages::names::PeerName;
use winze_messages::table::Side;
use winze_transport::Frame;

use super::channels::ChannelName;
use super::credit::{CreditExceeded, Inbound, Outbound, Totals};
use super::fan::Fan;
use super::reasons::{ChannelCloseReason, RejectReason};
use super::registry::PeerId;
use super::{ConnId, encoded};
use crate::sabotage::{Rule, is_broken};

/// A channel end, from anywhere in the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct EndRef {
    pub(super) conn: ConnId,
    pub(super) channel_id: u32,
}

/// The far end while it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Far {
    pub(super) end: EndRef,
    pub(super) instance: u64,
}

/// The message that tells a client its channel id. It goes before anything else of the channel.
#[derive(Debug)]
pub(super) enum Intro {
    /// `OpenChannel.Success` to the opener.
    Opened {
        /// The opener's number for its request.
        request_id: u32,
    },
    /// `ChannelOffer` to the acceptor.
    Offer {
        /// The opener's name.
        opener: PeerName,
    },
    /// `GroupMember` to the opener of a group.
    Member {
        /// The opener's id of the channel to the group.
        group_channel_id: u32,
        /// The member's name.
        peer: PeerName,
        /// What was counted on the group's channel before this one began.
        group_received: Totals,
    },
}

/// A message that was refused. It stays in a window of its sender's until the sender has been told, so that the window
/// bounds these as well.
#[derive(Debug)]
struct Refused {
    ordinal: u64,
    window: Window,
    reason: RejectReason,
    detail: Cow<'static, str>,
}

/// In which window a refused message stays.
#[derive(Clone, Copy, Debug)]
enum Window {
    /// In that of its own channel.
    Own {
        /// What it takes there.
        payload_bytes: usize,
    },
    /// It was sent to the group that this member's channel belongs to, and stays in the window of the group's channel.
    Group {
        /// Its ordinal there.
        ordinal: u64,
    },
}

/// The `CloseChannel` that ends this end, once what was delivered before it has been taken.
#[derive(Debug)]
struct Farewell {
    reason: ChannelCloseReason,
    detail: String,
}

/// What [`End::next_control`] found.
#[derive(Debug)]
pub(super) enum EndControl {
    /// A message to send.
    Send(Frame),
    /// A `Reject` to send, of a message that has so and so an ordinal on the channel of the member's group.
    SendGroups(Frame, u64),
    /// The last message of this end, which is to be forgotten.
    SendLast(Frame),
    /// Nothing is due now.
    Nothing,
}

/// See the module.
#[derive(Debug)]
pub(super) struct End {
    pub(super) name: Arc<ChannelName>,
    pub(super) side: Side,
    pub(super) inbound: Inbound,
    pub(super) outbound: Outbound,
    /// For an opener: there once the acceptor has accepted. For an acceptor: there while the opener is connected.
    far: Option<Far>,
    /// Whether this end takes messages: an opener's always does.
    accepted: bool,
    intro: Option<Intro>,
    /// The instance that the client was told of last, or is to be told of with the id; 0 for an absent far end.
    told_instance: u64,
    /// Whether a message has passed since the far end last changed, of an extension that the hub does not know
    /// (Sv2 specification, section 3.6.4).
    foreign_traffic: bool,
    refused: VecDeque<Refused>,
    farewell: Option<Farewell>,
    /// For the opener's end of a channel to a group.
    pub(super) fan: Option<Box<Fan>>,
    /// For the opener's end of a channel to a member: the opener's id of the channel to the group.
    pub(super) member_of: Option<u32>,
    /// Whether this end waits in its connection's ring of ends with control messages.
    pub(super) in_control_ring: bool,
    /// Whether this end waits in its connection's ring of ends with messages to deliver.
    pub(super) in_data_ring: bool,
}

impl End {
    /// The opener's end.
    pub(super) fn opened(
        name: Arc<ChannelName>,
        request_id: u32,
        inbound: Inbound,
        credit: Totals,
    ) -> End {
        let intro = Intro::Opened { request_id };
        End::new(name, Side::Requester, intro, inbound, credit)
    }

    /// The opener's end of a channel to a group, without members yet, each of whose channels begins with `credit`.
    pub(super) fn to_group(
        name: Arc<ChannelName>,
        request_id: u32,
        inbound: Inbound,
        credit: Totals,
    ) -> End {
        let mut end = End::opened(name, request_id, inbound, Totals::default());
        end.fan = Some(Box::new(Fan::new(credit)));
        end
    }

    /// The opener's end of a channel to a member of the group that it knows as `group_channel_id`.
    pub(super) fn to_member(
        name: Arc<ChannelName>,
        peer: PeerName,
        (group_channel_id, group_received): (u32, Totals),
        inbound: Inbound,
        credit: Totals,
    ) -> End {
        let intro = Intro::Member {
            group_channel_id,
            peer,
            group_received,
        };
        let mut end = End::new(name, Side::Requester, intro, inbound, credit);
        end.member_of = Some(group_channel_id);
        // The opener knows the group's id, and what it sends there before it has read of this member is within its rights.
        end.inbound.grant();
        end
    }

    /// The acceptor's end. It has given no credit yet.
    pub(super) fn offered(name: Arc<ChannelName>, opener: PeerName, inbound: Inbound) -> End {
        let intro = Intro::Offer { opener };
        End::new(name, Side::Responder, intro, inbound, Totals::default())
    }

    fn new(
        name: Arc<ChannelName>,
        side: Side,
        intro: Intro,
        inbound: Inbound,
        credit: Totals,
    ) -> End {
        End {
            name,
            accepted: side == Side::Requester,
            side,
            inbound,
            outbound: Outbound::with_credit(credit),
            far: None,
            intro: Some(intro),
            told_instance: 0,
            foreign_traffic: false,
            refused: VecDeque::new(),
            farewell: None,
            fan: None,
            member_of: None,
            in_control_ring: false,
            in_data_ring: false,
        }
    }

    /// Whether the client knows the channel id.
    pub(super) fn is_known(&self) -> bool {
        self.intro.is_none()
    }

    /// Whether the channel is over, and this end waits to be told.
    pub(super) fn is_closing(&self) -> bool {
        self.farewell.is_some()
    }

    /// Whether this is the acceptor's end of a channel that `opener` opened.
    pub(super) fn is_offered_by(&self, opener: PeerId) -> bool {
        self.side == Side::Responder && self.name.opener == opener
    }

    /// Whether the client was never told of this channel, so that it need not be told of its end.
    pub(super) fn is_unheard_offer(&self) -> bool {
        matches!(self.intro, Some(Intro::Offer { .. }))
    }

    /// Whether nothing but the farewell is left to be said.
    pub(super) fn is_about_to_go(&self) -> bool {
        self.farewell.is_some()
            && self.outbound.is_empty()
            && self.fan.as_ref().is_none_or(|fan| fan.is_empty())
    }

    pub(super) fn is_accepted(&self) -> bool {
        self.accepted
    }

    pub(super) fn set_accepted(&mut self) {
        self.accepted = true;
    }

    /// Where a message of this end goes; `None` while the hub refuses it with `peer-away`.
    pub(super) fn destination(&self) -> Option<Far> {
        self.far.filter(|_| self.accepted)
    }

    /// Who sends what waits for this end.
    pub(super) fn far(&self) -> Option<Far> {
        self.far
    }

    /// The far end came, or changed.
    pub(super) fn set_far(&mut self, far: Far) {
        self.far = Some(far);
    }

    /// The far end went: what it sent and was not delivered is gone.
    pub(super) fn far_went(&mut self) {
        self.far = None;
        self.outbound.purge();
    }

    /// The channel ends. What waits for this client is still delivered; what it sends finds nobody.
    pub(super) fn close(&mut self, reason: ChannelCloseReason, detail: String) {
        self.far = None;
        self.farewell = Some(Farewell { reason, detail });
    }

    /// Counts a message from the client and gives its ordinal.
    pub(super) fn receive(&mut self, payload_bytes: usize) -> Result<u64, CreditExceeded> {
        self.inbound.receive(payload_bytes)
    }

    /// A message to the group goes to a member that the opener may not have read of yet: it is told of that instance
    /// first, so that it hears when another one is there and the message may be lost.
    pub(super) fn reaches(&mut self, far: Far) {
        if self.intro.is_some() && self.told_instance == 0 {
            self.told_instance = far.instance;
        }
    }

    /// Notes that a message of an extension that the hub does not know has passed.
    pub(super) fn note_foreign_traffic(&mut self) {
        self.foreign_traffic = true;
    }

    /// Puts down that a message was refused.
    pub(super) fn refuse(
        &mut self,
        ordinal: u64,
        payload_bytes: usize,
        reason: RejectReason,
        detail: String,
    ) {
        self.refused.push_back(Refused {
            ordinal,
            window: Window::Own { payload_bytes },
            reason,
            detail: detail.into(),
        });
    }

    /// Puts down that this member's channel cannot have a message to its group, of this ordinal there.
    pub(super) fn refuse_copy(
        &mut self,
        ordinal: u64,
        group_ordinal: u64,
        reason: RejectReason,
        detail: &'static str,
    ) {
        self.refused.push_back(Refused {
            ordinal,
            window: Window::Group {
                ordinal: group_ordinal,
            },
            reason,
            detail: detail.into(),
        });
    }

    /// The ordinals on the group's channel of the messages to the group that were refused here, and whose sender was not
    /// told yet.
    pub(super) fn copies_refused(&self) -> impl Iterator<Item = u64> {
        self.refused
            .iter()
            .filter_map(|refused| match refused.window {
                Window::Group { ordinal } => Some(ordinal),
                Window::Own { .. } => None,
            })
    }

    /// Messages in this channel's own window that were refused, and whose sender was not told yet.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn refused_waiting(&self) -> u64 {
        (self.refused.len() - self.copies_refused().count()) as u64
    }

    fn far_instance(&self) -> u64 {
        self.far.map_or(0, |far| far.instance)
    }

    /// Whether [`Self::next_control`] would give a message.
    pub(super) fn control_due(&self) -> bool {
        if self.intro.is_some() || !self.refused.is_empty() {
            return true;
        }
        match self.farewell {
            Some(_) => self.is_about_to_go(),
            None => self.far_instance() != self.told_instance || self.inbound.grant_due(),
        }
    }

    /// The next message of the hub about this channel: first its id, then refusals, then presence, then credit, at the
    /// very end the farewell. Presence and credit are made from what is true now, so that changes merge.
    pub(super) fn next_control(&mut self, channel_id: u32) -> EndControl {
        if let Some(intro) = self.intro.take() {
            return EndControl::Send(self.introduce(channel_id, intro));
        }
        if let Some(refused) = self.refused.pop_front() {
            let reject = encoded(Reject {
                channel_id,
                ordinal: refused.ordinal,
                error_code: refused.reason.as_str().to_owned(),
                detail: detail(refused.detail),
            });
            return match refused.window {
                Window::Own { payload_bytes } => {
                    self.inbound.take(Totals::one(payload_bytes));
                    EndControl::Send(reject)
                }
                Window::Group { ordinal } => EndControl::SendGroups(reject, ordinal),
            };
        }
        if self.farewell.is_some() {
            return self.say_farewell(channel_id);
        }
        if self.far_instance() != self.told_instance {
            if std::mem::take(&mut self.foreign_traffic) {
                return EndControl::Send(endpoint_changed(channel_id));
            }
            let first_told = self.told_instance == 0;
            self.told_instance = self.far_instance();
            if is_broken(Rule::ChangeIsTold) && !first_told {
                return EndControl::Nothing;
            }
            return EndControl::Send(encoded(Presence {
                channel_id,
                present: self.far.is_some(),
                instance: self.told_instance,
            }));
        }
        if self.inbound.grant_due() {
            let granted = self.inbound.grant();
            return EndControl::Send(encoded(Credit {
                channel_id,
                messages: granted.messages,
                bytes: granted.bytes,
            }));
        }
        EndControl::Nothing
    }

    fn introduce(&mut self, channel_id: u32, intro: Intro) -> Frame {
        let granted = self.inbound.grant();
        if self.told_instance == 0 {
            self.told_instance = self.far_instance();
        }
        let peer_present = self.told_instance != 0;
        match intro {
            Intro::Opened { request_id } => encoded(OpenChannelSuccess {
                request_id,
                channel_id,
                peer_present,
                peer_instance: self.told_instance,
                credit_messages: granted.messages,
                credit_bytes: granted.bytes,
            }),
            Intro::Offer { opener } => encoded(ChannelOffer {
                channel_id,
                extension: self.name.extension,
                peer: opener.to_string(),
                label: self.name.label.clone(),
                peer_present,
                peer_instance: self.told_instance,
                credit_messages: granted.messages,
                credit_bytes: granted.bytes,
            }),
            Intro::Member {
                group_channel_id,
                peer,
                group_received,
            } => encoded(GroupMember {
                group_channel_id,
                channel_id,
                peer: peer.to_string(),
                group_messages: group_received.messages,
                group_bytes: group_received.bytes,
                peer_present,
                peer_instance: self.told_instance,
                credit_messages: granted.messages,
                credit_bytes: granted.bytes,
            }),
        }
    }

    fn say_farewell(&mut self, channel_id: u32) -> EndControl {
        if !self.is_about_to_go() {
            return EndControl::Nothing;
        }
        match self.farewell.take() {
            Some(farewell) => EndControl::SendLast(encoded(CloseChannel {
                channel_id,
                reason_code: farewell.reason.as_str().to_owned(),
                detail: detail(farewell.detail),
            })),
            None => EndControl::Nothing,
        }
    }
}

fn endpoint_changed(channel_id: u32) -> Frame {
    ChannelEndpointChanged {}
        .to_frame(channel_id)
        .expect("a message without fields has no bounds to exceed")
}
