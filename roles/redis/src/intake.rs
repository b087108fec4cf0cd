//! Entries off a list, so that a crash loses none.
//!
//! Redis moves an entry from the list to a second one, which belongs to this taker alone, in the same script that hands it
//! over. It stays there until it is settled. Whoever starts, or comes back after a connection broke, is given what lies in
//! the second list first: so an entry is handed over at least once, in the order in which it was pushed, and whoever
//! handles it must not mind a second time.
//!
//! Beside the second list lies who has taken what is in it: two who were given one name by mistake would else be handed what
//! the other has written down, and a share be asked for at two mints.

use std::time::Duration;

use redis::Script;
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::fault::RedisFault;
use crate::lane::{Lane, Redis};
use crate::limits::{
    DEAD_LETTER_ENTRY_BYTES_MAX, ENTRY_BYTES_MAX, LOOK_AGAIN_LEAST, LOOK_AGAIN_MOST,
    TAKEN_BYTES_MAX, TAKEN_ENTRIES_MAX,
};

/// Takes entries off one list. There must be one with its name and no more.
pub struct Intake {
    lane: Lane,
    list: String,
    taken_list: String,
    owner_key: String,
    dead_letters_list: String,
    owner: String,
    /// Whose entries are this one's as well.
    earlier_owners: Vec<String>,
    take: Script,
    settle: Script,
    /// Handed over and not settled: how many, and the first of them as it lies there.
    open: Option<Open>,
}

struct Open {
    /// Redis counts them: nobody was handed anything since, or it has another number.
    batch: i64,
    entries: usize,
    first_bytes: usize,
    first_start: Vec<u8>,
}

/// An entry that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// As it was pushed.
    Entry(Vec<u8>),
    /// It has more than [`ENTRY_BYTES_MAX`] bytes, and was left in Redis.
    TooLong {
        /// How many it has.
        bytes: u64,
        /// The first of them.
        start: Vec<u8>,
    },
}

/// It has more than [`ENTRY_BYTES_MAX`] bytes, and nobody has read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{bytes} bytes long, more than {ENTRY_BYTES_MAX} are not read")]
pub struct EntryTooLong {
    /// How many it has.
    pub bytes: u64,
}

impl Taken {
    /// The entry as it was pushed.
    ///
    /// # Errors
    /// It was left in Redis.
    pub fn entry(&self) -> Result<&[u8], EntryTooLong> {
        match self {
            Taken::Entry(entry) => Ok(entry),
            Taken::TooLong { bytes, .. } => Err(EntryTooLong { bytes: *bytes }),
        }
    }
}

/// An entry that is put aside, for the operator to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeadLetter {
    /// What was taken.
    pub taken: Taken,
    /// Why it is no request, or was refused.
    pub reason: String,
    /// When, in Unix milliseconds.
    pub unix_ms: u64,
}

/// Hands over what lies in KEYS[2], then what it moves there from KEYS[1]: ARGV[1] entries at most, of ARGV[2] bytes at
/// most each (of a longer one the first ARGV[4], behind its length) and ARGV[3] together. Before them stands the number of
/// the batch. What lies in KEYS[2] belongs to the owner in KEYS[3]: where that is none of ARGV[5] and on, nothing is handed over
/// but who it is; else it is ARGV[5] from now on. It runs on a Redis whose memory is used up as well: else nobody could empty
/// its lists.
const TAKE: &str = r"#!lua flags=allow-oom
local out, bytes = {}, 0
local longest, all, start = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local owner = redis.call('HGET', KEYS[3], 'owner')
if owner and redis.call('LLEN', KEYS[2]) > 0 then
    local is_ours = false
    for i = 5, #ARGV do is_ours = is_ours or ARGV[i] == owner end
    if not is_ours then return {{-1, string.sub(owner, 1, 255)}} end
