//! Requests that the operator has given up, until the role has taken note.

use rusqlite::{Connection, Row, params};

use crate::store::StoreError;

/// A request that [`discard`](super::discard) has taken out.
pub(crate) struct Discarded {
    id: i64,
    pub(crate) msg_type: u8,
    pub(crate) body: Vec<u8>,
    /// Why it was parked.
    pub(crate) error: String,
}

/// Up to `rows_max` of those that the role has to take note of, whomever they were for: the role
/// may ask another peer by now.
pub(crate) fn discarded_page(
    connection: &Connection,
    extension: u16,
    rows_max: usize,
) -> Result<Vec<Discarded>, StoreError> {
    let mut statement = connection.prepare_cached(
        "SELECT id, msg_type, body, error FROM outbox_discarded
         WHERE extension = ?1 ORDER BY id LIMIT ?2",
    )?;
    let rows = statement.query_map(params![extension, rows_max], |row: &Row<'_>| {
        Ok(Discarded {
            id: row.get(0)?,
            msg_type: row.get(1)?,
            body: row.get(2)?,
            error: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The role has taken note: nothing is left of it here.
pub(crate) fn forget_discarded(
    connection: &Connection,
    discarded: &Discarded,
) -> Result<(), StoreError> {
    connection
        .prepare_cached("DELETE FROM outbox_discarded WHERE id = ?1")?
        .execute([discarded.id])?;
    Ok(())
}
