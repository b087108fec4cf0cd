use std::fmt;

use winze_aead::{RUN_PAYLOAD_BYTES_MAX, frame_bytes};

use super::ciphertext::Ciphertext;
use super::{CodecError, HEADER_BLOCK_BYTES, encrypted_frame_bytes};
use crate::frame::{Frame, HEADER_BYTES, Header};
use crate::limits::Limits;
use crate::noise::{BLOCK_PLAINTEXT_BYTES_MAX, CipherError, MAC_BYTES, Opener};

/// Turns a stream of encrypted bytes, cut into whatever pieces, into frames.
///
/// Memory: what was fed and not yet decrypted, and the payload of one unfinished frame. Of a block
/// that has not come whole, at most twice what has come of it is held, and of a payload nothing
/// until its header is authentic, its length within the limit, and its first block has come and
/// is authentic. A frame is given with one allocation of exactly its payload.
pub struct FrameDecoder {
    opener: Opener,
    limits: Limits,
    ciphertext: Ciphertext,
    /// The frame whose header was taken and whose payload is still coming.
    incoming: Option<Frame>,
    incoming_bytes: usize,
    /// Of the blocks that come next in `ciphertext`, how many are decrypted and authentic already.
    opened_blocks: usize,
    /// What the last frame took: whether as much is there twice tells whether a run is worth trying.
    last_frame_bytes: usize,
    /// That a run was tried and was none: not again before more has come, so that a peer who sends what looks like a run
    /// and is none makes us look once for each read and not for each frame.
    is_no_run: bool,
    failed: Option<CodecError>,
}

impl FrameDecoder {
    /// `limits` bounds what we take.
    pub fn new(opener: Opener, limits: Limits) -> FrameDecoder {
        FrameDecoder {
            opener,
            limits,
            ciphertext: Ciphertext::default(),
            incoming: None,
            incoming_bytes: 0,
            opened_blocks: 0,
            last_frame_bytes: 0,
            is_no_run: false,
            failed: None,
        }
    }

