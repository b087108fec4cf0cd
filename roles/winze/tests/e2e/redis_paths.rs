//! A pool whose requests for quotes take the list in Redis: alone, beside the hub, or while the hub is away. Whichever way
//! they take, every accepted share ends as exactly one redeemed quote.

use winze_testbed::configs::{QuotePath, RedisSettings};
use winze_testbed::{Account, Crew, Deployment, DeploymentPlan, Role};

use crate::WINZE;
use crate::killed::{SOON, all_is_well, mining, more_shares};

pub fn plan(redis: RedisSettings) -> DeploymentPlan {
    let mut plan = DeploymentPlan::new(WINZE);
    plan.settings.redis = Some(RedisSettings {
        durable: true,
        ..redis
    });
    plan
}

pub async fn deployment(redis: RedisSettings) -> Deployment {
    let started = Deployment::start(plan(redis)).await;
    started.unwrap_or_else(|error| panic!("{error}"))
}

/// So many further quotes are known to miners.
pub async fn more_quotes(crew: &Crew, further: u64) {
    let goal = crew.account().quotes_issued() + further;
    let quoted = |account: &Account| account.quotes_issued() >= goal;
    crew.wait_for(&format!("{goal} quotes"), SOON, quoted)
        .await
        .unwrap();
}

/// What a role counts under `name`, over all labels.
pub async fn counted(deployment: &Deployment, role: Role, name: &str) -> f64 {
    let metrics = deployment.metrics(role).await.unwrap();
    metrics
        .sum(name, &[])
        .unwrap_or_else(|| panic!("{role} has no {name}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn shares_that_go_over_the_list_and_the_bridge_become_ecash_whoever_of_these_is_killed() {
    let mut deployment = deployment(RedisSettings {
        quote_path: QuotePath::Redis,
        // What was lost on the way would stay lost.
        push_again_after_s: Some(86_400),
        bridge_requests: true,
        ..RedisSettings::default()
    })
    .await;
    let crew = mining(&deployment).await;
    more_quotes(&crew, 5).await;
    deployment.kill_redis().unwrap();
    more_shares(&crew, 15).await;
    deployment.restart_redis().unwrap();
    more_quotes(&crew, 15).await;
    for role in [Role::Bridge, Role::Hub] {
        deployment.kill_hard(role).unwrap();
        more_shares(&crew, 15).await;
        deployment.restart(role).await.unwrap();
        more_quotes(&crew, 15).await;
    }
    let account = all_is_well(crew).await;
    assert_eq!(account.shares_in_doubt(), 0);
    let over_list = counted(&deployment, Role::Pool, "winze_pool_redis_quotes_total").await;
    assert_eq!(
        over_list as u64,
        account.quotes_issued(),
        "none came otherwise"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_goes_both_ways_has_one_quote_and_either_way_is_enough() {
    let mut deployment = deployment(RedisSettings {
        quote_path: QuotePath::Both,
        push_again_after_s: Some(2),
        mint_reads_list: true,
        ..RedisSettings::default()
    })
    .await;
    let crew = mining(&deployment).await;
    more_quotes(&crew, 5).await;
    deployment.kill_redis().unwrap();
    more_quotes(&crew, 15).await;
    deployment.restart_redis().unwrap();
    more_quotes(&crew, 10).await;
    deployment.kill_hard(Role::Hub).unwrap();
    more_shares(&crew, 1).await;
    more_quotes(&crew, 15).await;
    deployment.restart(Role::Hub).await.unwrap();
    more_quotes(&crew, 10).await;
    all_is_well(crew).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_hub_is_away_quotes_come_over_redis_and_none_comes_twice_when_it_is_back() {
    let mut deployment = deployment(RedisSettings {
        quote_path: QuotePath::Fallback,
        push_again_after_s: Some(2),
        mint_reads_list: true,
        ..RedisSettings::default()
    })
    .await;
    let crew = mining(&deployment).await;
    more_quotes(&crew, 10).await;
    let pushed = counted(&deployment, Role::Pool, "winze_pool_redis_pushed_total").await;
    assert_eq!(pushed as u64, 0, "the hub was there all the time");
    deployment.kill_hard(Role::Hub).unwrap();
    more_shares(&crew, 5).await;
    more_quotes(&crew, 15).await;
    deployment.restart(Role::Hub).await.unwrap();
    more_quotes(&crew, 15).await;
    // Gone while the pool has pushed and has no ids yet.
    deployment.kill_hard(Role::Mint).unwrap();
    deployment.kill_hard(Role::Hub).unwrap();
    more_shares(&crew, 15).await;
    deployment.restart(Role::Hub).await.unwrap();
    deployment.restart(Role::Mint).await.unwrap();
    more_quotes(&crew, 15).await;
    all_is_well(crew).await;
}
