//! Keeps the active keyset under the key that old pools read.
//!
//! What lies there is compared once a second: so a rotation gets there, and what a Redis without a disk has forgotten, or
//! an older mint has left behind.

use cdk::nuts::CurrencyUnit;
use winze_legacy::Keyset;
use winze_redis::limits::KEYSET_INTERVAL;
use winze_redis::{KeysetKey, LinkPart};

use super::link::Link;
use crate::announce::announcement;
use crate::ecash::Ecash;
use crate::metrics::ListMetrics;

/// Keeps it until it is dropped.
pub(super) async fn run(
    ecash: Ecash,
    unit: CurrencyUnit,
    mut key: KeysetKey,
    link: Link,
    metrics: ListMetrics,
) {
    let mut ticks = tokio::time::interval(KEYSET_INTERVAL);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(keyset) = ecash.active_keyset(&unit) else {
            continue;
        };
        let name = unit.to_string();
        let keyset = Keyset::from(&announcement(&name, &keyset));
        // Old mints write the unit in upper case.
        let text = keyset.to_json(&name.to_ascii_uppercase());
        match key.keep(&text).await {
            Ok(written) => {
                link.note(LinkPart::Keyset, Ok(()));
                if written {
                    let id = hex::encode(&keyset.id);
                    tracing::info!(keyset = id, "keyset written to Redis");
                    metrics.keyset_written();
                }
            }
            Err(fault) => link.note(LinkPart::Keyset, Err(&fault)),
        }
    }
}
