//! Who takes part, and what the hub's list says about them.

use winze_client::Identity;
use winze_hub::HubLimits;
use winze_hub::core::ListedPeer;
use winze_messages::EXT_MINT_QUOTE;
use winze_transport::SecretKey;

use crate::chat::VENDOR;

/// The pools that keep the rules.
pub const POOLS: [&str; 2] = ["pool/a", "pool/b"];
/// The mint.
pub const MINT: &str = "mint/main";
/// A peer that is listed and keeps no rule.
pub const EVIL: &str = "pool/evil";

/// The key of a party; of a name that is not listed, a key that is not either.
pub fn key_of(name: &str) -> SecretKey {
    let byte = match name {
        "pool/a" => 1,
        "pool/b" => 2,
        MINT => 3,
        EVIL => 4,
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
    let all = [POOLS[0], POOLS[1], EVIL, MINT];
    let on_it = all.into_iter().filter(|name| !struck_off.contains(name));
    on_it
        .map(|name| ListedPeer {
            name: name.parse().expect("the cast have names"),
            public_key: key_of(name).public_key(),
            may_open: match name {
                MINT => Vec::new(),
                _ => [EXT_MINT_QUOTE, VENDOR]
                    .map(|extension| (extension, MINT.parse().expect("the cast have names")))
                    .to_vec(),
            },
        })
        .collect()
}

/// Limits that are reached soon.
pub fn limits() -> HubLimits {
    HubLimits {
        connections_max: 16,
        setup_timeout_ms: 2_000,
        payload_bytes_max: 4_096,
        channels_max: 12,
        channels_per_pair_max: 4,
        window_messages: 6,
        window_bytes: 8_192,
        ping_interval_ms: 3_000,
        idle_timeout_ms: 9_000,
        write_timeout_ms: 3_000,
        ..HubLimits::default()
    }
}
