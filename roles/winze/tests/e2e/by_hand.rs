//! The files in `config/`, used as the README says; only the ports are other ones.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use tempfile::TempDir;
use toml::{Table, Value};
use winze_runtime::keyfile;
use winze_testbed::deployment::{make_keys, start_role};
use winze_testbed::process::Launch;
use winze_testbed::{ChildProcess, Crew, CrewPlan, Role, crew::Site, http, wait};

use crate::WINZE;
use crate::peer::PATIENCE;

/// The generator of secp256k1; whoever can count to one has its secret key.
const LOCKING_KEY: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

/// Those that have a file in `config/`.
const SHIPPED: [Role; 4] = [Role::Hub, Role::Mint, Role::Pool, Role::Bridge];

/// A clone's root as its user has it after `winze keys init winze-data`.
fn clone_root() -> TempDir {
    let root = tempfile::tempdir().unwrap();
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
    std::fs::create_dir(root.path().join("config")).unwrap();
    for role in SHIPPED {
        let name = format!("{role}.toml");
        std::fs::copy(shipped.join(&name), root.path().join("config").join(&name)).unwrap();
    }
    make_keys(Path::new(WINZE), &root.path().join("winze-data")).unwrap();
    root
}

fn config_file(root: &Path, role: Role) -> PathBuf {
    root.join("config").join(format!("{role}.toml"))
}

/// The key of the port that makes a role what it is.
fn main_listen_key(role: Role) -> &'static str {
    match role {
        Role::Hub => "listen",
        Role::Mint => "api_listen",
        Role::Pool => "listen",
        Role::Bridge => "http_listen",
    }
}

/// Port 0 wherever the role listens, and the hub where it is.
fn with_free_ports(root: &Path, role: Role, hub: Option<SocketAddr>) -> Table {
    let file = config_file(root, role);
    let mut config: Table = std::fs::read_to_string(&file).unwrap().parse().unwrap();
    for key in [main_listen_key(role), "http_listen"] {
        config.insert(key.to_owned(), Value::from("127.0.0.1:0"));
    }
    if let (Some(hub), Some(Value::Table(table))) = (hub, config.get_mut("hub")) {
        table.insert("address".to_owned(), Value::from(hub.to_string()));
    }
    std::fs::write(&file, config.to_string()).unwrap();
    config
}

async fn start(root: &Path, role: Role) -> (ChildProcess, SocketAddr, SocketAddr) {
    let launch = Launch {
        name: format!("winze {role}"),
        executable: PathBuf::from(WINZE),
        arguments: vec![
            role.name().to_owned(),
            "--config".to_owned(),
            config_file(root, role).display().to_string(),
        ],
        environment: Vec::new(),
        output_file: root.join(format!("{role}.out")),
        log_file: root.join(format!("{role}.log")),
    };
    let started = start_role(launch, role).await;
    let (process, ports) = started.unwrap_or_else(|error| panic!("{error}"));
    (process, ports.main.unwrap(), ports.http.unwrap())
}

#[test]
fn the_shipped_files_are_what_config_check_wants() {
    let root = clone_root();
    for role in SHIPPED {
        let output = Command::new(WINZE)
            .args(["config", "check"])
            .arg(config_file(root.path(), role))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{role}: {said}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_processes_started_by_hand_with_the_shipped_files_work_together() {
    let root = clone_root();
    let root = root.path();
    with_free_ports(root, Role::Hub, None);
    let (_hub, hub, _) = start(root, Role::Hub).await;
    with_free_ports(root, Role::Mint, Some(hub));
    let (_mint, mint_api, _) = start(root, Role::Mint).await;
    let config = with_free_ports(root, Role::Pool, Some(hub));
    let (_pool, mining, pool_http) = start(root, Role::Pool).await;
    let ready = wait::until("readiness of the pool", PATIENCE, || async {
        match http::get(&format!("http://{pool_http}/health")).await {
            Ok(answer) if answer.status == 200 => Ok(()),
            Ok(answer) => Err(answer.body),
            Err(error) => Err(error.to_string()),
        }
    });
    ready.await.unwrap_or_else(|error| panic!("{error}"));

    let site = Site {
        mining,
        pool_authority: keyfile::read_public(root.join("winze-data/pool/authority.pub")).unwrap(),
        pool_http,
        mint_url: format!("http://{mint_api}"),
        unit: "hash".to_owned(),
        minimum_zero_bits: minimum_zero_bits(&config),
    };
    let plan = CrewPlan {
        shares: Some(4),
        ..CrewPlan::default()
    };
    let mut crew = Crew::start(site, plan).await.unwrap();
    crew.mined(Duration::from_secs(40)).await.unwrap();
    let account = crew.settle(Duration::from_secs(20)).await.unwrap();
    assert_eq!(account.problems(), []);
    assert_eq!(account.quotes_redeemed(), 4);

    // The miner of the README, and where it looks afterwards.
    let authority = root.join("winze-data/pool/authority.pub");
    let mined = tokio::process::Command::new(WINZE)
        .args(["miner", "--shares", "1", "--worker", "hand"])
        .args(["--key", LOCKING_KEY, "--pool", &mining.to_string()])
        .arg("--authority")
        .arg(authority)
        .kill_on_drop(true)
        .output();
    let mined = tokio::time::timeout(Duration::from_secs(60), mined).await;
    let mined = mined.expect("one share takes seconds").unwrap();
    let said = String::from_utf8_lossy(&mined.stdout);
    assert!(mined.status.success(), "{said}: {mined:?}");
    let (_, hash) = said.split_once("accepted ").expect("a share");
    let hash = hash.split_whitespace().next().unwrap();
    assert!(said.contains(&format!("quote    {hash}")), "{said}");
    let url = format!("http://{pool_http}/v1/quotes/{LOCKING_KEY}?limit=1");
    let page = http::get(&url).await;
    let page = page.unwrap_or_else(|error| panic!("{error}"));
    assert!(page.body.contains(hash), "{}", page.body);
}

fn minimum_zero_bits(pool: &Table) -> u32 {
    let bits = pool["minimum_zero_bits"].as_integer().unwrap();
    u32::try_from(bits).unwrap()
}
