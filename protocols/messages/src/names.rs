//! Who a peer is: its role and its name.

use std::fmt;
use std::str::FromStr;

use thiserror::Error;

use crate::codec::kinds::Name;
use crate::limits::{LABEL_BYTES_MAX, NAME_BYTES_MAX};

/// A role and a name, written `role/name` (section 1.2): `mint/main`. Each is 1 to 32 characters
/// out of `a-z`, `0-9` and `-`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PeerName {
    role: String,
    name: String,
}

impl PeerName {
    /// Fails with a [`NameError`] that says which half is wrong, and how.
    pub fn new(role: &str, name: &str) -> Result<PeerName, NameError> {
        check(Half::Role, role)?;
        check(Half::Name, name)?;
        Ok(PeerName {
            role: role.to_owned(),
            name: name.to_owned(),
        })
    }

    /// What the peer does: `pool`, `mint`, ...
    pub fn role(&self) -> &str {
        &self.role
    }

    /// Which of its role it is.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.role, self.name)
    }
}

impl FromStr for PeerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<PeerName, NameError> {
        let (role, name) = text.split_once('/').ok_or(NameError::NoSlash)?;
        PeerName::new(role, name)
    }
}

/// Whether `label` may tell channels apart: 0..=64 printable ASCII characters.
pub fn is_label(label: &str) -> bool {
    label.len() <= LABEL_BYTES_MAX && label.bytes().all(|byte| matches!(byte, 0x20..=0x7e))
}

fn check(half: Half, text: &str) -> Result<(), NameError> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX {
        return Err(NameError::Length {
            half,
            found_bytes: text.len(),
        });
    }
    match Name::bad_character(text) {
        Some(place) => Err(NameError::Character { half, place }),
        None => Ok(()),
    }
}

/// Which part of a peer name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// In front of the slash.
    Role,
    /// Behind it.
    Name,
}

impl fmt::Display for Half {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Half::Role => "role",
            Half::Name => "name",
        })
    }
}

/// Text that is not a peer name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NameError {
    /// Nothing divides it.
    #[error("a peer name is written role/name, and there is no slash")]
    NoSlash,
    /// A half is empty or too long.
    #[error("{half} has {found_bytes} bytes, expected 1..={NAME_BYTES_MAX}")]
    Length {
        /// Which one.
        half: Half,
        /// Its length in bytes.
        found_bytes: usize,
    },
    /// A half has something else than `a-z`, `0-9` and `-`.
    #[error("{half} has a character outside a-z, 0-9 and - at byte {place}")]
    Character {
        /// Which one.
        half: Half,
        /// Place of the first such byte in it, from 0.
        place: usize,
    },
}
