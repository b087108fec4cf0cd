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
        refused.contains("pool.key") && refused.contains("there already"),
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
        "bridge/identity.key",
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
fn an_authority_that_was_moved_away_is_not_replaced_and_signs_nothing_here() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let init = || winze(&["keys", "init", folder.path().to_str().unwrap()]);
    init().ok();
    let authority = std::fs::read(at("hub/authority.pub")).unwrap();
    std::fs::remove_file(at("hub/authority.key")).unwrap();
    std::fs::remove_file(at("pool/authority.key")).unwrap();
    std::fs::remove_file(at("pool/authority.pub")).unwrap();
    let said = init().ok();
    assert!(
        said.contains("left ") && !said.contains("(secret)"),
        "{said}"
    );
    assert!(!at("hub/authority.key").exists() && !at("pool/authority.key").exists());
    let certificate = keyfile::read_certificate(at("pool/certificate.toml")).unwrap();
    let public = keyfile::read_public(at("pool/authority.pub")).unwrap();
    assert_eq!(public, certificate.authority_key);

    std::fs::remove_file(at("hub/certificate.toml")).unwrap();
    let refused = init().failed(1);
    assert!(refused.contains("winze keys certificate"), "{refused}");
    assert!(!at("hub/authority.key").exists() && !at("hub/certificate.toml").exists());
    assert_eq!(std::fs::read(at("hub/authority.pub")).unwrap(), authority);
}

#[test]
fn files_that_do_not_belong_together_are_all_told_and_nothing_is_made() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let init = || winze(&["keys", "init", folder.path().to_str().unwrap()]);
    init().ok();
    // The mint's public key is another's; the hub's static key and the seed are lost, and there is ecash.
    std::fs::copy(at("pool/identity.pub"), at("mint/identity.pub")).unwrap();
    std::fs::remove_file(at("hub/static.key")).unwrap();
    std::fs::remove_file(at("hub/static.pub")).unwrap();
    std::fs::remove_file(at("mint/seed")).unwrap();
    std::fs::write(at("mint/ecash.sqlite"), "").unwrap();
    std::fs::remove_file(at("pool/certificate.toml")).unwrap();
    let refused = init().failed(1);
    for named in ["mint/identity.key", "hub/static.key", "mint/seed"] {
        assert!(refused.contains(named), "{named}: {refused}");
    }
    assert_eq!(refused.lines().count(), 3, "{refused}");
    assert!(!at("hub/static.key").exists() && !at("mint/seed").exists());
    assert!(!at("pool/certificate.toml").exists(), "{refused}");
}

#[test]
fn a_public_key_that_is_there_is_not_joined_by_the_secret_key_of_another() {
    let folder = tempfile::tempdir().unwrap();
    let key = folder.path().join("pool.key");
    winze(&["keys", "identity", key.to_str().unwrap()]).ok();
    std::fs::remove_file(&key).unwrap();
    let refused = winze(&["keys", "identity", key.to_str().unwrap()]).failed(1);
    assert!(refused.contains("pool.pub: is there already"), "{refused}");
    assert!(!key.exists());

    let authority = folder.path().join("authority.key");
    let authority = authority.to_str().unwrap();
    winze(&["keys", "authority", authority]).ok();
    let refused = winze(&[
        "keys",
        "certificate",
        "--authority",
        authority,
        "--server",
        "bogus",
        folder.path().join("certificate.toml").to_str().unwrap(),
    ])
    .failed(1);
    assert!(refused.contains("--server \"bogus\""), "{refused}");
}

#[test]
fn a_result_that_cannot_be_written_is_an_error_and_no_panic() {
    let folder = tempfile::tempdir().unwrap();
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_winze"))
        .args(["keys", "init"])
        .arg(folder.path())
        .stdout(full)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.starts_with("error: cannot write: "), "{said}");
}

#[test]
fn a_wrong_command_line_is_told_apart_from_a_failure() {
    winze(&["keys", "nonsense"]).failed(2);
    winze(&["keys", "identity"]).failed(2);
    winze(&["keys", "public", "/nowhere/at.key"]).failed(1);
}
