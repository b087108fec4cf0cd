//! An old pool and an old mint are moved over one after the other, under load: every request that was ever pushed has one
//! quote, at the mint that it came to.

use std::collections::{BTreeMap, BTreeSet};

use winze_redis::{Handover, QuoteId};
use winze_testbed::configs::{QuotePath, RedisSettings};
use winze_testbed::legacy::{
    LegacyMint, LegacyMintPlan, LegacyPool, LegacyPoolPlan, LegacyQuote, LegacyShape,
};
use winze_testbed::{Deployment, Role, wait};

use crate::both_mints::{bridge_has_no, is_empty, no_share_has_two, of_redis};
use crate::killed::{SOON, all_is_well, mining, more_shares};
use crate::redis_paths::{counted, more_quotes, plan};

/// Of each old pool. There are three, one for each shape.
const SHARES_PER_SECOND: u32 = 30;

async fn answered(pools: &[LegacyPool], further: u64) {
    let answered = || -> u64 {
        pools
            .iter()
            .map(|pool| pool.answered_count().unwrap())
            .sum()
    };
    let goal = answered() + further;
    let reached = wait::until("quotes of old pools", SOON, || async {
        match answered() {
            answered if answered >= goal => Ok(()),
            answered => Err(format!("{answered} of {goal}")),
        }
    });
    reached.await.unwrap();
}

