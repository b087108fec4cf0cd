//! `winze demo` as a person runs it: the real binary, its exit status, and what it prints.

#![cfg(feature = "demo")]

#[path = "support/demo.rs"]
mod support;

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use winze_testbed::RegtestNode;

use support::{demo, goes, leaves_nothing, report};

#[test]
fn a_stranger_sees_every_share_become_ecash_and_finds_nothing_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let report = report(folder.path(), &["--shares", "20", "--miners", "3"]);
    for field in ["shares_accepted", "quotes_issued", "quotes_redeemed"] {
        assert_eq!(report[field], 20, "{field}: {report}");
    }
    assert_eq!(report["ecash_redeemed"], report["ecash_expected"]);
    assert!(report["ecash_redeemed"].as_u64().unwrap() >= 20, "{report}");
    assert_eq!(report["blocks_found"], 0);
    let (p50, p99) = (
        &report["quote_latency_ms"]["p50"],
        &report["quote_latency_ms"]["p99"],
    );
    assert!(p50.as_u64().unwrap() <= p99.as_u64().unwrap(), "{report}");
}

#[test]
fn a_share_becomes_a_block_of_a_bitcoin_node_that_pays_the_configured_script() {
    if let Err(error) = RegtestNode::find_executable() {
        eprintln!("SKIPPED, nothing was tested: {error}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    // That the coinbases pay the script is part of what its status stands for.
    let report = report(folder.path(), &["--shares", "5", "--bitcoind"]);
    assert!(report["blocks_found"].as_u64().unwrap() >= 1, "{report}");
    assert_eq!(report["shares_accepted"], 5);
    assert_eq!(report["ecash_redeemed"], report["ecash_expected"]);
}

#[test]
fn what_was_kept_running_can_be_connected_to_and_ends_with_ctrl_c() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = demo(folder.path(), &["--shares", "2", "--miners", "1", "--keep"])
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut said = Vec::new();
    // The folder is the last that it says.
    while !said
        .last()
        .is_some_and(|line: &String| line.starts_with("  files"))
    {
        let mut line = String::new();
        assert!(
            reader.read_line(&mut line).unwrap() > 0,
            "it ended: {said:?}"
        );
        said.push(line);
    }
    let address = |name: &str| {
        let line = said.iter().find(|line| line.trim_start().starts_with(name));
        let line = line.unwrap_or_else(|| panic!("no {name:?} in {said:?}"));
        line.split_whitespace().last().unwrap().to_owned()
    };
    for name in ["mining, Sv2", "hub, Sv2"] {
        TcpStream::connect(address(name)).unwrap();
    }
    interrupt(&child);
    let mut rest = String::new();
    reader.read_to_string(&mut rest).unwrap();
    assert!(child.wait().unwrap().success(), "{rest}");
    for name in ["mining, Sv2", "hub, Sv2"] {
        assert!(
            TcpStream::connect(address(name)).is_err(),
            "{name} still listens"
        );
    }
    leaves_nothing(folder.path(), &rest);
}

/// A run that would take hours, and where its hub listens.
fn endless(folder: &Path, more: &[&str]) -> (Child, BufReader<std::process::ChildStderr>, String) {
    let mut child = demo(folder, &["--shares", "100000", "--json"])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut reader = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.contains("; files in") {
        said.clear();
        assert!(
            reader.read_line(&mut said).unwrap() > 0,
            "it ended before it began"
        );
    }
    let (_, after) = said.split_once("hub ").unwrap();
    let (hub, _) = after.split_once(',').unwrap();
    TcpStream::connect(hub).unwrap();
    (child, reader, hub.to_owned())
}

#[test]
fn an_interrupted_run_is_no_success_and_leaves_no_process() {
    // Ctrl-C, and a terminal that is closed.
    for name in ["INT", "HUP"] {
        let folder = tempfile::tempdir().unwrap();
        let (mut child, mut reader, hub) = endless(folder.path(), &[]);
        signal(&child, name);
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert!(rest.contains("interrupted"), "{name}: {rest}");
        assert_eq!(child.wait().unwrap().code(), Some(1));
        assert!(
            TcpStream::connect(hub).is_err(),
            "{name}: the hub still listens"
        );
        leaves_nothing(folder.path(), &rest);
    }
}

#[test]
fn a_run_that_is_killed_leaves_no_process() {
    let folder = tempfile::tempdir().unwrap();
    let (mut child, _reader, hub) = endless(folder.path(), &[]);
    signal(&child, "KILL");
    child.wait().unwrap();
    goes("the hub", || TcpStream::connect(&hub).is_ok());
}

#[cfg(target_os = "linux")]
#[test]
fn a_run_that_is_killed_leaves_no_bitcoin_node() {
    if let Err(error) = RegtestNode::find_executable() {
        eprintln!("SKIPPED, nothing was tested: {error}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (mut child, _reader, _hub) = endless(folder.path(), &["--bitcoind"]);
    // Its command line names this test's folder.
    let of_this_run = |process: &std::fs::DirEntry| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("-datadir=") && line.contains(folder.path().to_str().unwrap())
    };
    let nodes = || {
        let processes = std::fs::read_dir("/proc").unwrap().flatten();
        processes.filter(of_this_run).count()
    };
    assert_eq!(nodes(), 1);
    signal(&child, "KILL");
    child.wait().unwrap();
    goes("bitcoind", || nodes() > 0);
}

/// Ctrl-C, for the one process.
fn interrupt(child: &Child) {
    signal(child, "INT");
}

fn signal(child: &Child, name: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), &child.id().to_string()])
        .status()
        .unwrap();
    assert!(status.success());
}
