//! The mint's configuration: what an operator writes in `mint.toml`.

use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::str::FromStr;

use cdk::mint_url::MintUrl;
use cdk::nuts::CurrencyUnit;
use serde::Deserialize;
use winze_messages::PeerName;
use winze_redis::RedisConfig;
use winze_runtime::config::{ConfigPath, PublicKeySource};

use crate::allowance::Caps;
use crate::ecash::EcashConfig;
use crate::error::MintError;
use crate::issuance::check::{PoolRules, Rules};
use crate::limits::{AMOUNT_MAX, DESCRIPTION_BYTES_WIRE_MAX, POOLS_MAX, UNITS_MAX};
use crate::redis_requests::RedisRequestsConfig;

/// The whole of it. Unknown keys are refused; relative paths are relative to the file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MintConfig {
    /// This mint's name: at the hub it is `mint/<name>`. 1 to 32 characters out of `a-z`, `0-9` and `-`. Default `main`.
    #[serde(default = "default_name")]
    pub name: String,
    /// The secret key of this mint's identity at the hub (mode 0600, made by `winze keys`).
    pub secret_key_file: ConfigPath,
    /// Where the hub is.
    pub hub: HubPeer,
    /// Address of the NUT API for wallets: plain HTTP; put a TLS proxy before it to serve others than this machine.
    /// Port 0 takes a free one. Default `127.0.0.1:3338`.
    #[serde(default = "default_api_listen")]
    pub api_listen: SocketAddr,
    /// Address of the operator's HTTP (`/health`, `/metrics`), which belongs on loopback. Port 0 takes a free one.
    /// Default `127.0.0.1:4821`.
    #[serde(default = "default_http_listen")]
    pub http_listen: SocketAddr,
    /// This role's own SQLite file: recorded answers and allowances. Made if missing.
    pub store_file: ConfigPath,
    /// cdk's SQLite file: quotes, keysets, spent ecash. Made if missing.
    pub ecash_store_file: ConfigPath,
    /// The seed of the ecash keys: 64 hexadecimal digits, mode 0600. Keep a backup: without it all ecash is lost.
    pub seed_file: ConfigPath,
    /// Make the seed if neither it nor `ecash_store_file` exists. Default `false`: a start that does not find its seed
    /// fails, and does not begin another mint.
    #[serde(default)]
    pub create_seed: bool,
    /// The units to issue, in lower case; each has keysets of its own. Default `["hash"]`.
    #[serde(default = "default_units")]
    pub units: Vec<String>,
    /// The largest amount of one quote, in its unit: 1 to 2^62. Default 2^62.
    #[serde(default = "default_amount_max")]
    pub amount_max: u64,
    /// The longest description of a quote, in bytes: 0 to 255. Default 128.
    #[serde(default = "default_description_bytes_max")]
    pub description_bytes_max: usize,
    /// What a wallet pays per input of a swap, in thousandths of the unit (NUT-02). Another value than before makes new
    /// keysets at the next start. Default 0.
    #[serde(default)]
    pub input_fee_ppk: u64,
    /// What wallets are told about the mint (NUT-06).
    #[serde(default)]
    pub info: Info,
    /// The log's filter, as in `info` or `winze_mint=debug,info`. The variable `WINZE_LOG` goes before it. Default
    /// `info,cdk=warn`: what cdk says at `info` is about each request.
    #[serde(default = "default_log")]
    pub log: String,
    /// Which pools may have quotes made, and how much. A pool that is not listed gets none.
    #[serde(default)]
    pub pool: Vec<PoolConfig>,
    /// A Redis server, for [`Self::redis_requests`].
    #[serde(default)]
    pub redis: Option<RedisConfig>,
    /// Take requests off a list in Redis, beside the hub. Default: none are taken.
    #[serde(default)]
    pub redis_requests: Option<RedisRequestsConfig>,
}

/// Where the hub is, and how to know it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HubPeer {
    /// `host:port`.
    pub address: String,
    /// The key that signs the hub's certificate: `authority = { public_key = ".." }` or `{ public_key_file = ".." }`.
    pub authority: PublicKeySource,
}

