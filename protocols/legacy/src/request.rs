//! One share's request for a quote.

use serde_json::{Map, Value};
use thiserror::Error;
use winze_messages::text::{header_hash_from_text, header_hash_to_text};

use crate::once::{Once, shown};

/// A request for a quote, as a pool of the Redis era pushes it.
///
/// ```json
/// {"unit":"HASH","amount":8,"header_hash":"<64 hex>","description":null,"pubkey":"<66 hex>","keyset_id":"<16 hex>"}
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuoteRequest {
    /// In lower case, however it came.
    pub unit: String,
    /// In the unit.
    pub amount: u64,
    /// Double SHA-256 of the share's block header, as the hash function gives it. As text its bytes are reversed, so that
    /// the zeros are in front.
    pub header_hash: [u8; 32],
    /// For a person. Absent and `null` are one.
    pub description: Option<String>,
    /// The compressed key that the quote is locked to; `None` where the pool named none.
    pub locking_key: Option<[u8; 33]>,
    /// 8 or 33 bytes; `None` where the pool named none. In the shapes with `blinded_messages` and no field of its own it
    /// is that of the first of these.
    pub keyset_id: Option<Vec<u8>>,
}

/// Which historical form an entry has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// `{"quote_request":{..},"blinded_messages":[..]}`, the oldest.
    Nested,
    /// The fields and `blinded_messages` side by side, at least one of these.
    FlatWithMessages,
    /// The fields alone, the latest.
    Flat,
}

