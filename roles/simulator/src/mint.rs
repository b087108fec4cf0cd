//! The mint: the real responder on a real database, with quotes out of nowhere.

use std::collections::BTreeMap;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use winze_client::answers::{self, ANSWERS_SCHEMA, Announcement};
use winze_client::delivery::Now;
use winze_client::mint_quote::{
    AnswersWanted, QuoteBatch, QuoteResponderConfig, RecordedAnswers, ResponderChannelCore,
    ResponderCounts,
};
use winze_client::session::{ChannelKey, ListenerKey, Woken};
use winze_client::store::StoreError;
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::mint_quote::KeysetAnnouncement;

use crate::cast::{EVIL, MINT, POOLS, identity, key_of};
use crate::chat::{Chat, VENDOR};
use crate::client::Client;
use crate::quotes::Quotes;
use crate::store::Disk;
use crate::truth::Truth;

/// Where a channel's batch is.
enum Stage {
    Idle,
    LookUp {
        at_ms: u64,
        batch: QuoteBatch,
    },
    Issue {
        at_ms: u64,
        batch: QuoteBatch,
    },
    Commit {
        at_ms: u64,
        batch: QuoteBatch,
        wanted: AnswersWanted,
    },
    Report {
        at_ms: u64,
        batch: QuoteBatch,
        outcome: Result<Option<RecordedAnswers>, StoreError>,
    },
}

struct Serving {
    core: ResponderChannelCore,
    stage: Stage,
}

/// The mint's process.
pub struct Process {
    /// Its connection.
    pub client: Client,
    /// What is said on its chat channels.
    pub chat: Chat,
    /// Its chat channels.
    pub chat_keys: Vec<ChannelKey>,
    config: QuoteResponderConfig,
    quote_listener: ListenerKey,
    chat_listener: ListenerKey,
    serving: BTreeMap<ChannelKey, Serving>,
    announcements: Vec<Announcement>,
    counts: ResponderCounts,
}

/// See the [module](self).
pub struct Mint {
    /// The record of answers: what survives the process.
    pub disk: Disk,
    /// The quotes themselves, in a store of their own.
    pub quotes: Quotes,
    /// `None` while it is down.
    pub process: Option<Process>,
    /// When it comes back.
    pub starts_at_ms: u64,
    last_epoch: u64,
    /// Chat that processes before this one received.
    chat_before: u64,
    last_keyset: u8,
    /// Something was committed since it was last checked.
    pub is_dirty: bool,
}

/// A mint that has never run.
impl Default for Mint {
    fn default() -> Mint {
        Mint {
            disk: Disk::new(&[ANSWERS_SCHEMA], &[]),
            quotes: Quotes::new(),
            process: None,
            starts_at_ms: 0,
            last_epoch: 0,
            chat_before: 0,
            last_keyset: 0,
            is_dirty: false,
        }
    }
}

impl Mint {
    /// Starts the process.
    pub fn start(&mut self, now: Now) {
        let begun = self.disk.begin(now.unix_ms);
        debug_assert!(begun.is_ok());
        let mut client = Client::new(identity(MINT), now.ms);
        let pools = [POOLS[0], POOLS[1], EVIL];
        let mut config = QuoteResponderConfig::new(
            pools
                .map(|pool| {
                    let name = pool.parse().expect("the cast have names");
                    (name, key_of(pool).public_key())
                })
                .to_vec(),
        );
        config.batch_max = 4;
        config.retry_after_ms = 300;
        config.channels_max = 4;
        let expect = "a new session has no listeners";
        let wanted = pools.map(str::to_owned);
        let filter = Box::new(move |name: &winze_client::ChannelName| wanted.contains(&name.peer));
        let quote_listener = client
            .session
            .listen(EXT_MINT_QUOTE, 4, filter)
            .expect(expect);
        let filter = Box::new(|name: &winze_client::ChannelName| name.label != "unwanted");
        let chat_listener = client.session.listen(VENDOR, 6, filter).expect(expect);
        let announcements = self
            .disk
            .write(u64::MAX, |db| {
                answers::renew_announcements(db, EXT_MINT_QUOTE, now.unix_ms)?;
                answers::announcements(db, EXT_MINT_QUOTE)
            })
            .unwrap_or_default();
        self.process = Some(Process {
            client,
            chat: Chat::after(self.last_epoch),
            chat_keys: Vec::new(),
            config,
            quote_listener,
            chat_listener,
            serving: BTreeMap::new(),
            announcements,
            counts: ResponderCounts::default(),
        });
    }

