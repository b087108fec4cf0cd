//! The old mint: pops a request, makes its quote in a transaction of its own, and knows nothing any more of what it had
//! popped when it was killed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use cdk::nuts::{Id, Keys, SecretKey};
use rand::RngCore;
use redis::{Commands, Connection};
use rusqlite::params;
use serde::Deserialize;

use super::{End, KEYSET, LOOK, QUOTE_PREFIX, REQUESTS, connect, failed};
use crate::error::TestbedError;
use crate::limits::{LEGACY_ENDS_WITHIN, LEGACY_STORE_TIMEOUT};
use crate::wait;

/// After Redis was away.
const DIAL_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// The kinds of old mints that there were, and one that there was not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegacyMintKind {
    /// Of spring 2025. It reads nested entries with `blinded_messages`, if only an empty list, drops the others, takes any
    /// amount, and writes the id of each quote under a key. Its quotes are in memory, each under its id alone: a header hash
    /// that comes twice is two quotes, and a restart has none left.
    Nested,
    /// Of August 2025, the last. It reads flat entries with a `keyset_id`, drops the others and every amount outside 1 to
    /// 256, writes no ids, and refuses a header hash that it has had.
    Flat,
    /// None that ever ran: it reads every shape and amount, writes the ids of quotes and refuses a header hash that it has
    /// had. It stands for what a direction is built for, where a story needs both ids and a store that outlives its mint.
    Lenient,
}

/// What an old mint is like.
#[derive(Clone, Debug)]
pub struct LegacyMintPlan {
    /// What it reads, and keeps.
    pub kind: LegacyMintKind,
    /// `redis://host:port`.
    pub redis_url: String,
    /// Its store. One that exists is gone on with, its keyset too.
    pub store_file: PathBuf,
    /// Whether it writes the id of each quote under a key.
    pub writes_quote_ids: bool,
    /// The list that it pops from.
    pub requests_list: String,
    /// The unit as it writes it into the keyset. In requests it takes either case.
    pub unit: String,
}

impl LegacyMintPlan {
    /// One of this kind, with the names of its time.
    pub fn of_kind(
        kind: LegacyMintKind,
        redis_url: impl Into<String>,
        store_file: impl Into<PathBuf>,
    ) -> LegacyMintPlan {
        LegacyMintPlan {
            kind,
            writes_quote_ids: kind != LegacyMintKind::Flat,
            ..LegacyMintPlan::new(redis_url, store_file)
        }
    }

    /// A [`LegacyMintKind::Lenient`] one.
    pub fn new(redis_url: impl Into<String>, store_file: impl Into<PathBuf>) -> LegacyMintPlan {
        LegacyMintPlan {
            kind: LegacyMintKind::Lenient,
            redis_url: redis_url.into(),
            store_file: store_file.into(),
            writes_quote_ids: true,
            requests_list: REQUESTS.to_owned(),
            unit: "HASH".to_owned(),
        }
    }
}

/// A quote in an old mint's store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LegacyQuote {
    /// Its id.
    pub quote_id: String,
    /// In the mint's unit.
    pub amount: u64,
    /// What it is locked to, hexadecimal, where the request named something.
    pub pubkey: Option<String>,
}

