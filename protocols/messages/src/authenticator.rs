//! Who wrote a message, whatever the hub says: the authenticator behind a body (section 4).
//!
//! ```text
//! | channel_id U32 | body | key_id BYTES(8) | sequence U64 | mac BYTES(32) |
//! ```
//!
//! The hub rewrites the channel id, so everything here begins behind it.

mod direction;

use std::sync::LazyLock;

use hkdf::Hkdf;
use sha2::Sha256;
use thiserror::Error;
use winze_hmac::Message;
use winze_transport::{CHANNEL_BIT, Frame, PublicKey, SecretKey};

use self::direction::{BATCH_MAX, DirectionKey};
use crate::authentication::tag_block;
use crate::codec::kinds::{Bytes, U64};
use crate::codec::message::{AUTHENTICATOR_BYTES, CHANNEL_ID_BYTES, Field};
use crate::table::Side;

const SALT: &[u8] = b"winze/authenticator/v1";
const REQUEST_TAG: &str = "winze/request/v1";

/// Bytes of a key id.
const KEY_ID_BYTES: usize = 8;
/// Bytes of a MAC and of its key.
const MAC_BYTES: usize = 32;

/// The authenticator's fields, in their order.
pub(crate) static AUTHENTICATOR_FIELDS: &[Field] = &[
    Field::of::<Bytes<KEY_ID_BYTES>>("key_id"),
    Field::of::<U64>("sequence"),
    Field::of::<Bytes<MAC_BYTES>>("mac"),
];
const _: () = assert!(KEY_ID_BYTES + 8 + MAC_BYTES == AUTHENTICATOR_BYTES);

/// The keys that two peers share for one family, one for each direction. Wiped when dropped;
/// neither `Clone` nor `Debug`.
pub struct PairKeys {
    own_side: Side,
    requests: DirectionKey,
    answers: DirectionKey,
}

/// A message that is to be sealed.
#[derive(Clone, Copy)]
pub struct Unsealed<'a> {
    /// Its type.
    pub msg_type: u8,
    /// What its type encodes.
    pub body: &'a [u8],
    /// The sender's number; section 4.
    pub sequence: u64,
    /// That of the request which an answer answers; `None` in a request and an announcement.
    pub request_digest: Option<[u8; 32]>,
}

/// A message as it came, to be opened.
#[derive(Clone, Copy)]
pub struct Sealed<'a> {
    /// Its type.
    pub msg_type: u8,
    /// The payload without the channel id.
    pub bytes: &'a [u8],
    /// As in [`Unsealed`].
    pub request_digest: Option<[u8; 32]>,
}

impl Unsealed<'_> {
    const NONE: Self = Unsealed {
        msg_type: 0,
        body: &[],
        sequence: 0,
        request_digest: None,
    };
}

impl Sealed<'_> {
    const NONE: Self = Sealed {
        msg_type: 0,
        bytes: &[],
        request_digest: None,
    };
}

impl PairKeys {
    /// Derives both keys from `own` and `peer`; the peer derives the same from its side.
    /// `extension` is without the channel bit. A role is at most 255 bytes, as every
    /// [`PeerName`](crate::names::PeerName)'s is; what is longer is cut.
    pub fn derive(
        own: &SecretKey,
        peer: &PublicKey,
        extension: u16,
        own_side: Side,
        requester_role: &str,
        responder_role: &str,
    ) -> PairKeys {
        let own_public = own.public_key();
        let (requester, responder) = match own_side {
            Side::Requester => (&own_public, peer),
            Side::Responder => (peer, &own_public),
        };
        // Wiped like the keys; what the hash functions hold on the stack during this call is not,
        // since they offer no way to.
        let shared = own.ecdh(peer);
        let kdf = Hkdf::<Sha256>::new(Some(SALT), &shared[..]);
        let derive = |direction: u8| {
            let mut info = Vec::new();
            info.extend_from_slice(&extension.to_le_bytes());
            info.push(direction);
            for (role, key) in [(requester_role, requester), (responder_role, responder)] {
                let role_bytes = u8::try_from(role.len()).unwrap_or(u8::MAX);
                info.push(role_bytes);
                info.extend_from_slice(&role.as_bytes()[..role_bytes.into()]);
                info.extend_from_slice(key.as_bytes());
            }
            DirectionKey::expand(&kdf, &info)
        };
        PairKeys {
            own_side,
            requests: derive(0),
            answers: derive(1),
        }
    }

    /// The id of the key that this side seals with.
    pub fn own_key_id(&self) -> [u8; KEY_ID_BYTES] {
        self.key_of(self.own_side).id
    }

