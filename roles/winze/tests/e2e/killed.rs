//! Hub, pool or mint is killed with SIGKILL while shares flow, and started again: every accepted share ends as exactly one
//! redeemed quote.

use std::time::Duration;

use winze_testbed::{Account, Crew, CrewPlan, Deployment, Role};

use crate::deployment;

pub const SOON: Duration = Duration::from_secs(25);

/// Two miners without an end, the first of whose shares are on their way.
pub async fn mining(deployment: &Deployment) -> Crew {
    let crew = Crew::start(deployment, CrewPlan::default()).await.unwrap();
    crew.wait_for("10 accepted shares", SOON, |account| {
        account.shares_accepted() >= 10
    })
    .await
    .unwrap();
    crew
}

/// So many further shares are accepted.
pub async fn more_shares(crew: &Crew, further: u64) {
    let goal = crew.account().shares_accepted() + further;
    let accepted = |account: &Account| account.shares_accepted() >= goal;
    crew.wait_for(&format!("{goal} accepted shares"), SOON, accepted)
        .await
        .unwrap();
}

/// Mining ends; all that was accepted is ecash, once.
pub async fn all_is_well(mut crew: Crew) -> Account {
    let account = crew.settle(Duration::from_secs(40)).await.unwrap();
    assert_eq!(account.problems(), []);
    assert_eq!(
        account.quotes_redeemed(),
        account.shares_accepted() + account.in_doubt_with_quote()
    );
    assert_eq!(account.ecash_redeemed(), account.ecash_expected());
    assert_eq!(account.refusals().len(), 0, "{:?}", account.refusals());
    account
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_accepted_while_the_killed_hub_is_away_become_ecash_when_it_is_back() {
    let mut deployment = deployment().await;
    let crew = mining(&deployment).await;
    deployment.kill_hard(Role::Hub).unwrap();
    more_shares(&crew, 15).await;
    let quotes = crew.account().quotes_issued();
    assert!(
        quotes < crew.account().shares_accepted(),
        "nobody carries requests"
    );

    deployment.restart(Role::Hub).await.unwrap();
    more_shares(&crew, 10).await;
    let account = all_is_well(crew).await;
    assert_eq!(
        account.shares_in_doubt(),
        0,
        "the miners never lost their pool"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_accepted_while_the_killed_mint_is_away_become_ecash_when_it_is_back() {
    let mut deployment = deployment().await;
    let crew = mining(&deployment).await;
    deployment.kill_hard(Role::Mint).unwrap();
    more_shares(&crew, 15).await;

    deployment.restart(Role::Mint).await.unwrap();
    more_shares(&crew, 10).await;
    // Once more, when it has a backlog to work off.
    deployment.kill_hard(Role::Mint).unwrap();
    deployment.restart(Role::Mint).await.unwrap();
    more_shares(&crew, 5).await;
    let account = all_is_well(crew).await;
    assert_eq!(
        account.shares_in_doubt(),
        0,
        "the miners never lost their pool"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_accepted_by_a_pool_before_it_was_killed_become_ecash_and_those_in_doubt_once_at_most()
 {
    let mut deployment = deployment().await;
    let crew = mining(&deployment).await;
    for _ in 0..3 {
        let connections = crew.account().connections();
        deployment.kill_hard(Role::Pool).unwrap();
        deployment.restart(Role::Pool).await.unwrap();
        let both_back = |account: &Account| account.connections() >= connections + 2;
        crew.wait_for("both miners at the pool again", SOON, both_back)
            .await
            .unwrap();
        more_shares(&crew, 8).await;
    }
    all_is_well(crew).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_three_killed_at_once_come_back_in_any_order_and_lose_nothing() {
    let mut deployment = deployment().await;
    let crew = mining(&deployment).await;
    for role in Role::ALL {
        deployment.kill_hard(role).unwrap();
    }
    for role in [Role::Pool, Role::Mint, Role::Hub] {
        deployment.restart(role).await.unwrap();
    }
    deployment.healthy().await.unwrap();
    more_shares(&crew, 10).await;
    all_is_well(crew).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_after_the_other_is_killed_again_and_again_at_moments_of_the_miners_choice() {
    let mut deployment = deployment().await;
    let crew = mining(&deployment).await;
    for round in 0..12 {
        let role = Role::ALL[round % Role::ALL.len()];
        deployment.kill_hard(role).unwrap();
        deployment.restart(role).await.unwrap();
        // Not until all is well again: the next one goes while the last one finds its feet.
        more_shares(&crew, 3).await;
    }
    all_is_well(crew).await;
}
