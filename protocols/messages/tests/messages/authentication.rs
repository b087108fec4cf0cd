//! Who can say who they are, and on which connection.

use winze_messages::PeerName;
use winze_messages::authentication::{BadSignature, sign, verify};
use winze_transport::SecretKey;

fn mint() -> SecretKey {
    SecretKey::from_bytes(&[0x32; 32]).unwrap()
}

const TRANSCRIPT: [u8; 32] = [0xaa; 32];

#[test]
fn a_signature_proves_one_key_one_name_and_one_connection() {
    let peer: PeerName = "mint/main".parse().unwrap();
    let proof = sign(&mint(), &TRANSCRIPT, &peer, &[9; 32]);
    assert_eq!(verify(&proof, &TRANSCRIPT), Ok(mint().public_key()));

    assert_eq!(
        verify(&proof, &[0xab; 32]),
        Err(BadSignature),
        "replayed on another connection"
    );
    let mut renamed = proof.clone();
    renamed.name = "other".to_owned();
    assert_eq!(verify(&renamed, &TRANSCRIPT), Err(BadSignature));

    // The same letters, divided otherwise.
    let mut shifted = proof.clone();
    shifted.role = "mintm".to_owned();
    shifted.name = "ain".to_owned();
    assert_eq!(verify(&shifted, &TRANSCRIPT), Err(BadSignature));

    let mut under_another_key = proof.clone();
    under_another_key.public_key = SecretKey::from_bytes(&[0x33; 32])
        .unwrap()
        .public_key()
        .to_bytes();
    assert_eq!(verify(&under_another_key, &TRANSCRIPT), Err(BadSignature));

    let mut no_key_at_all = proof;
    no_key_at_all.public_key = [0xff; 32];
    assert_eq!(verify(&no_key_at_all, &TRANSCRIPT), Err(BadSignature));
}

#[test]
fn a_peer_name_is_read_as_it_is_written() {
    let peer: PeerName = "bridge/redis-2".parse().unwrap();
    assert_eq!((peer.role(), peer.name()), ("bridge", "redis-2"));
    assert_eq!(peer.to_string(), "bridge/redis-2");

    for wrong in [
        "mint",
        "mint/",
        "/main",
        "mint/Main",
        "mint/a/b",
        "mint/m\u{e4}in",
    ] {
        assert!(wrong.parse::<PeerName>().is_err(), "{wrong}");
    }
    assert!(PeerName::new("mint", &"x".repeat(32)).is_ok());
    assert!(PeerName::new("mint", &"x".repeat(33)).is_err());
}
