//! What was exercised: message types, and the hub's reasons.

use std::collections::BTreeSet;

use winze_hub::core::reasons::{ChannelCloseReason, CloseReason, RejectReason};
use winze_messages::families::hub::HubMessage;
use winze_messages::table::TABLE;
use winze_transport::Frame;

/// Reasons that no message can bring about in a run, each with why; they are driven through the
/// core's `close`, as the shell does.
pub const SHELL_ONLY: &[(CloseReason, &str)] = &[(
    CloseReason::Unread,
    "only the shell sees that a socket takes nothing; the run's own sockets tell the core so",
)];

/// What frames have shown.
#[derive(Clone, Debug, Default)]
pub struct Coverage {
    messages: BTreeSet<(u16, u8)>,
    closes: BTreeSet<String>,
    channel_closes: BTreeSet<String>,
    rejects: BTreeSet<String>,
}

impl Coverage {
    /// A frame was sent, by whomever.
    pub fn saw(&mut self, frame: &Frame, by_the_hub: bool) {
        self.messages.insert((frame.extension(), frame.msg_type));
        if !by_the_hub || frame.is_channel_msg() {
            return;
        }
        match HubMessage::decode(frame) {
            Ok(HubMessage::Close(close)) => {
                self.closes.insert(close.reason_code);
            }
            Ok(HubMessage::CloseChannel(close)) => {
                self.channel_closes.insert(close.reason_code);
            }
            Ok(HubMessage::Reject(reject)) => {
                self.rejects.insert(reject.error_code);
            }
            _ => {}
        }
    }

    /// Adds what another run has shown.
    pub fn add(&mut self, other: &Coverage) {
        self.messages.extend(&other.messages);
        self.closes.extend(other.closes.iter().cloned());
        self.channel_closes
            .extend(other.channel_closes.iter().cloned());
        self.rejects.extend(other.rejects.iter().cloned());
    }

    /// What is in the specification's tables and was never seen.
    pub fn missing(&self) -> Vec<String> {
        let messages = TABLE
            .iter()
            .filter(|row| !self.messages.contains(&(row.extension, row.msg_type)))
            .map(|row| format!("message {}", row.name));
        let closes = CloseReason::ALL
            .iter()
            .filter(|reason| !self.closes.contains(reason.as_str()))
            .map(|reason| format!("close reason {reason}"));
        let rejects = RejectReason::ALL
            .iter()
            .filter(|reason| !self.rejects.contains(reason.as_str()))
            .map(|reason| format!("reject reason {reason}"));
        let channel_closes = ChannelCloseReason::ALL
            .iter()
            .filter(|reason| !self.channel_closes.contains(reason.as_str()))
            .map(|reason| format!("reason {reason} of CloseChannel"));
        let reasons = closes.chain(channel_closes).chain(rejects);
        messages.chain(reasons).collect()
    }
}
