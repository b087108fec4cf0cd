//! How much each pool may have issued per hour and per day, and the reservations that keep to it.
//!
//! # Windows
//! Both windows roll, in steps of a minute: what was issued in a minute counts until that whole minute is
//! more than an hour (a day) old. So the cap holds for every hour and every day, whenever they begin, and what is
//! used comes free at most a minute late. While the machine's clock stands behind what it showed before, what was
//! used "in the future" counts.
//!
//! # Reservations
//! An amount is reserved, durably, *before* cdk makes the quote. A crash in between leaves a reservation without a
//! quote, which costs allowance until its window has passed; no crash lets more be issued than is allowed. A reservation is kept under the header hash. A request that comes again and has a
//! quote needs none (cdk's store is asked first); one that has no quote gives its old reservation back
//! and makes another, in one transaction.

use rusqlite::{Connection, OptionalExtension, params};
use winze_client::{Schema, StoreError};

use crate::issuance::HeaderHash;
use crate::limits::ALLOWANCE_BUCKET_S;

/// The tables of this module in the mint's own store.
pub static ALLOWANCE_SCHEMA: Schema = Schema {
    name: "allowance",
    migrations: &["
        CREATE TABLE allowance_used (
            pool   TEXT NOT NULL,    -- peer name
            unit   TEXT NOT NULL,
            minute INTEGER NOT NULL, -- since the Unix epoch
            amount INTEGER NOT NULL CHECK (amount >= 0),
            PRIMARY KEY (pool, unit, minute)
        ) WITHOUT ROWID, STRICT;
        CREATE TABLE allowance_reservation (
            header_hash BLOB NOT NULL PRIMARY KEY CHECK (length(header_hash) = 32),
            pool        TEXT NOT NULL,
            unit        TEXT NOT NULL,
            minute      INTEGER NOT NULL, -- whose row in allowance_used it is part of
            amount      INTEGER NOT NULL
        ) WITHOUT ROWID, STRICT;
        CREATE INDEX allowance_reservation_minute ON allowance_reservation (minute);
    "],
};

const HOUR_S: u64 = 3_600;
const DAY_S: u64 = 24 * HOUR_S;

/// What one pool may have issued of one unit, in that unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Caps {
    pub(crate) per_hour: u64,
    pub(crate) per_day: u64,
}

/// Whose allowance it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Account {
    /// The pool's peer name.
    pub(crate) pool: String,
    pub(crate) unit: String,
    pub(crate) caps: Caps,
}

/// What became of a wish for allowance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is reserved.
    Reserved,
    /// It does not fit now. After the delay it would, if nothing else were issued meanwhile.
    Exceeded { window: Window, retry_after_s: u64 },
}

/// Which of the two caps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Window {
    Hour,
    Day,
}

impl Window {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Window::Hour => "hour",
            Window::Day => "day",
        }
    }

    fn length_s(self) -> u64 {
        match self {
            Window::Hour => HOUR_S,
            Window::Day => DAY_S,
        }
    }

    pub(crate) fn cap(self, caps: Caps) -> u64 {
        match self {
            Window::Hour => caps.per_hour,
            Window::Day => caps.per_day,
        }
    }

    /// When the minute's use stops to count, in Unix seconds.
    fn leaves_at_s(self, minute: u64) -> u64 {
        (minute.saturating_add(1))
            .saturating_mul(ALLOWANCE_BUCKET_S)
            .saturating_add(self.length_s())
    }
}

/// What an account used of late, per minute, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Used {
    minutes: Vec<(u64, u64)>,
}

impl Used {
    /// The sum that still counts in `window` at `now_s`.
    fn sum(&self, window: Window, now_s: u64) -> u128 {
        self.minutes
            .iter()
            .filter(|(minute, _)| window.leaves_at_s(*minute) > now_s)
            .map(|(_, amount)| u128::from(*amount))
            .sum()
    }

    /// How much of the cap is left at `now_s`.
    pub(crate) fn left(&self, window: Window, caps: Caps, now_s: u64) -> u64 {
        let left = u128::from(window.cap(caps)).saturating_sub(self.sum(window, now_s));
        u64::try_from(left).unwrap_or(u64::MAX)
    }

    /// Takes `amount` if both windows have room for it.
    fn take(&mut self, caps: Caps, amount: u64, now_s: u64) -> Verdict {
        for window in [Window::Hour, Window::Day] {
            let over = (self.sum(window, now_s) + u128::from(amount))
                .saturating_sub(u128::from(window.cap(caps)));
            if over > 0 {
                return Verdict::Exceeded {
                    window,
                    retry_after_s: self.frees_in_s(window, over, now_s),
                };
            }
        }
        let minute = now_s / ALLOWANCE_BUCKET_S;
        match self.minutes.iter_mut().find(|(other, _)| *other == minute) {
            Some((_, used)) => *used = used.saturating_add(amount),
            None => self.minutes.push((minute, amount)),
        }
        Verdict::Reserved
    }

