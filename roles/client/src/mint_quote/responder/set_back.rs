//! Keeps what the operator is shown of a record that was set back in step with the disk, where
//! `winze answers accept` changes it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};
use winze_messages::EXT_MINT_QUOTE;

use super::shared::Shared;
use crate::answers;
use crate::limits::HOUSEKEEPING_MS;

/// Looks for ever, once a second.
pub(super) async fn watch(shared: Arc<Shared>) {
    let mut ticks = interval(Duration::from_millis(HOUSEKEEPING_MS));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut is_failing = false;
    loop {
        ticks.tick().await;
        let read = shared.store.read(|c| answers::set_backs(c, EXT_MINT_QUOTE));
        match read.await {
            Ok(set_backs) => {
                is_failing = false;
                for accepted in shared.show_set_backs(set_backs) {
                    let pool = accepted.peer;
                    tracing::info!(
                        pool,
                        "the operator has accepted that the record was set back"
                    );
                }
            }
            Err(error) if !is_failing => {
                is_failing = true;
                tracing::error!(%error, "reading whether the record was set back");
            }
            Err(_) => {}
        }
    }
}