/// An old mint at work. Dropping it ends it at once.
pub struct LegacyMint {
    plan: LegacyMintPlan,
    end: Arc<End>,
    counts: Arc<Counts>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Counts {
    popped: AtomicU64,
    made: AtomicU64,
    repeated: AtomicU64,
    second: AtomicU64,
    unreadable: AtomicU64,
    lost: AtomicU64,
}

/// An entry, as far as it is looked at.
#[derive(Deserialize)]
struct Entry {
    quote_request: Option<Fields>,
    blinded_messages: Option<Vec<serde_json::Value>>,
    keyset_id: Option<String>,
    #[serde(flatten)]
    fields: Option<Fields>,
}

#[derive(Deserialize)]
struct Fields {
    unit: String,
    amount: u64,
    header_hash: String,
    pubkey: Option<String>,
}

impl LegacyMintKind {
    /// What it makes a quote of; `None` where it drops the entry.
    fn read(self, entry: &[u8]) -> Option<Fields> {
        let entry: Entry = serde_json::from_slice(entry).ok()?;
        match self {
            LegacyMintKind::Nested => entry.blinded_messages.and(entry.quote_request),
            LegacyMintKind::Flat => {
                let fields = entry.keyset_id.and(entry.fields);
                fields.filter(|fields| (1..=256).contains(&fields.amount))
            }
            LegacyMintKind::Lenient => entry.quote_request.or(entry.fields),
        }
    }
}

impl LegacyMint {
    /// Opens its store and sets the keyset. From then on it pops.
    ///
    /// # Errors
    /// [`TestbedError::Legacy`] where Redis is away or the store cannot be opened.
    pub fn start(plan: LegacyMintPlan) -> Result<LegacyMint, TestbedError> {
        let store = Store::open(&plan)?;
        if plan.kind == LegacyMintKind::Nested {
            store.forget_quotes()?;
        }
        let mut redis = connect(&plan.redis_url).map_err(failed("the old mint"))?;
        redis
            .set::<_, _, ()>(KEYSET, store.keyset(&plan.unit)?)
            .map_err(failed("the old mint"))?;
        let (end, counts) = (Arc::<End>::default(), Arc::<Counts>::default());
        let worker = Worker {
            plan: plan.clone(),
            store,
            end: Arc::clone(&end),
            counts: Arc::clone(&counts),
            owed: None,
        };
        let thread = thread::spawn(move || worker.run(redis));
        Ok(LegacyMint {
            plan,
            end,
            counts,
            thread: Some(thread),
        })
    }

    /// Every quote in its store, by header hash as in the entries: where there are two, the later one.
    ///
    /// # Errors
    /// [`TestbedError::Legacy`] where the store cannot be read.
    pub fn quotes(&self) -> Result<BTreeMap<String, LegacyQuote>, TestbedError> {
        Store::open(&self.plan)?.quotes()
    }

    /// Entries that it has popped since it was started.
    pub fn popped_count(&self) -> u64 {
        self.counts.popped.load(Ordering::SeqCst)
    }

    /// Quotes that it has made since it was started.
    pub fn made_count(&self) -> u64 {
        self.counts.made.load(Ordering::SeqCst)
    }

    /// Entries that its store refused, since there was a quote for their header hash.
    pub fn repeated_count(&self) -> u64 {
        self.counts.repeated.load(Ordering::SeqCst)
    }

    /// Quotes that it made for a header hash which it had one for: of [`LegacyMintKind::Nested`] alone.
    pub fn second_count(&self) -> u64 {
        self.counts.second.load(Ordering::SeqCst)
    }

    /// Entries that it could not read, or whose amount it does not take, and dropped.
    pub fn unreadable_count(&self) -> u64 {
        self.counts.unreadable.load(Ordering::SeqCst)
    }

    /// Entries that it had popped when it was killed.
    pub fn lost_count(&self) -> u64 {
        self.counts.lost.load(Ordering::SeqCst)
    }

    /// Whether it pops.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|it| !it.is_finished())
    }

    /// Ends it once it has made the quote that it is at.
    ///
    /// # Errors
    /// [`TestbedError::Deadline`].
    pub async fn stop(&mut self) -> Result<(), TestbedError> {
        self.end.tell(End::IN_GOOD_ORDER);
        self.ended().await
    }

    /// Ends it behind its next pop: nobody has the entry any more. Waits until there was one.
    ///
    /// # Errors
    /// [`TestbedError::Deadline`] where nothing was pushed meanwhile.
    pub async fn kill_after_pop(&mut self) -> Result<(), TestbedError> {
        self.end.tell(End::AT_THE_WORST_MOMENT);
        self.ended().await
    }

    /// Ends it at once, whatever it has in hand.
    ///
    /// # Errors
    /// [`TestbedError::Deadline`].
    pub async fn kill(&mut self) -> Result<(), TestbedError> {
        self.end.tell(End::AT_ONCE);
        self.ended().await
    }

