//! Files of older versions: what their rows were, and how they come to lie where they lie now.

use rusqlite::{Connection, Row, params};

use super::place::{Place, SEQUENCE_MAX};
use super::row::{AnswerContent, Content};
use super::{Checksum, keys};
use crate::store::{StoreError, row_checksum};

const WAITING: u8 = 0;
const ANSWERED: u8 = 1;
const PARKED: u8 = 2;

/// Rows between two looks at what the key index holds in memory.
const ROWS_PER_STEP: u64 = 1_024;

/// A row of the table that was, whole or not.
struct OlderRow {
    id: i64,
    peer: String,
    extension: u16,
    sequence: u64,
    key: Vec<u8>,
    msg_type: u8,
    body: Vec<u8>,
    created_unix_ms: u64,
    state: u8,
    checksum: Option<Vec<u8>>,
    answer: Option<(u64, Vec<u8>)>,
}

impl OlderRow {
    /// Out of these columns, as far as they were there.
    const COLUMNS: &str =
        "id, peer, extension, sequence, key, msg_type, body, created_unix_ms, state, checksum";

    fn read(row: &Row<'_>) -> Result<OlderRow, rusqlite::Error> {
        Ok(OlderRow {
            id: row.get(0)?,
            peer: row.get(1)?,
            extension: row.get(2)?,
            sequence: row.get(3)?,
            key: row.get(4)?,
            msg_type: row.get(5)?,
            body: row.get(6)?,
            created_unix_ms: row.get(7)?,
            state: row.get(8)?,
            checksum: row.get(9)?,
            answer: None,
        })
    }

    fn checksum(&self) -> Checksum {
        let (extension, sequence) = (self.extension.to_le_bytes(), self.sequence.to_le_bytes());
        let (kind, created) = (
            [self.msg_type, self.state],
            self.created_unix_ms.to_le_bytes(),
        );
        let mut fields: Vec<&[u8]> = vec![
            self.peer.as_bytes(),
            &extension,
            &sequence,
            &self.key,
            &kind,
            &self.body,
            &created,
        ];
        let answer = self.answer.as_ref();
        let answer = answer.map(|(sequence, identity)| (sequence.to_le_bytes(), identity));
        if let Some((sequence, identity)) = &answer {
            fields.extend([&sequence[..], identity]);
        }
        row_checksum("outbox", &fields)
    }
}

/// Gives the rows of a version without checksums theirs.
pub(crate) fn seal_all(connection: &Connection) -> Result<(), StoreError> {
    let columns = OlderRow::COLUMNS;
    let mut rows = connection.prepare(&format!("SELECT {columns} FROM outbox"))?;
    let mut seal = connection.prepare("UPDATE outbox SET checksum = ?2 WHERE id = ?1")?;
    for row in rows.query_map([], OlderRow::read)? {
        let row = row?;
        seal.execute(params![row.id, row.checksum()])?;
    }
    Ok(())
}

