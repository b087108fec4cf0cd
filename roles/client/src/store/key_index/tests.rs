use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::limits::KEY_FILTER_HASHES_MIN;

static KEYS: KeyIndex = key_index!("things_key");

/// As a process has it that has opened the file.
fn database(new_max: usize) -> Connection {
    let connection = Connection::open_in_memory().unwrap();
    connection
        .execute_batch(
            "CREATE TABLE things_key (hash INTEGER NOT NULL, id INTEGER NOT NULL, PRIMARY KEY (hash, id))
             STRICT, WITHOUT ROWID;
             CREATE TABLE things (id INTEGER PRIMARY KEY, hash INTEGER NOT NULL) STRICT",
        )
        .unwrap();
    opened_again(&connection, new_max);
    connection
}

fn opened_again(connection: &Connection, new_max: usize) {
    connection.execute_batch("BEGIN").unwrap();
    KEYS.begin(connection).unwrap();
    KEYS.keep(connection, new_max).unwrap();
    let mut rows = connection.prepare("SELECT hash, id FROM things").unwrap();
    let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?)));
    for row in rows.unwrap() {
        let (hash, id) = row.unwrap();
        KEYS.ensure(connection, hash, id).unwrap();
        KEYS.merge_while_opening(connection).unwrap();
    }
    connection.execute_batch("COMMIT").unwrap();
    KEYS.opened(connection).unwrap();
}

fn begin(connection: &Connection) {
    connection.execute_batch("BEGIN").unwrap();
    KEYS.transaction_begun(connection).unwrap();
}

fn commit(connection: &Connection) {
    KEYS.transaction_ends(connection).unwrap();
    connection.execute_batch("COMMIT").unwrap();
}

fn in_table(connection: &Connection) -> usize {
    connection
        .query_row("SELECT count(*) FROM things_key", [], |row| row.get(0))
        .unwrap()
}

fn remove(connection: &Connection, hash: i64, id: i64) {
    KEYS.remover(connection).unwrap().remove(hash, id).unwrap();
}

const SMALL: usize = 256;

#[test]
fn what_is_new_stays_in_memory_until_there_is_much_of_it_and_is_found_wherever_it_lies() {
    let connection = database(SMALL);
    let hash = |n: i64| key_hash(&[&n.to_le_bytes()]);
    let mut rows = 0;
    for _ in 0..200 {
        begin(&connection);
        let mut adder = KEYS.adder(&connection);
        for n in rows..rows + 50 {
            adder.insert(hash(n), n).unwrap();
        }
        commit(&connection);
        rows += 50;
        let in_memory = rows as usize - in_table(&connection);
        assert!(in_memory <= SMALL, "{in_memory} of {rows}");
        let merged_at_once = SMALL.saturating_sub(in_memory);
        assert!(
            rows <= SMALL as i64 || merged_at_once < SMALL / 8,
            "{in_memory} of {rows}: nobody waits for more than a few slices"
        );
    }
    for n in 0..rows + 50 {
        let expected: &[i64] = if n < rows { &[n] } else { &[] };
        assert_eq!(KEYS.find(&connection, hash(n)).unwrap(), expected, "{n}");
    }
}

/// Whoever asks chooses keys, and can try them out until their hashes lie where he wants them. More of them than the filter
/// of a slice has room for at first.
#[test]
fn keys_that_are_chosen_to_lie_in_one_slice_do_not_stay_in_memory() {
    let connection = database(SMALL);
    let in_last_slice = |n: i64| i64::MAX - n;
    let rows = KEY_FILTER_HASHES_MIN as i64 * 3;
    for first in (0..rows).step_by(64) {
        begin(&connection);
        let mut adder = KEYS.adder(&connection);
        for n in first..first + 64 {
            adder.insert(in_last_slice(n), n).unwrap();
        }
        commit(&connection);
        let in_memory = first as usize + 64 - in_table(&connection);
        assert!(in_memory <= SMALL, "{in_memory} of {first}");
    }
    for n in 0..rows {
        let found = KEYS.find(&connection, in_last_slice(n)).unwrap();
        assert_eq!(found, [n]);
    }
}

#[test]
fn two_rows_of_one_hash_are_both_found_and_taken_out_one_by_one() {
    let connection = database(1);
    begin(&connection);
    KEYS.insert(&connection, 7, 1).unwrap();
    commit(&connection);
    assert_eq!(in_table(&connection), 1);
    begin(&connection);
    KEYS.insert(&connection, 7, 2).unwrap();
    assert_eq!(KEYS.find(&connection, 7).unwrap(), [2, 1]);
    remove(&connection, 7, 1);
    commit(&connection);
    begin(&connection);
    assert_eq!(KEYS.find(&connection, 7).unwrap(), [2]);
    remove(&connection, 7, 2);
    commit(&connection);
    begin(&connection);
    assert!(KEYS.find(&connection, 7).unwrap().is_empty());
}

#[test]
fn an_older_files_rows_are_entered_in_the_order_of_the_index() {
    let connection = database(SMALL);
    let rows = (0..5_000_i64).map(|n| Ok((key_hash(&[&n.to_le_bytes()]), n)));
    KEYS.fill(&connection, rows).unwrap();
    assert_eq!(in_table(&connection), 5_000);
    KEYS.begin(&connection).unwrap();
    let found = KEYS.find(&connection, key_hash(&[&42_i64.to_le_bytes()]));
    assert_eq!(found.unwrap(), [42]);
}

