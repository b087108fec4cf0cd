//! A frame on its way to a client.

use std::borrow::Borrow;
use std::sync::Arc;

use winze_transport::Frame;

/// A frame that is the client's alone, or its copy of one that goes to many and is in memory once. Whoever has no use for
/// the difference takes either as a [`Frame`].
#[derive(Clone, Debug)]
pub enum Outgoing {
    /// As it is to be sent.
    Own(Frame),
    /// A message to a group, to be sent with this client's id of the channel.
    Copy {
        /// The message, with the sender's id of the channel.
        frame: Arc<Frame>,
        /// The client's id.
        channel_id: u32,
    },
}

impl Outgoing {
    /// Bytes of its payload.
    pub(super) fn payload_bytes(&self) -> usize {
        let frame: &Frame = self.borrow();
        frame.payload.len()
    }
}

/// The frame, but for the channel id of a copy.
impl Borrow<Frame> for Outgoing {
    fn borrow(&self) -> &Frame {
        match self {
            Outgoing::Own(frame) => frame,
            Outgoing::Copy { frame, .. } => frame,
        }
    }
}

impl From<Outgoing> for Frame {
    fn from(outgoing: Outgoing) -> Frame {
        match outgoing {
            Outgoing::Own(frame) => frame,
            Outgoing::Copy { frame, channel_id } => {
                let mut frame = Arc::unwrap_or_clone(frame);
                frame.set_channel_id(channel_id);
                frame
            }
        }
    }
}