/// NUT-06 information.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Info {
    /// The mint's name for people. Default: none.
    #[serde(default)]
    pub name: Option<String>,
    /// A line about it. Default: none.
    #[serde(default)]
    pub description: Option<String>,
    /// Where wallets reach the NUT API. Default: none.
    #[serde(default)]
    pub urls: Vec<String>,
}

/// One pool: `[[pool]]`.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PoolConfig {
    /// Its peer name, `pool/main`. Its allowance is kept under this name, and stays when the key changes.
    pub peer: String,
    /// Its identity key: `public_key = ".."` or `public_key_file = ".."`. What is issued is decided by this key.
    #[serde(flatten)]
    pub public_key: PublicKeySource,
    /// A second key of the same pool, for as long as it changes from one to the other:
    /// `next_key = { public_key = ".." }` or `{ public_key_file = ".." }`. Default: none.
    #[serde(default)]
    pub next_key: Option<PublicKeySource>,
    /// What it may have issued: `[[pool.allowance]]`.
    #[serde(default)]
    pub allowance: Vec<AllowanceConfig>,
}

impl PoolConfig {
    /// `peer`, read.
    ///
    /// # Errors
    /// It is not a peer name.
    pub fn peer_name(&self) -> Result<PeerName, InvalidValue> {
        self.peer
            .parse()
            .map_err(|error| invalid("pool.peer", format!("{:?}: {error}", self.peer)))
    }
}

/// How much of one unit a pool may have issued. Both windows roll.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AllowanceConfig {
    /// One of `units`.
    pub unit: String,
    /// In any hour, in the unit: `amount_max` to 2^62, so that every quote fits in some hour. No default.
    pub amount_per_hour_max: u64,
    /// In any day, in the unit: `amount_per_hour_max` to 2^62. No default.
    pub amount_per_day_max: u64,
}

/// A value that is well formed and cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct InvalidValue {
    /// Which key of the configuration, as `pool.allowance.unit`.
    pub key: &'static str,
    /// What is wrong with it.
    pub message: String,
}

impl MintConfig {
    /// Checks what the types alone do not; reads no file.
    ///
    /// # Errors
    /// The first value that cannot be used; [`Self::problems`] has them all.
    pub fn check(&self) -> Result<(), InvalidValue> {
        match self.problems().into_iter().next() {
            None => Ok(()),
            Some(problem) => Err(problem),
        }
    }

    /// Every value that cannot be used, as [`Self::check`] finds them.
    pub fn problems(&self) -> Vec<InvalidValue> {
        let description_bytes = in_range(
            "description_bytes_max",
            self.description_bytes_max as u64,
            0,
            DESCRIPTION_BYTES_WIRE_MAX as u64,
        );
        let mut results = vec![
            self.peer_name().map(drop),
            check_units(&self.units),
            in_range("amount_max", self.amount_max, 1, AMOUNT_MAX),
            description_bytes,
            self.check_stores(),
        ];
        results.extend(self.info.urls.iter().map(|url| check_url(url)));
        if self.pool.len() > POOLS_MAX {
            results.push(Err(invalid("pool", format!("more than {POOLS_MAX} pools"))));
        }
        let mut peers = HashSet::new();
        for pool in &self.pool {
            results.push(pool.peer_name().and_then(|name| match peers.insert(name) {
                true => Ok(()),
                false => Err(invalid(
                    "pool.peer",
                    format!("{} is listed twice", pool.peer),
                )),
            }));
            results.push(self.check_allowances(&POOL_KEYS, &pool.peer, &pool.allowance));
        }
        results.push(self.check_list());
        results.into_iter().filter_map(Result::err).collect()
    }

    /// Two databases in one file would take each other for damaged.
    fn check_stores(&self) -> Result<(), InvalidValue> {
        if self.store_file == self.ecash_store_file {
            let message = "the file of store_file as well; each needs its own".to_owned();
            return Err(invalid("ecash_store_file", message));
        }
        Ok(())
    }

    /// `mint/<name>`.
    ///
    /// # Errors
    /// The name has other characters than a peer's name may have.
    pub fn peer_name(&self) -> Result<PeerName, InvalidValue> {
        PeerName::new("mint", &self.name)
            .map_err(|error| invalid("name", format!("{:?}: {error}", self.name)))
    }