/// Moves all rows from `outbox_older` to where they lie now. One that is damaged stays so.
pub(crate) fn move_all(connection: &Connection) -> Result<(), StoreError> {
    keys::begin(connection)?;
    let mut statement = connection.prepare(
        "SELECT peer, extension, max(sequence) FROM
             (SELECT peer, extension, last_sequence AS sequence FROM outbox_peer
              UNION ALL SELECT peer, extension, sequence FROM outbox_older)
         GROUP BY peer, extension ORDER BY peer, extension",
    )?;
    let peers = statement.query_map([], |row: &Row<'_>| {
        Ok((row.get::<_, String>(0)?, row.get(1)?, row.get(2)?))
    })?;
    let peers: Vec<(String, u16, u64)> = peers.collect::<Result<_, _>>()?;
    let mut places = Vec::with_capacity(peers.len());
    for (peer, extension, highest) in &peers {
        let place = Place::number_older(connection, peer, *extension)?;
        // Numbers so high were claimed by a peer. A number names nothing: requests are numbered anew.
        let renumbered = (*highest > SEQUENCE_MAX / 2).then_some(0_u64);
        places.push((place, renumbered));
    }
    let columns = OlderRow::COLUMNS;
    let mut rows = connection.prepare(&format!(
        "SELECT {columns}, answer_sequence, answer_identity, ended_unix_ms, error,
                last_sent_unix_ms, attempts
         FROM outbox_older ORDER BY sequence"
    ))?;
    let mut rows = rows.query([])?;
    let mut moved = 0_u64;
    while let Some(row) = rows.next()? {
        let mut older = OlderRow::read(row)?;
        let answer: Option<u64> = row.get(10)?;
        older.answer = answer.zip(row.get(11)?);
        // A role asks few peers.
        let lies_in =
            |place: &Place<'_>| (place.peer, place.extension) == (&older.peer, older.extension);
        let Some((place, renumbered)) = places.iter_mut().find(|(place, _)| lies_in(place)) else {
            continue;
        };
        let sequence = match renumbered {
            None => older.sequence,
            Some(last) => {
                *last += 1;
                *last
            }
        };
        move_one(connection, place, &older, sequence, row)?;
        moved += 1;
        if moved.is_multiple_of(ROWS_PER_STEP) {
            keys::merge_while_opening(connection)?;
        }
    }
    for (place, renumbered) in places {
        if let Some(last) = renumbered {
            connection.execute(
                "UPDATE outbox_peer SET last_sequence = ?3, sendable = min(sendable, ?3)
                 WHERE peer = ?1 AND extension = ?2",
                params![place.peer, place.extension, last],
            )?;
        }
    }
    keys::merge(connection)
}

fn move_one(
    connection: &Connection,
    place: &Place<'_>,
    older: &OlderRow,
    sequence: u64,
    row: &Row<'_>,
) -> Result<(), StoreError> {
    let id = place.id(sequence);
    let ended_unix_ms: Option<u64> = row.get(12)?;
    let is_parked = older.state == PARKED;
    let content = Content {
        peer: &older.peer,
        extension: older.extension,
        sequence,
        key: &older.key,
        msg_type: older.msg_type,
        body: &older.body,
        created_unix_ms: older.created_unix_ms,
    };
    // Nothing has this one.
    const DAMAGED: Checksum = [0; 16];
    let is_whole = older.checksum.as_deref() == Some(&older.checksum());
    let checksum = match is_whole {
        true => content.checksum(is_parked),
        false => DAMAGED,
    };
    connection
        .prepare_cached(
            "INSERT INTO outbox (id, key, msg_type, body, created_unix_ms, checksum, is_parked,
                                 parked_unix_ms, last_sent_unix_ms, attempts, error)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)",
        )?
        .execute(params![
            id,
            older.key,
            older.msg_type,
            older.body,
            older.created_unix_ms,
            checksum,
            is_parked,
            ended_unix_ms.filter(|_| is_parked),
            row.get::<_, Option<u64>>(14)?,
            row.get::<_, u32>(15)?,
            row.get::<_, Option<String>>(13)?
        ])?;
    if older.state == ANSWERED || older.answer.is_some() {
        let (answer_sequence, identity) = older.answer.clone().unwrap_or_default();
        let answered_unix_ms = ended_unix_ms.unwrap_or(0);
        let is_asked_again = matches!(older.state, WAITING | PARKED);
        let answer = AnswerContent {
            request: &content.checksum(false),
            sequence: answer_sequence,
            identity: &identity,
            answered_unix_ms,
            is_asked_again,
        };
        connection
            .prepare_cached(
                "INSERT INTO outbox_answer (id, sequence, identity, answered_unix_ms, is_asked_again, checksum)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?
            .execute(params![
                id,
                answer_sequence,
                identity,
                answered_unix_ms,
                is_asked_again,
                answer.checksum()
            ])?;
    }
    keys::add(connection, place, &older.key, id)
}
