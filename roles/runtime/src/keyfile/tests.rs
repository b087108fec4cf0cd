use std::os::unix::fs::PermissionsExt;

use rand::rngs::OsRng;

use super::*;

fn mode_of(path: &Path) -> u32 {
    std::fs::metadata(path).unwrap().mode() & 0o777
}

#[test]
fn an_operator_makes_keys_and_a_server_reads_them() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let authority = SecretKey::generate(&mut OsRng);
    let server = SecretKey::generate(&mut OsRng);
    let certificate = Certificate::sign(&authority, server.public_key(), 1_000, 2_000, &[7; 32]);

    write_secret(at("server.key"), &server).unwrap();
    write_public(at("server.pub"), &server.public_key()).unwrap();
    write_certificate(at("server.cert"), &certificate).unwrap();

    assert_eq!(mode_of(&at("server.key")), 0o600);
    assert_eq!(read_public(at("server.pub")).unwrap(), server.public_key());
    assert_eq!(read_certificate(at("server.cert")).unwrap(), certificate);
    let identity = read_server_identity(at("server.key"), at("server.cert")).unwrap();
    assert_eq!(identity.certificate(), &certificate);

    write_secret(at("other.key"), &authority).unwrap();
    let mismatch = read_server_identity(at("other.key"), at("server.cert"));
    assert!(matches!(mismatch, Err(KeyFileError::Contents { .. })));
}

#[test]
fn a_secret_that_others_can_read_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity.key");
    write_secret(&path, &SecretKey::generate(&mut OsRng)).unwrap();
    for mode in [0o640, 0o604, 0o620, 0o601] {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        let refused = read_secret(&path);
        assert!(matches!(refused, Err(KeyFileError::Exposed { mode: found, .. }) if found == mode));
    }
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    assert!(read_secret(&path).is_ok());
}

#[test]
fn a_key_is_never_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity.key");
    let first = SecretKey::generate(&mut OsRng);
    write_secret(&path, &first).unwrap();
    let second = write_secret(&path, &SecretKey::generate(&mut OsRng));
    assert!(
        matches!(second, Err(KeyFileError::Write { source, .. }) if source.kind() == io::ErrorKind::AlreadyExists)
    );
    assert_eq!(read_secret(&path).unwrap().public_key(), first.public_key());
}

#[test]
fn a_mistyped_secret_is_refused_without_being_shown() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("identity.key");
    let mut text = SecretKey::generate(&mut OsRng).to_text().to_string();
    let last = text.pop().unwrap();
    text.push(if last == 'a' { 'b' } else { 'a' });
    write_secret_text(&path, &text).unwrap();
    let error = read_secret(&path)
        .expect_err("the checksum is wrong")
        .to_string();
    assert!(error.contains("identity.key"), "{error}");
    assert!(!error.contains(&text[..8]), "{error}");

    std::fs::remove_file(&path).unwrap();
    write_secret_text(&path, &"1".repeat(KEY_FILE_BYTES_MAX as usize)).unwrap();
    assert!(matches!(
        read_secret(&path),
        Err(KeyFileError::Contents { .. })
    ));
}
