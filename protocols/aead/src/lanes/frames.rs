//! Whole runs: which block of ChaCha20 goes to which lane, and what is done with it.

use std::arch::x86_64::*;

use subtle::ConstantTimeEq;

use super::Words;
use super::chacha20::{self, Blocks};
use super::poly1305;
use super::texts::{CHUNK_BYTES, load, xor};
use crate::one::MAC_BYTES;
use crate::run::{FrameAt, HEADER_BYTES, RUN_FRAMES_MAX, Text, is_for_run};

/// A register for each text that Poly1305 takes at a time.
type Group = [__m512i; GROUP];
const GROUP: usize = poly1305::LANES;
/// Groups that the headers of a run make at most, and so do its payloads.
const GROUPS: usize = RUN_FRAMES_MAX / GROUP;

#[target_feature(enable = "avx512f,avx512bw,avx512ifma")]
pub(super) fn seal(key: &Words, nonce: u64, run: &mut [u8], frames: &[FrameAt]) {
    let mut texts = Texts::default();
    for frame in frames {
        texts.add(nonce.wrapping_add(texts.count as u64), frame.header);
        texts.add(nonce.wrapping_add(texts.count as u64), frame.payload);
    }
    // The one-time keys come first, header's and payload's by turns.
    let mut keys = [_mm512_setzero_si512(); 2 * RUN_FRAMES_MAX];
    let mut pass = Pass::default();
    let mut lanes = 0;
    while pass.refill(&mut texts) {
        let streams = chacha20::pass(key, &pass.blocks);
        for (key, stream) in keys[..texts.count].iter_mut().skip(lanes).zip(streams) {
            *key = stream;
        }
        xor_all(run, &pass, &streams);
        lanes += pass.filled;
    }

    for (frames, keys) in frames.chunks(GROUP).zip(keys.chunks(2 * GROUP)) {
        let (header_keys, payload_keys) = by_turns(keys);
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
}

#[target_feature(enable = "avx512f,avx512bw,avx512ifma")]
pub(super) fn open(
    key: &Words,
    nonce: u64,
    run: &mut [u8],
    payload_bytes: fn(&[u8; HEADER_BYTES]) -> usize,
) -> usize {
    let mut found = Found::default();
    let mut header_keys: [Group; GROUPS] = [[_mm512_setzero_si512(); GROUP]; GROUPS];
    let mut header_streams = header_keys;
    let mut pass = Pass::default();
    // Where the frames are is in their headers, so these come first: of a group the one-time keys, and the blocks that
    // encrypt them, by turns. Another group is worth it where there seem to be two more frames.
    for (group, (keys, streams)) in header_keys.iter_mut().zip(&mut header_streams).enumerate() {
        let first = group * GROUP;
        if found.count < first || run.len() - found.end < 2 * found.end / GROUP {
            break;
        }
        pass.filled = 0;
        for index in first..first + GROUP {
            for counter in [0, 1] {
                let nonce = nonce.wrapping_add(2 * index as u64);
                pass.add(nonce, counter, Text::default());
            }
        }
        (*keys, *streams) = by_turns(&chacha20::pass(key, &pass.blocks));
        found.extend(run, streams, payload_bytes);
    }
    let frames = &found.frames[..found.count];
    // One by itself is faster.
    if frames.len() < 2 {
        return 0;
    }

    let mut texts = Texts::default();
    for (index, frame) in frames.iter().enumerate() {
        texts.add(nonce.wrapping_add(2 * index as u64 + 1), frame.payload);
    }
    // The first pass has all of their one-time keys. What it has streams for stays encrypted until its MAC was compared.
    pass.refill(&mut texts);
    let streams = chacha20::pass(key, &pass.blocks);
    let payload_keys = streams.as_chunks::<GROUP>().0;
    let mut are_authentic = 0;
    for (group, frames) in frames.chunks(GROUP).enumerate() {
        let of_group = authentic(&header_keys[group], run, &headers(frames))
            & authentic(&payload_keys[group], run, &payloads(frames));
        are_authentic |= u32::from(of_group) << (group * GROUP);
    }
    // What is not authentic stays as it is, and so does all that is behind it.
    let good = frames.len().min(are_authentic.trailing_ones() as usize);
    let frames = &frames[..good];
    let run = &mut run[..frames.last().map_or(0, |frame| frame.end())];

    for (frame, stream) in frames.iter().zip(header_streams.as_flattened()) {
        xor(run, frame.header, *stream);
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
    /// What is given out next: whose one-time key, then of which text, and which chunk of it.
    next_key: usize,
    next: usize,
    chunk: usize,
}

impl Texts {
    fn add(&mut self, nonce: u64, text: Text) {
        self.texts[self.count] = (nonce, text);
        self.count += 1;
    }

    /// A nonce, the counter under it, and what that block encrypts: first of all texts block 0, which is a one-time key
    /// and encrypts nothing, then the others.
    #[inline]
    fn next_block(&mut self) -> Option<(u64, u32, Text)> {
        let texts = &self.texts[..self.count];
        if let Some((nonce, _)) = texts.get(self.next_key) {
            self.next_key += 1;
            return Some((*nonce, 0, Text::default()));
        }
        let (nonce, text) = *texts.get(self.next)?;
        let start = self.chunk * CHUNK_BYTES;
        let chunk = Text {
            at: text.at + start,
            bytes: (text.bytes - start).min(CHUNK_BYTES),
        };
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

    /// Begins anew; false if there is nothing left.
    #[inline]
    fn refill(&mut self, texts: &mut Texts) -> bool {
        self.filled = 0;
        while self.filled < chacha20::LANES
            && let Some((nonce, counter, text)) = texts.next_block()
        {
            self.add(nonce, counter, text);
        }
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
fn by_turns(streams: &[__m512i]) -> (Group, Group) {
    let mut even: Group = [_mm512_setzero_si512(); GROUP];
    let mut odd = even;
    for (index, [of_even, of_odd]) in streams.as_chunks().0.iter().enumerate() {
        (even[index], odd[index]) = (*of_even, *of_odd);
    }
    (even, odd)
}

/// The frames that a run starts with, as far as they are whole and short enough.
#[derive(Default)]
struct Found {
    frames: [FrameAt; RUN_FRAMES_MAX],
    count: usize,
    end: usize,
}

impl Found {
    /// Looks for those whose headers `header_streams` encrypt.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw")]
    fn extend(
        &mut self,
        run: &[u8],
        header_streams: &Group,
        payload_bytes: fn(&[u8; HEADER_BYTES]) -> usize,
    ) {
        for stream in header_streams {
            let header = FrameAt::new(self.end, 0).header;
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
            let frame = FrameAt::new(self.end, payload_bytes);
            if run.len() < frame.end() {
                break;
            }
            self.frames[self.count] = frame;
            self.count += 1;
            self.end = frame.end();
        }
    }
}

/// A bit for each text, the first one's the lowest: whether the MAC behind it is its own.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512ifma")]
fn authentic(keys: &Group, run: &[u8], texts: &[Text; GROUP]) -> u8 {
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

fn headers(frames: &[FrameAt]) -> [Text; GROUP] {
    texts(frames, |frame| frame.header)
}

fn payloads(frames: &[FrameAt]) -> [Text; GROUP] {
    texts(frames, |frame| frame.payload)
}

fn texts(frames: &[FrameAt], text: fn(&FrameAt) -> Text) -> [Text; GROUP] {
    let mut texts = [Text::default(); GROUP];
    for (place, frame) in texts.iter_mut().zip(frames) {
        *place = text(frame);
    }
    texts
}
