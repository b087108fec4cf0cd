//! A hub on a free port, raw peers that may misbehave, and a pair of peers that others must not disturb.

mod exchange;
pub mod hub;
pub mod peer;

pub use exchange::Exchange;
pub use hub::{TestHub, http_get};
pub use peer::Peer;

use std::future::Future;
use std::time::Duration;

use winze_transport::SecretKey;

/// The peers of [`TestHub`]'s list.
pub const GOOD_POOL: &str = "pool/good";
pub const GOOD_MINT: &str = "mint/good";
pub const BAD_POOL: &str = "pool/bad";
pub const BAD_MINT: &str = "mint/bad";

/// An extension that the hub does not know; its list lets pool/bad open it to mint/bad.
pub const VENDOR: u16 = 0x4a00;

/// How long anything may take on a busy machine before a test fails instead of hanging.
const PATIENCE: Duration = Duration::from_secs(20);

/// The key of a listed peer; of everybody else one that is not listed.
pub fn key_of(who: &str) -> SecretKey {
    let byte = match who {
        GOOD_POOL => 11,
        GOOD_MINT => 12,
        BAD_POOL => 13,
        BAD_MINT => 14,
        _ => 99,
    };
    SecretKey::from_bytes(&[byte; 32]).unwrap()
}

/// Waits, but not for ever.
pub async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: nothing after {PATIENCE:?}"),
    }
}