/// Why an entry is no request. The text is for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RequestError {
    /// It does not parse as one JSON value with unique names.
    #[error("not JSON: {0}")]
    Json(String),
    /// It, or what is nested in it, is no object.
    #[error("{0} is no JSON object")]
    NoObject(&'static str),
    /// There is more in an object than a writer of its shape puts there: what stands before it may be a description that was
    /// not escaped, and names what is another's.
    #[error("{name} {why}")]
    Foreign {
        /// Its name, cut to a few characters.
        name: String,
        /// Why it does not belong there.
        why: &'static str,
    },
    /// A field that must be there is missing or `null`.
    #[error("{0} is missing")]
    Missing(&'static str),
    /// A field has another type or form than it must have.
    #[error("{field} is {found}, expected {expected}")]
    Invalid {
        /// Its name.
        field: &'static str,
        /// What was there, cut to a few characters.
        found: String,
        /// What should be.
        expected: &'static str,
    },
}

impl QuoteRequest {
    /// Reads an entry in whichever shape. Fields that are not known are passed over where they are numbers, texts, truth
    /// values or `null`, and stand beside the known ones.
    ///
    /// The old writer does not escape descriptions. Nothing that stands in one can so put a whole object before the pool's
    /// own fields, or move these into another.
    ///
    /// # Errors
    /// [`RequestError`], with the first thing that is wrong.
    pub fn parse(entry: &[u8]) -> Result<(QuoteRequest, Shape), RequestError> {
        let Once(value) =
            serde_json::from_slice(entry).map_err(|error| RequestError::Json(error.to_string()))?;
        let Value::Object(outer) = value else {
            return Err(RequestError::NoObject("the entry"));
        };
        let messages = outer.get("blinded_messages").filter(|v| !v.is_null());
        let (fields, shape) = match outer.get("quote_request") {
            Some(Value::Object(nested)) => {
                belong(&outer, "stands beside quote_request", |name, _| {
                    matches!(name, "quote_request" | "blinded_messages")
                })?;
                belong(nested, NOT_PLAIN, |_, value| is_plain(value))?;
                (nested, Shape::Nested)
            }
            Some(_) => return Err(RequestError::NoObject("quote_request")),
            None => {
                belong(&outer, NOT_PLAIN, |name, value| {
                    name == "blinded_messages" || is_plain(value)
                })?;
                match messages
                    .and_then(Value::as_array)
                    .is_some_and(|all| !all.is_empty())
                {
                    true => (&outer, Shape::FlatWithMessages),
                    false => (&outer, Shape::Flat),
                }
            }
        };
        let keyset_id = match optional_text(fields, "keyset_id")? {
            Some(text) => Some(keyset_id(text)?),
            None => messages.map(first_keyset_id).transpose()?.flatten(),
        };
        let request = QuoteRequest {
            unit: unit(fields)?,
            amount: amount(fields)?,
            header_hash: header_hash(fields)?,
            description: optional_text(fields, "description")?.map(str::to_owned),
            locking_key: optional_text(fields, "pubkey")?
                .map(locking_key)
                .transpose()?,
            keyset_id,
        };
        Ok((request, shape))
    }

    /// The latest shape, in the field order of its writer, the unit as it is given here: old mints compare it.
    pub fn to_json(&self, unit: &str) -> String {
        let text = |text: &str| Value::String(text.to_owned()).to_string();
        let hex_or_null = |bytes: Option<&[u8]>| match bytes {
            Some(bytes) => format!("\"{}\"", hex::encode(bytes)),
            None => "null".to_owned(),
        };
        format!(
            "{{\"unit\":{},\"amount\":{},\"header_hash\":\"{}\",\"description\":{},\"pubkey\":{},\"keyset_id\":{}}}",
            text(unit),
            self.amount,
            self.header_hash_text(),
            self.description.as_deref().map_or("null".to_owned(), text),
            hex_or_null(self.locking_key.as_ref().map(|key| &key[..])),
            hex_or_null(self.keyset_id.as_deref()),
        )
    }

    /// The header hash as it stands in the entry and in the key of its quote's id, in lower case.
    pub fn header_hash_text(&self) -> String {
        header_hash_to_text(&self.header_hash)
    }
}

const NOT_PLAIN: &str = "is an object or an array";

fn belong(
    object: &Map<String, Value>,
    why_not: &'static str,
    belongs: impl Fn(&str, &Value) -> bool,
) -> Result<(), RequestError> {
    match object.iter().find(|(name, value)| !belongs(name, value)) {
        Some((name, _)) => Err(RequestError::Foreign {
            name: shown(name),
            why: why_not,
        }),
        None => Ok(()),
    }
}

fn is_plain(value: &Value) -> bool {
    !value.is_object() && !value.is_array()
}

fn unit(fields: &Map<String, Value>) -> Result<String, RequestError> {
    let unit = required_text(fields, "unit")?;
    let is_unit = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    match unit.is_empty() || unit.len() > 32 || !unit.chars().all(is_unit) {
        true => Err(invalid("unit", unit, "1 to 32 of a-z, 0-9, - and _")),
        false => Ok(unit.to_ascii_lowercase()),
    }
}

fn amount(fields: &Map<String, Value>) -> Result<u64, RequestError> {
    let value = present(fields, "amount").ok_or(RequestError::Missing("amount"))?;
    value
        .as_u64()
        .ok_or_else(|| invalid("amount", &value.to_string(), "a whole number below 2^64"))
}

fn header_hash(fields: &Map<String, Value>) -> Result<[u8; 32], RequestError> {
    let text = required_text(fields, "header_hash")?;
    header_hash_from_text(text).map_err(|_| invalid("header_hash", text, "64 hexadecimal digits"))
}

fn locking_key(text: &str) -> Result<[u8; 33], RequestError> {
    let mut key = [0; 33];
    hex::decode_to_slice(text, &mut key)
        .map_err(|_| invalid("pubkey", text, "66 hexadecimal digits"))?;
    Ok(key)
}

fn keyset_id(text: &str) -> Result<Vec<u8>, RequestError> {
    let wrong = || invalid("keyset_id", text, "16 or 66 hexadecimal digits");
    let id = hex::decode(text).map_err(|_| wrong())?;
    match id.len() {
        8 | 33 => Ok(id),
        _ => Err(wrong()),
    }
}

fn first_keyset_id(messages: &Value) -> Result<Option<Vec<u8>>, RequestError> {
    let Value::Array(messages) = messages else {
        return Err(invalid(
            "blinded_messages",
            &messages.to_string(),
            "an array",
        ));
    };
    let Some(Value::Object(first)) = messages.first() else {
        return Ok(None);
    };
    optional_text(first, "id")?.map(keyset_id).transpose()
}

fn present<'a>(fields: &'a Map<String, Value>, name: &str) -> Option<&'a Value> {
    fields.get(name).filter(|value| !value.is_null())
}

fn optional_text<'a>(
    fields: &'a Map<String, Value>,
    name: &'static str,
) -> Result<Option<&'a str>, RequestError> {
    match present(fields, name) {
        None => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(invalid(name, &other.to_string(), "text or null")),
    }
}

