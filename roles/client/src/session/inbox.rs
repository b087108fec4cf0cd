use std::collections::VecDeque;

use crate::limits::REJECTS_WAITING_MAX;

/// What happens on a channel, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelEvent {
    /// The far end is there. An instance that differs from the one before, or a first one after
    /// anything else: what was sent and not answered may be lost.
    Present {
        /// Which instance of it (specification, section 3.4).
        instance: u64,
    },
    /// The far end is away.
    Away,
    /// The connection to the hub is gone. Ordinals start again from 1 when it is back, and what
    /// came and was not taken yet is gone too.
    Lost,
    /// The hub, or the far end, does not want the channel (any more). An opener asks again after a
    /// while; an acceptor waits to be offered it again. Ordinals start again from 1.
    Closed {
        /// Why, as the hub says.
        code: String,
        /// For a person.
        detail: String,
    },
    /// A message from the far end.
    Message {
        /// Which one of the channel's extension.
        msg_type: u8,
        /// Its payload without the channel id.
        bytes: Vec<u8>,
    },
    /// The hub did not deliver a message.
    Reject {
        /// Which one.
        ordinal: u64,
        /// Why (specification, section 3.5).
        code: String,
        /// For a person.
        detail: String,
    },
    /// The hub did not deliver to this member a message that was sent to its group.
    GroupReject {
        /// Which one: its ordinal on the group's channel.
        ordinal: u64,
        /// Why (specification, section 3.5).
        code: String,
        /// For a person.
        detail: String,
    },
    /// More rejects waited to be taken than are kept ([`REJECTS_WAITING_MAX`]), or one was about a message to a group's member that was sent too long ago: any message that has
    /// no answer may have been rejected.
    RejectsOverflowed,
}

impl ChannelEvent {
    /// Whether it says something about the channel itself, which its owner must know before it
    /// sends.
    fn is_change(&self) -> bool {
        matches!(
            self,
            ChannelEvent::Present { .. }
                | ChannelEvent::Away
                | ChannelEvent::Lost
                | ChannelEvent::Closed { .. }
        )
    }
}

/// Events that wait for a channel's owner. Bounded: messages by the credit that was granted,
/// rejects by [`REJECTS_WAITING_MAX`], and of changes that stand side by side only the last counts.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    events: VecDeque<ChannelEvent>,
    changes: usize,
    rejects: usize,
    rejects_overflowed: bool,
}

impl Inbox {
    pub(super) fn push(&mut self, event: ChannelEvent) {
        match event {
            ChannelEvent::Reject { .. } | ChannelEvent::GroupReject { .. }
                if self.rejects >= REJECTS_WAITING_MAX =>
            {
                self.push(ChannelEvent::RejectsOverflowed);
            }
            ChannelEvent::RejectsOverflowed => {
                if !self.rejects_overflowed {
                    self.rejects_overflowed = true;
                    self.events.push_back(event);
                }
            }
            ChannelEvent::Reject { .. } | ChannelEvent::GroupReject { .. } => {
                self.rejects += 1;
                self.events.push_back(event);
            }
            // After these the channel starts anew, and nothing from before has a meaning.
            ChannelEvent::Lost | ChannelEvent::Closed { .. } => {
                *self = Inbox::default();
                self.changes = 1;
                self.events.push_back(event);
            }
            ChannelEvent::Present { .. } | ChannelEvent::Away => match self.events.back_mut() {
                Some(last @ (ChannelEvent::Present { .. } | ChannelEvent::Away)) => {
                    *last = event;
                }
                _ => {
                    self.changes += 1;
                    self.events.push_back(event);
                }
            },
            ChannelEvent::Message { .. } => {
                self.events.push_back(event);
            }
        }
    }

    pub(super) fn pop(&mut self) -> Option<ChannelEvent> {
        let event = self.events.pop_front()?;
        match &event {
            event if event.is_change() => self.changes -= 1,
            ChannelEvent::Reject { .. } | ChannelEvent::GroupReject { .. } => self.rejects -= 1,
            ChannelEvent::RejectsOverflowed => self.rejects_overflowed = false,
            _ => {}
        }
        Some(event)
    }

    /// What waits, the oldest first.
    pub(super) fn iter(&self) -> impl Iterator<Item = &ChannelEvent> {
        self.events.iter()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Whether the owner has yet to hear that the channel has changed.
    pub(super) fn has_change(&self) -> bool {
        self.changes > 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn drain(inbox: &mut Inbox) -> Vec<ChannelEvent> {
        std::iter::from_fn(|| inbox.pop()).collect()
    }

    fn reject(ordinal: u64) -> ChannelEvent {
        ChannelEvent::Reject {
            ordinal,
            code: "peer-away".into(),
            detail: String::new(),
        }
    }

    #[test]
    fn an_owner_that_does_not_look_hears_the_last_state_and_that_it_was_lost() {
        let mut inbox = Inbox::default();
        for round in 0..1_000 {
            inbox.push(ChannelEvent::Present { instance: round });
            inbox.push(ChannelEvent::Away);
            inbox.push(reject(round));
            inbox.push(ChannelEvent::Lost);
            inbox.push(ChannelEvent::Away);
            inbox.push(ChannelEvent::Present {
                instance: round + 7,
            });
        }
        assert!(inbox.has_change());
        assert_eq!(
            drain(&mut inbox),
            [
                ChannelEvent::Lost,
                ChannelEvent::Present { instance: 999 + 7 }
            ]
        );
        assert!(!inbox.has_change());
    }

    #[test]
    fn a_flood_of_rejects_becomes_one_event() {
        let mut inbox = Inbox::default();
        let flood = REJECTS_WAITING_MAX as u64 + 50;
        for ordinal in 1..=flood {
            inbox.push(reject(ordinal));
        }
        let events = drain(&mut inbox);
        assert_eq!(events.len(), REJECTS_WAITING_MAX + 1);
        assert_eq!(events.last(), Some(&ChannelEvent::RejectsOverflowed));
        inbox.push(reject(flood + 1));
        assert_eq!(drain(&mut inbox), [reject(flood + 1)]);
    }
}