    /// The id of the key that this side opens with.
    pub fn peer_key_id(&self) -> [u8; KEY_ID_BYTES] {
        self.key_of(self.own_side.other()).id
    }

    /// The body with this side's authenticator behind it: what goes into
    /// [`channel_frame`]. `request_digest` is that of the request which an answer answers, and
    /// `None` in a request and an announcement.
    pub fn seal(
        &self,
        msg_type: u8,
        body: &[u8],
        sequence: u64,
        request_digest: Option<[u8; 32]>,
    ) -> Vec<u8> {
        let mut sealed = Vec::with_capacity(body.len() + AUTHENTICATOR_BYTES);
        self.seal_into(msg_type, body, sequence, request_digest, &mut sealed);
        sealed
    }

    /// As [`Self::seal`], behind what is in `out`: for many messages in one piece of memory.
    pub fn seal_into(
        &self,
        msg_type: u8,
        body: &[u8],
        sequence: u64,
        request_digest: Option<[u8; 32]>,
        out: &mut Vec<u8>,
    ) {
        let message = Unsealed {
            msg_type,
            body,
            sequence,
            request_digest,
        };
        let key = self.key_of(self.own_side);
        key.seal::<1>([message], |message, authenticator| {
            append(&message, &authenticator, out);
        });
    }

    /// As [`Self::seal`], of many messages, whose MACs are computed together: `sealed` is given each
    /// of them in turn, and the authenticator that belongs behind its body.
    pub fn seal_all<'a>(
        &self,
        messages: impl IntoIterator<Item = Unsealed<'a>>,
        sealed: impl FnMut(Unsealed<'a>, [u8; AUTHENTICATOR_BYTES]),
    ) {
        let key = self.key_of(self.own_side);
        key.seal::<BATCH_MAX>(messages, sealed);
    }

    /// What [`channel_frame`] makes of what [`Self::seal`] gives, with one allocation.
    pub fn seal_frame(
        &self,
        extension: u16,
        msg_type: u8,
        channel_id: u32,
        body: &[u8],
        sequence: u64,
        request_digest: Option<[u8; 32]>,
    ) -> Frame {
        let payload_bytes = CHANNEL_ID_BYTES + body.len() + AUTHENTICATOR_BYTES;
        let mut payload = Vec::with_capacity(payload_bytes);
        payload.extend_from_slice(&channel_id.to_le_bytes());
        self.seal_into(msg_type, body, sequence, request_digest, &mut payload);
        Frame {
            extension_type: extension | CHANNEL_BIT,
            msg_type,
            payload,
        }
    }

    /// As [`Self::seal_frame`], of many messages as in [`Self::seal_all`]: each frame goes to `sealed`.
    pub fn seal_frames<'a>(
        &self,
        extension: u16,
        channel_id: u32,
        messages: impl IntoIterator<Item = Unsealed<'a>>,
        mut sealed: impl FnMut(Frame),
    ) {
        self.seal_all(messages, |message, authenticator| {
            let payload_bytes = CHANNEL_ID_BYTES + message.body.len() + AUTHENTICATOR_BYTES;
            let mut payload = Vec::with_capacity(payload_bytes);
            payload.extend_from_slice(&channel_id.to_le_bytes());
            append(&message, &authenticator, &mut payload);
            sealed(Frame {
                extension_type: extension | CHANNEL_BIT,
                msg_type: message.msg_type,
                payload,
            });
        });
    }

    /// Verifies what the other side sealed, in constant time. `sealed` is the payload without
    /// the channel id; `request_digest` as in [`Self::seal`].
    ///
    /// What fails is dropped and counted; it says nothing about any request.
    pub fn open<'a>(
        &self,
        msg_type: u8,
        sealed: &'a [u8],
        request_digest: Option<[u8; 32]>,
    ) -> Result<Opened<'a>, AuthenticatorError> {
        let message = Sealed {
            msg_type,
            bytes: sealed,
            request_digest,
        };
        let mut result = Err(AuthenticatorError::BadMac);
        let key = self.key_of(self.own_side.other());
        key.open::<1>([message], |opened| result = opened);
        result
    }

    /// As [`Self::open`], of many messages, whose MACs are computed together: `opened` is given what
    /// became of each of them in turn.
    pub fn open_all<'a>(
        &self,
        messages: impl IntoIterator<Item = Sealed<'a>>,
        opened: impl FnMut(Result<Opened<'a>, AuthenticatorError>),
    ) {
        let key = self.key_of(self.own_side.other());
        key.open::<BATCH_MAX>(messages, opened);
    }

    fn key_of(&self, side: Side) -> &DirectionKey {
        match side {
            Side::Requester => &self.requests,
            Side::Responder => &self.answers,
        }
    }
}

