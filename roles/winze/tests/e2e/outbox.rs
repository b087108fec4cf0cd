//! What the operator sees of a pool's outbox and does about it, while the pool runs and while it does not.

use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::Value;
use winze_client::outbox;
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::text::header_hash_from_text;
use winze_testbed::quotes::{self, ListedRefusal};
use winze_testbed::{Crew, CrewPlan, Deployment, DeploymentPlan, Role, wait};

use crate::WINZE;
use crate::peer::PATIENCE;

const SOON: Duration = Duration::from_secs(25);

/// Runs `winze outbox` with these arguments: its status, and what it says.
fn winze_outbox(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(WINZE)
        .arg("outbox")
        .args(arguments)
        .env_remove("WINZE_LOG")
        .output()
        .unwrap();
    let said = [output.stdout, output.stderr].concat();
    (
        output.status.code().unwrap(),
        String::from_utf8(said).unwrap(),
    )
}

#[track_caller]
fn done(arguments: &[&str]) -> String {
    let (status, said) = winze_outbox(arguments);
    assert_eq!(status, 0, "{said}");
    said
}

/// The one peer of the outbox, as `--json` has it.
#[track_caller]
fn looked(file: &str) -> Value {
    let json: Value = serde_json::from_str(&done(&["--json", file])).unwrap();
    assert_eq!(json["peers"].as_array().unwrap().len(), 1, "{json}");
    json["peers"][0].clone()
}

fn store_file(deployment: &Deployment) -> PathBuf {
    let config = std::fs::read_to_string(deployment.config_file(Role::Pool)).unwrap();
    let config: toml::Table = config.parse().unwrap();
    deployment
        .folder()
        .join(config["store_file"].as_str().unwrap())
}