    /// The next whole frame, or `None` until more bytes have come.
    ///
    /// Call it until it gives `None`: several frames may have come at once. An error is final,
    /// every further call gives it again.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, CodecError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let outcome = self.decode();
        if let Err(error) = outcome {
            self.failed = Some(error);
            self.incoming = None;
            self.ciphertext = Ciphertext::default();
        }
        outcome
    }

    /// Takes a copy of all of `bytes`. They are held until [`Self::next_frame`] gets to them:
    /// feeding without calling it is for the caller to bound.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.is_no_run = false;
        self.ciphertext.extend(bytes);
    }

    /// Takes a buffer full of ciphertext, to decrypt it where it lies.
    pub(crate) fn lend(&mut self, buffer: Vec<u8>) {
        self.is_no_run = false;
        self.ciphertext.lend(buffer);
    }

    /// The buffer that was lent, once nothing in it is needed any more: at the latest when
    /// [`Self::next_frame`] gave `None`.
    pub(crate) fn take_back(&mut self) -> Option<Vec<u8>> {
        self.ciphertext.take_back()
    }

    /// Whether bytes of an unfinished frame are held: the stream must not end here.
    pub fn is_mid_frame(&self) -> bool {
        self.incoming.is_some() || self.ciphertext.waiting_bytes() > 0
    }

    /// What is taken from the next frame on that was not begun with.
    pub fn set_limits(&mut self, limits: Limits) {
        self.limits = limits;
    }

    /// Whether a run was looked for in vain in what has come last.
    #[cfg(test)]
    pub(super) fn is_no_run(&self) -> bool {
        self.is_no_run
    }

    /// Memory held for ciphertext, in bytes.
    #[cfg(test)]
    pub(crate) fn held_bytes(&self) -> usize {
        self.ciphertext.held_bytes()
    }

    fn decode(&mut self) -> Result<Option<Frame>, CodecError> {
        if self.incoming.is_none() && !self.decode_header()? {
            return Ok(None);
        }
        while self.missing_bytes() > 0 {
            if !self.decode_block()? {
                return Ok(None);
            }
        }
        Ok(self.incoming.take())
    }

    /// Plaintext bytes that the incoming frame still lacks.
    fn missing_bytes(&self) -> usize {
        let present = self.incoming.as_ref().map_or(0, |f| f.payload.len());
        self.incoming_bytes.saturating_sub(present)
    }

    /// Decrypts in one go what frames there are, if they are short and some.
    fn open_run(&mut self) {
        let is_short = self.last_frame_bytes <= frame_bytes(RUN_PAYLOAD_BYTES_MAX);
        if self.is_no_run || !is_short {
            return;
        }
        let come = self.ciphertext.peek();
        if come.len() >= 2 * self.last_frame_bytes.max(HEADER_BLOCK_BYTES) {
            let payload_bytes = |header: &_| Header::parse(header).payload_bytes as usize;
            let frames = self.opener.open_run(come, payload_bytes);
            self.opened_blocks = 2 * frames;
            self.is_no_run = frames == 0;
        }
    }

    /// False when the header is not all there yet.
    fn decode_header(&mut self) -> Result<bool, CodecError> {
        if self.opened_blocks == 0 {
            self.open_run();
        }
        let Self {
            ciphertext,
            opener,
            opened_blocks,
            ..
        } = self;
        let opened = ciphertext.next_block(HEADER_BLOCK_BYTES, |block| {
            let plaintext = open(opener, opened_blocks, block)?;
            let header = plaintext.first_chunk::<HEADER_BYTES>().map(Header::parse);
            header.ok_or(CipherError::NotAuthentic)
        });
        let header = match opened {
            None => return Ok(false),
            Some(Ok(header)) => header,
            Some(Err(CipherError::NotAuthentic)) => return Err(CodecError::HeaderNotAuthentic),
            Some(Err(error)) => return Err(CodecError::Cipher(error)),
        };
        let payload_bytes = header.payload_bytes as usize;
        if payload_bytes > self.limits.payload_bytes_max {
            return Err(CodecError::AnnouncedOverLimit {
                extension_type: header.extension_type,
                msg_type: header.msg_type,
                payload_bytes,
                payload_bytes_max: self.limits.payload_bytes_max,
            });
        }
        self.incoming_bytes = payload_bytes;
        self.last_frame_bytes = encrypted_frame_bytes(payload_bytes);
        self.incoming = Some(Frame {
            extension_type: header.extension_type,
            msg_type: header.msg_type,
            payload: Vec::new(),
        });
        Ok(true)
    }

    /// False when the payload's next block is not all there yet.
    fn decode_block(&mut self) -> Result<bool, CodecError> {
        let missing_bytes = self.missing_bytes();
        let block_bytes = missing_bytes.min(BLOCK_PLAINTEXT_BYTES_MAX) + MAC_BYTES;
        let Self {
            ciphertext,
            opener,
            opened_blocks,
            incoming: Some(frame),
            ..
        } = self
        else {
            return Ok(false);
        };
        let opened = ciphertext.next_block(block_bytes, |block| {
            let plaintext = open(opener, opened_blocks, block)?;
            frame.payload.reserve_exact(missing_bytes);
            frame.payload.extend_from_slice(plaintext);
            Ok(())
        });
        match opened {
            None => Ok(false),
            Some(Ok(())) => Ok(true),
            Some(Err(CipherError::NotAuthentic)) => Err(CodecError::PayloadNotAuthentic {
                extension_type: frame.extension_type,
                msg_type: frame.msg_type,
                offset_bytes: frame.payload.len(),
            }),
            Some(Err(error)) => Err(CodecError::Cipher(error)),
        }
    }
}

/// The plaintext of the next block, which may have been decrypted already.
fn open<'b>(
    opener: &mut Opener,
    opened_blocks: &mut usize,
    block: &'b mut [u8],
) -> Result<&'b [u8], CipherError> {
    let Some(left) = opened_blocks.checked_sub(1) else {
        return opener.open(block);
    };
    *opened_blocks = left;
    let plaintext_bytes = block.len().saturating_sub(MAC_BYTES);
    block
        .get(..plaintext_bytes)
        .ok_or(CipherError::NotAuthentic)
}

