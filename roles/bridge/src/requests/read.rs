//! From an entry of the list to what a mint is asked.

use winze_legacy::{Asked, ListRules};
use winze_messages::families::mint_quote::MintQuoteRequest;
use winze_messages::limits::AMOUNT_MAX;
use winze_redis::Taken;

use crate::store::KnownKeyset;

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

/// Reads entry number `entry`. `keysets` are the mint's, the active one last; there is one.
///
/// # Errors
/// Why it is a dead letter, for the operator.
pub(super) fn read(
    rules: &ListRules,
    entry: usize,
    taken: &Taken,
    keysets: &[KnownKeyset],
) -> Result<ToEnqueue, String> {
    let bytes = taken.entry().map_err(|error| error.to_string())?;
    let active = keysets.last().ok_or("the mint has announced no keyset")?;
    let known = |id: &[u8]| keysets.iter().any(|keyset| keyset.id == id);
    let Asked {
        request,
        is_under_active,
    } = rules
        .read(bytes, &active.id, known)
        .map_err(|error| error.to_string())?;
    // The mint would refuse it as well, and the request stay behind, parked.
    if !(1..=AMOUNT_MAX).contains(&request.amount) {
        return Err(format!("amount {} is not in 1..=2^62", request.amount));
    }
    Ok(ToEnqueue {
        entry,
        header_hash: request.header_hash,
        body: body(&request)?,
        under_our_keyset: is_under_active.then(|| Box::new(request)),
    })
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

    fn keysets() -> Vec<KnownKeyset> {
        let known = |id| KnownKeyset {
            id: vec![id; 8],
            json: String::new(),
        };
        vec![known(1), known(2)]
    }

    fn entry(more: &str) -> String {
        let (hash, key) = ("ab".repeat(32), "02".repeat(33));
        format!(r#"{{"unit":"HASH","amount":8,"header_hash":"{hash}","pubkey":"{key}"{more}}}"#)
    }

    fn read(taken: Taken) -> Result<ToEnqueue, String> {
        let moving = ListRules {
            unit: "hash".to_owned(),
            default_locking_key: None,
            other_keysets: true,
        };
        super::read(&moving, 0, &taken, &keysets())
    }

    #[test]
    fn a_keyset_of_our_choice_is_the_mints_last_and_one_that_it_has_announced_is_kept() {
        for (more, keyset, is_ours) in [
            ("", 2, true),
            (r#","keyset_id":"0909090909090909""#, 2, true),
            (r#","keyset_id":"0101010101010101""#, 1, false),
        ] {
            let read = read(Taken::Entry(entry(more).into_bytes())).expect("it is a request");
            let request = MintQuoteRequest::decode_body(&read.body).expect("just encoded");
            assert_eq!(request.keyset_id, [keyset; 8], "{more}");
            let ours = is_ours.then(|| Box::new(request));
            assert_eq!(read.under_our_keyset, ours, "{more}");
        }
    }

    #[test]
    fn what_cannot_be_asked_says_why() {
        let plain = entry("");
        let long = format!(r#","description":"{}""#, "d".repeat(256));
        for (entry, says) in [
            (plain.replace("HASH", "SAT"), "unit \"sat\""),
            (plain.replace(":8", ":0"), "amount 0"),
            (plain.replace(":8", ":4611686018427387905"), "amount"),
            (plain.replace("pubkey", "key"), "pubkey is missing"),
            (entry(&long), "description"),
        ] {
            let error = read(Taken::Entry(entry.clone().into_bytes())).expect_err(&entry);
            assert!(error.contains(says), "{entry}: {error}");
        }
        let too_long = Taken::TooLong {
            bytes: 10_000_000,
            start: b"{".to_vec(),
        };
        let error = read(too_long).expect_err("too long");
        assert!(error.starts_with("10000000 bytes"), "{error}");
    }
}
