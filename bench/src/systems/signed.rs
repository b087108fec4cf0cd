//! Certificates of Noise, for whoever answers in a run.

use rand::RngCore;
use rand::rngs::OsRng;
use winze_runtime::clock::now_unix_s_u32;
use winze_transport::{Certificate, PublicKey, SecretKey};

/// How long one is valid, in seconds: longer than any run.
const VALID_S: u32 = 7 * 24 * 3_600;

/// One for `key`, as of now.
pub fn certificate(authority: &SecretKey, key: PublicKey) -> Certificate {
    let mut aux_rand = [0; 32];
    OsRng.fill_bytes(&mut aux_rand);
    let now = now_unix_s_u32();
    let (from, until) = (now.saturating_sub(60), now.saturating_add(VALID_S));
    Certificate::sign(authority, key, from, until, &aux_rand)
}
