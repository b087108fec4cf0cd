//! Paths in a configuration file.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Deserializer, Serialize};

/// A path from a configuration file, already resolved: a relative one is taken from the folder of the file that
/// names it, so that a process finds its files whatever folder it is started in.
///
/// Deserialised outside [`super::load`] (a test, a default), it stays as it is written.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct ConfigPath(PathBuf);

thread_local! {
    // serde hands no context down to a field, and a file is parsed on one thread from start to end.
    static BASE: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// Runs `parse` while relative paths are taken from `base`.
pub(super) fn with_base<T>(base: PathBuf, parse: impl FnOnce() -> T) -> T {
    struct Restore(Option<PathBuf>);
    impl Drop for Restore {
        fn drop(&mut self) {
            BASE.set(self.0.take());
        }
    }
    let _restore = Restore(BASE.replace(Some(base)));
    parse()
}

impl ConfigPath {
    /// A path made by the program itself; nothing is resolved.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        ConfigPath(path.into())
    }

    /// The path to use.
    pub fn as_path(&self) -> &Path {
        &self.0
    }
}

impl AsRef<Path> for ConfigPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

impl From<PathBuf> for ConfigPath {
    fn from(path: PathBuf) -> Self {
        ConfigPath(path)
    }
}

impl std::fmt::Display for ConfigPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.display().fmt(f)
    }
}

impl<'de> Deserialize<'de> for ConfigPath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let written = PathBuf::deserialize(deserializer)?;
        if written.as_os_str().is_empty() {
            return Err(serde::de::Error::custom("an empty path"));
        }
        // Joining an absolute path yields that path.
        Ok(ConfigPath(BASE.with_borrow(|base| match base {
            Some(base) => base.join(&written),
            None => written,
        })))
    }
}
