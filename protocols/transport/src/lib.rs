//! Placeholder.

pub mod frame;
pub mod keys;

pub use frame::{CHANNEL_BIT, Frame, FrameError, HEADER_BYTES, Header, PAYLOAD_BYTES_MAX};
pub use keys::{
    Certificate, CertificateError, IdentityError, KeyError, PublicKey, SecretKey, ServerIdentity,
    verify_schnorr,
};
