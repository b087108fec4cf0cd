//! A connection's way to its identity: steps 2 to 7 (specification, section 1).

use std::collections::BTreeSet;
use std::fmt::Display;

use winze_messages::families::common::{
    SetupConnection, SetupConnectionError, SetupConnectionSuccess,
};
use winze_messages::families::extensions::{
    ExtensionsMessage, RequestExtensions, RequestExtensionsError, RequestExtensionsSuccess,
};
use winze_messages::families::hub::{Authenticate, AuthenticateSuccess};
use winze_messages::{EXT_COMMON, EXT_EXTENSIONS, EXT_HUB, EncodeError, authentication};
use winze_transport::Frame;

use super::connection::Step;
use super::event::{EndCause, Ending, Event};
use super::reasons::{AuthenticationRefusal, CloseReason, SetupRefusal};
use super::{ConnId, HubCore, encoded, is_foreign};
use crate::limits::{FRAMES_BEFORE_AUTHENTICATION_MAX, PAYLOAD_BYTES_BEFORE_AUTHENTICATION_TOTAL};
use crate::sabotage::{Rule, is_broken};

/// The one Sv2 protocol that a client may ask for: a value of our own would shut out clients that are built on the
/// reference crates, whose type has the three of the specification.
const PROTOCOL: u8 = 0;

/// The version of Stratum V2 that the hub speaks.
const VERSION: u16 = 2;

impl HubCore {
    /// A frame of a client that has not proven who it is.
    pub(super) fn setup(&mut self, conn: ConnId, frame: &Frame, now_ms: u64) -> Result<(), Ending> {
        let Some(connection) = self.connections.get_mut(&conn) else {
            return Ok(());
        };
        let payload_bytes = connection.count_unauthenticated(frame.payload.len());
        if payload_bytes > PAYLOAD_BYTES_BEFORE_AUTHENTICATION_TOTAL {
            let detail = format!(
                "{payload_bytes} bytes before authentication, at most \
                 {PAYLOAD_BYTES_BEFORE_AUTHENTICATION_TOTAL} are taken"
            );
            return Err(Ending::close(CloseReason::PayloadTooLong, detail, 0));
        }
        if connection.count_unauthenticated_frame() > FRAMES_BEFORE_AUTHENTICATION_MAX {
            let detail = format!(
                "more than {FRAMES_BEFORE_AUTHENTICATION_MAX} messages before authentication"
            );
            return Err(Ending::close(CloseReason::NotAuthenticated, detail, 0));
        }
        if !frame.is_channel_msg() && is_foreign(frame.extension()) {
            self.counters.ignored += 1;
            return Ok(());
        }
        let (expected, name) = match connection.step() {
            Step::AwaitSetupConnection => {
                ((EXT_COMMON, SetupConnection::MSG_TYPE), "SetupConnection")
            }
            Step::AwaitRequestExtensions => (
                (EXT_EXTENSIONS, RequestExtensions::MSG_TYPE),
                "RequestExtensions",
            ),
            Step::AwaitAuthenticate => ((EXT_HUB, Authenticate::MSG_TYPE), "Authenticate"),
            Step::Ready { .. } | Step::Ended => return Ok(()),
        };
        if (frame.extension_type, frame.msg_type) != expected {
            let detail = format!(
                "message {:#06x}/{:#04x} came where {name} was due",
                frame.extension_type, frame.msg_type
            );
            return Err(Ending::close(CloseReason::NotAuthenticated, detail, 0));
        }
        let payload = &frame.payload;
        match connection.step() {
            Step::AwaitSetupConnection => {
                let message =
                    SetupConnection::decode_payload(payload).map_err(Ending::malformed)?;
                self.set_up(conn, &message)
            }
            Step::AwaitRequestExtensions => {
                let message =
                    RequestExtensions::decode_payload(payload).map_err(Ending::malformed)?;
                self.negotiate(conn, message)
            }
            _ => {
                let message = Authenticate::decode_payload(payload).map_err(Ending::malformed)?;
                self.authenticate(conn, &message, now_ms)
            }
        }
    }

    fn set_up(&mut self, conn: ConnId, request: &SetupConnection) -> Result<(), Ending> {
        if request.protocol != PROTOCOL {
            return Err(setup_refused(SetupRefusal::UnsupportedProtocol, 0));
        }
        if !(request.min_version..=request.max_version).contains(&VERSION) {
            return Err(setup_refused(SetupRefusal::ProtocolVersionMismatch, 0));
        }
        if request.flags != 0 {
            let refusal = SetupRefusal::UnsupportedFeatureFlags;
            return Err(setup_refused(refusal, request.flags));
        }
        let success = SetupConnectionSuccess {
            used_version: VERSION,
            flags: 0,
        };
        self.next_step(
            conn,
            Step::AwaitRequestExtensions,
            fixed_size(success.to_frame()),
        );
        Ok(())
    }

