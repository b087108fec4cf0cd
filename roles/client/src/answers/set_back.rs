//! How far the record has come with each peer, and whether it was set back (specification, section
//! 6.1).
//!
//! A peer's word is believed about that peer alone: the pair's keys are symmetric, so nobody can
//! prove that a number was given. Whoever lies stops his own pair.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::limits::STORE_NUMBER_MAX;
use crate::mint_quote::{FarStore, StoreNumbers};
use crate::store::StoreError;

/// A peer that was answered, and how far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredPeer {
    /// Who asks, as `role/name`.
    pub peer: String,
    /// The family, without the channel bit.
    pub extension: u16,
    /// The record's own numbers.
    pub numbers: StoreNumbers,
    /// The last time that the record turned out to be set back, as far as this peer knows.
    pub set_back: Option<SetBack>,
}

/// A peer knows of answers that the record does not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SetBack {
    /// Who says so.
    pub peer: String,
    /// The highest number of an answer to it here, when it was noticed.
    pub own_answers: u64,
    /// The highest that the peer has told.
    pub told_answers: u64,
    /// When it was noticed.
    pub noticed_unix_ms: u64,
    /// When the operator said that new answers may be given again; `None` where not.
    pub accepted_unix_ms: Option<u64>,
}

impl SetBack {
    /// Whether the operator has yet to [`accept`] it: until then nothing new may take effect for
    /// this peer.
    pub fn is_open(&self) -> bool {
        self.accepted_unix_ms.is_none()
    }
}

/// What the numbers of two stores say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compared {
    /// Neither was set back, as far as they can tell.
    Agree,
    /// The peer has forgotten requests that were answered here.
    PeerSetBack {
        /// The highest request that was answered here.
        own_requests: u64,
    },
    /// This record has forgotten answers, and the operator has not said that it may go on.
    SetBack {
        /// The mark, as it is on disk now.
        set_back: SetBack,
        /// This is the comparison that noticed.
        is_new: bool,
    },
}

/// How far the record has come with `peer`.
pub fn numbers(
    connection: &Connection,
    extension: u16,
    peer: &str,
) -> Result<StoreNumbers, StoreError> {
    let found = connection
        .prepare_cached(
            "SELECT last_request, last_sequence FROM answer_peer WHERE extension = ?1 AND peer = ?2",
        )?
        .query_row(params![extension, peer], |row| {
            Ok(StoreNumbers {
                requests: row.get(0)?,
                answers: row.get(1)?,
            })
        })
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// The highest request number that a final answer was given to, in the transaction that records
/// that answer. Lower ones than before change nothing; above [`STORE_NUMBER_MAX`] it is cut.
pub fn note_requests(
    connection: &Connection,
    extension: u16,
    peer: &str,
    requests: u64,
) -> Result<(), StoreError> {
    connection
        .prepare_cached(
            "INSERT INTO answer_peer (extension, peer, last_sequence, last_request)
             VALUES (?1, ?2, 0, ?3)
             ON CONFLICT (extension, peer) DO UPDATE
             SET last_request = max(last_request, excluded.last_request)",
        )?
        .execute(params![extension, peer, requests.min(STORE_NUMBER_MAX)])?;
    Ok(())
}

/// Compares the record with what `peer` tells of its own store, and marks it as set back where it
/// was. To be committed before anything else is done for that peer.
pub fn compare(
    connection: &Connection,
    extension: u16,
    peer: &str,
    far: &FarStore,
    now_unix_ms: u64,
) -> Result<Compared, StoreError> {
    let own = numbers(connection, extension, peer)?;
    let before = set_back(connection, extension, peer)?;
    let told_answers = far.far.answers.min(STORE_NUMBER_MAX);
    let known = before.as_ref().map_or(0, |before| before.told_answers);
    let is_open = before.as_ref().is_some_and(SetBack::is_open);
    if told_answers > own.answers.max(known) {
        connection
            .prepare_cached(
                "INSERT INTO answer_set_back
                 (extension, peer, own_answers, told_answers, noticed_unix_ms, accepted_unix_ms)
                 VALUES (?1, ?2, ?3, ?4, ?5, NULL)
                 ON CONFLICT (extension, peer) DO UPDATE
                 SET told_answers = excluded.told_answers,
                     own_answers = CASE WHEN accepted_unix_ms IS NULL THEN own_answers
                                        ELSE excluded.own_answers END,
                     noticed_unix_ms = CASE WHEN accepted_unix_ms IS NULL THEN noticed_unix_ms
                                            ELSE excluded.noticed_unix_ms END,
                     accepted_unix_ms = NULL",
            )?
            .execute(params![
                extension,
                peer,
                own.answers,
                told_answers,
                now_unix_ms
            ])?;
    }
    match set_back(connection, extension, peer)? {
        Some(set_back) if set_back.is_open() => Ok(Compared::SetBack {
            set_back,
            is_new: !is_open,
        }),
        _ if far.far.requests < far.own_before.requests => Ok(Compared::PeerSetBack {
            own_requests: far.own_before.requests,
        }),
        _ => Ok(Compared::Agree),
    }
}

/// The last time that `peer` knew more than the record, accepted or not.
pub fn set_back(
    connection: &Connection,
    extension: u16,
    peer: &str,
) -> Result<Option<SetBack>, StoreError> {
    Ok(connection
        .prepare_cached(
            "SELECT peer, own_answers, told_answers, noticed_unix_ms, accepted_unix_ms
             FROM answer_set_back WHERE extension = ?1 AND peer = ?2",
        )?
        .query_row(params![extension, peer], read)
        .optional()?)
}

/// Those that the operator has not accepted, by peer.
pub fn set_backs(connection: &Connection, extension: u16) -> Result<Vec<SetBack>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT peer, own_answers, told_answers, noticed_unix_ms, accepted_unix_ms
         FROM answer_set_back WHERE extension = ?1 AND accepted_unix_ms IS NULL ORDER BY peer",
    )?;
    let rows = statement.query_map([extension], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The operator's word that new answers may be given to `peer` again; they are numbered above what
/// it has told. False where nothing waits for that word.
pub fn accept(
    connection: &Connection,
    extension: u16,
    peer: &str,
    now_unix_ms: u64,
) -> Result<bool, StoreError> {
    let accepted = connection
        .prepare_cached(
            "UPDATE answer_set_back SET accepted_unix_ms = ?3
             WHERE extension = ?1 AND peer = ?2 AND accepted_unix_ms IS NULL",
        )?
        .execute(params![extension, peer, now_unix_ms])?;
    Ok(accepted == 1)
}

/// Everybody who was ever answered or has told of answers, by name.
pub fn peers(connection: &Connection) -> Result<Vec<AnsweredPeer>, StoreError> {
    let mut statement = connection.prepare(
        "SELECT peer, extension FROM answer_peer
         UNION SELECT peer, extension FROM answer_set_back ORDER BY peer, extension",
    )?;
    let names = statement
        .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<Vec<(String, u16)>, _>>()?;
    names
        .into_iter()
        .map(|(peer, extension)| {
            Ok(AnsweredPeer {
                numbers: numbers(connection, extension, &peer)?,
                set_back: set_back(connection, extension, &peer)?,
                peer,
                extension,
            })
        })
        .collect()
}

fn read(row: &Row<'_>) -> Result<SetBack, rusqlite::Error> {
    Ok(SetBack {
        peer: row.get(0)?,
        own_answers: row.get(1)?,
        told_answers: row.get(2)?,
        noticed_unix_ms: row.get(3)?,
        accepted_unix_ms: row.get(4)?,
    })
}
