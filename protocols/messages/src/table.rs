//! Every message there is: id, who sends it, how long it may be. Section 9 of the specification
//! is this table in Markdown, and a test compares the two.
//!
//! A family that has no row here is one that a hub does not know: it forwards such messages
//! unread, where its configuration allows the channel.

use std::fmt;

use crate::authenticator::AUTHENTICATOR_FIELDS;
use crate::codec::error::DecodeError;
use crate::codec::kinds::U32;
use crate::codec::message::{Field, Framing, Message};
use crate::codec::reader::Reader;
use crate::families::common::{self, EXT_COMMON};
use crate::families::extensions::{self, EXT_EXTENSIONS};
use crate::families::hub::{self, EXT_HUB};
use crate::families::mint_quote::{self, EXT_MINT_QUOTE};
use crate::families::peg::EXT_PEG;
use crate::families::signing::EXT_SIGNING;

use Direction::{
    BetweenEnds, Both, ClientToHub, HubToClient, PoolToMiner, ToRequester, ToResponder,
};
use Framing::{Channel, Connection, SealedChannel};

/// Every message.
#[rustfmt::skip]
pub const TABLE: &[Row] = &[
    row::<common::SetupConnection>               (EXT_COMMON,     0x00, Connection,    ClientToHub),
    row::<common::SetupConnectionSuccess>        (EXT_COMMON,     0x01, Connection,    HubToClient),
    row::<common::SetupConnectionError>          (EXT_COMMON,     0x02, Connection,    HubToClient),
    row::<common::ChannelEndpointChanged>        (EXT_COMMON,     0x03, Channel,       HubToClient),
    row::<common::Reconnect>                     (EXT_COMMON,     0x04, Connection,    HubToClient),
    row::<extensions::RequestExtensions>         (EXT_EXTENSIONS, 0x00, Connection,    ClientToHub),
    row::<extensions::RequestExtensionsSuccess>  (EXT_EXTENSIONS, 0x01, Connection,    HubToClient),
    row::<extensions::RequestExtensionsError>    (EXT_EXTENSIONS, 0x02, Connection,    HubToClient),
    row::<hub::Authenticate>                     (EXT_HUB,        0x00, Connection,    ClientToHub),
    row::<hub::AuthenticateSuccess>              (EXT_HUB,        0x01, Connection,    HubToClient),
    row::<hub::AuthenticateError>                (EXT_HUB,        0x02, Connection,    HubToClient),
    row::<hub::OpenChannel>                      (EXT_HUB,        0x03, Connection,    ClientToHub),
    row::<hub::OpenChannelSuccess>               (EXT_HUB,        0x04, Connection,    HubToClient),
    row::<hub::OpenChannelError>                 (EXT_HUB,        0x05, Connection,    HubToClient),
    row::<hub::ChannelOffer>                     (EXT_HUB,        0x06, Connection,    HubToClient),
    row::<hub::ChannelOfferAccept>               (EXT_HUB,        0x07, Connection,    ClientToHub),
    row::<hub::ChannelOfferRefuse>               (EXT_HUB,        0x08, Connection,    ClientToHub),
    row::<hub::Credit>                           (EXT_HUB,        0x09, Connection,    Both),
    row::<hub::Reject>                           (EXT_HUB,        0x0A, Connection,    HubToClient),
    row::<hub::Presence>                         (EXT_HUB,        0x0B, Connection,    HubToClient),
    row::<hub::CloseChannel>                     (EXT_HUB,        0x0C, Connection,    Both),
    row::<hub::Ping>                             (EXT_HUB,        0x0D, Connection,    Both),
    row::<hub::Pong>                             (EXT_HUB,        0x0E, Connection,    Both),
    row::<hub::Close>                            (EXT_HUB,        0x0F, Connection,    HubToClient),
    row::<hub::GroupMember>                      (EXT_HUB,        0x10, Connection,    HubToClient),
    row::<mint_quote::MintQuoteRequest>          (EXT_MINT_QUOTE, 0x80, SealedChannel, ToResponder),
    row::<mint_quote::MintQuoteResponse>         (EXT_MINT_QUOTE, 0x81, SealedChannel, ToRequester),
    row::<mint_quote::MintQuoteError>            (EXT_MINT_QUOTE, 0x82, SealedChannel, ToRequester),
    row::<mint_quote::KeysetAnnouncement>        (EXT_MINT_QUOTE, 0x83, SealedChannel, ToRequester),
    row::<mint_quote::StoreQuery>                (EXT_MINT_QUOTE, 0x84, SealedChannel, BetweenEnds),
    row::<mint_quote::StoreState>                (EXT_MINT_QUOTE, 0x85, SealedChannel, BetweenEnds),
    row::<mint_quote::MintQuoteNotification>     (EXT_MINT_QUOTE, 0xC0, Channel,       PoolToMiner),
    row::<mint_quote::MintQuoteFailure>          (EXT_MINT_QUOTE, 0xC1, Channel,       PoolToMiner),
];

