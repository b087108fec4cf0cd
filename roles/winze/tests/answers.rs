//! What the operator of a mint that was set back sees, and says.

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use winze_client::answers::{self, ANSWERS_SCHEMA};
use winze_client::mint_quote::{FarStore, StoreNumbers};
use winze_client::{OUTBOX_SCHEMA, Store};
use winze_messages::EXT_MINT_QUOTE;

/// Runs `winze answers` with these arguments: its status, and what it says.
fn winze_answers(arguments: &[&str]) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_winze"))
        .arg("answers")
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

async fn tell(store: &Store, peer: &'static str, answers: u64) {
    let far = FarStore {
        far: StoreNumbers {
            requests: answers,
            answers,
        },
        own_before: StoreNumbers::default(),
    };
    let told = store.write(move |c| answers::compare(c, EXT_MINT_QUOTE, peer, &far, 1_000));
    told.await.unwrap();
}

fn open(path: &Path) -> Store {
    Store::open(path, &[ANSWERS_SCHEMA]).unwrap()
}

#[tokio::test]
async fn an_operator_sees_who_knows_more_than_the_store_and_lets_it_go_on_while_the_role_runs() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mint.sqlite");
    let file = path.to_str().unwrap();
    let (status, said) = winze_answers(&[file]);
    assert!(status == 1 && said.contains("no such file"), "{said}");
    // The role holds the file open all along.
    let store = open(&path);
    assert_eq!(
        winze_answers(&[file]),
        (0, "nothing was ever answered\n".to_owned())
    );
    tell(&store, "pool/a", 12).await;
    tell(&store, "pool/b", 34).await;

    let (_, said) = winze_answers(&[file]);
    assert!(
        said.contains("pool/a") && said.contains("up to 12") && said.contains("NOT accepted"),
        "{said}"
    );
    assert_eq!(
        winze_answers(&["accept", file, "pool/a"]),
        (0, "accepted: pool/a\n".to_owned())
    );
    let (_, json) = winze_answers(&["--json", file]);
    let json: Value = serde_json::from_str(&json).unwrap();
    assert!(
        json["peers"][0]["set_back"]["accepted_ms_ago"].is_u64(),
        "{json}"
    );
    assert!(
        json["peers"][1]["set_back"]["accepted_ms_ago"].is_null(),
        "{json}"
    );
    let open_ones = store
        .read(|c| answers::set_backs(c, EXT_MINT_QUOTE))
        .await
        .unwrap();
    assert_eq!(open_ones.len(), 1);

    let (status, said) = winze_answers(&["accept", file, "pool/a"]);
    assert!(
        status == 1 && said.contains("nothing was set back"),
        "{said}"
    );
    assert_eq!(
        winze_answers(&["accept", file, "--all"]),
        (0, "accepted: pool/b\n".to_owned())
    );

    let pools = folder.path().join("pool.sqlite");
    drop(Store::open(&pools, &[OUTBOX_SCHEMA]).unwrap());
    let (status, said) = winze_answers(&[pools.to_str().unwrap()]);
    assert!(status == 1 && said.contains("holds no answers"), "{said}");
}
