use winze_fuzz_harness::wire_frames;
use winze_messages::families::common::CommonMessage;
use winze_messages::families::extensions::ExtensionsMessage;
use winze_messages::families::hub::HubMessage;
use winze_messages::families::mint_quote::MintQuoteMessage;
use winze_messages::table::{Row, lookup};
use winze_messages::{
    Direction, EXT_COMMON, EXT_EXTENSIONS, EXT_HUB, EXT_MINT_QUOTE, Refusal, Side, authentication,
    check_channel_payload, describe, describe_bytes,
};
use winze_transport::{Frame, HEADER_BYTES};

/// Frames of any family. What decodes is made again to the last byte; the hub's check, the table, the decoders and the
/// printer agree on what is a message; and nobody proves an identity by chance.
pub fn messages(data: &[u8]) {
    for frame in wire_frames(data) {
        check_frame(&frame);
    }
    describe_bytes(data);
}

fn check_frame(frame: &Frame) {
    let bytes = frame.to_bytes();
    assert_eq!(Frame::from_bytes(&bytes).as_ref(), Ok(frame));

    let row = lookup(frame.extension(), frame.msg_type)
        .filter(|row| row.framing.channel_bit() == frame.is_channel_msg());
    let decodes = decodes(frame, row);
    let by_table = row.map(|row| row.check(&frame.payload));
    assert_eq!(decodes, by_table == Some(Ok(())), "{by_table:?}");
    if let Some(row) = row.filter(|_| decodes) {
        let bounds = row.payload_bytes_min..=row.payload_bytes_max;
        assert!(bounds.contains(&frame.payload.len()), "{row:?}");
    }
    check_forwarding(frame, row, decodes);
    check_description(frame, &bytes, row, decodes);
}

/// Whether the frame's family has it, and if so, whether it is the same again after decoding and encoding.
fn decodes(frame: &Frame, row: Option<&Row>) -> bool {
    let again = match frame.extension() {
        EXT_COMMON => CommonMessage::decode(frame).map(|message| message.to_frame()),
        EXT_EXTENSIONS => ExtensionsMessage::decode(frame).map(|message| message.to_frame()),
        EXT_HUB => HubMessage::decode(frame).map(|message| {
            check_proof(&message);
            message.to_frame()
        }),
        EXT_MINT_QUOTE => return quote_decodes(frame, row),
        _ => return false,
    };
    match again {
        Ok(again) => {
            assert_eq!(again.as_ref(), Ok(frame));
            true
        }
        Err(_) => false,
    }
}

fn quote_decodes(frame: &Frame, row: Option<&Row>) -> bool {
    let Some(row) = row else { return false };
    let bytes = frame.payload.get(row.framing.bytes_before()..);
    let body = bytes.and_then(|bytes| {
        let body_bytes = bytes.len().checked_sub(row.framing.bytes_after())?;
        bytes.get(..body_bytes)
    });
    let Some(body) = body else { return false };
    let Ok(message) = MintQuoteMessage::decode_body(frame.msg_type, body) else {
        return false;
    };
    let mut again = Vec::new();
    message
        .encode_body(&mut again)
        .expect("what was decoded is within its bounds");
    assert_eq!(again, body);
    assert_eq!(message.msg_type(), frame.msg_type);
    true
}

fn check_proof(message: &HubMessage) {
    if let HubMessage::Authenticate(message) = message {
        assert!(authentication::verify(message, &[0x5a; 32]).is_err());
    }
}

/// The hub forwards what decodes, from the end that may send it, and nothing else.
fn check_forwarding(frame: &Frame, row: Option<&Row>, decodes: bool) {
    for side in [Side::Requester, Side::Responder] {
        let verdict =
            check_channel_payload(frame.extension(), frame.msg_type, &frame.payload, side);
        let may_send = match row.map(|row| row.direction) {
            Some(Direction::ToResponder) => side == Side::Requester,
            Some(Direction::ToRequester) => side == Side::Responder,
            Some(Direction::BetweenEnds) => true,
            _ => false,
        };
        if frame.is_channel_msg() {
            assert_eq!(verdict.is_ok(), decodes && may_send, "{verdict:?}");
        }
        if let Err(Refusal::Malformed(error)) = verdict {
            assert!(error.offset <= frame.payload.len(), "{error:?}");
        }
    }
}

/// The printer names an error where there is one, and its fields stand one behind the other.
fn check_description(frame: &Frame, bytes: &[u8], row: Option<&Row>, decodes: bool) {
    let description = describe(frame);
    assert_eq!(description, describe_bytes(bytes));
    if row.is_some() {
        assert_eq!(description.error.is_none(), decodes, "{description:?}");
    }
    let mut end = 0;
    for field in &description.fields {
        assert_eq!(field.offset, end, "{description:?}");
        end += field.bytes;
    }
    assert!(end <= HEADER_BYTES + frame.payload.len());
    if let Some(error) = &description.error {
        assert!(error.offset <= bytes.len(), "{description:?}");
    }
}