impl fmt::Debug for FrameDecoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FrameDecoder")
            .field("limits", &self.limits)
            .field("waiting_bytes", &self.ciphertext.waiting_bytes())
            .field("incoming", &self.incoming)
            .field("failed", &self.failed)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::FrameEncoder;
    use crate::noise::{BLOCK_BYTES_MAX, connected_pair};

    const MIB: usize = 1 << 20;

    /// A sender with a limit of its own and a receiver that takes payloads of up to 1 MiB.
    fn pair(sent_bytes_max: usize) -> (FrameEncoder, FrameDecoder) {
        let (client, server) = connected_pair();
        let limits = |payload_bytes_max| Limits { payload_bytes_max };
        (
            FrameEncoder::new(client.sealer, limits(sent_bytes_max)),
            FrameDecoder::new(server.opener, limits(MIB)),
        )
    }

    fn frame(payload_bytes: usize) -> Frame {
        Frame {
            extension_type: 0x4801,
            msg_type: 2,
            payload: vec![7; payload_bytes],
        }
    }

    fn payload_capacity(decoder: &FrameDecoder) -> Option<usize> {
        decoder.incoming.as_ref().map(|f| f.payload.capacity())
    }

    #[test]
    fn a_header_over_the_limit_is_refused_before_memory_is_taken() {
        let (mut sender, mut receiver) = pair(2 * MIB);
        let mut wire = Vec::new();
        sender.encode(&frame(MIB + 1), &mut wire).unwrap();

        receiver.feed(&wire[..HEADER_BLOCK_BYTES]);
        let refused = CodecError::AnnouncedOverLimit {
            extension_type: 0x4801,
            msg_type: 2,
            payload_bytes: MIB + 1,
            payload_bytes_max: MIB,
        };
        assert_eq!(receiver.next_frame(), Err(refused));
        assert_eq!(payload_capacity(&receiver), None);

        receiver.feed(&wire[HEADER_BLOCK_BYTES..]);
        assert_eq!(receiver.next_frame(), Err(refused));
    }

    #[test]
    fn a_peer_that_announces_much_and_sends_little_takes_no_memory() {
        let (mut sender, mut receiver) = pair(MIB);
        let mut wire = Vec::new();
        sender.encode(&frame(MIB), &mut wire).unwrap();
        let first_block_end = HEADER_BLOCK_BYTES + BLOCK_PLAINTEXT_BYTES_MAX + MAC_BYTES;

        receiver.feed(&wire[..first_block_end - 1]);
        assert_eq!(receiver.next_frame(), Ok(None));
        assert_eq!(payload_capacity(&receiver), Some(0));

        receiver.feed(&wire[first_block_end - 1..]);
        let received = receiver.next_frame().unwrap().unwrap();
        assert_eq!(received.payload.capacity(), MIB);
        assert_eq!(received, frame(MIB));
    }

    #[test]
    fn a_limit_that_is_raised_after_authentication_counts_from_the_next_header() {
        let (mut sender, mut receiver) = pair(2 * MIB);
        let mut wire = Vec::new();
        sender.encode(&frame(1), &mut wire).unwrap();
        receiver.feed(&wire);
        assert_eq!(receiver.next_frame(), Ok(Some(frame(1))));

        receiver.set_limits(Limits {
            payload_bytes_max: 2 * MIB,
        });
        wire.clear();
        sender.encode(&frame(2 * MIB), &mut wire).unwrap();
        receiver.feed(&wire);
        assert_eq!(receiver.next_frame(), Ok(Some(frame(2 * MIB))));
    }

    #[test]
    fn our_own_frame_over_the_limit_harms_nothing() {
        let (mut sender, mut receiver) = pair(3);
        let mut wire = Vec::new();
        assert_eq!(
            sender.encode(&frame(4), &mut wire),
            Err(CodecError::FrameOverLimit {
                payload_bytes: 4,
                payload_bytes_max: 3
            })
        );
        assert!(wire.is_empty());
        sender.encode(&frame(3), &mut wire).unwrap();
        receiver.feed(&wire);
        assert_eq!(receiver.next_frame(), Ok(Some(frame(3))));
    }

    #[test]
    fn a_peer_that_sends_a_byte_now_and_then_has_no_more_held_than_twice_what_came() {
        let (mut sender, mut receiver) = pair(MIB);
        let mut wire = Vec::new();
        sender.encode(&frame(200_000), &mut wire).unwrap();
        let mut frames = 0;
        // Of a block, as the blocks before it have been decrypted.
        let mut come_bytes = 0;
        for byte in wire {
            receiver.lend(vec![byte]);
            come_bytes += 1;
            frames += usize::from(receiver.next_frame().unwrap().is_some());
            assert!(receiver.take_back().is_some(), "the buffer is free again");
            if receiver.ciphertext.waiting_bytes() == 0 {
                come_bytes = 0;
            }
            let held_bytes = receiver.held_bytes();
            assert!(held_bytes <= 2 * come_bytes, "{held_bytes} of {come_bytes}");
            assert!(held_bytes <= BLOCK_BYTES_MAX);
        }
        assert_eq!(frames, 1);
    }

    #[test]
    fn a_lent_buffer_comes_back_when_its_last_frame_was_given_and_not_before() {
        let (mut sender, mut receiver) = pair(MIB);
        let mut wire = Vec::new();
        for _ in 0..2 {
            sender.encode(&frame(200), &mut wire).unwrap();
        }
        receiver.lend(wire);
        assert_eq!(receiver.next_frame(), Ok(Some(frame(200))));
        assert_eq!(receiver.take_back(), None);
        assert_eq!(receiver.next_frame(), Ok(Some(frame(200))));
        assert!(receiver.take_back().is_some());
        assert_eq!(receiver.next_frame(), Ok(None));
        assert_eq!(receiver.held_bytes(), 0);
    }
}
