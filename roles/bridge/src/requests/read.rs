//! From an entry of the list to what a mint is asked.

use winze_legacy::QuoteRequest;
use winze_messages::families::mint_quote::MintQuoteRequest;
use winze_messages::limits::AMOUNT_MAX;
use winze_redis::Taken;
use winze_redis::limits::ENTRY_BYTES_MAX;

use crate::store::KnownKeyset;

/// What is taken, and what stands in for what an entry leaves out.
#[derive(Clone, Debug)]
pub(super) struct Reader {
    pub(super) unit: String,
    pub(super) default_locking_key: Option<[u8; 33]>,
    pub(super) other_keysets: bool,
}

/// A request as it is written down.
#[derive(Clone, Debug)]
pub(super) struct ToEnqueue {
    /// Where its entry stands among those that were taken with it.
    pub(super) entry: usize,
    pub(super) header_hash: [u8; 32],
    pub(super) body: Vec<u8>,
    /// The request, where its keyset is our choice: an earlier choice may be in the outbox.
    pub(super) under_our_keyset: Option<Box<MintQuoteRequest>>,
}

impl Reader {
    /// Reads entry number `entry`. `keysets` are the mint's, the active one last; there is one.
    ///
    /// # Errors
    /// Why it is a dead letter, for the operator.
    pub(super) fn read(
        &self,
        entry: usize,
        taken: &Taken,
        keysets: &[KnownKeyset],
    ) -> Result<ToEnqueue, String> {
        let bytes = match taken {
            Taken::Entry(bytes) => bytes,
            Taken::TooLong { bytes, .. } => {
                return Err(format!(
                    "{bytes} bytes long, at most {ENTRY_BYTES_MAX} are taken"
                ));
            }
        };
        let (request, _) = QuoteRequest::parse(bytes).map_err(|error| error.to_string())?;
        if request.unit != self.unit {
            return Err(format!("unit {:?}, expected {:?}", request.unit, self.unit));
        }
        // The mint would refuse it as well, and the request stay behind, parked.
        if !(1..=AMOUNT_MAX).contains(&request.amount) {
            return Err(format!("amount {} is not in 1..=2^62", request.amount));
        }
        let locking_key = request
            .locking_key
            .or(self.default_locking_key)
            .ok_or("pubkey is missing, and there is no default_locking_key")?;
        let theirs = request
            .keyset_id
            .filter(|id| !self.other_keysets || keysets.iter().any(|keyset| keyset.id == *id));
        let is_ours = theirs.is_none();
        let active = keysets.last().map(|keyset| keyset.id.clone());
        let keyset_id = theirs
            .or(active)
            .ok_or("keyset_id is missing, and the mint has announced none")?;
        let request = MintQuoteRequest {
            amount: request.amount,
            unit: request.unit,
            header_hash: request.header_hash,
            description: request.description,
            locking_key,
            keyset_id,
        };
        Ok(ToEnqueue {
            entry,
            header_hash: request.header_hash,
            body: body(&request)?,
            under_our_keyset: is_ours.then(|| Box::new(request)),
        })
    }
}

/// The request's body on the wire.
pub(super) fn body(request: &MintQuoteRequest) -> Result<Vec<u8>, String> {
    let mut body = Vec::new();
    match request.encode_body(&mut body) {
        Ok(()) => Ok(body),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader() -> Reader {
        Reader {
            unit: "hash".to_owned(),
            default_locking_key: None,
            other_keysets: false,
        }
    }

    fn keysets() -> Vec<KnownKeyset> {
        let known = |id| KnownKeyset {
            id: vec![id; 8],
            json: String::new(),
        };
        vec![known(1), known(2)]
    }

    fn entry(more: &str) -> Taken {
        let (hash, key) = ("ab".repeat(32), "02".repeat(33));
        let text = format!(
            r#"{{"unit":"HASH","amount":8,"header_hash":"{hash}","pubkey":"{key}"{more}}}"#
        );
        Taken::Entry(text.into_bytes())
    }

    fn keyset_of(reader: &Reader, taken: &Taken) -> Vec<u8> {
        let read = reader.read(0, taken, &keysets()).expect("it is a request");
        let request = MintQuoteRequest::decode_body(&read.body).expect("just encoded");
        request.keyset_id
    }

    #[test]
    fn a_request_without_a_keyset_gets_the_active_one_and_another_only_where_that_is_wanted() {
        let foreign = entry(r#","keyset_id":"0909090909090909""#);
        let earlier = entry(r#","keyset_id":"0101010101010101""#);
        assert_eq!(keyset_of(&reader(), &entry("")), [2; 8]);
        assert_eq!(keyset_of(&reader(), &foreign), [9; 8]);
        let lenient = Reader {
            other_keysets: true,
            ..reader()
        };
        assert_eq!(keyset_of(&lenient, &foreign), [2; 8]);
        assert_eq!(keyset_of(&lenient, &earlier), [1; 8]);
    }

    #[test]
    fn what_cannot_be_asked_says_why() {
        let text = |taken: Taken| match taken {
            Taken::Entry(bytes) => String::from_utf8(bytes).expect("text"),
            Taken::TooLong { .. } => unreachable!("it is short"),
        };
        let plain = text(entry(""));
        let long = format!(r#","description":"{}""#, "d".repeat(256));
        for (entry, says) in [
            (plain.replace("HASH", "SAT"), "unit \"sat\""),
            (plain.replace(":8", ":0"), "amount 0"),
            (plain.replace(":8", ":4611686018427387905"), "amount"),
            (plain.replace("pubkey", "key"), "pubkey is missing"),
            (text(self::entry(&long)), "description"),
        ] {
            let taken = Taken::Entry(entry.clone().into_bytes());
            let error = reader().read(0, &taken, &keysets()).expect_err(&entry);
            assert!(error.contains(says), "{entry}: {error}");
        }
        let taken = Taken::TooLong {
            bytes: 10_000_000,
            start: b"{".to_vec(),
        };
        let error = reader().read(0, &taken, &keysets()).expect_err("too long");
        assert!(error.starts_with("10000000 bytes"), "{error}");
    }
}
