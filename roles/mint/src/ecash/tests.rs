//! An operator, the files of a mint, and a mint that may be running on them.

use rusqlite::params;

use super::*;
use crate::testing::open_ecash;

fn config(folder: &Path, units: &[&str]) -> EcashConfig {
    EcashConfig {
        store: folder.join("ecash.sqlite"),
        units: units.iter().map(CurrencyUnit::custom).collect(),
        amount_max: 1_000,
        input_fee_ppk: 0,
        name: None,
        description: None,
        urls: Vec::new(),
    }
}

#[tokio::test]
async fn a_seed_of_another_mint_is_refused_and_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let own = Seed::create(&folder.path().join("own")).expect("a seed");
    let other = Seed::create(&folder.path().join("other")).expect("a seed");
    let before = config(folder.path(), &["hash"]);
    let ecash = Ecash::open(&before, &own).await.expect("a first start");
    drop(ecash);

    // Restored on another machine: with a new unit, and with the seed of another mint.
    let after = config(folder.path(), &["hash", "ehash"]);
    let refused = Ecash::open(&after, &other).await.err();
    assert!(
        matches!(refused, Some(EcashError::WrongSeed { .. })),
        "{refused:?}"
    );
    // Had it made the new unit's keyset from the wrong seed, the right one would be refused from now on.
    Ecash::open(&after, &own)
        .await
        .expect("the mistake is put right");
}

#[tokio::test]
async fn the_file_of_a_role_is_no_ecash_store() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let seed = Seed::create(&folder.path().join("seed")).expect("a seed");
    let config = config(folder.path(), &["hash"]);
    drop(winze_client::Store::open(&config.store, &[]).expect("a role's store"));
    let refused = Ecash::open(&config, &seed).await.err();
    assert!(
        matches!(refused, Some(EcashError::RoleStore { .. })),
        "{refused:?}"
    );
}

#[tokio::test]
async fn a_rotation_by_the_operator_leaves_a_swap_of_the_running_mint_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name).display().to_string();
    let running = open_ecash(folder.path(), 1_000).await;
    let unit = CurrencyUnit::custom("hash");
    let keyset = running.active_keyset(&unit).expect("a keyset").id;

    // A swap that has its inputs and waits for its signatures.
    let store = Connection::open(folder.path().join("ecash.sqlite")).expect("it is there");
    let operation = "5f9d2a40-0000-4000-8000-000000000001";
    let point = cdk::nuts::SecretKey::generate().public_key().to_bytes();
    store
        .execute(
            "INSERT INTO proof (y, amount, keyset_id, secret, c, state, operation_kind, operation_id)
             VALUES (?1, 1, ?2, 'a secret', ?1, 'PENDING', 'swap', ?3)",
            params![point, keyset.to_string(), operation],
        )
        .expect("a proof");
    store
        .execute(
            "INSERT INTO saga_state (operation_id, operation_kind, state, created_at, updated_at)
             VALUES (?1, 'swap', 'setup_complete', 1, 1)",
            params![operation],
        )
        .expect("a saga");

    let key = winze_transport::SecretKey::generate(&mut rand::rngs::OsRng).public_key();
    let config: crate::MintConfig = toml::from_str(&format!(
        r#"
        secret_key_file = "{}"
        store_file = "{}"
        ecash_store_file = "{}"
        seed_file = "{}"
        units = ["hash", "ehash"]
        [hub]
        address = "127.0.0.1:1"
        authority = {{ public_key = "{key}" }}
        "#,
        path("identity.key"),
        path("mint.sqlite"),
        path("ecash.sqlite"),
        path("seed"),
    ))
    .expect("it is complete");
    let rotated = crate::rotate_keyset(&config, "hash").await;
    assert_ne!(rotated.expect("it rotates"), keyset.to_string());

    let reserved: u32 = store
        .query_row(
            "SELECT count(*) FROM proof WHERE operation_id = ?1",
            params![operation],
            |row| row.get(0),
        )
        .expect("a count");
    assert_eq!(reserved, 1, "the swap's inputs were taken from under it");
    running.stop().await.expect("cdk stops");
}