/// Waits until the outbox is as it should be.
async fn until(what: &str, file: &str, good: impl Fn(&Value) -> bool) -> Value {
    let look = || async {
        let peer = looked(file);
        if good(&peer) {
            Ok(())
        } else {
            Err(peer.to_string())
        }
    };
    let reached = wait::until(what, PATIENCE, look).await;
    reached.unwrap_or_else(|error| panic!("{error}"));
    looked(file)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_looks_at_a_running_pools_outbox_brings_back_one_and_gives_up_the_rest() {
    let mut plan = DeploymentPlan::new(WINZE);
    // A share that is worth more is refused for good.
    plan.settings.quote_amount_max = 1;
    let deployment = Deployment::start(plan).await.unwrap();
    let path = store_file(&deployment);
    let file = path.to_str().unwrap();
    assert_eq!(done(&[file]).trim(), "nothing was ever asked");
    let mut crew = Crew::start(&deployment, CrewPlan::default()).await.unwrap();
    crew.wait_for("2 refusals", SOON, |account| account.quotes_refused() >= 2)
        .await
        .unwrap();
    crew.stop_mining().await;

    let peer = until("two parked, none waiting", file, |peer| {
        peer["parked"].as_u64() >= Some(2) && peer["waiting"] == 0
    })
    .await;
    assert_eq!(peer["peer"], "mint/main");
    let parked = &peer["parked_requests"][0];
    assert_eq!(parked["attempts"], 1, "{parked}");
    let reason = parked["reason"].as_str().unwrap();
    assert!(reason.contains("amount-too-large"), "{reason}");
    let key = parked["key"].as_str().unwrap();
    let text = done(&[file]);
    assert!(text.contains(key) && text.contains(reason), "{text}");

    // What was refused for good is refused again, once the running pool has found and asked it.
    assert_eq!(done(&["retry", file, key]).trim(), "1 to be sent again");
    until("the same one parked again", file, |peer| {
        let again = &peer["parked_requests"][0];
        again["key"] == key && again["attempts"] == 2 && peer["waiting"] == 0
    })
    .await;

    let (status, said) = winze_outbox(&["discard", file, "--all-parked"]);
    assert!(status == 1 && said.contains("--yes"), "{said}");
    let parked = looked(file)["parked"].as_u64().unwrap();
    assert_eq!(
        done(&["discard", file, "--all-parked", "--yes"]).trim(),
        format!("{parked} given up")
    );
    until("the pool has taken note", file, |peer| {
        peer["parked"] == 0 && peer["discarded"] == 0
    })
    .await;
    let (status, said) = winze_outbox(&["retry", file, key]);
    assert!(
        status == 1 && said.contains("nothing with the key"),
        "{said}"
    );
    // The mint's word to the miner stands.
    let (refused, pending) = listed(&deployment, &crew).await;
    assert_eq!((refused.len() as u64, pending), (parked, 0));
    assert!(
        refused.iter().all(|share| share.error_code == 3),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_is_given_up_while_the_pool_is_stopped_is_known_to_it_when_it_is_back() {
    let mut deployment = crate::deployment().await;
    let path = store_file(&deployment);
    let file = path.to_str().unwrap();
    deployment.kill_hard(Role::Mint).unwrap();
    let plan = CrewPlan {
        shares: Some(3),
        ..CrewPlan::default()
    };
    let crew = Crew::start(&deployment, plan).await.unwrap();
    crew.mined(SOON).await.unwrap();
    deployment.terminate(Role::Pool).await.unwrap();
    let peer = looked(file);
    let waiting = peer["waiting"].as_u64().unwrap();
    assert!(waiting >= 3, "{peer}");
    let key = peer["waiting_requests"][0]["key"].as_str().unwrap();
    // As after too many rejects of a hub.
    park(&path, key);
    let text = done(&[file]);
    assert!(text.contains("the hub rejects it"), "{text}");
    assert_eq!(done(&["discard", file, "--yes", key]).trim(), "1 given up");
    let peer = looked(file);
    assert_eq!(
        (&peer["waiting"], &peer["discarded"]),
        (&Value::from(waiting - 1), &1.into())
    );

    deployment.restart(Role::Pool).await.unwrap();
    until("the pool has taken note", file, |peer| {
        peer["discarded"] == 0
    })
    .await;
    let (refused, pending) = listed(&deployment, &crew).await;
    assert_eq!((refused.len(), pending), (1, waiting - 1));
    assert_eq!(refused[0].error_code, 9);
    assert_eq!(refused[0].header_hash, header_hash_from_text(key).unwrap());
    assert!(
        refused[0].error_message.contains("the hub rejects it"),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_miner_that_is_connected_hears_that_its_share_was_given_up() {
    let mut deployment = crate::deployment().await;
    let path = store_file(&deployment);
    let file = path.to_str().unwrap();
    deployment.kill_hard(Role::Mint).unwrap();
    let plan = CrewPlan {
        shares: Some(3),
        ..CrewPlan::default()
    };
    let crew = Crew::start(&deployment, plan).await.unwrap();
    crew.mined(SOON).await.unwrap();
    let peer = looked(file);
    let key = peer["waiting_requests"][0]["key"].as_str().unwrap();
    // As after too many rejects of a hub.
    park(&path, key);
    assert_eq!(done(&["discard", file, "--yes", key]).trim(), "1 given up");
    crew.wait_for("word of it", SOON, |account| account.quotes_refused() == 1)
        .await
        .unwrap();
    let (refused, _) = listed(&deployment, &crew).await;
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0].header_hash, header_hash_from_text(key).unwrap());
}

#[test]
fn what_is_no_outbox_is_named_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(
        at("text"),
        "a file of text that is long enough to be taken for something else",
    )
    .unwrap();
    Connection::open(at("other.sqlite"))
        .unwrap()
        .execute_batch("CREATE TABLE t (a)")
        .unwrap();
    for (name, why) in [
        ("missing", "no such file"),
        ("text", "not a database"),
        ("other.sqlite", "holds no outbox"),
    ] {
        for arguments in [
            vec![at(name)],
            vec!["retry".to_owned(), at(name), "--all".to_owned()],
        ] {
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            let (status, said) = winze_outbox(&arguments);
            assert!(
                status == 1 && said.contains(why) && said.contains(name),
                "{said}"
            );
        }
    }
    assert!(!std::fs::exists(at("missing")).unwrap());
}

fn park(file: &std::path::Path, key: &str) {
    let connection = Connection::open(file).unwrap();
    let key = header_hash_from_text(key).unwrap();
    let reason = "the hub rejects it: \"malformed\"";
    assert!(outbox::park(&connection, "mint/main", EXT_MINT_QUOTE, &key, reason, 1).unwrap());
}

/// What the pool's list says to the crew's miners: refused shares, and how many are pending.
async fn listed(deployment: &Deployment, crew: &Crew) -> (Vec<ListedRefusal>, u64) {
    let (mut refused, mut pending) = (Vec::new(), 0);
    for wallet in crew.wallets() {
        let list = quotes::list(deployment.pool_http(), wallet.locking_key(), 0).await;
        let list = list.unwrap_or_else(|error| panic!("{error}"));
        refused.extend(list.refused);
        pending += list.pending;
    }
    (refused, pending)
}
