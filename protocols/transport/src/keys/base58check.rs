//! Base58check over buffers of known length, so that nothing of a secret is left in memory that
//! a growing vector gave back. The checksum is the first four bytes of SHA-256 applied twice.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::KeyError;

const CHECKSUM_BYTES: usize = 4;

/// Longest payload here: the public key with its version.
const PAYLOAD_BYTES_MAX: usize = 34;
const CHECKED_BYTES_MAX: usize = PAYLOAD_BYTES_MAX + CHECKSUM_BYTES;

/// Base58 needs log(256)/log(58) < 1.37 characters for a byte: 53 for [`CHECKED_BYTES_MAX`].
const TEXT_BYTES_MAX: usize = 53;

/// The text of `N` bytes; `N` is at most [`PAYLOAD_BYTES_MAX`].
pub(super) fn encode<const N: usize>(payload: &[u8; N]) -> Zeroizing<String> {
    const { assert!(N <= PAYLOAD_BYTES_MAX) };
    let mut checked = Zeroizing::new([0; CHECKED_BYTES_MAX]);
    checked[..N].copy_from_slice(payload);
    checked[N..N + CHECKSUM_BYTES].copy_from_slice(&checksum(payload));

    let mut text = Zeroizing::new([0; TEXT_BYTES_MAX]);
    let text_bytes = bs58::encode(&checked[..N + CHECKSUM_BYTES])
        .onto(&mut text[..])
        .expect("the buffer holds the text of the longest payload");
    Zeroizing::new(
        std::str::from_utf8(&text[..text_bytes])
            .expect("the base58 alphabet is ASCII")
            .to_owned(),
    )
}

/// The `N` bytes that `text` stands for; `N` is at most [`PAYLOAD_BYTES_MAX`].
pub(super) fn decode<const N: usize>(text: &str) -> Result<Zeroizing<[u8; N]>, KeyError> {
    const { assert!(N <= PAYLOAD_BYTES_MAX) };
    if text.len() > TEXT_BYTES_MAX {
        return Err(KeyError::NotBase58);
    }
    let mut checked = Zeroizing::new([0; CHECKED_BYTES_MAX]);
    let checked_bytes = bs58::decode(text)
        .onto(&mut checked[..N + CHECKSUM_BYTES])
        .map_err(|_| KeyError::NotBase58)?;
    if checked_bytes != N + CHECKSUM_BYTES {
        return Err(KeyError::NotBase58);
    }

    let mut payload = Zeroizing::new([0; N]);
    payload.copy_from_slice(&checked[..N]);
    if checked[N..N + CHECKSUM_BYTES] != checksum(&payload[..]) {
        return Err(KeyError::Checksum);
    }
    Ok(payload)
}

fn checksum(payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let [c0, c1, c2, c3, ..]: [u8; 32] = Sha256::digest(Sha256::digest(payload)).into();
    [c0, c1, c2, c3]
}
