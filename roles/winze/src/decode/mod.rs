//! `winze decode`: any frame or message in hexadecimal, field by field; an error points at its byte.

mod input;

use std::fmt::Write as _;
use std::io::Write as _;

use winze_messages::table::{self, Row, TABLE};
use winze_messages::{Description, describe_bytes};
use winze_transport::{CHANNEL_BIT, HEADER_BYTES, Header};

/// Print a frame or message field by field.
///
/// Takes the plaintext of one frame: six bytes of header, then the payload. Each line has the place of a field, its
/// length in bytes, its name, type and value. Authenticators and signatures are shown, not verified.
#[derive(clap::Args, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    winze decode 01480d0800000700000000000000\n  \
    winze decode --message Ping 0700000000000000\n  \
    winze decode --frames - < captured.hex\n  \
    winze decode --list\n\n\
    An error goes to standard error with a mark under the byte where it is, and makes the exit status 1."
)]
pub(crate) struct Args {
    /// The bytes in hexadecimal, white space and `:` between them allowed; `-` reads standard input
    #[arg(value_name = "HEX|-", required_unless_present = "list")]
    hex: Option<String>,
    /// The bytes are a payload without its header, that of this message: its name (Ping, MintQuoteRequest) or its
    /// extension and type (0x4801/0x0d). A message of a channel starts with its channel id
    #[arg(long, value_name = "NAME", conflicts_with = "frames", value_parser = message)]
    message: Option<&'static Row>,
    /// The bytes are one frame after another
    #[arg(long)]
    frames: bool,
    /// List the messages that are known, instead
    #[arg(long, conflicts_with_all = ["hex", "message", "frames"])]
    list: bool,
}

/// Why nothing, or not everything, could be printed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DecodeError {
    /// The text is not hexadecimal.
    #[error(transparent)]
    Input(#[from] input::InputError),
    /// A payload that no header can announce.
    #[error(transparent)]
    Frame(#[from] winze_transport::FrameError),
    /// The bytes are not what they should be.
    #[error("byte {offset}: {text}\n{picture}")]
    Malformed {
        /// Place of the byte, from 0, in what was given.
        offset: usize,
        /// What is wrong there.
        text: String,
        /// The bytes around it, with a mark.
        picture: String,
    },
    /// Standard output is closed or full.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
}

pub(crate) fn run(args: &Args) -> Result<(), DecodeError> {
    let Some(hex) = &args.hex else {
        std::io::stdout().write_all(list().as_bytes())?;
        return Ok(());
    };
    let bytes = input::bytes(hex)?;
    match args.message {
        Some(row) => show(&bytes, 0, describe_payload(row, &bytes)?),
        None if args.frames => show_frames(&bytes),
        None => show(&bytes, 0, describe_bytes(&bytes)),
    }
}

/// Prints the fields, and makes an error of what is wrong. `start` is where the description's offsets begin.
fn show(bytes: &[u8], start: usize, description: Description) -> Result<(), DecodeError> {
    let Description {
        message,
        mut fields,
        error,
    } = description;
    for field in &mut fields {
        field.offset += start;
    }
    let title = message.unwrap_or("unknown message");
    let shown = Description {
        message,
        fields,
        error: None,
    };
    write!(std::io::stdout(), "{title}\n{shown}")?;
    match error {
        None => Ok(()),
        Some(error) => {
            let offset = start + error.offset;
            Err(DecodeError::Malformed {
                offset,
                text: error.text,
                picture: input::point_at(bytes, offset),
            })
        }
    }
}

fn show_frames(bytes: &[u8]) -> Result<(), DecodeError> {
    let mut start = 0;
    while start < bytes.len() {
        let rest = &bytes[start..];
        let frame_bytes = rest
            .first_chunk::<HEADER_BYTES>()
            .map_or(rest.len(), |header| {
                HEADER_BYTES + Header::parse(header).payload_bytes as usize
            });
        let frame = rest.get(..frame_bytes).unwrap_or(rest);
        show(bytes, start, describe_bytes(frame))?;
        start += frame.len();
    }
    Ok(())
}

/// Describes a payload by putting the header in front that it would travel with; that header is not shown.
fn describe_payload(row: &Row, payload: &[u8]) -> Result<Description, DecodeError> {
    let channel_bit = if row.framing.channel_bit() {
        CHANNEL_BIT
    } else {
        0
    };
    let header = Header::new(row.extension | channel_bit, row.msg_type, payload.len())?;
    let mut description = describe_bytes(&[&header.to_bytes()[..], payload].concat());
    description
        .fields
        .retain(|field| field.offset >= HEADER_BYTES);
    for field in &mut description.fields {
        field.offset -= HEADER_BYTES;
    }
    if let Some(error) = &mut description.error {
        error.offset = error.offset.saturating_sub(HEADER_BYTES);
    }
    Ok(description)
}

fn list() -> String {
    let mut text = String::from("extension type  payload bytes  channel  name\n");
    for row in TABLE {
        let channel = if row.framing.channel_bit() {
            "yes"
        } else {
            "no"
        };
        let bytes = format!("{}..{}", row.payload_bytes_min, row.payload_bytes_max);
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:#06x}    {:#04x}  {bytes:<13}  {channel:<7}  {}",
            row.extension, row.msg_type, row.name
        );
    }
    text
}

/// A message by its name, in any case, or as `extension/type`.
fn message(text: &str) -> Result<&'static Row, String> {
    if let Some(row) = TABLE.iter().find(|row| row.name.eq_ignore_ascii_case(text)) {
        return Ok(row);
    }
    let unknown = || "no such message; `winze decode --list` names them".to_owned();
    let (extension, msg_type) = text.split_once('/').ok_or_else(unknown)?;
    let number = |digits: &str| match digits.strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16).ok(),
        None => digits.parse().ok(),
    };
    let (Some(extension), Some(msg_type)) = (number(extension), number(msg_type)) else {
        return Err("expected numbers, as in 0x4801/0x0d".to_owned());
    };
    let msg_type = u8::try_from(msg_type).map_err(|_| unknown())?;
    table::lookup(extension & !CHANNEL_BIT, msg_type).ok_or_else(unknown)
}
