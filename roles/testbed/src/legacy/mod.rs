//! Stand-ins for a pool and a mint of the Redis era, with their formats and their weaknesses: what Winze is held against,
//! and what is moved over to it.
//!
//! | | writes | reads |
//! |---|---|---|
//! | [`LegacyPool`] | one JSON object a share, `RPUSH` | the keyset, `GET` once a second at its start |
//! | [`LegacyMint`] | the keyset, `SET`; some a key for each quote, too | the list, `BRPOP`: the last one first |
//!
//! Which shapes and amounts a mint reads, and whether it writes ids, is its [`LegacyMintKind`].
//!
//! Each is a thread with a connection of its own, and writes its JSON by itself: were it written by the code that is
//! tried, a mistake there would agree with itself.

mod mint;
mod pool;

pub use mint::{LegacyMint, LegacyMintKind, LegacyMintPlan, LegacyQuote};
pub use pool::{LegacyPool, LegacyPoolPlan, LegacyShape};

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use redis::Connection;

use crate::error::TestbedError;

/// The list, by its exact key.
const REQUESTS: &str = "mint:quotes:create";
/// The active keyset, by its exact key.
const KEYSET: &str = "mint:keyset:active";
/// What stands before the header hash in the key of a quote's id.
const QUOTE_PREFIX: &str = "mint:quotes:hash:";

/// How often a thread looks whether it is to end while it waits for something.
const LOOK: Duration = Duration::from_millis(20);

/// How a thread is told to end.
#[derive(Debug, Default)]
struct End(AtomicU8);

impl End {
    const GO_ON: u8 = 0;
    const IN_GOOD_ORDER: u8 = 1;
    const AT_THE_WORST_MOMENT: u8 = 2;
    const AT_ONCE: u8 = 3;

    fn tell(&self, how: u8) {
        self.0.store(how, Ordering::SeqCst);
    }

    fn is(&self, how: u8) -> bool {
        self.0.load(Ordering::SeqCst) == how
    }

    /// Whether to begin something new.
    fn goes_on(&self) -> bool {
        self.is(End::GO_ON) || self.is(End::AT_THE_WORST_MOMENT)
    }
}

fn connect(url: &str) -> Result<Connection, redis::RedisError> {
    redis::Client::open(url)?.get_connection()
}

fn failed(who: &str) -> impl Fn(redis::RedisError) -> TestbedError {
    let who = who.to_owned();
    move |error| TestbedError::Legacy {
        who: who.clone(),
        problem: error.to_string(),
    }
}
