//! Who takes part, and what the hub's list says about them.

use winze_client::Identity;
use winze_hub::HubLimits;
use winze_hub::core::{ListedGroup, ListedPeer};
use winze_messages::EXT_MINT_QUOTE;
use winze_transport::SecretKey;

use crate::chat::VENDOR;

/// The pools that keep the rules.
pub const POOLS: [&str; 2] = ["pool/a", "pool/b"];
/// The mint.
pub const MINT: &str = "mint/main";
/// A peer that is listed and keeps no rule.
pub const EVIL: &str = "pool/evil";

/// The opener of channels to [`GROUP`].
pub const OPENER: &str = "coordinator/main";
/// Those who may be members of [`GROUP`].
pub const MEMBERS: [&str; 4] = ["signer/1", "signer/2", "signer/3", "signer/4"];
/// How many of [`MEMBERS`], from the first on, are in the group where nothing has changed it.
pub const MEMBERS_USUALLY: usize = 3;
/// A group.
pub const GROUP: &str = "group/signers";

/// The key of a party; of a name that is not listed, a key that is not either.
pub fn key_of(name: &str) -> SecretKey {
    let byte = match name {
        "pool/a" => 1,
        "pool/b" => 2,
        MINT => 3,
        EVIL => 4,
        OPENER => 6,
        "signer/1" => 7,
        "signer/2" => 8,
        "signer/3" => 9,
        "signer/4" => 10,
        _ => 5,
    };
    SecretKey::from_bytes(&[byte; 32]).expect("a small number is a key")
}

/// A party's identity.
pub fn identity(name: &str) -> Identity {
    Identity::of(name.parse().expect("the cast have names"), key_of(name))
}

/// The hub's list without these.
pub fn listed(struck_off: &[&str]) -> Vec<ListedPeer> {
    let all = [POOLS[0], POOLS[1], EVIL, MINT, OPENER];
    let is_listed = |name: &&str| !struck_off.contains(name);
    let all = all.into_iter().chain(MEMBERS).filter(is_listed);
    let parse = |name: &str| name.parse().expect("the cast have names");
    all.map(|name| ListedPeer {
        name: parse(name),
        public_key: key_of(name).public_key(),
        may_open: match name {
            OPENER => MEMBERS
                .into_iter()
                .filter(is_listed)
                .chain([GROUP])
                .map(|peer| (VENDOR, parse(peer)))
                .collect(),
            _ if name == MINT || MEMBERS.contains(&name) => Vec::new(),
            _ => [EXT_MINT_QUOTE, VENDOR]
                .map(|extension| (extension, parse(MINT)))
                .to_vec(),
        },
    })
    .collect()
}

/// The group, with these of its members who are listed.
pub fn groups(members: &[&str], struck_off: &[&str]) -> Vec<ListedGroup> {
    let members = members.iter().filter(|name| !struck_off.contains(name));
    let members = members.map(|name| name.parse().expect("the cast have names"));
    let name = GROUP.split_once('/').map_or(GROUP, |(_, name)| name);
    vec![ListedGroup::new(name, members.collect()).expect("the group has a name")]
}

/// Limits that are reached soon.
pub fn limits() -> HubLimits {
    HubLimits {
        connections_max: 22,
        setup_timeout_ms: 2_000,
        payload_bytes_max: 4_096,
        // Two channels to a group of three, and two to single members; not two to a group of four.
        channels_max: 11,
        channels_per_pair_max: 4,
        window_messages: 6,
        window_bytes: 8_192,
        ping_interval_ms: 3_000,
        idle_timeout_ms: 9_000,
        write_timeout_ms: 3_000,
        ..HubLimits::default()
    }
}