    /// What is taken off a list in Redis.
    fn check_list(&self) -> Result<(), InvalidValue> {
        if let Some(redis) = &self.redis {
            let checked = redis.check();
            checked.map_err(|error| invalid("redis", error.within_table()))?;
        }
        let Some(list) = &self.redis_requests else {
            return Ok(());
        };
        if self.redis.is_none() {
            let message = "needs a table [redis] that says where the list is".to_owned();
            return Err(invalid("redis_requests", message));
        }
        if self.pool.iter().any(|pool| pool.peer == LIST_ACCOUNT) {
            let message = format!("{LIST_ACCOUNT} is whom the list's allowance is kept under");
            return Err(invalid("pool.peer", message));
        }
        if !self.units.contains(&list.unit) {
            let message = format!("{:?} is not one of `units`", list.unit);
            return Err(invalid("redis_requests.unit", message));
        }
        list.locking_key()
            .map_err(|message| invalid("redis_requests.default_locking_key", message))?;
        match &list.allowance[..] {
            [allowance] if allowance.unit == list.unit => {
                self.check_allowances(&LIST_KEYS, LIST_ACCOUNT, &list.allowance)
            }
            _ => {
                let message = format!("expected one table, for unit {}", list.unit);
                Err(invalid("redis_requests.allowance", message))
            }
        }
    }

    fn check_allowances(
        &self,
        keys: &AllowanceKeys,
        whose: &str,
        allowances: &[AllowanceConfig],
    ) -> Result<(), InvalidValue> {
        let mut units = HashSet::new();
        for allowance in allowances {
            if !self.units.contains(&allowance.unit) {
                return Err(invalid(
                    keys.unit,
                    format!("{whose}: {:?} is not one of `units`", allowance.unit),
                ));
            }
            if !units.insert(&allowance.unit) {
                return Err(invalid(
                    keys.unit,
                    format!("{whose}: {} is listed twice", allowance.unit),
                ));
            }
            in_range(
                keys.per_hour,
                allowance.amount_per_hour_max,
                self.amount_max,
                AMOUNT_MAX,
            )?;
            in_range(
                keys.per_day,
                allowance.amount_per_day_max,
                allowance.amount_per_hour_max,
                AMOUNT_MAX,
            )?;
        }
        Ok(())
    }

    /// The units as cdk has them.
    pub(crate) fn currency_units(&self) -> Vec<CurrencyUnit> {
        self.units.iter().map(|unit| canonical(unit)).collect()
    }

    pub(crate) fn ecash(&self) -> EcashConfig {
        EcashConfig {
            store: self.ecash_store_file.as_path().to_owned(),
            units: self.currency_units(),
            amount_max: self.amount_max,
            input_fee_ppk: self.input_fee_ppk,
            name: self.info.name.clone(),
            description: self.info.description.clone(),
            urls: self.info.urls.clone(),
        }
    }

    /// The issuer's rules, with the pools' keys read from their files.
    pub(crate) fn rules(&self) -> Result<Rules, MintError> {
        let mut pools = HashMap::new();
        for pool in &self.pool {
            let rules = PoolRules {
                name: pool.peer_name()?,
                caps: caps(&pool.allowance),
            };
            for key in std::iter::once(&pool.public_key).chain(&pool.next_key) {
                if pools.insert(key.resolve()?, rules.clone()).is_some() {
                    return Err(invalid(
                        "pool.public_key",
                        format!("{} has a key that is listed already", pool.peer),
                    )
                    .into());
                }
            }
        }
        let list = match &self.redis_requests {
            None => None,
            Some(list) => Some(PoolRules {
                name: LIST_ACCOUNT
                    .parse()
                    .map_err(|error| invalid("redis_requests", format!("{error}")))?,
                caps: caps(&list.allowance),
            }),
        };
        Ok(Rules {
            amount_max: self.amount_max,
            description_bytes_max: self.description_bytes_max,
            units: self.currency_units(),
            pools,
            list,
        })
    }
}

/// Under which name the allowance of the list in Redis is kept.
pub(crate) const LIST_ACCOUNT: &str = "redis/requests";

