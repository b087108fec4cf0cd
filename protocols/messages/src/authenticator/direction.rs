//! The key of one direction: MACs, of as many messages as there are at a time.

use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use winze_hmac::{Key, Message};
use zeroize::Zeroizing;

use super::{AuthenticatorError, KEY_ID_BYTES, MAC_BYTES, Opened, Sealed, Unsealed, Unverified};
use crate::codec::message::AUTHENTICATOR_BYTES;

/// Of how many messages the MACs are computed together: as many as fill the lanes of the widest
/// processor. What is not there yet waits for nobody: a batch may have fewer.
pub(super) const BATCH_MAX: usize = 16;

/// What a MAC covers before the body: type, sequence, and the digest of the request.
const HEAD_BYTES: usize = 1 + 8 + 32;

pub(super) struct DirectionKey {
    key: Key,
    pub(super) id: [u8; KEY_ID_BYTES],
}

impl DirectionKey {
    pub(super) fn expand(kdf: &Hkdf<Sha256>, info: &[u8]) -> DirectionKey {
        let mut okm = Zeroizing::new([0; MAC_BYTES + KEY_ID_BYTES]);
        kdf.expand(info, &mut okm[..])
            .expect("40 bytes are far below what HKDF-SHA256 gives");
        let mut key = Zeroizing::new([0; MAC_BYTES]);
        let mut id = [0; KEY_ID_BYTES];
        let (key_part, id_part) = okm.split_at(MAC_BYTES);
        key.copy_from_slice(key_part);
        id.copy_from_slice(id_part);
        DirectionKey {
            key: Key::new(&key),
            id,
        }
    }

    /// Gives each message with its authenticator to `sealed`, in their order, `N` of them at a time.
    pub(super) fn seal<'a, const N: usize>(
        &self,
        messages: impl IntoIterator<Item = Unsealed<'a>>,
        mut sealed: impl FnMut(Unsealed<'a>, [u8; AUTHENTICATOR_BYTES]),
    ) {
        let mut messages = messages.into_iter().fuse();
        loop {
            let mut batch = [Unsealed::NONE; N];
            let count = fill(&mut batch, &mut messages);
            if count == 0 {
                return;
            }
            let macs = self.macs(&batch, count);
            for (message, mac) in batch.into_iter().zip(macs).take(count) {
                let mut authenticator = [0; AUTHENTICATOR_BYTES];
                let (id, behind) = authenticator.split_at_mut(KEY_ID_BYTES);
                let (sequence, behind) = behind.split_at_mut(size_of::<u64>());
                id.copy_from_slice(&self.id);
                sequence.copy_from_slice(&message.sequence.to_le_bytes());
                behind.copy_from_slice(&mac);
                sealed(message, authenticator);
            }
        }
    }

    /// Gives what each message holds, or why it is refused, to `opened`, in their order, `N` of them
    /// at a time.
    pub(super) fn open<'a, const N: usize>(
        &self,
        messages: impl IntoIterator<Item = Sealed<'a>>,
        mut opened: impl FnMut(Result<Opened<'a>, AuthenticatorError>),
    ) {
        let mut messages = messages.into_iter().fuse();
        loop {
            let mut batch = [Sealed::NONE; N];
            let count = fill(&mut batch, &mut messages);
            if count == 0 {
                return;
            }
            let mut unverified = [const { Err(AuthenticatorError::BadMac) }; N];
            // What is refused already has the MAC of nothing, which is compared with nothing.
            let mut covered = [Unsealed::NONE; N];
            for (place, message) in batch.iter().take(count).enumerate() {
                unverified[place] = self.unverified(message.bytes);
                if let Ok(unverified) = &unverified[place] {
                    covered[place] = Unsealed {
                        msg_type: message.msg_type,
                        body: unverified.body,
                        sequence: unverified.sequence,
                        request_digest: message.request_digest,
                    };
                }
            }
            let macs = self.macs(&covered, count);
            for (unverified, mac) in unverified.into_iter().zip(macs).take(count) {
                opened(unverified.and_then(|unverified| verified(unverified, &mac)));
            }
        }
    }

    fn unverified<'a>(&self, bytes: &'a [u8]) -> Result<Unverified<'a>, AuthenticatorError> {
        let unverified = Unverified::split(bytes)?;
        match unverified.key_id == self.id {
            true => Ok(unverified),
            false => Err(AuthenticatorError::UnknownKey {
                key_id: unverified.key_id,
            }),
        }
    }

    /// Of the first `count` messages.
    fn macs<const N: usize>(
        &self,
        messages: &[Unsealed<'_>; N],
        count: usize,
    ) -> [[u8; MAC_BYTES]; N] {
        let mut heads = [[0; HEAD_BYTES]; N];
        for (head, message) in heads.iter_mut().zip(messages).take(count) {
            *head = head_of(message);
        }
        let mut covered = [Message::default(); N];
        for (covered, (head, message)) in covered.iter_mut().zip(heads.iter().zip(messages)) {
            *covered = Message {
                head,
                body: message.body,
            };
        }
        let mut macs = [[0; MAC_BYTES]; N];
        self.key.macs(&covered[..count], &mut macs[..count]);
        macs
    }
}

fn head_of(message: &Unsealed<'_>) -> [u8; HEAD_BYTES] {
    let mut head = [0; HEAD_BYTES];
    let (msg_type, behind) = head.split_at_mut(1);
    let (sequence, digest) = behind.split_at_mut(size_of::<u64>());
    msg_type.copy_from_slice(&[message.msg_type]);
    sequence.copy_from_slice(&message.sequence.to_le_bytes());
    digest.copy_from_slice(&message.request_digest.unwrap_or_default());
    head
}

/// Compares in constant time.
fn verified<'a>(
    unverified: Unverified<'a>,
    mac: &[u8; MAC_BYTES],
) -> Result<Opened<'a>, AuthenticatorError> {
    let ([made_low, made_high], [sent_low, sent_high]) = (numbers(mac), numbers(&unverified.mac));
    // As two numbers: of bytes the comparison would take them one by one.
    let is_authentic = made_low.ct_eq(&sent_low) & made_high.ct_eq(&sent_high);
    match bool::from(is_authentic) {
        true => Ok(Opened {
            body: unverified.body,
            sequence: unverified.sequence,
        }),
        false => Err(AuthenticatorError::BadMac),
    }
}

fn numbers(mac: &[u8; MAC_BYTES]) -> [u128; 2] {
    let mut numbers = [0; 2];
    for (number, bytes) in numbers.iter_mut().zip(mac.as_chunks().0) {
        *number = u128::from_le_bytes(*bytes);
    }
    numbers
}

/// As many as there are, at most all; says how many.
fn fill<T, const N: usize>(batch: &mut [T; N], items: &mut impl Iterator<Item = T>) -> usize {
    let mut count = 0;
    for (place, item) in batch.iter_mut().zip(items) {
        *place = item;
        count += 1;
    }
    count
}
