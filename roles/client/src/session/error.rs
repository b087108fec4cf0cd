use std::fmt;

use thiserror::Error;
use winze_messages::{DecodeError, EncodeError, MessageError};

/// Why a connection to the hub ended. Text that the hub chose is escaped when shown.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SessionError {
    /// The hub does not let us in: its configuration or ours is to be changed.
    #[error("the hub refused {step}: {code:?}")]
    Refused {
        /// What it answered.
        step: Step,
        /// Its error code.
        code: String,
        /// When to come back, in milliseconds; 0 is no advice.
        retry_after_ms: u32,
    },
    /// The hub closed the connection and said why.
    #[error("the hub closed the connection: {reason:?} ({detail:?})")]
    Closed {
        /// Its reason code (specification, section 2, at 0x0F).
        reason: String,
        /// For a person.
        detail: String,
        /// When to come back, in milliseconds; 0 is no advice.
        retry_after_ms: u32,
    },
    /// The hub asked us to reconnect, and the time to finish is over.
    #[error("the hub asked us to reconnect")]
    Reconnect,
    /// The hub broke the protocol.
    #[error("the hub misbehaved: {0}")]
    Misbehaved(Misbehaviour),
    /// The hub did not answer in time before we were authenticated.
    #[error("the hub did not answer {step} in time")]
    SetupTimeout {
        /// What it did not answer.
        step: Step,
    },
    /// Nothing came from the hub.
    #[error("nothing came from the hub for {silent_ms} ms")]
    IdleTimeout {
        /// For how long.
        silent_ms: u64,
    },
    /// Our own message has no encoding: a configured text is too long, say.
    #[error(transparent)]
    Unsendable(#[from] EncodeError),
}

impl From<DecodeError> for SessionError {
    fn from(error: DecodeError) -> SessionError {
        SessionError::Misbehaved(Misbehaviour::Message(error.into()))
    }
}

impl From<MessageError> for SessionError {
    fn from(error: MessageError) -> SessionError {
        SessionError::Misbehaved(Misbehaviour::Message(error))
    }
}

impl From<Misbehaviour> for SessionError {
    fn from(misbehaviour: Misbehaviour) -> SessionError {
        SessionError::Misbehaved(misbehaviour)
    }
}

/// How the hub broke the protocol.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Misbehaviour {
    /// A message of a known family that there is none of, or that does not decode.
    #[error("{0}")]
    Message(MessageError),
    /// A message that is not the hub's to send, or not at this step.
    #[error("message {msg_type:#04x} of extension {extension_type:#06x} while waiting for {step}")]
    OutOfOrder {
        /// As on the wire.
        extension_type: u16,
        /// As on the wire.
        msg_type: u8,
        /// Where the connection was.
        step: Step,
    },
    /// It accepted something that was not asked for.
    #[error("{0}")]
    Answer(&'static str),
    /// It sent more on a channel than was granted.
    #[error("more on channel {channel_id} than was granted")]
    CreditExceeded {
        /// Which channel.
        channel_id: u32,
    },
    /// It makes us answer faster than it reads.
    #[error("more answers wait to be written to it than {answers_max}")]
    ControlOverflow {
        /// The bound.
        answers_max: usize,
    },
}

/// Where a connection is on its way in (specification, section 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// `SetupConnection` was sent.
    SetupConnection,
    /// `RequestExtensions` was sent.
    RequestExtensions,
    /// `Authenticate` was sent.
    Authenticate,
    /// All of it is done.
    Ready,
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Step::SetupConnection => "SetupConnection",
            Step::RequestExtensions => "RequestExtensions",
            Step::Authenticate => "Authenticate",
            Step::Ready => "channel traffic",
        })
    }
}

/// Why a message was not sent. Nothing of it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    /// The channel is not open at present.
    #[error("the channel is not open")]
    NotOpen,
    /// The far end is not there: the hub would refuse it.
    #[error("the far end is away")]
    Away,
    /// The channel has changed, and the owner has not taken the event that says so.
    #[error("events of the channel are to be taken first")]
    EventsUnread,
    /// The hub takes no more for the moment; the channel wakes its owner when it does.
    #[error("no credit")]
    NoCredit,
    /// Too much waits to be written; the channel wakes its owner when there is room.
    #[error("too many messages wait to be written")]
    Unsent,
    /// The hub takes no payload of this length.
    #[error("a payload of {payload_bytes} bytes, the hub takes {payload_bytes_max}")]
    TooLong {
        /// With the channel id.
        payload_bytes: usize,
        /// What it takes.
        payload_bytes_max: usize,
    },
}

/// Why no channel can be opened here.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum OpenError {
    /// This client has a channel of this name.
    #[error("a channel for {extension:#06x} to {peer} labelled {label:?} is open already")]
    AlreadyOpen {
        /// Which family.
        extension: u16,
        /// To whom.
        peer: String,
        /// As which of several.
        label: String,
    },
    /// A group is opened as one ([`SessionCore::open_group`](super::SessionCore::open_group)), so that its members
    /// have an owner.
    #[error("{peer} is a group, and is to be opened as one")]
    IsAGroup {
        /// Whose role is `group`.
        peer: String,
    },
    /// Groups are named under the role `group`.
    #[error("{peer} is no group")]
    NotAGroup {
        /// Who was named.
        peer: String,
    },
    /// A label is 0 to 64 printable ASCII characters.
    #[error("{label:?} cannot be a label: 0 to 64 printable ASCII characters")]
    BadLabel {
        /// The label.
        label: String,
    },
    /// The family is not among those that this client negotiates.
    #[error("extension {extension:#06x} is not among those that the client negotiates")]
    NotNegotiated {
        /// Which family.
        extension: u16,
    },
    /// Another listener takes this family's offers.
    #[error("another listener takes the offers of {extension:#06x}")]
    ListenerExists {
        /// Which family.
        extension: u16,
    },
}
