//! Shares become ecash.

use std::time::Duration;

use winze_testbed::{Crew, CrewPlan, Role};

use crate::deployment;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_share_of_two_miners_becomes_ecash_in_their_own_wallets() {
    let mut deployment = deployment().await;
    let plan = CrewPlan {
        shares: Some(40),
        ..CrewPlan::default()
    };
    let mut crew = Crew::start(&deployment, plan).await.unwrap();
    crew.mined(Duration::from_secs(40)).await.unwrap();
    let account = crew.settle(Duration::from_secs(20)).await.unwrap();

    assert_eq!(account.problems(), []);
    assert_eq!(account.shares_accepted(), 40);
    assert_eq!(
        (account.quotes_issued(), account.quotes_redeemed()),
        (40, 40)
    );
    assert_eq!(account.ecash_redeemed(), account.ecash_expected());
    for wallet in crew.wallets() {
        assert!(
            wallet.balance().await.unwrap() > 0,
            "each miner has its own"
        );
    }
    for role in [Role::Pool, Role::Mint, Role::Hub] {
        let status = deployment.terminate(role).await.unwrap();
        assert!(status.success(), "{role}: {status}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_quote_is_redeemed_once_and_by_its_owner_alone() {
    let deployment = deployment().await;
    let plan = CrewPlan {
        miners: 1,
        shares: Some(3),
        ..CrewPlan::default()
    };
    let mut crew = Crew::start(&deployment, plan).await.unwrap();
    crew.mined(Duration::from_secs(30)).await.unwrap();
    let account = crew.settle(Duration::from_secs(20)).await.unwrap();
    assert_eq!(account.problems(), []);
    let alice = &crew.wallets()[0];
    let list = winze_testbed::quotes::list(deployment.pool_http(), alice.locking_key(), 0).await;
    let quote_id = &list.unwrap().quotes[0].quote_id;

    let held = alice.balance().await.unwrap();
    alice.redeem(quote_id).await.unwrap();
    assert_eq!(
        alice.balance().await.unwrap(),
        held,
        "a second time gives nothing more"
    );
    let mallory = winze_testbed::Wallet::new(&deployment.mint_url(), "hash")
        .await
        .unwrap();
    mallory.redeem(quote_id).await.unwrap_err();
    assert_eq!(mallory.balance().await.unwrap(), 0);
}
