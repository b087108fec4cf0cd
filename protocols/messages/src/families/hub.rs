//! The hub family: messages between a client and the hub (sections 1 to 3). None has the channel
//! bit; none is forwarded.

use crate::codec::kinds::{ExtensionId, Flag, Name, PubKey, Signature, Text, U32, U64};
use crate::codec::message::{connection_family, message};
use crate::limits::TEXT_BYTES_MAX;

/// The hub family's extension.
pub const EXT_HUB: u16 = 0x4801;

message! {
    /// The client says who it is, and proves it (section 1.2).
    Connection Authenticate = EXT_HUB, 0x00, "Authenticate" {
        /// 1..=32 characters of `a-z`, `0-9` and `-`.
        role: String as Name,
        /// 1..=32 characters of `a-z`, `0-9` and `-`.
        name: String as Name,
        /// The identity's x-only key. Bytes that are no key decode, and verify nothing.
        public_key: [u8; 32] as PubKey,
        /// BIP 340, over [`authenticate_digest`](crate::authentication::authenticate_digest).
        signature: [u8; 64] as Signature,
    }
}

message! {
    /// The client is who it says; the limits of the connection.
    Connection AuthenticateSuccess = EXT_HUB, 0x01, "Authenticate.Success" {
        /// The longest payload in bytes that the hub takes from now on, and sends.
        payload_bytes_max: u32 as U32,
        /// How many channels the connection may have, opened and offered together.
        channels_max: u32 as U32,
        /// After so much silence from the client the hub sends `Ping`, in milliseconds.
        ping_interval_ms: u32 as U32,
        /// After so much silence the connection is closed, in milliseconds.
        idle_timeout_ms: u32 as U32,
    }
}

message! {
    /// The client is not let in. The connection ends.
    Connection AuthenticateError = EXT_HUB, 0x02, "Authenticate.Error" {
        /// Section 1.2.
        error_code: String as Text,
        /// When to come back, in milliseconds; 0 is no advice.
        retry_after_ms: u32 as U32,
    }
}

message! {
    /// The client asks for a channel.
    Connection OpenChannel = EXT_HUB, 0x03, "OpenChannel" {
        /// The client's, returned in the answer.
        request_id: u32 as U32,
        /// Without the channel bit.
        extension: u16 as ExtensionId,
        /// The peer name of the other end. Any text decodes; what is no peer name is answered
        /// with `bad-peer-name`.
        peer: String as Text,
        /// Tells channels of one name apart. Any text decodes; the hub answers `bad-label` to
        /// what is not 0..=64 printable ASCII characters.
        label: String as Text,
        /// Total of messages that the opener will take (section 3.3).
        credit_messages: u64 as U64,
        /// Total of payload bytes that the opener will take.
        credit_bytes: u64 as U64,
    }
}

message! {
    /// The channel is there.
    Connection OpenChannelSuccess = EXT_HUB, 0x04, "OpenChannel.Success" {
        /// That of the request.
        request_id: u32 as U32,
        /// Of this connection, from 1, never used again on it.
        channel_id: u32 as U32,
        /// Whether the far end is there and has accepted.
        peer_present: bool as Flag,
        /// Which instance of the far end; 0 while it is away (section 3.4).
        peer_instance: u64 as U64,
        /// Total of messages that the hub will take on this channel.
        credit_messages: u64 as U64,
        /// Total of payload bytes that the hub will take on this channel.
        credit_bytes: u64 as U64,
    }
}

message! {
    /// There will be no such channel.
    Connection OpenChannelError = EXT_HUB, 0x05, "OpenChannel.Error" {
        /// That of the request.
        request_id: u32 as U32,
        /// Section 2, at 0x05.
        error_code: String as Text,
        /// For a person.
        detail: String as Text,
    }
}

message! {
    /// Somebody opened a channel to this client.
    Connection ChannelOffer = EXT_HUB, 0x06, "ChannelOffer" {
        /// Of this connection, from 1, never used again on it.
        channel_id: u32 as U32,
        /// Without the channel bit.
        extension: u16 as ExtensionId,
        /// The opener's peer name. A hint: the hub is not trusted with who somebody is.
        peer: String as Text,
        /// The opener's label for the channel.
        label: String as Text,
        /// Whether the opener is connected.
        peer_present: bool as Flag,
        /// Which instance of the opener; 0 while it is away.
        peer_instance: u64 as U64,
        /// Total of messages that the hub will take on this channel.
        credit_messages: u64 as U64,
        /// Total of payload bytes that the hub will take on this channel.
        credit_bytes: u64 as U64,
    }
}

