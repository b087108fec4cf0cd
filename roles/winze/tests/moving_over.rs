//! Moving an older deployment over: `winze demo --legacy` as a person runs it, and the snippets that the README has for
//! operators.

#![cfg(feature = "demo")]

#[path = "support/demo.rs"]
mod support;

use std::io::{BufRead, BufReader};
use std::net::TcpStream;
use std::process::{Command, Stdio};

use toml::Table;

use support::{demo, goes, leaves_nothing, report};

/// The repository.
const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

fn there_is_redis() -> bool {
    let version = Command::new("redis-server").arg("--version").output();
    let is_there = version.is_ok();
    if !is_there {
        eprintln!("SKIPPED, nothing was tested: no redis-server on the PATH");
    }
    is_there
}

#[test]
fn an_older_deployment_moves_over_under_load_and_every_request_has_one_quote() {
    if !there_is_redis() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let report = report(folder.path(), &["--legacy", "--shares", "24"]);
    let number = |field: &str| report[field].as_u64().unwrap();
    assert_eq!(
        number("requests_pushed"),
        number("quotes_old_mint") + number("quotes_new_mint"),
        "{report}"
    );
    assert!(number("quotes_old_mint") >= 300 && number("quotes_new_mint") >= 600);
    for field in ["lost", "duplicates", "dead_letters"] {
        assert_eq!(report[field], 0, "{field}: {report}");
    }
    let miners = &report["miners"];
    for field in ["shares_accepted", "quotes_issued", "quotes_redeemed"] {
        assert_eq!(miners[field], 24, "{field}: {report}");
    }
    assert_eq!(miners["ecash_redeemed"], miners["ecash_expected"]);
}

#[test]
fn without_redis_nothing_is_started_and_the_package_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let output = demo(folder.path(), &["--legacy"])
        .env("PATH", folder.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("package redis-server"), "{said}");
    leaves_nothing(folder.path(), &said);
}

#[cfg(target_os = "linux")]
#[test]
fn a_move_that_is_killed_leaves_no_redis() {
    if !there_is_redis() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let mut child = demo(folder.path(), &["--legacy"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let said = BufReader::new(child.stderr.take().unwrap());
    let mut addresses = said.lines().map_while(Result::ok).filter_map(|line| {
        let (_, rest) = line.split_once("Redis listens on ")?;
        Some(rest.split(';').next()?.to_owned())
    });
    let redis = addresses.next().expect("the line that names it");
    assert!(TcpStream::connect(&redis).is_ok());
    child.kill().unwrap();
    child.wait().unwrap();
    goes("Redis", || TcpStream::connect(&redis).is_ok());
}

/// The README's snippets: the file that each goes into, and what goes there.
fn snippets() -> Vec<(String, Table)> {
    let readme = std::fs::read_to_string(format!("{ROOT}/README.md")).unwrap();
    let (_, section) = readme.split_once("## Moving over from Redis").unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let blocks = section.split("```toml\n").skip(1);
    blocks
        .map(|block| {
            let (block, _) = block.split_once("```").unwrap();
            let (first, rest) = block.trim_start().split_once('\n').unwrap();
            let file = first.strip_prefix("# config/").unwrap().trim();
            (file.to_owned(), rest.parse().unwrap())
        })
        .collect()
}

/// Puts a snippet into a whole file: what is repeated is added, the rest goes in the place of what is there.
fn merge(whole: &mut Table, snippet: Table) {
    for (key, value) in snippet {
        match (whole.get_mut(&key), value) {
            (Some(toml::Value::Array(all)), toml::Value::Array(more)) => all.extend(more),
            (_, value) => {
                whole.insert(key, value);
            }
        }
    }
}

#[test]
fn what_the_readme_tells_operators_to_write_is_a_good_configuration() {
    let winze = || Command::new(env!("CARGO_BIN_EXE_winze"));
    let folder = tempfile::tempdir().unwrap();
    let keys = winze()
        .args(["keys", "init"])
        .arg(folder.path().join("winze-data"))
        .output()
        .unwrap();
    assert!(keys.status.success(), "{keys:?}");
    std::fs::create_dir(folder.path().join("config")).unwrap();
    let snippets = snippets();
    assert!(snippets.len() >= 7, "the README has lost some");
    for (file, snippet) in snippets {
        let whole = std::fs::read_to_string(format!("{ROOT}/config/{file}")).unwrap();
        let mut whole: Table = whole.parse().unwrap();
        if file == "bridge.toml" {
            // The file has a direction on, and each snippet is about one alone.
            whole.remove("requests");
            whole.remove("legacy_mint");
        }
        merge(&mut whole, snippet.clone());
        let path = folder.path().join("config").join(&file);
        std::fs::write(&path, whole.to_string()).unwrap();
        let check = winze()
            .args(["config", "check"])
            .arg(&path)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&check.stderr);
        assert!(check.status.success(), "{file}: {snippet}\n{said}");
    }
}