/// What is under the keys of these header hashes.
async fn ids(deployment: &Deployment, hashes: &BTreeSet<String>) -> BTreeMap<String, String> {
    let config = deployment.redis_config().unwrap();
    let redis = config.open().unwrap();
    let mut keys = Handover::new(&redis, &config.requests_list, &config.quote_key_prefix);
    let hashes: Vec<String> = hashes.iter().cloned().collect();
    let found = keys.quote_ids(&hashes).await.unwrap();
    let known = hashes
        .into_iter()
        .zip(found)
        .filter_map(|(hash, id)| match id {
            QuoteId::Known(id) => Some((hash, id)),
            _ => None,
        });
    known.collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_pools_and_their_mint_move_over_under_load_and_every_request_has_one_quote() {
    let mut deployment = Deployment::prepare(plan(RedisSettings {
        quote_path: QuotePath::Both,
        bridge_requests: true,
        other_keysets: true,
        ..RedisSettings::default()
    }))
    .unwrap();
    let url = deployment.redis_url().unwrap();
    let store = deployment.folder().join("old-mint.sqlite");
    let mut old_mint = LegacyMint::start(LegacyMintPlan::new(&url, store)).unwrap();
    let shapes = [
        (LegacyShape::Nested, "hash"),
        (LegacyShape::FlatWithMessages, "HASH"),
        (LegacyShape::Flat, "HASH"),
    ];
    let mut old_pools = shapes.map(|(shape, unit)| {
        let plan = LegacyPoolPlan {
            shape,
            unit: unit.to_owned(),
            shares_per_second: SHARES_PER_SECOND,
            ..LegacyPoolPlan::new(&url)
        };
        LegacyPool::start(plan).unwrap()
    });
    answered(&old_pools, 60).await;

    // The mint first. The old pools go on, and wait for nobody.
    old_mint.stop().await.unwrap();
    for role in [Role::Hub, Role::Mint, Role::Bridge] {
        deployment
            .begin(role)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }
    answered(&old_pools, 60).await;
    // Not all goes well on such a day.
    deployment.kill_hard(Role::Bridge).unwrap();
    deployment.restart(Role::Bridge).await.unwrap();
    answered(&old_pools, 60).await;

    // Then the pool, on both paths at first.
    deployment
        .begin(Role::Pool)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    deployment.healthy().await.unwrap();
    let crew = mining(&deployment).await;
    more_quotes(&crew, 10).await;
    for pool in &mut old_pools {
        pool.stop().await.unwrap();
    }
    let sv2 = |settings: &mut winze_testbed::configs::Settings| {
        if let Some(redis) = &mut settings.redis {
            redis.quote_path = QuotePath::Sv2;
        }
    };
    deployment.change(sv2).unwrap();
    let connections = crew.account().connections();
    deployment.terminate(Role::Pool).await.unwrap();
    deployment.restart(Role::Pool).await.unwrap();
    let back = crew.wait_for("both miners", SOON, |it| {
        it.connections() >= connections + 2
    });
    back.await.unwrap();
    more_shares(&crew, 10).await;

    let pushed: BTreeSet<String> = old_pools.iter().flat_map(LegacyPool::pushed).collect();
    let every = wait::until("id of every old request", SOON, || async {
        match ids(&deployment, &pushed).await.len() {
            found if found == pushed.len() => Ok(()),
            found => Err(format!("{found} of {}", pushed.len())),
        }
    });
    every.await.unwrap();
    deployment.terminate(Role::Bridge).await.unwrap();
    deployment.kill_redis().unwrap();
    more_quotes(&crew, 5).await;
    let account = all_is_well(crew).await;

    // Counted at both mints: as many as requests and shares, and the old one's are still under their keys.
    deployment.restart_redis().unwrap();
    let (ids, old): (_, BTreeMap<String, LegacyQuote>) =
        (ids(&deployment, &pushed).await, old_mint.quotes().unwrap());
    for (hash, quote) in &old {
        assert_eq!(
            ids.get(hash),
            Some(&quote.quote_id),
            "{hash} has another quote"
        );
    }
    let made = counted(&deployment, Role::Mint, "winze_mint_quotes_issued_total").await as u64;
    assert_eq!(
        old.len() as u64 + made,
        pushed.len() as u64 + account.quotes_issued()
    );
    let old = old.into_keys().collect();
    assert_eq!(no_share_has_two(&deployment, &old), made);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_pool_whose_mint_moved_over_goes_back_to_the_old_one_and_no_share_has_two_quotes() {
    let mut deployment = Deployment::prepare(plan(RedisSettings {
        bridge_requests: true,
        other_keysets: true,
        ..RedisSettings::default()
    }))
    .unwrap();
    let url = deployment.redis_url().unwrap();
    let store = deployment.folder().join("old-mint.sqlite");
    let plan = LegacyMintPlan::new(&url, store);
    let mut old_mint = LegacyMint::start(plan.clone()).unwrap();
    let mut old_pools = [LegacyPool::start(LegacyPoolPlan {
        shares_per_second: SHARES_PER_SECOND,
        ..LegacyPoolPlan::new(&url)
    })
    .unwrap()];
    answered(&old_pools, 20).await;
    old_mint.stop().await.unwrap();
    for role in [Role::Hub, Role::Mint, Role::Bridge] {
        deployment
            .begin(role)
            .await
            .unwrap_or_else(|error| panic!("{error}"));
    }
    answered(&old_pools, 40).await;

    // Killed with whatever it has in hand; then it finishes, while the old pool goes on.
    deployment
        .change(of_redis(|redis| redis.bridge_finishes = true))
        .unwrap();
    deployment.kill_hard(Role::Bridge).unwrap();
    deployment.restart(Role::Bridge).await.unwrap();
    is_empty(&deployment, "mint:quotes:create:taken:main").await;
    bridge_has_no(&deployment, &["quotes_waiting", "answers_untold"]).await;
    deployment.terminate(Role::Bridge).await.unwrap();
    let mut old_mint = LegacyMint::start(plan).unwrap();
    answered(&old_pools, 40).await;
    let [pool] = &mut old_pools;
    pool.stop().await.unwrap();
    is_empty(&deployment, "mint:quotes:create").await;
    old_mint.stop().await.unwrap();

    let old: BTreeSet<String> = old_mint.quotes().unwrap().into_keys().collect();
    let new = no_share_has_two(&deployment, &old);
    assert!(old.len() >= 60 && new >= 40, "{} and {new}", old.len());
    assert_eq!(old_mint.repeated_count(), 0);
    assert_eq!(old.len() as u64 + new, pool.pushed_count());
}
