//! The `[redis]` table of a role's configuration.

use std::fs::File;
use std::io::Read;
use std::net::IpAddr;
use std::path::PathBuf;

use redis::{ConnectionAddr, IntoConnectionInfo, RedisConnectionInfo, TlsCertificates};
use serde::Deserialize;
use winze_legacy::keys;
use winze_runtime::config::ConfigPath;
use winze_runtime::keyfile::{self, KeyFileError};

use crate::intake::taken_list;
use crate::lane::Redis;
use crate::limits::{NAME_BYTES_MAX, QUOTE_KEPT_S};

/// Where Redis is, who asks, and what its keys are called. Redis 7.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisConfig {
    /// `host:port`.
    #[serde(default = "default_address")]
    pub address: String,
    /// The user of an access control list; without one, Redis's `default`.
    #[serde(default)]
    pub username: Option<String>,
    /// The file that holds the password, mode 0600.
    #[serde(default)]
    pub password_file: Option<ConfigPath>,
    /// Which database, 0 and up.
    #[serde(default)]
    pub database: u16,
    /// With this table the connection is encrypted; without it, it is not.
    #[serde(default)]
    pub tls: Option<RedisTls>,
    /// The list of quote requests.
    #[serde(default = "default_requests")]
    pub requests_list: String,
    /// What stands before `:<header hash>` in the key of a quote's id.
    #[serde(default = "default_quote_prefix")]
    pub quote_key_prefix: String,
    /// How long such a key is kept, in seconds, 3600 to 315360000; 0 is for ever.
    #[serde(default = "default_quote_kept")]
    pub quote_kept_s: u64,
    /// The key of the active keyset.
    #[serde(default = "default_keyset")]
    pub keyset_key: String,
    /// The list of entries that were no requests, each with its reason.
    #[serde(default = "default_dead_letters")]
    pub dead_letters_list: String,
}

/// How the connection is encrypted.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RedisTls {
    /// The certificates, as PEM, that vouch for the server; without it, those that this machine trusts.
    #[serde(default)]
    pub ca_file: Option<ConfigPath>,
}

/// Why the table cannot be used. No variant holds the password.
#[derive(Debug, thiserror::Error)]
pub enum RedisSetupError {
    /// A value is not what it should be.
    #[error("redis.{key}: {message}")]
    Value {
        /// Its name.
        key: &'static str,
        /// What is wrong.
        message: String,
    },
    /// The password cannot be read.
    #[error("redis.password_file: {0}")]
    Password(#[from] KeyFileError),
    /// The certificates cannot be read.
    #[error("redis.tls.ca_file: {path}: {problem}", path = path.display())]
    Certificates {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        problem: String,
    },
}

impl RedisSetupError {
    /// What is wrong, for whoever names the table `redis` before it.
    pub fn within_table(&self) -> String {
        let whole = self.to_string();
        match whole.strip_prefix("redis.") {
            Some(rest) => rest.to_owned(),
            None => whole,
        }
    }
}

impl Default for RedisConfig {
    fn default() -> RedisConfig {
        RedisConfig {
            address: default_address(),
            username: None,
            password_file: None,
            database: 0,
            tls: None,
            requests_list: default_requests(),
            quote_key_prefix: default_quote_prefix(),
            quote_kept_s: default_quote_kept(),
            keyset_key: default_keyset(),
            dead_letters_list: default_dead_letters(),
        }
    }
}

impl RedisConfig {
    /// Looks at the values alone: no file is opened, and Redis is not asked.
    ///
    /// # Errors
    /// [`RedisSetupError::Value`], with the first one that is wrong.
    pub fn check(&self) -> Result<(), RedisSetupError> {
        self.host_and_port()?;
        let names = [
            ("requests_list", &self.requests_list),
            ("quote_key_prefix", &self.quote_key_prefix),
            ("keyset_key", &self.keyset_key),
            ("dead_letters_list", &self.dead_letters_list),
        ];
        for (at, (key, name)) in names.iter().enumerate() {
            let others = names.iter().skip(at + 1);
            check_name(name, others.map(|(_, other)| other.as_str()))
                .map_err(|message| value(key, message))?;
            // Whoever takes from the list would else find there what he has written himself.
            if name.starts_with(&taken_list(&self.requests_list, "")) {
                let message = "begins as the lists of what was taken off requests_list do";
                return Err(value(key, message));
            }
        }
        if self.quote_kept_s != 0 && !QUOTE_KEPT_S.contains(&self.quote_kept_s) {
            let message =
                format_args!("{} is neither 0 nor in {QUOTE_KEPT_S:?}", self.quote_kept_s);
            return Err(value("quote_kept_s", message));
        }
        if self.username.is_some() && self.password_file.is_none() {
            return Err(value("username", "needs password_file"));
        }
        Ok(())
    }

