//! Payloads of every message, made from the specification's data types alone: nothing here uses
//! the encoders of the crate.

use proptest::collection::vec;
use proptest::prelude::*;
use winze_messages::codec::Field;
use winze_messages::table::{Row, TABLE};

pub fn any_row() -> impl Strategy<Value = &'static Row> {
    (0..TABLE.len()).prop_map(|index| &TABLE[index])
}

/// A payload that decodes, of a message.
pub fn payload_of(row: &'static Row) -> impl Strategy<Value = Vec<u8>> {
    let fields: Vec<_> = row.all_fields().map(|field| value_of(row, field)).collect();
    fields.prop_map(|fields| fields.concat())
}

pub fn any_payload() -> impl Strategy<Value = (&'static Row, Vec<u8>)> {
    any_row().prop_flat_map(|row| (Just(row), payload_of(row)))
}

/// A payload with some bytes changed, some cut off, or some added: mostly it does not decode.
pub fn any_damaged_payload() -> impl Strategy<Value = (&'static Row, Vec<u8>)> {
    let damage = prop_oneof![
        vec((any::<prop::sample::Index>(), any::<u8>()), 1..4).prop_map(Damage::Change),
        any::<prop::sample::Index>().prop_map(Damage::CutOff),
        vec(any::<u8>(), 1..60).prop_map(Damage::Add),
    ];
    (any_payload(), damage).prop_map(|((row, mut payload), damage)| {
        match damage {
            Damage::Change(changes) => {
                for (place, byte) in changes {
                    if !payload.is_empty() {
                        let place = place.index(payload.len());
                        payload[place] = byte;
                    }
                }
            }
            Damage::CutOff(place) => payload.truncate(place.index(payload.len() + 1)),
            Damage::Add(bytes) => payload.extend(bytes),
        }
        (row, payload)
    })
}

#[derive(Clone, Debug)]
enum Damage {
    Change(Vec<(prop::sample::Index, u8)>),
    CutOff(prop::sample::Index),
    Add(Vec<u8>),
}

fn value_of(row: &Row, field: &Field) -> BoxedStrategy<Vec<u8>> {
    match (row.name, field.name, field.kind) {
        ("Authenticate", "role" | "name", _) => "[a-z0-9-]{1,32}"
            .prop_map(|name| prefixed(name.as_bytes()))
            .boxed(),
        (_, "peer_present" | "present", "U8") => vec(0..=1_u8, 1).boxed(),
        (_, "state", "U8") => vec(0..=3_u8, 1).boxed(),
        (_, "locking_key", "B0_255") => bytes(33).prop_map(|key| prefixed(&key)).boxed(),
        (_, "keyset_id", "B0_255") => prop_oneof![bytes(8), bytes(33)]
            .prop_map(|id| prefixed(&id))
            .boxed(),
        (_, _, "SEQ0_255[KEY]") => keys().boxed(),
        (_, _, "SEQ0_64K[U16]") => vec(any::<u16>(), 0..=512)
            .prop_map(|ids| extension_ids(&ids))
            .boxed(),
        (_, _, "STR0_255") => text().boxed(),
        (_, _, "OPTION[STR0_255]") => prop_oneof![
            Just(vec![0]),
            text().prop_map(|text| [vec![1], text].concat()),
        ]
        .boxed(),
        (_, _, "U8" | "U16" | "U32" | "U64" | "U256" | "PUBKEY" | "SIGNATURE" | "BYTES") => {
            assert_eq!(field.bytes_min, field.bytes_max);
            bytes(field.bytes_max).boxed()
        }
        other => panic!("no payloads for {other:?}"),
    }
}

fn bytes(len: usize) -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), len)
}

fn prefixed(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

/// Up to the 255 bytes that a length byte can say, also of characters with several bytes.
fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof!["\\PC{0,12}", ".{0,63}", "[ -~]{255}"].prop_map(|text| prefixed(text.as_bytes()))
}

fn extension_ids(ids: &[u16]) -> Vec<u8> {
    let count = u16::try_from(ids.len()).unwrap();
    let mut out = count.to_le_bytes().to_vec();
    out.extend(ids.iter().flat_map(|id| id.to_le_bytes()));
    out
}

fn keys() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::btree_map(any::<u64>(), bytes(33), 1..=64).prop_map(|keys| {
        let mut out = vec![u8::try_from(keys.len()).unwrap()];
        for (amount, key) in keys {
            out.extend(amount.to_le_bytes());
            out.extend(key);
        }
        out
    })
}
