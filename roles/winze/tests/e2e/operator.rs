//! What an operator sees of the processes, and what nobody sees.

use std::path::Path;
use std::time::Duration;

use hkdf::Hkdf;
use sha2::Sha256;
use winze_messages::EXT_SIGNING;
use winze_messages::families::hub::{HubMessage, OpenChannel};
use winze_runtime::keyfile;
use winze_testbed::{Crew, CrewPlan, Deployment, DeploymentPlan, Metrics, Role, http, wait};
use winze_transport::SecretKey;

use crate::peer::{PATIENCE, Peer};
use crate::world::{World, settings};
use crate::{WINZE, deployment};

async fn mine(deployment: &Deployment, shares: u64) -> Crew {
    let plan = CrewPlan {
        shares: Some(shares),
        ..CrewPlan::default()
    };
    let mut crew = Crew::start(deployment, plan).await.unwrap();
    crew.mined(Duration::from_secs(30)).await.unwrap();
    let account = crew.settle(Duration::from_secs(20)).await.unwrap();
    assert_eq!(account.problems(), []);
    crew
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hub_tells_who_is_there_and_what_passes_and_its_peers_when_it_is_gone() {
    let mut deployment = deployment().await;
    drop(mine(&deployment, 8).await);

    let health = deployment.health(Role::Hub).await.unwrap();
    assert!(health.ready, "{health:?}");
    let detail = &health.body["detail"];
    assert_eq!(detail["connections"], 2, "{health:?}");
    assert_eq!(detail["channels"], 1, "{health:?}");
    assert_eq!(
        detail["peers"],
        serde_json::json!(["pool/main", "mint/main"])
    );

    let metrics = deployment.metrics(Role::Hub).await.unwrap();
    let state = [("state", "authenticated")];
    assert_eq!(metrics.sum("winze_hub_connections", &state), Some(2.0));
    assert_eq!(metrics.sum("winze_hub_channels", &[]), Some(1.0));
    for (message, name) in [("0x80", "requests"), ("0x81", "responses")] {
        for direction in ["in", "out"] {
            let labels = [
                ("extension", "0x4802"),
                ("message", message),
                ("direction", direction),
            ];
            let count = metrics.sum("winze_hub_messages_total", &labels);
            assert!(
                count.is_some_and(|count| count >= 8.0),
                "{name} {direction}: {count:?}"
            );
        }
    }

    deployment.kill_hard(Role::Hub).unwrap();
    for role in [Role::Mint, Role::Pool] {
        let gone = wait::until("word of the hub's end", PATIENCE, || async {
            match deployment.metrics(role).await {
                Ok(metrics) => hub_connected(role, &metrics),
                Err(error) => Err(error.to_string()),
            }
        });
        gone.await.unwrap_or_else(|error| panic!("{role}: {error}"));
    }
    assert!(!deployment.health(Role::Mint).await.unwrap().ready);
    deployment.restart(Role::Hub).await.unwrap();
    deployment.healthy().await.unwrap();
}

fn hub_connected(role: Role, metrics: &Metrics) -> Result<(), String> {
    match metrics.sum(&format!("winze_{role}_hub_connected"), &[]) {
        Some(0.0) => Ok(()),
        other => Err(format!("hub_connected is {other:?}")),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_hub_counts_what_it_refuses_by_reason() {
    let world = World::start(settings()).await;
    let mut pool = world.pool().await;
    let stranger = SecretKey::generate(&mut rand::rngs::OsRng);

    // A request whose locking key has lost its last bytes, authenticator and all.
    let mut frame = pool.seal(&pool.request(1, 8, &[2; 33]));
    frame.payload.truncate(60);
    pool.peer.send(frame).await;
    match pool.peer.receive_hub().await {
        HubMessage::Reject(reject) => {
            // The first message was the pool's word about its store.
            assert_eq!(
                (reject.ordinal, reject.error_code.as_str()),
                (2, "malformed")
            );
        }
        other => panic!("{other:?}"),
    }
    let open = OpenChannel {
        request_id: 9,
        extension: EXT_SIGNING,
        peer: "mint/main".to_owned(),
        label: String::new(),
        credit_messages: 1,
        credit_bytes: 65_536,
    };
    pool.peer.send(open.to_frame().unwrap()).await;
    match pool.peer.receive_hub().await {
        HubMessage::OpenChannelError(error) => assert_eq!(error.error_code, "not-allowed"),
        other => panic!("{other:?}"),
    }
    let name = "pool/main".parse().unwrap();
    let refused = Peer::authenticate(world.hub, world.stage.authority, &name, &stranger).await;
    assert_eq!(refused.err().unwrap(), "unlisted-key");

    let text = http::get(&format!("http://{}/metrics", world.hub_http.unwrap()))
        .await
        .unwrap()
        .body;
    let metrics = Metrics::parse(&text);
    for (name, reason) in [
        ("winze_hub_rejects_total", "malformed"),
        ("winze_hub_open_refusals_total", "not-allowed"),
        ("winze_hub_setup_refusals_total", "unlisted-key"),
    ] {
        assert_eq!(
            metrics.sum(name, &[("reason", reason)]),
            Some(1.0),
            "{name}: {text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_secret_is_in_any_log_at_any_level() {
    let mut plan = DeploymentPlan::new(WINZE);
    plan.log = "trace".to_owned();
    let mut deployment = Deployment::start(plan)
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    drop(mine(&deployment, 6).await);
    // What is said when things go wrong counts too.
    deployment.kill_hard(Role::Hub).unwrap();
    deployment.restart(Role::Hub).await.unwrap();
    deployment.restart(Role::Mint).await.unwrap();
    deployment.healthy().await.unwrap();
    deployment.stop().await.unwrap();

    let secrets = secrets_in(&deployment.folder().join("keys"));
    assert_eq!(
        secrets.len(),
        6 + 1 + 3,
        "keys, seed, what two of them derive"
    );
    for role in Role::ALL {
        let log = std::fs::read(deployment.log_file(role)).unwrap();
        let output = std::fs::read(deployment.output_file(role)).unwrap();
        assert!(holds(&log, b" TRACE "), "{role} logs everything");
        assert!(holds(&output, b"ready "), "{role}");
        for secret in &secrets {
            for form in &secret.forms {
                let shown = holds(&log, form) || holds(&output, form);
                assert!(!shown, "the {role} shows {}", secret.name);
            }
        }
    }
}

struct Secret {
    name: String,
    forms: Vec<Vec<u8>>,
}

impl Secret {
    /// The forms in which 32 bytes could turn up: raw, hexadecimal, and as Rust prints a list.
    fn new(name: impl Into<String>, bytes: &[u8]) -> Secret {
        let list = format!("{:?}", &bytes[..8]);
        let list = list.trim_matches(['[', ']']).as_bytes().to_vec();
        let forms = vec![
            bytes.to_vec(),
            hex::encode(bytes).into_bytes(),
            hex::encode_upper(bytes).into_bytes(),
            list,
        ];
        Secret {
            name: name.into(),
            forms,
        }
    }
}

/// Every secret key, the mint's seed, and what pool and mint derive for each other.
fn secrets_in(keys: &Path) -> Vec<Secret> {
    let mut secrets = Vec::new();
    for folder in ["hub", "pool", "mint"] {
        for entry in std::fs::read_dir(keys.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "key") {
                let key = keyfile::read_secret(&path).unwrap();
                let mut secret = Secret::new(path.display().to_string(), key.expose_bytes());
                secret.forms.push(key.to_text().as_bytes().to_vec());
                secrets.push(secret);
            }
        }
    }
    let seed = keyfile::read_secret_text(keys.join("mint/seed")).unwrap();
    secrets.push(Secret::new(
        "the seed",
        &hex::decode(seed.as_bytes()).unwrap(),
    ));
    let pool = keyfile::read_secret(keys.join("pool/identity.key")).unwrap();
    let mint = keyfile::read_secret(keys.join("mint/identity.key")).unwrap();
    let shared = pool.ecdh(&mint.public_key());
    for direction in [0, 1] {
        // Section 4 of the specification, once more and by hand.
        let mut info = 0x4802_u16.to_le_bytes().to_vec();
        info.push(direction);
        for (role, key) in [("pool", pool.public_key()), ("mint", mint.public_key())] {
            info.push(role.len() as u8);
            info.extend_from_slice(role.as_bytes());
            info.extend_from_slice(key.as_bytes());
        }
        let mut okm = [0; 40];
        Hkdf::<Sha256>::new(Some(b"winze/authenticator/v1"), &shared[..])
            .expand(&info, &mut okm)
            .unwrap();
        secrets.push(Secret::new(
            format!("the MAC key of direction {direction}"),
            &okm[..32],
        ));
    }
    secrets.push(Secret::new(
        "the secret that pool and mint share",
        &shared[..],
    ));
    secrets
}

fn holds(text: &[u8], wanted: &[u8]) -> bool {
    text.windows(wanted.len()).any(|window| window == wanted)
}