    fn negotiate(&mut self, conn: ConnId, request: RequestExtensions) -> Result<(), Ending> {
        let offered =
            |extension: &u16| *extension == EXT_HUB || self.extensions.contains(extension);
        let requested: BTreeSet<u16> = request.requested_extensions.into_iter().collect();
        let (supported, unsupported): (BTreeSet<u16>, BTreeSet<u16>) =
            requested.into_iter().partition(offered);
        if !supported.contains(&EXT_HUB) {
            let error = RequestExtensionsError {
                request_id: request.request_id,
                unsupported_extensions: unsupported.into_iter().collect(),
                required_extensions: vec![EXT_HUB],
            };
            return Err(Ending {
                last_words: negotiation(error),
                cause: EndCause::ExtensionsRefused,
                detail: format!("the client does not ask for extension {EXT_HUB:#06x}"),
            });
        }
        let success = RequestExtensionsSuccess {
            request_id: request.request_id,
            supported_extensions: supported.iter().copied().collect(),
        };
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.set_extensions(supported, unsupported);
        }
        self.next_step(conn, Step::AwaitAuthenticate, negotiation(success));
        Ok(())
    }

    fn authenticate(
        &mut self,
        conn: ConnId,
        message: &Authenticate,
        now_ms: u64,
    ) -> Result<(), Ending> {
        let Some(connection) = self.connections.get(&conn) else {
            return Ok(());
        };
        // For the operator's log: a client that is not let in is often one that was listed wrongly.
        let claim = format!("{}/{}", message.role, message.name);
        let refused = |refusal, retry_after_ms, who: &dyn Display| {
            Ending::not_authenticated(
                refusal,
                retry_after_ms,
                format!("claims to be {claim}, {who}"),
            )
        };
        let key = authentication::verify(message, connection.transcript().as_bytes())
            .map_err(|error| refused(AuthenticationRefusal::BadSignature, 0, &error))?;
        let peer = self.registry.by_key(&key).ok_or_else(|| {
            let who = format!("its key is {key}");
            refused(AuthenticationRefusal::UnlistedKey, 0, &who)
        })?;
        let name = self.registry.name(peer).clone();
        if (name.role(), name.name()) != (message.role.as_str(), message.name.as_str()) {
            let who = format!("its key is that of {name}");
            return Err(refused(AuthenticationRefusal::IdentityMismatch, 0, &who));
        }
        let claimed = self.registry.claim(peer, conn, now_ms).map_err(|wait_ms| {
            let wait_ms = u32::try_from(wait_ms).unwrap_or(u32::MAX);
            let who = "which has changed hands too often";
            refused(AuthenticationRefusal::TooManyTakeovers, wait_ms, &who)
        })?;
        if let Some(older) = claimed.replaced
            && !is_broken(Rule::OneConnectionPerIdentity)
        {
            self.replace(older);
        }
        let success = AuthenticateSuccess {
            payload_bytes_max: self.limits.payload_bytes_max,
            channels_max: self.limits.channels_max,
            ping_interval_ms: self.limits.ping_interval_ms,
            idle_timeout_ms: self.limits.idle_timeout_ms,
        };
        let ready = Step::Ready {
            peer,
            instance: claimed.instance,
        };
        self.next_step(conn, ready, encoded(success));
        self.counters.authenticated += 1;
        self.events.push(Event::Authenticated {
            conn,
            peer: name,
            instance: claimed.instance,
        });
        self.offer_waiting(conn);
        Ok(())
    }

    fn next_step(&mut self, conn: ConnId, step: Step, answer: Frame) {
        if let Some(connection) = self.connections.get_mut(&conn) {
            connection.set_step(step);
            connection
                .answer(answer)
                .expect("the steps have three answers, far fewer than the queue holds");
        }
        self.ready.insert(conn);
    }
}

fn setup_refused(refusal: SetupRefusal, flags: u32) -> Ending {
    let error = SetupConnectionError {
        flags,
        error_code: refusal.as_str().to_owned(),
    };
    Ending {
        last_words: fixed_size(error.to_frame()),
        cause: EndCause::SetupRefused(refusal),
        detail: refusal.as_str().to_owned(),
    }
}

fn negotiation(message: impl Into<ExtensionsMessage>) -> Frame {
    fixed_size(message.into().to_frame())
}

fn fixed_size(frame: Result<Frame, EncodeError>) -> Frame {
    frame.expect(
        "its texts are the hub's own short codes, its lists no longer than the client's was",
    )
}
