//! The mint's configuration.

use std::path::Path;

use winze_mint::MintConfig;
use winze_runtime::config::{ConfigError, load_role};

use super::Findings;

pub(super) fn check(file: &Path) -> Result<Findings, ConfigError> {
    let config: MintConfig = load_role(file, "mint")?;
    let mut found = Findings::default();
    if let Err(error) = config.check() {
        found.problem(error.key, error.message);
    }
    found.secret_key("secret_key_file", &config.secret_key_file);
    found.dial("hub.address", &config.hub.address);
    found.public_key("hub.authority", &config.hub.authority);
    found.listen(&[
        ("api_listen", config.api_listen),
        ("http_listen", config.http_listen),
    ]);
    found.folder_of("store_file", &config.store_file);
    found.folder_of("ecash_store_file", &config.ecash_store_file);
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
    Ok(found)
}
