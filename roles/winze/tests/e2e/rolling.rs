//! Hub and mint are restarted in good order, one after the other, while shares flow.

use winze_testbed::{Role, wait};

use crate::deployment;
use crate::killed::{all_is_well, mining, more_shares};
use crate::peer::PATIENCE;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rolling_restart_of_hub_and_mint_under_load_forgets_nothing_and_no_miner_notices() {
    let mut deployment = deployment().await;
    let crew = mining(&deployment).await;
    let connections = crew.account().connections();
    for role in [Role::Hub, Role::Mint, Role::Hub] {
        let status = deployment.terminate(role).await.unwrap();
        assert!(status.success(), "the {role} ended in good order: {status}");
        // Its clients are there before the next one goes, as an operator would wait.
        deployment.restart(role).await.unwrap();
        let back = wait::until("both peers at the hub", PATIENCE, || async {
            let health = deployment.health(Role::Hub).await;
            let health = health.map_err(|error| error.to_string())?;
            match health.body["detail"]["connections"].as_u64() {
                Some(2) => Ok(()),
                other => Err(format!("{other:?} connections")),
            }
        });
        back.await.unwrap_or_else(|error| panic!("{error}"));
        more_shares(&crew, 10).await;
    }
    let account = all_is_well(crew).await;
    assert_eq!(account.connections(), connections, "no miner lost its pool");
    assert_eq!(account.shares_in_doubt(), 0);
    let log = std::fs::read_to_string(deployment.log_file(Role::Hub)).unwrap();
    assert!(
        !log.contains("in time"),
        "everybody took its last messages: {log}"
    );
}
