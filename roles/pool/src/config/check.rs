use std::ops::RangeInclusive;
use std::time::Duration;

use bitcoin::address::NetworkUnchecked;
use bitcoin::{Address, CompactTarget, Network, ScriptBuf, Target};
use winze_messages::PeerName;
use winze_redis::RedisConfig;
use winze_redis::limits::{LIST_LENGTH_MAX, PUSH_AGAIN_AFTER_S};
use winze_runtime::config::ConfigPath;

use super::{BitcoindConfig, CoinbaseConfig, PoolConfig, QuotePath};
use crate::limits::{CHANNELS_PER_CONNECTION_MAX, COINBASE_TAG_BYTES_MAX, OLD_MINT_AMOUNT_MAX};
use crate::mining::Rules;
use crate::redis_path;
use crate::work::MinimumWork;

/// Bitcoin Core's `OP_TRUE`: an output that anyone may spend.
const OP_TRUE: u8 = 0x51;

/// A value that is well formed and cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct InvalidValue {
    /// Which key of the configuration, with its table, as `coinbase.payout_address`.
    pub key: &'static str,
    /// What is wrong with it.
    pub message: String,
}

/// What a configuration comes to.
#[derive(Clone, Debug)]
pub struct Checked {
    /// `pool/<name>`.
    pub peer: PeerName,
    /// The mint's peer name.
    pub mint: PeerName,
    /// What the mining protocol goes by.
    pub rules: Rules,
    /// Where blocks pay.
    pub payout: ScriptBuf,
    /// How the list in Redis is used, where it is.
    pub redis: Option<CheckedRedis>,
    /// Where templates come from.
    pub source: Source,
}

/// Where quote requests are pushed to, and when.
#[derive(Clone, Debug)]
pub struct CheckedRedis {
    /// Where Redis is.
    pub config: RedisConfig,
    /// How the list writes the unit.
    pub list_unit: String,
    /// What is pushed when.
    pub rules: redis_path::Rules,
    /// Entries that the list may have.
    pub list_length_max: u64,
    /// The largest amount that is pushed.
    pub list_amount_max: u64,
    /// Whether the mint tells its quotes' ids.
    pub writes_quote_ids: bool,
}

/// Where templates come from.
#[derive(Clone, Debug)]
pub enum Source {
    /// A bitcoin node.
    Bitcoind {
        /// `host:port`.
        address: String,
        /// How it lets us in.
        login: Login,
        /// How often it is asked for its tip.
        poll_interval: Duration,
    },
    /// The pool's own chain.
    Builtin {
        /// Its target.
        bits: CompactTarget,
        /// How long a block stays the tip.
        block_interval: Duration,
    },
}

/// How a bitcoin node lets us in, before any file is read.
#[derive(Clone, Debug)]
pub enum Login {
    /// By its cookie.
    CookieFile(ConfigPath),
    /// By name and password.
    PasswordFile {
        /// `rpcuser`.
        user: String,
        /// The file with `rpcpassword`.
        password_file: ConfigPath,
    },
}

impl PoolConfig {
    /// Checks what the types alone do not; reads no file.
    ///
    /// # Errors
    /// The first value that cannot be used; [`Self::problems`] has them all.
    pub fn check(&self) -> Result<Checked, InvalidValue> {
        let mut problems = Vec::new();
        let checked = self.look(&mut problems);
        match (checked, problems.into_iter().next()) {
            (Some(checked), None) => Ok(checked),
            (_, Some(problem)) => Err(problem),
            (None, None) => unreachable!("what is missing is a problem"),
        }
    }

    /// Every value that cannot be used, as [`Self::check`] finds them.
    pub fn problems(&self) -> Vec<InvalidValue> {
        let mut problems = Vec::new();
        self.look(&mut problems);
        problems
    }

