//! Why the hub closes, refuses or rejects, each reason under its name on the wire.

/// An enum whose variants have a name on the wire, listed once.
macro_rules! wire_names {
    ($(#[$meta:meta])* $name:ident { $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum $name { $($(#[$variant_meta])* $variant,)+ }

        impl $name {
            /// Every one of them.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The name on the wire, in logs and in metrics.
            pub fn as_str(self) -> &'static str {
                match self { $($name::$variant => $text,)+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

wire_names! {
    /// Why the hub ends a connection with `Close` (specification, section 2, 0x0F).
    CloseReason {
        /// The steps up to authentication were not done in time.
        SetupTimeout = "setup-timeout",
        /// A message came out of its step.
        NotAuthenticated = "not-authenticated",
        /// A message without the channel bit does not decode, or a frame fails authentication.
        Malformed = "malformed",
        /// A known extension has no such message without the channel bit, or not towards the hub.
        UnknownMessage = "unknown-message",
        /// A frame announces more than is allowed, or too much came before authentication.
        PayloadTooLong = "payload-too-long",
        /// The client sent more on a channel than the hub gave credit for.
        CreditExceeded = "credit-exceeded",
        /// The client makes work and does not read the answers.
        ControlOverflow = "control-overflow",
        /// The client took nothing for the write time-out.
        Unread = "unread",
        /// Nothing came from the client for the idle time-out.
        IdleTimeout = "idle-timeout",
        /// A newer connection has this identity.
        Replaced = "replaced",
        /// The identity is not on the list any more.
        StruckOff = "struck-off",
        /// The hub is full.
        TooManyConnections = "too-many-connections",
        /// The hub goes.
        Shutdown = "shutdown",
    }
}

wire_names! {
    /// Why a channel message was not delivered (specification, section 3.5).
    RejectReason {
        /// This connection has no such channel.
        UnknownChannel = "unknown-channel",
        /// The channel is for another extension.
        WrongExtension = "wrong-extension",
        /// The family has no such message.
        UnknownMessage = "unknown-message",
        /// The message is the other end's to send.
        WrongDirection = "wrong-direction",
        /// The message does not decode to its last byte.
        Malformed = "malformed",
        /// The message is longer than its row of the table allows.
        PayloadTooLong = "payload-too-long",
        /// The far end is not there, or has not accepted, or will not be reached any more: the hub goes.
        PeerAway = "peer-away",
        /// It was sent to a group, and this member's channel has no credit for it.
        NoCredit = "no-credit",
    }
}

wire_names! {
    /// Why a channel was not opened (specification, section 2, 0x05).
    OpenRefusal {
        /// The configuration does not list this extension and peer for this identity.
        NotAllowed = "not-allowed",
        /// The client did not negotiate the extension.
        ExtensionNotNegotiated = "extension-not-negotiated",
        /// The connection has a channel of this name.
        AlreadyOpen = "already-open",
        /// The connection, or the pair of peers, has all the channels it may have.
        TooManyChannels = "too-many-channels",
        /// The peer's name is not `role/name`.
        BadPeerName = "bad-peer-name",
        /// The label is too long or not printable ASCII.
        BadLabel = "bad-label",
    }
}

wire_names! {
    /// Why the hub does not take a client for who it says it is (specification, section 1.2).
    AuthenticationRefusal {
        /// The signature does not verify for this connection, role and name.
        BadSignature = "bad-signature",
        /// The key is not in the configuration.
        UnlistedKey = "unlisted-key",
        /// The key is listed under another role or name.
        IdentityMismatch = "identity-mismatch",
        /// Two instances keep replacing one another.
        TooManyTakeovers = "too-many-takeovers",
    }
}

wire_names! {
    /// Why the hub does not set a connection up (specification, section 1.1).
    SetupRefusal {
        /// `SetupConnection.protocol` is not 0.
        UnsupportedProtocol = "unsupported-protocol",
        /// Version 2 is not within the client's range.
        ProtocolVersionMismatch = "protocol-version-mismatch",
        /// The client asks for a flag; none is defined.
        UnsupportedFeatureFlags = "unsupported-feature-flags",
    }
}

wire_names! {
    /// Why the hub ends a channel with `CloseChannel` (specification, section 2, 0x0C).
    ChannelCloseReason {
        /// The acceptor refused the offer; its own code is the detail.
        Refused = "refused",
        /// The far end closed the channel; its own code is the detail.
        ClosedByPeer = "closed-by-peer",
        /// The list does not allow the channel any more.
        NotAllowed = "not-allowed",
        /// There is no room for all members of the group.
        TooManyChannels = "too-many-channels",
    }
}
