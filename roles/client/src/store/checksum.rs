use sha2::{Digest, Sha256};

/// Of what a row says, to be kept beside it: a bit that flips on the disk does not become another row's or another
/// amount's word. It keeps nobody out who may write to the file.
pub(crate) fn row_checksum(table: &'static str, fields: &[&[u8]]) -> [u8; 16] {
    let mut digest = Sha256::new().chain_update(b"winze/row/v1");
    for field in std::iter::once(&table.as_bytes()).chain(fields) {
        digest.update((field.len() as u64).to_le_bytes());
        digest.update(field);
    }
    let mut checksum = [0; 16];
    checksum.copy_from_slice(&digest.finalize()[..16]);
    checksum
}
