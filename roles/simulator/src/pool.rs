//! A pool: the real requester on a real database, with shares out of nowhere.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rusqlite::{Connection, OptionalExtension, params};
use winze_client::delivery::Now;
use winze_client::mint_quote::{
    HousekeepingWanted, NumbersFound, NumbersWanted, PageWanted, QuoteRequesterCore, RecordedBatch,
    RecordingWanted, StoreNumbers,
};
use winze_client::outbox::{
    Backlog, NewRequest, OUTBOX_SCHEMA, SetBack, StoredRequest, backlog, enqueue, numbers,
    parked_page, process_started, release, set_backs,
};
use winze_client::session::{ChannelKey, Woken};
use winze_client::store::StoreError;
use winze_client::{Enqueued, QuoteAnswers, QuoteEvent, QuoteRequesterConfig};
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteRequest, MintQuoteResponse,
};

use crate::cast::{MINT, identity, key_of};
use crate::chat::{Chat, VENDOR};
use crate::client::Client;
use crate::store::Disk;

const QUOTES: &str = "
    CREATE TABLE quote (header_hash BLOB NOT NULL, quote_id TEXT NOT NULL, amount INTEGER NOT NULL);
    CREATE TABLE keyset (unit TEXT NOT NULL PRIMARY KEY, body BLOB NOT NULL);
";

/// Requests that may be under way at a time.
pub const WINDOW: u64 = 8;

/// How long a pool's housekeeping rests, in milliseconds.
const HOUSE_MS: u64 = 500;

/// Work for the disk: done at one moment, and heard of at a later one.
enum Op<W, R> {
    Commit { at_ms: u64, work: W },
    Report { at_ms: u64, outcome: R },
}

type Pending<W, T> = Option<Op<W, Result<T, StoreError>>>;

/// What a pool does with the mint's word.
#[derive(Default)]
struct Books {
    /// The next effect cannot be written.
    fails: AtomicBool,
}

impl QuoteAnswers for Books {
    fn on_response(
        &self,
        tx: &Connection,
        request: &MintQuoteRequest,
        response: &MintQuoteResponse,
    ) -> Result<(), StoreError> {
        if self.fails.swap(false, Ordering::Relaxed) {
            return Err(StoreError::Aborted {
                reason: "the effect cannot be written".to_owned(),
            });
        }
        tx.execute(
            "INSERT INTO quote VALUES (?1, ?2, ?3)",
            params![&request.header_hash[..], response.quote_id, response.amount],
        )?;
        Ok(())
    }

    fn on_refusal(
        &self,
        _: &Connection,
        _: &MintQuoteRequest,
        _: &MintQuoteError,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn on_keyset(&self, tx: &Connection, keyset: &KeysetAnnouncement) -> Result<(), StoreError> {
        let mut body = Vec::new();
        keyset
            .encode_body(&mut body)
            .map_err(|error| StoreError::Aborted {
                reason: error.to_string(),
            })?;
        tx.execute(
            "INSERT OR REPLACE INTO keyset VALUES (?1, ?2)",
            params![keyset.unit, body],
        )?;
        Ok(())
    }

    fn committed(&self, _: &[QuoteEvent]) {}
}

/// A pool's process.
pub struct Process {
    /// Its connection.
    pub client: Client,
    requester: QuoteRequesterCore,
    quotes: ChannelKey,
    /// Its chat channels.
    pub chat_keys: Vec<ChannelKey>,
    /// What is said on them.
    pub chat: Chat,
    loading: Pending<PageWanted, Vec<StoredRequest>>,
    recording: Pending<RecordingWanted, RecordedBatch>,
    housekeeping: Pending<HousekeepingWanted, Backlog>,
    numbers: Pending<NumbersWanted, NumbersFound>,
    house_at_ms: u64,
}

/// See the [module](self).
pub struct Pool {
    /// Its peer name.
    pub name: &'static str,
    /// What survives the process.
    pub disk: Disk,
    /// `None` while it is down.
    pub process: Option<Process>,
    /// When it comes back.
    pub starts_at_ms: u64,
    books: Arc<Books>,
    last_epoch: u64,
    /// Something was committed since it was last checked.
    pub is_dirty: bool,
}

impl Pool {
    /// A pool that has never run.
    pub fn new(name: &'static str) -> Pool {
        Pool {
            name,
            disk: Disk::new(&[OUTBOX_SCHEMA], &[QUOTES]),
            process: None,
            starts_at_ms: 0,
            books: Arc::default(),
            last_epoch: 0,
            is_dirty: false,
        }
    }

