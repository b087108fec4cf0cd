//! Bytes and messages are one to one, and whoever reads them agrees.

use proptest::prelude::*;
use winze_messages::codec::Framing;
use winze_messages::families::common::CommonMessage;
use winze_messages::families::extensions::ExtensionsMessage;
use winze_messages::families::hub::HubMessage;
use winze_messages::families::mint_quote::MintQuoteMessage;
use winze_messages::table::Row;
use winze_messages::{
    DecodeError, EXT_COMMON, EXT_EXTENSIONS, EXT_HUB, EXT_MINT_QUOTE, MessageError, describe,
    describe_bytes,
};
use winze_transport::{CHANNEL_BIT, Frame};

use crate::payloads::{any_damaged_payload, any_payload, any_row};

/// A frame of `row`'s message, whatever the payload.
fn frame_of(row: &Row, payload: &[u8]) -> Frame {
    let bit = if row.framing.channel_bit() {
        CHANNEL_BIT
    } else {
        0
    };
    Frame {
        extension_type: row.extension | bit,
        msg_type: row.msg_type,
        payload: payload.to_vec(),
    }
}

/// What a frame decodes to and that message's own payload; with the message types' decoders.
fn decode_and_encode(row: &Row, frame: &Frame) -> Result<(String, Vec<u8>), MessageError> {
    Ok(match row.extension {
        EXT_COMMON => {
            let message = CommonMessage::decode(frame)?;
            (format!("{message:?}"), message.to_frame().unwrap().payload)
        }
        EXT_EXTENSIONS => {
            let message = ExtensionsMessage::decode(frame)?;
            (format!("{message:?}"), message.to_frame().unwrap().payload)
        }
        EXT_HUB => {
            let message = HubMessage::decode(frame)?;
            (format!("{message:?}"), message.to_frame().unwrap().payload)
        }
        EXT_MINT_QUOTE => {
            let body_end = frame
                .payload
                .len()
                .saturating_sub(row.framing.bytes_after());
            let (channel_id, body) = frame.payload[..body_end]
                .split_at_checked(row.framing.bytes_before())
                .unwrap_or_default();
            let message = MintQuoteMessage::decode_body(frame.msg_type, body)?;
            assert_eq!(message.msg_type(), frame.msg_type);
            let mut payload = channel_id.to_vec();
            message.encode_body(&mut payload).unwrap();
            payload.extend_from_slice(&frame.payload[body_end..]);
            (format!("{message:?}"), payload)
        }
        other => panic!("no decoder for {other:#06x}"),
    })
}

/// Every reader of these bytes comes to the same verdict; what decodes has one encoding.
fn readers_agree(row: &Row, payload: &[u8]) -> Result<(), DecodeError> {
    let frame = frame_of(row, payload);
    let checked = row.check(payload);
    let described = describe(&frame);
    assert_eq!(describe_bytes(&frame.to_bytes()), described);
    assert_eq!(checked.is_err(), described.error.is_some(), "{described}");

    match (decode_and_encode(row, &frame), checked) {
        (Ok((message, encoded)), Ok(())) => {
            assert_eq!(encoded, payload);
            assert!(payload.len() >= row.payload_bytes_min);
            assert!(payload.len() <= row.payload_bytes_max);
            let again = decode_and_encode(row, &frame_of(row, &encoded)).unwrap();
            assert_eq!(again.0, message);
        }
        (Err(MessageError::Malformed(decoded)), Err(checked)) => {
            assert!(checked.offset <= payload.len());
            assert_eq!(checked.message, row.name);
            // The decoder of a body does not see how the authenticator was cut off.
            if row.framing == Framing::Connection {
                assert_eq!(decoded, checked);
            }
        }
        (decoded, checked) => panic!("decoded {decoded:?}, checked {checked:?}"),
    }
    checked
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn what_the_specification_allows_decodes_and_encodes_to_the_same_bytes(
        (row, payload) in any_payload(),
    ) {
        prop_assert_eq!(readers_agree(row, &payload), Ok(()));
    }

    #[test]
    fn damaged_bytes_are_refused_alike_by_all_readers_or_have_one_encoding(
        (row, payload) in any_damaged_payload(),
    ) {
        let _ = readers_agree(row, &payload);
    }

    #[test]
    fn so_are_bytes_without_any_sense(
        row in any_row(),
        payload in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let _ = readers_agree(row, &payload);
    }

    #[test]
    fn a_description_is_given_of_anything(
        bytes in prop::collection::vec(any::<u8>(), 0..100),
    ) {
        let described = describe_bytes(&bytes);
        prop_assert!(described.error.is_none_or(|error| error.offset <= bytes.len()));
    }
}
