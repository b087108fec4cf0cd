//! Texts between memory and registers, 64 bytes at a time.

use std::arch::x86_64::*;

use crate::run::Text;

/// What a register holds.
pub(super) const CHUNK_BYTES: usize = 64;
const WORD_BYTES: usize = 8;

/// So many ones, from the lowest bit on; 64 at most.
fn ones(count: usize) -> u64 {
    u64::MAX.checked_shr(64 - count.min(64) as u32).unwrap_or(0)
}

/// The first `bytes` of a register, and zeros behind them.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
fn first(register: __m512i, bytes: usize) -> __m512i {
    match bytes >= CHUNK_BYTES {
        true => register,
        false => _mm512_maskz_mov_epi8(ones(bytes), register),
    }
}

/// `text`, and zeros behind it; no more than [`CHUNK_BYTES`] of it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn load(buffer: &[u8], text: Text) -> __m512i {
    let from = buffer.get(text.at..).unwrap_or_default();
    let chunk = match from.first_chunk::<CHUNK_BYTES>() {
        Some(whole) => bytemuck::cast(*whole),
        None => {
            let mut chunk = [0; CHUNK_BYTES];
            chunk[..from.len()].copy_from_slice(from);
            bytemuck::cast(chunk)
        }
    };
    first(chunk, text.bytes)
}

/// Encrypts or decrypts `text`, [`CHUNK_BYTES`] at most, with the start of `stream`.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn xor(buffer: &mut [u8], text: Text, stream: __m512i) {
    let from = buffer.get_mut(text.at..).unwrap_or_default();
    // A header, above all. To write no more than that leaves the processor free to read what is behind it.
    if text.bytes <= WORD_BYTES
        && let Some(word) = from.first_chunk_mut::<WORD_BYTES>()
    {
        let [stream, ..]: [u64; CHUNK_BYTES / WORD_BYTES] = bytemuck::cast(stream);
        let stream = stream & ones(8 * text.bytes);
        *word = (u64::from_le_bytes(*word) ^ stream).to_le_bytes();
        return;
    }
    let stream = first(stream, text.bytes);
    if let Some(whole) = from.first_chunk_mut::<CHUNK_BYTES>() {
        let chunk: __m512i = bytemuck::cast(*whole);
        *whole = bytemuck::cast(_mm512_xor_si512(chunk, stream));
        return;
    }
    let stream: [u8; CHUNK_BYTES] = bytemuck::cast(stream);
    for (byte, key) in from.iter_mut().zip(stream) {
        *byte ^= key;
    }
}
