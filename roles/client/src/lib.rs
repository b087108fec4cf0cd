//! How every role talks to the hub.

pub mod answers;
mod backoff;
pub mod delivery;
pub mod hub_client;
mod identity;
pub mod limits;
pub mod mint_quote;
pub mod outbox;
pub mod session;
pub mod store;

pub use answers::ANSWERS_SCHEMA;
pub use hub_client::{
    ChannelHandle, ChannelListener, ClientStopped, HubClient, HubClientConfig, HubCounts, HubState,
    HubStatus,
};
pub use identity::Identity;
pub use mint_quote::{
    QuoteAnswers, QuoteEvent, QuoteIssuer, QuoteOutcome, QuoteRequester, QuoteRequesterConfig,
    QuoteResponder, QuoteResponderConfig, RequesterCounts, RequesterStatus, ResponderCounts,
    ResponderStatus,
};
pub use outbox::{Enqueued, NewRequest, OUTBOX_SCHEMA};
pub use session::{ChannelEvent, ChannelName, Credit, OpenError, SendError};
pub use store::{Schema, Store, StoreCounts, StoreError};
