use std::sync::OnceLock;

use winze_messages::authenticator::Unverified;
use winze_messages::{AuthenticatorError, EXT_MINT_QUOTE, Opened, PairKeys, Side, request_digest};
use winze_transport::SecretKey;

/// Bytes in front of the body: message type, sequence, and what of the sealed message is changed (where, and how).
const HEAD_BYTES: usize = 1 + 8 + 2 + 1;

/// A message that its author did not write does not open, whatever it is: any bytes, a sealed one with one byte changed,
/// or one that was sealed for another type, request or direction. One that was not changed does.
pub fn authenticators(data: &[u8]) {
    let (pool, mint) = keys();
    for (reader, name) in [(pool, "pool"), (mint, "mint")] {
        assert!(reader.open(0x80, data, None).is_err(), "{name}");
    }
    let Some((head, body)) = data.split_first_chunk::<HEAD_BYTES>() else {
        return;
    };
    let [
        msg_type,
        s0,
        s1,
        s2,
        s3,
        s4,
        s5,
        s6,
        s7,
        at_low,
        at_high,
        change,
    ] = *head;
    let sequence = u64::from_le_bytes([s0, s1, s2, s3, s4, s5, s6, s7]);
    let digest = Some(request_digest(EXT_MINT_QUOTE, msg_type, body));

    let mut sealed = pool.seal(msg_type, body, sequence, digest);
    let written = Opened { body, sequence };
    assert_eq!(mint.open(msg_type, &sealed, digest), Ok(written));
    let bad_mac = Err(AuthenticatorError::BadMac);
    assert_eq!(mint.open(msg_type, &sealed, None), bad_mac);
    assert_eq!(mint.open(msg_type ^ 1, &sealed, digest), bad_mac);
    assert!(pool.open(msg_type, &sealed, digest).is_err());
    let unverified = Unverified::split(&sealed).expect("it was sealed");
    assert_eq!((unverified.body, unverified.sequence), (body, sequence));

    let at = usize::from(u16::from_le_bytes([at_low, at_high])) % sealed.len();
    sealed[at] ^= change;
    let opened = mint.open(msg_type, &sealed, digest);
    assert_eq!(opened.is_ok(), change == 0, "byte {at}");
}

/// The keys of a pool and of a mint for one another.
fn keys() -> &'static (PairKeys, PairKeys) {
    static KEYS: OnceLock<(PairKeys, PairKeys)> = OnceLock::new();
    KEYS.get_or_init(|| {
        let secret = |byte| SecretKey::from_bytes(&[byte; 32]).expect("a small number is a key");
        let (pool, mint) = (secret(21), secret(22));
        let derive = |own: &SecretKey, peer: &SecretKey, side| {
            PairKeys::derive(
                own,
                &peer.public_key(),
                EXT_MINT_QUOTE,
                side,
                "pool",
                "mint",
            )
        };
        (
            derive(&pool, &mint, Side::Requester),
            derive(&mint, &pool, Side::Responder),
        )
    })
}
