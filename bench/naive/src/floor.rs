//! What no hub can go below: four operations of the cipher for each message, header and payload opened and sealed.

use std::hint::black_box;
use std::time::Instant;

use chacha20poly1305::aead::AeadInPlace;
use chacha20poly1305::{ChaCha20Poly1305, KeyInit, Nonce, Tag};

/// Bytes of a frame's header.
const HEADER_BYTES: usize = 6;

/// Nanoseconds for one message with such a payload: the mean of so many.
pub fn message_ns(payload_bytes: usize, rounds: u64) -> f64 {
    let cipher = ChaCha20Poly1305::new(&[7; 32].into());
    let mut blocks = [vec![0x5a; HEADER_BYTES], vec![0x5a; payload_bytes]];
    let began = Instant::now();
    for round in 0..rounds {
        for block in &mut blocks {
            let nonce = nonce(round);
            let tag = cipher.encrypt_in_place_detached(&nonce, b"", block);
            let tag: Tag = tag.unwrap_or_default();
            let opened = cipher.decrypt_in_place_detached(&nonce, b"", block, &tag);
            assert!(opened.is_ok(), "what was sealed opens");
            black_box(&block);
        }
    }
    began.elapsed().as_secs_f64() * 1e9 / rounds as f64
}

fn nonce(number: u64) -> Nonce {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&number.to_le_bytes());
    nonce.into()
}
