//! Entries onto a list, and the ids of the quotes that come of them.

use redis::Script;
use winze_legacy::keys::quote_key;

use crate::fault::RedisFault;
use crate::lane::{Lane, Redis};
use crate::limits::{KEYS_PER_COMMAND_MAX, QUOTE_ID_BYTES_MAX};

/// Puts entries on a list, and reads and writes the keys of quote ids.
pub struct Handover {
    lane: Lane,
    list: String,
    quote_key_prefix: String,
    quote_ids: Script,
}

/// What lies under the key of a quote's id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QuoteId {
    /// Nothing: there is no quote yet, or whoever made it writes no such key.
    None,
    /// The id.
    Known(String),
    /// Something that is no id: of another type, too long, empty or no text.
    Strange,
}

/// For each of KEYS its text of up to ARGV[1] bytes; 0 where there is none and 1 where it is something else.
const QUOTE_IDS: &str = r"
local out = {}
for i, key in ipairs(KEYS) do
    local kind = redis.call('TYPE', key).ok
    if kind == 'none' then
        out[i] = '0'
    elseif kind ~= 'string' or redis.call('STRLEN', key) > tonumber(ARGV[1]) then
        out[i] = '1'
    else
        out[i] = '2' .. redis.call('GET', key)
    end
end
return out";

impl Handover {
    /// Pushes to `list`; the key of an id is `<quote_key_prefix>:<header hash>`.
    pub fn new(redis: &Redis, list: &str, quote_key_prefix: &str) -> Handover {
        Handover {
            lane: redis.lane(),
            list: list.to_owned(),
            quote_key_prefix: quote_key_prefix.to_owned(),
            quote_ids: Script::new(QUOTE_IDS),
        }
    }

    /// Puts entries at the end of the list, in their order, unless `waiting_max` wait there already. How many were put.
    ///
    /// # Errors
    /// [`RedisFault`]. Where the connection broke they may be there or not, all of them or none.
    pub async fn push(
        &mut self,
        entries: &[String],
        waiting_max: u64,
    ) -> Result<usize, RedisFault> {
        let waiting = self.length().await?;
        let room = usize::try_from(waiting_max.saturating_sub(waiting)).unwrap_or(usize::MAX);
        let entries = entries.get(..room).unwrap_or(entries);
        if entries.is_empty() {
            return Ok(0);
        }
        let mut push = redis::pipe();
        push.rpush(&self.list, entries);
        let pushed: Result<(u64,), RedisFault> = self.lane.pipeline(&push).await;
        pushed.map_err(|fault| self.name_the_list(fault))?;
        Ok(entries.len())
    }

    /// How many entries wait in the list.
    ///
    /// # Errors
    /// [`RedisFault`].
    pub async fn length(&mut self) -> Result<u64, RedisFault> {
        let mut length = redis::pipe();
        length.llen(&self.list);
        let waiting: Result<(u64,), RedisFault> = self.lane.pipeline(&length).await;
        let (waiting,) = waiting.map_err(|fault| self.name_the_list(fault))?;
        Ok(waiting)
    }

    /// What lies under the keys of these header hashes, in their order.
    ///
    /// # Errors
    /// [`RedisFault`].
    pub async fn quote_ids(&mut self, hashes: &[String]) -> Result<Vec<QuoteId>, RedisFault> {
        let mut all = Vec::with_capacity(hashes.len());
        for some in hashes.chunks(KEYS_PER_COMMAND_MAX) {
            let prefix = &self.quote_key_prefix;
            let found: Vec<Vec<u8>> = self
                .lane
                .script(&self.quote_ids, |script| {
                    for hash in some {
                        script.key(quote_key(prefix, hash));
                    }
                    script.arg(QUOTE_ID_BYTES_MAX);
                })
                .await?;
            all.extend(found.into_iter().map(QuoteId::of));
        }
        Ok(all)
    }

    /// Writes the ids of quotes under their header hashes, each for `kept_s` seconds (0: for ever). Doing it again changes
    /// nothing.
    ///
    /// # Errors
    /// [`RedisFault`]. Some may be written.
    pub async fn set_quote_ids(
        &mut self,
        ids: &[(String, String)],
        kept_s: u64,
    ) -> Result<(), RedisFault> {
        for some in ids.chunks(KEYS_PER_COMMAND_MAX) {
            let mut set = redis::pipe();
            for (hash, id) in some {
                let key = quote_key(&self.quote_key_prefix, hash);
                match kept_s {
                    0 => set.set(key, id).ignore(),
                    kept_s => set.set_ex(key, id, kept_s).ignore(),
                };
            }
            self.lane.pipeline::<()>(&set).await?;
        }
        Ok(())
    }

    fn name_the_list(&self, fault: RedisFault) -> RedisFault {
        match fault {
            RedisFault::Refused { problem, address } if problem.contains("WRONGTYPE") => {
                RedisFault::WrongType {
                    address,
                    key: self.list.clone(),
                    expected: "list",
                }
            }
            other => other,
        }
    }
}

impl QuoteId {
    fn of(found: Vec<u8>) -> QuoteId {
        match found.split_first() {
            Some((b'0', _)) => QuoteId::None,
            Some((b'2', id)) if !id.is_empty() => match String::from_utf8(id.to_vec()) {
                Ok(id) => QuoteId::Known(id),
                Err(_) => QuoteId::Strange,
            },
            _ => QuoteId::Strange,
        }
    }
}
