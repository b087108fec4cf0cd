//! What the types of the configuration alone do not catch.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use winze_messages::PeerName;
use winze_redis::limits::{LIST_LENGTH_MAX, PUSH_AGAIN_AFTER_S};
use winze_redis::{check_name, taken_list};

use super::{BridgeConfig, LegacyMintConfig, LegacyPoolConfig, RequestsConfig};
use crate::limits::{POOLS_MAX, WAITING_MAX_MOST};

/// A value that is well formed and cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {message}")]
pub struct InvalidValue {
    /// Which key of the configuration, as `requests.unit`.
    pub key: &'static str,
    /// What is wrong with it.
    pub message: String,
}

impl BridgeConfig {
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
        let mut results = vec![self.peer_name().map(drop), self.check_redis()];
        if let Some(requests) = &self.requests {
            results.push(self.check_taker());
            results.push(requests.peer_name().map(drop));
            results.push(unit("requests.unit", &requests.unit));
            results.push(requests.locking_key().map(drop));
            results.push(in_range(
                "requests.waiting_max",
                requests.waiting_max,
                1..=WAITING_MAX_MOST,
            ));
        }
        if let Some(legacy_mint) = &self.legacy_mint {
            results.extend(self.check_legacy_mint(legacy_mint));
        }
        if self.requests.is_none() && self.legacy_mint.is_none() {
            results.push(Err(invalid(
                "requests",
                "neither [requests] nor [legacy_mint] is there: nothing is switched on",
            )));
        }
        results.into_iter().filter_map(Result::err).collect()
    }

    /// Who this bridge is at the hub.
    ///
    /// # Errors
    /// The name is none.
    pub fn peer_name(&self) -> Result<PeerName, InvalidValue> {
        PeerName::new("bridge", &self.name)
            .map_err(|error| invalid("name", format_args!("{:?}: {error}", self.name)))
    }

    /// The list that a legacy mint takes from.
    pub fn legacy_list(&self) -> &str {
        let legacy_mint = self.legacy_mint.as_ref();
        legacy_mint
            .and_then(|legacy_mint| legacy_mint.list.as_deref())
            .unwrap_or(&self.redis.requests_list)
    }

    /// What stands before the header hash in the keys of a legacy mint's quote ids.
    pub fn legacy_quote_key_prefix(&self) -> &str {
        let legacy_mint = self.legacy_mint.as_ref();
        legacy_mint
            .and_then(|legacy_mint| legacy_mint.quote_key_prefix.as_deref())
            .unwrap_or(&self.redis.quote_key_prefix)
    }

    /// What a mint `main` takes off a list by itself lies under the name `mint-main`.
    fn check_taker(&self) -> Result<(), InvalidValue> {
        match self.name.starts_with("mint-") {
            false => Ok(()),
            true => Err(invalid(
                "name",
                format_args!(
                    "{:?}: what begins with mint- is the name of a mint in Redis",
                    self.name
                ),
            )),
        }
    }

    fn check_redis(&self) -> Result<(), InvalidValue> {
        let checked = self.redis.check();
        checked.map_err(|error| invalid("redis", error.within_table()))
    }

    fn check_legacy_mint(&self, config: &LegacyMintConfig) -> Vec<Result<(), InvalidValue>> {
        let mut results = vec![
            unit("legacy_mint.unit", &config.unit),
            match config.list_unit.eq_ignore_ascii_case(&config.unit) {
                true => Ok(()),
                false => Err(invalid(
                    "legacy_mint.list_unit",
                    format_args!(
                        "{:?} is not {:?} in any case",
                        config.list_unit, config.unit
                    ),
                )),
            },
            in_range(
                "legacy_mint.push_again_after_s",
                config.push_again_after_s,
                PUSH_AGAIN_AFTER_S,
            ),
            in_range(
                "legacy_mint.list_length_max",
                config.list_length_max,
                LIST_LENGTH_MAX,
            ),
            self.check_legacy_list(config),
            self.check_legacy_prefix(),
        ];
        if config.pool.is_empty() || config.pool.len() > POOLS_MAX {
            results.push(Err(invalid(
                "legacy_mint.pool",
                format_args!("expected 1 to {POOLS_MAX} pools"),
            )));
        }
        let mut peers = HashSet::new();
        for pool in &config.pool {
            results.push(pool.peer_name().map(drop));
            if !peers.insert(&pool.peer) {
                results.push(Err(invalid(
                    "legacy_mint.pool.peer",
                    format_args!("{} is listed twice", pool.peer),
                )));
            }
        }
        results
    }

    /// What one direction puts on a list the other must not take off it, nor may it lie among something else.
    fn check_legacy_list(&self, config: &LegacyMintConfig) -> Result<(), InvalidValue> {
        let key = "legacy_mint.list";
        let list = self.legacy_list();
        let others = [
            &*self.redis.keyset_key,
            &self.redis.quote_key_prefix,
            &self.redis.dead_letters_list,
        ];
        check_name(list, others).map_err(|message| invalid(key, message))?;
        let Some(requests) = &self.requests else {
            return Ok(());
        };
        let taken_from = &self.redis.requests_list;
        if list == taken_from || list.starts_with(&taken_list(taken_from, "")) {
            return Err(invalid(
                key,
                "[requests] takes from the same list, so requests would go in a circle: name another one, or leave [requests] out where no older pool pushes",
            ));
        }
        if requests.keyset_to_redis && config.keyset_from_redis {
            return Err(invalid(
                "legacy_mint.keyset_from_redis",
                "requests.keyset_to_redis writes the same key: switch one of the two off",
            ));
        }
        Ok(())
    }
}

