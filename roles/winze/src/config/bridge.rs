//! The bridge's configuration.

use std::path::Path;

use winze_bridge::BridgeConfig;
use winze_runtime::config::{ConfigError, load_role};

use super::Findings;

pub(super) fn check(file: &Path) -> Result<Findings, ConfigError> {
    let config: BridgeConfig = load_role(file, "bridge")?;
    let mut found = Findings::default();
    for problem in config.problems() {
        found.problem(problem.key, problem.message);
    }
    found.log(&config.log);
    found.secret_key("secret_key_file", &config.secret_key_file);
    found.dial("hub.address", &config.hub.address);
    found.public_key("hub.authority", &config.hub.authority);
    found.listen(&[("http_listen", config.http_listen)]);
    found.store("store_file", &config.store_file);
    found.dial("redis.address", &config.redis.address);
    found.look("redis", config.redis.open());
    if let Some(requests) = &config.requests {
        found.public_key("requests.public_key", &requests.public_key);
    }
    for pool in config.legacy_mint.iter().flat_map(|it| &it.pool) {
        found.public_key(
            &format!("legacy_mint.pool.public_key of {}", pool.peer),
            &pool.public_key,
        );
    }
    Ok(found)
}
