use std::ffi::OsString;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::StoreError;

/// An advisory lock on `<file>.lock`, held while this lives. The kernel gives it back when the
/// process dies, however it dies; the empty file stays.
pub(super) struct FileLock {
    _file: File,
}

impl FileLock {
    /// `path` without symbolic links, so that two names of one file meet at one lock.
    pub(super) fn take(path: &Path) -> Result<FileLock, StoreError> {
        let mut lock_path = OsString::from(path);
        lock_path.push(".lock");
        let lock_path = PathBuf::from(lock_path);
        let file_error = |source| StoreError::File {
            path: lock_path.clone(),
            source: Arc::new(source),
        };
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&lock_path)
            .map_err(file_error)?;
        match file.try_lock() {
            Ok(()) => Ok(FileLock { _file: file }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse {
                path: path.to_owned(),
            }),
            Err(TryLockError::Error(source)) => Err(file_error(source)),
        }
    }
}
