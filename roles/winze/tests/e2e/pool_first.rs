//! The pool is moved over before its mint: at first its mint is the old one, behind the bridge; then a mint reads the list
//! that the bridge fills, and the old one once more; at last pool and mint need no list.

use std::collections::BTreeSet;

use winze_messages::text::header_hash_to_text;
use winze_testbed::configs::RedisSettings;
use winze_testbed::legacy::{LegacyMint, LegacyMintKind, LegacyMintPlan};
use winze_testbed::{Crew, Deployment, QuoteList, Role, quotes, wait};

use crate::both_mints::{bridge, bridge_has_no, is_empty, no_share_has_two, of_redis};
use crate::killed::{SOON, all_is_well, mining, more_shares};
use crate::redis_paths::{more_quotes, plan};

const LIST: &str = "mint:quotes:create";

/// What the pool lists of all miners, once it waits for nothing.
async fn listed(deployment: &Deployment, crew: &mut Crew) -> Vec<QuoteList> {
    crew.stop_mining().await;
    let mut all = Vec::new();
    for wallet in crew.wallets() {
        let key = wallet.locking_key();
        let list = wait::until("end of the wait for the mint", SOON, || async move {
            match quotes::list(deployment.pool_http(), key, 0).await {
                Ok(list) if list.pending == 0 => Ok(list),
                Ok(list) => Err(format!("{} wait", list.pending)),
                Err(error) => Err(error.to_string()),
            }
        });
        all.push(list.await.unwrap());
    }
    all
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_moves_over_before_its_mint_and_back_and_every_share_has_one_quote_at_one_of_both() {
    let mut deployment = Deployment::prepare(plan(RedisSettings {
        bridge_legacy_mint: true,
        other_keysets: true,
        ..RedisSettings::default()
    }))
    .unwrap();
    let store = deployment.folder().join("old-mint.sqlite");
    let url = deployment.redis_url().unwrap();
    // It makes a quote of every entry, and has none left when it is started again.
    let old = LegacyMintPlan::of_kind(LegacyMintKind::Nested, &url, store);
    let mut old_mint = LegacyMint::start(old.clone()).unwrap();
    for role in deployment.roles() {
        deployment
            .begin(role)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }
    deployment.healthy().await.unwrap();
    let mut crew = mining(&deployment).await;
    more_quotes(&crew, 5).await;

    // The mint: the bridge finishes, shares are accepted meanwhile, and the next mint reads the list.
    bridge(&mut deployment, true).await;
    more_shares(&crew, 5).await;
    is_empty(&deployment, LIST).await;
    bridge_has_no(&deployment, &["legacy_open"]).await;
    old_mint.stop().await.unwrap();
    let mut old_quotes = old_mint.quotes().unwrap();
    assert_eq!(old_mint.second_count(), 0);
    deployment
        .change(of_redis(|redis| redis.mint_reads_list = true))
        .unwrap();
    deployment.terminate(Role::Mint).await.unwrap();
    deployment.restart(Role::Mint).await.unwrap();
    bridge(&mut deployment, false).await;
    more_quotes(&crew, 15).await;

    // Back, and the old one reads it again.
    bridge(&mut deployment, true).await;
    more_shares(&crew, 5).await;
    is_empty(&deployment, LIST).await;
    is_empty(&deployment, "mint:quotes:create:taken:mint-main").await;
    bridge_has_no(&deployment, &["legacy_open"]).await;
    deployment
        .change(of_redis(|redis| redis.mint_reads_list = false))
        .unwrap();
    deployment.terminate(Role::Mint).await.unwrap();
    deployment.restart(Role::Mint).await.unwrap();
    let old_mint = LegacyMint::start(old).unwrap();
    bridge(&mut deployment, false).await;
    more_quotes(&crew, 10).await;

    let lists = listed(&deployment, &mut crew).await;
    let listed: Vec<_> = lists.iter().flat_map(|list| &list.quotes).collect();
    old_quotes.extend(old_mint.quotes().unwrap());
    let made = no_share_has_two(&deployment, &old_quotes.keys().cloned().collect());
    let shares: BTreeSet<_> = listed.iter().map(|quote| quote.header_hash).collect();
    assert_eq!(
        shares.len(),
        listed.len(),
        "two quotes of one share are listed"
    );
    assert_eq!(listed.len() as u64, crew.account().shares_accepted());
    assert_eq!(old_quotes.len() as u64 + made, listed.len() as u64);
    assert!(old_quotes.len() >= 15 && made >= 10, "{made}");
    assert_eq!(
        (old_mint.second_count(), old_mint.unreadable_count()),
        (0, 0)
    );
    for quote in &listed {
        if let Some(theirs) = old_quotes.get(&header_hash_to_text(&quote.header_hash)) {
            assert_eq!(quote.quote_id, theirs.quote_id);
        }
    }
    drop(crew);

    // Last the list: the pool waits for nothing, so it may have another mint.
    deployment.terminate(Role::Pool).await.unwrap();
    deployment.terminate(Role::Bridge).await.unwrap();
    deployment
        .change(of_redis(|redis| redis.bridge_legacy_mint = false))
        .unwrap();
    deployment.hang_up(Role::Hub).unwrap();
    deployment.restart(Role::Pool).await.unwrap();
    deployment.healthy().await.unwrap();
    let crew = mining(&deployment).await;
    more_quotes(&crew, 10).await;
    all_is_well(crew).await;
}
