//! How far the outbox has come with each peer, and whether it, or the peer's store, was set back
//! (specification, section 6.1).

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::place::Place;
use super::row::StoredRow;
use super::{RecordedAnswer, RequestState, blocks, park, waiting};
use crate::limits::{ANSWERS_LOOKED_AT_PER_ROW, STORE_NUMBER_MAX};
use crate::mint_quote::{FarStore, StoreNumbers};
use crate::sabotage::{Rule, is_broken};
use crate::store::{StoreError, row_checksum};

/// Whose store was set back, as it stands in the table.
const OWN: u8 = 0;
const PEERS: u8 = 1;

/// The number of an answer that was learned of elsewhere and is the peer's, which has vouched for it nowhere; and of those
/// that older versions noted. Peers number theirs from 1.
pub(crate) const LEARNED: u64 = 0;

/// The number of an answer that somebody else than the peer has given: beyond all that a peer can have forgotten.
pub(crate) const OF_ANOTHER: u64 = STORE_NUMBER_MAX + 1;

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
            "DELETE FROM outbox WHERE id =
             (SELECT max(id) FROM outbox WHERE is_parked = 0 AND id NOT IN
                 (SELECT id FROM outbox_answer WHERE NOT is_asked_again))",
            [],
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
                 SET above = min(above, excluded.above), through = max(through, excluded.through),
                     after_id = 0",
            )?
            .execute(params![peer, extension, far_answers, own_answers])?;
    }
    Place::find_or_make(connection, peer, extension)?;
    connection
        .prepare_cached(
            "UPDATE outbox_peer
             SET last_sequence = max(last_sequence, ?3), sendable = max(last_sequence, ?3),
                 is_compared = 1
             WHERE peer = ?1 AND extension = ?2",
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

/// Whether [`ask_again`] has more to do.
pub(crate) fn asks_again(
    connection: &Connection,
    peer: &str,
    extension: u16,
) -> Result<bool, StoreError> {
    Ok(connection
        .prepare_cached("SELECT 1 FROM outbox_ask_again WHERE peer = ?1 AND extension = ?2")?
        .exists(params![peer, extension])?)
}

/// Makes the next `rows_max` answered requests wait again whose answers the peer has forgotten, or may have, as far as it
/// never told them itself, unless `waiting_max` wait already. They keep what is known of their answer. True while there are more.
pub fn ask_again(
    connection: &Connection,
    peer: &str,
    extension: u16,
    rows_max: usize,
    waiting_max: u64,
) -> Result<bool, StoreError> {
    let wanted: Option<(u64, u64, i64)> = connection
        .prepare_cached(
            "SELECT above, through, after_id FROM outbox_ask_again
             WHERE peer = ?1 AND extension = ?2",
        )?
        .query_row(params![peer, extension], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })
        .optional()?;
    let (Some((above, through, after_id)), Some(place)) =
        (wanted, Place::find(connection, peer, extension)?)
    else {
        return Ok(false);
    };
    if waiting(connection, peer, extension)? >= waiting_max {
        return Ok(true);
    }
    let after_id = after_id.max(place.id(0));
    // As far as is looked now; `None` where that is to the end.
    let through_id: Option<i64> = connection
        .prepare_cached(
            "SELECT id FROM outbox_answer WHERE id > ?1 AND id <= ?2
             ORDER BY id LIMIT 1 OFFSET ?3",
        )?
        .query_row(
            params![
                after_id,
                place.last_id(),
                rows_max.saturating_mul(ANSWERS_LOOKED_AT_PER_ROW)
            ],
            |row| row.get(0),
        )
        .optional()?;
    let ids: Vec<i64> = connection
        .prepare_cached(
            "SELECT id FROM outbox_answer
             WHERE id > ?1 AND id <= ?2 AND (sequence > ?3 AND sequence <= ?4 OR sequence = ?5)
                 AND NOT is_asked_again
             ORDER BY id LIMIT ?6",
        )?
        .query_map(
            params![
                after_id,
                through_id.unwrap_or(place.last_id()),
                above,
                through,
                LEARNED,
                rows_max
            ],
            |row| row.get(0),
        )?
        .collect::<Result<_, _>>()?;
    let mut asked = 0;
    for id in &ids {
        let Some(row) = StoredRow::by_id(connection, &place, *id)? else {
            continue;
        };
        if row.state() != RequestState::Answered {
            continue;
        }
        // When it was first answered stays: it is kept no longer for being asked again.
        row.ask_again(connection, true)?;
        connection
            .prepare_cached("UPDATE outbox SET error = NULL WHERE id = ?1 AND error IS NOT NULL")?
            .execute([id])?;
        blocks::change(connection, *id, 1)?;
        asked += 1;
    }
    connection
        .prepare_cached(
            "UPDATE outbox_peer SET waiting = waiting + ?3 WHERE peer = ?1 AND extension = ?2",
        )?
        .execute(params![peer, extension, asked])?;
    let next = match ids.last() {
        Some(last) if ids.len() >= rows_max => Some(*last),
        _ => through_id,
    };
    match next {
        Some(next) => connection
            .prepare_cached(
                "UPDATE outbox_ask_again SET after_id = ?3 WHERE peer = ?1 AND extension = ?2",
            )?
            .execute(params![peer, extension, next])?,
        None => connection
            .prepare_cached("DELETE FROM outbox_ask_again WHERE peer = ?1 AND extension = ?2")?
            .execute(params![peer, extension])?,
    };
    Ok(next.is_some())
}

