//! A pool's store is restored from an older copy, while its mint went on.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use winze_testbed::{Crew, CrewPlan, Deployment, Role, wait};

use crate::WINZE;
use crate::killed::{SOON, all_is_well, mining, more_shares};
use crate::peer::PATIENCE;

fn store_file(deployment: &Deployment) -> PathBuf {
    let config = std::fs::read_to_string(deployment.config_file(Role::Pool)).unwrap();
    let config: toml::Table = config.parse().unwrap();
    deployment
        .folder()
        .join(config["store_file"].as_str().unwrap())
}

/// The mint's part of the outbox, as `winze outbox --json` has it.
fn outbox(arguments: &[&str], file: &Path) -> Value {
    let output = Command::new(WINZE)
        .arg("outbox")
        .args(arguments)
        .arg(file)
        .env_remove("WINZE_LOG")
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice::<Value>(&output.stdout).map_or(Value::Null, |json| {
        json["peers"].get(0).cloned().unwrap_or(Value::Null)
    })
}

/// Both sides are at rest: every request has its answer.
async fn at_rest(file: &Path) -> Value {
    let look = || async {
        let peer = outbox(&["--json"], file);
        match peer["waiting"] == 0 {
            true => Ok(()),
            false => Err(peer.to_string()),
        }
    };
    wait::until("nothing to wait", PATIENCE, look)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    outbox(&["--json"], file)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pool_that_is_restored_from_a_backup_says_so_and_pays_on_once_for_each_share() {
    let mut deployment = crate::deployment().await;
    let file = store_file(&deployment);
    let backup = deployment.folder().join("backup.sqlite");
    // The copy is made while five shares wait: the mint is away.
    let crew = mining(&deployment).await;
    all_is_well(crew).await;
    deployment.kill_hard(Role::Mint).unwrap();
    let five = CrewPlan {
        shares: Some(5),
        ..CrewPlan::default()
    };
    let mut early = Crew::start(&deployment, five).await.unwrap();
    early.mined(SOON).await.unwrap();
    deployment.terminate(Role::Pool).await.unwrap();
    std::fs::copy(&file, &backup).unwrap();
    let had = outbox(&["--json"], &file);
    assert!(had["waiting"].as_u64() >= Some(5), "{had}");
    // All of these become ecash, and more.
    deployment.restart(Role::Mint).await.unwrap();
    deployment.restart(Role::Pool).await.unwrap();
    let account = early.settle(Duration::from_secs(40)).await.unwrap();
    assert_eq!(account.problems(), []);
    let crew = mining(&deployment).await;
    let forgotten = all_is_well(crew).await.shares_accepted();
    assert_eq!(at_rest(&file).await["set_back"], Value::Null);
    deployment.terminate(Role::Pool).await.unwrap();
    std::fs::copy(&backup, &file).unwrap();

    deployment.restart(Role::Pool).await.unwrap();
    let noticed = at_rest(&file).await["set_back"].clone();
    let number = |name: &str| noticed[name].as_u64().unwrap();
    assert_eq!(number("known") - number("had"), forgotten, "{noticed}");
    let health = deployment.health(Role::Pool).await.unwrap();
    assert_eq!(
        health.body["detail"]["store_set_back"]["known"],
        noticed["known"]
    );
    let metrics = deployment.metrics(Role::Pool).await.unwrap();
    assert_eq!(metrics.sum("winze_pool_store_set_back", &[]), Some(1.0));
    assert_eq!(
        metrics.sum("winze_pool_mint_store_set_back", &[]),
        Some(0.0)
    );
    // What waited when the copy was made has the quotes that it got: nobody is told another.
    let again = early.settle(Duration::from_secs(40)).await.unwrap();
    assert_eq!(again.problems(), []);
    assert_eq!(again.ecash_redeemed(), account.ecash_redeemed());
    let crew = mining(&deployment).await;
    more_shares(&crew, 5).await;
    all_is_well(crew).await;

    outbox(&["acknowledge"], &file);
    assert_eq!(at_rest(&file).await["set_back"], Value::Null);
    let seen = || async {
        let metrics = deployment.metrics(Role::Pool).await.unwrap();
        match metrics.sum("winze_pool_store_set_back", &[]) {
            Some(0.0) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    };
    wait::until("the pool to know that it was seen", PATIENCE, seen)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
}
