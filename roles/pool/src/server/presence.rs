//! Says when the mint goes and when it is back.

use std::time::Duration;

use winze_client::QuoteRequester;

/// How often is looked. Presence comes with the hub's messages and has no event of its own; nobody waits for this line.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Watches until it is dropped. A mint that has not come yet is not one that went.
pub(super) async fn watch(requester: QuoteRequester) {
    let mut present = false;
    loop {
        let status = requester.status();
        if status.peer_present != present {
            present = status.peer_present;
            let quotes_waiting = status.waiting;
            match present {
                true => tracing::info!(quotes_waiting, "the mint is there"),
                false => tracing::info!(
                    quotes_waiting,
                    "the mint is away; quote requests wait for it"
                ),
            }
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}
