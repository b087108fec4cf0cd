//! The hub's list changes on SIGHUP while shares flow.

use std::time::Duration;

use serde_json::{Value, json};
use winze_testbed::{Account, Crew, CrewPlan, Deployment, Role, wait};

use crate::deployment;
use crate::killed::{SOON, more_shares};
use crate::peer::PATIENCE;

/// Writes the hub's configuration and waits until the hub's health says what it should.
async fn reload(deployment: &mut Deployment, text: &str, until: impl Fn(&Value) -> bool) {
    std::fs::write(deployment.config_file(Role::Hub), text).unwrap();
    deployment.hang_up(Role::Hub).unwrap();
    let seen = wait::until("the hub's word of its configuration", PATIENCE, || async {
        let health = deployment.health(Role::Hub).await;
        let health = health.map_err(|error| error.to_string())?;
        match until(&health.body["detail"]) {
            true => Ok(()),
            false => Err(health.body.to_string()),
        }
    });
    seen.await.unwrap_or_else(|error| panic!("{error}"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_struck_off_is_cut_off_and_its_shares_become_ecash_once_it_is_listed_again()
{
    let mut deployment = deployment().await;
    let mut crew = Crew::start(&deployment, CrewPlan::default()).await.unwrap();
    more_shares(&crew, 5).await;
    let good = std::fs::read_to_string(deployment.config_file(Role::Hub)).unwrap();

    // A mistake of the operator's ends nobody's connection.
    let faulty = good.replace("mint/main", "mint/typo");
    reload(&mut deployment, &faulty, |detail| {
        let error = detail["configuration"]["error"].as_str();
        error.is_some_and(|error| error.contains("mint/typo"))
    })
    .await;
    let health = deployment.health(Role::Hub).await.unwrap();
    assert!(health.ready);
    assert_eq!(
        health.body["detail"]["peers"],
        json!(["pool/main", "mint/main"])
    );
    let issued = crew.account().quotes_issued();
    let more_quotes = |account: &Account| account.quotes_issued() > issued + 3;
    crew.wait_for("quotes under the list before", SOON, more_quotes)
        .await
        .unwrap();

    let (head, tail) = good.split_once("[[peers]]").unwrap();
    let (_pool, mint) = tail.split_once("[[peers]]").unwrap();
    reload(
        &mut deployment,
        &format!("{head}[[peers]]{mint}"),
        |detail| {
            detail["configuration"]["error"].is_null() && detail["peers"] == json!(["mint/main"])
        },
    )
    .await;
    let metrics = deployment.metrics(Role::Hub).await.unwrap();
    let struck_off = metrics.sum("winze_hub_closes_total", &[("reason", "struck-off")]);
    assert_eq!(struck_off, Some(1.0));
    // Nobody carries its requests, and its miners work on.
    more_shares(&crew, 10).await;

    reload(&mut deployment, &good, |detail| {
        detail["peers"] == json!(["pool/main", "mint/main"])
    })
    .await;
    let account = crew.settle(Duration::from_secs(40)).await.unwrap();
    assert_eq!(account.problems(), []);
    assert_eq!(account.quotes_redeemed(), account.shares_accepted());
    assert_eq!(account.shares_in_doubt(), 0);
}
