//! The pool's configuration.

use std::path::Path;

use winze_pool::PoolConfig;
use winze_runtime::config::{ConfigError, load_role};
use winze_runtime::keyfile;

use super::Findings;

pub(super) fn check(file: &Path) -> Result<Findings, ConfigError> {
    let config: PoolConfig = load_role(file, "pool")?;
    let mut found = Findings::default();
    for problem in config.problems() {
        found.problem(problem.key, problem.message);
    }
    found.log(&config.log);
    found.secret_key("secret_key_file", &config.secret_key_file);
    found.dial("hub.address", &config.hub.address);
    found.public_key("hub.authority", &config.hub.authority);
    found.public_key("mint.public_key", &config.mint.public_key);
    found.listen(&[
        ("listen", config.listen),
        ("http_listen", config.http_listen),
    ]);
    found.server(
        ("static_key_file", config.static_key_file.as_path()),
        ("certificate_file", config.certificate_file.as_path()),
    );
    found.store("store_file", &config.store_file);
    if let Some(node) = &config.bitcoind {
        found.dial("bitcoind.address", &node.address);
        if let Some(file) = &node.cookie_file {
            found.readable("bitcoind.cookie_file", file);
        }
        if let Some(file) = &node.password_file {
            found.look("bitcoind.password_file", keyfile::read_secret_text(file));
        }
    }
    if let Some(redis) = config.redis.as_ref().filter(|redis| redis.check().is_ok()) {
        found.dial("redis.address", &redis.address);
        found.look("redis", redis.open());
        if !config.quote_path.dials_redis() {
            found.warning("redis", "quote_path is \"sv2\": it is not used");
        }
    }
    Ok(found)
}
