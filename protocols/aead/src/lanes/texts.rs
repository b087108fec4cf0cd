//! Texts between memory and registers, 64 bytes at a time.

use std::arch::x86_64::*;

use crate::run::Text;

/// What a register holds.
pub(super) const CHUNK_BYTES: usize = 64;
const WORD_BYTES: usize = 8;

/// One bit for each of the first `bytes` bytes of a register, 64 at most.
fn mask(bytes: usize) -> u64 {
    u64::MAX
        .checked_shr((CHUNK_BYTES - bytes.min(CHUNK_BYTES)) as u32)
        .unwrap_or(0)
}

/// `text`, and zeros behind it; no more than [`CHUNK_BYTES`] of it.
#[inline]
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) fn load(buffer: &[u8], text: Text) -> __m512i {
    let from = buffer.get(text.at..).unwrap_or_default();
    if text.bytes >= CHUNK_BYTES
        && let Some(whole) = from.first_chunk::<CHUNK_BYTES>()
    {
        return bytemuck::cast(*whole);
    }
    let chunk = match from.first_chunk::<CHUNK_BYTES>() {
        Some(whole) => bytemuck::cast(*whole),
        None => {
            let mut chunk = [0; CHUNK_BYTES];
            chunk[..from.len()].copy_from_slice(from);
            bytemuck::cast(chunk)
        }
    };
    _mm512_maskz_mov_epi8(mask(text.bytes), chunk)
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
        let stream = stream
            & u64::MAX
                .checked_shr(64 - 8 * text.bytes as u32)
                .unwrap_or(0);
        *word = (u64::from_le_bytes(*word) ^ stream).to_le_bytes();
        return;
    }
    let stream = match text.bytes >= CHUNK_BYTES {
        true => stream,
        false => _mm512_maskz_mov_epi8(mask(text.bytes), stream),
    };
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
