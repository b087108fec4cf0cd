//! What the hub sends.

use winze_messages::families::common::Reconnect;
use winze_messages::families::hub::{
    ChannelOffer, ChannelOfferAccept, ChannelOfferRefuse, CloseChannel, HubMessage,
    OpenChannelError, OpenChannelSuccess, Presence, Reject,
};
use winze_messages::{EXT_COMMON, EXT_EXTENSIONS, EXT_HUB};
use winze_transport::Frame;

use super::channel::{Channel, ChannelEnd, ChannelName, Link, Part};
use super::credit::Credit;
use super::error::{Misbehaviour, SessionError, Step};
use super::inbox::ChannelEvent;
use super::setup::{Progress, closed};
use super::{ChannelKey, ListenerKey, Phase, SessionCore, Woken};
use crate::limits::{CHANNELS_PER_PEER_MAX, RECONNECT_WITHIN_MS};

/// What a hub has done that tells of a group as of a peer.
const GROUP_PRESENT: &str = "it told of a group's presence";

impl SessionCore {
    /// Takes one frame from the hub. An error ends the connection.
    pub fn handle_frame(&mut self, frame: Frame, now_ms: u64) -> Result<(), SessionError> {
        match std::mem::replace(&mut self.phase, Phase::Offline) {
            // The shell has told us of no connection: nothing can have come on one.
            Phase::Offline => {
                self.counts.ignored += 1;
                Ok(())
            }
            Phase::Setup(setup) => match setup.handle(&frame, &self.identity, &self.config)? {
                Progress::On(setup, answer) => {
                    self.phase = Phase::Setup(setup);
                    answer.map_or(Ok(()), |answer| self.outbound.control(answer))
                }
                Progress::Done(agreed) => self.ready_up(agreed, now_ms),
            },
            Phase::Ready(mut ready) => {
                ready.keep_alive.heard(now_ms);
                self.phase = Phase::Ready(ready);
                match frame.is_channel_msg() {
                    true => self.channel_message(frame),
                    false => self.connection_message(&frame, now_ms),
                }
            }
        }
    }

    fn connection_message(&mut self, frame: &Frame, now_ms: u64) -> Result<(), SessionError> {
        match frame.extension() {
            EXT_HUB => self.hub_message(frame, now_ms),
            EXT_COMMON if frame.msg_type == Reconnect::MSG_TYPE => {
                // Where to is our own configuration's to say, whatever the message does.
                Reconnect::decode_payload(&frame.payload)?;
                if let Phase::Ready(ready) = &mut self.phase {
                    let at_ms = now_ms.saturating_add(RECONNECT_WITHIN_MS);
                    ready.reconnect_at_ms.get_or_insert(at_ms);
                }
                Ok(())
            }
            EXT_COMMON | EXT_EXTENSIONS => Err(out_of_order(frame)),
            _ => {
                self.counts.ignored += 1;
                Ok(())
            }
        }
    }

    fn hub_message(&mut self, frame: &Frame, now_ms: u64) -> Result<(), SessionError> {
        match HubMessage::decode(frame)? {
            HubMessage::OpenChannelSuccess(success) => self.opened(success),
            HubMessage::OpenChannelError(error) => self.not_opened(error, now_ms),
            HubMessage::ChannelOffer(offer) => self.offered(offer),
            HubMessage::Credit(credit) => {
                self.credit(credit);
                Ok(())
            }
            HubMessage::Reject(reject) => {
                self.rejected(reject);
                Ok(())
            }
            HubMessage::Presence(presence) => self.presence(presence),
            HubMessage::CloseChannel(close) => {
                self.channel_closed(close, now_ms);
                Ok(())
            }
            HubMessage::Ping(ping) => {
                self.outbound.pong(ping.nonce);
                Ok(())
            }
            HubMessage::Pong(_) => Ok(()),
            HubMessage::Close(close) => Err(closed(close)),
            HubMessage::Authenticate(_)
            | HubMessage::AuthenticateSuccess(_)
            | HubMessage::AuthenticateError(_)
            | HubMessage::OpenChannel(_)
            | HubMessage::ChannelOfferAccept(_)
            | HubMessage::ChannelOfferRefuse(_) => Err(out_of_order(frame)),
            HubMessage::GroupMember(member) => self.group_member(member),
        }
    }