    /// The process is gone, with all that was not committed.
    pub fn crash(&mut self, starts_at_ms: u64) {
        if let Some(process) = self.process.take() {
            self.last_epoch = process.chat.last_epoch() + 1;
            self.chat_before += process.chat.received;
        }
        self.starts_at_ms = starts_at_ms;
    }

    /// Numbered messages that arrived.
    pub fn chat_received(&self) -> u64 {
        let now = self
            .process
            .as_ref()
            .map_or(0, |process| process.chat.received);
        self.chat_before + now
    }

    /// The body of the keyset that is active.
    pub fn announced(&self) -> Option<Vec<u8>> {
        let process = self.process.as_ref()?;
        Some(process.announcements.last()?.body.clone())
    }

    /// Another keyset is active from now on, if the disk takes it.
    pub fn rotate_keyset(&mut self, now: Now, truth: &mut Truth) {
        let Some(process) = &mut self.process else {
            return;
        };
        self.last_keyset = self.last_keyset.wrapping_add(1);
        let keyset = KeysetAnnouncement {
            unit: "hash".to_owned(),
            keyset_id: vec![self.last_keyset; 8],
            keys: vec![(1, [2; 33])],
        };
        let mut body = Vec::new();
        if keyset.encode_body(&mut body).is_err() {
            return;
        }
        let announced = self.disk.write(now.ms, |db| {
            answers::announce(db, EXT_MINT_QUOTE, "hash", &body, now.unix_ms)?;
            answers::announcements(db, EXT_MINT_QUOTE)
        });
        if let Ok(announcements) = announced {
            truth.keysets.insert(body);
            process.announcements = announcements;
        }
    }

