use super::credit::Credit;
use super::inbox::ChannelEvent;
use super::{SessionCore, payload_bytes};
use crate::limits::{CONTROL_WAITING_MAX, REJECTS_WAITING_MAX};

/// What a session holds at a moment, or may hold at most.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SessionLoad {
    /// Messages that came and that their owners have not taken yet.
    pub received: Credit,
    /// What else owners have not heard yet: changes of channels, and rejects.
    pub told: u64,
    /// Messages that wait to be written.
    pub unsent: Credit,
    /// Messages to the hub itself that wait to be written.
    pub control: u64,
}

impl SessionLoad {
    /// Whether nothing is more than in `bound`.
    pub fn is_within(&self, bound: &SessionLoad) -> bool {
        let credit =
            |own: Credit, bound: Credit| own.messages <= bound.messages && own.bytes <= bound.bytes;
        credit(self.received, bound.received)
            && self.told <= bound.told
            && credit(self.unsent, bound.unsent)
            && self.control <= bound.control
    }
}

impl SessionCore {
    /// What there is at present. Looks at everything that waits.
    pub fn load(&self) -> SessionLoad {
        let mut load = SessionLoad {
            control: self.outbound.control_waiting() as u64,
            ..SessionLoad::default()
        };
        for channel in self.channels.values() {
            for event in channel.inbox.iter() {
                match event {
                    ChannelEvent::Message { bytes, .. } => {
                        load.received.messages += 1;
                        load.received.bytes += payload_bytes(bytes);
                    }
                    _ => load.told += 1,
                }
            }
            load.unsent.messages += channel.unsent.len() as u64;
            let payloads = channel
                .unsent
                .iter()
                .map(|frame| frame.payload.len() as u64);
            load.unsent.bytes += payloads.sum::<u64>();
        }
        load
    }

    /// What there may be at most, with the channels that there are: a window of messages that came
    /// on each of them, [`REJECTS_WAITING_MAX`] rejects, a change of the channel between any two of
    /// these, and as many messages to be written as the configuration says.
    pub fn load_max(&self) -> SessionLoad {
        let channels = self.channels.len() as u64;
        let window = self.window();
        let unsent = self.config.unsent_messages_max as u64;
        let rejects = REJECTS_WAITING_MAX as u64 + 1;
        SessionLoad {
            received: Credit {
                messages: channels * window.messages,
                bytes: channels * window.bytes,
            },
            told: channels * (2 * rejects + window.messages + 1),
            unsent: Credit {
                messages: channels * unsent,
                bytes: channels * unsent * self.payload_bytes_max() as u64,
            },
            control: CONTROL_WAITING_MAX as u64,
        }
    }
}
