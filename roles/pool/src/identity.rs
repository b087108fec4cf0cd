//! Who a mining channel works for.

use std::fmt;

use bitcoin::secp256k1;
use thiserror::Error;

use crate::limits::WORKER_BYTES_MAX;

/// A compressed secp256k1 key that quotes are locked to (NUT-20). Always a point on the curve.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockingKey([u8; 33]);

impl LockingKey {
    /// Reads 66 hex digits, upper or lower case.
    pub fn from_hex(text: &str) -> Result<LockingKey, IdentityError> {
        if text.len() != 66 {
            return Err(IdentityError::KeyLength {
                characters: text.len(),
            });
        }
        let mut bytes = [0; 33];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| IdentityError::KeyNotHex)?;
        LockingKey::from_bytes(&bytes)
    }

    /// Takes 33 bytes: 0x02 or 0x03, then the x coordinate, big-endian.
    pub fn from_bytes(bytes: &[u8; 33]) -> Result<LockingKey, IdentityError> {
        // This parser takes the uncompressed and hybrid forms too; 33 bytes leave the compressed
        // one alone, and with it the prefixes 0x02 and 0x03.
        secp256k1::PublicKey::from_slice(bytes).map_err(|_| IdentityError::KeyNotOnCurve)?;
        Ok(LockingKey(*bytes))
    }

    /// The 33 bytes.
    pub fn as_bytes(&self) -> &[u8; 33] {
        &self.0
    }
}

impl fmt::Display for LockingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for LockingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// What `user_identity` says when a channel is opened: `<locking key, 66 hex digits>[.worker]`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MinerIdentity {
    /// The quotes of the channel are locked to this key.
    pub locking_key: LockingKey,
    /// The miner's name for the machine: printable ASCII without blanks, 1 to
    /// [`WORKER_BYTES_MAX`] bytes. Only for the records.
    pub worker: Option<String>,
}

impl MinerIdentity {
    /// Reads the bytes of a `user_identity`, as a miner sent them.
    pub fn parse(bytes: &[u8]) -> Result<MinerIdentity, IdentityError> {
        let text = std::str::from_utf8(bytes).map_err(|_| IdentityError::NotText)?;
        let (key, worker) = match text.split_once('.') {
            Some((key, worker)) => (key, Some(worker)),
            None => (text, None),
        };
        let locking_key = LockingKey::from_hex(key)?;
        if let Some(worker) = worker {
            let printable = worker.bytes().all(|byte| byte.is_ascii_graphic());
            if worker.is_empty() || worker.len() > WORKER_BYTES_MAX || !printable {
                return Err(IdentityError::Worker);
            }
        }
        Ok(MinerIdentity {
            locking_key,
            worker: worker.map(str::to_owned),
        })
    }
}

/// Why a `user_identity`, or a locking key in a URL, names nobody. It is the miner's mistake.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdentityError {
    /// The bytes are not UTF-8.
    #[error("the user identity is not text")]
    NotText,
    /// The part before the dot has another length than a compressed key in hex.
    #[error("a locking key has 66 hex digits, this has {characters} characters")]
    KeyLength {
        /// How many there are.
        characters: usize,
    },
    /// A character is not a hex digit.
    #[error("a locking key has hex digits only")]
    KeyNotHex,
    /// Not 0x02 or 0x03 in front, or no point with that x coordinate.
    #[error("the locking key is not a compressed point of secp256k1")]
    KeyNotOnCurve,
    /// See [`MinerIdentity::worker`].
    #[error("the worker name is empty, too long or not printable ASCII")]
    Worker,
}

#[cfg(test)]
mod tests {
    use super::*;

    const GENERATOR: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

    #[test]
    fn a_miner_is_its_key_and_may_name_a_worker() {
        let alone = MinerIdentity::parse(GENERATOR.as_bytes()).unwrap();
        assert_eq!(alone.locking_key.to_string(), GENERATOR);
        assert_eq!(alone.worker, None);

        let named = MinerIdentity::parse(format!("{GENERATOR}.shed.rig-7").as_bytes()).unwrap();
        assert_eq!(named.worker.as_deref(), Some("shed.rig-7"));

        let upper = MinerIdentity::parse(GENERATOR.to_uppercase().as_bytes()).unwrap();
        assert_eq!(upper.locking_key, alone.locking_key);
    }

    #[test]
    fn what_is_not_a_key_is_refused_for_what_it_is() {
        let parse = |text: &str| MinerIdentity::parse(text.as_bytes());
        assert_eq!(
            parse("alice"),
            Err(IdentityError::KeyLength { characters: 5 })
        );
        assert_eq!(
            parse(&GENERATOR.replace("79", "zz")),
            Err(IdentityError::KeyNotHex)
        );
        // The x-only form, the hybrid prefix, and an x without a point.
        assert_eq!(
            parse(&GENERATOR[2..]),
            Err(IdentityError::KeyLength { characters: 64 })
        );
        assert_eq!(
            parse(&format!("06{}", &GENERATOR[2..])),
            Err(IdentityError::KeyNotOnCurve)
        );
        assert_eq!(
            parse(&format!("02{:064x}", 5)),
            Err(IdentityError::KeyNotOnCurve)
        );
        assert_eq!(parse(&format!("{GENERATOR}.")), Err(IdentityError::Worker));
        assert_eq!(
            parse(&format!("{GENERATOR}.a\nb")),
            Err(IdentityError::Worker)
        );
        assert_eq!(
            MinerIdentity::parse(&[0xff; 66]),
            Err(IdentityError::NotText)
        );
    }
}
