//! How every role talks to the hub, and how it neither forgets what it asked nor does twice what
//! it was asked.
//!
//! | start here | what |
//! |---|---|
//! | [`hub_client`] | [`HubClient`]: the connection, kept up by a task; channels for any family |
//! | [`session`] | the hub protocol behind it, without IO |
//! | [`store`] | [`Store`]: a role's SQLite file, with many writes to one commit |
//! | [`outbox`] | the asking side on disk: what has no answer yet |
//! | [`delivery`] | when which request is sent, without IO |
//! | [`answers`] | the answering side on disk: what was answered |
//! | [`mint_quote`] | both sides for the mint-quote family: [`QuoteRequester`], [`QuoteResponder`] |
//! | [`raw`] | a connection that is set up and let in, without a session behind it |
//! | [`limits`] | every bound that no configuration sets |
//!
//! # The path of a request
//!
//! A role calls [`outbox::enqueue`] in the transaction that makes the request necessary, and
//! [`QuoteRequester::nudge`]s. The requester sends it over a channel, in its window and within the
//! hub's credit, and again whenever it may have been lost. The responder on the other side looks it
//! up in its record, has a [`QuoteIssuer`] decide what is new, records the decision and then
//! answers. The answer's effect ([`QuoteAnswers`]) and the mark that the request is answered are
//! one transaction. A process may be killed between any two of these steps.
//!
//! Who a message is from is decided by its authenticator, under the keys that the role was
//! configured with; what the hub says about it is a hint. What does not verify has no effect.

pub mod answers;
mod backoff;
pub mod delivery;
pub mod hub_client;
mod identity;
pub mod limits;
pub mod mint_quote;
pub mod outbox;
pub mod raw;
#[cfg(feature = "sabotage")]
pub mod sabotage;
#[cfg(not(feature = "sabotage"))]
mod sabotage;
pub mod session;
pub mod store;

pub use answers::ANSWERS_SCHEMA;
pub use hub_client::{
    ChannelHandle, ChannelListener, ClientStopped, GroupEvent, GroupHandle, HubClient,
    HubClientConfig, HubCounts, HubState, HubStatus, WINDOW_BYTES_DEFAULT, WINDOW_MESSAGES_DEFAULT,
};
pub use identity::Identity;
pub use mint_quote::{
    LearnedQuote, QuoteAnswers, QuoteEvent, QuoteIssuer, QuoteOutcome, QuoteRequester,
    QuoteRequesterConfig, QuoteResponder, QuoteResponderConfig, RequesterCounts, RequesterStatus,
    ResponderCounts, ResponderStatus, record_elsewhere,
};
pub use outbox::{Enqueued, NewRequest, OUTBOX_SCHEMA};
pub use session::{ChannelEvent, ChannelName, Credit, GroupMemberState, OpenError, SendError};
pub use store::{Schema, Store, StoreCounts, StoreError, StoreFileError};
