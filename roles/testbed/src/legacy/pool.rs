//! The old pool: pushes a request for each share, remembers none of them, and ends where Redis is away.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use cdk::nuts::SecretKey;
use rand::RngCore;
use redis::{Commands, Connection};
use winze_messages::text::header_hash_to_text;

use super::{End, KEYSET, LOOK, QUOTE_PREFIX, REQUESTS, connect, failed};
use crate::error::TestbedError;
use crate::limits::{LEGACY_ENDS_WITHIN, LEGACY_KEYS_PER_LOOK};
use crate::wait;

/// A share with so many leading zero bits is worth 1.
const MINIMUM_ZERO_BITS: u32 = 16;
/// How often the keyset is looked for at the start.
const KEYSET_EVERY: Duration = Duration::from_secs(1);

/// The shapes that pools have written in their time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LegacyShape {
    /// `{"quote_request":{..},"blinded_messages":[..]}`, the oldest.
    Nested,
    /// The fields and `blinded_messages` side by side.
    FlatWithMessages,
    /// The fields alone, the latest.
    Flat,
}

/// What an old pool is like.
#[derive(Clone, Debug)]
pub struct LegacyPoolPlan {
    /// `redis://host:port`.
    pub redis_url: String,
    /// What its entries look like.
    pub shape: LegacyShape,
    /// The unit as it writes it.
    pub unit: String,
    /// The description as it writes it, which is without escapes; `None`: `null`.
    pub description: Option<String>,
    /// The key that all its quotes are locked to; `None`: one that nobody has the secret of any more.
    pub locking_key: Option<[u8; 33]>,
    /// Shares a second.
    pub shares_per_second: u32,
    /// After so many shares it ends by itself; `None`: until it is told.
    pub shares: Option<u64>,
}

impl LegacyPoolPlan {
    /// One of the latest, with ten shares a second.
    pub fn new(redis_url: impl Into<String>) -> LegacyPoolPlan {
        LegacyPoolPlan {
            redis_url: redis_url.into(),
            shape: LegacyShape::Flat,
            unit: "HASH".to_owned(),
            description: None,
            locking_key: None,
            shares_per_second: 10,
            shares: None,
        }
    }
}

/// An old pool at work. Dropping it ends it at once.
pub struct LegacyPool {
    redis_url: String,
    end: Arc<End>,
    seen: Arc<Mutex<Seen>>,
    thread: Option<JoinHandle<()>>,
}

/// What has become of it, written by its thread.
#[derive(Default)]
struct Seen {
    /// Header hashes of what Redis has confirmed.
    pushed: BTreeSet<String>,
    /// That of an entry that may be in the list or not.
    in_doubt: Option<String>,
    /// Why it ended, where nobody told it to.
    problem: Option<String>,
}

impl LegacyPool {
    /// Starts it. It waits for a keyset before its first share.
    ///
    /// # Errors
    /// [`TestbedError::Legacy`] where Redis is away.
    pub fn start(plan: LegacyPoolPlan) -> Result<LegacyPool, TestbedError> {
        let redis = connect(&plan.redis_url).map_err(failed("the old pool"))?;
        let (end, seen) = (Arc::<End>::default(), Arc::<Mutex<Seen>>::default());
        let redis_url = plan.redis_url.clone();
        let (its_end, its_seen) = (Arc::clone(&end), Arc::clone(&seen));
        let thread = thread::spawn(move || {
            if let Err(error) = work(redis, &plan, &its_end, &its_seen) {
                lock(&its_seen).problem = Some(error.to_string());
            }
        });
        Ok(LegacyPool {
            redis_url,
            end,
            seen,
            thread: Some(thread),
        })
    }

    /// Header hashes, as they stand in the entries, of all that Redis has confirmed.
    pub fn pushed(&self) -> BTreeSet<String> {
        lock(&self.seen).pushed.clone()
    }

    /// How many these are.
    pub fn pushed_count(&self) -> u64 {
        lock(&self.seen).pushed.len() as u64
    }

    /// That of the entry whose confirmation it did not live to see: it may be in the list or not.
    pub fn in_doubt(&self) -> Option<String> {
        lock(&self.seen).in_doubt.clone()
    }

    /// Why it has ended, where nobody told it to: Redis was away.
    pub fn problem(&self) -> Option<String> {
        lock(&self.seen).problem.clone()
    }

    /// Whether it still pushes, or waits for a keyset.
    pub fn is_running(&self) -> bool {
        self.thread.as_ref().is_some_and(|it| !it.is_finished())
    }

    /// For how many of its shares there is the id of a quote.
    ///
    /// # Errors
    /// [`TestbedError::Legacy`] where Redis is away.
    pub fn answered_count(&self) -> Result<u64, TestbedError> {
        let failed = failed("the old pool");
        let mut redis = connect(&self.redis_url).map_err(&failed)?;
        let pushed: Vec<String> = self.pushed().into_iter().collect();
        let mut answered = 0;
        for some in pushed.chunks(LEGACY_KEYS_PER_LOOK) {
            let keys: Vec<String> = some
                .iter()
                .map(|it| format!("{QUOTE_PREFIX}{it}"))
                .collect();
            let ids: Vec<Option<String>> = redis.mget(keys).map_err(&failed)?;
            answered += ids
                .into_iter()
                .flatten()
                .filter(|id| !id.is_empty())
                .count() as u64;
        }
        Ok(answered)
    }

