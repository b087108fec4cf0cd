//! How far the outbox has come with each peer, and whether it, or the peer's store, was set back
//! (specification, section 6.1).

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::row::StoredRow;
use super::{ANSWERED, WAITING, waiting};
use crate::limits::STORE_NUMBER_MAX;
use crate::mint_quote::{FarStore, StoreNumbers};
use crate::sabotage::{Rule, is_broken};
use crate::store::{StoreError, row_checksum};

/// Whose store was set back, as it stands in the table.
const OWN: u8 = 0;
const PEERS: u8 = 1;

/// A store has forgotten what the other still knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SetBack {
    /// The highest number that the store which was set back has: of a request where it is this
    /// one, of an answer where it is the peer's.
    pub had: u64,
    /// The highest that the other one knows of.
    pub known: u64,
    /// When it was noticed.
    pub noticed_unix_ms: u64,
}

/// What a comparison has noticed that was not known before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// This store was set back.
    pub own: Option<SetBack>,
    /// The peer's was.
    pub peer: Option<SetBack>,
}

/// How far the outbox has come with `peer`: the highest number of a request that may have been
/// sent, and the highest of an answer whose effect is recorded.
pub fn numbers(
    connection: &Connection,
    peer: &str,
    extension: u16,
) -> Result<StoreNumbers, StoreError> {
    let requests: Option<u64> = connection
        .prepare_cached("SELECT sendable FROM outbox_peer WHERE peer = ?1 AND extension = ?2")?
        .query_row(params![peer, extension], |row| row.get(0))
        .optional()?;
    let answers: Option<u64> = connection
        .prepare_cached("SELECT answers FROM outbox_heard WHERE peer = ?1 AND extension = ?2")?
        .query_row(params![peer, extension], |row| row.get(0))
        .optional()?;
    Ok(StoreNumbers {
        requests: requests.unwrap_or(0),
        answers: answers.unwrap_or(0),
    })
}

/// Notes the number of an answer, in the transaction that records its effect. A lower one than
/// before changes nothing.
pub fn note_answers(
    connection: &Connection,
    peer: &str,
    extension: u16,
    answers: u64,
) -> Result<(), StoreError> {
    let answers = answers.min(STORE_NUMBER_MAX);
    connection
        .prepare_cached(
            "INSERT INTO outbox_heard (peer, extension, answers, checksum) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (peer, extension) DO UPDATE
             SET answers = excluded.answers, checksum = excluded.checksum
             WHERE excluded.answers > answers",
        )?
        .execute(params![
            peer,
            extension,
            answers,
            heard_checksum(peer, extension, answers)
        ])?;
    Ok(())
}

/// A process has begun to use this outbox. What it enqueues for a peer counts as sent only from
/// the first [`compare`] on: so a store that was set back is noticed however much was enqueued
/// before. [`Store::open`](crate::Store::open) does it.
pub fn process_started(connection: &Connection) -> Result<(), StoreError> {
    connection.execute(
        "UPDATE outbox_peer SET is_compared = 0 WHERE is_compared",
        [],
    )?;
    if is_broken(Rule::CommittedStays) {
        connection.execute(
            "DELETE FROM outbox WHERE sequence =
             (SELECT max(sequence) FROM outbox WHERE state = ?1)",
            [WAITING],
        )?;
    }
    Ok(())
}