    /// Reads what the table names; Redis itself is asked later ([`Redis::greet`]).
    ///
    /// # Errors
    /// [`RedisSetupError`].
    pub fn open(&self) -> Result<Redis, RedisSetupError> {
        self.check()?;
        let (host, port) = self.host_and_port()?;
        if self.password_file.is_some() && self.tls.is_none() && !is_loopback(&host) {
            tracing::warn!(
                address = self.address,
                "the password goes over the network in the clear: [redis.tls] is not there"
            );
        }
        let mut login = RedisConnectionInfo::default().set_db(self.database.into());
        if let Some(username) = &self.username {
            login = login.set_username(username);
        }
        if let Some(file) = &self.password_file {
            // The library keeps a copy of its own for the next connections.
            let password = keyfile::read_secret_text(file)?;
            login = login.set_password(password.as_str());
        }
        let unusable = |error: redis::RedisError| value("address", error);
        let client = match &self.tls {
            None => {
                let info = ConnectionAddr::Tcp(host, port).into_connection_info();
                redis::Client::open(info.map_err(unusable)?.set_redis_settings(login))
            }
            Some(tls) => {
                // A second one in the process is refused, and does no harm.
                let _ = rustls::crypto::ring::default_provider().install_default();
                let address = ConnectionAddr::TcpTls {
                    host,
                    port,
                    insecure: false,
                    tls_params: None,
                };
                let info = address.into_connection_info().map_err(unusable)?;
                let certificates = TlsCertificates {
                    client_tls: None,
                    root_cert: tls.ca_file.as_ref().map(read_certificates).transpose()?,
                };
                redis::Client::build_with_tls(info.set_redis_settings(login), certificates)
            }
        };
        Ok(Redis::new(client.map_err(unusable)?, self.address.clone()))
    }

    fn host_and_port(&self) -> Result<(String, u16), RedisSetupError> {
        // Neither a path nor a login: this stands in logs and in /health, and so must no password.
        let is_of_host = |c: char| c.is_ascii_alphanumeric() || "-._:[]%".contains(c);
        if !self.address.chars().all(is_of_host) {
            let message = "is not host:port; a user and a password have keys of their own, username and password_file";
            return Err(value("address", message));
        }
        let wrong = || {
            value(
                "address",
                format_args!("{:?} is not host:port", self.address),
            )
        };
        let (host, port) = self.address.rsplit_once(':').ok_or_else(wrong)?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        match port.parse() {
            Ok(port) if port > 0 && !host.is_empty() => Ok((host.to_owned(), port)),
            _ => Err(wrong()),
        }
    }
}

fn is_loopback(host: &str) -> bool {
    host == "localhost" || host.parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
}

/// Whether a list or a key can be called `name` where there are `others`.
///
/// # Errors
/// What is wrong with it.
pub fn check_name<'a>(name: &str, others: impl IntoIterator<Item = &'a str>) -> Result<(), String> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(format!("expected 1 to {NAME_BYTES_MAX} bytes"));
    }
    match others.into_iter().any(|other| other == name) {
        true => Err("is the name of something else, too".to_owned()),
        false => Ok(()),
    }
}

fn read_certificates(path: &ConfigPath) -> Result<Vec<u8>, RedisSetupError> {
    /// Far more than a bundle of a system's authorities has.
    const BYTES_MAX: u64 = 4 * 1024 * 1024;
    let failed = |problem: String| RedisSetupError::Certificates {
        path: path.as_path().to_owned(),
        problem,
    };
    let file = File::open(path.as_path()).map_err(|error| failed(error.to_string()))?;
    let mut pem = Vec::new();
    file.take(BYTES_MAX + 1)
        .read_to_end(&mut pem)
        .map_err(|error| failed(error.to_string()))?;
    if pem.len() as u64 > BYTES_MAX {
        return Err(failed(format!("over {BYTES_MAX} bytes long")));
    }
    if !String::from_utf8_lossy(&pem).contains("-----BEGIN CERTIFICATE-----") {
        return Err(failed("holds no certificate (PEM)".to_owned()));
    }
    Ok(pem)
}

fn value(key: &'static str, message: impl std::fmt::Display) -> RedisSetupError {
    RedisSetupError::Value {
        key,
        message: message.to_string(),
    }
}

fn default_address() -> String {
    "127.0.0.1:6379".to_owned()
}

fn default_requests() -> String {
    keys::REQUESTS.to_owned()
}

fn default_quote_prefix() -> String {
    keys::QUOTE_PREFIX.to_owned()
}

fn default_quote_kept() -> u64 {
    7 * 24 * 3_600
}

fn default_keyset() -> String {
    keys::KEYSET.to_owned()
}

fn default_dead_letters() -> String {
    "mint:quotes:dead".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(change: impl FnOnce(&mut RedisConfig)) -> String {
        let mut config = RedisConfig::default();
        change(&mut config);
        config.check().expect_err("it cannot be used").to_string()
    }

    #[test]
    fn a_password_in_the_address_is_refused_and_not_told() {
        for address in [
            "redis://:hunter2@host:6379",
            ":hunter2@host:6379",
            "/run/hunter2.sock:1",
            "host:6379/hunter2:1",
        ] {
            let error = refused(|config| config.address = address.to_owned());
            assert!(
                error.starts_with("redis.address") && !error.contains("hunter2"),
                "{error}"
            );
        }
        for address in ["redis.example.org:6379", "[::1]:6379", "10.0.0.1:1"] {
            let config = RedisConfig {
                address: address.to_owned(),
                ..RedisConfig::default()
            };
            config.check().expect(address);
        }
    }

    #[test]
    fn dead_letters_are_not_put_where_a_taker_looks_first() {
        let error =
            refused(|config| config.dead_letters_list = "mint:quotes:create:taken:main".to_owned());
        assert!(error.starts_with("redis.dead_letters_list"), "{error}");
        let error =
            refused(|config| config.keyset_key = "mint:quotes:create:taken:main:owner".to_owned());
        assert!(error.starts_with("redis.keyset_key"), "{error}");
    }

    #[test]
    fn keys_of_ids_are_kept_for_longer_than_a_look_and_no_longer_than_redis_can() {
        for kept_s in [1, 3_599, u64::MAX] {
            let error = refused(|config| config.quote_kept_s = kept_s);
            assert!(error.starts_with("redis.quote_kept_s"), "{error}");
        }
    }
}