    /// How long until `amount` of what counts now has left the window; the window's length if it never does.
    fn frees_in_s(&self, window: Window, amount: u128, now_s: u64) -> u64 {
        let mut freed = 0u128;
        for (minute, used) in &self.minutes {
            let leaves_at_s = window.leaves_at_s(*minute);
            if leaves_at_s > now_s {
                freed += u128::from(*used);
                if freed >= amount {
                    return leaves_at_s - now_s;
                }
            }
        }
        window.length_s()
    }
}

/// A header hash and the amount that is wanted for it.
pub(crate) type Wish = (HeaderHash, u64);

/// Reserves each of `wishes` that fits, in their order; one verdict for each.
///
/// A wish whose header hash has a reservation gives that one back first: the caller has made sure that there is
/// no quote for it. The reservations of `settled` header hashes, which have their quotes, are no longer needed; their amounts
/// stay used.
///
/// # Errors
/// Those of the store; the caller's transaction is then rolled back and nothing is reserved.
pub(crate) fn reserve(
    conn: &Connection,
    account: &Account,
    wishes: &[Wish],
    settled: &[HeaderHash],
    now_s: u64,
) -> Result<Vec<Verdict>, StoreError> {
    let mut forget =
        conn.prepare_cached("DELETE FROM allowance_reservation WHERE header_hash = ?1")?;
    for header_hash in settled {
        forget.execute(params![header_hash])?;
    }
    prune(conn, now_s)?;
    for (header_hash, _) in wishes {
        give_back(conn, header_hash)?;
    }

    let mut used = used(conn, &account.pool, &account.unit)?;
    let minute = to_sql(now_s / ALLOWANCE_BUCKET_S);
    let mut note = conn.prepare_cached(
        "INSERT INTO allowance_reservation (header_hash, pool, unit, minute, amount)
         VALUES (?1, ?2, ?3, ?4, ?5)",
    )?;
    let mut verdicts = Vec::with_capacity(wishes.len());
    let mut reserved = 0_u64;
    for (header_hash, amount) in wishes {
        let verdict = used.take(account.caps, *amount, now_s);
        if verdict == Verdict::Reserved {
            reserved = reserved.saturating_add(*amount);
            note.execute(params![
                header_hash,
                account.pool,
                account.unit,
                minute,
                to_sql(*amount)
            ])?;
        }
        verdicts.push(verdict);
    }
    if verdicts.contains(&Verdict::Reserved) {
        conn.prepare_cached(
            "INSERT INTO allowance_used (pool, unit, minute, amount) VALUES (?1, ?2, ?3, ?4)
             ON CONFLICT (pool, unit, minute) DO UPDATE SET amount = amount + excluded.amount",
        )?
        .execute(params![
            account.pool,
            account.unit,
            minute,
            to_sql(reserved)
        ])?;
    }
    Ok(verdicts)
}

/// Whether anything was ever reserved in this store, and so perhaps issued. What [`prune`] drops is always followed by newer use.
///
/// # Errors
/// Those of the store.
pub(crate) fn was_ever_used(conn: &Connection) -> Result<bool, StoreError> {
    Ok(conn
        .prepare_cached("SELECT 1 FROM allowance_used LIMIT 1")?
        .exists([])?)
}

