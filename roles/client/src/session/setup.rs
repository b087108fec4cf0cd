//! The way in: steps 2 to 7 of a connection (specification, section 1), as states that consume
//! themselves.

use winze_messages::authentication;
use winze_messages::families::common::{CommonMessage, SetupConnection};
use winze_messages::families::extensions::{ExtensionsMessage, RequestExtensions};
use winze_messages::families::hub::{AuthenticateSuccess, Close, HubMessage, detail};
use winze_messages::{EXT_COMMON, EXT_EXTENSIONS, EXT_HUB};
use winze_transport::{Frame, Transcript};

use super::SessionConfig;
use super::error::{Misbehaviour, SessionError, Step};
use crate::identity::Identity;

/// Sv2's mining protocol, and the one version there is.
const PROTOCOL: u8 = 0;
const VERSION: u16 = 2;

/// There is one negotiation per connection.
const REQUEST_ID: u16 = 1;

/// A connection on its way in.
pub(super) struct Setup {
    step: Step,
    transcript: Transcript,
    aux_rand: [u8; 32],
    pub(super) deadline_ms: u64,
    extensions: Vec<u16>,
}

/// What an authenticated connection allows.
pub(super) struct Agreed {
    /// Those that the hub offers of what was asked for.
    pub(super) extensions: Vec<u16>,
    pub(super) limits: AuthenticateSuccess,
}

pub(super) enum Progress {
    /// Wait for the next answer; the frame, where there is one, is to be sent.
    On(Setup, Option<Frame>),
    Done(Agreed),
}

impl Setup {
    /// The first message. `aux_rand` is fresh randomness for the signature to come.
    pub(super) fn start(
        config: &SessionConfig,
        transcript: &Transcript,
        aux_rand: [u8; 32],
        now_ms: u64,
    ) -> Result<(Setup, Frame), SessionError> {
        let hello = SetupConnection {
            protocol: PROTOCOL,
            min_version: VERSION,
            max_version: VERSION,
            flags: 0,
            endpoint_host: detail(&config.endpoint_host),
            endpoint_port: config.endpoint_port,
            vendor: "winze".to_owned(),
            hardware_version: String::new(),
            firmware: env!("CARGO_PKG_VERSION").to_owned(),
            device_id: String::new(),
        };
        let setup = Setup {
            step: Step::SetupConnection,
            transcript: *transcript,
            aux_rand,
            deadline_ms: now_ms.saturating_add(config.setup_timeout_ms),
            extensions: Vec::new(),
        };
        Ok((setup, hello.to_frame()?))
    }

    pub(super) fn timed_out(&self) -> SessionError {
        SessionError::SetupTimeout { step: self.step }
    }

    pub(super) fn handle(
        self,
        frame: &Frame,
        identity: &Identity,
        config: &SessionConfig,
    ) -> Result<Progress, SessionError> {
        let step = self.step;
        let out_of_order = || {
            SessionError::Misbehaved(Misbehaviour::OutOfOrder {
                extension_type: frame.extension_type,
                msg_type: frame.msg_type,
                step,
            })
        };
        match (frame.extension_type, step) {
            (EXT_COMMON, Step::SetupConnection) => self.set_up(frame, config, out_of_order),
            (EXT_EXTENSIONS, Step::RequestExtensions) => {
                self.negotiated(frame, identity, config, out_of_order)
            }
            (EXT_HUB, _) => self.hub_message(frame, out_of_order),
            (EXT_COMMON | EXT_EXTENSIONS, _) => Err(out_of_order()),
            _ if frame.is_channel_msg() => Err(out_of_order()),
            // Stratum V2: an unknown extension without the channel bit is ignored, at any time.
            _ => Ok(Progress::On(self, None)),
        }
    }

    fn set_up(
        mut self,
        frame: &Frame,
        config: &SessionConfig,
        out_of_order: impl Fn() -> SessionError,
    ) -> Result<Progress, SessionError> {
        match CommonMessage::decode(frame)? {
            CommonMessage::SetupConnectionSuccess(success) => {
                if success.used_version != VERSION || success.flags != 0 {
                    return Err(
                        Misbehaviour::Answer("it chose a version or flags of its own").into(),
                    );
                }
                let mut requested_extensions = vec![EXT_HUB];
                requested_extensions.extend(config.extensions.iter().filter(|e| **e != EXT_HUB));
                self.step = Step::RequestExtensions;
                let request = RequestExtensions {
                    request_id: REQUEST_ID,
                    requested_extensions,
                };
                Ok(Progress::On(self, Some(request.to_frame()?)))
            }
            CommonMessage::SetupConnectionError(error) => Err(SessionError::Refused {
                step: self.step,
                code: error.error_code,
                retry_after_ms: 0,
            }),
            _ => Err(out_of_order()),
        }
    }

    fn negotiated(
        mut self,
        frame: &Frame,
        identity: &Identity,
        config: &SessionConfig,
        out_of_order: impl Fn() -> SessionError,
    ) -> Result<Progress, SessionError> {
        match ExtensionsMessage::decode(frame)? {
            ExtensionsMessage::RequestExtensionsSuccess(success) => {
                if success.request_id != REQUEST_ID {
                    return Err(Misbehaviour::Answer("it answered another negotiation").into());
                }
                if !success.supported_extensions.contains(&EXT_HUB) {
                    return Err(Misbehaviour::Answer("it does not offer the hub family").into());
                }
                self.extensions = config
                    .extensions
                    .iter()
                    .copied()
                    .filter(|extension| success.supported_extensions.contains(extension))
                    .collect();
                self.step = Step::Authenticate;
                let proof = authentication::sign(
                    identity.secret(),
                    self.transcript.as_bytes(),
                    identity.peer(),
                    &self.aux_rand,
                );
                Ok(Progress::On(self, Some(proof.to_frame()?)))
            }
            ExtensionsMessage::RequestExtensionsError(error) => Err(SessionError::Refused {
                step: self.step,
                code: format!(
                    "unsupported {:04x?}, required {:04x?}",
                    error.unsupported_extensions, error.required_extensions
                ),
                retry_after_ms: 0,
            }),
            ExtensionsMessage::RequestExtensions(_) => Err(out_of_order()),
        }
    }

    fn hub_message(
        self,
        frame: &Frame,
        out_of_order: impl Fn() -> SessionError,
    ) -> Result<Progress, SessionError> {
        match (HubMessage::decode(frame)?, self.step) {
            (HubMessage::Close(close), _) => Err(closed(close)),
            (HubMessage::AuthenticateSuccess(limits), Step::Authenticate) => {
                Ok(Progress::Done(Agreed {
                    extensions: self.extensions,
                    limits,
                }))
            }
            (HubMessage::AuthenticateError(error), Step::Authenticate) => {
                Err(SessionError::Refused {
                    step: self.step,
                    code: error.error_code,
                    retry_after_ms: error.retry_after_ms,
                })
            }
            _ => Err(out_of_order()),
        }
    }
}

pub(super) fn closed(close: Close) -> SessionError {
    SessionError::Closed {
        reason: close.reason_code,
        detail: close.detail,
        retry_after_ms: close.retry_after_ms,
    }
}
