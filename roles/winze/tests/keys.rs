//! Keys as an operator makes them, with the real binary.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use support::winze;
use winze_runtime::clock::now_unix_s_u32;
use winze_runtime::keyfile;

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn an_authority_certifies_a_server_without_seeing_its_secret() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let authority = winze(&["keys", "authority", &at("authority.key")]).ok();
    let server = winze(&["keys", "identity", &at("static.key")]).ok();
    assert!(
        authority.trim().starts_with('9') && authority.trim().len() == 51,
        "{authority}"
    );
    assert_eq!(winze(&["keys", "public", &at("static.key")]).ok(), server);

    let days = ["--days", "2", "--authority", &at("authority.key")];
    winze(
        &[
            &["keys", "certificate"],
            &days[..],
            &["--server", server.trim(), &at("one.toml")],
        ]
        .concat(),
    )
    .ok();
    winze(
        &[
            &["keys", "certificate"],
            &days[..],
            &["--server", &at("static.pub"), &at("two.toml")],
        ]
        .concat(),
    )
    .ok();

    for name in ["one.toml", "two.toml"] {
        let identity = keyfile::read_server_identity(at("static.key"), at(name)).unwrap();
        let authority = authority.trim().parse().unwrap();
        let now_s = now_unix_s_u32();
        identity.certificate().verify(&authority, now_s).unwrap();
        assert!(
            identity
                .certificate()
                .verify(&authority, now_s + 3 * 86_400)
                .is_err()
        );
    }
    assert_eq!(mode_of(Path::new(&at("authority.key"))), 0o600);
}

#[test]
fn nothing_is_overwritten_and_an_exposed_secret_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("pool.key");
    let key_text = key.to_str().unwrap();
    let public = winze(&["keys", "identity", key_text]).ok();

    let refused = winze(&["keys", "identity", key_text]).failed(1);
    assert!(
        refused.contains("pool.key") && refused.contains("exists"),
        "{refused}"
    );
    assert_eq!(winze(&["keys", "public", key_text]).ok(), public);
    winze(&[
        "keys",
        "identity",
        folder.path().join("pool.pub").to_str().unwrap(),
    ])
    .failed(1);

    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o640)).unwrap();
    let refused = winze(&["keys", "public", key_text]).failed(1);
    assert!(refused.contains("mode 0640"), "{refused}");
}

#[test]
fn init_run_again_makes_only_what_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("winze-data");
    let data_text = data.to_str().unwrap();
    let first = winze(&["keys", "init", data_text]).ok();
    assert!(!first.contains("kept"), "{first}");
    for secret in [
        "hub/authority.key",
        "hub/static.key",
        "pool/identity.key",
        "mint/identity.key",
        "mint/seed",
    ] {
        assert_eq!(mode_of(&data.join(secret)), 0o600, "{secret}");
        let text = std::fs::read_to_string(data.join(secret)).unwrap();
        assert!(!first.contains(text.trim()), "a secret was printed");
    }
    let seed = std::fs::read(data.join("mint/seed")).unwrap();
    let hub_key = keyfile::read_public(data.join("hub/static.pub")).unwrap();

    std::fs::remove_file(data.join("hub/certificate.toml")).unwrap();
    let second = winze(&["keys", "init", data_text, "--days", "30"]).ok();
    let made: Vec<&str> = second
        .lines()
        .filter(|line| line.starts_with("made"))
        .collect();
    assert_eq!(made.len(), 1, "{second}");
    assert!(made[0].contains("hub/certificate.toml"), "{second}");
    assert_eq!(std::fs::read(data.join("mint/seed")).unwrap(), seed);
    let identity = keyfile::read_server_identity(
        data.join("hub/static.key"),
        data.join("hub/certificate.toml"),
    )
    .unwrap();
    assert_eq!(identity.certificate().static_key, hub_key);
}

#[test]
fn a_wrong_command_line_is_told_apart_from_a_failure() {
    winze(&["keys", "nonsense"]).failed(2);
    winze(&["keys", "identity"]).failed(2);
    winze(&["keys", "public", "/nowhere/at.key"]).failed(1);
}
