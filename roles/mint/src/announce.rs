//! Tells the pools which keyset is active, and again when it changes.
//!
//! The responder keeps what was announced last, under a serial number that only rises, and sends it on each channel that
//! opens. Here the active keysets are compared with that once a second, so a rotation is noticed whoever made it:
//! this process or, through cdk's store, the operator's command.

use std::collections::HashMap;

use cdk::nuts::{Id, KeySet};
use winze_client::QuoteResponder;
use winze_messages::families::mint_quote::KeysetAnnouncement;

use crate::ecash::Ecash;
use crate::limits::KEYSET_WATCH_INTERVAL;
use crate::metrics::Metrics;

/// Announces until it is dropped.
pub(crate) async fn run(ecash: Ecash, responder: QuoteResponder, metrics: Metrics) {
    let mut announced: HashMap<String, Id> = HashMap::new();
    let mut ticks = tokio::time::interval(KEYSET_WATCH_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        for unit in ecash.units() {
            let Some(keyset) = ecash.active_keyset(unit) else {
                continue;
            };
            let unit = unit.to_string();
            if announced.get(&unit) == Some(&keyset.id) {
                continue;
            }
            match responder.announce(announcement(&unit, &keyset)).await {
                Ok(()) => {
                    tracing::info!(unit, keyset = %keyset.id, "keyset announced");
                    metrics.keyset_announced();
                    announced.insert(unit, keyset.id);
                }
                // The next tick tries again.
                Err(error) => tracing::error!(unit, %error, "a keyset cannot be announced"),
            }
        }
    }
}

/// What peers are told of a unit's keyset.
pub(crate) fn announcement(unit: &str, keyset: &KeySet) -> KeysetAnnouncement {
    let mut keys: Vec<(u64, [u8; 33])> = keyset
        .keys
        .iter()
        .map(|(amount, key)| (amount.to_u64(), key.to_bytes()))
        .collect();
    keys.sort_unstable();
    KeysetAnnouncement {
        unit: unit.to_owned(),
        keyset_id: keyset.id.to_bytes(),
        keys,
    }
}