end
for i = 0, tonumber(ARGV[1]) - 1 do
    local entry = redis.call('LINDEX', KEYS[2], i)
    if not entry then
        if bytes >= all then break end
        entry = redis.call('LMOVE', KEYS[1], KEYS[2], 'LEFT', 'RIGHT')
    end
    if not entry then break end
    if #entry > longest then
        out[#out + 1] = {#entry, string.sub(entry, 1, start)}
        bytes = bytes + start
    else
        out[#out + 1] = {-1, entry}
        bytes = bytes + #entry
    end
    if bytes >= all then break end
end
if #out == 0 then return out end
redis.call('HSET', KEYS[3], 'owner', ARGV[5])
table.insert(out, 1, {redis.call('HINCRBY', KEYS[3], 'batch', 1), ''})
return out";

/// Puts ARGV[5] and on to KEYS[2] and takes the first ARGV[1] entries out of KEYS[1], if batch ARGV[2] was the last that was
/// handed over, and the first of them has ARGV[3] bytes and begins with ARGV[4]; else it changes nothing.
const SETTLE: &str = r"#!lua flags=allow-oom
local first = redis.call('LINDEX', KEYS[1], 0)
if not first or #first ~= tonumber(ARGV[3]) or string.sub(first, 1, #ARGV[4]) ~= ARGV[4]
    or redis.call('HGET', KEYS[3], 'batch') ~= ARGV[2]
    or redis.call('LLEN', KEYS[1]) < tonumber(ARGV[1]) then
    return 0
end
for i = 5, #ARGV do redis.call('RPUSH', KEYS[2], ARGV[i]) end
redis.call('LTRIM', KEYS[1], ARGV[1], -1)
return 1";

/// The second list of whoever takes from `list` as `name`.
pub fn taken_list(list: &str, name: &str) -> String {
    format!("{list}:taken:{name}")
}

/// The key beside a [`taken_list`]: a hash of `owner`, who has taken what lies there, and `batch`, how often something was
/// handed over.
pub fn owner_key(taken_list: &str) -> String {
    format!("{taken_list}:owner")
}

impl Intake {
    /// Takes from `list`; `name` makes the second list's name, [`taken_list`]. It owns what it takes as `name`, unless
    /// [`Self::owned_by`] says who that is.
    pub fn new(redis: &Redis, list: &str, dead_letters_list: &str, name: &str) -> Intake {
        let taken_list = taken_list(list, name);
        Intake {
            lane: redis.lane(),
            list: list.to_owned(),
            owner_key: owner_key(&taken_list),
            taken_list,
            dead_letters_list: dead_letters_list.to_owned(),
            owner: name.to_owned(),
            earlier_owners: Vec::new(),
            take: Script::new(TAKE),
            settle: Script::new(SETTLE),
            open: None,
        }
    }

    /// Takes as `owner`, up to 255 bytes that are nobody else's, and goes on with what the `earlier` ones have taken: what is in
    /// the second list of anybody else is not handed over.
    pub fn owned_by(self, owner: String, earlier: Vec<String>) -> Intake {
        Intake {
            owner,
            earlier_owners: earlier,
            ..self
        }
    }

    /// The next entries, the longest waiting first, up to `entries_max` and no more than [`TAKEN_ENTRIES_MAX`]; none
    /// where `patience` passes without any. What was handed over before and not settled is handed over again.
    ///
    /// # Errors
    /// [`RedisFault`], [`RedisFault::TakenByAnother`] among them. Nothing is lost; call it again, which waits for as long as
    /// it should.
    pub async fn take(
        &mut self,
        entries_max: usize,
        patience: Duration,
    ) -> Result<Vec<Taken>, RedisFault> {
        let give_up = Instant::now() + patience;
        let mut pause = LOOK_AGAIN_LEAST;
        loop {
            let taken = self.take_now(entries_max.min(TAKEN_ENTRIES_MAX)).await?;
            if !taken.is_empty() || Instant::now() >= give_up {
                return Ok(taken);
            }
            sleep(pause.min(give_up.saturating_duration_since(Instant::now()))).await;
            pause = (pause * 2).min(LOOK_AGAIN_MOST);
        }
    }

    async fn take_now(&mut self, entries_max: usize) -> Result<Vec<Taken>, RedisFault> {
        self.open = None;
        let (list, taken_list, owner_key) = (&self.list, &self.taken_list, &self.owner_key);
        let (owner, earlier_owners) = (&self.owner, &self.earlier_owners);
        let taken: Result<Vec<(i64, Vec<u8>)>, RedisFault> = self
            .lane
            .script(&self.take, |script| {
                script.key(list).key(taken_list).key(owner_key);
                script.arg(entries_max).arg(ENTRY_BYTES_MAX);
                script.arg(TAKEN_BYTES_MAX).arg(DEAD_LETTER_ENTRY_BYTES_MAX);
                script.arg(owner).arg(earlier_owners);
            })
            .await;
        let mut taken = taken
            .map_err(|fault| self.name_the_list(fault))?
            .into_iter();
        let batch = match taken.next() {
            None => return Ok(Vec::new()),
            Some((batch, _)) if batch >= 0 => batch,
            Some((_, other)) => {
                return Err(RedisFault::TakenByAnother {
                    address: self.lane.address().to_owned(),
                    list: self.taken_list.clone(),
                    other: String::from_utf8_lossy(&other).into_owned(),
                    us: self.owner.clone(),
                    owner_key: self.owner_key.clone(),
                });
            }
        };
        let taken: Vec<Taken> = taken.map(Taken::of).collect();
        self.open = taken.first().map(|first| Open {
            batch,
            entries: taken.len(),
            first_bytes: first.bytes(),
            first_start: first.start().to_vec(),
        });
        Ok(taken)
    }

    /// What was handed over last is dealt with, all of it: `dead_letters` go to their list, and the rest is on somebody's
    /// disk. False where it is not there any more, which is where Redis has lost its data, or where it was handed over again
    /// meanwhile: nothing has changed then, and the dead letters are in the log alone.
    ///
    /// # Errors
    /// [`RedisFault`]. It may be done or not: the next [`Self::take`] hands over again what is not.
    pub async fn settle(&mut self, dead_letters: &[DeadLetter]) -> Result<bool, RedisFault> {
        let Some(open) = self.open.take() else {
            return Ok(true);
        };
        let (taken_list, dead_letters_list) = (&self.taken_list, &self.dead_letters_list);
        let owner_key = &self.owner_key;
        let settled: Result<u8, RedisFault> = self
            .lane
            .script(&self.settle, |script| {
                script.key(taken_list).key(dead_letters_list).key(owner_key);
                script.arg(open.entries).arg(open.batch);
                script.arg(open.first_bytes);
                script.arg(open.first_start);
                for letter in dead_letters {
                    script.arg(letter.to_json());
                }
            })
            .await;
        let settled = settled.map_err(|fault| self.name_the_list(fault))?;
        if settled == 0 {
            tracing::error!(
                list = self.taken_list,
                "what was taken off the list is not in Redis any more"
            );
            for letter in dead_letters {
                let letter = letter.to_json();
                tracing::error!(letter, "of it a dead letter, which is in no list");
            }
        }
        Ok(settled == 1)
    }

    /// How many entries wait in the list, and how many dead letters there are.
    ///
    /// # Errors
    /// [`RedisFault`].
    pub async fn lengths(&mut self) -> Result<(u64, u64), RedisFault> {
        let mut pipeline = redis::pipe();
        pipeline.llen(&self.list).llen(&self.dead_letters_list);
        let lengths = self.lane.pipeline(&pipeline).await;
        lengths.map_err(|fault| self.name_the_list(fault))
    }

    /// Scripts do not say which key had the wrong type.
    fn name_the_list(&self, fault: RedisFault) -> RedisFault {
        match fault {
            RedisFault::Refused { problem, address } if problem.contains("WRONGTYPE") => {
                RedisFault::WrongType {
                    address,
                    key: [&self.list, &self.taken_list, &self.dead_letters_list]
                        .map(String::as_str)
                        .join(" or "),
                    expected: "list",
                }
            }
            other => other,
        }
    }
}

impl Taken {
    fn of((length, bytes): (i64, Vec<u8>)) -> Taken {
        match u64::try_from(length) {
            Ok(length) => Taken::TooLong {
                bytes: length,
                start: bytes,
            },
            Err(_) => Taken::Entry(bytes),
        }
    }

    fn bytes(&self) -> usize {
        match self {
            Taken::Entry(entry) => entry.len(),
            Taken::TooLong { bytes, .. } => usize::try_from(*bytes).unwrap_or(usize::MAX),
        }
    }

    fn start(&self) -> &[u8] {
        match self {
            Taken::Entry(entry) => entry.get(..DEAD_LETTER_ENTRY_BYTES_MAX).unwrap_or(entry),
            Taken::TooLong { start, .. } => start,
        }
    }
}

impl DeadLetter {
    /// `{"reason":"..","unix_ms":..,"bytes":..,"entry":".."}`, the entry cut to [`DEAD_LETTER_ENTRY_BYTES_MAX`] bytes; as
    /// `entry_hex` where it is no text.
    pub fn to_json(&self) -> String {
        let start = self.taken.start();
        let bytes = self.taken.bytes();
        // A cut may go through a character.
        let text = match std::str::from_utf8(start) {
            Ok(text) => Some(text),
            Err(error) if error.error_len().is_none() && start.len() < bytes => start
                .get(..error.valid_up_to())
                .and_then(|whole| std::str::from_utf8(whole).ok()),
            Err(_) => None,
        };
        let (name, entry) = match text {
            Some(text) => ("entry", text.to_owned()),
            None => ("entry_hex", hex::encode(start)),
        };
        json!({"reason": self.reason, "unix_ms": self.unix_ms, "bytes": bytes, name: entry})
            .to_string()
    }
}