    async fn ended(&self) -> Result<(), TestbedError> {
        wait::until("end of the old mint", LEGACY_ENDS_WITHIN, || async {
            match self.is_running() {
                true => Err(format!("{:?}", self.counts)),
                false => Ok(()),
            }
        })
        .await
    }
}

impl Drop for LegacyMint {
    fn drop(&mut self) {
        self.end.tell(End::AT_ONCE);
        if let Some(thread) = self.thread.take() {
            // It fails where the thread has panicked, and then that was shown.
            let _ = thread.join();
        }
    }
}

struct Worker {
    plan: LegacyMintPlan,
    store: Store,
    end: Arc<End>,
    counts: Arc<Counts>,
    /// A key that Redis was not there for, and the id that belongs under it.
    owed: Option<(String, String)>,
}

impl Worker {
    fn run(mut self, redis: Connection) {
        let mut connection = Some(redis);
        while self.end.goes_on() || (self.end.is(End::IN_GOOD_ORDER) && self.owed.is_some()) {
            let Some(redis) = &mut connection else {
                thread::sleep(DIAL_AGAIN_AFTER);
                connection = connect(&self.plan.redis_url).ok();
                continue;
            };
            match self.turn(redis) {
                Ok(true) => {}
                Ok(false) => return,
                Err(error) => {
                    tracing::debug!(%error, "the old mint lost Redis");
                    connection = None;
                }
            }
        }
    }

    /// One pop and what follows; `false` where it was killed by then.
    fn turn(&mut self, redis: &mut Connection) -> Result<bool, redis::RedisError> {
        if let Some((key, quote_id)) = &self.owed {
            redis.set::<_, _, ()>(key, quote_id)?;
            self.owed = None;
            return Ok(true);
        }
        let popped: Option<(String, Vec<u8>)> =
            redis.brpop(&self.plan.requests_list, LOOK.as_secs_f64())?;
        let Some((_, entry)) = popped else {
            return Ok(true);
        };
        count(&self.counts.popped);
        if self.end.is(End::AT_ONCE) || self.end.is(End::AT_THE_WORST_MOMENT) {
            count(&self.counts.lost);
            return Ok(false);
        }
        let Some(fields) = self.plan.kind.read(&entry) else {
            count(&self.counts.unreadable);
            return Ok(true);
        };
        if !fields.unit.eq_ignore_ascii_case(&self.plan.unit) {
            count(&self.counts.unreadable);
            return Ok(true);
        }
        let quote_id = match self.store.add(&fields, self.plan.kind) {
            Ok(Some((quote_id, is_second))) => {
                if is_second {
                    count(&self.counts.second);
                }
                quote_id
            }
            Ok(None) => {
                count(&self.counts.repeated);
                return Ok(true);
            }
            Err(error) => {
                tracing::debug!(%error, "the old mint's store fails, and the entry is dropped");
                count(&self.counts.unreadable);
                return Ok(true);
            }
        };
        count(&self.counts.made);
        if self.plan.writes_quote_ids {
            // Written at the next turn: at once, or when Redis is back.
            let key = format!("{QUOTE_PREFIX}{}", fields.header_hash);
            self.owed = Some((key, quote_id));
        }
        Ok(true)
    }
}

/// Quotes and the secret keys of the keyset.
struct Store(rusqlite::Connection);

impl Store {
    fn open(plan: &LegacyMintPlan) -> Result<Store, TestbedError> {
        let open = || {
            let store = rusqlite::Connection::open(&plan.store_file)?;
            store.busy_timeout(LEGACY_STORE_TIMEOUT)?;
            store.execute_batch(
                "PRAGMA journal_mode = WAL;
                 PRAGMA synchronous = FULL;
                 CREATE TABLE IF NOT EXISTS quote (
                     number INTEGER PRIMARY KEY, header_hash TEXT NOT NULL, quote_id TEXT NOT NULL,
                     amount INTEGER NOT NULL, pubkey TEXT);
                 CREATE INDEX IF NOT EXISTS quote_header_hash ON quote (header_hash);
                 CREATE TABLE IF NOT EXISTS secret (amount TEXT PRIMARY KEY, secret TEXT NOT NULL);",
            )?;
            Ok(Store(store))
        };
        open().map_err(store_failed)
    }

