//! Configuration files as an operator edits them, with the real binary.

#![cfg(all(
    feature = "hub",
    feature = "pool",
    feature = "mint",
    feature = "bridge"
))]

mod support;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use support::winze;
use tempfile::TempDir;

const ROLES: [&str; 4] = ["hub", "pool", "mint", "bridge"];

/// The files that are shipped, in a folder of their own, with the keys that they name.
struct Site {
    folder: TempDir,
}

impl Site {
    fn new() -> Site {
        let folder = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../config");
        std::fs::create_dir(folder.path().join("config")).unwrap();
        for role in ROLES {
            let name = format!("{role}.toml");
            std::fs::copy(
                shipped.join(&name),
                folder.path().join("config").join(&name),
            )
            .unwrap();
        }
        winze(&[
            "keys",
            "init",
            folder.path().join("winze-data").to_str().unwrap(),
        ])
        .ok();
        Site { folder }
    }

    fn config(&self, role: &str) -> PathBuf {
        self.folder.path().join(format!("config/{role}.toml"))
    }

    /// Replaces `from`, which must be there, in a role's file.
    #[track_caller]
    fn edit(&self, role: &str, from: &str, to: &str) {
        let text = std::fs::read_to_string(self.config(role)).unwrap();
        assert!(text.contains(from), "{role}.toml has no {from:?}");
        std::fs::write(self.config(role), text.replacen(from, to, 1)).unwrap();
    }

    #[track_caller]
    fn problems(&self, role: &str) -> String {
        winze(&["config", "check", self.config(role).to_str().unwrap()]).failed(1)
    }
}

#[test]
fn the_shipped_files_work_as_they_are_after_keys_init() {
    let site = Site::new();
    for role in ROLES {
        let said = winze(&["config", "check", site.config(role).to_str().unwrap()]).ok();
        assert!(said.contains(&format!("role {role}")), "{said}");
    }
}

#[test]
fn what_is_commented_out_shows_the_key_that_it_says() {
    // A default or an example that is uncommented must still load: the name, the place and the type are right.
    let site = Site::new();
    for role in ROLES {
        let text = std::fs::read_to_string(site.config(role)).unwrap();
        let uncommented: Vec<&str> = text
            .lines()
            .map(|line| match line.strip_prefix('#') {
                Some(rest) if rest.starts_with(|c: char| c.is_ascii_lowercase() || c == '[') => {
                    rest
                }
                _ => line,
            })
            .collect();
        std::fs::write(site.config(role), uncommented.join("\n")).unwrap();
        winze(&["config", "check", site.config(role).to_str().unwrap()]).ok();
    }
}

#[test]
fn a_key_that_does_not_exist_is_named_with_its_line() {
    let site = Site::new();
    for role in ROLES {
        site.edit(
            role,
            &format!("role = \"{role}\""),
            &format!("role = \"{role}\"\nlisten_adress = 1"),
        );
        let text = std::fs::read_to_string(site.config(role)).unwrap();
        let line = text
            .lines()
            .position(|line| line.starts_with("listen_adress"))
            .unwrap()
            + 1;
        let problems = site.problems(role);
        assert!(
            problems.contains(&format!(
                "{role}.toml:{line}: unknown field `listen_adress`"
            )),
            "{problems}"
        );
    }
}

#[test]
fn every_missing_file_and_exposed_secret_is_named_at_once() {
    let site = Site::new();
    let data = site.folder.path().join("winze-data");
    std::fs::remove_file(data.join("hub/certificate.toml")).unwrap();
    std::fs::remove_file(data.join("mint/identity.pub")).unwrap();
    let exposed = std::fs::Permissions::from_mode(0o644);
    std::fs::set_permissions(data.join("hub/static.key"), exposed).unwrap();
    let problems = site.problems("hub");
    assert!(
        problems.contains("certificate_file: ") && problems.contains("certificate.toml"),
        "{problems}"
    );
    assert!(
        problems.contains("static_key_file: ") && problems.contains("mode 0644"),
        "{problems}"
    );
    assert!(problems.contains("peers[1].public_key: "), "{problems}");
    assert_eq!(problems.lines().count(), 3, "{problems}");

    std::fs::remove_file(data.join("mint/seed")).unwrap();
    let problems = site.problems("mint");
    assert!(problems.contains("seed_file: "), "{problems}");
}

