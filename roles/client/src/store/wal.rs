//! Damage in a write-ahead log, which SQLite drops without a word: it reads frames up to the first one whose checksum
//! is wrong and forgets the rest, as is right after a power cut and wrong after anything else.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

const HEADER_BYTES: usize = 32;
const FRAME_HEADER_BYTES: usize = 24;
/// The lowest bit says that the checksum's words are big-endian.
const MAGIC: u32 = 0x377f_0682;

/// Looks at the log before SQLite does. Says what is wrong where a commit follows something that is damaged: a power
/// cut leaves nothing behind the frame that it tore. `None` where there is no log, or none with such damage; a log
/// whose end is missing, or whose last transaction is damaged, looks like one before that transaction.
///
/// Format: SQLite's "Database File Format", section 4.
pub(super) fn damage(log: &Path) -> io::Result<Option<String>> {
    let file = match File::open(log) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let mut reader = BufReader::new(file);
    let mut header = [0; HEADER_BYTES];
    if !fill(&mut reader, &mut header)? {
        return Ok(None);
    }
    let big_endian = word(&header, 0) & 1 == 1;
    let mut sum = checksum([0, 0], &header[..24], big_endian);
    let page_bytes = word(&header, 8);
    let is_whole = word(&header, 0) & !1 == MAGIC
        && sum == [word(&header, 24), word(&header, 28)]
        && (512..=65_536).contains(&page_bytes);
    if !is_whole {
        return Ok(Some(
            "its header is damaged: all that it holds is lost".to_owned(),
        ));
    }
    let salts = &header[16..24];
    let mut frame = vec![0; FRAME_HEADER_BYTES + page_bytes as usize];
    let mut damaged_at = None;
    let mut offset = HEADER_BYTES;
    while fill(&mut reader, &mut frame)? {
        let is_of_this_log = frame[8..16] == *salts;
        match damaged_at {
            None => {
                sum = checksum(sum, &frame[..8], big_endian);
                sum = checksum(sum, &frame[FRAME_HEADER_BYTES..], big_endian);
                if !is_of_this_log || sum != [word(&frame, 16), word(&frame, 20)] {
                    damaged_at = Some(offset);
                }
            }
            Some(damaged_at) if is_of_this_log && word(&frame, 4) != 0 => {
                return Ok(Some(format!(
                    "it is damaged at byte {damaged_at}: what was written from there on is lost"
                )));
            }
            Some(_) => {}
        }
        offset += frame.len();
    }
    Ok(None)
}

/// False where the file ends before that.
fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<bool> {
    match reader.read_exact(bytes) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    }
}

fn word(bytes: &[u8], at: usize) -> u32 {
    let mut word = [0; 4];
    word.copy_from_slice(&bytes[at..at + 4]);
    u32::from_be_bytes(word)
}

fn checksum([mut a, mut b]: [u32; 2], bytes: &[u8], big_endian: bool) -> [u32; 2] {
    let read = |word: &[u8]| {
        let word = [word[0], word[1], word[2], word[3]];
        match big_endian {
            true => u32::from_be_bytes(word),
            false => u32::from_le_bytes(word),
        }
    };
    for pair in bytes.chunks_exact(8) {
        a = a.wrapping_add(read(&pair[..4])).wrapping_add(b);
        b = b.wrapping_add(read(&pair[4..])).wrapping_add(a);
    }
    [a, b]
}
