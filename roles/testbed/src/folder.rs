//! The folder of a deployment: temporary, or one that stays.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::error::TestbedError;

#[derive(Debug)]
pub(crate) enum Folder {
    Temporary(TempDir),
    Kept(PathBuf),
}

impl Folder {
    /// A new temporary folder, or `path`, made if missing.
    pub(crate) fn open(path: Option<&Path>) -> Result<Folder, TestbedError> {
        match path {
            Some(path) => {
                std::fs::create_dir_all(path)
                    .map_err(TestbedError::machine(path.display().to_string()))?;
                let path = path
                    .canonicalize()
                    .map_err(TestbedError::machine(path.display().to_string()))?;
                Ok(Folder::Kept(path))
            }
            None => tempfile::Builder::new()
                .prefix("winze-")
                .tempdir()
                .map(Folder::Temporary)
                .map_err(TestbedError::machine("cannot make a temporary folder")),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        match self {
            Folder::Temporary(folder) => folder.path(),
            Folder::Kept(folder) => folder,
        }
    }

    /// From now on it stays.
    pub(crate) fn keep(&mut self) {
        if let Folder::Temporary(folder) = self {
            folder.disable_cleanup(true);
        }
    }

    /// The path of `name` in it.
    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}