#[test]
fn an_address_that_cannot_be_used_is_named() {
    let site = Site::new();
    site.edit(
        "hub",
        "#listen = \"127.0.0.1:34254\"",
        "listen = \"127.0.0.1:9254\"",
    );
    assert!(
        site.problems("hub")
            .contains("http_listen: 127.0.0.1:9254 is the address of listen")
    );
    site.edit(
        "hub",
        "listen = \"127.0.0.1:9254\"",
        "listen = \"localhost\"",
    );
    let problems = site.problems("hub");
    assert!(problems.contains("(at `listen`)"), "{problems}");

    site.edit(
        "mint",
        "address = \"127.0.0.1:34254\"",
        "address = \"127.0.0.1\"",
    );
    let problems = site.problems("mint");
    assert!(
        problems.contains("hub.address: \"127.0.0.1\" is no host:port"),
        "{problems}"
    );
}

#[test]
fn another_roles_file_is_refused_at_start_and_a_file_without_role_at_check() {
    let site = Site::new();
    let refused = winze(&["hub", "--config", site.config("mint").to_str().unwrap()]).failed(1);
    assert!(
        refused.contains("role \"mint\", not of \"hub\""),
        "{refused}"
    );
    site.edit("hub", "role = \"hub\"", "");
    assert!(site.problems("hub").contains("no top-level key `role`"));
}

#[test]
fn one_mistake_hides_no_other_and_a_lonely_role_is_only_warned_of() {
    let site = Site::new();
    let data = site.folder.path().join("winze-data");
    std::fs::copy(
        data.join("mint/identity.pub"),
        data.join("pool/identity.pub"),
    )
    .unwrap();
    std::fs::write(data.join("pool/pool.sqlite"), "certainly no database").unwrap();
    site.edit("pool", "#log = \"info\"", "log = \"inof\"");
    site.edit("pool", "#unit = \"hash\"", "unit = \"\"");
    site.edit("pool", "#peer = \"mint/main\"", "peer = \"pool/main\"");
    site.edit("pool", "#nbits = \"1b00ffff\"", "nbits = \"never\"");
    let problems = site.problems("pool");
    for named in [
        "secret_key_file: ",
        "pool.sqlite is no database",
        "log: \"inof\"",
        "unit: ",
        "mint.peer: ",
        "builtin.nbits: ",
    ] {
        assert!(problems.contains(named), "{named}: {problems}");
    }
    assert_eq!(problems.lines().count(), 6, "{problems}");

    let text = std::fs::read_to_string(site.config("mint")).unwrap();
    let (alone, _) = text.split_once("[[pool]]").unwrap();
    std::fs::write(site.config("mint"), alone).unwrap();
    winze(&["config", "check", site.config("mint").to_str().unwrap()]).ok();
    site.edit("mint", "ecash.sqlite", "mint.sqlite");
    let problems = site.problems("mint");
    assert!(problems.contains("ecash_store_file: "), "{problems}");
    assert!(problems.contains("warning: "), "{problems}");
}

#[test]
fn a_log_filter_that_cannot_be_is_blamed_on_whoever_gave_it() {
    let site = Site::new();
    let hub = site.config("hub");
    let hub = hub.to_str().unwrap();
    let refused = winze(&["hub", "--config", hub, "--log", "inof"]).failed(1);
    assert!(refused.contains("from --log"), "{refused}");
    site.edit("hub", "#log = \"info\"", "log = \"inof\"");
    let refused = winze(&["hub", "--config", hub]).failed(1);
    assert!(refused.contains("hub.toml (log)"), "{refused}");
}
