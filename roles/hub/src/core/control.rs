//! Messages of an authenticated client to the hub itself: without the channel bit.

use winze_messages::families::hub::{Credit, HubMessage};
use winze_messages::{EXT_HUB, MessageError};
use winze_transport::Frame;

use super::connection::ControlOverflow;
use super::credit::Totals;
use super::end::EndRef;
use super::event::Ending;
use super::reasons::CloseReason;
use super::{ConnId, HubCore, is_foreign};
use crate::limits::CONTROL_MAX;

impl HubCore {
    pub(super) fn control(&mut self, conn: ConnId, frame: &Frame) -> Result<(), Ending> {
        if is_foreign(frame.extension()) {
            self.counters.ignored += 1;
            return Ok(());
        }
        if is_step(frame) {
            let text = format!(
                "message {:#06x}/{:#04x} came again after its step",
                frame.extension_type, frame.msg_type
            );
            return Err(Ending::close(CloseReason::NotAuthenticated, text, 0));
        }
        let message = HubMessage::decode(frame).map_err(|error| match error {
            MessageError::Unknown { .. } => {
                Ending::close(CloseReason::UnknownMessage, error.to_string(), 0)
            }
            MessageError::Malformed(error) => Ending::malformed(error),
        })?;
        match message {
            HubMessage::OpenChannel(message) => self.open_channel(conn, message),
            HubMessage::ChannelOfferAccept(message) => self.accept(conn, &message),
            HubMessage::ChannelOfferRefuse(message) => self.refuse_offer(conn, message),
            HubMessage::Credit(message) => {
                self.credit(conn, &message);
                Ok(())
            }
            HubMessage::CloseChannel(message) => {
                self.close_channel(conn, message);
                Ok(())
            }
            HubMessage::Ping(message) => {
                self.pong(conn, message.nonce);
                Ok(())
            }
            // Whatever came was a sign of life.
            HubMessage::Pong(_) => Ok(()),
            HubMessage::Authenticate(_)
            | HubMessage::AuthenticateSuccess(_)
            | HubMessage::AuthenticateError(_)
            | HubMessage::OpenChannelSuccess(_)
            | HubMessage::OpenChannelError(_)
            | HubMessage::ChannelOffer(_)
            | HubMessage::Reject(_)
            | HubMessage::Presence(_)
            | HubMessage::Close(_)
            | HubMessage::GroupMember(_) => {
                let text = format!("message {:#04x} is the hub's to send", frame.msg_type);
                Err(Ending::close(CloseReason::UnknownMessage, text, 0))
            }
        }
    }

    /// Queues an answer to a client's request. It has to read its answers.
    pub(super) fn answer(&mut self, conn: ConnId, frame: Frame) -> Result<(), Ending> {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return Ok(());
        };
        self.ready.insert(conn);
        connection.answer(frame).map_err(Ending::from)
    }

    /// Raises what a client takes on a channel. An unknown id is ignored: the channel may just have been closed.
    fn credit(&mut self, conn: ConnId, message: &Credit) {
        let end = EndRef {
            conn,
            channel_id: message.channel_id,
        };
        if let Some(known) = self.end_mut(end) {
            known.outbound.raise(Totals {
                messages: message.messages,
                bytes: message.bytes,
            });
            self.schedule(end);
        }
    }

    fn pong(&mut self, conn: ConnId, nonce: u64) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.pong(nonce);
            self.ready.insert(conn);
        }
    }
}

/// Whether this is a message of the steps, which are over.
fn is_step(frame: &Frame) -> bool {
    use winze_messages::families::{common, extensions, hub};
    let steps = [
        (
            winze_messages::EXT_COMMON,
            common::SetupConnection::MSG_TYPE,
        ),
        (
            winze_messages::EXT_EXTENSIONS,
            extensions::RequestExtensions::MSG_TYPE,
        ),
        (EXT_HUB, hub::Authenticate::MSG_TYPE),
    ];
    steps.contains(&(frame.extension_type, frame.msg_type))
}

impl From<ControlOverflow> for Ending {
    fn from(_: ControlOverflow) -> Ending {
        let text = format!("{CONTROL_MAX} answers wait for this client to read them");
        Ending::close(CloseReason::ControlOverflow, text, 0)
    }
}