/// What `pool` used of `unit` in the minutes that are kept.
///
/// # Errors
/// Those of the store.
pub(crate) fn used(conn: &Connection, pool: &str, unit: &str) -> Result<Used, StoreError> {
    let mut statement = conn.prepare_cached(
        "SELECT minute, amount FROM allowance_used WHERE pool = ?1 AND unit = ?2 ORDER BY minute",
    )?;
    let minutes = statement
        .query_map(params![pool, unit], |row| {
            Ok((from_sql(row.get(0)?), from_sql(row.get(1)?)))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    Ok(Used { minutes })
}

/// Takes back the reservation under `header_hash`, if there is one, and what it used.
fn give_back(conn: &Connection, header_hash: &HeaderHash) -> Result<(), StoreError> {
    let old: Option<(String, String, i64, i64)> = conn
        .prepare_cached(
            "DELETE FROM allowance_reservation WHERE header_hash = ?1
             RETURNING pool, unit, minute, amount",
        )?
        .query_row(params![header_hash], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
        })
        .optional()?;
    if let Some((pool, unit, minute, amount)) = old {
        conn.prepare_cached(
            "UPDATE allowance_used SET amount = max(amount - ?4, 0)
             WHERE pool = ?1 AND unit = ?2 AND minute = ?3",
        )?
        .execute(params![pool, unit, minute, amount])?;
    }
    Ok(())
}

/// Drops what no window can see any more.
fn prune(conn: &Connection, now_s: u64) -> Result<(), StoreError> {
    // leaves_at_s(minute) <= now_s, solved for the minute.
    let Some(since_s) = now_s.checked_sub(DAY_S + ALLOWANCE_BUCKET_S) else {
        return Ok(());
    };
    let minute = to_sql(since_s / ALLOWANCE_BUCKET_S);
    conn.prepare_cached("DELETE FROM allowance_reservation WHERE minute <= ?1")?
        .execute(params![minute])?;
    conn.prepare_cached("DELETE FROM allowance_used WHERE minute <= ?1")?
        .execute(params![minute])?;
    Ok(())
}

/// Amounts are at most 2^62 and caps as well, so sums within a cap fit; whatever else comes in is held at the top.
fn to_sql(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

fn from_sql(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const CAPS: Caps = Caps {
        per_hour: 100,
        per_day: 250,
    };
    /// Eleven seconds into some minute.
    const NOON_S: u64 = 1_800_000_011;

    fn store() -> Connection {
        let conn = Connection::open_in_memory().expect("memory");
        for migration in ALLOWANCE_SCHEMA.migrations {
            conn.execute_batch(migration).expect("a valid schema");
        }
        conn
    }

    fn account(pool: &str) -> Account {
        Account {
            pool: pool.to_owned(),
            unit: "hash".to_owned(),
            caps: CAPS,
        }
    }

    fn wish(conn: &Connection, pool: &str, share: u8, amount: u64, now_s: u64) -> Verdict {
        reserve(conn, &account(pool), &[([share; 32], amount)], &[], now_s).expect("a sound store")
            [0]
    }

    #[test]
    fn a_pool_at_its_hourly_cap_waits_exactly_until_it_frees() {
        let conn = store();
        assert_eq!(wish(&conn, "pool/a", 1, 60, NOON_S), Verdict::Reserved);
        assert_eq!(
            wish(&conn, "pool/a", 2, 40, NOON_S + 600),
            Verdict::Reserved
        );
        let Verdict::Exceeded {
            window: Window::Hour,
            retry_after_s,
        } = wish(&conn, "pool/a", 3, 50, NOON_S + 1_200)
        else {
            panic!("the hour is full");
        };
        let then_s = NOON_S + 1_200 + retry_after_s;
        assert!(matches!(
            wish(&conn, "pool/a", 3, 50, then_s - 1),
            Verdict::Exceeded { .. }
        ));
        assert!(
            then_s > NOON_S + HOUR_S,
            "never within an hour of the first"
        );
        assert_eq!(wish(&conn, "pool/a", 3, 50, then_s), Verdict::Reserved);
        // Another pool has an allowance of its own.
        assert_eq!(wish(&conn, "pool/b", 4, 100, then_s), Verdict::Reserved);
    }

    #[test]
    fn the_day_holds_over_many_hours() {
        let conn = store();
        assert_eq!(wish(&conn, "pool/a", 1, 100, NOON_S), Verdict::Reserved);
        assert_eq!(
            wish(&conn, "pool/a", 2, 100, NOON_S + 7_200),
            Verdict::Reserved
        );
        let late_s = NOON_S + 14_400;
        assert_eq!(wish(&conn, "pool/a", 3, 50, late_s), Verdict::Reserved);
        assert!(matches!(
            wish(&conn, "pool/a", 4, 1, late_s + 7_200),
            Verdict::Exceeded {
                window: Window::Day,
                ..
            }
        ));
        // A day and a minute after the first, its hundred is free again, and its rows are gone.
        assert_eq!(
            wish(&conn, "pool/a", 5, 100, NOON_S + DAY_S + ALLOWANCE_BUCKET_S),
            Verdict::Reserved
        );
        let oldest: i64 = conn
            .query_row("SELECT min(minute) FROM allowance_used", [], |row| {
                row.get(0)
            })
            .expect("rows");
        assert!(from_sql(oldest) > NOON_S / ALLOWANCE_BUCKET_S);
    }

    #[test]
    fn a_share_that_comes_again_without_a_quote_is_counted_once() {
        let conn = store();
        for minute in 0..20 {
            assert_eq!(
                wish(&conn, "pool/a", 1, 100, NOON_S + minute * 60),
                Verdict::Reserved
            );
        }
        // Once it has its quote, its amount stays used whatever comes.
        let verdicts = reserve(
            &conn,
            &account("pool/a"),
            &[([2; 32], 1)],
            &[[1; 32]],
            NOON_S + 1_200,
        );
        assert!(matches!(
            verdicts.expect("a sound store")[..],
            [Verdict::Exceeded { .. }]
        ));
        let left: i64 = conn
            .query_row("SELECT count(*) FROM allowance_reservation", [], |row| {
                row.get(0)
            })
            .expect("a count");
        assert_eq!(left, 0);
    }

    #[test]
    fn in_one_batch_what_fits_is_taken_and_what_does_not_is_told() {
        let conn = store();
        let wishes = [([1; 32], 70), ([2; 32], 40), ([3; 32], 30)];
        let verdicts = reserve(&conn, &account("pool/a"), &wishes, &[], NOON_S).expect("sound");
        assert_eq!(verdicts[0], Verdict::Reserved);
        assert!(matches!(verdicts[1], Verdict::Exceeded { .. }));
        assert_eq!(verdicts[2], Verdict::Reserved);
    }

    #[test]
    fn a_clock_that_is_set_back_frees_nothing() {
        let conn = store();
        assert_eq!(wish(&conn, "pool/a", 1, 100, NOON_S), Verdict::Reserved);
        assert!(matches!(
            wish(&conn, "pool/a", 2, 1, NOON_S - DAY_S),
            Verdict::Exceeded { .. }
        ));
    }
}
