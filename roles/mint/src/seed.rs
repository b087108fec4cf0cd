//! The seed that all of the mint's ecash keys are derived from: 32 bytes, in a file of its own.
//!
//! The file holds 64 hexadecimal digits and a newline, and nobody but its owner has access to it (mode 0600; anything
//! laxer is refused). Whoever has it can make ecash of this mint; a mint that lost it can honour none.

use std::path::{Path, PathBuf};

use rand::RngCore;
use winze_runtime::keyfile::{self, KeyFileError};
use zeroize::Zeroizing;

/// The seed's length in bytes: the entropy of 24 BIP39 words.
const SEED_BYTES: usize = 32;

/// A seed in memory. It is wiped when dropped, and is neither shown nor cloned.
pub struct Seed(Zeroizing<[u8; SEED_BYTES]>);

/// Why there is no seed to work with. No variant holds any of a seed's text.
#[derive(Debug, thiserror::Error)]
pub enum SeedError {
    /// The file cannot be read or written, or others have access to it.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// The file does not hold 64 hexadecimal digits.
    #[error("{path}: not a seed: expected 64 hexadecimal digits", path = path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
    },
    /// There is no such file, and the configuration does not allow to make one.
    #[error("{path}: there is no seed; make one with `create_seed = true` for the first start", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// The seed is gone and the ecash store is not: a new seed would make all of its ecash worthless.
    #[error("{seed} is missing, but {store} is there: put the seed back from its backup", seed = seed.display(), store = store.display())]
    Lost {
        /// Where the seed should be.
        seed: PathBuf,
        /// The store whose keys come from it.
        store: PathBuf,
    },
}

impl Seed {
    /// Reads the seed from `path`. If there is none, and only if `create` is set and the ecash `store` does not
    /// exist yet, makes one.
    ///
    /// # Errors
    /// [`SeedError`], each variant as it says.
    pub(crate) fn read_or_create(
        path: &Path,
        store: &Path,
        create: bool,
    ) -> Result<Self, SeedError> {
        if path.exists() {
            return Self::read(path);
        }
        if store.exists() {
            return Err(SeedError::Lost {
                seed: path.to_owned(),
                store: store.to_owned(),
            });
        }
        if !create {
            return Err(SeedError::Missing {
                path: path.to_owned(),
            });
        }
        tracing::info!(path = %path.display(), "making a new seed; keep a backup of this file");
        Self::create(path)
    }

    /// Reads the seed from `path`.
    ///
    /// # Errors
    /// [`SeedError::File`] and [`SeedError::Malformed`].
    pub fn read(path: &Path) -> Result<Self, SeedError> {
        let text = keyfile::read_secret_text(path)?;
        let mut seed = Zeroizing::new([0u8; SEED_BYTES]);
        hex::decode_to_slice(text.as_bytes(), seed.as_mut_slice()).map_err(|_| {
            SeedError::Malformed {
                path: path.to_owned(),
            }
        })?;
        Ok(Self(seed))
    }

    /// Makes a new seed from the system's randomness and writes it to `path` with mode 0600.
    ///
    /// # Errors
    /// [`SeedError::File`]; an existing file is never overwritten.
    pub fn create(path: &Path) -> Result<Self, SeedError> {
        let mut seed = Zeroizing::new([0u8; SEED_BYTES]);
        rand::rngs::OsRng.fill_bytes(seed.as_mut_slice());
        keyfile::write_secret_text(path, &Zeroizing::new(hex::encode(seed.as_slice())))?;
        Ok(Self(seed))
    }

    /// The bytes, for key derivation.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }
}

impl std::fmt::Debug for Seed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Seed(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lost_seed_is_never_replaced_while_its_ecash_is_there() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("seed");
        let store = folder.path().join("ecash.sqlite");
        assert!(matches!(
            Seed::read_or_create(&path, &store, false),
            Err(SeedError::Missing { .. })
        ));
        let made = Seed::read_or_create(&path, &store, true).expect("a first start");
        std::fs::write(&store, b"ecash").expect("writable");
        let again = Seed::read_or_create(&path, &store, true).expect("a second start");
        assert_eq!(made.as_bytes(), again.as_bytes());
        std::fs::remove_file(&path).expect("it was there");
        assert!(matches!(
            Seed::read_or_create(&path, &store, true),
            Err(SeedError::Lost { .. })
        ));
    }

    #[test]
    fn a_damaged_seed_is_refused_and_not_shown() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("seed");
        let digits = hex::encode(Seed::create(&path).expect("a new seed").as_bytes());
        for damaged in [&digits[..63], &digits[..62], &format!("{digits}00"), ""] {
            std::fs::remove_file(&path).expect("it was there");
            keyfile::write_secret_text(&path, damaged).expect("writable");
            let error = Seed::read(&path).expect_err("not a seed");
            assert!(matches!(error, SeedError::Malformed { .. }));
            assert!(damaged.is_empty() || !error.to_string().contains(damaged));
        }
    }
}
