//! Where the requests to one peer lie: their ids are one range.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::Checksum;
use crate::store::{StoreError, row_checksum};

/// Bits of an id that are the request's own number; above them is the number of its peer and extension.
const SEQUENCE_BITS: u32 = 48;
/// The highest number of a request that an id can hold.
pub(super) const SEQUENCE_MAX: u64 = (1 << SEQUENCE_BITS) - 1;
/// The highest number of a peer and extension: ids are positive.
const NUMBER_MAX: i64 = (1 << (63 - SEQUENCE_BITS)) - 1;

/// A peer and an extension, with the number that stands for them in ids.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    pub(super) peer: &'a str,
    pub(super) extension: u16,
    number: i64,
}

/// The number of a request out of its id.
pub(super) fn sequence_of(id: i64) -> u64 {
    id.cast_unsigned() & SEQUENCE_MAX
}

impl<'a> Place<'a> {
    /// `None` where nothing was ever enqueued for that peer, nor heard of it.
    pub(super) fn find(
        connection: &Connection,
        peer: &'a str,
        extension: u16,
    ) -> Result<Option<Place<'a>>, StoreError> {
        let number = connection
            .prepare_cached("SELECT number FROM outbox_peer WHERE peer = ?1 AND extension = ?2")?
            .query_row(params![peer, extension], |row| row.get(0))
            .optional()?;
        Ok(number.map(|number| Place {
            peer,
            extension,
            number,
        }))
    }

    /// Gives it the next number where it has none.
    pub(super) fn find_or_make(
        connection: &Connection,
        peer: &'a str,
        extension: u16,
    ) -> Result<Place<'a>, StoreError> {
        if let Some(place) = Place::find(connection, peer, extension)? {
            return Ok(place);
        }
        let place = Place {
            peer,
            extension,
            number: next_number(connection)?,
        };
        connection.execute(
            "INSERT INTO outbox_peer
             (peer, extension, last_sequence, waiting, parked, number, checksum)
             VALUES (?1, ?2, 0, 0, 0, ?3, ?4)",
            params![peer, extension, place.number, place.checksum()],
        )?;
        Ok(place)
    }

    /// In a file of an older version: a number for one that has none.
    pub(super) fn number_older(
        connection: &Connection,
        peer: &'a str,
        extension: u16,
    ) -> Result<Place<'a>, StoreError> {
        let place = Place {
            peer,
            extension,
            number: next_number(connection)?,
        };
        connection.execute(
            "INSERT INTO outbox_peer
             (peer, extension, last_sequence, waiting, parked, number, checksum)
             VALUES (?1, ?2, 0, 0, 0, ?3, ?4)
             ON CONFLICT (peer, extension) DO UPDATE
             SET number = excluded.number, checksum = excluded.checksum",
            params![peer, extension, place.number, place.checksum()],
        )?;
        Ok(place)
    }

    /// The id of the request with this number; of one that no request can have, the last.
    pub(super) fn id(&self, sequence: u64) -> i64 {
        self.number << SEQUENCE_BITS | sequence.min(SEQUENCE_MAX).cast_signed()
    }

    /// The highest that an id can be here.
    pub(super) fn last_id(&self) -> i64 {
        self.id(SEQUENCE_MAX)
    }

    /// Whether a request with this id lies here.
    pub(super) fn holds(&self, id: i64) -> bool {
        id >> SEQUENCE_BITS == self.number
    }

    /// Rows without their peer's name say nothing, so that has a checksum as well.
    fn checksum(&self) -> Checksum {
        let (extension, number) = (self.extension.to_le_bytes(), self.number.to_le_bytes());
        row_checksum("outbox_peer", &[self.peer.as_bytes(), &extension, &number])
    }
}

fn next_number(connection: &Connection) -> Result<i64, StoreError> {
    let highest: Option<i64> =
        connection.query_row("SELECT max(number) FROM outbox_peer", [], |row| row.get(0))?;
    match highest.unwrap_or(0) + 1 {
        number if number <= NUMBER_MAX => Ok(number),
        _ => Err(StoreError::Aborted {
            reason: format!("there are requests to {NUMBER_MAX} peers, there cannot be more"),
        }),
    }
}

/// All of them, by id.
pub(super) struct Places {
    names: HashMap<i64, (String, u16)>,
}

impl Places {
    /// Reads them.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where a name is damaged: nothing that lies there could be told from another peer's.
    pub(super) fn read(connection: &Connection) -> Result<Places, StoreError> {
        let corrupt = |detail: String| StoreError::Corrupt {
            table: "outbox_peer",
            detail,
        };
        let mut statement =
            connection.prepare("SELECT number, peer, extension, checksum FROM outbox_peer")?;
        let rows = statement.query_map([], |row: &Row<'_>| {
            Ok((
                row.get::<_, i64>(0)?,
                row.get::<_, String>(1)?,
                row.get::<_, u16>(2)?,
                row.get::<_, Vec<u8>>(3)?,
            ))
        })?;
        let mut names = HashMap::new();
        for row in rows {
            let (number, peer, extension, checksum) =
                row.map_err(|error| corrupt(error.to_string()))?;
            let place = Place {
                peer: &peer,
                extension,
                number,
            };
            if checksum != place.checksum() {
                return Err(corrupt(format!("the name {peer:?} is damaged")));
            }
            names.insert(number, (peer, extension));
        }
        Ok(Places { names })
    }

    /// Where the request with this id lies.
    ///
    /// # Errors
    /// [`StoreError::Corrupt`] where no peer has that number.
    pub(super) fn of(&self, id: i64) -> Result<Place<'_>, StoreError> {
        let number = id >> SEQUENCE_BITS;
        match self.names.get(&number) {
            Some((peer, extension)) => Ok(Place {
                peer,
                extension: *extension,
                number,
            }),
            None => Err(StoreError::Corrupt {
                table: "outbox",
                detail: format!(
                    "there is a request to a peer with the number {number}, and no such peer"
                ),
            }),
        }
    }
}
