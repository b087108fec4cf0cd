//! A pool whose requests for quotes take the list in Redis: alone, beside the hub, or while the hub is away. Whichever way
//! they take, every accepted share ends as exactly one redeemed quote.

use winze_testbed::configs::{QuotePath, RedisSettings, Settings};
use winze_testbed::{Account, Crew, Deployment, DeploymentPlan, Role, wait};

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
    let account = all_is_well(crew).await;
    assert_eq!(made(&deployment).await, account.quotes_issued());
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_that_the_pool_and_the_bridge_both_ask_for_has_one_quote_and_neither_is_refused() {
    let mut deployment = deployment(RedisSettings {
        quote_path: QuotePath::Fallback,
        push_again_after_s: Some(2),
        bridge_requests: true,
        ..RedisSettings::default()
    })
    .await;
    let crew = mining(&deployment).await;
    more_quotes(&crew, 5).await;
    // Nobody comes through, so all that is pushed waits at the bridge, and in the pool's store as well.
    deployment.kill_hard(Role::Hub).unwrap();
    pushed(&deployment, 20).await;
    deployment.restart(Role::Hub).await.unwrap();
    more_quotes(&crew, 20).await;
    // From now on every share goes both ways at once.
    deployment.change(both).unwrap();
    let connections = crew.account().connections();
    deployment.kill_hard(Role::Pool).unwrap();
    deployment.restart(Role::Pool).await.unwrap();
    let back = |account: &Account| account.connections() >= connections + 2;
    crew.wait_for("both miners", SOON, back).await.unwrap();
    more_shares(&crew, 40).await;
    pushed(&deployment, 40).await;
    let account = all_is_well(crew).await;
    let settled = wait::until("end of the bridge's work", SOON, || async {
        let mut open = Vec::new();
        for name in ["list_length", "quotes_waiting", "answers_untold"] {
            let name = format!("winze_bridge_{name}");
            open.push(counted(&deployment, Role::Bridge, &name).await as u64);
        }
        match open == [0, 0, 0] {
            true => Ok(()),
            false => Err(format!("{open:?}")),
        }
    });
    settled.await.unwrap();
    let dead = counted(&deployment, Role::Bridge, "winze_bridge_dead_letters_total").await;
    assert_eq!(
        dead as u64, 0,
        "the mint refused the bridge what the pool had asked for"
    );
    assert_eq!(made(&deployment).await, account.quotes_issued());
}

/// Quotes that the mint, which was never killed, has made: more than miners know of would be second ones for a share.
async fn made(deployment: &Deployment) -> u64 {
    counted(deployment, Role::Mint, "winze_mint_quotes_issued_total").await as u64
}

fn both(settings: &mut Settings) {
    if let Some(redis) = &mut settings.redis {
        redis.quote_path = QuotePath::Both;
    }
}

/// So many requests were pushed by the pool that runs.
async fn pushed(deployment: &Deployment, count: u64) {
    let pushed = wait::until("requests in the list", SOON, || async {
        let pushed = counted(deployment, Role::Pool, "winze_pool_redis_pushed_total").await;
        match pushed as u64 >= count {
            true => Ok(()),
            false => Err(format!("{pushed}")),
        }
    });
    pushed.await.unwrap();
}