    /// What the process does now. The error is a broken promise.
    pub fn turn(
        &mut self,
        now: Now,
        rng: &mut ChaCha8Rng,
        step: u64,
        truth: &mut Truth,
        hub_is_honest: bool,
    ) -> Result<(), String> {
        let Some(process) = &mut self.process else {
            return Ok(());
        };
        let client = &mut process.client;
        if client.was_woken(Woken::Listener(process.quote_listener)) {
            while let Some(key) = client.session.take_accepted(process.quote_listener) {
                let peer = client
                    .name(key)
                    .map(|(name, _)| name.peer)
                    .unwrap_or_default();
                let nonces = Box::new(ChaCha8Rng::seed_from_u64(rng.r#gen()));
                let core =
                    ResponderChannelCore::new(&client.identity, &process.config, &peer, nonces);
                match core {
                    Some(core) => {
                        client.woken.insert(Woken::Channel(key));
                        process.serving.insert(
                            key,
                            Serving {
                                core,
                                stage: Stage::Idle,
                            },
                        );
                    }
                    None => client.session.close(key),
                }
            }
        }
        if client.was_woken(Woken::Listener(process.chat_listener)) {
            while let Some(key) = client.session.take_accepted(process.chat_listener) {
                client.woken.insert(Woken::Channel(key));
                process.chat_keys.push(key);
            }
        }
        for key in process.chat_keys.clone() {
            if client.was_woken(Woken::Channel(key)) {
                process.chat.take_events(client, key, 2, hub_is_honest)?;
                if client.views.get(&key) == Some(&crate::client::View::Closed)
                    && !client.session.has_events(key)
                {
                    client.session.close(key);
                    client.views.remove(&key);
                    process.chat_keys.retain(|other| *other != key);
                }
            }
        }
        let slow_ms = if now.ms < self.disk.slow_until_ms {
            600
        } else {
            12
        };
        let keys: Vec<ChannelKey> = process.serving.keys().copied().collect();
        for key in keys {
            let Some(serving) = process.serving.get_mut(&key) else {
                continue;
            };
            let mut after = || now.ms + 1 + rng.gen_range(0..=slow_ms);
            let core = &mut serving.core;
            serving.stage = match std::mem::replace(&mut serving.stage, Stage::Idle) {
                Stage::Idle => {
                    let woken = client.was_woken(Woken::Channel(key));
                    let events_max = core.events_wanted(client.session.has_change(key));
                    let mut stage = Stage::Idle;
                    if woken && events_max > 0 {
                        let events = client.take_events(key, events_max);
                        core.take_events(events, &mut process.counts);
                        if core.is_closed() && !client.session.has_events(key) {
                            process.serving.remove(&key);
                            client.session.close(key);
                            client.views.remove(&key);
                            continue;
                        }
                        compare_stores(core, &self.disk, now, &mut process.counts);
                        if let Some(batch) = core.take_batch() {
                            stage = Stage::LookUp {
                                at_ms: after(),
                                batch,
                            };
                        }
                    } else if woken {
                        client.woken.insert(Woken::Channel(key));
                    }
                    stage
                }
                Stage::LookUp { at_ms, mut batch } if at_ms <= now.ms => {
                    let found = self.disk.read(|db| batch.look_up().find(db));
                    batch.looked_up(found.map_err(|error| error.to_string())?);
                    Stage::Issue {
                        at_ms: after(),
                        batch,
                    }
                }
                Stage::Issue { at_ms, mut batch } if at_ms <= now.ms => {
                    for asked in batch.to_decide() {
                        if !asked.may_issue {
                            let outcomes = self.quotes.recall(&asked.requests);
                            batch.recalled(asked, outcomes);
                            continue;
                        }
                        if rng.gen_ratio(1, 12) {
                            batch.busy(asked);
                            continue;
                        }
                        let pool = batch.pool().to_string();
                        let (outcomes, made) = self.quotes.issue(&asked.requests, now, rng);
                        for request in made {
                            self.is_dirty = true;
                            let stopped = self
                                .disk
                                .read(|db| answers::set_back(db, EXT_MINT_QUOTE, &pool));
                            let stopped = stopped.map_err(|error| error.to_string())?;
                            if stopped.is_some_and(|set_back| set_back.is_open()) {
                                return Err(format!(
                                    "the mint makes a quote for {pool} although its record was set \
                                     back and nobody has accepted that"
                                ));
                            }
                            let quote_id = self.quotes.quote_id(&request.header_hash);
                            truth.made(&pool, request, quote_id.unwrap_or_default(), step)?;
                        }
                        batch.decided(asked, outcomes);
                    }
                    let at_ms = now.ms + 1 + rng.gen_range(0..=slow_ms);
                    match batch.recording_wanted() {
                        Some(wanted) => Stage::Commit {
                            at_ms,
                            batch,
                            wanted,
                        },
                        None => Stage::Report {
                            at_ms,
                            batch,
                            outcome: Ok(None),
                        },
                    }
                }
                Stage::Commit {
                    at_ms,
                    batch,
                    wanted,
                } if at_ms <= now.ms => {
                    let outcome = self.disk.write(now.ms, |db| wanted.record(db, now.unix_ms));
                    self.is_dirty = true;
                    Stage::Report {
                        at_ms: after(),
                        batch,
                        outcome: outcome.map(Some),
                    }
                }
                Stage::Report {
                    at_ms,
                    batch,
                    outcome,
                } if at_ms <= now.ms => {
                    let counts = &mut process.counts;
                    let replies = match outcome {
                        Ok(recorded) => batch.recorded(recorded, counts),
                        Err(error) => batch.store_failed(&error, counts),
                    };
                    core.queue(&replies);
                    client.woken.insert(Woken::Channel(key));
                    Stage::Idle
                }
                waiting => waiting,
            };
            compare_stores(core, &self.disk, now, &mut process.counts);
            core.send(&mut client.sending(key), &process.announcements, now.ms);
        }
        Ok(())
    }
}

/// What the disk has to do before pool and mint know how far the other's store has come.
fn compare_stores(
    core: &mut ResponderChannelCore,
    disk: &Disk,
    now: Now,
    counts: &mut ResponderCounts,
) {
    if core.numbers_wanted(now.ms) {
        let pool = core.pool().to_string();
        let numbers = disk.read(|db| answers::numbers(db, EXT_MINT_QUOTE, &pool));
        core.numbers_read(numbers.ok(), now.ms);
    }
    if let Some(comparison) = core.comparison_wanted(now.ms) {
        let compared = disk.write(now.ms, |db| comparison.run(db, now.unix_ms));
        core.compared(compared.ok(), now.ms, counts);
    }
}
