//! How values are written for people, where it is not plain hexadecimal (section 8).

use thiserror::Error;

/// A header hash as block hashes are written: 64 hexadecimal digits, most significant byte first,
/// the reverse of the wire.
pub fn header_hash_to_text(header_hash: &[u8; 32]) -> String {
    let mut bytes = *header_hash;
    bytes.reverse();
    hex::encode(bytes)
}

/// Reads [`header_hash_to_text`]'s form, in either case.
pub fn header_hash_from_text(text: &str) -> Result<[u8; 32], HeaderHashTextError> {
    let mut bytes = [0; 32];
    hex::decode_to_slice(text, &mut bytes).map_err(|_| HeaderHashTextError)?;
    bytes.reverse();
    Ok(bytes)
}

/// Text that is not a header hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("a header hash is 64 hexadecimal digits")]
pub struct HeaderHashTextError;