    /// A restart has none left.
    fn forget_quotes(&self) -> Result<(), TestbedError> {
        let forgotten = self.0.execute("DELETE FROM quote", []);
        forgotten.map(drop).map_err(store_failed)
    }

    /// The id of the quote that was made, and whether there was one for its header hash; `None` where that is refused.
    fn add(
        &mut self,
        fields: &Fields,
        kind: LegacyMintKind,
    ) -> rusqlite::Result<Option<(String, bool)>> {
        let mut id = [0; 16];
        rand::thread_rng().fill_bytes(&mut id);
        let id = hex::encode(id);
        let amount = i64::try_from(fields.amount)
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))?;
        let transaction = self.0.transaction()?;
        let is_second: bool = transaction.query_row(
            "SELECT EXISTS (SELECT 1 FROM quote WHERE header_hash = ?1)",
            [&fields.header_hash],
            |row| row.get(0),
        )?;
        if is_second && kind != LegacyMintKind::Nested {
            return Ok(None);
        }
        transaction.execute(
            "INSERT INTO quote (header_hash, quote_id, amount, pubkey) VALUES (?1, ?2, ?3, ?4)",
            params![fields.header_hash, id, amount, fields.pubkey],
        )?;
        transaction.commit()?;
        Ok(Some((id, is_second)))
    }

    fn quotes(&self) -> Result<BTreeMap<String, LegacyQuote>, TestbedError> {
        let read = || {
            let mut all = self.0.prepare(
                "SELECT header_hash, quote_id, amount, pubkey FROM quote ORDER BY number",
            )?;
            let rows = all.query_map([], |row| {
                let amount: i64 = row.get(2)?;
                let quote = LegacyQuote {
                    quote_id: row.get(1)?,
                    amount: amount.unsigned_abs(),
                    pubkey: row.get(3)?,
                };
                Ok((row.get(0)?, quote))
            })?;
            rows.collect::<rusqlite::Result<_>>()
        };
        read().map_err(store_failed)
    }

    /// 64 keys, as JSON without spaces. Made once.
    fn keyset(&self, unit: &str) -> Result<String, TestbedError> {
        let mut keys = BTreeMap::new();
        for bit in 0..64 {
            let amount = 1_u64 << bit;
            let key = self.public_key(amount).map_err(store_failed)?;
            keys.insert(cdk::Amount::from(amount), key);
        }
        let id = Id::v1_from_keys(&Keys::new(keys.clone()));
        let keys: Vec<String> = keys
            .iter()
            .map(|(amount, key)| format!("\"{amount}\":\"{}\"", key.to_hex()))
            .collect();
        Ok(format!(
            "{{\"id\":\"{id}\",\"unit\":\"{unit}\",\"keys\":{{{}}}}}",
            keys.join(",")
        ))
    }

    fn public_key(&self, amount: u64) -> rusqlite::Result<cdk::nuts::PublicKey> {
        let new = SecretKey::generate().to_secret_hex();
        self.0.execute(
            "INSERT OR IGNORE INTO secret (amount, secret) VALUES (?1, ?2)",
            params![amount.to_string(), new],
        )?;
        let secret: String = self.0.query_row(
            "SELECT secret FROM secret WHERE amount = ?1",
            params![amount.to_string()],
            |row| row.get(0),
        )?;
        SecretKey::from_hex(&secret)
            .map(|secret| secret.public_key())
            .map_err(|error| rusqlite::Error::ToSqlConversionFailure(error.into()))
    }
}

fn store_failed(error: rusqlite::Error) -> TestbedError {
    TestbedError::Legacy {
        who: "the old mint's store".to_owned(),
        problem: error.to_string(),
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::SeqCst);
}
