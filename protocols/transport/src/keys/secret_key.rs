use std::fmt;
use std::str::FromStr;

use rand::{CryptoRng, RngCore};
use secp256k1::{Keypair, Message, Parity, SECP256K1, ecdh};
use zeroize::{Zeroize, Zeroizing};

use super::{KeyError, PublicKey, base58check};

/// A secret key of secp256k1: an authority's, a server's static key, or a client's identity.
///
/// Wiped when dropped, not `Clone` (share it in an `Arc`), and `Debug` shows its public key
/// alone. On the heap, so that moving it leaves no copy behind.
pub struct SecretKey {
    scalar: Box<Zeroizing<[u8; 32]>>,
    public_key: PublicKey,
}

impl SecretKey {
    /// A fresh key whose point has an even y coordinate, as the Sv2 reference crates make them.
    /// Takes 32 bytes from `rng`, and again in the 2^-128 case that they are not a key.
    pub fn generate(rng: &mut (impl RngCore + CryptoRng)) -> SecretKey {
        loop {
            let mut candidate = Zeroizing::new([0; 32]);
            rng.fill_bytes(&mut candidate[..]);
            let Ok(mut scalar) = secp256k1::SecretKey::from_slice(&candidate[..]) else {
                continue;
            };
            if scalar.x_only_public_key(SECP256K1).1 == Parity::Odd {
                let mut negated = scalar.negate();
                candidate.copy_from_slice(negated.as_ref());
                negated.non_secure_erase();
            }
            scalar.non_secure_erase();
            return SecretKey::from_bytes(&candidate).expect("a key's negation is a key");
        }
    }

    /// Fails with [`KeyError::OutOfRange`]. The bytes are kept as they are, whatever the parity
    /// of their point; none of the operations here depends on it.
    pub fn from_bytes(bytes: &[u8; 32]) -> Result<SecretKey, KeyError> {
        let mut scalar =
            secp256k1::SecretKey::from_slice(bytes).map_err(|_| KeyError::OutOfRange)?;
        let (public_key, _) = scalar.x_only_public_key(SECP256K1);
        scalar.non_secure_erase();
        Ok(SecretKey {
            scalar: Box::new(Zeroizing::new(*bytes)),
            public_key: public_key.into(),
        })
    }

    /// The key that others know this one by.
    pub fn public_key(&self) -> PublicKey {
        self.public_key
    }

    /// Signs 32 bytes, in practice a tagged hash (BIP 340). `aux_rand` is fresh randomness; the
    /// signature stays safe when it is not, and is the same each time for the same input.
    pub fn sign_schnorr(&self, message: &[u8; 32], aux_rand: &[u8; 32]) -> [u8; 64] {
        let mut scalar = self.to_scalar();
        let mut keypair = Keypair::from_secret_key(SECP256K1, &scalar);
        let signature = SECP256K1.sign_schnorr_with_aux_rand(
            &Message::from_digest(*message),
            &keypair,
            aux_rand,
        );
        keypair.non_secure_erase();
        scalar.non_secure_erase();
        signature.serialize()
    }

    /// The x coordinate of the point that both sides reach by Diffie-Hellman, big-endian. The
    /// same on both sides whatever the parity of their keys. Not uniform: derive keys from it
    /// with a KDF, never use it as one.
    pub fn ecdh(&self, peer: &PublicKey) -> Zeroizing<[u8; 32]> {
        let mut scalar = self.to_scalar();
        let point = peer.to_x_only().public_key(Parity::Even);
        let mut xy = ecdh::shared_secret_point(&point, &scalar);
        scalar.non_secure_erase();
        let mut x = Zeroizing::new([0; 32]);
        x.copy_from_slice(&xy[..32]);
        xy.zeroize();
        x
    }

    /// The text that [`FromStr`] reads: base58check of the 32 bytes.
    pub fn to_text(&self) -> Zeroizing<String> {
        base58check::encode(&self.scalar)
    }

    /// The secret itself, for a file that only its owner can read or for a library that needs
    /// the raw key. Whoever calls this wipes the copies that it makes.
    pub fn expose_bytes(&self) -> &[u8; 32] {
        &self.scalar
    }

    /// The curve library's form. It is `Copy` and not wiped on drop: the caller erases it.
    pub(crate) fn to_scalar(&self) -> secp256k1::SecretKey {
        secp256k1::SecretKey::from_slice(&self.scalar[..])
            .expect("every constructor checks that it is in range")
    }
}

impl FromStr for SecretKey {
    type Err = KeyError;

    fn from_str(text: &str) -> Result<SecretKey, KeyError> {
        SecretKey::from_bytes(&*base58check::decode(text)?)
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretKey")
            .field("public_key", &self.public_key)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys::verify_schnorr;

    /// The authority that the Sv2 reference crates use in their own tests.
    const SECRET_TEXT: &str = "mkDLTBBRxdBv998612qipDYoTK3YUrqLe8uWw7gu3iXbSrn2n";
    const PUBLIC_TEXT: &str = "9auqWEzQDVyd2oe1JVGFLMLHZtCo2FFqZwtKA5gd9xbuEu7PH72";

    #[test]
    fn an_authority_made_by_the_reference_tools_loads_and_signs() {
        let key: SecretKey = SECRET_TEXT.parse().unwrap();
        assert_eq!(key.public_key().to_string(), PUBLIC_TEXT);
        assert_eq!(key.to_text().as_str(), SECRET_TEXT);

        let signature = key.sign_schnorr(&[3; 32], &[4; 32]);
        assert!(verify_schnorr(&key.public_key(), &[3; 32], &signature));
        assert!(!verify_schnorr(&key.public_key(), &[5; 32], &signature));
    }

    #[test]
    fn both_sides_reach_one_secret_also_with_keys_of_odd_parity() {
        // Of a key and its negation one has an odd point; both have one public key.
        let alice: SecretKey = SECRET_TEXT.parse().unwrap();
        let mirrored = SecretKey::from_bytes(alice.to_scalar().negate().as_ref()).unwrap();
        let bob = SecretKey::from_bytes(&[9; 32]).unwrap();
        assert_eq!(alice.public_key(), mirrored.public_key());

        let shared = bob.ecdh(&alice.public_key());
        assert_eq!(alice.ecdh(&bob.public_key()), shared);
        assert_eq!(mirrored.ecdh(&bob.public_key()), shared);
    }

    #[test]
    fn zero_and_the_group_order_are_no_keys() {
        let order = secp256k1::constants::CURVE_ORDER;
        for bytes in [[0; 32], order, [0xff; 32]] {
            assert_eq!(
                SecretKey::from_bytes(&bytes).err(),
                Some(KeyError::OutOfRange)
            );
        }
    }

    #[test]
    fn neither_debug_nor_an_error_shows_the_secret() {
        let key = SecretKey::from_bytes(&[0x5a; 32]).unwrap();
        let shown = format!("{key:?} {key:#?}");
        assert!(!shown.contains(key.to_text().as_str()), "{shown}");
        assert!(
            !shown.contains("5a5a") && !shown.contains("90, 90"),
            "{shown}"
        );

        // One character too many: the text is most of a secret.
        let mistyped = format!("{SECRET_TEXT}n");
        let error = mistyped.parse::<SecretKey>().unwrap_err();
        assert!(!format!("{error} {error:?}").contains("mkDLT"));
    }
}
