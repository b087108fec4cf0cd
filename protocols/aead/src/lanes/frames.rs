//! Whole runs: which block of ChaCha20 goes to which lane, and what is done with it.

use std::arch::x86_64::*;

use subtle::ConstantTimeEq;

use super::Words;
use super::chacha20::{self, Blocks};
use super::poly1305;
use super::texts::{CHUNK_BYTES, load, xor};
use crate::one::MAC_BYTES;
use crate::run::{FrameAt, HEADER_BYTES, RUN_FRAMES_MAX, Text, is_for_run};

/// A register for each frame.
type Registers = [__m512i; RUN_FRAMES_MAX];

#[target_feature(enable = "avx512f,avx512bw,avx512ifma")]
pub(super) fn seal(key: &Words, nonce: u64, run: &mut [u8], frames: &[FrameAt]) {
    let mut texts = Texts::default();
    for frame in frames {
        texts.add(nonce.wrapping_add(texts.count as u64), frame.header);
        texts.add(nonce.wrapping_add(texts.count as u64), frame.payload);
    }
    let mut pass = Pass::default();
    pass.fill_with_one_time_keys(&texts);
    pass.fill(&mut texts);
    let streams = chacha20::pass(key, &pass.blocks);
    let (header_keys, payload_keys) = by_turns(&streams);
    xor_all(run, &pass, &streams);
    while pass.refill(&mut texts) {
        xor_all(run, &pass, &chacha20::pass(key, &pass.blocks));
    }

    for (keys, texts) in [
        (header_keys, headers(frames)),
        (payload_keys, payloads(frames)),
    ] {
        let macs = poly1305::macs(&keys, run, &texts);
        for (text, mac) in texts.into_iter().zip(macs).take(frames.len()) {
            run[text.end()..][..MAC_BYTES].copy_from_slice(&mac);
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512ifma")]
pub(super) fn open(
    key: &Words,
    nonce: u64,
    run: &mut [u8],
    payload_bytes: fn(&[u8; HEADER_BYTES]) -> usize,
) -> usize {
    // Where the frames are is in their headers, so these come first: of as many as there can be the one-time key, and
    // the block that encrypts it, by turns.
    let mut pass = Pass::default();
    for index in 0..RUN_FRAMES_MAX {
        for counter in [0, 1] {
            pass.add(
                nonce.wrapping_add(2 * index as u64),
                counter,
                Text::default(),
            );
        }
    }
    let (header_keys, header_streams) = by_turns(&chacha20::pass(key, &pass.blocks));
    let (frames, whole) = find(run, &header_streams, payload_bytes);
    let frames = &frames[..whole];
    // One by itself is faster.
    if frames.len() < 2 {
        return 0;
    }

    let mut texts = Texts::default();
    for (index, frame) in frames.iter().enumerate() {
        texts.add(nonce.wrapping_add(2 * index as u64 + 1), frame.payload);
    }
    pass.filled = 0;
    pass.fill_with_one_time_keys(&texts);
    pass.fill(&mut texts);
    let streams = chacha20::pass(key, &pass.blocks);
    let mut payload_keys = header_keys;
    payload_keys.copy_from_slice(&streams[..RUN_FRAMES_MAX]);
    // What is not authentic stays as it is, and so does all that is behind it.
    let are_authentic = authentic(&header_keys, run, &headers(frames))
        & authentic(&payload_keys, run, &payloads(frames));
    let good = frames.len().min(are_authentic.trailing_ones() as usize);
    let frames = &frames[..good];
    let run = &mut run[..frames.last().map_or(0, |frame| frame.end())];

    for (frame, stream) in frames.iter().zip(header_streams) {
        xor(run, frame.header, stream);
    }
    xor_all(run, &pass, &streams);
    while pass.refill(&mut texts) {
        xor_all(run, &pass, &chacha20::pass(key, &pass.blocks));
    }
    good
}

/// Texts, each under a nonce of its own, given out chunk by chunk.
#[derive(Default)]
struct Texts {
    texts: [(u64, Text); 2 * RUN_FRAMES_MAX],
    count: usize,
    /// What is given out next: of which text, and which chunk of it.
    next: usize,
    chunk: usize,
}

impl Texts {
    fn add(&mut self, nonce: u64, text: Text) {
        self.texts[self.count] = (nonce, text);
        self.count += 1;
    }

    /// A nonce, the counter under it, and what that block encrypts.
    #[inline]
    fn next_chunk(&mut self) -> Option<(u64, u32, Text)> {
        let (nonce, text) = *self.texts[..self.count].get(self.next)?;
        let start = self.chunk * CHUNK_BYTES;
        let chunk = Text {
            at: text.at + start,
            bytes: (text.bytes - start).min(CHUNK_BYTES),
        };
        // Block 0 is the one-time key.
        self.chunk += 1;
        let counter = self.chunk as u32;
        if chunk.end() == text.end() {
            (self.next, self.chunk) = (self.next + 1, 0);
        }
        Some((nonce, counter, chunk))
    }
}

/// What one pass computes, and for which texts; an empty one for what encrypts none.
#[derive(Default)]
struct Pass {
    blocks: Blocks,
    texts: [Text; chacha20::LANES],
    filled: usize,
}

impl Pass {
    #[inline]
    fn add(&mut self, nonce: u64, counter: u32, text: Text) {
        self.blocks.nonces[self.filled] = nonce;
        self.blocks.counters[self.filled] = counter;
        self.texts[self.filled] = text;
        self.filled += 1;
    }

    fn fill_with_one_time_keys(&mut self, texts: &Texts) {
        for (nonce, _) in &texts.texts[..texts.count] {
            self.add(*nonce, 0, Text::default());
        }
    }

    #[inline]
    fn fill(&mut self, texts: &mut Texts) {
        while self.filled < chacha20::LANES
            && let Some((nonce, counter, text)) = texts.next_chunk()
        {
            self.add(nonce, counter, text);
        }
    }

    /// Begins anew; false if there is nothing left.
    #[inline]
    fn refill(&mut self, texts: &mut Texts) -> bool {
        self.filled = 0;
        self.fill(texts);
        self.filled > 0
    }
}

/// For each text of the pass that is in `run`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn xor_all(run: &mut [u8], pass: &Pass, streams: &[__m512i; chacha20::LANES]) {
    for (text, stream) in pass.texts[..pass.filled].iter().zip(streams) {
        if text.bytes > 0 {
            xor(run, *text, *stream);
        }
    }
}

/// Those of even lanes, and those of odd ones.
#[inline]
#[target_feature(enable = "avx512f")]
fn by_turns(streams: &[__m512i; chacha20::LANES]) -> (Registers, Registers) {
    let mut even: Registers = [_mm512_setzero_si512(); RUN_FRAMES_MAX];
    let mut odd = even;
    for (index, [of_even, of_odd]) in streams.as_chunks().0.iter().enumerate() {
        (even[index], odd[index]) = (*of_even, *of_odd);
    }
    (even, odd)
}

/// The frames that `run` starts with, as far as they are whole and short enough, and how many.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn find(
    run: &[u8],
    header_streams: &Registers,
    payload_bytes: fn(&[u8; HEADER_BYTES]) -> usize,
) -> ([FrameAt; RUN_FRAMES_MAX], usize) {
    let mut frames = [FrameAt::default(); RUN_FRAMES_MAX];
    let mut whole = 0;
    let mut end = 0;
    for (frame, stream) in frames.iter_mut().zip(header_streams) {
        let header = FrameAt::new(end, 0).header;
        if run.len() < header.end() {
            break;
        }
        let header = _mm512_xor_si512(load(run, header), *stream);
        let header: [u8; CHUNK_BYTES] = bytemuck::cast(header);
        let Some(header) = header.first_chunk() else {
            break;
        };
        let payload_bytes = payload_bytes(header);
        if !is_for_run(payload_bytes) {
            break;
        }
        *frame = FrameAt::new(end, payload_bytes);
        end = frame.end();
        if run.len() < end {
            break;
        }
        whole += 1;
    }
    (frames, whole)
}

/// A bit for each text, the first one's the lowest: whether the MAC behind it is its own.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512ifma")]
fn authentic(keys: &Registers, run: &[u8], texts: &[Text; RUN_FRAMES_MAX]) -> u8 {
    let macs = poly1305::macs(keys, run, texts);
    let mut are_authentic = 0;
    for (index, (text, mac)) in texts.iter().zip(macs).enumerate() {
        let sent = run
            .get(text.end()..)
            .and_then(|behind| behind.first_chunk());
        // As one number each: of bytes the comparison would take them one by one.
        let (made, sent) = (
            u128::from_le_bytes(mac),
            sent.copied().map(u128::from_le_bytes),
        );
        let is_authentic = sent.map_or(0, |sent| made.ct_eq(&sent).unwrap_u8());
        are_authentic |= is_authentic << index;
    }
    are_authentic
}

fn headers(frames: &[FrameAt]) -> [Text; RUN_FRAMES_MAX] {
    texts(frames, |frame| frame.header)
}

fn payloads(frames: &[FrameAt]) -> [Text; RUN_FRAMES_MAX] {
    texts(frames, |frame| frame.payload)
}

fn texts(frames: &[FrameAt], text: fn(&FrameAt) -> Text) -> [Text; RUN_FRAMES_MAX] {
    let mut texts = [Text::default(); RUN_FRAMES_MAX];
    for (place, frame) in texts.iter_mut().zip(frames) {
        *place = text(frame);
    }
    texts
}
