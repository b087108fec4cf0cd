//! The hub's orderly end: no new requests, the rest of what is on its way, goodbye.

use winze_messages::families::common::Reconnect;
use winze_transport::Frame;

use super::connection::{Connection, Step};
use super::credit::Totals;
use super::event::Ending;
use super::reasons::CloseReason;
use super::{ConnId, HubCore};

/// A hub on its way out.
#[derive(Debug)]
pub(super) struct Leaving {
    pub(super) retry_after_ms: u32,
    /// When something was last on its way.
    busy_at_ms: u64,
}

impl HubCore {
    /// Asks every client to reconnect, and takes no requests any more: what the opener of a channel sends is refused with
    /// `peer-away`. Answers still pass, and all that was taken before is delivered. Clients that have not proven who they
    /// are, or come now, are told to come back after `retry_after_ms`.
    pub fn wind_down(&mut self, retry_after_ms: u32, now_ms: u64) {
        self.leaving = Some(Leaving {
            retry_after_ms,
            busy_at_ms: now_ms,
        });
        let mut strangers = Vec::new();
        for (conn, connection) in &mut self.connections {
            match connection.step() {
                Step::Ready { .. } => {
                    connection.ask_to_reconnect();
                    self.ready.insert(*conn);
                }
                Step::Ended => {}
                _ => strangers.push(*conn),
            }
        }
        strangers.sort_unstable();
        for conn in strangers {
            self.end_connection(conn, shutdown(retry_after_ms));
        }
    }

    /// After [`Self::wind_down`], whether nothing is on its way any more: every client was asked, nothing waits for its
    /// reader, and nothing has for `quiet_ms`, in which an answer would have come.
    pub fn is_drained(&mut self, quiet_ms: u64, now_ms: u64) -> bool {
        let busy = self
            .connections
            .values()
            .any(|connection| connection.has_to_read());
        match &mut self.leaving {
            Some(leaving) if busy => {
                leaving.busy_at_ms = now_ms;
                false
            }
            Some(leaving) => {
                let nobody = self.registry.present_names().is_empty();
                nobody || now_ms.saturating_sub(leaving.busy_at_ms) >= quiet_ms
            }
            None => false,
        }
    }

    /// Ends every connection: the hub goes, and clients shall come back after `retry_after_ms`.
    pub fn shut_down(&mut self, retry_after_ms: u32) {
        let busy_at_ms = 0;
        self.leaving.get_or_insert(Leaving {
            retry_after_ms,
            busy_at_ms,
        });
        let mut all: Vec<ConnId> = self.connections.keys().copied().collect();
        all.sort_unstable();
        for conn in all {
            self.end_connection(conn, shutdown(retry_after_ms));
        }
    }
}

impl Connection {
    /// Whether a message waits for this client, or the request to reconnect.
    fn has_to_read(&self) -> bool {
        self.reconnect_due || self.queued() != Totals::default()
    }

    /// The hub asks for one thing alone, and names no other place: a client comes back to where its own configuration
    /// says.
    pub(super) fn next_reconnect(&mut self) -> Option<Frame> {
        let due = std::mem::take(&mut self.reconnect_due);
        let message = Reconnect {
            new_host: String::new(),
            new_port: 0,
        };
        due.then(|| {
            message
                .to_frame()
                .expect("an empty text has no bound to exceed")
        })
    }
}

/// The end of a connection by a hub that goes.
pub(super) fn shutdown(retry_after_ms: u32) -> Ending {
    let detail = "the hub is shutting down".to_owned();
    Ending::close(CloseReason::Shutdown, detail, retry_after_ms)
}