message! {
    /// The client takes the channel.
    Connection ChannelOfferAccept = EXT_HUB, 0x07, "ChannelOffer.Accept" {
        /// That of the offer.
        channel_id: u32 as U32,
        /// Total of messages that the acceptor will take.
        credit_messages: u64 as U64,
        /// Total of payload bytes that the acceptor will take.
        credit_bytes: u64 as U64,
    }
}

message! {
    /// The client does not take the channel.
    Connection ChannelOfferRefuse = EXT_HUB, 0x08, "ChannelOffer.Refuse" {
        /// That of the offer.
        channel_id: u32 as U32,
        /// The client's own; the opener is told it as a detail.
        reason_code: String as Text,
    }
}

message! {
    /// How much the sender will take on a channel: totals since its id was given.
    Connection Credit = EXT_HUB, 0x09, "Credit" {
        /// The receiver's id of the channel.
        channel_id: u32 as U32,
        /// Total of messages.
        messages: u64 as U64,
        /// Total of payload bytes.
        bytes: u64 as U64,
    }
}

message! {
    /// A channel message was not delivered (section 3.5).
    Connection Reject = EXT_HUB, 0x0A, "Reject" {
        /// The channel that it was sent on.
        channel_id: u32 as U32,
        /// Which message of the channel, from 1; 0 for `unknown-channel`.
        ordinal: u64 as U64,
        /// Section 3.5.
        error_code: String as Text,
        /// For a person: which field, at which byte.
        detail: String as Text,
    }
}

message! {
    /// Whether the far end of a channel is there, and which instance of it (section 3.4).
    Connection Presence = EXT_HUB, 0x0B, "Presence" {
        /// Which channel.
        channel_id: u32 as U32,
        /// Whether the far end is there.
        present: bool as Flag,
        /// Which instance; 0 while away.
        instance: u64 as U64,
    }
}

message! {
    /// From a client: it gives its end up. From the hub: the channel is gone.
    Connection CloseChannel = EXT_HUB, 0x0C, "CloseChannel" {
        /// Which channel.
        channel_id: u32 as U32,
        /// Section 2, at 0x0C.
        reason_code: String as Text,
        /// For a person; in `closed-by-peer` and `refused` the peer's own code.
        detail: String as Text,
    }
}

message! {
    /// Asks for a sign of life.
    Connection Ping = EXT_HUB, 0x0D, "Ping" {
        /// Returned in the Pong.
        nonce: u64 as U64,
    }
}

message! {
    /// A sign of life.
    Connection Pong = EXT_HUB, 0x0E, "Pong" {
        /// That of the last Ping.
        nonce: u64 as U64,
    }
}

message! {
    /// The hub's last message of a connection.
    Connection Close = EXT_HUB, 0x0F, "Close" {
        /// Section 2, at 0x0F.
        reason_code: String as Text,
        /// For a person.
        detail: String as Text,
        /// When to come back, in milliseconds; 0 is no advice.
        retry_after_ms: u32 as U32,
    }
}

message! {
    /// One member of a group to which this client has opened a channel, and the channel to that member alone
    /// (section 3.6).
    Connection GroupMember = EXT_HUB, 0x10, "GroupMember" {
        /// The id of the channel to the group.
        group_channel_id: u32 as U32,
        /// The id of the channel to this member: of this connection, never used again on it.
        channel_id: u32 as U32,
        /// The member's peer name.
        peer: String as Text,
        /// How many messages had been counted on the channel to the group before this member's began: the next one is
        /// the first on both.
        group_messages: u64 as U64,
        /// Their payload bytes.
        group_bytes: u64 as U64,
        /// Whether the member is there and has accepted.
        peer_present: bool as Flag,
        /// Which instance of the member; 0 while it is away.
        peer_instance: u64 as U64,
        /// Total of messages that the hub will take on the member's channel.
        credit_messages: u64 as U64,
        /// Total of payload bytes that the hub will take on the member's channel.
        credit_bytes: u64 as U64,
    }
}

connection_family! {
    /// Any message of this family.
    HubMessage = EXT_HUB {
        Authenticate,
        AuthenticateSuccess,
        AuthenticateError,
        OpenChannel,
        OpenChannelSuccess,
        OpenChannelError,
        ChannelOffer,
        ChannelOfferAccept,
        ChannelOfferRefuse,
        Credit,
        Reject,
        Presence,
        CloseChannel,
        Ping,
        Pong,
        Close,
        GroupMember,
    }
}

/// Text for a `detail` field: what is over 255 bytes is cut off, between two characters. Details
/// are for a person, and must not be a reason for an answer to fail.
pub fn detail(text: impl std::fmt::Display) -> String {
    let mut text = text.to_string();
    let mut end = text.len().min(TEXT_BYTES_MAX);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.truncate(end);
    text
}
