//! A pool on the hub whose mint is an old one, behind the bridge.

use std::collections::BTreeMap;

use winze_messages::text::header_hash_to_text;
use winze_testbed::configs::RedisSettings;
use winze_testbed::legacy::{LegacyMint, LegacyMintPlan, LegacyQuote};
use winze_testbed::{Crew, Deployment, QuoteList, Role, quotes, wait};

use crate::killed::{SOON, mining, more_shares};
use crate::redis_paths::{more_quotes, plan};

struct Scene {
    deployment: Deployment,
    old_mint: LegacyMint,
}

impl Scene {
    /// The old mint is there first: the keyset is its.
    async fn start(no_quote_ids: bool) -> Scene {
        let mut deployment = Deployment::prepare(plan(RedisSettings {
            push_again_after_s: Some(1),
            no_quote_ids,
            bridge_legacy_mint: true,
            ..RedisSettings::default()
        }))
        .unwrap();
        let old_mint = old_mint(&deployment, no_quote_ids);
        for role in deployment.roles() {
            deployment
                .begin(role)
                .await
                .unwrap_or_else(|error| panic!("{error}"));
        }
        deployment.healthy().await.unwrap();
        Scene {
            deployment,
            old_mint,
        }
    }

    /// What the pool lists, of all miners, once it waits for nothing any more.
    async fn listed(&self, crew: &mut Crew) -> QuoteList {
        crew.stop_mining().await;
        let mut all = QuoteList::default();
        for wallet in crew.wallets() {
            let key = wallet.locking_key();
            let list = wait::until("end of the wait for the mint", SOON, || async move {
                match quotes::list(self.deployment.pool_http(), key, 0).await {
                    Ok(list) if list.pending == 0 => Ok(list),
                    Ok(list) => Err(format!("{} wait", list.pending)),
                    Err(error) => Err(error.to_string()),
                }
            });
            let list = list.await.unwrap();
            all.quotes.extend(list.quotes);
            all.unknown.extend(list.unknown);
            all.refused.extend(list.refused);
        }
        all
    }

    fn made(&self) -> BTreeMap<String, LegacyQuote> {
        self.old_mint.quotes().unwrap()
    }
}

fn old_mint(deployment: &Deployment, no_quote_ids: bool) -> LegacyMint {
    let store = deployment.folder().join("old-mint.sqlite");
    let plan = LegacyMintPlan {
        writes_quote_ids: !no_quote_ids,
        ..LegacyMintPlan::new(deployment.redis_url().unwrap(), store)
    };
    LegacyMint::start(plan).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_share_has_the_one_quote_of_an_old_mint_that_is_killed_with_a_request_in_its_hand() {
    let mut scene = Scene::start(false).await;
    let mut crew = mining(&scene.deployment).await;
    more_quotes(&crew, 5).await;
    for _ in 0..2 {
        scene.old_mint.kill_after_pop().await.unwrap();
        more_shares(&crew, 5).await;
        scene.old_mint = old_mint(&scene.deployment, false);
        more_quotes(&crew, 10).await;
    }
    scene.deployment.kill_hard(Role::Bridge).unwrap();
    more_shares(&crew, 10).await;
    scene.deployment.restart(Role::Bridge).await.unwrap();
    more_quotes(&crew, 10).await;
    scene.deployment.kill_redis().unwrap();
    more_shares(&crew, 10).await;
    scene.deployment.restart_redis().unwrap();
    more_quotes(&crew, 10).await;

    let listed = scene.listed(&mut crew).await;
    let (account, made) = (crew.account(), scene.made());
    assert_eq!(listed.quotes.len() as u64, account.shares_accepted());
    assert_eq!(
        listed.quotes.len(),
        made.len(),
        "the old mint made no other"
    );
    assert_eq!((listed.refused.len(), listed.unknown.len()), (0, 0));
    for quote in &listed.quotes {
        let theirs = &made[&header_hash_to_text(&quote.header_hash)];
        assert_eq!(
            (&quote.quote_id, quote.amount),
            (&theirs.quote_id, theirs.amount)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_handed_to_an_old_mint_that_tells_no_ids_are_listed_as_unknown_and_have_their_quotes_there()
 {
    let scene = Scene::start(true).await;
    let mut crew = mining(&scene.deployment).await;
    more_shares(&crew, 20).await;
    let listed = scene.listed(&mut crew).await;
    let account = crew.account();
    assert_eq!(listed.unknown.len() as u64, account.shares_accepted());
    assert_eq!((listed.quotes.len(), listed.refused.len()), (0, 0));
    let arrived = wait::until("every quote at the old mint", SOON, || async {
        match scene.made().len() as u64 {
            made if made == account.shares_accepted() => Ok(()),
            made => Err(format!("{made}")),
        }
    });
    arrived.await.unwrap();
    let made = scene.made();
    for share in &listed.unknown {
        let theirs = &made[&header_hash_to_text(&share.header_hash)];
        assert_eq!(theirs.amount, share.amount);
        assert!(theirs.pubkey.is_some(), "the miner finds it by its key");
    }
}
