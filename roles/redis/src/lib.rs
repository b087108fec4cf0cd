//! Redis lists and keys as old pools and mints use them, taken and filled so that a crash of either side loses nothing.
//!
//! - [`RedisConfig`], a table of a role's configuration: where Redis is, who asks, what the keys are called.
//! - [`Redis`]: how to dial it; [`Lane`]: one connection that comes back by itself.
//! - [`Intake`]: takes entries off a list; they stay in a second list until they are settled.
//! - [`Handover`]: puts entries on a list, and looks for the quotes that came of them.
//! - [`KeysetKey`]: the active keyset's key.
//! - [`Link`]: how each part of a role got on with Redis last, for the operator.
//!
//! Nothing here knows what an entry means. Everything that comes out of Redis is bounded before it is transferred: whoever
//! can write to the lists must not be able to fill this process's memory.

mod config;
mod fault;
mod handover;
mod intake;
mod keyset;
mod lane;
pub mod limits;
mod link;
#[cfg(feature = "testing")]
pub mod testing;

pub use config::{RedisConfig, RedisSetupError, RedisTls, check_name};
pub use fault::RedisFault;
pub use handover::{Handover, QuoteId};
pub use intake::{DeadLetter, EntryTooLong, Intake, Taken, owner_key, taken_list};
pub use keyset::KeysetKey;
pub use lane::{Lane, Redis};
pub use link::{Link, LinkPart, LinkStatus};
