//! The specification once more, as plainly as possible and from other parts: what the vectors
//! are checked with. Nothing here uses the code that made them.

use hmac::{Hmac, Mac};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub fn bytes(value: &Value) -> Vec<u8> {
    hex::decode(value.as_str().unwrap()).unwrap()
}

pub fn bytes32(value: &Value) -> [u8; 32] {
    bytes(value).try_into().unwrap()
}

pub fn sha256(parts: &[&[u8]]) -> [u8; 32] {
    Sha256::digest(parts.concat()).into()
}

pub fn tagged_hash(tag: &str, parts: &[&[u8]]) -> [u8; 32] {
    let tag = sha256(&[tag.as_bytes()]);
    sha256(&[&tag, &tag, &parts.concat()])
}

pub fn hmac(key: &[u8], parts: &[&[u8]]) -> [u8; 32] {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).unwrap();
    mac.update(&parts.concat());
    mac.finalize().into_bytes().into()
}

/// HKDF-SHA256 (RFC 5869) for up to 64 bytes.
pub fn hkdf(salt: &[u8], ikm: &[u8], info: &[u8]) -> [u8; 64] {
    let prk = hmac(salt, &[ikm]);
    let first = hmac(&prk, &[info, &[1]]);
    let second = hmac(&prk, &[&first, info, &[2]]);
    [first, second].concat().try_into().unwrap()
}

pub fn prefixed(bytes: &[u8]) -> Vec<u8> {
    [&[u8::try_from(bytes.len()).unwrap()], bytes].concat()
}

/// A field as the specification's data types have it.
pub fn encode(kind: &str, value: &Value) -> Vec<u8> {
    let number = |value: &Value| value.as_u64().unwrap();
    let text = |value: &Value| prefixed(value.as_str().unwrap().as_bytes());
    match kind {
        "U8" => vec![u8::try_from(number(value)).unwrap()],
        "U16" => u16::try_from(number(value)).unwrap().to_le_bytes().to_vec(),
        "U32" => u32::try_from(number(value)).unwrap().to_le_bytes().to_vec(),
        "U64" => number(value).to_le_bytes().to_vec(),
        "U256" | "PUBKEY" | "SIGNATURE" | "BYTES" => bytes(value),
        "STR0_255" => text(value),
        "OPTION[STR0_255]" if value.is_null() => vec![0],
        "OPTION[STR0_255]" => [vec![1], text(value)].concat(),
        "B0_255" => prefixed(&bytes(value)),
        "SEQ0_64K[U16]" => {
            let ids = value.as_array().unwrap();
            let count = u16::try_from(ids.len()).unwrap();
            let ids = ids.iter().flat_map(|id| encode("U16", id));
            count.to_le_bytes().into_iter().chain(ids).collect()
        }
        "SEQ0_255[KEY]" => {
            let keys = value.as_array().unwrap();
            let count = u8::try_from(keys.len()).unwrap();
            let keys = keys
                .iter()
                .flat_map(|key| [encode("U64", &key[0]), bytes(&key[1])].concat());
            [count].into_iter().chain(keys).collect()
        }
        other => panic!("{other} is not a data type of the specification"),
    }
}