impl BridgeConfig {
    /// Old mints delete keys under their prefix whose ids they do not know.
    fn check_legacy_prefix(&self) -> Result<(), InvalidValue> {
        let key = "legacy_mint.quote_key_prefix";
        let prefix = self.legacy_quote_key_prefix();
        let others = [
            self.legacy_list(),
            &self.redis.requests_list,
            &self.redis.keyset_key,
            &self.redis.dead_letters_list,
        ];
        check_name(prefix, others).map_err(|message| invalid(key, message))?;
        match self.requests.is_some() && prefix == self.redis.quote_key_prefix {
            false => Ok(()),
            true => Err(invalid(
                key,
                "[requests] writes ids under the same prefix, where an old mint deletes those of others: name another one, \
                 which is that mint's quote_id_prefix",
            )),
        }
    }
}

impl RequestsConfig {
    /// `mint`, read.
    ///
    /// # Errors
    /// It is no peer name, or that of somebody who issues no quotes.
    pub fn peer_name(&self) -> Result<PeerName, InvalidValue> {
        let peer = peer_name("requests.mint", &self.mint)?;
        match peer.role() {
            "mint" | "bridge" => Ok(peer),
            _ => Err(invalid(
                "requests.mint",
                format_args!("{peer} is neither mint/.. nor bridge/.."),
            )),
        }
    }

    /// `default_locking_key`, read.
    ///
    /// # Errors
    /// It is no compressed point on secp256k1.
    pub fn locking_key(&self) -> Result<Option<[u8; 33]>, InvalidValue> {
        let Some(text) = &self.default_locking_key else {
            return Ok(None);
        };
        let wrong = || {
            invalid(
                "requests.default_locking_key",
                format_args!(
                    "{text:?} is no compressed point on secp256k1 (66 hexadecimal digits)"
                ),
            )
        };
        let mut key = [0; 33];
        hex::decode_to_slice(text, &mut key).map_err(|_| wrong())?;
        secp256k1::PublicKey::from_slice(&key).map_err(|_| wrong())?;
        Ok(Some(key))
    }
}

impl LegacyPoolConfig {
    /// `peer`, read.
    ///
    /// # Errors
    /// It is not a peer name.
    pub fn peer_name(&self) -> Result<PeerName, InvalidValue> {
        peer_name("legacy_mint.pool.peer", &self.peer)
    }
}

fn peer_name(key: &'static str, text: &str) -> Result<PeerName, InvalidValue> {
    text.parse()
        .map_err(|error| invalid(key, format_args!("{text:?}: {error}")))
}

/// As entries have it once they were read.
fn unit(key: &'static str, unit: &str) -> Result<(), InvalidValue> {
    let is_unit = |byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_');
    match (1..=32).contains(&unit.len()) && unit.bytes().all(is_unit) {
        true => Ok(()),
        false => Err(invalid(
            key,
            format_args!("{unit:?}: expected 1 to 32 characters out of a-z, 0-9, - and _"),
        )),
    }
}

