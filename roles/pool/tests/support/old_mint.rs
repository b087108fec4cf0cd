//! A mint of the Redis era: takes requests off the list, and writes the ids of its quotes. They are those of
//! [`TestMint`](super::mint::TestMint): the two are one mint with two ears.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::task::JoinHandle;
use winze_legacy::{Keyset, QuoteRequest};
use winze_redis::testing::{RedisServer, Wanted};
use winze_redis::{Handover, Intake, KeysetKey, Redis, Taken};

use super::{KEYSET_ID, World, until};

/// A Redis of one's own.
pub fn redis(world: &World) -> RedisServer {
    let wanted = Wanted {
        durable: true,
        ..Wanted::default()
    };
    RedisServer::start(&world.at("redis"), wanted).unwrap()
}

/// The pool's table for it; `more` belongs to the table of the way over it.
pub fn tables(redis: &RedisServer, more: &str) -> String {
    let address = redis.address();
    format!("[redis]\naddress = \"{address}\"\n[redis_path]\n{more}")
}

/// Puts the keyset there, as a mint does when it starts.
pub async fn write_keyset(redis: &RedisServer) {
    write_keyset_of(redis, KEYSET_ID).await;
}

/// As a mint with this keyset does.
pub async fn write_keyset_of(redis: &RedisServer, id: [u8; 8]) {
    let config = redis.config();
    let keyset = Keyset {
        id: id.to_vec(),
        unit: "hash".to_owned(),
        keys: BTreeMap::from([(1, [2; 33])]),
    };
    let mut key = KeysetKey::new(&config.open().unwrap(), &config.keyset_key);
    key.write(&keyset.to_json("HASH")).await.unwrap();
}

/// Entries in the list.
pub async fn list_length(redis: &RedisServer) -> u64 {
    let config = redis.config();
    let (list, dead) = (&config.requests_list, &config.dead_letters_list);
    let mut intake = Intake::new(&config.open().unwrap(), list, dead, "nobody");
    intake.lengths().await.unwrap().0
}

/// Writes something under the key of a share's quote.
pub async fn write_id(redis: &RedisServer, header_hash: &str, id: &str) {
    let config = redis.config();
    let open = config.open().unwrap();
    let mut handover = Handover::new(&open, &config.requests_list, &config.quote_key_prefix);
    let ids = [(header_hash.to_owned(), id.to_owned())];
    handover.set_quote_ids(&ids, 0).await.unwrap();
}

/// Puts a text under `<prefix>:<name>`, which is gone after so many seconds.
pub async fn put_text(redis: &RedisServer, prefix: &str, name: &str, kept_s: u64) {
    let config = redis.config();
    let mut handover = Handover::new(&config.open().unwrap(), &config.requests_list, prefix);
    let texts = [(name.to_owned(), "no list".to_owned())];
    handover.set_quote_ids(&texts, kept_s).await.unwrap();
}

pub struct OldMint {
    /// How often each share was taken off the list, in the order in which they first came.
    taken: Arc<Mutex<Vec<(QuoteRequest, u32)>>>,
    task: JoinHandle<()>,
}

impl OldMint {
    /// One that writes ids, or does not.
    pub async fn start(redis: &RedisServer, writes_ids: bool) -> OldMint {
        write_keyset(redis).await;
        let open = redis.config().open().unwrap();
        let taken = Arc::new(Mutex::new(Vec::new()));
        let task = tokio::spawn(serve(open, redis.config(), writes_ids, Arc::clone(&taken)));
        OldMint { taken, task }
    }

    pub fn taken(&self) -> Vec<(QuoteRequest, u32)> {
        self.taken.lock().unwrap().clone()
    }

    pub async fn has_taken(&self, shares: usize) {
        until("the old mint takes them", || async {
            (self.taken().len() == shares).then_some(())
        })
        .await;
    }
}

impl Drop for OldMint {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    redis: Redis,
    config: winze_redis::RedisConfig,
    writes_ids: bool,
    taken: Arc<Mutex<Vec<(QuoteRequest, u32)>>>,
) {
    let (list, dead) = (&config.requests_list, &config.dead_letters_list);
    let mut intake = Intake::new(&redis, list, dead, "old");
    let mut handover = Handover::new(&redis, list, &config.quote_key_prefix);
    loop {
        // Redis may be away for a while.
        let Ok(entries) = intake.take(100, Duration::from_secs(1)).await else {
            continue;
        };
        let mut ids = Vec::new();
        for entry in entries {
            let Taken::Entry(entry) = entry else {
                panic!("too long");
            };
            let (request, _) = QuoteRequest::parse(&entry).unwrap();
            assert_eq!(request.keyset_id.as_deref(), Some(&KEYSET_ID[..]));
            let hash = request.header_hash_text();
            ids.push((hash, hex::encode(&request.header_hash[..8])));
            let mut taken = taken.lock().unwrap();
            match taken.iter_mut().find(|(known, _)| *known == request) {
                Some((_, times)) => *times += 1,
                None => taken.push((request, 1)),
            }
        }
        if writes_ids && handover.set_quote_ids(&ids, 0).await.is_err() {
            continue;
        }
        let _ = intake.settle(&[]).await;
    }
}