    fn channel_message(&mut self, frame: Frame) -> Result<(), SessionError> {
        let Some(channel_id) = frame.channel_id() else {
            return Err(
                Misbehaviour::Answer("it sent a channel message without a channel id").into(),
            );
        };
        // `ChannelEndpointChanged` is the hub's own and not counted; `Presence` says the same and
        // more.
        if frame.extension() == EXT_COMMON {
            return Ok(());
        }
        let Some((key, channel)) = find(&self.by_id, &mut self.channels, channel_id) else {
            // We may just have closed it.
            self.counts.ignored += 1;
            return Ok(());
        };
        if frame.extension() != channel.name.extension {
            return Err(Misbehaviour::Answer(
                "it sent a message of another extension on a channel",
            )
            .into());
        }
        if channel.part == Part::Group {
            return Err(Misbehaviour::Answer("it sent a message in the name of a group").into());
        }
        let Some(link) = channel.open_link() else {
            return Ok(());
        };
        link.receive
            .receive(frame.payload.len() as u64)
            .map_err(|_| Misbehaviour::CreditExceeded { channel_id })?;
        let mut bytes = frame.payload;
        bytes.drain(..winze_messages::codec::message::CHANNEL_ID_BYTES);
        channel.inbox.push(ChannelEvent::Message {
            msg_type: frame.msg_type,
            bytes,
        });
        self.woken.insert(Woken::Channel(key));
        Ok(())
    }

    fn opened(&mut self, success: OpenChannelSuccess) -> Result<(), SessionError> {
        let window = self.window();
        let Some(key) = self.by_request.remove(&success.request_id) else {
            return Err(Misbehaviour::Answer("it opened a channel that was not asked for").into());
        };
        let Some(channel) = self.channels.get_mut(&key) else {
            return Ok(());
        };
        if self.by_id.contains_key(&success.channel_id) {
            return Err(Misbehaviour::Answer("it gave a channel id twice").into());
        }
        if channel.abandoned {
            self.forget(key);
            self.close_on_hub(success.channel_id);
            return Ok(());
        }
        if channel.part == Part::Group && success.peer_present {
            return Err(Misbehaviour::Answer(GROUP_PRESENT).into());
        }
        channel.opened(
            success.channel_id,
            Credit {
                messages: success.credit_messages,
                bytes: success.credit_bytes,
            },
            window,
            success.peer_present.then_some(success.peer_instance),
        );
        self.by_id.insert(success.channel_id, key);
        self.woken.insert(Woken::Channel(key));
        Ok(())
    }

    fn not_opened(&mut self, error: OpenChannelError, now_ms: u64) -> Result<(), SessionError> {
        let Some(key) = self.by_request.remove(&error.request_id) else {
            return Err(Misbehaviour::Answer("it refused a channel that was not asked for").into());
        };
        match self.channels.get_mut(&key) {
            Some(channel) if channel.abandoned => self.forget(key),
            Some(channel) => {
                channel.refused(error.error_code, error.detail, now_ms);
                self.woken.insert(Woken::Channel(key));
            }
            None => {}
        }
        Ok(())
    }

    fn offered(&mut self, offer: ChannelOffer) -> Result<(), SessionError> {
        if self.by_id.contains_key(&offer.channel_id) {
            return Err(Misbehaviour::Answer("it gave a channel id twice").into());
        }
        let name = ChannelName {
            extension: offer.extension,
            peer: offer.peer,
            label: offer.label,
        };
        let key = match self.acceptor(name) {
            Ok(key) => key,
            Err(reason) => {
                self.counts.offers_refused += 1;
                let refuse = ChannelOfferRefuse {
                    channel_id: offer.channel_id,
                    reason_code: reason.to_owned(),
                };
                return self.outbound.control(refuse.to_frame()?);
            }
        };
        let window = self.window();
        let accept = ChannelOfferAccept {
            channel_id: offer.channel_id,
            credit_messages: window.messages,
            credit_bytes: window.bytes,
        };
        self.outbound.control(accept.to_frame()?)?;
        if let Some(channel) = self.channels.get_mut(&key) {
            channel.opened(
                offer.channel_id,
                Credit {
                    messages: offer.credit_messages,
                    bytes: offer.credit_bytes,
                },
                window,
                offer.peer_present.then_some(offer.peer_instance),
            );
            self.by_id.insert(offer.channel_id, key);
            self.woken.insert(Woken::Channel(key));
        }
        Ok(())
    }