/// What the keys of an allowance are called in full.
struct AllowanceKeys {
    unit: &'static str,
    per_hour: &'static str,
    per_day: &'static str,
}

const POOL_KEYS: AllowanceKeys = AllowanceKeys {
    unit: "pool.allowance.unit",
    per_hour: "pool.allowance.amount_per_hour_max",
    per_day: "pool.allowance.amount_per_day_max",
};

const LIST_KEYS: AllowanceKeys = AllowanceKeys {
    unit: "redis_requests.allowance.unit",
    per_hour: "redis_requests.allowance.amount_per_hour_max",
    per_day: "redis_requests.allowance.amount_per_day_max",
};

/// By unit.
fn caps(allowances: &[AllowanceConfig]) -> HashMap<String, Caps> {
    let caps = |allowance: &AllowanceConfig| Caps {
        per_hour: allowance.amount_per_hour_max,
        per_day: allowance.amount_per_day_max,
    };
    allowances
        .iter()
        .map(|allowance| (allowance.unit.clone(), caps(allowance)))
        .collect()
}

fn check_units(units: &[String]) -> Result<(), InvalidValue> {
    if units.is_empty() || units.len() > UNITS_MAX {
        return Err(invalid("units", format!("expected 1 to {UNITS_MAX} units")));
    }
    let mut seen = HashSet::new();
    for unit in units {
        // cdk derives a unit's keys from 31 bits of a hash of its name and tells wallets of it in lower case.
        let plain = !unit.is_empty()
            && unit.len() <= 32
            && unit
                .bytes()
                .all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_'));
        if !plain || unit == "auth" {
            return Err(invalid(
                "units",
                format!(
                    "{unit:?}: expected 1 to 32 characters out of a-z, 0-9, - and _, and not auth"
                ),
            ));
        }
        if !seen.insert(unit) {
            return Err(invalid("units", format!("{unit} is listed twice")));
        }
    }
    Ok(())
}

pub(crate) fn canonical(unit: &str) -> CurrencyUnit {
    // Its error is uninhabited in practice: every text is some unit.
    unit.parse().unwrap_or_else(|_| CurrencyUnit::custom(unit))
}

/// Wallets refuse others.
fn check_url(url: &str) -> Result<(), InvalidValue> {
    let web = url.starts_with("http://") || url.starts_with("https://");
    match MintUrl::from_str(url) {
        Ok(_) if web => Ok(()),
        Ok(_) => Err(invalid(
            "info.urls",
            format!("{url:?} begins with neither http:// nor https://"),
        )),
        Err(error) => Err(invalid("info.urls", format!("{url:?}: {error}"))),
    }
}

fn in_range(key: &'static str, value: u64, min: u64, max: u64) -> Result<(), InvalidValue> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(invalid(key, format!("{value} is not in {min}..={max}")))
}

pub(crate) fn invalid(key: &'static str, message: String) -> InvalidValue {
    InvalidValue { key, message }
}

fn default_name() -> String {
    "main".to_owned()
}

fn default_api_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 3338).into()
}

fn default_http_listen() -> SocketAddr {
    (Ipv4Addr::LOCALHOST, 4821).into()
}

fn default_units() -> Vec<String> {
    vec!["hash".to_owned()]
}

fn default_amount_max() -> u64 {
    AMOUNT_MAX
}

fn default_description_bytes_max() -> usize {
    128
}

fn default_log() -> String {
    "info,cdk=warn".to_owned()
}

#[cfg(test)]
mod tests {
    use winze_transport::SecretKey;

    use super::*;

    fn written(top: &str, allowance: &str) -> String {
        let key = SecretKey::generate(&mut rand::rngs::OsRng).public_key();
        let next = SecretKey::generate(&mut rand::rngs::OsRng).public_key();
        format!(
            r#"
            secret_key_file = "identity.key"
            store_file = "mint.sqlite"
            ecash_store_file = "ecash.sqlite"
            seed_file = "seed"
            {top}
            [hub]
            address = "127.0.0.1:1"
            authority = {{ public_key = "{key}" }}
            [[pool]]
            peer = "pool/main"
            public_key = "{key}"
            next_key = {{ public_key = "{next}" }}
            [[pool.allowance]]
            unit = "hash"
            {allowance}
            "#
        )
    }

