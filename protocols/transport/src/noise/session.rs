use std::fmt;

use sha2::{Digest, Sha256};

use super::cipher::{Cipher, CipherError};
use super::{ACT_1_BYTES, ACT_2_BYTES, BLOCK_PLAINTEXT_BYTES_MAX};
use crate::keys::Certificate;

/// What a finished handshake leaves: a cipher for each direction, and what both sides can name
/// the connection by.
#[derive(Debug)]
pub struct Session {
    /// Encrypts what we send.
    pub sealer: Sealer,
    /// Decrypts what we receive.
    pub opener: Opener,
    /// The same on both sides, and on no other connection.
    pub transcript: Transcript,
    /// The responder's certificate, verified. `None` on the responder's own side, and on an
    /// initiator's that named no authority and so does not know whom it talks to.
    pub certificate: Option<Certificate>,
}

/// SHA-256 over the bytes of act 1 and act 2: a name for the connection. Not secret, whoever
/// listened can compute it; but neither side can make it come out as that of another connection,
/// since both put fresh keys into it. So a signature over it proves a key for this connection
/// alone.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Transcript([u8; 32]);

impl Transcript {
    pub(super) fn new(act_1: &[u8; ACT_1_BYTES], act_2: &[u8; ACT_2_BYTES]) -> Transcript {
        Transcript(
            Sha256::new()
                .chain_update(act_1)
                .chain_update(act_2)
                .finalize()
                .into(),
        )
    }

    /// A transcript with a given value, for code that checks signatures over one without a
    /// connection: test vectors, simulators.
    pub fn from_bytes(hash: [u8; 32]) -> Transcript {
        Transcript(hash)
    }

    /// The 32 bytes of the hash.
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Debug for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Transcript({})", hex::encode(self.0))
    }
}

/// The sending direction: encrypts block after block, each under the next nonce.
pub struct Sealer(Cipher);

impl Sealer {
    pub(super) fn new(cipher: Cipher) -> Sealer {
        Sealer(cipher)
    }

    /// [`Self::seal_joined`] of a plaintext in one piece.
    pub fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), CipherError> {
        self.seal_joined(&[], plaintext, out)
    }

    /// Appends `start` and `rest` as one plaintext, encrypted, and its [`MAC_BYTES`](super::MAC_BYTES)
    /// to `out`. Together they are at most [`BLOCK_PLAINTEXT_BYTES_MAX`](super::BLOCK_PLAINTEXT_BYTES_MAX)
    /// long, more is [`CipherError::BlockTooLong`]. After an error `out` is as it was and the sealer refuses further use.
    pub fn seal_joined(
        &mut self,
        start: &[u8],
        rest: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CipherError> {
        if start.len().saturating_add(rest.len()) > BLOCK_PLAINTEXT_BYTES_MAX {
            return Err(self.0.fail(CipherError::BlockTooLong));
        }
        let before = out.len();
        out.extend_from_slice(start);
        out.extend_from_slice(rest);
        match self.0.seal(&[], &mut out[before..]) {
            Ok(mac) => {
                out.extend_from_slice(&mac);
                Ok(())
            }
            Err(error) => {
                out.truncate(before);
                Err(error)
            }
        }
    }
}

/// The receiving direction: decrypts blocks in the order in which they were sealed.
pub struct Opener(Cipher);

impl Opener {
    pub(super) fn new(cipher: Cipher) -> Opener {
        Opener(cipher)
    }

    /// Decrypts `block`, which ends with its MAC, in place and returns the plaintext in it. After
    /// an error the opener refuses further use.
    pub fn open<'b>(&mut self, block: &'b mut [u8]) -> Result<&'b [u8], CipherError> {
        self.0.open(&[], block)
    }
}

impl fmt::Debug for Sealer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealer").finish_non_exhaustive()
    }
}

impl fmt::Debug for Opener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opener").finish_non_exhaustive()
    }
}
