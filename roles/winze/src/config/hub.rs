//! The hub's configuration.

use std::path::Path;

use winze_hub::HubConfig;
use winze_runtime::config::{ConfigError, load_role};

use super::Findings;

pub(super) fn check(file: &Path) -> Result<Findings, ConfigError> {
    let config: HubConfig = load_role(file, "hub")?;
    let mut found = Findings::default();
    found.listen(&[
        ("listen", config.listen),
        ("http_listen", config.http_listen),
    ]);
    found.server(
        ("static_key_file", config.static_key_file.as_path()),
        ("certificate_file", config.certificate_file.as_path()),
    );
    found.log(&config.log);
    if config.peers.is_empty() {
        found.warning("peers", "there are none: nobody is let in");
    }
    if let Err(invalid) = config.check() {
        for value in invalid.0 {
            found.problem(&value.key, value.message);
        }
    }
    Ok(found)
}
