//! Bytes that a person wants to understand, with the real binary.

mod support;

use support::{winze, winze_reading};
use winze_messages::families::hub::{OpenChannel, Ping};
use winze_messages::table::TABLE;

fn open_channel() -> Vec<u8> {
    let message = OpenChannel {
        request_id: 7,
        extension: 0x4802,
        peer: "mint/main".to_owned(),
        label: String::new(),
        credit_messages: 256,
        credit_bytes: 262_144,
    };
    message.to_frame().unwrap().to_bytes()
}

/// Column of the byte at `offset` in the pictured line, and column of the mark below it.
fn columns(errors: &str, offset: usize) -> (usize, usize) {
    let lines: Vec<&str> = errors.lines().collect();
    let mark = lines
        .iter()
        .position(|line| line.contains("^^"))
        .expect("a mark");
    let line = lines[mark - 1];
    let first = usize::from_str_radix(line.split_whitespace().next().unwrap(), 16).unwrap();
    (12 + 3 * (offset - first), lines[mark].find("^^").unwrap())
}

#[test]
fn a_frame_is_shown_field_by_field() {
    let shown = winze(&["decode", &hex::encode(open_channel())]).ok();
    assert!(shown.starts_with("OpenChannel\n"), "{shown}");
    assert!(
        shown.contains("0x4801 (hub)") && shown.contains("\"mint/main\""),
        "{shown}"
    );
    // As a payload alone, by name and by number, from standard input and with spaces.
    let payload = hex::encode(&open_channel()[6..]).replace("02", "02 ");
    for name in ["openchannel", "0x4801/0x03"] {
        let bare = winze_reading(&["decode", "--message", name, "-"], &payload).ok();
        assert!(bare.contains("    0     4  request_id"), "{bare}");
    }
}

#[test]
fn a_damaged_frame_is_shown_up_to_the_damage_with_a_mark_under_it() {
    let mut bytes = open_channel();
    bytes[16] = 0xff;
    let errors = winze(&["decode", &hex::encode(&bytes)]).failed(1);
    assert!(
        errors.starts_with("error: byte 16: OpenChannel.peer"),
        "{errors}"
    );
    let (byte, mark) = columns(&errors, 16);
    assert_eq!(byte, mark, "{errors}");

    let payload = hex::encode(&bytes[6..]);
    let errors = winze(&["decode", "--message", "OpenChannel", &payload]).failed(1);
    assert!(errors.starts_with("error: byte 10: "), "{errors}");
}

#[test]
fn bytes_that_are_missing_or_left_over_are_told_apart() {
    let ping = Ping { nonce: 7 }.to_frame().unwrap().to_bytes();
    let cut_off = winze(&["decode", &hex::encode(&ping[..9])]).failed(1);
    assert!(
        cut_off.contains("announces 8 bytes") || cut_off.contains("byte 6"),
        "{cut_off}"
    );
    let left_over = winze(&["decode", &hex::encode([&ping[..], &[0]].concat())]).failed(1);
    assert!(left_over.starts_with("error: byte 14: "), "{left_over}");

    // The same bytes after one another are fine when that is what they are said to be.
    let two = hex::encode([&ping[..], &open_channel()].concat());
    winze(&["decode", &two]).failed(1);
    let shown = winze(&["decode", "--frames", &two]).ok();
    assert!(
        shown.contains("Ping\n") && shown.contains("OpenChannel\n   14     2  extension_type"),
        "{shown}"
    );
    let errors = winze(&["decode", "--frames", &two[..two.len() - 2]]).failed(1);
    assert!(errors.contains("error: byte "), "{errors}");
}

#[test]
fn text_that_is_not_hexadecimal_is_refused() {
    assert!(
        winze(&["decode", "0x01zz"])
            .failed(1)
            .contains("character 5 is 'z'")
    );
    assert!(winze(&["decode", "014"]).failed(1).contains("half a byte"));
    winze_reading(&["decode", "-"], "").failed(1);
    winze(&["decode", "--message", "Nonsense", "00"]).failed(2);
    winze(&["decode"]).failed(2);
}

#[test]
fn every_message_is_listed() {
    let listed = winze(&["decode", "--list"]).ok();
    for row in TABLE {
        assert!(listed.contains(row.name), "{}", row.name);
    }
}
