use winze_messages::PeerName;
use winze_pool::identity::MinerIdentity;
use winze_transport::{Certificate, PublicKey, SecretKey};

/// What people and miners write: keys, names, a certificate's file, a miner's identity. What is read is written again
/// as it was.
pub fn texts(data: &[u8]) {
    if let Some((bytes, _)) = data.split_first_chunk::<32>() {
        if let Ok(key) = PublicKey::from_bytes(*bytes) {
            assert_eq!(key.to_bytes(), *bytes);
            assert_eq!(key.to_string().parse(), Ok(key));
        }
        if let Ok(key) = SecretKey::from_bytes(bytes) {
            let again: SecretKey = key.to_text().parse().expect("it was a key");
            assert_eq!(again.expose_bytes(), bytes);
        }
    }
    if let Ok(miner) = MinerIdentity::parse(data) {
        let worker = miner
            .worker
            .map_or(String::new(), |worker| format!(".{worker}"));
        let again = format!("{}{worker}", miner.locking_key);
        assert!(again.as_bytes().eq_ignore_ascii_case(data), "{again}");
    }
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(key) = text.parse::<PublicKey>() {
        assert_eq!(key.to_string(), text);
    }
    if let Ok(key) = text.parse::<SecretKey>() {
        assert_eq!(*key.to_text(), text);
    }
    if let Ok(name) = text.parse::<PeerName>() {
        assert_eq!(name.to_string(), text);
    }
    if let Ok(certificate) = toml::from_str::<Certificate>(text) {
        let written = toml::to_string(&certificate).expect("it was read from a file");
        assert_eq!(toml::from_str(&written), Ok(certificate.clone()));
        // Whatever it says; that it verifies takes a signature.
        let _ = certificate.verify(&certificate.authority_key, 1_800_000_000);
    }
}
