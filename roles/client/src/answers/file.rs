//! A record of answers from outside of the role that it belongs to, whether or not that runs.

use std::path::Path;

use rusqlite::{Connection, TransactionBehavior};

use super::{ANSWERS_SCHEMA, AnsweredPeer, accept, peers};
use crate::store::{StoreError, StoreFileError, beside};

const WANTED: &str = "answers: it is not the store file of a role that answers, as a mint's is";

/// A role's SQLite file, opened beside the role.
pub struct AnswersFile {
    connection: Connection,
}

impl AnswersFile {
    /// Opens it to look only: nothing that is done through it changes the file.
    ///
    /// # Errors
    /// [`StoreFileError`].
    pub fn open_read_only(path: &Path) -> Result<AnswersFile, StoreFileError> {
        let connection = beside::open_read_only(path, &ANSWERS_SCHEMA, WANTED)?;
        Ok(AnswersFile { connection })
    }

    /// Opens it to [`Self::accept`]. SQLite's own locks order that with what a running role writes.
    ///
    /// # Errors
    /// [`StoreFileError`].
    pub fn open(path: &Path) -> Result<AnswersFile, StoreFileError> {
        let connection = beside::open(path, &ANSWERS_SCHEMA, WANTED)?;
        Ok(AnswersFile { connection })
    }

    /// Whom the role answers, by name, and how far it has come with each.
    pub fn peers(&self) -> Result<Vec<AnsweredPeer>, StoreError> {
        peers(&self.connection)
    }

    /// The operator's word that new answers may be given again: to `peer`, or to everybody. Gives
    /// the names of those that were waiting for it. A role that runs goes on at once.
    pub fn accept(
        &mut self,
        peer: Option<&str>,
        now_unix_ms: u64,
    ) -> Result<Vec<String>, StoreError> {
        let transaction = self
            .connection
            .transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut accepted = Vec::new();
        for known in peers(&transaction)? {
            if peer.is_none_or(|peer| peer == known.peer)
                && accept(&transaction, known.extension, &known.peer, now_unix_ms)?
            {
                accepted.push(known.peer);
            }
        }
        transaction.commit()?;
        Ok(accepted)
    }
}
