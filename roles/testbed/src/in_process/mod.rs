//! What one role is tested beside, as tasks of the test's own process: a hub with its list of peers, and who asks it for
//! quotes. A whole deployment, with processes that can be killed, is [`Deployment`](crate::Deployment).

mod asker;
mod hub;

pub use asker::Asker;
pub use hub::{HubSite, HubTask};
