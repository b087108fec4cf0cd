//! Hexadecimal text as a person pastes it, and the picture that points at one of its bytes.

use std::fmt::Write;
use std::io::Read;

/// Longest text that is taken, in characters: the longest frame in hexadecimal, with a space after every byte.
const TEXT_CHARS_MAX: u64 = 3 * ((1 << 24) + 16);

/// Bytes in a line of the picture.
const LINE_BYTES: usize = 16;

/// Text that is not hexadecimal.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum InputError {
    /// Standard input could not be read.
    #[error("cannot read standard input: {0}")]
    Read(String),
    /// More text than any frame has.
    #[error("more than {TEXT_CHARS_MAX} characters: longer than the longest frame")]
    TooLong,
    /// A character that is neither a digit nor something to set digits apart.
    #[error("character {position} is {character:?}, not a hexadecimal digit")]
    NotHex {
        /// Counted from 1.
        position: usize,
        /// What stands there.
        character: char,
    },
    /// Half a byte at the end.
    #[error(
        "{digits} hexadecimal digits are no whole number of bytes: the last one is half a byte"
    )]
    OddDigits {
        /// How many there are.
        digits: usize,
    },
    /// No digit at all.
    #[error("no hexadecimal digits")]
    Empty,
}

/// `-` reads standard input; anything else is the text itself.
pub(super) fn bytes(argument: &str) -> Result<Vec<u8>, InputError> {
    if argument != "-" {
        return parse(argument);
    }
    let mut text = String::new();
    std::io::stdin()
        .lock()
        .take(TEXT_CHARS_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| InputError::Read(error.to_string()))?;
    if text.len() as u64 > TEXT_CHARS_MAX {
        return Err(InputError::TooLong);
    }
    parse(&text)
}

/// Hexadecimal digits of either case; white space, `:` and `,` between them and a `0x` in front are skipped.
fn parse(text: &str) -> Result<Vec<u8>, InputError> {
    let skipped = text.len() - text.trim_start().len();
    let prefix = if text[skipped..].starts_with("0x") {
        skipped + 2
    } else {
        skipped
    };
    let mut bytes = Vec::with_capacity(text.len() / 2);
    let mut high = None;
    let mut digits = 0;
    for (index, character) in text.chars().enumerate().skip(prefix) {
        if character.is_whitespace() || character == ':' || character == ',' {
            continue;
        }
        let Some(value) = character.to_digit(16) else {
            return Err(InputError::NotHex {
                position: index + 1,
                character,
            });
        };
        digits += 1;
        let value = value as u8;
        match high.take() {
            None => high = Some(value),
            Some(first) => bytes.push(first << 4 | value),
        }
    }
    match (high, digits) {
        (Some(_), _) => Err(InputError::OddDigits { digits }),
        (None, 0) => Err(InputError::Empty),
        (None, _) => Ok(bytes),
    }
}

/// The line of `bytes` around `offset`, with a mark under the byte, or under the place after the last one when bytes
/// are missing there.
pub(super) fn point_at(bytes: &[u8], offset: usize) -> String {
    let offset = offset.min(bytes.len());
    let start = offset - offset % LINE_BYTES;
    let line = bytes.iter().skip(start).take(LINE_BYTES);
    let mut picture = format!("  {start:08x} ");
    for byte in line {
        // Writing to a String cannot fail.
        let _ = write!(picture, " {byte:02x}");
    }
    let margin = 2 + 8 + 1 + 3 * (offset - start) + 1;
    let _ = write!(picture, "\n{:margin$}^^ byte {offset}", "");
    picture
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hexadecimal_is_taken_as_people_paste_it() {
        assert_eq!(
            parse(" 0x00ff:1A, 2b\n3c\n"),
            Ok(vec![0x00, 0xff, 0x1a, 0x2b, 0x3c])
        );
        assert_eq!(parse("00 0"), Err(InputError::OddDigits { digits: 3 }));
        assert_eq!(
            parse("00é0"),
            Err(InputError::NotHex {
                position: 3,
                character: 'é'
            })
        );
        assert_eq!(parse(" \n"), Err(InputError::Empty));
    }

    #[test]
    fn the_mark_stands_under_its_byte() {
        let bytes: Vec<u8> = (0..20).collect();
        let picture = point_at(&bytes, 17);
        let (line, mark) = picture.split_once('\n').unwrap();
        assert_eq!(line, "  00000010  10 11 12 13");
        assert_eq!(mark.find("^^"), line.find("11"));
        assert_eq!(
            point_at(&bytes, 99).lines().last().unwrap().trim(),
            "^^ byte 20"
        );
    }
}
