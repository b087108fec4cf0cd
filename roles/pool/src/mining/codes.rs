//! Error codes of our own, beside the Sv2 specification's and those of the reference crates.
//! Miners read them in `OpenMiningChannel.Error`, `SubmitShares.Error` and `CloseChannel`.

/// `OpenMiningChannel.Error`: the pool has not yet heard which keyset the mint issues from, so it could not ask for
/// a quote. Try again in a while.
pub const MINT_KEYSET_UNKNOWN: &str = "mint-keyset-unknown";

/// `OpenMiningChannel.Error`: there is no block template yet. Try again in a while.
pub const NO_BLOCK_TEMPLATE: &str = "no-block-template";

/// `OpenMiningChannel.Error` and `SubmitShares.Error`: the pool's bitcoin node has been away for longer than the
/// operator allows, and the block that is mined on may be an old one. The share earns nothing; a block that it makes is
/// offered to the node all the same. Try again in a while.
pub const BLOCK_TEMPLATE_OUTDATED: &str = "block-template-outdated";

/// `SubmitShares.Error`: as many quotes wait for the mint as the operator allows. The share earns nothing and is not
/// counted; work that is found later may be.
pub const QUOTE_BACKLOG_FULL: &str = "quote-backlog-full";

/// `SubmitShares.Error`: as many quotes of this locking key wait for the mint as the operator allows one miner. The share
/// earns nothing and is not counted; work that is found later may be.
pub const MINER_BACKLOG_FULL: &str = "miner-backlog-full";

/// `SubmitShares.Error`: the pool could not write the share down. It earns nothing.
pub const STORAGE_FAILED: &str = "storage-failed";

/// `SubmitShares.Error`: the pool is closing this channel and says so with `CloseChannel` when earlier shares are
/// answered.
pub const CHANNEL_CLOSING: &str = "channel-closing";

/// `CloseChannel`: the channel found more shares on one previous block than are remembered against duplicates. A new
/// channel may be opened at once.
pub const SEEN_SHARES_EXHAUSTED: &str = "seen-shares-exhausted";

/// `CloseChannel`: no job could be made for the channel. A mistake of the pool, found in its log.
pub const JOB_FAILED: &str = "job-failed";