/// What the peer's own answer says of a request that was answered before it came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Late {
    /// Nothing: the request is not answered, or by the peer itself.
    Nothing,
    /// The same as was learned of elsewhere. It has the peer's number now.
    Same,
    /// Something else. What was learned stays, and the request is parked.
    Otherwise,
}

/// Compares the peer's own answer with what was learned of elsewhere before. `answer` is `None` where it refuses; `error`
/// is for the operator.
pub(crate) fn late_answer(
    connection: &Connection,
    peer: &str,
    extension: u16,
    key: &[u8],
    answer: Option<&RecordedAnswer>,
    error: &str,
    now_unix_ms: u64,
) -> Result<Late, StoreError> {
    let Some(place) = Place::find(connection, peer, extension)? else {
        return Ok(Late::Nothing);
    };
    let found = StoredRow::by_key(connection, &place, key)?;
    let Some(row) = found.filter(|row| row.state() == RequestState::Answered) else {
        return Ok(Late::Nothing);
    };
    let known = row.answer.as_ref();
    let Some(known) = known.filter(|known| matches!(known.sequence, LEARNED | OF_ANOTHER)) else {
        return Ok(Late::Nothing);
    };
    if let Some(answer) = answer
        && known.identity == answer.identity
    {
        row.answer_again(connection, answer.sequence.min(STORE_NUMBER_MAX))?;
        return Ok(Late::Same);
    }
    row.ask_again(connection, true)?;
    blocks::change(connection, row.id, 1)?;
    connection
        .prepare_cached(
            "UPDATE outbox_peer SET waiting = waiting + 1 WHERE peer = ?1 AND extension = ?2",
        )?
        .execute(params![peer, extension])?;
    park(connection, peer, extension, key, error, now_unix_ms)?;
    Ok(Late::Otherwise)
}

/// Puts a parked request that was asked again back among the answered ones: its first answer
/// stays. False where there is none, or where the row is damaged.
pub(super) fn keep_answer(
    connection: &Connection,
    row: &StoredRow<'_>,
) -> Result<bool, StoreError> {
    if row.answer.is_none() || !row.is_whole() {
        return Ok(false);
    }
    connection
        .prepare_cached(
            "UPDATE outbox SET is_parked = 0, parked_unix_ms = NULL, error = NULL, checksum = ?2
             WHERE id = ?1",
        )?
        .execute(params![row.id, row.checksum_when(false)])?;
    row.ask_again(connection, false)?;
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
        let answers: u64 = match Place::find(connection, &peer, extension)? {
            None => 0,
            Some(place) => connection.query_row(
                "SELECT coalesce(max(sequence), 0) FROM outbox_answer
                 WHERE id > ?1 AND id <= ?2 AND sequence <= ?3 AND NOT is_asked_again",
                params![place.id(0), place.last_id(), STORE_NUMBER_MAX],
                |row| row.get(0),
            )?,
        };
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
