use std::fmt;
use std::sync::Arc;

use winze_messages::{NameError, PeerName};
use winze_transport::{PublicKey, SecretKey};

/// Who a role is: its peer name, and the key that proves it to the hub and to its peers.
#[derive(Clone)]
pub struct Identity {
    peer: PeerName,
    secret: Arc<SecretKey>,
}

impl Identity {
    /// Fails with a [`NameError`] when `role` or `name` has another form than 1 to 32 characters
    /// out of `a-z`, `0-9` and `-`.
    pub fn new(role: &str, name: &str, secret: SecretKey) -> Result<Identity, NameError> {
        Ok(Identity::of(PeerName::new(role, name)?, secret))
    }

    /// The identity of a peer whose name was checked already.
    pub fn of(peer: PeerName, secret: SecretKey) -> Identity {
        Identity {
            peer,
            secret: Arc::new(secret),
        }
    }

    /// Role and name together, as `role/name`.
    pub fn peer(&self) -> &PeerName {
        &self.peer
    }

    /// What it does: `pool`, `mint`, ...
    pub fn role(&self) -> &str {
        self.peer.role()
    }

    /// Which of its role it is.
    pub fn name(&self) -> &str {
        self.peer.name()
    }

    /// The key that the hub and the peers list for it.
    pub fn public_key(&self) -> PublicKey {
        self.secret.public_key()
    }

    /// The key itself.
    pub fn secret(&self) -> &SecretKey {
        &self.secret
    }
}

/// Shows who it is, never the secret.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("peer", &format_args!("{}", self.peer))
            .field("public_key", &self.public_key())
            .finish_non_exhaustive()
    }
}
