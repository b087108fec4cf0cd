//! What would not decode is not sent either.

use winze_messages::families::extensions::RequestExtensions;
use winze_messages::families::hub::{self, Authenticate, AuthenticateError};
use winze_messages::families::mint_quote::{KeysetAnnouncement, MintQuoteError};
use winze_messages::{EncodeError, EncodeErrorKind};

fn refused(encode: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>) -> EncodeError {
    let mut out = b"before".to_vec();
    let error = encode(&mut out).unwrap_err();
    assert_eq!(out, b"before", "nothing is left of a refused message");
    error
}

#[test]
fn a_text_that_a_length_byte_cannot_announce_is_not_cut_off_in_silence() {
    let message = MintQuoteError {
        header_hash: [0; 32],
        error_code: 100,
        error_message: "x".repeat(256),
        retry_after_ms: 1,
    };
    let error = refused(|out| message.encode_body(out));
    assert_eq!(error.field, "error_message");

    let detail = hub::detail(format!("{}\u{2603}", "x".repeat(253)));
    assert_eq!(detail, "x".repeat(253), "cut between two characters");
    let message = AuthenticateError {
        error_code: detail,
        retry_after_ms: 0,
    };
    assert!(message.to_frame().is_ok());
}

#[test]
fn a_keyset_has_an_id_of_a_known_version_and_rising_amounts() {
    let keyset = |id_bytes, amounts: &[u64]| KeysetAnnouncement {
        unit: "hash".to_owned(),
        keyset_id: vec![0; id_bytes],
        keys: amounts.iter().map(|amount| (*amount, [2; 33])).collect(),
    };
    for (message, field) in [
        (keyset(9, &[1]), "keyset_id"),
        (keyset(8, &[]), "keys"),
        (keyset(8, &[1, 1]), "keys"),
        (keyset(33, &[2, 1]), "keys"),
        (keyset(33, &(0..65).collect::<Vec<_>>()), "keys"),
    ] {
        let error = refused(|out| message.encode_body(out));
        assert_eq!((error.message, error.field), ("KeysetAnnouncement", field));
    }
}

#[test]
fn nobody_authenticates_under_a_name_that_is_none() {
    for name in ["", "Main", "a/b", &"x".repeat(33)] {
        let message = Authenticate {
            role: "mint".to_owned(),
            name: name.to_owned(),
            public_key: [1; 32],
            signature: [2; 64],
        };
        let error = refused(|out| message.encode_payload(out));
        assert_eq!(error.field, "name");
    }
}

#[test]
fn a_negotiation_fits_a_frame_before_authentication() {
    let message = RequestExtensions {
        request_id: 1,
        requested_extensions: vec![0; 513],
    };
    let error = refused(|out| message.encode_payload(out));
    assert!(matches!(
        error.kind,
        EncodeErrorKind::Length { found: 513, .. }
    ));
}