    /// The channel for an offer of this name: the one that was accepted before, or a new one where that is open still. Then
    /// its opener has another to us, through a group, or has closed it, and the last of it is yet to come. The error is the
    /// reason to refuse the offer.
    fn acceptor(&mut self, name: ChannelName) -> Result<ChannelKey, &'static str> {
        let held = self
            .channels
            .iter()
            .find(|(_, channel)| is_left(channel) && channel.name == name);
        if let Some((key, _)) = held {
            return Ok(*key);
        }
        let listener_key = ListenerKey(name.extension);
        let listener = self.listeners.get(&listener_key).ok_or("not-listening")?;
        if !listener.wants(&name) {
            return Err("not-listed");
        }
        let is_full = listener.is_full();
        let of_this_peer = self.channels.values().filter(|channel| {
            is_accepted(channel)
                && channel.name.extension == name.extension
                && channel.name.peer == name.peer
        });
        let has_room = match of_this_peer.count() >= CHANNELS_PER_PEER_MAX {
            true => self.make_room(listener_key, Some(&name.peer)),
            false => !is_full || self.make_room(listener_key, None),
        };
        if !has_room {
            return Err("too-many-channels");
        }
        let key = self.add_channel(Channel::new(name, ChannelEnd::Acceptor));
        if let Some(listener) = self.listeners.get_mut(&listener_key) {
            listener.accept(key);
        }
        self.woken.insert(Woken::Listener(listener_key));
        Ok(key)
    }

    /// Gives up the oldest channel whose opener is away, of `peer` where one is named. False where
    /// there is none, or where too many owners have yet to let go of such a one.
    fn make_room(&mut self, listener_key: ListenerKey, peer: Option<&str>) -> bool {
        let Some(listener) = self.listeners.get(&listener_key) else {
            return false;
        };
        let absent = self.channels.iter().find(|(_, channel)| {
            is_accepted(channel)
                && channel.is_absent()
                && ListenerKey(channel.name.extension) == listener_key
                && peer.is_none_or(|peer| channel.name.peer == peer)
        });
        let Some(key) = absent.map(|(key, _)| *key) else {
            return false;
        };
        if listener.awaits_taking(key) {
            self.close(key);
            return true;
        }
        let given_way = self.channels.values().filter(|channel| channel.gave_way);
        if given_way.count() >= listener.channels_max() {
            return false;
        }
        if let Some(listener) = self.listeners.get_mut(&listener_key) {
            listener.forget(key);
        }
        let Some(channel) = self.channels.get_mut(&key) else {
            return false;
        };
        let channel_id = channel.open_link().map(|link| link.channel_id);
        channel.gave_way = true;
        channel.refused(
            "too-many-channels".to_owned(),
            "it gave way to another, since its opener is away".to_owned(),
            0,
        );
        self.woken.insert(Woken::Channel(key));
        if let Some(channel_id) = channel_id {
            self.by_id.remove(&channel_id);
            self.close_on_hub(channel_id);
        }
        true
    }

    fn credit(&mut self, credit: winze_messages::families::hub::Credit) {
        match find(&self.by_id, &mut self.channels, credit.channel_id) {
            Some((key, channel)) => {
                if let Some(link) = channel.open_link() {
                    link.send.raise(Credit {
                        messages: credit.messages,
                        bytes: credit.bytes,
                    });
                }
                if channel.part != Part::Group {
                    // Of a group's, whose members may wait for room in its queue, it is the queue that says when.
                    channel.starved = false;
                }
                self.wake_member(key);
            }
            None => self.counts.ignored += 1,
        }
    }

    fn rejected(&mut self, reject: Reject) {
        self.counts.rejects += 1;
        let Some((key, channel)) = find(&self.by_id, &mut self.channels, reject.channel_id) else {
            self.counts.ignored += 1;
            return;
        };
        if !channel.rejected(reject.ordinal, reject.error_code, reject.detail) {
            self.counts.ignored += 1;
            return;
        }
        self.woken.insert(Woken::Channel(key));
    }

    fn presence(&mut self, presence: Presence) -> Result<(), SessionError> {
        match find(&self.by_id, &mut self.channels, presence.channel_id) {
            Some((_, channel)) if channel.part == Part::Group => {
                return Err(Misbehaviour::Answer(GROUP_PRESENT).into());
            }
            Some((key, channel)) => {
                channel.present(presence.present.then_some(presence.instance));
                self.wake_member(key);
            }
            None => self.counts.ignored += 1,
        }
        Ok(())
    }

    fn channel_closed(&mut self, close: CloseChannel, now_ms: u64) {
        let Some(&key) = self.by_id.get(&close.channel_id) else {
            self.counts.ignored += 1;
            return;
        };
        self.members_closed(key, &close.reason_code, &close.detail);
        self.detach(key);
        self.by_id.remove(&close.channel_id);
        if let Some(channel) = self.channels.get_mut(&key) {
            channel.refused(close.reason_code, close.detail, now_ms);
            self.wake_member(key);
        }
    }
}

/// Whether this is a channel that was accepted and is still wanted.
fn is_accepted(channel: &Channel) -> bool {
    channel.end == ChannelEnd::Acceptor && !channel.gave_way
}

/// Whether it is one that the hub has forgotten, and may offer again.
fn is_left(channel: &Channel) -> bool {
    is_accepted(channel) && !matches!(channel.link, Link::Open(_))
}

fn find<'a>(
    by_id: &std::collections::BTreeMap<u32, ChannelKey>,
    channels: &'a mut std::collections::BTreeMap<ChannelKey, Channel>,
    channel_id: u32,
) -> Option<(ChannelKey, &'a mut Channel)> {
    let key = *by_id.get(&channel_id)?;
    let channel = channels.get_mut(&key)?;
    debug_assert!(matches!(channel.link, Link::Open(_)));
    Some((key, channel))
}

fn out_of_order(frame: &Frame) -> SessionError {
    Misbehaviour::OutOfOrder {
        extension_type: frame.extension_type,
        msg_type: frame.msg_type,
        step: Step::Ready,
    }
    .into()
}
