//! The mint's active keyset.

use std::collections::BTreeMap;

use serde_json::Value;
use thiserror::Error;
use winze_messages::families::mint_quote::KeysetAnnouncement;

use crate::once::{Once, shown};

/// A keyset as it lies under its key: `{"id":"<16 hex>","unit":"HASH","keys":{"1":"02..","2":"03..",..}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keyset {
    /// 8 or 33 bytes (NUT-02).
    pub id: Vec<u8>,
    /// In lower case, however it came.
    pub unit: String,
    /// Compressed public keys by amount, 1 to 64 of them.
    pub keys: BTreeMap<u64, [u8; 33]>,
}

/// Why text is no keyset. The text is for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no keyset: {0}")]
pub struct KeysetError(String);

/// As many as a keyset announcement holds.
const KEYS_MAX: usize = 64;

impl Keyset {
    /// Reads what a mint has set. Fields that are not known are passed over.
    ///
    /// # Errors
    /// [`KeysetError`], with the first thing that is wrong.
    pub fn parse(text: &[u8]) -> Result<Keyset, KeysetError> {
        let wrong = |what: String| KeysetError(what);
        let Once(value) = serde_json::from_slice(text).map_err(|error| wrong(error.to_string()))?;
        let field = |name: &str| {
            value
                .get(name)
                .ok_or_else(|| wrong(format!("{name} is missing")))
        };
        let text = |name: &str| {
            field(name)?
                .as_str()
                .ok_or_else(|| wrong(format!("{name} is no text")))
        };
        let id = hex::decode(text("id")?).map_err(|_| wrong("id is not hexadecimal".to_owned()))?;
        if !matches!(id.len(), 8 | 33) {
            return Err(wrong(format!(
                "id has {} bytes, expected 8 or 33",
                id.len()
            )));
        }
        let unit = text("unit")?.to_ascii_lowercase();
        if unit.is_empty() || unit.len() > 32 {
            return Err(wrong("unit is empty or over 32 bytes long".to_owned()));
        }
        let Value::Object(pairs) = field("keys")? else {
            return Err(wrong("keys is no JSON object".to_owned()));
        };
        let mut keys = BTreeMap::new();
        for (amount, key) in pairs {
            let invalid = || wrong(format!("keys: {} has no compressed key", shown(amount)));
            let amount: u64 = amount
                .parse()
                .map_err(|_| wrong(format!("keys: {} is no amount", shown(amount))))?;
            let mut bytes = [0; 33];
            hex::decode_to_slice(key.as_str().ok_or_else(invalid)?, &mut bytes)
                .map_err(|_| invalid())?;
            if keys.insert(amount, bytes).is_some() {
                return Err(wrong(format!("keys: {amount} stands twice")));
            }
        }
        match keys.len() {
            1..=KEYS_MAX => Ok(Keyset { id, unit, keys }),
            others => Err(wrong(format!("{others} keys, expected 1 to {KEYS_MAX}"))),
        }
    }

    /// As old pools read it: id, unit and keys in this order, without spaces, since they split the text by hand.
    pub fn to_json(&self, unit: &str) -> String {
        let keys: Vec<String> = self
            .keys
            .iter()
            .map(|(amount, key)| format!("\"{amount}\":\"{}\"", hex::encode(key)))
            .collect();
        format!(
            "{{\"id\":\"{}\",\"unit\":{},\"keys\":{{{}}}}}",
            hex::encode(&self.id),
            Value::String(unit.to_owned()),
            keys.join(",")
        )
    }

    /// What the mint's peers are told on the wire.
    pub fn to_announcement(&self) -> KeysetAnnouncement {
        KeysetAnnouncement {
            unit: self.unit.clone(),
            keyset_id: self.id.clone(),
            keys: self
                .keys
                .iter()
                .map(|(amount, key)| (*amount, *key))
                .collect(),
        }
    }
}

impl From<&KeysetAnnouncement> for Keyset {
    fn from(announced: &KeysetAnnouncement) -> Keyset {
        Keyset {
            id: announced.keyset_id.clone(),
            unit: announced.unit.clone(),
            keys: announced.keys.iter().copied().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_keyset_goes_to_an_old_pool_and_comes_back() {
        let keyset = Keyset {
            id: vec![0, 1, 2, 3, 4, 5, 6, 7],
            unit: "hash".to_owned(),
            keys: [(1, [2; 33]), (1 << 62, [3; 33])].into(),
        };
        let text = keyset.to_json("HASH");
        assert!(text.starts_with(r#"{"id":"0001020304050607","unit":"HASH","keys":{"1":"0202"#));
        assert_eq!(Keyset::parse(text.as_bytes()), Ok(keyset.clone()));
        assert_eq!(Keyset::from(&keyset.to_announcement()), keyset);
    }

    #[test]
    fn a_keyset_that_is_none_says_why() {
        for (text, says) in [
            ("", "EOF"),
            ("[]", "id is missing"),
            (r#"{"id":"00"}"#, "id has 1 bytes"),
            (
                r#"{"id":"0001020304050607","unit":"HASH","keys":{}}"#,
                "0 keys",
            ),
            (
                r#"{"id":"0001020304050607","unit":"HASH","keys":{"x":"02"}}"#,
                "no amount",
            ),
            (
                r#"{"id":"0001020304050607","unit":"HASH","keys":{"1":"02"}}"#,
                "no compressed key",
            ),
            (
                r#"{"id":"0001020304050607","id":"0001020304050608"}"#,
                "stands twice",
            ),
        ] {
            let error = Keyset::parse(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(says), "{text}: {error}");
        }
    }
}
