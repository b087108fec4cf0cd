//! From an entry of a list to what a mint is asked.

use thiserror::Error;
use winze_messages::families::mint_quote::MintQuoteRequest;

use crate::request::{QuoteRequest, RequestError, Shape};

/// Which entries whoever reads a list takes for requests, and what stands in for what they leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListRules {
    /// The only unit, in lower case; entries write it in either.
    pub unit: String,
    /// The compressed key for requests that name none; without it such an entry is refused. It is never taken for one with
    /// blinded messages: who holds their secrets is whom the share pays.
    pub default_locking_key: Option<[u8; 33]>,
    /// A keyset that is not known is replaced with the active one. Old pools ask for the keyset at their start and never
    /// again, so one that was started beside another mint names that one's.
    pub other_keysets: bool,
}

/// What an entry asks of a mint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Asked {
    /// The request as it goes over the wire, its unit in lower case.
    pub request: MintQuoteRequest,
    /// The entry names no keyset, or one that gave way: the request's is the one that was active.
    pub is_under_active: bool,
}

/// Why an entry asks nothing that can be served. The text is for the operator.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum EntryError {
    /// It is no request.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// It is for another unit.
    #[error("unit {found:?}, expected {expected:?}")]
    Unit {
        /// The entry's, in lower case.
        found: String,
        /// [`ListRules::unit`].
        expected: String,
    },
    /// It names no key, and there is no [`ListRules::default_locking_key`].
    #[error("pubkey is missing, and no default_locking_key is configured")]
    LockingKey,
    /// It names no key, and whom it pays is said by blinded messages alone, which no quote can be locked to.
    #[error("pubkey is missing, and the claim is in blinded_messages, which are not served")]
    BlindedMessages,
}

impl ListRules {
    /// What `entry` asks for. `active_keyset` is the id of the unit's; `known` tells which ids are, or were, the mint's, and
    /// is asked only with [`Self::other_keysets`].
    ///
    /// Neither amount nor description is compared with what a mint, or the wire, takes.
    ///
    /// # Errors
    /// [`EntryError`], with the first thing that is wrong.
    pub fn read(
        &self,
        entry: &[u8],
        active_keyset: &[u8],
        known: impl Fn(&[u8]) -> bool,
    ) -> Result<Asked, EntryError> {
        let (request, shape) = QuoteRequest::parse(entry)?;
        if request.unit != self.unit {
            return Err(EntryError::Unit {
                found: request.unit,
                expected: self.unit.clone(),
            });
        }
        let locking_key = match (request.locking_key, shape) {
            (Some(key), _) => key,
            (None, Shape::Flat) => self.default_locking_key.ok_or(EntryError::LockingKey)?,
            (None, Shape::Nested | Shape::FlatWithMessages) => {
                return Err(EntryError::BlindedMessages);
            }
        };
        let theirs = request
            .keyset_id
            .filter(|id| !self.other_keysets || known(id));
        Ok(Asked {
            is_under_active: theirs.is_none(),
            request: MintQuoteRequest {
                amount: request.amount,
                unit: request.unit,
                header_hash: request.header_hash,
                description: request.description,
                locking_key,
                keyset_id: theirs.unwrap_or_else(|| active_keyset.to_vec()),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIVE: &[u8] = &[0, 9, 9, 9, 9, 9, 9, 9];
    const EARLIER: &[u8] = &[0, 8, 8, 8, 8, 8, 8, 8];
    const FOREIGN: &[u8] = &[0, 1, 1, 1, 1, 1, 1, 1];
    const HASH: &str = "00000000000000000000000000000000000000000000000000000000000000ab";

    fn rules() -> ListRules {
        ListRules {
            unit: "hash".to_owned(),
            default_locking_key: None,
            other_keysets: false,
        }
    }

    fn entry(unit: &str, more: &str) -> String {
        format!(r#"{{"unit":"{unit}","amount":8,"header_hash":"{HASH}"{more}}}"#)
    }

    /// Of a share that is locked to a key of its own.
    fn under(keyset: &[u8]) -> String {
        let (key, keyset) = ("02".repeat(33), hex::encode(keyset));
        entry(
            "HASH",
            &format!(r#","pubkey":"{key}","keyset_id":"{keyset}""#),
        )
    }

    fn read(rules: &ListRules, entry: &str) -> Result<Asked, EntryError> {
        rules.read(entry.as_bytes(), ACTIVE, |id| id == ACTIVE || id == EARLIER)
    }

    #[test]
    fn a_request_without_key_or_keyset_has_what_the_operator_says_and_no_other() {
        let nameless = entry("HASH", "");
        assert_eq!(read(&rules(), &nameless), Err(EntryError::LockingKey));
        let kind = ListRules {
            default_locking_key: Some([3; 33]),
            ..rules()
        };
        let Asked {
            request,
            is_under_active,
        } = read(&kind, &nameless).unwrap();
        assert_eq!(request.locking_key, [3; 33]);
        assert_eq!(request.unit, "hash");
        assert_eq!(request.keyset_id, ACTIVE);
        assert!(is_under_active);
        let own = entry("hash", &format!(r#","pubkey":"{}""#, "02".repeat(33)));
        assert_eq!(read(&kind, &own).unwrap().request.locking_key, [2; 33]);
    }

    #[test]
    fn a_share_that_is_claimed_with_blinded_messages_is_never_locked_to_the_operators_key() {
        let kind = ListRules {
            default_locking_key: Some([3; 33]),
            ..rules()
        };
        let messages = r#""blinded_messages":[{"amount":8,"id":"0011223344556677","B_":"02"}]"#;
        let nameless = entry("HASH", r#","pubkey":null"#);
        let nested = format!(r#"{{"quote_request":{nameless},{messages}}}"#);
        let between = entry("HASH", &format!(r#","pubkey":null,{messages}"#));
        for claimed in [&nested, &between] {
            assert_eq!(read(&kind, claimed), Err(EntryError::BlindedMessages));
        }
        let empty = entry("HASH", r#","blinded_messages":[]"#);
        assert_eq!(read(&kind, &empty).unwrap().request.locking_key, [3; 33]);
        let own = nested.replace("null", &format!(r#""{}""#, "02".repeat(33)));
        assert_eq!(read(&kind, &own).unwrap().request.locking_key, [2; 33]);
    }

    #[test]
    fn another_mints_keyset_is_replaced_where_the_operator_says_so_and_an_own_one_never() {
        let asked_under = |rules: &ListRules, keyset: &[u8]| {
            let asked = read(rules, &under(keyset)).unwrap();
            (asked.request.keyset_id, asked.is_under_active)
        };
        let as_it_is = asked_under(&rules(), FOREIGN);
        assert_eq!(as_it_is, (FOREIGN.to_vec(), false), "a mint refuses it");
        let moving = ListRules {
            other_keysets: true,
            ..rules()
        };
        assert_eq!(asked_under(&moving, FOREIGN), (ACTIVE.to_vec(), true));
        assert_eq!(asked_under(&moving, EARLIER), (EARLIER.to_vec(), false));
    }

    #[test]
    fn what_cannot_be_served_says_why() {
        let sat = read(&rules(), &entry("SAT", "")).unwrap_err();
        assert_eq!(sat.to_string(), r#"unit "sat", expected "hash""#);
        let torn = read(&rules(), "{\"unit\":").unwrap_err();
        assert!(torn.to_string().starts_with("not JSON"), "{torn}");
    }
}
