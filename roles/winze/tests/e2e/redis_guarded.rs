//! Redis with TLS and a password: used by pool, bridge and mint; wrong, it is told at the start, and the password nowhere.

use std::path::PathBuf;

use winze_testbed::configs::{QuotePath, RedisSettings};
use winze_testbed::{Deployment, Role};

use crate::killed::{all_is_well, mining};
use crate::redis_paths::{deployment, more_quotes};

const WRONG: &str = "this-is-not-what-the-server-was-told";

fn password_file(deployment: &Deployment) -> PathBuf {
    let config = deployment.redis_config().unwrap();
    config.password_file.unwrap().as_path().to_owned()
}

/// Whether any log, output or metric of any role holds `secret`.
async fn is_shown(deployment: &Deployment, secret: &str) -> Vec<String> {
    let mut shown = Vec::new();
    for role in deployment.roles() {
        for file in [deployment.log_file(role), deployment.output_file(role)] {
            let text = std::fs::read(&file).unwrap();
            if String::from_utf8_lossy(&text).contains(secret) {
                shown.push(file.display().to_string());
            }
        }
        if let Ok(health) = deployment.health(role).await
            && health.body.to_string().contains(secret)
        {
            shown.push(format!("health of the {role}"));
        }
    }
    shown
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn over_tls_with_a_password_shares_become_ecash_and_a_wrong_one_stops_a_start_and_is_in_no_log()
 {
    let mut plan = crate::redis_paths::plan(RedisSettings {
        tls: true,
        password: true,
        quote_path: QuotePath::Redis,
        bridge_requests: true,
        ..RedisSettings::default()
    });
    plan.log = "trace".to_owned();
    let mut deployment = Deployment::start(plan)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let crew = mining(&deployment).await;
    more_quotes(&crew, 10).await;
    all_is_well(crew).await;

    let file = password_file(&deployment);
    let password = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, WRONG).unwrap();
    for role in [Role::Bridge, Role::Pool] {
        deployment.terminate(role).await.unwrap();
        let refused = deployment.restart(role).await.unwrap_err().to_string();
        assert!(
            refused.contains("Redis refuses the login"),
            "{role}: {refused}"
        );
    }
    std::fs::write(&file, &password).unwrap();
    for role in [Role::Bridge, Role::Pool] {
        deployment.restart(role).await.unwrap();
    }
    deployment.healthy().await.unwrap();
    for secret in [password.trim(), WRONG] {
        assert_eq!(is_shown(&deployment, secret).await, [""; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mint_with_a_wrong_password_for_its_list_does_not_start_and_says_why() {
    let mut deployment = deployment(RedisSettings {
        tls: true,
        password: true,
        mint_reads_list: true,
        ..RedisSettings::default()
    })
    .await;
    std::fs::write(password_file(&deployment), WRONG).unwrap();
    deployment.terminate(Role::Mint).await.unwrap();
    let refused = deployment
        .restart(Role::Mint)
        .await
        .unwrap_err()
        .to_string();
    assert!(refused.contains("Redis refuses the login"), "{refused}");
    assert_eq!(is_shown(&deployment, WRONG).await, [""; 0]);
}
