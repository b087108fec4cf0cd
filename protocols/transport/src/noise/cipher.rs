use thiserror::Error;

use winze_aead::{Aead, HEADER_BYTES, MAC_BYTES};

/// A key and the nonce that is next under it: `CipherState` of Sv2 specification 4.4.1, of which
/// each direction has one.
///
/// It is not `Clone`, and each operation takes it by `&mut`, so that no nonce is used twice. At
/// the first failure it wipes its key and gives that same error from then on. (The specification
/// lets a receiver go on after a block that is not authentic. Nothing that follows such a block
/// on a byte stream can be, so this one stops.)
pub(super) struct Cipher {
    aead: Result<Aead, CipherError>,
    nonce_next: u64,
}

/// The nonce that the Noise framework reserves; a key seals at most this many blocks.
const NONCE_RESERVED: u64 = u64::MAX;

/// In a run: its header's, and its payload's.
pub(super) const NONCES_PER_FRAME: u64 = 2;

impl Cipher {
    pub(super) fn new(key: &[u8; 32]) -> Cipher {
        Cipher {
            aead: Ok(Aead::new(key)),
            nonce_next: 0,
        }
    }

    /// Encrypts `text` in place and returns its MAC.
    pub(super) fn seal(
        &mut self,
        associated: &[u8],
        text: &mut [u8],
    ) -> Result<[u8; MAC_BYTES], CipherError> {
        let nonce = self.take_nonces(1)?;
        let sealed = match &self.aead {
            Ok(aead) => aead.seal(nonce, associated, text),
            Err(error) => return Err(*error),
        };
        sealed.map_err(|_| self.fail(CipherError::BlockTooLong))
    }

    /// Decrypts `block`, which ends with its MAC, in place and returns the plaintext in it.
    pub(super) fn open<'b>(
        &mut self,
        associated: &[u8],
        block: &'b mut [u8],
    ) -> Result<&'b [u8], CipherError> {
        let nonce = self.take_nonces(1)?;
        let Some((text, mac)) = block.split_last_chunk_mut::<MAC_BYTES>() else {
            return Err(self.fail(CipherError::NotAuthentic));
        };
        let opened = match &self.aead {
            Ok(aead) => aead.open(nonce, associated, text, mac),
            Err(error) => return Err(*error),
        };
        match opened {
            Ok(()) => Ok(text),
            Err(_) => Err(self.fail(CipherError::NotAuthentic)),
        }
    }

    /// Encrypts a [run](winze_aead) in place under nonces that were taken for it, the first of
    /// which is `nonce`.
    pub(super) fn seal_run(
        &mut self,
        nonce: u64,
        run: &mut [u8],
        payloads_bytes: &[usize],
    ) -> Result<(), CipherError> {
        let sealed = match &self.aead {
            Ok(aead) => aead.seal_run(nonce, run, payloads_bytes),
            Err(error) => return Err(*error),
        };
        sealed.map_err(|_| self.fail(CipherError::BlockTooLong))
    }

    /// Decrypts frames at the start of `run` in place, as many as can be had in one go: none,
    /// maybe. See [`Aead::open_run`].
    pub(super) fn open_run(
        &mut self,
        run: &mut [u8],
        payload_bytes: fn(&[u8; HEADER_BYTES]) -> usize,
    ) -> usize {
        let frames = match &self.aead {
            Ok(aead) => aead.open_run(self.nonce_next, run, payload_bytes),
            Err(_) => 0,
        };
        self.nonce_next += NONCES_PER_FRAME * frames as u64;
        frames
    }

    /// Takes so many nonces before they are used, and gives the first: whatever happens then,
    /// they are not given out again.
    pub(super) fn take_nonces(&mut self, count: u64) -> Result<u64, CipherError> {
        if let Err(error) = &self.aead {
            return Err(*error);
        }
        if self.nonces_left() < count {
            return Err(self.fail(CipherError::NoncesUsedUp));
        }
        let nonce = self.nonce_next;
        self.nonce_next += count;
        Ok(nonce)
    }

    /// How many more texts this key seals or opens.
    pub(super) fn nonces_left(&self) -> u64 {
        NONCE_RESERVED - self.nonce_next
    }

    /// Wipes the key; `error` is the answer from now on.
    pub(super) fn fail(&mut self, error: CipherError) -> CipherError {
        self.aead = Err(error);
        error
    }

    #[cfg(test)]
    pub(super) fn at_nonce(key: &[u8; 32], nonce_next: u64) -> Cipher {
        Cipher {
            nonce_next,
            ..Cipher::new(key)
        }
    }

    /// As on a processor without lanes.
    #[cfg(test)]
    pub(super) fn one_by_one(key: &[u8; 32], nonce_next: u64) -> Cipher {
        Cipher {
            aead: Ok(Aead::one_by_one(key)),
            nonce_next,
        }
    }
}

/// Why a cipher stopped. It refuses every further use with the same error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum CipherError {
    /// Peer: the block was not made with our shared key, or not at this place in the stream.
    #[error("encrypted block is not authentic")]
    NotAuthentic,
    /// Ours: 2^64 - 1 blocks were sealed or opened with this key. A new connection has a new one.
    #[error("all nonces of this connection's key are used up")]
    NoncesUsedUp,
    /// Ours: more plaintext than
    /// [`BLOCK_PLAINTEXT_BYTES_MAX`](super::BLOCK_PLAINTEXT_BYTES_MAX) for one block.
    #[error("block is too long to encrypt")]
    BlockTooLong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forged_block_ends_the_connection_for_the_honest_ones_too() {
        let mut sender = Cipher::new(&[1; 32]);
        let mut receiver = Cipher::new(&[1; 32]);
        let mut block = b"pay".to_vec();
        let mac = sender.seal(&[], &mut block).unwrap();
        block.extend_from_slice(&mac);

        let mut forged = block.clone();
        forged[0] ^= 1;
        assert_eq!(
            receiver.open(&[], &mut forged),
            Err(CipherError::NotAuthentic)
        );
        assert_eq!(
            receiver.open(&[], &mut block),
            Err(CipherError::NotAuthentic)
        );
    }

    #[test]
    fn the_last_nonce_is_the_last() {
        let mut sender = Cipher::at_nonce(&[1; 32], u64::MAX - 1);
        assert!(sender.seal(&[], &mut []).is_ok());
        for _ in 0..2 {
            assert_eq!(sender.seal(&[], &mut []), Err(CipherError::NoncesUsedUp));
        }
    }

    #[test]
    fn fewer_bytes_than_a_mac_are_refused() {
        let mut receiver = Cipher::new(&[1; 32]);
        assert_eq!(
            receiver.open(&[], &mut [0; MAC_BYTES - 1]),
            Err(CipherError::NotAuthentic)
        );
    }
}
