//! Negotiation of extensions (Sv2 extension 0x0001). Each list holds at most
//! [`EXTENSIONS_MAX`](crate::limits::EXTENSIONS_MAX) ids, without the channel bit.

use crate::codec::kinds::{ExtensionIds, U16};
use crate::codec::message::{connection_family, message};

/// The extension that negotiates extensions.
pub const EXT_EXTENSIONS: u16 = 0x0001;

message! {
    /// The client names what it wants to use.
    Connection RequestExtensions = EXT_EXTENSIONS, 0x00, "RequestExtensions" {
        /// The client's, returned in the answer.
        request_id: u16 as U16,
        /// What the client wants to use.
        requested_extensions: Vec<u16> as ExtensionIds,
    }
}

message! {
    /// The server names what it offers of it.
    Connection RequestExtensionsSuccess = EXT_EXTENSIONS, 0x01, "RequestExtensions.Success" {
        /// That of the request.
        request_id: u16 as U16,
        /// What may be used from now on.
        supported_extensions: Vec<u16> as ExtensionIds,
    }
}

message! {
    /// The server offers none of it, or needs something that is not among it.
    Connection RequestExtensionsError = EXT_EXTENSIONS, 0x02, "RequestExtensions.Error" {
        /// That of the request.
        request_id: u16 as U16,
        /// What the server does not have.
        unsupported_extensions: Vec<u16> as ExtensionIds,
        /// What the server cannot do without.
        required_extensions: Vec<u16> as ExtensionIds,
    }
}

connection_family! {
    /// Any message of this family.
    ExtensionsMessage = EXT_EXTENSIONS {
        RequestExtensions,
        RequestExtensionsSuccess,
        RequestExtensionsError,
    }
}
