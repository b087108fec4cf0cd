use super::channel::{ChannelEnd, Link, Part};
use super::credit::Credit;
use super::error::SendError;
use super::{ChannelKey, SessionCore};

impl SessionCore {
    /// Hands a message to the channel: `bytes` is what comes behind the channel id. Gives its ordinal, by which a
    /// [`Reject`](super::ChannelEvent::Reject) would name it; of a message to a group, its ordinal there, by which the
    /// [`GroupReject`](super::ChannelEvent::GroupReject) of a member would name it.
    ///
    /// A group takes messages whatever its members do; [`Self::members`] says beforehand which of them would not get
    /// one. What is sent to a group and to its members alone goes out in the order of these calls.
    pub fn send(&mut self, key: ChannelKey, msg_type: u8, bytes: &[u8]) -> Result<u64, SendError> {
        let payload_bytes_max = self.payload_bytes_max();
        let is_leaving = self.is_leaving();
        let channel = self.channels.get_mut(&key).ok_or(SendError::NotOpen)?;
        if channel.inbox.has_change() {
            return Err(SendError::EventsUnread);
        }
        let part = channel.part;
        let Link::Open(link) = &mut channel.link else {
            return Err(SendError::NotOpen);
        };
        if link.instance.is_none() && part != Part::Group {
            return Err(SendError::Away);
        }
        let frame =
            winze_messages::channel_frame(channel.name.extension, msg_type, link.channel_id, bytes);
        let payload_bytes = frame.payload.len();
        if payload_bytes > payload_bytes_max {
            return Err(SendError::TooLong {
                payload_bytes,
                payload_bytes_max,
            });
        }
        if is_leaving && channel.end == ChannelEnd::Opener {
            channel.starved = true;
            return Err(SendError::NoCredit);
        }
        let queue = self.queue(key, part);
        if self.is_queue_full(queue) {
            for starved in [key, queue] {
                if let Some(channel) = self.channels.get_mut(&starved) {
                    channel.starved = true;
                }
            }
            return Err(SendError::Unsent);
        }
        let channel = self.channels.get_mut(&key).ok_or(SendError::NotOpen)?;
        let ordinal = channel.spend(payload_bytes as u64);
        let Some(ordinal) = ordinal else {
            channel.starved = true;
            return Err(SendError::NoCredit);
        };
        if part == Part::Group {
            self.count_for_members(key, Credit::one(payload_bytes as u64));
        }
        if let Some(channel) = self.channels.get_mut(&queue) {
            channel.unsent.push_back(frame);
            self.outbound.has_unsent(queue);
        }
        Ok(ordinal)
    }

    /// What the hub takes on this channel for now; nothing while the far end is away, and no requests once the hub has
    /// asked us to reconnect. A group is never away.
    pub fn send_credit(&self, key: ChannelKey) -> Credit {
        let Some(channel) = self.channels.get(&key) else {
            return Credit::default();
        };
        if self.is_leaving() && channel.end == ChannelEnd::Opener {
            return Credit::default();
        }
        match &channel.link {
            Link::Open(link) if link.instance.is_some() || channel.part == Part::Group => {
                link.send.left()
            }
            _ => Credit::default(),
        }
    }

    /// In whose queue a channel's messages wait: those to a group and to its members alone in one, so that they stay in
    /// order.
    fn queue(&self, key: ChannelKey, part: Part) -> ChannelKey {
        match part {
            Part::Member(group) => group,
            Part::Pair | Part::Group => key,
        }
    }

    fn is_queue_full(&self, queue: ChannelKey) -> bool {
        let channel = self.channels.get(&queue);
        channel.is_none_or(|channel| channel.unsent.len() >= self.config.unsent_messages_max)
    }
}