    /// What it comes to, `None` only with a problem.
    fn look(&self, problems: &mut Vec<InvalidValue>) -> Option<Checked> {
        let peer = PeerName::new("pool", &self.name).map_err(|error| invalid("name", error));
        let peer = noted(problems, peer);
        let mint = noted(problems, self.checked_mint());
        noted(problems, self.checked_unit());
        let bits = in_range("minimum_zero_bits", self.minimum_zero_bits, 0..=96);
        noted(problems, bits);
        let rate = in_range("shares_per_minute", self.shares_per_minute, 0.1..=6_000.0);
        noted(problems, rate);
        let channels = 1..=CHANNELS_PER_CONNECTION_MAX as u64;
        for (key, value, range) in [
            ("quotes_waiting_max", self.quotes_waiting_max, 1..=1 << 40),
            (
                "quotes_waiting_per_miner_max",
                self.quotes_waiting_per_miner_max,
                1..=1 << 40,
            ),
            ("connections_max", self.connections_max as u64, 1..=65_536),
            (
                "connections_per_address_max",
                self.connections_per_address_max as u64,
                1..=65_536,
            ),
            (
                "channels_per_connection_max",
                self.channels_per_connection_max as u64,
                channels,
            ),
            ("idle_timeout_s", self.idle_timeout_s, 10..=86_400),
            (
                "template_refresh_ms",
                self.template_refresh_ms,
                100..=600_000,
            ),
            (
                "template_stale_after_s",
                self.template_stale_after_s,
                1..=86_400,
            ),
            (
                "redis_path.push_again_after_s",
                self.redis_path.push_again_after_s,
                PUSH_AGAIN_AFTER_S,
            ),
            (
                "redis_path.list_length_max",
                self.redis_path.list_length_max,
                LIST_LENGTH_MAX,
            ),
            (
                "redis_path.fallback_after_ms",
                self.redis_path.fallback_after_ms,
                0..=3_600_000,
            ),
        ] {
            noted(problems, in_range(key, value, range));
        }
        let redis = noted(problems, self.checked_redis());
        let tag = noted(problems, self.coinbase.checked_tag());
        let source = noted(problems, self.checked_source());
        let real = self.bitcoind.is_some();
        let payout = noted(problems, self.coinbase.checked_payout(real));
        Some(Checked {
            peer: peer?,
            mint: mint?,
            rules: Rules {
                minimum: MinimumWork::new(self.minimum_zero_bits),
                shares_per_minute: self.shares_per_minute,
                channels_max: self.channels_per_connection_max,
                coinbase_tag: tag?,
                idle_timeout_ms: self.idle_timeout_s.saturating_mul(1_000),
            },
            source: source?,
            payout: payout?,
            redis: redis?,
        })
    }

    fn checked_mint(&self) -> Result<PeerName, InvalidValue> {
        let mint: PeerName = self
            .mint
            .peer
            .parse()
            .map_err(|error| invalid("mint.peer", error))?;
        if !matches!(mint.role(), "mint" | "bridge") {
            let message = format!("{mint} is no mint; expected mint/<name> or bridge/<name>");
            return Err(invalid("mint.peer", message));
        }
        Ok(mint)
    }

    fn checked_redis(&self) -> Result<Option<CheckedRedis>, InvalidValue> {
        if let Some(Err(error)) = self.redis.as_ref().map(RedisConfig::check) {
            return Err(invalid("redis", error.within_table()));
        }
        if !self.quote_path.dials_redis() {
            return Ok(None);
        }
        let path = &self.redis_path;
        let Some(config) = self.redis.clone() else {
            let message = format!("quote_path = {:?} needs this table", self.quote_path.name());
            return Err(invalid("redis", message));
        };
        if !path.writes_quote_ids && self.quote_path.dials_hub() {
            let message = "a mint that tells no ids over Redis is for quote_path = \"redis\" alone";
            return Err(invalid("redis_path.writes_quote_ids", message));
        }
        let upper = self.unit.to_ascii_uppercase();
        let list_unit = path.list_unit.clone().unwrap_or(upper);
        if !list_unit.eq_ignore_ascii_case(&self.unit) {
            let message = format!("{list_unit:?} is not {:?} in another case", self.unit);
            return Err(invalid("redis_path.list_unit", message));
        }
        let while_away = self.quote_path == QuotePath::Fallback;
        Ok(Some(CheckedRedis {
            config,
            list_unit,
            rules: redis_path::Rules {
                while_away_for_ms: while_away.then_some(path.fallback_after_ms),
                push_again_after_ms: path.push_again_after_s.saturating_mul(1_000),
            },
            list_length_max: path.list_length_max,
            list_amount_max: match path.list_amount_max {
                Some(0) => u64::MAX,
                Some(amount) => amount,
                None if path.writes_quote_ids => u64::MAX,
                None => OLD_MINT_AMOUNT_MAX,
            },
            writes_quote_ids: path.writes_quote_ids,
        }))
    }

    fn checked_unit(&self) -> Result<(), InvalidValue> {
        let unit_character = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
        if self.unit.is_empty() || self.unit.len() > 32 || !self.unit.bytes().all(unit_character) {
            return Err(invalid("unit", "expected 1 to 32 of a-z, 0-9, - and _"));
        }
        Ok(())
    }

