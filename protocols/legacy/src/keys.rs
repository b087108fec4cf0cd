//! The names that old deployments use in Redis.

/// The list of quote requests.
pub const REQUESTS: &str = "mint:quotes:create";

/// What stands before a header hash in the key of its quote's id, without the colon between them.
pub const QUOTE_PREFIX: &str = "mint:quotes:hash";

/// The key of the active keyset.
pub const KEYSET: &str = "mint:keyset:active";

/// The key of the id of the quote for `header_hash`, as [`QuoteRequest::header_hash_text`] writes it.
///
/// [`QuoteRequest::header_hash_text`]: crate::QuoteRequest::header_hash_text
pub fn quote_key(prefix: &str, header_hash: &str) -> String {
    format!("{prefix}:{header_hash}")
}