    /// Ends it between two shares.
    ///
    /// # Errors
    /// [`TestbedError::Deadline`].
    pub async fn stop(&mut self) -> Result<(), TestbedError> {
        self.end(End::IN_GOOD_ORDER).await
    }

    /// Ends it in the middle of a push: its entry is in the list, and it does not know.
    ///
    /// # Errors
    /// [`TestbedError::Deadline`].
    pub async fn kill(&mut self) -> Result<(), TestbedError> {
        self.end(End::AT_THE_WORST_MOMENT).await
    }

    async fn end(&mut self, how: u8) -> Result<(), TestbedError> {
        self.end.tell(how);
        wait::until("end of the old pool", LEGACY_ENDS_WITHIN, || async {
            match self.is_running() {
                true => Err("it pushes".to_owned()),
                false => Ok(()),
            }
        })
        .await
    }
}

impl Drop for LegacyPool {
    fn drop(&mut self) {
        self.end.tell(End::AT_ONCE);
        if let Some(thread) = self.thread.take() {
            // It fails where the thread has panicked, and then that was shown.
            let _ = thread.join();
        }
    }
}

fn work(
    mut redis: Connection,
    plan: &LegacyPoolPlan,
    end: &End,
    seen: &Mutex<Seen>,
) -> Result<(), redis::RedisError> {
    let Some(keyset_id) = keyset_id(&mut redis, end)? else {
        return Ok(());
    };
    let locking_key = plan
        .locking_key
        .unwrap_or_else(|| SecretKey::generate().public_key().to_bytes());
    let begun = Instant::now();
    let mut found = 0_u32;
    while end.goes_on() && plan.shares.is_none_or(|shares| u64::from(found) < shares) {
        let (header_hash, amount) = share();
        let entry = entry(plan, &header_hash, amount, &locking_key, &keyset_id);
        lock(seen).in_doubt = Some(header_hash.clone());
        redis.rpush::<_, _, u64>(REQUESTS, entry)?;
        if end.is(End::AT_THE_WORST_MOMENT) || end.is(End::AT_ONCE) {
            return Ok(());
        }
        let mut seen = lock(seen);
        seen.in_doubt = None;
        seen.pushed.insert(header_hash);
        drop(seen);
        found = found.saturating_add(1);
        // By the time since the start: a sleep takes longer than it should.
        let due = begun + Duration::from_secs(1) * found / plan.shares_per_second.max(1);
        while end.is(End::GO_ON) && Instant::now() < due {
            thread::sleep(LOOK.min(due.saturating_duration_since(Instant::now())));
        }
    }
    Ok(())
}

/// `None` where it is told to end before there is one.
fn keyset_id(redis: &mut Connection, end: &End) -> Result<Option<String>, redis::RedisError> {
    loop {
        let keyset: Option<String> = redis.get(KEYSET)?;
        if let Some(keyset) = keyset
            && let Some((_, rest)) = keyset.split_once("\"id\":\"")
            && let Some((id, _)) = rest.split_once('"')
        {
            return Ok(Some(id.to_owned()));
        }
        let next = Instant::now() + KEYSET_EVERY;
        while Instant::now() < next {
            if !end.is(End::GO_ON) {
                return Ok(None);
            }
            thread::sleep(LOOK);
        }
    }
}

/// A header hash as text, and what it is worth.
fn share() -> (String, u64) {
    let mut header_hash = [0; 32];
    rand::thread_rng().fill_bytes(&mut header_hash);
    // The zeros in front of the text are at the end of the bytes.
    header_hash[30..].fill(0);
    let zero_bits: u32 = 16 + header_hash[29].leading_zeros();
    let amount = 1 << (zero_bits - MINIMUM_ZERO_BITS);
    (header_hash_to_text(&header_hash), amount)
}

fn entry(
    plan: &LegacyPoolPlan,
    header_hash: &str,
    amount: u64,
    locking_key: &[u8; 33],
    keyset_id: &str,
) -> String {
    let unit = &plan.unit;
    let pubkey = hex::encode(locking_key);
    let description = match &plan.description {
        Some(text) => format!("\"{text}\""),
        None => "null".to_owned(),
    };
    let fields = format!(
        "\"unit\":\"{unit}\",\"amount\":{amount},\"header_hash\":\"{header_hash}\",\"description\":{description},\
         \"pubkey\":\"{pubkey}\""
    );
    let messages = format!(
        "\"blinded_messages\":[{{\"amount\":{amount},\"id\":\"{keyset_id}\",\"B_\":\"{pubkey}\"}}]"
    );
    match plan.shape {
        LegacyShape::Nested => format!("{{\"quote_request\":{{{fields}}},{messages}}}"),
        LegacyShape::FlatWithMessages => format!("{{{fields},{messages}}}"),
        LegacyShape::Flat => format!("{{{fields},\"keyset_id\":\"{keyset_id}\"}}"),
    }
}

/// A thread that panicked has left it whole: each change is one assignment.
fn lock(seen: &Mutex<Seen>) -> std::sync::MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