/// Compares this store with what `peer` has told of its own. Must be committed before anything is
/// sent to that instance of the peer.
///
/// Where this store was set back, numbering goes on above what the peer knows; what waits keeps
/// its numbers, since a number names nothing. Where the peer's was, the requests whose answers it
/// has forgotten are to be asked again, as far as they are still here: [`ask_again`].
pub fn compare(
    connection: &Connection,
    peer: &str,
    extension: u16,
    told: &FarStore,
    now_unix_ms: u64,
) -> Result<Compared, StoreError> {
    let own = numbers(connection, peer, extension)?;
    let far_requests = told.far.requests.min(STORE_NUMBER_MAX);
    let (far_answers, own_answers) = (told.far.answers, told.own_before.answers);
    let notice = |whose, had, known| {
        let set_back = SetBack {
            had,
            known,
            noticed_unix_ms: now_unix_ms,
        };
        let is_new = notice(connection, peer, extension, whose, &set_back)?;
        Ok::<_, StoreError>(is_new.then_some(set_back))
    };
    let mut compared = Compared::default();
    if own.requests < far_requests {
        compared.own = notice(OWN, own.requests, far_requests)?;
    }
    if far_answers < own_answers {
        compared.peer = notice(PEERS, far_answers, own_answers)?;
        connection
            .prepare_cached(
                "INSERT INTO outbox_ask_again (peer, extension, above, through)
                 VALUES (?1, ?2, ?3, ?4)
                 ON CONFLICT (peer, extension) DO UPDATE
                 SET above = min(above, excluded.above), through = max(through, excluded.through)",
            )?
            .execute(params![peer, extension, far_answers, own_answers])?;
    }
    connection
        .prepare_cached(
            "INSERT INTO outbox_peer
             (peer, extension, last_sequence, waiting, parked, sendable, is_compared)
             VALUES (?1, ?2, ?3, 0, 0, ?3, 1)
             ON CONFLICT (peer, extension) DO UPDATE
             SET last_sequence = max(last_sequence, excluded.last_sequence),
                 sendable = max(last_sequence, excluded.last_sequence), is_compared = 1",
        )?
        .execute(params![peer, extension, far_requests])?;
    Ok(compared)
}

/// True where it was not known before.
fn notice(
    connection: &Connection,
    peer: &str,
    extension: u16,
    whose: u8,
    set_back: &SetBack,
) -> Result<bool, StoreError> {
    let changed = connection
        .prepare_cached(
            "INSERT INTO outbox_set_back (peer, extension, whose, had, told, noticed_unix_ms)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6)
             ON CONFLICT (peer, extension, whose) DO UPDATE
             SET had = excluded.had, told = excluded.told,
                 noticed_unix_ms = excluded.noticed_unix_ms, acknowledged_unix_ms = NULL
             WHERE had <> excluded.had OR told <> excluded.told",
        )?
        .execute(params![
            peer,
            extension,
            whose,
            set_back.had,
            set_back.known,
            set_back.noticed_unix_ms
        ])?;
    Ok(changed == 1)
}

/// What the operator has not acknowledged: of this store, and of the peer's.
pub fn set_backs(
    connection: &Connection,
    peer: &str,
    extension: u16,
) -> Result<[Option<SetBack>; 2], StoreError> {
    let mut found = [None; 2];
    let mut statement = connection.prepare_cached(
        "SELECT whose, had, told, noticed_unix_ms FROM outbox_set_back
         WHERE peer = ?1 AND extension = ?2 AND acknowledged_unix_ms IS NULL",
    )?;
    let rows = statement.query_map(params![peer, extension], |row: &Row<'_>| {
        let set_back = SetBack {
            had: row.get(1)?,
            known: row.get(2)?,
            noticed_unix_ms: row.get(3)?,
        };
        Ok((row.get::<_, usize>(0)?, set_back))
    })?;
    for row in rows {
        let (whose, set_back) = row?;
        if let Some(place) = found.get_mut(whose) {
            *place = Some(set_back);
        }
    }
    Ok(found)
}

/// The operator has seen all of them, of all peers. How many were new to them.
pub(super) fn acknowledge(connection: &Connection, now_unix_ms: u64) -> Result<u64, StoreError> {
    let acknowledged = connection.execute(
        "UPDATE outbox_set_back SET acknowledged_unix_ms = ?1 WHERE acknowledged_unix_ms IS NULL",
        [now_unix_ms],
    )?;
    Ok(acknowledged as u64)
}