/// The memory of a connection that is gone leads nowhere and is gone as well.
#[test]
fn a_connection_takes_its_memory_with_it() {
    let connection = database(SMALL);
    let memory = || {
        let (memory, _) = KEYS.memory(&connection, KEYS.memory).unwrap();
        Arc::downgrade(&memory)
    };
    let first = memory();
    assert!(first.upgrade().is_some());
    opened_again(&connection, SMALL);
    let second = memory();
    assert!(first.upgrade().is_none());
    assert!(second.upgrade().is_some());
    drop(connection);
    assert!(second.upgrade().is_none());
}

/// A batch goes on after a smaller one in it was undone.
#[test]
fn what_a_batch_adds_after_one_in_it_was_rolled_back_is_found() {
    let connection = database(SMALL);
    begin(&connection);
    let mut adder = KEYS.adder(&connection);
    adder.insert(1, 1).unwrap();
    connection.execute_batch("SAVEPOINT s").unwrap();
    KEYS.insert(&connection, 2, 2).unwrap();
    connection
        .execute_batch("ROLLBACK TO s; RELEASE s")
        .unwrap();
    adder.insert(3, 3).unwrap();
    commit(&connection);
    begin(&connection);
    let found = [1, 2, 3].map(|hash| KEYS.find(&connection, hash).unwrap());
    assert_eq!(found, [vec![1], vec![], vec![3]]);
}

/// What a process does; numbers choose a row or a hash.
#[derive(Clone, Debug)]
enum Step {
    Add(u8),
    Remove(u8),
    Savepoint,
    RollBackTo,
    Release,
    RollBack,
    Commit,
    /// The process is killed, and another one opens the file.
    Restart,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        20 => any::<u8>().prop_map(Step::Add),
        6 => any::<u8>().prop_map(Step::Remove),
        3 => Just(Step::Savepoint),
        2 => Just(Step::RollBackTo),
        2 => Just(Step::Release),
        2 => Just(Step::RollBack),
        6 => Just(Step::Commit),
        1 => Just(Step::Restart),
    ]
}

/// The rows as they are: by id the hash of each.
type Rows = BTreeMap<i64, i64>;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// Whatever is rolled back, and however far: every row is found by its hash, and what was rolled back is not; an id
    /// is given anew where that happened. A row that was deleted may be found for as long as that is not committed.
    #[test]
    fn rows_are_found_whatever_is_rolled_back(steps in prop::collection::vec(step(), 1..200)) {
        let connection = database(24);
        let hash = |n: u8| i64::from(n % 16) << 59 | i64::from(n % 3);
        let mut committed = Rows::new();
        // As of each savepoint that is open, the transaction's begin first.
        let mut before: Vec<Rows> = Vec::new();
        let mut rows = Rows::new();
        begin(&connection);
        before.push(rows.clone());
        for step in steps {
            match step {
                Step::Add(n) => {
                    let id = rows.last_key_value().map_or(1, |(last, _)| last + 1);
                    connection.execute("INSERT INTO things VALUES (?1, ?2)", [id, hash(n)]).unwrap();
                    KEYS.insert(&connection, hash(n), id).unwrap();
                    rows.insert(id, hash(n));
                }
                Step::Remove(n) => {
                    // The highest stays, so that no id is given again that was committed.
                    let place = usize::from(n) % rows.len().max(1);
                    let chosen = rows.iter().rev().skip(1).nth(place);
                    if let Some((id, hash)) = chosen.map(|(id, hash)| (*id, *hash)) {
                        connection.execute("DELETE FROM things WHERE id = ?1", [id]).unwrap();
                        remove(&connection, hash, id);
                        rows.remove(&id);
                    }
                }
                Step::Savepoint => {
                    connection.execute_batch("SAVEPOINT s").unwrap();
                    before.push(rows.clone());
                }
                Step::RollBackTo if before.len() > 1 => {
                    connection.execute_batch("ROLLBACK TO s; RELEASE s").unwrap();
                    rows = before.pop().unwrap();
                }
                Step::Release if before.len() > 1 => {
                    connection.execute_batch("RELEASE s").unwrap();
                    before.pop();
                }
                Step::RollBackTo | Step::Release => {}
                Step::RollBack | Step::Commit | Step::Restart => {
                    match step {
                        Step::Commit => {
                            commit(&connection);
                            committed = rows.clone();
                        }
                        _ => {
                            // Also where what is new was merged already.
                            KEYS.transaction_ends(&connection).unwrap();
                            connection.execute_batch("ROLLBACK").unwrap();
                            rows = committed.clone();
                        }
                    }
                    if let Step::Restart = step {
                        opened_again(&connection, 24);
                    }
                    begin(&connection);
                    before = vec![rows.clone()];
                }
            }
            let mut finder = KEYS.finder(&connection).unwrap();
            for n in 0..16 * 3 {
                let found = finder.find(hash(n)).unwrap();
                for (id, of_row) in &rows {
                    prop_assert_eq!(found.contains(id), *of_row == hash(n), "row {}", id);
                }
                let highest = rows.last_key_value().map_or(0, |(last, _)| *last);
                prop_assert!(found.iter().all(|id| *id <= highest), "{:?} above {}", found, highest);
            }
        }
    }
}
