//! The key of the active keyset.

use redis::Script;

use crate::fault::RedisFault;
use crate::lane::{Lane, Redis};
use crate::limits::KEYSET_BYTES_MAX;

/// Reads and writes the key of the active keyset.
pub struct KeysetKey {
    lane: Lane,
    key: String,
    read: Script,
}

/// Its text of up to ARGV[1] bytes; fails where it is longer, or no text.
const READ: &str = r"
if redis.call('STRLEN', KEYS[1]) > tonumber(ARGV[1]) then
    return redis.error_reply('TOOLONG the value is too long')
end
return redis.call('GET', KEYS[1])";

impl KeysetKey {
    /// Of the key with this name.
    pub fn new(redis: &Redis, key: &str) -> KeysetKey {
        KeysetKey {
            lane: redis.lane(),
            key: key.to_owned(),
            read: Script::new(READ),
        }
    }

    /// What lies there, up to [`KEYSET_BYTES_MAX`] bytes; `None` where nothing does.
    ///
    /// # Errors
    /// [`RedisFault`]; [`RedisFault::WrongType`] where it is no text, or too long to be a keyset.
    pub async fn read(&mut self) -> Result<Option<Vec<u8>>, RedisFault> {
        let key = &self.key;
        let read = self
            .lane
            .script(&self.read, |script| {
                script.key(key).arg(KEYSET_BYTES_MAX);
            })
            .await;
        read.map_err(|fault| self.name_the_key(fault))
    }

    /// Puts `text` there.
    ///
    /// # Errors
    /// [`RedisFault`].
    pub async fn write(&mut self, text: &str) -> Result<(), RedisFault> {
        let mut set = redis::pipe();
        set.set(&self.key, text).ignore();
        self.lane.pipeline::<()>(&set).await
    }

    /// Puts `text` there, unless it is what lies there. True where it had to. What lies there otherwise is no keyset, of
    /// whatever type, or an older one, and gives way.
    ///
    /// # Errors
    /// [`RedisFault`].
    pub async fn keep(&mut self, text: &str) -> Result<bool, RedisFault> {
        match self.read().await {
            Ok(Some(there)) if there == text.as_bytes() => return Ok(false),
            Ok(_) | Err(RedisFault::WrongType { .. }) => {}
            Err(fault) => return Err(fault),
        }
        self.write(text).await?;
        Ok(true)
    }

    fn name_the_key(&self, fault: RedisFault) -> RedisFault {
        match fault {
            RedisFault::Refused { problem, address }
                if problem.contains("WRONGTYPE") || problem.contains("TOOLONG") =>
            {
                RedisFault::WrongType {
                    address,
                    key: self.key.clone(),
                    expected: "keyset",
                }
            }
            other => other,
        }
    }
}
