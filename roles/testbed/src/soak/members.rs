//! Who is let in: some thousand identities, and the hub's configuration that lists them.

use std::fmt::Write as _;
use std::net::Ipv4Addr;

use rand::rngs::OsRng;
use winze_messages::PeerName;
use winze_transport::SecretKey;

/// The extension of all channels here: one that the hub does not know, and forwards unread.
pub(super) const EXTENSION: u16 = 0x4a00;

/// Peers that share a source address: below the hub's default of connections from one address, as the flood meets it.
const PEERS_PER_ADDRESS: usize = 100;

/// One identity.
pub(super) struct Member {
    pub name: PeerName,
    pub secret: SecretKey,
    /// The loopback address that it dials from.
    pub source: Ipv4Addr,
}

impl Member {
    /// The member `role/number`; `place` counts over all members of a hub.
    pub(super) fn new(name: &PeerName, place: usize) -> Member {
        let network = u8::try_from(1 + place / PEERS_PER_ADDRESS).unwrap_or(u8::MAX);
        Member {
            name: name.clone(),
            secret: SecretKey::generate(&mut OsRng),
            source: Ipv4Addr::new(127, 0, network, 1),
        }
    }

    /// Its entry in the hub's list.
    pub(super) fn listing(&self, may_open: &[&PeerName]) -> String {
        let mut text = format!(
            "\n[[peers]]\nrole = \"{}\"\nname = \"{}\"\npublic_key = \"{}\"\nmay_open = [",
            self.name.role(),
            self.name.name(),
            self.secret.public_key()
        );
        for peer in may_open {
            // Writing to a String does not fail.
            let _ = write!(text, "{{ extension = {EXTENSION}, peer = \"{peer}\" }},");
        }
        text.push_str("]\n");
        text
    }
}
