//! The `[redis_requests]` table of the mint's configuration.

use serde::Deserialize;

use crate::config::AllowanceConfig;

/// Which requests are taken off the list in Redis, and for how much.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisRequestsConfig {
    /// The unit of the requests, one of the mint's `units`. One for another unit is a dead letter.
    pub unit: String,
    /// The key, 66 hexadecimal digits, that quotes are locked to whose requests name none. Default: none; such a request
    /// is a dead letter.
    #[serde(default)]
    pub default_locking_key: Option<String>,
    /// Serve requests that name a keyset which this mint never had, under its active one. Old pools ask for the keyset at
    /// their start and never again, so one that was started beside another mint names that one's. Default `false`: such a
    /// request is a dead letter.
    #[serde(default)]
    pub other_keysets: bool,
    /// Keep the active keyset under the key that old pools read. Default `true`.
    #[serde(default = "yes")]
    pub keyset_to_redis: bool,
    /// What may be issued for the list as a whole: one `[[redis_requests.allowance]]`, for `unit`. The list says nothing of
    /// who has pushed what.
    #[serde(default)]
    pub allowance: Vec<AllowanceConfig>,
}

impl RedisRequestsConfig {
    /// `default_locking_key`, read; `Err` where it is no compressed point on secp256k1.
    pub(crate) fn locking_key(&self) -> Result<Option<[u8; 33]>, String> {
        let Some(text) = &self.default_locking_key else {
            return Ok(None);
        };
        match cdk::nuts::PublicKey::from_hex(text) {
            Ok(key) => Ok(Some(key.to_bytes())),
            Err(error) => Err(format!("{text:?}: {error}")),
        }
    }
}

fn yes() -> bool {
    true
}