    /// Starts the process.
    pub fn start(&mut self, now: Now, rng: &mut ChaCha8Rng) {
        let now_ms = now.ms;
        let begun = self.disk.begin(now.unix_ms);
        debug_assert!(begun.is_ok());
        let begun = self.disk.write(u64::MAX, process_started);
        debug_assert!(begun.is_ok());
        self.is_dirty = true;
        let mut client = Client::new(identity(self.name), now_ms);
        let mint = MINT.parse().expect("the cast have names");
        let mut config = QuoteRequesterConfig::new(mint, key_of(MINT).public_key());
        config.window = WINDOW as usize;
        config.timeout_ms = 2_000;
        config.timeout_max_ms = 8_000;
        config.delay_ms = 200;
        config.delay_max_ms = 4_000;
        let requester = QuoteRequesterCore::new(
            &client.identity,
            config.clone(),
            Box::new(ChaCha8Rng::seed_from_u64(rng.r#gen())),
        );
        let mut open = |extension, label: &str| {
            client
                .session
                .open(extension, &config.mint, label, now_ms)
                .expect("a new session has no channels")
        };
        let quotes = open(EXT_MINT_QUOTE, "");
        let chat_keys = ["one", "two"].map(|label| open(VENDOR, label)).to_vec();
        self.process = Some(Process {
            client,
            requester,
            quotes,
            chat_keys,
            chat: Chat::after(self.last_epoch),
            loading: None,
            recording: None,
            housekeeping: None,
            numbers: None,
            house_at_ms: now_ms,
        });
    }

    /// The process is gone, with all that was not committed.
    pub fn crash(&mut self, starts_at_ms: u64) {
        if let Some(process) = self.process.take() {
            self.last_epoch = process.chat.last_epoch() + 1;
        }
        self.starts_at_ms = starts_at_ms;
    }

    /// How far its outbox has come, and what it has noticed: of itself, and of the mint.
    pub fn numbers(&self) -> Result<(StoreNumbers, [Option<SetBack>; 2]), StoreError> {
        self.disk.read(|db| {
            Ok((
                numbers(db, MINT, EXT_MINT_QUOTE)?,
                set_backs(db, MINT, EXT_MINT_QUOTE)?,
            ))
        })
    }

    /// From now on nothing goes wrong: what a lying hub had parked is sent again, by the operator.
    pub fn mend(&mut self, now: Now) {
        self.books.fails.store(false, Ordering::Relaxed);
        let released = self.disk.write(now.ms, |db| {
            for parked in parked_page(db, MINT, EXT_MINT_QUOTE, 0, 10_000)? {
                if parked.error.starts_with("the hub rejects it") {
                    release(db, MINT, EXT_MINT_QUOTE, &parked.key)?;
                }
            }
            Ok(())
        });
        debug_assert!(released.is_ok());
    }

    /// Where it stands, for a person.
    pub fn standing(&self, now: Now) -> String {
        let waiting = self.waiting().unwrap_or(0);
        match &self.process {
            None => format!("{} is down, {waiting} wait", self.name),
            Some(process) => format!(
                "{} has {waiting} waiting, connection {:?}, the mint is {:?}, {:?}",
                self.name,
                process.client.conn,
                process.client.views.get(&process.quotes),
                process.requester.status(now)
            ),
        }
    }

    /// How many requests are under way.
    pub fn in_flight(&self, now: Now) -> u64 {
        let process = self.process.as_ref();
        process.map_or(0, |process| process.requester.status(now).in_flight)
    }

    /// The body of the keyset that it goes by.
    pub fn keyset(&self) -> Result<Option<Vec<u8>>, StoreError> {
        self.disk.read(|db| {
            let body = db
                .prepare_cached("SELECT body FROM keyset")?
                .query_row([], |row| row.get(0));
            Ok(body.optional()?)
        })
    }

    /// How many requests wait, on disk.
    pub fn waiting(&self) -> Result<u64, StoreError> {
        let backlog = self.disk.read(|db| backlog(db, MINT, EXT_MINT_QUOTE))?;
        Ok(backlog.waiting)
    }

    /// The next effect of an answer fails.
    pub fn break_effect(&self) {
        self.books.fails.store(true, Ordering::Relaxed);
    }

    /// A share: it counts once it is committed. False where the disk does not take it.
    pub fn accept_share(&mut self, request: &MintQuoteRequest, now: Now) -> bool {
        let Some(process) = &mut self.process else {
            return false;
        };
        let mut body = Vec::new();
        if request.encode_body(&mut body).is_err() {
            return false;
        }
        let stored = self.disk.write(now.ms, |db| {
            let new = NewRequest {
                peer: MINT,
                extension: EXT_MINT_QUOTE,
                key: &request.header_hash,
                msg_type: MintQuoteRequest::MSG_TYPE,
                body: &body,
            };
            enqueue(db, &new, now.unix_ms)
        });
        process.requester.nudged();
        self.is_dirty = true;
        matches!(stored, Ok(Enqueued::New))
    }

    /// What the process does now. The error is a broken promise.
    pub fn turn(
        &mut self,
        now: Now,
        rng: &mut ChaCha8Rng,
        hub_is_honest: bool,
    ) -> Result<(), String> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        let core = &mut process.requester;
        let quotes = Woken::Channel(process.quotes);
        if core.takes_events() && process.client.was_woken(quotes) {
            let events = process.client.take_events(process.quotes, 4);
            core.take_events(events, now);
        }
        for key in process.chat_keys.clone() {
            if process.client.was_woken(Woken::Channel(key)) {
                let chat = &mut process.chat;
                chat.take_events(&mut process.client, key, 2, hub_is_honest)?;
            }
        }
        if core.next_timeout_ms().is_some_and(|at_ms| at_ms <= now.ms) {
            core.handle_timeout(now);
        }
        let slow_ms = if now.ms < self.disk.slow_until_ms {
            600
        } else {
            12
        };
        let mut after = |least_ms: u64| now.ms + rng.gen_range(least_ms..=least_ms + slow_ms);
        if let Some(work) = core.page_wanted() {
            process.loading = Some(Op::Commit {
                at_ms: after(0),
                work,
            });
        }
        if let Some(work) = core.numbers_wanted(now) {
            process.numbers = Some(Op::Commit {
                at_ms: after(0),
                work,
            });
        }
        if let Some(work) = core.recording_wanted() {
            process.recording = Some(Op::Commit {
                at_ms: after(1),
                work,
            });
        }
        if process.house_at_ms <= now.ms
            && let Some(work) = core.housekeeping_wanted(now)
        {
            process.house_at_ms = now.ms + HOUSE_MS;
            process.housekeeping = Some(Op::Commit {
                at_ms: after(1),
                work,
            });
        }
        let (disk, books, dirty) = (&self.disk, &self.books, &mut self.is_dirty);
        let done = step(&mut process.loading, now.ms, after(0), |work| {
            disk.read(|db| work.read(db))
        });
        if let Some(page) = done {
            core.loaded(page);
        }
        let done = step(&mut process.recording, now.ms, after(1), |work| {
            *dirty = true;
            disk.write(now.ms, |db| work.record(db, &**books, now.unix_ms))
        });
        if let Some(batch) = done {
            core.recorded(batch, now);
        }
        let done = step(&mut process.housekeeping, now.ms, after(1), |work| {
            disk.write(now.ms, |db| work.keep(db))
        });
        if let Some(backlog) = done {
            core.housekept(backlog);
        }
        let done = step(&mut process.numbers, now.ms, after(0), |work| {
            disk.write(now.ms, |db| work.look(db, now.unix_ms))
        });
        if let Some(found) = done {
            core.numbers_found(found, now);
        }
        core.send_what_is_due(&mut process.client.sending(process.quotes), now);
        Ok(())
    }
}

/// Takes pending work one step further; gives its outcome once the process hears of it.
fn step<W, T>(
    pending: &mut Pending<W, T>,
    now_ms: u64,
    report_at_ms: u64,
    commit: impl FnOnce(W) -> Result<T, StoreError>,
) -> Option<Result<T, StoreError>> {
    match pending.take()? {
        Op::Commit { at_ms, work } if at_ms <= now_ms => {
            *pending = Some(Op::Report {
                at_ms: report_at_ms,
                outcome: commit(work),
            });
            None
        }
        Op::Report { at_ms, outcome } if at_ms <= now_ms => Some(outcome),
        waiting => {
            *pending = Some(waiting);
            None
        }
    }
}
