//! Telling a miner its quote, on its mining connection (SPECIFICATION.md, section 5).

use winze_messages::EncodeError;
use winze_messages::families::mint_quote::{MintQuoteFailure, MintQuoteNotification};
use winze_transport::Frame;

/// What became of the quote for a share.
#[derive(Clone, Debug, PartialEq)]
pub enum QuoteNotice {
    /// The mint has issued it.
    Issued(MintQuoteNotification),
    /// The mint has refused it for good.
    Refused(MintQuoteFailure),
}

/// Fails where a text is longer than its field. What came over the wire never is.
pub(super) fn frame(channel_id: u32, quote: &QuoteNotice) -> Result<Frame, EncodeError> {
    match quote {
        QuoteNotice::Issued(message) => message.to_frame(channel_id),
        QuoteNotice::Refused(message) => message.to_frame(channel_id),
    }
}
