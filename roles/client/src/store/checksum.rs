use winze_hmac::{DIGEST_BYTES, Message, Sha256};

use crate::limits::{BYTES_HASHED_TOGETHER_MAX, ROWS_HASHED_TOGETHER_MAX};

const TAG: &[u8] = b"winze/row/v1";
/// Of a row.
const CHECKSUM_BYTES: usize = 16;
/// What is hashed of most rows fits in.
const ROW_BYTES_USUAL: usize = 512;

/// Of what a row says, to be kept beside it: a bit that flips on the disk does not become another row's or another
/// amount's word. It keeps nobody out who may write to the file.
pub(crate) fn row_checksum(table: &'static str, fields: &[&[u8]]) -> [u8; CHECKSUM_BYTES] {
    let mut body = Vec::with_capacity(ROW_BYTES_USUAL);
    append(&mut body, table, fields);
    cut(Sha256::new().digest(Message {
        head: &[],
        body: &body,
    }))
}

/// [`row_checksum`] of many rows, which costs less than one after the other.
#[derive(Default)]
pub(crate) struct RowChecksums {
    /// What is to be hashed of the last rows.
    to_hash: Vec<u8>,
    /// Where that of each row ends.
    ends: Vec<usize>,
    /// Of the rows before.
    checksums: Vec<[u8; CHECKSUM_BYTES]>,
}

impl RowChecksums {
    /// The next row.
    pub(crate) fn add(&mut self, table: &'static str, fields: &[&[u8]]) {
        append(&mut self.to_hash, table, fields);
        self.ends.push(self.to_hash.len());
        let are_enough = self.ends.len() >= ROWS_HASHED_TOGETHER_MAX;
        if are_enough || self.to_hash.len() >= BYTES_HASHED_TOGETHER_MAX {
            self.hash();
        }
    }

    /// In the order of the rows.
    pub(crate) fn finish(mut self) -> Vec<[u8; CHECKSUM_BYTES]> {
        self.hash();
        self.checksums
    }

    fn hash(&mut self) {
        let mut begin = 0;
        let messages = self.ends.iter().map(|end| {
            let body = &self.to_hash[begin..*end];
            begin = *end;
            Message { head: &[], body }
        });
        let messages: Vec<_> = messages.collect();
        let mut digests = vec![[0; DIGEST_BYTES]; messages.len()];
        Sha256::new().digests(&messages, &mut digests);
        self.checksums.extend(digests.into_iter().map(cut));
        self.to_hash.clear();
        self.ends.clear();
    }
}

/// Appends what is hashed of a row.
fn append(to_hash: &mut Vec<u8>, table: &'static str, fields: &[&[u8]]) {
    to_hash.extend_from_slice(TAG);
    for field in std::iter::once(&table.as_bytes()).chain(fields) {
        to_hash.extend_from_slice(&(field.len() as u64).to_le_bytes());
        to_hash.extend_from_slice(field);
    }
}

fn cut(digest: [u8; DIGEST_BYTES]) -> [u8; CHECKSUM_BYTES] {
    *digest.first_chunk().expect("a digest is longer")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Written down from another SHA-256: what lies in files must stay right.
    #[test]
    fn rows_keep_their_checksums_alone_and_among_others() {
        let long: Vec<u8> = (0..200).collect();
        let rows: [(&[&[u8]], &str); 3] = [
            (&[], "642465fa17796565387d0ac428ba1283"),
            (&[b"", b"abc"], "c6427c1fb1a99fea488ac9caacc6d446"),
            (&[b"pool/main", &long], "854d1fb0786d78cf31e43f8e978110b7"),
        ];
        let mut together = RowChecksums::default();
        for (fields, expected) in rows.iter().cycle().take(200) {
            assert_eq!(hex::encode(row_checksum("outbox", fields)), *expected);
            together.add("outbox", fields);
        }
        let expected = rows.iter().map(|(_, expected)| *expected).cycle();
        let together: Vec<String> = together.finish().into_iter().map(hex::encode).collect();
        assert!(together.iter().eq(expected.take(200)));
        assert!(RowChecksums::default().finish().is_empty());
    }
}
