//! The mint's configuration.

use std::path::Path;

use winze_mint::MintConfig;
use winze_runtime::config::{ConfigError, load_role};

use super::Findings;

pub(super) fn check(file: &Path) -> Result<Findings, ConfigError> {
    let config: MintConfig = load_role(file, "mint")?;
    let mut found = Findings::default();
    for problem in config.problems() {
        found.problem(problem.key, problem.message);
    }
    found.log(&config.log);
    if config.pool.is_empty() {
        found.warning("pool", "there are none: nobody may have quotes made");
    }
    found.secret_key("secret_key_file", &config.secret_key_file);
    found.dial("hub.address", &config.hub.address);
    found.public_key("hub.authority", &config.hub.authority);
    found.listen(&[
        ("api_listen", config.api_listen),
        ("http_listen", config.http_listen),
    ]);
    found.store("store_file", &config.store_file);
    found.store("ecash_store_file", &config.ecash_store_file);
    if config.create_seed {
        found.folder_of("seed_file", &config.seed_file);
    } else {
        found.look(
            "seed_file",
            winze_mint::Seed::read(config.seed_file.as_path()),
        );
    }
    for pool in &config.pool {
        found.public_key(
            &format!("pool.public_key of {}", pool.peer),
            &pool.public_key,
        );
    }
    if let Some(redis) = &config.redis {
        found.dial("redis.address", &redis.address);
        found.look("redis", redis.open());
        if config.redis_requests.is_none() {
            found.warning("redis", "there is no [redis_requests]: nothing is taken");
        }
    }
    Ok(found)
}