fn in_range(key: &'static str, value: u64, range: RangeInclusive<u64>) -> Result<(), InvalidValue> {
    match range.contains(&value) {
        true => Ok(()),
        false => Err(invalid(key, format_args!("{value} is not in {range:?}"))),
    }
}

fn invalid(key: &'static str, message: impl std::fmt::Display) -> InvalidValue {
    InvalidValue {
        key,
        message: message.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use winze_transport::SecretKey;

    use super::*;

    const REQUESTS: &str = "[requests]\npublic_key = \"KEY\"\n";
    const LEGACY_MINT: &str =
        "[legacy_mint]\n[[legacy_mint.pool]]\npeer = \"pool/main\"\npublic_key = \"KEY\"\n";

    fn written(tables: &str) -> BridgeConfig {
        let key = SecretKey::generate(&mut rand::rngs::OsRng).public_key();
        let text = format!(
            "secret_key_file = \"identity.key\"\nstore_file = \"bridge.sqlite\"\n\
             [hub]\naddress = \"127.0.0.1:1\"\nauthority = {{ public_key = \"KEY\" }}\n{tables}"
        );
        toml::from_str(&text.replace("KEY", &key.to_string())).expect("it is complete")
    }

    fn problem(tables: &str) -> InvalidValue {
        written(tables).check().expect_err(tables)
    }

    #[test]
    fn each_direction_is_off_until_its_table_is_there_and_one_must_be() {
        assert_eq!(problem("").key, "requests");
        written(REQUESTS).check().expect("one is enough");
        let legacy = written(LEGACY_MINT);
        legacy.check().expect("one is enough");
        assert_eq!(legacy.legacy_list(), "mint:quotes:create");
    }

    #[test]
    fn both_directions_on_one_list_would_go_in_a_circle_and_are_refused() {
        let both = |list: &str| {
            let legacy = LEGACY_MINT.replace("[[", &format!("{list}keyset_from_redis = false\n[["));
            format!("{REQUESTS}{legacy}")
        };
        assert!(problem(&both("")).message.contains("circle"));
        assert!(
            problem(&both("list = \"mint:quotes:create:taken:main\"\n"))
                .message
                .contains("circle")
        );
        let list_alone = both("list = \"mint:quotes:old\"\n");
        assert_eq!(problem(&list_alone).key, "legacy_mint.quote_key_prefix");
        let apart = both("list = \"mint:quotes:old\"\nquote_key_prefix = \"mint:quotes:of-old\"\n");
        written(&apart).check().expect("another list is no circle");
        let keyset = problem(&apart.replace("from_redis = false", "from_redis = true"));
        assert_eq!(keyset.key, "legacy_mint.keyset_from_redis");
    }

    #[test]
    fn what_would_surprise_later_is_refused_at_the_start() {
        let in_requests = |line: &str| format!("{REQUESTS}{line}\n");
        let in_legacy = |line: &str| LEGACY_MINT.replacen('\n', &format!("\n{line}\n"), 1);
        for (tables, key) in [
            (in_requests("mint = \"pool/main\""), "requests.mint"),
            (in_requests("unit = \"HASH\""), "requests.unit"),
            (in_requests("waiting_max = 0"), "requests.waiting_max"),
            (
                in_requests(&format!("default_locking_key = \"02{}\"", "f".repeat(64))),
                "requests.default_locking_key",
            ),
            (in_legacy("list_unit = \"SAT\""), "legacy_mint.list_unit"),
            (in_legacy("list = \"mint:quotes:dead\""), "legacy_mint.list"),
            (
                in_legacy("push_again_after_s = 0"),
                "legacy_mint.push_again_after_s",
            ),
            ("[legacy_mint]\n".to_owned(), "legacy_mint.pool"),
        ] {
            assert_eq!(problem(&tables).key, key, "{tables}");
        }
        let mut as_a_mint = written(REQUESTS);
        as_a_mint.name = "mint-main".to_owned();
        assert_eq!(as_a_mint.check().expect_err("a mint's").key, "name");
    }
}
