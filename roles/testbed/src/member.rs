//! One member of a crew: takes down what its miner tells, looks for quotes that it missed, redeems them all.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::{mpsc, watch};
use tokio::time::{MissedTickBehavior, interval, sleep};
use winze_miner::MinerEvent;

use crate::account::Account;
use crate::limits::{LIST_INTERVAL, REDEEM_RETRY_INTERVAL};
use crate::quotes;
use crate::wallet::Wallet;

/// Which member of the crew; index into its wallets.
pub(crate) type MemberIndex = usize;

/// Writes the miner's events into the account until the miner is gone.
pub(crate) async fn record(
    member: MemberIndex,
    mut events: mpsc::Receiver<MinerEvent>,
    account: watch::Sender<Account>,
) {
    while let Some(event) = events.recv().await {
        account.send_modify(|account| match event {
            MinerEvent::Connected { .. } => account.connected(),
            MinerEvent::Accepted(share) => account.accepted(member, &share),
            MinerEvent::InDoubt(share) => account.in_doubt(member, &share),
            MinerEvent::Refused { error_code, .. } => account.refused(error_code),
            MinerEvent::Quote(quote) => {
                account.quote(member, quote.quote_id, quote.header_hash, quote.amount);
            }
            MinerEvent::QuoteFailed(failure) => account.quote_failed(&failure.header_hash),
            MinerEvent::Disconnected { reason } => {
                tracing::debug!(member, reason, "the miner lost its pool");
            }
        });
    }
}

/// Asks the pool's list while any of the member's shares has no quote. For ever; to be aborted.
pub(crate) async fn look_for_quotes(
    member: MemberIndex,
    wallet: Arc<Wallet>,
    pool_http: SocketAddr,
    account: watch::Sender<Account>,
) {
    let mut after = 0;
    let mut turns = interval(LIST_INTERVAL);
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        turns.tick().await;
        if account.borrow().without_quote(member) == 0 {
            continue;
        }
        match quotes::list(pool_http, wallet.locking_key(), after).await {
            Ok(list) => {
                after = list.quotes.last().map_or(after, |quote| quote.sequence);
                account.send_if_modified(|account| {
                    let known = account.quotes_issued();
                    for quote in list.quotes {
                        account.quote(member, quote.quote_id, quote.header_hash, quote.amount);
                    }
                    account.quotes_issued() != known
                });
            }
            Err(error) => tracing::debug!(member, %error, "the pool does not list quotes now"),
        }
    }
}

/// Redeems every quote of the member that gets known. For ever; to be aborted.
pub(crate) async fn redeem(
    member: MemberIndex,
    wallet: Arc<Wallet>,
    account: watch::Sender<Account>,
) {
    let mut changes = account.subscribe();
    loop {
        let next = changes.borrow_and_update().next_to_redeem(member);
        let Some(quote_id) = next else {
            if changes.changed().await.is_err() {
                return;
            }
            continue;
        };
        match wallet.redeem(&quote_id).await {
            Ok(amount) => account.send_modify(|account| account.redeemed(&quote_id, amount)),
            Err(error) => {
                tracing::debug!(member, quote_id, %error, "not redeemed, trying again");
                sleep(REDEEM_RETRY_INTERVAL).await;
            }
        }
    }
}
