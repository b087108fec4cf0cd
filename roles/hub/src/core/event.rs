//! What happened to a connection, for the log, and how one ends.

use winze_messages::DecodeError;
use winze_messages::families::hub::{AuthenticateError, Close, detail as cut};
use winze_messages::names::PeerName;
use winze_transport::Frame;

use super::reasons::{AuthenticationRefusal, CloseReason, OpenRefusal, SetupRefusal};
use super::{ConnId, encoded};

/// Something worth a line in the log. Holds no secret and no body of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A client has proven who it is.
    Authenticated {
        /// Its connection.
        conn: ConnId,
        /// Its name.
        peer: PeerName,
        /// The number of this authenticated connection.
        instance: u64,
    },
    /// A connection has ended, or is about to.
    Ended {
        /// The connection.
        conn: ConnId,
        /// Whose it was, once proven.
        peer: Option<PeerName>,
        /// Why.
        cause: EndCause,
        /// More of it, for a person.
        detail: String,
    },
    /// A channel was opened.
    ChannelOpened {
        /// Who opened it.
        opener: PeerName,
        /// To whom.
        acceptor: PeerName,
        /// For which extension.
        extension: u16,
    },
    /// A channel to a group was opened, and one to each of its members.
    GroupOpened {
        /// Who opened it.
        opener: PeerName,
        /// The group.
        group: PeerName,
        /// For which extension.
        extension: u16,
        /// How many members it has at present, without the opener.
        members: usize,
    },
    /// A channel was not opened.
    OpenRefused {
        /// Who asked.
        opener: PeerName,
        /// Why not.
        reason: OpenRefusal,
        /// More of it, for a person.
        detail: String,
    },
}

/// Why a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EndCause {
    /// The client's stream ended between two frames: it closed the connection, or its system did when its process
    /// ended.
    Left,
    /// It broke: reset, cut off inside a frame, or not to be written to any more.
    Gone,
    /// The hub closed it with `Close`.
    Closed(CloseReason),
    /// The hub answered with `SetupConnection.Error`.
    SetupRefused(SetupRefusal),
    /// The hub answered with `RequestExtensions.Error`.
    ExtensionsRefused,
    /// The hub answered with `Authenticate.Error`.
    AuthenticationRefused(AuthenticationRefusal),
}

impl EndCause {
    /// A name for logs and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            EndCause::Left => "left",
            EndCause::Gone => "gone",
            EndCause::Closed(reason) => reason.as_str(),
            EndCause::SetupRefused(_) => "setup-refused",
            EndCause::ExtensionsRefused => "extensions-refused",
            EndCause::AuthenticationRefused(_) => "authentication-refused",
        }
    }
}

/// How the hub ends a connection: the last message, and why.
#[derive(Debug)]
pub(super) struct Ending {
    pub(super) last_words: Frame,
    pub(super) cause: EndCause,
    pub(super) detail: String,
}

impl Ending {
    pub(super) fn close(reason: CloseReason, detail: String, retry_after_ms: u32) -> Ending {
        let close = Close {
            reason_code: reason.as_str().to_owned(),
            detail: cut(&detail),
            retry_after_ms,
        };
        Ending {
            last_words: encoded(close),
            cause: EndCause::Closed(reason),
            detail,
        }
    }

    pub(super) fn malformed(error: DecodeError) -> Ending {
        Ending::close(CloseReason::Malformed, error.to_string(), 0)
    }

    pub(super) fn not_authenticated(
        refusal: AuthenticationRefusal,
        retry_after_ms: u32,
        detail: String,
    ) -> Ending {
        let error = AuthenticateError {
            error_code: refusal.as_str().to_owned(),
            retry_after_ms,
        };
        Ending {
            last_words: encoded(error),
            cause: EndCause::AuthenticationRefused(refusal),
            detail,
        }
    }
}