fn required_text<'a>(
    fields: &'a Map<String, Value>,
    name: &'static str,
) -> Result<&'a str, RequestError> {
    optional_text(fields, name)?.ok_or(RequestError::Missing(name))
}

fn invalid(field: &'static str, found: &str, expected: &'static str) -> RequestError {
    RequestError::Invalid {
        field,
        found: shown(found),
        expected,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HASH: &str = "00000000000000000000000000000000000000000000000000000000000000ab";
    const KEY: &str = "02aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn parse(entry: &str) -> Result<(QuoteRequest, Shape), RequestError> {
        QuoteRequest::parse(entry.as_bytes())
    }

    #[test]
    fn one_share_in_three_shapes_is_one_request() {
        let fields = format!(
            r#""unit":"HASH","amount":8,"header_hash":"{HASH}","description":null,"pubkey":"{KEY}""#
        );
        let messages =
            r#""blinded_messages":[{"amount":8,"id":"0011223344556677","B_":"02","witness":null}]"#;
        let flat = format!(r#"{{{fields},"keyset_id":"0011223344556677"}}"#);
        let (request, shape) = parse(&flat).unwrap();
        assert_eq!(shape, Shape::Flat);
        assert_eq!(request.unit, "hash");
        assert_eq!(request.header_hash[0], 0xab, "the zeros are at the end");
        let between = format!("{{{fields},{messages}}}");
        assert_eq!(
            parse(&between),
            Ok((request.clone(), Shape::FlatWithMessages))
        );
        let nested = format!(r#"{{"quote_request":{{{fields}}},{messages}}}"#);
        assert_eq!(parse(&nested), Ok((request.clone(), Shape::Nested)));
        assert_eq!(
            request.to_json("HASH"),
            flat,
            "what is written is what old mints read"
        );
    }

    #[test]
    fn a_description_that_brings_a_second_key_names_nobody() {
        let entry = format!(
            r#"{{"unit":"hash","amount":8,"header_hash":"{HASH}","description":"x","pubkey":"03{}","z":"","pubkey":"{KEY}"}}"#,
            "b".repeat(64)
        );
        let error = parse(&entry).unwrap_err().to_string();
        assert!(error.contains(r#""pubkey" stands twice"#), "{error}");
    }

    #[test]
    fn a_description_that_brings_an_object_of_its_own_moves_nothing_into_it_or_out() {
        let (theirs, amount) = ("03".repeat(33), 4_611_686_018_427_387_904_u64);
        let attackers = format!(
            r#"{{"unit":"hash","amount":{amount},"header_hash":"{HASH}","pubkey":"{theirs}"}}"#
        );
        let flat = |description: &str| {
            format!(
                r#"{{"unit":"hash","amount":8,"header_hash":"{HASH}","description":"{description}","pubkey":"{KEY}"}}"#
            )
        };
        let nested = |description: &str| {
            format!(
                r#"{{"quote_request":{},"blinded_messages":[]}}"#,
                flat(description)
            )
        };
        for (entry, names) in [
            (
                flat(&format!(r#"x","quote_request":{attackers},"z":""#)),
                "beside quote_request",
            ),
            (
                nested(&format!(r#"x","pubkey":"{theirs}"}},"z":{{"q":""#)),
                "\"z\"",
            ),
            (flat(r#"x","z":[""],"y":""#), "\"z\" is"),
            (nested(r#"x","z":{"q":""},"y":""#), "\"z\" is"),
        ] {
            let error = parse(&entry).expect_err(&entry);
            assert!(
                matches!(error, RequestError::Foreign { .. }),
                "{entry}: {error}"
            );
            let error = error.to_string();
            assert!(error.contains(names), "{entry}: {error}");
        }
        let more = flat(r#"fine","version":2,"z":""#);
        let (request, _) = parse(&more).expect("a name more, and the pool's key");
        assert_eq!(hex::encode(request.locking_key.expect("a key")), KEY);
    }

    #[test]
    fn what_is_missing_or_null_is_named_where_it_is_needed_and_none_where_not() {
        let entry = format!(r#"{{"unit":"hash","amount":1,"header_hash":"{HASH}","pubkey":null}}"#);
        let (request, _) = parse(&entry).unwrap();
        assert_eq!((request.locking_key, request.keyset_id), (None, None));
        for (missing, entry) in [
            ("unit", format!(r#"{{"amount":1,"header_hash":"{HASH}"}}"#)),
            (
                "amount",
                format!(r#"{{"unit":"hash","amount":null,"header_hash":"{HASH}"}}"#),
            ),
            ("header_hash", r#"{"unit":"hash","amount":1}"#.to_owned()),
        ] {
            assert_eq!(parse(&entry), Err(RequestError::Missing(missing)));
        }
    }

    #[test]
    fn amounts_that_are_no_whole_numbers_are_refused_and_not_rounded() {
        for amount in ["1.5", "-1", "18446744073709551616", "\"8\"", "1e3"] {
            let entry = format!(r#"{{"unit":"hash","amount":{amount},"header_hash":"{HASH}"}}"#);
            let refused = parse(&entry).unwrap_err();
            assert!(
                matches!(
                    refused,
                    RequestError::Invalid {
                        field: "amount",
                        ..
                    }
                ),
                "{amount}"
            );
        }
    }

    /// What a description is made of that wants to be more than one, behind its first quotation mark.
    const PIECES: &[&str] = &[
        r#","z":0"#,
        r#","z":{"q":""}"#,
        r#","z":{"q":0"#,
        r#","z":[0"#,
        r#","blinded_messages":[]"#,
        r#","quote_request":{"unit":"hash","amount":9,"header_hash":"HASH","pubkey":"THEIRS"}"#,
        r#","quote_request":{"amount":9"#,
        r#","pubkey":"THEIRS""#,
        r#","\u0070ubkey":"THEIRS""#,
        r#","amount":9"#,
        "}",
        "]",
        "\\",
    ];
    /// How it gets back into a text, for the quotation mark that the writer puts behind it.
    const ENDS: &[&str] = &["", r#","y":""#, r#","y":{"q":""#, r#","y":[""#];

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(8_192))]

        #[test]
        fn whatever_a_description_says_the_rest_is_the_pools_or_the_entry_is_none(
            pieces in proptest::collection::vec(proptest::sample::select(PIECES), 0..4),
            end in proptest::sample::select(ENDS),
            is_nested: bool,
        ) {
            let description = format!("x\"{}{end}", pieces.concat())
                .replace("THEIRS", &"03".repeat(33))
                .replace("HASH", HASH);
            let flat = format!(
                r#"{{"unit":"HASH","amount":8,"header_hash":"{HASH}","description":"{description}","pubkey":"{KEY}"}}"#
            );
            let entry = match is_nested {
                true => format!(r#"{{"quote_request":{flat},"blinded_messages":[]}}"#),
                false => flat,
            };
            if let Ok((request, _)) = parse(&entry) {
                prop_assert_eq!(request.locking_key.map(hex::encode), Some(KEY.to_owned()));
                prop_assert_eq!(request.amount, 8);
                prop_assert_eq!(request.header_hash_text(), HASH);
            }
        }
    }

    #[test]
    fn what_is_quoted_of_an_entry_is_cut() {
        let name = "n".repeat(32_000);
        let twice = format!(r#"{{"{name}":1,"{name}":2}}"#);
        let foreign = format!(r#"{{"{name}":[]}}"#);
        let invalid = format!(r#"{{"keyset_id":"{name}"}}"#);
        for entry in [twice, foreign, invalid] {
            let error = parse(&entry).unwrap_err().to_string();
            assert!(error.contains("nnn") && error.len() < 200, "{error}");
        }
    }

    proptest! {
        #[test]
        fn anything_at_all_is_a_request_or_an_error(entry in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = QuoteRequest::parse(&entry);
        }

        #[test]
        fn what_is_written_is_read_back(
            amount: u64,
            header_hash: [u8; 32],
            description in proptest::option::of(".{0,40}"),
            key in proptest::option::of(any::<[u8; 32]>()),
            keyset_id in proptest::option::of(proptest::collection::vec(any::<u8>(), 8)),
        ) {
            let locking_key = key.map(|key| {
                let mut bytes = [2; 33];
                bytes[1..].copy_from_slice(&key);
                bytes
            });
            let request = QuoteRequest {
                unit: "hash".to_owned(), amount, header_hash, description, locking_key, keyset_id,
            };
            let read = parse(&request.to_json("HASH")).unwrap();
            prop_assert_eq!(read, (request, Shape::Flat));
        }
    }
}
