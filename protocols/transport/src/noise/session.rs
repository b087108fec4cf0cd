use std::{fmt, mem};

use sha2::{Digest, Sha256};
use winze_aead::{HEADER_BYTES, MAC_BYTES, RUN_FRAMES_MAX, frame_bytes};

use super::cipher::{Cipher, CipherError, NONCES_PER_FRAME};
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
pub struct Sealer {
    cipher: Cipher,
    /// The lengths of the payloads that wait, as plaintext, at the end of their owner's buffer.
    staged: [usize; RUN_FRAMES_MAX],
    staged_frames: usize,
    /// The first nonce of those taken for them.
    staged_nonce: u64,
}

impl Sealer {
    pub(super) fn new(cipher: Cipher) -> Sealer {
        Sealer {
            cipher,
            staged: [0; RUN_FRAMES_MAX],
            staged_frames: 0,
            staged_nonce: 0,
        }
    }

    /// Appends a frame to `out` as it will be when it is encrypted, but in plaintext still: it is
    /// encrypted together with others, by [`Self::seal_staged`] at the latest, which has to come
    /// before anything else is done with `out` and before another block is sealed. The payload is
    /// `start` and `rest` together, 1 to
    /// [`RUN_PAYLOAD_BYTES_MAX`](winze_aead::RUN_PAYLOAD_BYTES_MAX) bytes.
    ///
    /// After an error this frame is not in `out`, those before it are encrypted there, and the sealer refuses further use.
    pub(crate) fn stage(
        &mut self,
        header: &[u8; HEADER_BYTES],
        start: &[u8],
        rest: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CipherError> {
        if self.staged_frames == RUN_FRAMES_MAX || self.cipher.nonces_left() < NONCES_PER_FRAME {
            self.seal_staged(out)?;
        }
        let nonce = self.cipher.take_nonces(NONCES_PER_FRAME)?;
        if self.staged_frames == 0 {
            self.staged_nonce = nonce;
        }
        self.staged[self.staged_frames] = start.len() + rest.len();
        self.staged_frames += 1;
        out.extend_from_slice(header);
        out.extend_from_slice(&[0; MAC_BYTES]);
        out.extend_from_slice(start);
        out.extend_from_slice(rest);
        out.extend_from_slice(&[0; MAC_BYTES]);
        Ok(())
    }

    /// Encrypts what was staged, at the end of `out`. After an error it is no longer there.
    pub(crate) fn seal_staged(&mut self, out: &mut Vec<u8>) -> Result<(), CipherError> {
        if self.staged_frames == 0 {
            return Ok(());
        }
        let payloads_bytes = &self.staged[..mem::take(&mut self.staged_frames)];
        let run_bytes = payloads_bytes.iter().map(|bytes| frame_bytes(*bytes)).sum();
        let start = out.len().saturating_sub(run_bytes);
        let run = &mut out[start..];
        let sealed = self.cipher.seal_run(self.staged_nonce, run, payloads_bytes);
        if sealed.is_err() {
            out.truncate(start);
        }
        sealed
    }

    /// [`Self::seal_joined`] of a plaintext in one piece.
    pub fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> Result<(), CipherError> {
        self.seal_joined(&[], plaintext, out)
    }

    /// Appends `start` and `rest` as one plaintext, encrypted, and its [`MAC_BYTES`]
    /// to `out`. Together they are at most [`BLOCK_PLAINTEXT_BYTES_MAX`](super::BLOCK_PLAINTEXT_BYTES_MAX)
    /// long, more is [`CipherError::BlockTooLong`]. After an error `out` is as it was and the sealer refuses further use.
    pub fn seal_joined(
        &mut self,
        start: &[u8],
        rest: &[u8],
        out: &mut Vec<u8>,
    ) -> Result<(), CipherError> {
        // Its nonce comes after theirs.
        self.seal_staged(out)?;
        if start.len().saturating_add(rest.len()) > BLOCK_PLAINTEXT_BYTES_MAX {
            return Err(self.cipher.fail(CipherError::BlockTooLong));
        }
        let before = out.len();
        out.extend_from_slice(start);
        out.extend_from_slice(rest);
        match self.cipher.seal(&[], &mut out[before..]) {
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

    /// Decrypts frames at the start of `run` in place, header and payload, as many as can be had
    /// in one go; none, maybe, and then [`Self::open`] says what is there. `payload_bytes` gives
    /// the length of its payload for a header.
    pub(crate) fn open_run(
        &mut self,
        run: &mut [u8],
        payload_bytes: fn(&[u8; HEADER_BYTES]) -> usize,
    ) -> usize {
        self.0.open_run(run, payload_bytes)
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
