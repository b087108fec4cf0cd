//! What goes wrong between us and Redis, by who is to blame.

use redis::{ErrorKind, RedisError, ServerErrorKind};

/// Why something was not done. What had been sent when the connection broke may be done all the same.
#[derive(Clone, Debug, thiserror::Error)]
pub enum RedisFault {
    /// It cannot be reached, or the connection broke.
    #[error("{address}: {problem}")]
    Away {
        /// Where it should be.
        address: String,
        /// What the network said.
        problem: String,
    },
    /// It does not accept our user or password, or wants one.
    #[error("{address}: Redis refuses the login: {problem}")]
    Login {
        /// Where.
        address: String,
        /// Redis's words, which hold neither.
        problem: String,
    },
    /// Our user may not do this.
    #[error("{address}: Redis does not allow it: {problem}")]
    NotAllowed {
        /// Where.
        address: String,
        /// Redis's words.
        problem: String,
    },
    /// A key holds another type of value than it should: somebody else uses it for something else.
    #[error("{key:?} in Redis at {address} is no {expected}")]
    WrongType {
        /// Where.
        address: String,
        /// Which key.
        key: String,
        /// What it should be.
        expected: &'static str,
    },
    /// What lies in our second list was taken by somebody else, under the same name, and is not settled.
    #[error(
        "{address}: what is in {list:?} was taken by {other:?}, and this is {us:?}: two who take from one list need two names. \
         Where that one is stopped for good and asked no mint for it, `redis-cli HDEL {owner_key} owner` hands it over"
    )]
    TakenByAnother {
        /// Where.
        address: String,
        /// The second list.
        list: String,
        /// Whose entries lie there.
        other: String,
        /// Who wanted them.
        us: String,
        /// The key that says so.
        owner_key: String,
    },
    /// It refuses for a reason of its own (no memory, still loading, read-only: where it is a replica by now, the next attempt
    /// looks its address up again).
    #[error("{address}: Redis refuses: {problem}")]
    Refused {
        /// Where.
        address: String,
        /// Redis's words.
        problem: String,
    },
}

impl RedisFault {
    /// Sorts what the library says.
    pub(crate) fn from_redis(address: &str, error: &RedisError) -> RedisFault {
        let server_errors = error.clone().into_server_errors();
        let first = server_errors.as_deref().and_then(<[_]>::first);
        let code = first.map_or(error.code(), |(_, first)| Some(first.code()));
        let code = code.unwrap_or_default();
        let problem = match (first, server_errors.as_deref().map_or(0, <[_]>::len)) {
            // Of a pipeline the library lists every command's.
            (Some((_, first)), failed @ 2..) => format!("{first} (the first of {failed} commands)"),
            _ => error.to_string(),
        };
        let address = address.to_owned();
        match error.kind() {
            _ if matches!(code, "NOAUTH" | "WRONGPASS") => RedisFault::Login { address, problem },
            ErrorKind::AuthenticationFailed => RedisFault::Login { address, problem },
            ErrorKind::Server(ServerErrorKind::NoPerm) => {
                RedisFault::NotAllowed { address, problem }
            }
            _ if code == "NOPERM" => RedisFault::NotAllowed { address, problem },
            ErrorKind::Io => RedisFault::Away { address, problem },
            _ if error.is_connection_dropped() || error.is_timeout() => {
                RedisFault::Away { address, problem }
            }
            _ => RedisFault::Refused { address, problem },
        }
    }

    /// The next bytes on the connection may belong to nothing that is known, or the other end is not what it was.
    pub(crate) fn ends_connection(error: &RedisError) -> bool {
        error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly)
            || error.is_unrecoverable_error()
    }

    /// A later attempt may go well without anybody changing a configuration.
    pub fn may_pass(&self) -> bool {
        match self {
            RedisFault::Away { .. }
            | RedisFault::Refused { .. }
            | RedisFault::WrongType { .. }
            | RedisFault::TakenByAnother { .. } => true,
            RedisFault::Login { .. } | RedisFault::NotAllowed { .. } => false,
        }
    }
}