fn append(message: &Unsealed<'_>, authenticator: &[u8; AUTHENTICATOR_BYTES], out: &mut Vec<u8>) {
    out.reserve(message.body.len() + AUTHENTICATOR_BYTES);
    out.extend_from_slice(message.body);
    out.extend_from_slice(authenticator);
}

/// A message whose author is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opened<'a> {
    /// What the message's type decodes.
    pub body: &'a [u8],
    /// The sender's number; section 4.
    pub sequence: u64,
}

/// A message whose author is not known yet. A requester looks into the body of an answer for the
/// request that it answers, whose digest it needs to verify.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unverified<'a> {
    /// Anybody may have written this.
    pub body: &'a [u8],
    /// Names the key, for instance while two are valid during a rotation.
    pub key_id: [u8; KEY_ID_BYTES],
    /// Not verified either.
    pub sequence: u64,
    mac: [u8; MAC_BYTES],
}

impl<'a> Unverified<'a> {
    /// Divides a payload without its channel id. Fails with [`AuthenticatorError::TooShort`].
    pub fn split(sealed: &'a [u8]) -> Result<Unverified<'a>, AuthenticatorError> {
        let too_short = AuthenticatorError::TooShort {
            present_bytes: sealed.len(),
        };
        let (rest, mac) = sealed.split_last_chunk().ok_or(too_short)?;
        let (rest, sequence) = rest.split_last_chunk().ok_or(too_short)?;
        let (body, key_id) = rest.split_last_chunk().ok_or(too_short)?;
        Ok(Unverified {
            body,
            key_id: *key_id,
            sequence: u64::from_le_bytes(*sequence),
            mac: *mac,
        })
    }
}

/// A message that its alleged author did not write, or not like this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum AuthenticatorError {
    /// No room for an authenticator.
    #[error("{present_bytes} bytes, an authenticator alone has {AUTHENTICATOR_BYTES}")]
    TooShort {
        /// Bytes there were.
        present_bytes: usize,
    },
    /// Sealed with a key that is not the pair's for this direction.
    #[error("sealed with an unknown key {}", hex::encode(key_id))]
    UnknownKey {
        /// The key's id in the message; not a secret.
        key_id: [u8; KEY_ID_BYTES],
    },
    /// The bytes are not those that were sealed, or were sealed for another message type or as
    /// the answer to another request.
    #[error("the MAC does not verify")]
    BadMac,
}

/// What an answer covers of the request that it answers: extension (without the channel bit),
/// type and body.
pub fn request_digest(extension: u16, msg_type: u8, body: &[u8]) -> [u8; 32] {
    let head = request_head(extension, msg_type);
    tagged_requests().digest(Message { head: &head, body })
}

/// [`request_digest`] of many messages of one extension, type and body of each; in their order.
pub fn request_digests(extension: u16, messages: &[(u8, &[u8])]) -> Vec<[u8; 32]> {
    let heads: Vec<_> = (messages.iter())
        .map(|(msg_type, _)| request_head(extension, *msg_type))
        .collect();
    let parts = heads.iter().zip(messages);
    let parts: Vec<_> = parts
        .map(|(head, (_, body))| Message { head, body })
        .collect();
    let mut digests = vec![[0; 32]; parts.len()];
    tagged_requests().digests(&parts, &mut digests);
    digests
}

fn request_head(extension: u16, msg_type: u8) -> [u8; 3] {
    let [low, high] = extension.to_le_bytes();
    [low, high, msg_type]
}

/// What hashes requests: the tag's block is the same for all.
fn tagged_requests() -> &'static winze_hmac::Sha256 {
    static TAGGED: LazyLock<winze_hmac::Sha256> =
        LazyLock::new(|| winze_hmac::Sha256::behind(&tag_block(REQUEST_TAG)));
    &TAGGED
}

/// A frame of a channel: the channel bit and the channel id are put in front of `bytes`, which
/// are what [`PairKeys::seal`] gave, or a plain body. `extension` is with or without the bit.
pub fn channel_frame(extension: u16, msg_type: u8, channel_id: u32, bytes: &[u8]) -> Frame {
    let mut payload = Vec::with_capacity(CHANNEL_ID_BYTES + bytes.len());
    payload.extend_from_slice(&channel_id.to_le_bytes());
    payload.extend_from_slice(bytes);
    Frame {
        extension_type: extension | CHANNEL_BIT,
        msg_type,
        payload,
    }
}