    const ALLOWANCE: &str = "amount_per_hour_max = 1_000\namount_per_day_max = 9_000";

    #[test]
    fn a_pool_that_changes_its_key_has_one_allowance_under_both() {
        let text = written("amount_max = 1_000", ALLOWANCE);
        let config: MintConfig = toml::from_str(&text).expect("it is complete");
        config.check().expect("it can be used");
        let rules = config.rules().expect("no file is named");
        let pools: Vec<&PoolRules> = rules.pools.values().collect();
        assert_eq!(pools.len(), 2);
        assert!(
            pools
                .iter()
                .all(|pool| pool.name.to_string() == "pool/main")
        );
        assert!(pools.iter().all(|pool| pool.caps["hash"].per_hour == 1_000));
    }

    #[test]
    fn what_would_surprise_later_is_refused_at_the_start() {
        for (top, allowance, key) in [
            // A quote that fits in no hour would wait for ever.
            (
                "amount_max = 1_001",
                ALLOWANCE,
                "pool.allowance.amount_per_hour_max",
            ),
            (
                "amount_max = 10",
                "amount_per_hour_max = 10\namount_per_day_max = 9",
                "pool.allowance.amount_per_day_max",
            ),
            ("amount_max = 0", ALLOWANCE, "amount_max"),
            // cdk would make it lower case, and no request would match.
            (r#"units = ["HASH"]"#, ALLOWANCE, "units"),
            (r#"units = ["sat"]"#, ALLOWANCE, "pool.allowance.unit"),
            (
                "description_bytes_max = 256",
                ALLOWANCE,
                "description_bytes_max",
            ),
            (r#"name = "Main""#, ALLOWANCE, "name"),
            (r#"info.urls = ["mint.example"]"#, ALLOWANCE, "info.urls"),
        ] {
            let config: MintConfig = toml::from_str(&written(top, allowance)).expect("complete");
            assert_eq!(config.check().expect_err(top).key, key);
        }
        let text =
            written("amount_max = 0\nunits = []", ALLOWANCE).replace("ecash.sqlite", "mint.sqlite");
        let config: MintConfig = toml::from_str(&text).expect("complete");
        let problems = config.problems();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key).collect();
        assert_eq!(
            keys,
            [
                "units",
                "amount_max",
                "ecash_store_file",
                "pool.allowance.unit"
            ]
        );
        let unknown = written("amount_maximum = 5", ALLOWANCE);
        assert!(toml::from_str::<MintConfig>(&unknown).is_err());
    }

    #[test]
    fn a_list_needs_its_redis_a_unit_of_the_mints_and_one_allowance_that_every_quote_fits_in() {
        let list = |redis: &str, list: &str, unit: &str, per_hour: u64| {
            let text = format!(
                "{}\n{redis}\n[redis_requests]\n{list}\n[[redis_requests.allowance]]\nunit = \"{unit}\"\n\
                 amount_per_hour_max = {per_hour}\namount_per_day_max = 9_000",
                written("amount_max = 1_000", ALLOWANCE)
            );
            let config: MintConfig = toml::from_str(&text).expect("complete");
            config.check().map_err(|problem| problem.key)
        };
        let (redis, unit) = ("[redis]", r#"unit = "hash""#);
        assert_eq!(list(redis, unit, "hash", 1_000), Ok(()));
        let wrong_key = format!("{unit}\ndefault_locking_key = \"02ff\"");
        for (outcome, key) in [
            (list("", unit, "hash", 1_000), "redis_requests"),
            (
                list("[redis]\naddress = \"here\"", unit, "hash", 1_000),
                "redis",
            ),
            (
                list(redis, r#"unit = "sat""#, "sat", 1_000),
                "redis_requests.unit",
            ),
            (list(redis, unit, "sat", 1_000), "redis_requests.allowance"),
            (
                list(redis, unit, "hash", 999),
                "redis_requests.allowance.amount_per_hour_max",
            ),
            (
                list(redis, &wrong_key, "hash", 1_000),
                "redis_requests.default_locking_key",
            ),
        ] {
            assert_eq!(outcome, Err(key));
        }
    }
}
