use winze_legacy::{Keyset, ListRules, QuoteRequest, Shape};

use crate::strict_json::Json;

const KEY: &str = "02aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";
const HASH: &str = "00000000000000000000000000000000000000000000000000000000000000ab";
const KEYSET_ID: &str = "00ad268c4d1f5826";
/// What the operator has for requests without a key.
const DEFAULT_KEY: [u8; 33] = [3; 33];

/// What lies in Redis: any bytes as an entry, as a description that is not escaped, and as a keyset. What is taken says of
/// key, share, amount and keyset what another reader finds there, or what the pool wrote around the description; and what is
/// written of it again is read as the same.
pub fn legacy(data: &[u8]) {
    entry(data);
    description(data);
    keyset(data);
}

fn entry(data: &[u8]) {
    let Ok((request, shape)) = QuoteRequest::parse(data) else {
        return;
    };
    let entry = Json::read(data).expect("what is taken is JSON, and says everything once");
    says_the_same(&request, shape, &entry);
    let unit = request.unit.to_ascii_uppercase();
    for (written, shape) in again(&request, shape, &unit) {
        let read = QuoteRequest::parse(written.as_bytes());
        assert_eq!(read, Ok((request.clone(), shape)), "{written}");
    }

    let rules = ListRules {
        unit: request.unit.clone(),
        default_locking_key: Some(DEFAULT_KEY),
        other_keysets: false,
    };
    let active = [9; 8];
    let expected = match (request.locking_key, shape) {
        (None, Shape::Flat) => Some(DEFAULT_KEY),
        (key, _) => key,
    };
    let asked = rules.read(data, &active, |_| false);
    assert_eq!(asked.is_ok(), expected.is_some());
    if let Ok(asked) = asked {
        assert_eq!(asked.is_under_active, request.keyset_id.is_none());
        let (asked, keyset_id) = (asked.request, request.keyset_id);
        assert_eq!(Some(asked.locking_key), expected);
        assert_eq!(asked.header_hash, request.header_hash);
        assert_eq!(asked.amount, request.amount);
        assert_eq!(asked.keyset_id, keyset_id.unwrap_or(active.to_vec()));
    }
}

fn says_the_same(request: &QuoteRequest, shape: Shape, entry: &Json) {
    let nested = entry.get("quote_request");
    let messages = match entry.get("blinded_messages") {
        Some(Json::Array(messages)) => &messages[..],
        _ => &[],
    };
    let found = match nested {
        Some(_) => Shape::Nested,
        None if messages.is_empty() => Shape::Flat,
        None => Shape::FlatWithMessages,
    };
    assert_eq!(shape, found);
    let fields = nested.unwrap_or(entry);
    let text = |name| fields.get(name).and_then(Json::text);
    let hexadecimal = |name| text(name).map(str::to_ascii_lowercase);
    let Some(Json::Number(amount)) = fields.get("amount") else {
        panic!("it has no amount");
    };
    assert_eq!(*amount, request.amount.to_string());
    let mut hash = request.header_hash;
    hash.reverse();
    assert_eq!(hexadecimal("header_hash"), Some(hex::encode(hash)));
    assert_eq!(hexadecimal("pubkey"), request.locking_key.map(hex::encode));
    assert_eq!(hexadecimal("unit").as_ref(), Some(&request.unit));
    assert_eq!(text("description"), request.description.as_deref());
    let of_first = || messages.first()?.get("id")?.text();
    let keyset_id = text("keyset_id").or_else(of_first);
    assert_eq!(
        keyset_id.map(str::to_ascii_lowercase),
        request.keyset_id.as_ref().map(hex::encode)
    );
}

/// The request in the shape that it had, and in that of today's writer.
fn again(request: &QuoteRequest, shape: Shape, unit: &str) -> Vec<(String, Shape)> {
    let flat = request.to_json(unit);
    // What the oldest shape, and whoever wrote messages, says of the keyset.
    let id = request.keyset_id.as_ref();
    let id = id.map_or("null".to_owned(), |id| format!("\"{}\"", hex::encode(id)));
    let messages = format!(r#""blinded_messages":[{{"id":{id}}}]"#);
    let historical = match shape {
        Shape::Flat => None,
        Shape::FlatWithMessages => flat
            .strip_suffix('}')
            .map(|fields| format!("{fields},{messages}}}")),
        Shape::Nested => request
            .to_nested_json(unit)
            .strip_suffix(r#""blinded_messages":[]}"#)
            .map(|nested| format!("{nested}{messages}}}")),
    };
    assert_eq!(historical.is_none(), shape == Shape::Flat);
    let mut all = vec![(flat, Shape::Flat)];
    all.extend(historical.map(|historical| (historical, shape)));
    all
}

/// As the old writer puts it there.
fn description(data: &[u8]) {
    let front = format!(r#"{{"unit":"HASH","amount":8,"header_hash":"{HASH}","description":""#);
    let behind = format!(r#"","pubkey":"{KEY}","keyset_id":"{KEYSET_ID}"}}"#);
    let flat = [front.as_bytes(), data, behind.as_bytes()].concat();
    let messages = br#","blinded_messages":[]}"#;
    let nested = [br#"{"quote_request":"#, &flat[..], messages].concat();
    for whole in [flat, nested] {
        entry(&whole);
        if let Ok((request, _)) = QuoteRequest::parse(&whole) {
            assert_eq!(request.unit, "hash");
            assert_eq!(request.amount, 8);
            assert_eq!(request.header_hash_text(), HASH);
            assert_eq!(request.locking_key.map(hex::encode).as_deref(), Some(KEY));
            let keyset_id = request.keyset_id.map(hex::encode);
            assert_eq!(keyset_id.as_deref(), Some(KEYSET_ID));
        }
    }
}

fn keyset(data: &[u8]) {
    let Ok(keyset) = Keyset::parse(data) else {
        return;
    };
    let read = Json::read(data).expect("what is taken is JSON, and says everything once");
    let text = |name| read.get(name).and_then(Json::text);
    let lower = |name| text(name).map(str::to_ascii_lowercase);
    assert_eq!(lower("id"), Some(hex::encode(&keyset.id)));
    assert_eq!(lower("unit").as_ref(), Some(&keyset.unit));
    let Some(Json::Object(keys)) = read.get("keys") else {
        panic!("it has no keys");
    };
    assert_eq!(keys.len(), keyset.keys.len());
    for (amount, key) in keys {
        let known = amount.parse().ok().and_then(|a: u64| keyset.keys.get(&a));
        let key = key.text().map(str::to_ascii_lowercase);
        assert_eq!(key, known.map(hex::encode), "{amount}");
    }
    let written = keyset.to_json(&keyset.unit.to_ascii_uppercase());
    let again = Keyset::parse(written.as_bytes());
    assert_eq!(again.as_ref(), Ok(&keyset), "{written}");
    assert_eq!(Keyset::from(&keyset.to_announcement()), keyset);
}
