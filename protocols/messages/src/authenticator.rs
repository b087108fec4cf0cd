//! Who wrote a message, whatever the hub says: the authenticator behind a body (section 4).
//!
//! ```text
//! | channel_id U32 | body | key_id BYTES(8) | sequence U64 | mac BYTES(32) |
//! ```
//!
//! The hub rewrites the channel id, so everything here begins behind it.

use std::hint::black_box;
use std::sync::LazyLock;

use hkdf::Hkdf;
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;
use winze_transport::{CHANNEL_BIT, Frame, PublicKey, SecretKey};
use zeroize::Zeroizing;

use crate::authentication::tagged_hash;
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

struct DirectionKey {
    key: KeyedHash,
    id: [u8; KEY_ID_BYTES],
}

/// HMAC-SHA256 (RFC 2104) with the key's own blocks hashed already, once for all messages.
///
/// The library does not wipe what it holds. So these states have one place, on the heap, however
/// often their owner is moved, and that place is overwritten when this is dropped. What is out of
/// reach are the copies on the stack: one when it is made, and for each message the one that is
/// hashed on from. They last until the stack is used again.
struct KeyedHash(Box<Hmac<Sha256>>);

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
        let key = self.key_of(self.own_side);
        out.reserve(body.len() + AUTHENTICATOR_BYTES);
        out.extend_from_slice(body);
        out.extend_from_slice(&key.id);
        out.extend_from_slice(&sequence.to_le_bytes());
        out.extend_from_slice(&key.mac(msg_type, body, sequence, request_digest));
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
        let unverified = Unverified::split(sealed)?;
        let key = self.key_of(self.own_side.other());
        if unverified.key_id != key.id {
            return Err(AuthenticatorError::UnknownKey {
                key_id: unverified.key_id,
            });
        }
        let expected = key.mac(
            msg_type,
            unverified.body,
            unverified.sequence,
            request_digest,
        );
        if !bool::from(expected.ct_eq(&unverified.mac)) {
            return Err(AuthenticatorError::BadMac);
        }
        Ok(Opened {
            body: unverified.body,
            sequence: unverified.sequence,
        })
    }

    fn key_of(&self, side: Side) -> &DirectionKey {
        match side {
            Side::Requester => &self.requests,
            Side::Responder => &self.answers,
        }
    }
}

impl DirectionKey {
    fn expand(kdf: &Hkdf<Sha256>, info: &[u8]) -> DirectionKey {
        let mut okm = Zeroizing::new([0; MAC_BYTES + KEY_ID_BYTES]);
        kdf.expand(info, &mut okm[..])
            .expect("40 bytes are far below what HKDF-SHA256 gives");
        let mut key = Zeroizing::new([0; MAC_BYTES]);
        let mut id = [0; KEY_ID_BYTES];
        let (key_part, id_part) = okm.split_at(MAC_BYTES);
        key.copy_from_slice(key_part);
        id.copy_from_slice(id_part);
        DirectionKey {
            key: KeyedHash::new(&key),
            id,
        }
    }

    fn mac(
        &self,
        msg_type: u8,
        body: &[u8],
        sequence: u64,
        request_digest: Option<[u8; 32]>,
    ) -> [u8; MAC_BYTES] {
        let mut mac = Hmac::clone(&self.key.0);
        mac.update(&[msg_type]);
        mac.update(&sequence.to_le_bytes());
        mac.update(&request_digest.unwrap_or_default());
        mac.update(body);
        mac.finalize().into_bytes().into()
    }
}

impl KeyedHash {
    fn new(key: &[u8; MAC_BYTES]) -> KeyedHash {
        KeyedHash(Box::new(hash_behind(key)))
    }
}

impl Drop for KeyedHash {
    /// Puts a key that everybody knows in the place of ours.
    fn drop(&mut self) {
        *self.0 = hash_behind(&[0; MAC_BYTES]);
        // What is never read again the compiler need not write.
        black_box(&mut *self.0);
    }
}

fn hash_behind(key: &[u8; MAC_BYTES]) -> Hmac<Sha256> {
    Hmac::new_from_slice(key).expect("HMAC takes a key of any length")
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
    // The tag's block is the same for all.
    static TAGGED: LazyLock<Sha256> = LazyLock::new(|| tagged_hash(REQUEST_TAG));
    (TAGGED.clone())
        .chain_update(extension.to_le_bytes())
        .chain_update([msg_type])
        .chain_update(body)
        .finalize()
        .into()
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
