//! From an entry of the list to a request, without Redis or a store.

use winze_legacy::QuoteRequest;
use winze_messages::families::mint_quote::MintQuoteRequest;
use winze_redis::Taken;

/// What a request of the list must be like, and what it is given where it says nothing.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    /// The only unit, in lower case.
    pub(super) unit: String,
    /// For requests that name no key.
    pub(super) default_locking_key: Option<[u8; 33]>,
    /// A keyset that the mint never had is taken for the active one.
    pub(super) other_keysets: bool,
}

impl Reader {
    /// The request that `taken` stands for; `active_keyset` is the unit's, and `known` tells which keysets are or were.
    ///
    /// # Errors
    /// Why it is none, for the operator.
    pub(super) fn read(
        &self,
        taken: &Taken,
        active_keyset: &[u8],
        known: impl Fn(&[u8]) -> bool,
    ) -> Result<MintQuoteRequest, String> {
        let entry = match taken {
            Taken::Entry(entry) => entry,
            Taken::TooLong { bytes, .. } => {
                return Err(format!(
                    "{bytes} bytes long, more than {} are not read",
                    winze_redis::limits::ENTRY_BYTES_MAX
                ));
            }
        };
        let (request, _) = QuoteRequest::parse(entry).map_err(|error| error.to_string())?;
        if request.unit != self.unit {
            return Err(format!("unit {:?}, expected {:?}", request.unit, self.unit));
        }
        let locking_key = request
            .locking_key
            .or(self.default_locking_key)
            .ok_or("pubkey is missing, and no default_locking_key is configured")?;
        let keyset_id = match request.keyset_id {
            Some(id) if known(&id) || !self.other_keysets => id,
            _ => active_keyset.to_vec(),
        };
        Ok(MintQuoteRequest {
            amount: request.amount,
            unit: request.unit,
            header_hash: request.header_hash,
            description: request.description,
            locking_key,
            keyset_id,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIVE: &[u8] = &[0, 9, 9, 9, 9, 9, 9, 9];
    const EARLIER: &[u8] = &[0, 8, 8, 8, 8, 8, 8, 8];
    const HASH: &str = "00000000000000000000000000000000000000000000000000000000000000ab";
    const FOREIGN: &str = r#","keyset_id":"0011223344556677""#;

    fn reader() -> Reader {
        Reader {
            unit: "hash".to_owned(),
            default_locking_key: None,
            other_keysets: false,
        }
    }

    fn entry(unit: &str, more: &str) -> Taken {
        let text = format!(r#"{{"unit":"{unit}","amount":8,"header_hash":"{HASH}"{more}}}"#);
        Taken::Entry(text.into_bytes())
    }

    fn read(reader: &Reader, taken: &Taken) -> Result<MintQuoteRequest, String> {
        reader.read(taken, ACTIVE, |id| id == ACTIVE || id == EARLIER)
    }

    #[test]
    fn a_request_without_key_or_keyset_has_what_the_operator_says_and_no_other() {
        let nameless = entry("HASH", "");
        let refused = read(&reader(), &nameless).unwrap_err();
        assert!(refused.contains("pubkey is missing"), "{refused}");
        let kind = Reader {
            default_locking_key: Some([3; 33]),
            ..reader()
        };
        let request = read(&kind, &nameless).unwrap();
        assert_eq!(
            (request.locking_key, request.unit.as_str()),
            ([3; 33], "hash")
        );
        assert_eq!(request.keyset_id, ACTIVE);
        let own = entry("hash", &format!(r#","pubkey":"{}""#, "02".repeat(33)));
        assert_eq!(read(&kind, &own).unwrap().locking_key, [2; 33]);
    }

    #[test]
    fn another_mints_keyset_is_replaced_where_the_operator_says_so_and_an_own_one_never() {
        let key = format!(r#","pubkey":"{}""#, "02".repeat(33));
        let foreign = entry("hash", &format!("{key}{FOREIGN}"));
        let as_it_is = read(&reader(), &foreign).unwrap();
        assert_eq!(as_it_is.keyset_id[1], 0x11, "the issuer refuses it");
        let moving = Reader {
            other_keysets: true,
            ..reader()
        };
        assert_eq!(read(&moving, &foreign).unwrap().keyset_id, ACTIVE);
        let earlier = entry(
            "hash",
            &format!(r#"{key},"keyset_id":"{}""#, hex::encode(EARLIER)),
        );
        assert_eq!(read(&moving, &earlier).unwrap().keyset_id, EARLIER);
    }

    #[test]
    fn what_cannot_be_served_says_why() {
        let sat = read(&reader(), &entry("SAT", "")).unwrap_err();
        assert_eq!(sat, r#"unit "sat", expected "hash""#);
        let long = Taken::TooLong {
            bytes: 10_000_000,
            start: b"{".to_vec(),
        };
        let long = read(&reader(), &long).unwrap_err();
        assert!(long.starts_with("10000000 bytes long"), "{long}");
        let torn = read(&reader(), &Taken::Entry(b"{\"unit\":".to_vec())).unwrap_err();
        assert!(torn.starts_with("not JSON"), "{torn}");
    }
}