    fn checked_source(&self) -> Result<Source, InvalidValue> {
        if let Some(node) = &self.bitcoind {
            return node.checked();
        }
        let nbits = "builtin.nbits";
        let bits = u32::from_str_radix(&self.builtin.nbits, 16)
            .ok()
            .filter(|_| self.builtin.nbits.len() == 8)
            .ok_or_else(|| invalid(nbits, "expected eight hex digits, as in 1d00ffff"))?;
        let bits = CompactTarget::from_consensus(bits);
        if Target::from_compact(bits) == Target::ZERO {
            return Err(invalid(nbits, "no hash meets this target"));
        }
        let interval_ms = self.builtin.block_interval_ms;
        in_range("builtin.block_interval_ms", interval_ms, 100..=86_400_000)?;
        Ok(Source::Builtin {
            bits,
            block_interval: Duration::from_millis(interval_ms),
        })
    }
}

impl BitcoindConfig {
    fn checked(&self) -> Result<Source, InvalidValue> {
        let login = match (&self.cookie_file, &self.user, &self.password_file) {
            (Some(cookie), None, None) => Login::CookieFile(cookie.clone()),
            (None, Some(user), Some(password_file)) => Login::PasswordFile {
                user: user.clone(),
                password_file: password_file.clone(),
            },
            _ => {
                return Err(invalid(
                    "bitcoind",
                    "expected cookie_file, or user and password_file",
                ));
            }
        };
        in_range("bitcoind.poll_ms", self.poll_ms, 50..=60_000)?;
        Ok(Source::Bitcoind {
            address: self.address.clone(),
            login,
            poll_interval: Duration::from_millis(self.poll_ms),
        })
    }
}

impl CoinbaseConfig {
    fn checked_tag(&self) -> Result<String, InvalidValue> {
        let tag = self.tag.clone().unwrap_or_else(|| "winze".to_owned());
        let printable = tag.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
        if tag.len() > COINBASE_TAG_BYTES_MAX || !printable || tag.contains('/') {
            let message = format!(
                "expected up to {COINBASE_TAG_BYTES_MAX} printable ASCII characters without /"
            );
            return Err(invalid("coinbase.tag", message));
        }
        Ok(tag)
    }

    fn checked_payout(&self, real: bool) -> Result<ScriptBuf, InvalidValue> {
        match (&self.payout_address, &self.payout_script) {
            (Some(_), Some(_)) => Err(invalid(
                "coinbase",
                "both payout_address and payout_script; keep one",
            )),
            (None, Some(script)) => {
                let script = hex::decode(script)
                    .map_err(|error| invalid("coinbase.payout_script", error))?;
                if script.is_empty() || script.len() > 10_000 {
                    let message = "expected an output script of 1 to 10000 bytes";
                    return Err(invalid("coinbase.payout_script", message));
                }
                Ok(ScriptBuf::from_bytes(script))
            }
            (Some(address), None) => {
                let network = self.network.as_deref().unwrap_or("bitcoin");
                let network: Network = network
                    .parse()
                    .map_err(|error| invalid("coinbase.network", error))?;
                let key = "coinbase.payout_address";
                let parsed: Address<NetworkUnchecked> =
                    address.parse().map_err(|error| invalid(key, error))?;
                let address = parsed.require_network(network).map_err(|_| {
                    let message = format!(
                        "{address} is an address of another network than {network}; coinbase.network says which it is"
                    );
                    invalid(key, message)
                })?;
                Ok(address.script_pubkey())
            }
            (None, None) if real => Err(invalid(
                "coinbase",
                "with a bitcoin node, payout_address or payout_script says where blocks pay",
            )),
            (None, None) => Ok(ScriptBuf::from_bytes(vec![OP_TRUE])),
        }
    }
}

/// What `result` holds; an error becomes one more of `problems`.
fn noted<T>(problems: &mut Vec<InvalidValue>, result: Result<T, InvalidValue>) -> Option<T> {
    result.map_err(|problem| problems.push(problem)).ok()
}