/// Makes the next `rows_max` answered requests wait again whose answers the peer has forgotten, unless
/// `waiting_max` wait already. They keep what is known of their answer. True while there are more.
pub fn ask_again(
    connection: &Connection,
    peer: &str,
    extension: u16,
    rows_max: usize,
    waiting_max: u64,
) -> Result<bool, StoreError> {
    let wanted: Option<(u64, u64)> = connection
        .prepare_cached(
            "SELECT above, through FROM outbox_ask_again WHERE peer = ?1 AND extension = ?2",
        )?
        .query_row(params![peer, extension], |row| {
            Ok((row.get(0)?, row.get(1)?))
        })
        .optional()?;
    let Some((above, through)) = wanted else {
        return Ok(false);
    };
    if waiting(connection, peer, extension)? >= waiting_max {
        return Ok(true);
    }
    let rows = StoredRow::answered(connection, peer, extension, above, through, rows_max)?;
    for row in &rows {
        connection
            .prepare_cached(
                // When it was first answered stays: it is kept no longer for being asked again.
                "UPDATE outbox SET state = ?2, checksum = ?3 WHERE id = ?1",
            )?
            .execute(params![row.id, WAITING, row.checksum_in(WAITING)])?;
    }
    connection
        .prepare_cached(
            "UPDATE outbox_peer SET waiting = waiting + ?3 WHERE peer = ?1 AND extension = ?2",
        )?
        .execute(params![peer, extension, rows.len()])?;
    let last = rows.last().and_then(|row| row.answer.as_ref());
    match last.filter(|_| rows.len() == rows_max) {
        Some(last) => connection
            .prepare_cached(
                "UPDATE outbox_ask_again SET above = ?3 WHERE peer = ?1 AND extension = ?2",
            )?
            .execute(params![peer, extension, last.sequence])?,
        None => connection
            .prepare_cached("DELETE FROM outbox_ask_again WHERE peer = ?1 AND extension = ?2")?
            .execute(params![peer, extension])?,
    };
    Ok(last.is_some() && rows.len() == rows_max)
}

/// Puts a parked request that was asked again back among the answered ones: its first answer
/// stays. False where there is none, or where the row is damaged.
pub(super) fn keep_answer(connection: &Connection, row: &StoredRow) -> Result<bool, StoreError> {
    if row.answer.is_none() || !row.is_whole() {
        return Ok(false);
    }
    connection
        .prepare_cached("UPDATE outbox SET state = ?2, error = NULL, checksum = ?3 WHERE id = ?1")?
        .execute(params![row.id, ANSWERED, row.checksum_in(ANSWERED)])?;
    Ok(true)
}

/// What is damaged is replaced by what the rows still know: too low a number claims nothing that
/// was not heard.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    let mut heard =
        connection.prepare("SELECT peer, extension, answers, checksum FROM outbox_heard")?;
    let rows = heard.query_map([], |row: &Row<'_>| {
        Ok((
            row.get::<_, String>(0)?,
            row.get::<_, u16>(1)?,
            row.get::<_, u64>(2)?,
            row.get::<_, Vec<u8>>(3)?,
        ))
    })?;
    let corrupt = |error: rusqlite::Error| StoreError::Corrupt {
        table: "outbox_heard",
        detail: error.to_string(),
    };
    let mut damaged = Vec::new();
    for row in rows {
        let (peer, extension, answers, checksum) = row.map_err(corrupt)?;
        if checksum != heard_checksum(&peer, extension, answers) {
            damaged.push((peer, extension));
        }
    }
    for (peer, extension) in damaged {
        tracing::error!(peer, "how far the peer's answers came is damaged on disk");
        let answers: u64 = connection.query_row(
            "SELECT coalesce(max(answer_sequence), 0) FROM outbox
             WHERE peer = ?1 AND extension = ?2 AND answer_sequence IS NOT NULL AND state = 1",
            params![peer, extension],
            |row| row.get(0),
        )?;
        connection.execute(
            "DELETE FROM outbox_heard WHERE peer = ?1 AND extension = ?2",
            params![peer, extension],
        )?;
        note_answers(connection, &peer, extension, answers)?;
    }
    connection.execute(
        "UPDATE outbox_peer SET sendable = last_sequence WHERE sendable > last_sequence",
        [],
    )?;
    Ok(())
}

fn heard_checksum(peer: &str, extension: u16, answers: u64) -> [u8; 16] {
    let (extension, answers) = (extension.to_le_bytes(), answers.to_le_bytes());
    row_checksum("outbox_heard", &[peer.as_bytes(), &extension, &answers])
}

#[cfg(test)]
mod tests;
