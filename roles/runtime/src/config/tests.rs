use rand::rngs::OsRng;
use serde::Deserialize;
use winze_transport::keys::SecretKey;

use super::*;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Example {
    name: String,
    database: ConfigPath,
    #[serde(default)]
    limits: Limits,
    #[serde(default, rename = "peer")]
    peers: Vec<Peer>,
}

#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields, default)]
struct Limits {
    idle_timeout_ms: u64,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
struct Peer {
    name: String,
    #[serde(flatten)]
    key: PublicKeySource,
}

fn load_text(text: &str) -> Result<Example, ConfigError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("example.toml");
    std::fs::write(&path, text).unwrap();
    load_role(&path, "hub")
}

fn refusal(text: &str) -> String {
    let error = load_text(text)
        .expect_err("the file has a mistake")
        .to_string();
    assert!(error.contains("example.toml"), "{error}");
    error[error.find("example.toml").unwrap()..].to_owned()
}

#[test]
fn relative_paths_start_at_the_file_and_keys_come_from_either_place() {
    let folder = tempfile::tempdir().unwrap();
    let key = SecretKey::generate(&mut OsRng).public_key();
    keyfile_write(&folder.path().join("two.pub"), &key);
    let text = format!(
        "name = 'main'\nrole = 'hub'\ndatabase = 'data/hub.db'\nlimits.idle_timeout_ms = 5\n\
         [[peer]]\nname = 'one'\npublic_key = '{key}'\n[[peer]]\nname = 'two'\npublic_key_file = 'two.pub'\n"
    );
    let path = folder.path().join("example.toml");
    std::fs::write(&path, text).unwrap();

    let loaded: Example = load_role(&path, "hub").unwrap();
    assert_eq!(
        (loaded.name.as_str(), loaded.limits.idle_timeout_ms),
        ("main", 5)
    );
    assert_eq!(loaded.database.as_path(), folder.path().join("data/hub.db"));
    assert_eq!(
        loaded
            .peers
            .iter()
            .map(|peer| peer.name.as_str())
            .collect::<Vec<_>>(),
        ["one", "two"]
    );
    for peer in &loaded.peers {
        assert_eq!(peer.key.resolve().unwrap(), key);
    }
    assert_eq!(role(&path).unwrap().as_deref(), Some("hub"));
    assert!(matches!(
        load_role::<Example>(&path, "mint"),
        Err(ConfigError::OtherRole { line: 2, .. })
    ));
}

fn keyfile_write(path: &Path, key: &winze_transport::keys::PublicKey) {
    crate::keyfile::write_public(path, key).unwrap();
}

#[test]
fn a_mistake_is_named_by_file_line_and_key() {
    let error = refusal("role = 'hub'\nname = 'x'\ndatabase = 'd'\n[limits]\nidle_timeout = 5\n");
    assert!(
        error.starts_with("example.toml:5: unknown field `idle_timeout`"),
        "{error}"
    );
    let error = refusal("name = 'x'\ndatabase = 'd'\n\n[limits]\nidle_timeout_ms = 'soon'\n");
    assert!(error.starts_with("example.toml:5: invalid type"), "{error}");
    assert!(error.ends_with("(at `limits.idle_timeout_ms`)"), "{error}");
    let error = refusal("name = 'x'\n");
    assert!(error.contains("missing field `database`"), "{error}");
    let error = refusal("name = 'x'\ndatabase = \n");
    assert!(error.starts_with("example.toml:2: "), "{error}");
    let error = refusal("name = 'x'\ndatabase = 'd'\n[[peer]]\nname = 'one'\n");
    assert!(
        error.contains("missing field `public_key` or `public_key_file`"),
        "{error}"
    );
    let error = refusal(
        "name = 'x'\ndatabase = 'd'\n[[peer]]\nname = 'one'\npublic_key_file = 'k'\nsecret = 1\n",
    );
    assert!(error.contains("unknown field `secret`"), "{error}");
}
