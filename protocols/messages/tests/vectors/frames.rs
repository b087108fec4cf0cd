//! `frames.json`: every message, whole.

mod connection;
mod quotes;

use binary_sv2::{from_bytes, to_bytes};
use serde::Serialize;
use serde_json::Value;
use winze_messages::describe_bytes;
use winze_messages::table::{TABLE, lookup};
use winze_transport::Frame;

use crate::{VectorFile, committed, oracle};
use connection::{common_frames, hub_frames};
pub use quotes::{body, request};
use quotes::{miner_frames, quote_frames};

#[derive(Serialize)]
pub struct FrameVector {
    name: &'static str,
    message: &'static str,
    frame: String,
    fields: Vec<FieldVector>,
}

#[derive(Serialize)]
struct FieldVector {
    name: &'static str,
    r#type: &'static str,
    value: Value,
}

pub fn file() -> VectorFile<FrameVector> {
    VectorFile {
        origin: "Made by winze-messages. Checked against the data types of the Stratum V2 \
                 specification (3.1) by an encoder of its own; the messages of extension types 0 \
                 and 1 also against common_messages_sv2 9 and extensions_sv2 0.3.",
        description: "Every message as a whole unencrypted frame, in hexadecimal, and its fields \
                      in their order. Numbers are JSON integers of up to 64 bits; bytes are \
                      hexadecimal in the order of the wire; an OPTION is null or its value; a KEY \
                      is [amount, public_key]. The authenticators are made with the keys of the \
                      first vector in authenticators.json. An implementation has to make the \
                      frame from the fields, and the fields from the frame.",
        vectors: [
            common_frames(),
            hub_frames(),
            quote_frames(),
            miner_frames(),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}

fn vector(name: &'static str, frame: &Frame, values: Value) -> FrameVector {
    let row = lookup(frame.extension(), frame.msg_type).unwrap();
    let Value::Array(values) = values else {
        panic!("{name}: the values are a list");
    };
    assert_eq!(row.all_fields().count(), values.len(), "{name}");
    FrameVector {
        name,
        message: row.name,
        frame: hex::encode(frame.to_bytes()),
        fields: row
            .all_fields()
            .zip(values)
            .map(|(field, value)| FieldVector {
                name: field.name,
                r#type: field.kind,
                value,
            })
            .collect(),
    }
}

#[test]
fn frames_follow_from_their_fields_and_the_data_types() {
    for vector in committed("frames.json") {
        let frame = oracle::bytes(&vector["frame"]);
        let payload: Vec<u8> = vector["fields"]
            .as_array()
            .unwrap()
            .iter()
            .flat_map(|field| oracle::encode(field["type"].as_str().unwrap(), &field["value"]))
            .collect();
        assert_eq!(frame[6..], payload, "{}", vector["name"]);
    }
}

#[test]
fn frozen_frames_decode_and_every_message_has_one() {
    let vectors = committed("frames.json");
    for vector in &vectors {
        let described = describe_bytes(&oracle::bytes(&vector["frame"]));
        assert_eq!(described.error, None, "{}", vector["name"]);
        assert_eq!(described.message, vector["message"].as_str());
        let fields = vector["fields"].as_array().unwrap();
        assert!(
            described.fields[3..]
                .iter()
                .map(|field| field.name)
                .eq(fields.iter().map(|field| field["name"].as_str().unwrap()))
        );
    }
    for row in TABLE {
        assert!(
            vectors.iter().any(|vector| vector["message"] == row.name),
            "{} has no vector",
            row.name
        );
    }
}

/// The bytes, once they went through the reference crates' type `T`.
macro_rules! through_reference {
    ($payload:expr, $type:ty) => {
        to_bytes(from_bytes::<$type>($payload).unwrap()).unwrap()
    };
}

#[test]
fn the_reference_crates_read_and_write_the_standard_messages_alike() {
    use common_messages_sv2 as common;
    use extensions_sv2 as extensions;

    let vectors = committed("frames.json");
    let mut seen = 0;
    for vector in &vectors {
        let payload = oracle::bytes(&vector["frame"]).split_off(6);
        let copy = &mut payload.clone();
        let again = match vector["message"].as_str().unwrap() {
            "SetupConnection" => through_reference!(copy, common::SetupConnection),
            "SetupConnection.Success" => through_reference!(copy, common::SetupConnectionSuccess),
            "SetupConnection.Error" => through_reference!(copy, common::SetupConnectionError),
            "ChannelEndpointChanged" => through_reference!(copy, common::ChannelEndpointChanged),
            "Reconnect" => through_reference!(copy, common::Reconnect),
            "RequestExtensions" => through_reference!(copy, extensions::RequestExtensions),
            "RequestExtensions.Success" => {
                through_reference!(copy, extensions::RequestExtensionsSuccess)
            }
            "RequestExtensions.Error" => {
                through_reference!(copy, extensions::RequestExtensionsError)
            }
            _ => continue,
        };
        assert_eq!(again, payload, "{}", vector["name"]);
        seen += 1;
    }
    assert_eq!(seen, 8);
}