fn in_range<T>(key: &'static str, value: T, range: RangeInclusive<T>) -> Result<(), InvalidValue>
where
    T: PartialOrd + std::fmt::Display,
{
    if range.contains(&value) {
        return Ok(());
    }
    let message = format!("{value} is not within {} to {}", range.start(), range.end());
    Err(invalid(key, message))
}

fn invalid(key: &'static str, message: impl ToString) -> InvalidValue {
    InvalidValue {
        key,
        message: message.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LEAST: &str = r#"
        secret_key_file = "identity.key"
        static_key_file = "static.key"
        certificate_file = "certificate.toml"
        store_file = "pool.sqlite"
        [hub]
        address = "127.0.0.1:34254"
        authority = { public_key_file = "authority.pub" }
        [mint]
        public_key_file = "mint.pub"
    "#;

    fn written(more: &str) -> Result<PoolConfig, String> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("pool.toml");
        // What comes first belongs to no table.
        let (top, tables) = more.split_once("---").unwrap_or((more, ""));
        std::fs::write(&path, format!("{top}\n{LEAST}\n{tables}")).unwrap();
        winze_runtime::config::load(&path).map_err(|error| error.to_string())
    }

    fn problem(more: &str) -> String {
        written(more).unwrap().check().unwrap_err().to_string()
    }

    #[test]
    fn the_least_there_must_be_is_enough_for_a_demonstration() {
        let checked = written("").unwrap().check().unwrap();
        assert_eq!(checked.peer.to_string(), "pool/main");
        assert_eq!(checked.mint.to_string(), "mint/main");
        assert!(matches!(checked.source, Source::Builtin { .. }));
        assert_eq!(checked.payout.as_bytes(), [OP_TRUE]);
    }

    #[test]
    fn what_cannot_be_is_named_by_its_key() {
        assert!(
            written("minimum_bits = 3")
                .unwrap_err()
                .contains("minimum_bits")
        );
        assert!(problem("minimum_zero_bits = 97").starts_with("minimum_zero_bits: "));
        assert!(problem("shares_per_minute = nan").starts_with("shares_per_minute: "));
        assert!(problem("name = \"Main\"").starts_with("name: "));
        assert!(problem("---[builtin]\nnbits = \"00000000\"").starts_with("builtin.nbits: "));
        let slash = problem("---[coinbase]\ntag = \"a/b\"");
        assert!(slash.starts_with("coinbase.tag: "), "{slash}");
    }

    #[test]
    fn one_mistake_hides_no_other() {
        let config =
            "name = \"Main\"\nunit = \"\"\nidle_timeout_s = 1\n---[builtin]\nnbits = \"x\"";
        let problems = written(config).unwrap().problems();
        let keys: Vec<&str> = problems.iter().map(|problem| problem.key).collect();
        assert_eq!(keys, ["name", "unit", "idle_timeout_s", "builtin.nbits"]);
        let mut pool = written("").unwrap();
        pool.mint.peer = "pool/other".to_owned();
        assert_eq!(pool.check().unwrap_err().key, "mint.peer");
    }

    #[test]
    fn a_way_over_redis_needs_redis_and_a_mint_without_ids_is_asked_over_it_alone() {
        assert!(problem("quote_path = \"both\"").starts_with("redis: "));
        assert!(written("").unwrap().check().unwrap().redis.is_none());
        let told = |path: &str, more: &str| {
            let path = format!("quote_path = \"{path}\"");
            let redis = "[redis]\naddress = \"127.0.0.1:6379\"";
            written(&format!("{path}\n---{redis}\n[redis_path]\n{more}"))
                .unwrap()
                .check()
        };
        let no_ids = "writes_quote_ids = false";
        let amount_max = |more: &str| told("redis", more).unwrap().redis.unwrap().list_amount_max;
        assert_eq!(amount_max(no_ids), 256);
        assert_eq!(
            amount_max("writes_quote_ids = false\nlist_amount_max = 0"),
            u64::MAX
        );
        assert_eq!(amount_max(""), u64::MAX);
        let refused = told("fallback", no_ids).unwrap_err();
        assert_eq!(refused.key, "redis_path.writes_quote_ids");
        let unit = told("redis", "list_unit = \"sat\"").unwrap_err();
        assert_eq!(unit.key, "redis_path.list_unit");
        let fallback = told("fallback", "fallback_after_ms = 0").unwrap();
        let fallback = fallback.redis.unwrap();
        assert_eq!(fallback.rules.while_away_for_ms, Some(0));
        assert_eq!(fallback.list_unit, "HASH");
        let mut pool = written("").unwrap();
        pool.mint.peer = "bridge/old".to_owned();
        assert!(pool.check().is_ok());
    }

    #[test]
    fn real_blocks_pay_to_somebody_on_the_right_network() {
        let node = "---[bitcoind]\naddress = \"127.0.0.1:8332\"\ncookie_file = \".cookie\"\n";
        assert!(problem(node).starts_with("coinbase: "));
        let address = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080";
        let coinbase = format!("{node}[coinbase]\npayout_address = \"{address}\"\n");
        let elsewhere = problem(&coinbase);
        assert!(
            elsewhere.starts_with("coinbase.payout_address: ")
                && elsewhere.contains("another network than bitcoin"),
            "{elsewhere}"
        );
        let checked = written(&format!("{coinbase}network = \"regtest\""))
            .unwrap()
            .check()
            .unwrap();
        assert!(checked.payout.is_p2wpkh());
        let keyless = "---[bitcoind]\naddress = \"127.0.0.1:8332\"\nuser = \"u\"\n";
        assert!(problem(keyless).contains("password_file"));
    }
}
