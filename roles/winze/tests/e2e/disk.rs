//! Disks that are full or read-only, and files of a newer program: nothing is promised that is not written, the
//! operator is told, and what can go on by itself does.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rusqlite::Connection;
use tempfile::TempDir;
use winze_testbed::{Crew, CrewPlan, Deployment, DeploymentPlan, Role, wait};

use crate::WINZE;
use crate::peer::PATIENCE;

const SOON: Duration = Duration::from_secs(25);
const STORES: [&str; 3] = ["pool.sqlite", "mint.sqlite", "ecash.sqlite"];
/// Where the first page lies in a write-ahead log, in bytes: after the log's header and the frame's.
const FIRST_PAGE_AT: usize = 32 + 24;

/// A file system of the test's own, in memory.
struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// `None` where this user may not mount one.
    fn mount() -> Option<SmallDisk> {
        let disk = SmallDisk {
            folder: tempfile::tempdir().unwrap(),
        };
        let mounted = run(
            "mount",
            &["-t", "tmpfs", "-o", "size=64m,mode=700", "tmpfs"],
            disk.path(),
        );
        if !mounted {
            eprintln!("skipped: this user may not mount a file system");
        }
        mounted.then_some(disk)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn filler(&self) -> PathBuf {
        self.path().join("filler")
    }

    /// Takes every byte that is left.
    fn fill(&self) {
        let mut filler = File::create(self.filler()).unwrap();
        for size in [1 << 20, 1 << 12, 1] {
            while filler.write_all(&vec![1; size]).is_ok() {}
        }
    }

    fn make_room(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    #[track_caller]
    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        assert!(run("mount", &["-o", &options], self.path()), "{options}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["--lazy"], self.path());
    }
}

fn run(program: &str, arguments: &[&str], last: &Path) -> bool {
    let status = Command::new(program).args(arguments).arg(last).status();
    status.is_ok_and(|status| status.success())
}

/// A deployment in `folder` whose stores are on `disk`.
async fn deployment_on(disk: &SmallDisk, folder: &TempDir) -> Deployment {
    for store in STORES {
        symlink(disk.path().join(store), folder.path().join(store)).unwrap();
    }
    let mut plan = DeploymentPlan::new(WINZE);
    plan.folder = Some(folder.path().to_owned());
    let started = Deployment::start(plan).await;
    started.unwrap_or_else(|error| panic!("{error}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_a_full_disk_shares_are_refused_and_not_forgotten_and_all_goes_on_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut deployment = deployment_on(&disk, &folder).await;
    let mut crew = Crew::start(&deployment, CrewPlan::default()).await.unwrap();
    let accepted = |at_least: u64| {
        move |account: &winze_testbed::Account| account.shares_accepted() >= at_least
    };
    crew.wait_for("5 shares", SOON, accepted(5)).await.unwrap();

    disk.fill();
    crew.wait_for("refused shares", SOON, |account| {
        account.shares_refused() >= 5
    })
    .await
    .unwrap();
    let told = wait::until("a pool that says what is wrong", PATIENCE, || async {
        let health = deployment
            .health(Role::Pool)
            .await
            .map_err(|error| error.to_string())?;
        let trouble = health.body["detail"]["store_trouble"]
            .as_str()
            .unwrap_or("");
        let metrics = deployment
            .metrics(Role::Pool)
            .await
            .map_err(|error| error.to_string())?;
        let failing = metrics.sum("winze_pool_store_failing", &[]);
        match !health.ready && trouble.contains("full") && failing == Some(1.0) {
            true => Ok(()),
            false => Err(format!("{} {failing:?}", health.body)),
        }
    });
    told.await.unwrap_or_else(|error| panic!("{error}"));
    let log = std::fs::read_to_string(deployment.log_file(Role::Pool)).unwrap();
    assert!(log.contains("full"), "the log says why");

    disk.make_room();
    let more = crew.account().shares_accepted() + 10;
    crew.wait_for("10 more shares", SOON, accepted(more))
        .await
        .unwrap();
    deployment.healthy().await.unwrap();
    let account = crew.settle(Duration::from_secs(40)).await.unwrap();
    assert_eq!(account.problems(), []);
    assert_eq!(account.quotes_redeemed(), account.shares_accepted());
    let codes: Vec<&String> = account.refusals().keys().collect();
    assert_eq!(codes, ["storage-failed"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_mint_whose_disk_is_full_answers_later_says_so_and_issues_when_there_is_room() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut deployment = deployment_on(&disk, &folder).await;
    deployment.terminate(Role::Pool).await.unwrap();
    // The pool's store is elsewhere.
    std::fs::remove_file(folder.path().join("pool.sqlite")).unwrap();
    deployment.restart(Role::Pool).await.unwrap();
    deployment.healthy().await.unwrap();
    disk.fill();
    let plan = CrewPlan {
        shares: Some(10),
        ..CrewPlan::default()
    };
    let mut crew = Crew::start(&deployment, plan).await.unwrap();
    crew.mined(SOON).await.unwrap();
    let told = wait::until("a mint that says what is wrong", PATIENCE, || async {
        let health = deployment
            .health(Role::Mint)
            .await
            .map_err(|error| error.to_string())?;
        let trouble = health.body["detail"]["store_trouble"]
            .as_str()
            .unwrap_or("");
        match !health.ready && trouble.contains("full") {
            true => Ok(()),
            false => Err(health.body.to_string()),
        }
    });
    told.await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(crew.account().quotes_issued(), 0);

    disk.make_room();
    let account = crew.settle(Duration::from_secs(40)).await.unwrap();
    assert_eq!(account.problems(), []);
    assert_eq!(account.quotes_redeemed(), account.shares_accepted());
    deployment.healthy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_whose_folder_is_read_only_says_so_and_starts_when_it_is_not() {
    let Some(disk) = SmallDisk::mount() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut deployment = deployment_on(&disk, &folder).await;
    for role in [Role::Pool, Role::Mint] {
        deployment.terminate(role).await.unwrap();
    }
    disk.remount("ro");
    for (role, store) in [(Role::Pool, "pool.sqlite"), (Role::Mint, "mint.sqlite")] {
        let refused = deployment.restart(role).await.unwrap_err().to_string();
        assert!(
            refused.contains(store) && refused.contains("Read-only file system"),
            "{refused}"
        );
    }
    disk.remount("rw");
    for role in [Role::Mint, Role::Pool] {
        deployment.restart(role).await.unwrap();
    }
    deployment.healthy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_a_newer_program_wrote_is_refused_and_left_as_it_is() {
    let mut deployment = crate::deployment().await;
    for (role, store, schema) in [
        (Role::Pool, "pool.sqlite", "outbox"),
        (Role::Mint, "mint.sqlite", "answers"),
    ] {
        deployment.terminate(role).await.unwrap();
        let path = deployment.folder().join(store);
        let set = |version: u32| {
            let connection = Connection::open(&path).unwrap();
            let sql = "UPDATE winze_schema SET version = ?2 WHERE name = ?1 RETURNING rowid";
            connection
                .query_row(sql, (schema, version), |_| Ok(()))
                .unwrap();
        };
        let known: u32 = Connection::open(&path)
            .unwrap()
            .query_row(
                "SELECT version FROM winze_schema WHERE name = ?1",
                [schema],
                |row| row.get(0),
            )
            .unwrap();
        set(known + 1);
        let before = std::fs::read(&path).unwrap();
        let refused = deployment.restart(role).await.unwrap_err().to_string();
        let why = format!("schema {schema} has version {}", known + 1);
        assert!(refused.contains(&why), "{refused}");
        assert_eq!(std::fs::read(&path).unwrap(), before, "{store} was changed");
        set(known);
        deployment.restart(role).await.unwrap();
    }
    deployment.healthy().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_starts_on_a_damaged_log_raises_a_metric_until_it_starts_on_a_whole_one() {
    let mut deployment = crate::deployment().await;
    // A start checkpoints: what the log holds from here on is shares and answers, and no tables.
    for role in [Role::Mint, Role::Pool] {
        deployment.terminate(role).await.unwrap();
        deployment.restart(role).await.unwrap();
    }
    deployment.healthy().await.unwrap();
    let plan = CrewPlan {
        shares: Some(5),
        ..CrewPlan::default()
    };
    let mut crew = Crew::start(&deployment, plan).await.unwrap();
    crew.mined(SOON).await.unwrap();
    crew.settle(Duration::from_secs(40)).await.unwrap();
    for (role, log, series) in [
        (Role::Pool, "pool.sqlite-wal", "winze_pool_store_damage"),
        (Role::Mint, "mint.sqlite-wal", "winze_mint_store_damage"),
    ] {
        let damage = async |deployment: &Deployment| {
            let health = deployment.health(role).await.unwrap();
            let said = health.body["detail"]["store_damage"].is_string();
            let metrics = deployment.metrics(role).await.unwrap();
            (metrics.sum(series, &[]), said)
        };
        assert_eq!(damage(&deployment).await, (Some(0.0), false), "{series}");
        deployment.kill_hard(role).unwrap();
        let path = deployment.folder().join(log);
        let mut bytes = std::fs::read(&path).unwrap();
        bytes[FIRST_PAGE_AT + 100] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        deployment.restart(role).await.unwrap();
        assert_eq!(damage(&deployment).await, (Some(1.0), true), "{series}");
        deployment.terminate(role).await.unwrap();
        deployment.restart(role).await.unwrap();
        assert_eq!(damage(&deployment).await, (Some(0.0), false), "{series}");
    }
}
