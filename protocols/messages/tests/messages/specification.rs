//! Section 9 of the specification is the table in Markdown.

use winze_messages::codec::Framing;
use winze_messages::table::{Row, TABLE};

const SPECIFICATION: &str = include_str!("../../../SPECIFICATION.md");

fn yes(value: bool) -> &'static str {
    if value { "yes" } else { "" }
}

fn cells(row: &Row) -> [String; 8] {
    [
        format!("{:#06x}", row.extension),
        format!("0x{:02X}", row.msg_type),
        row.name.to_owned(),
        row.direction.to_string(),
        yes(row.framing.channel_bit()).to_owned(),
        yes(row.framing == Framing::SealedChannel).to_owned(),
        row.payload_bytes_min.to_string(),
        row.payload_bytes_max.to_string(),
    ]
}

/// The rows of the first table in section 9, without its two lines of heading.
fn specified_rows() -> Vec<Vec<String>> {
    let (_, section) = SPECIFICATION
        .split_once("\n## 9 Message table\n")
        .expect("the specification has a section 9");
    section
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|line| {
            line.trim_matches('|')
                .split('|')
                .map(|cell| cell.trim().to_owned())
                .collect()
        })
        .collect()
}

#[test]
fn the_specification_and_the_code_name_the_same_messages_and_sizes() {
    let coded: Vec<_> = TABLE.iter().map(cells).collect();
    let markdown: Vec<String> = coded
        .iter()
        .map(|cells| format!("| {} |", cells.join(" | ")))
        .collect();
    assert!(
        specified_rows() == coded,
        "section 9 should have these rows:\n{}",
        markdown.join("\n")
    );
}

#[test]
fn no_two_messages_share_an_id() {
    for (i, row) in TABLE.iter().enumerate() {
        assert!(
            TABLE[..i]
                .iter()
                .all(|other| (other.extension, other.msg_type) != (row.extension, row.msg_type)),
            "{}",
            row.name
        );
    }
}

/// What the specification says of a message: from its heading to the next message's.
fn specified_paragraph(row: &Row) -> Option<&'static str> {
    let heading = format!("**0x{:02X} {}**", row.msg_type, row.name);
    // Ping and Pong share a paragraph, so that the second's heading is not at the start of a line.
    let heading_shared = format!(", {heading}");
    let (_, text) = SPECIFICATION
        .split_once(&heading_shared)
        .or_else(|| SPECIFICATION.split_once(&heading))?;
    Some(text.split("\n**0x").next().unwrap_or(text))
}

#[test]
fn the_specification_lists_the_fields_of_our_messages_in_their_order() {
    for row in TABLE.iter().filter(|row| row.extension >= 0x4000) {
        let mut text = specified_paragraph(row)
            .unwrap_or_else(|| panic!("{} is not in the specification", row.name));
        for field in row.fields {
            let in_table = format!("| {} | {} |", field.name, field.kind);
            let inline = format!("`{}` {}", field.name, field.kind);
            let inline_wrapped = format!("`{}`\n{}", field.name, field.kind);
            let (_, rest) = [in_table, inline, inline_wrapped]
                .iter()
                .find_map(|form| text.split_once(form.as_str()))
                .unwrap_or_else(|| panic!("{} should say {} {}", row.name, field.name, field.kind));
            text = rest;
        }
    }
}