/// One message.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The family, without the channel bit.
    pub extension: u16,
    /// The id within the family.
    pub msg_type: u8,
    /// The name in the specification.
    pub name: &'static str,
    /// Whether it has the channel bit, and an authenticator.
    pub framing: Framing,
    /// Who sends it to whom.
    pub direction: Direction,
    /// What stands between channel id and authenticator, where there are any.
    pub fields: &'static [Field],
    /// The shortest payload in bytes, with channel id and authenticator where there are any.
    pub payload_bytes_min: usize,
    /// The longest payload in bytes, likewise.
    pub payload_bytes_max: usize,
}

impl Row {
    /// Reads `payload` to its last byte without copying any of it. Succeeds exactly where the
    /// message's type decodes.
    pub fn check(&self, payload: &[u8]) -> Result<(), DecodeError> {
        let mut reader = Reader::new(self.name, payload, 0);
        for field in self.all_fields() {
            (field.check)(&mut reader, field.name)?;
        }
        reader.finish()
    }

    /// Every field of the payload in its order, with channel id and authenticator.
    pub fn all_fields(&self) -> impl Iterator<Item = &'static Field> {
        let before: &[Field] = match self.framing {
            Connection => &[],
            Channel | SealedChannel => std::slice::from_ref(&CHANNEL_ID_FIELD),
        };
        let after: &[Field] = match self.framing {
            SealedChannel => AUTHENTICATOR_FIELDS,
            Connection | Channel => &[],
        };
        before.iter().chain(self.fields).chain(after)
    }
}

/// The field in front of every channel message.
static CHANNEL_ID_FIELD: Field = Field::of::<U32>("channel_id");

/// Who sends a message to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// A client to the hub; in the common and extension families, to any Sv2 server.
    ClientToHub,
    /// The hub to a client; in the common and extension families, any Sv2 server.
    HubToClient,
    /// Either to the other.
    Both,
    /// The requester of a channel to its responder.
    ToResponder,
    /// The responder of a channel to its requester.
    ToRequester,
    /// Either end of a channel to the other.
    BetweenEnds,
    /// A pool to a miner, on the mining connection. Not through a hub.
    PoolToMiner,
}

/// As in section 9.
impl fmt::Display for Direction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Direction::ClientToHub => "C→H",
            Direction::HubToClient => "H→C",
            Direction::Both => "both ways",
            Direction::ToResponder => "requester → responder",
            Direction::ToRequester => "responder → requester",
            Direction::BetweenEnds => "requester ↔ responder",
            Direction::PoolToMiner => "pool → miner",
        })
    }
}

/// An end of a channel between two peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// Opened the channel, and asks.
    Requester,
    /// Accepted the channel, and answers.
    Responder,
}

impl Side {
    /// The far end.
    pub fn other(self) -> Side {
        match self {
            Side::Requester => Side::Responder,
            Side::Responder => Side::Requester,
        }
    }
}

/// The row of a message; `extension` is without the channel bit.
pub fn lookup(extension: u16, msg_type: u8) -> Option<&'static Row> {
    TABLE
        .iter()
        .find(|row| row.msg_type == msg_type && row.extension == extension)
}

/// Whether any message of this extension is known; `extension` is without the channel bit.
pub fn knows_extension(extension: u16) -> bool {
    TABLE.iter().any(|row| row.extension == extension)
}

/// What a family is called; `extension` is without the channel bit. `None` for one that is not in
/// the specification.
pub fn extension_name(extension: u16) -> Option<&'static str> {
    match extension {
        EXT_COMMON => Some("common"),
        EXT_EXTENSIONS => Some("extensions"),
        EXT_HUB => Some("hub"),
        EXT_MINT_QUOTE => Some("mint quote"),
        EXT_SIGNING => Some("signing"),
        EXT_PEG => Some("peg"),
        _ => None,
    }
}

/// The row of `M`. The ids are written out so that the table can be read; a typing error does
/// not compile.
const fn row<M: Message>(
    extension: u16,
    msg_type: u8,
    framing: Framing,
    direction: Direction,
) -> Row {
    assert!(extension == M::EXTENSION && msg_type == M::MSG_TYPE);
    assert!(framing as u8 == M::FRAMING as u8);
    let around = framing.bytes_before() + framing.bytes_after();
    Row {
        extension,
        msg_type,
        name: M::NAME,
        framing,
        direction,
        fields: M::FIELDS,
        payload_bytes_min: around + Field::sum_bytes_min(M::FIELDS),
        payload_bytes_max: around + Field::sum_bytes_max(M::FIELDS),
    }
}
