//! What is there before anything is made, and whether it belongs together.

use std::path::Path;

use winze_runtime::keyfile;
use winze_transport::keys::PublicKey;

use super::{ECASH_STORE, IDENTITIES, SEED, SERVERS};
use crate::keys::{KeysError, public_path};

/// What is there of a key, as the public key that it comes to.
pub(super) struct Held {
    /// From the secret key's file.
    pub(super) secret: Option<PublicKey>,
    /// From the file beside it.
    pub(super) public: Option<PublicKey>,
}

impl Held {
    pub(super) fn at(secret_file: &Path) -> Result<Held, KeysError> {
        let public_file = public_path(secret_file)?;
        let mut held = Held {
            secret: None,
            public: None,
        };
        if is_there(secret_file) {
            held.secret = Some(keyfile::read_secret(secret_file)?.public_key());
        }
        if is_there(&public_file) {
            held.public = Some(keyfile::read_public(&public_file)?);
        }
        Ok(held)
    }

    pub(super) fn any(&self) -> Option<PublicKey> {
        self.secret.or(self.public)
    }
}

/// Whether a file is there. A dangling link counts: writing through it is not for us to decide.
pub(super) fn is_there(file: &Path) -> bool {
    file.symlink_metadata().is_ok()
}

/// Everything that keeps the files under `folder` from becoming a set that matches.
///
/// # Errors
/// A file that is there cannot be read.
pub(super) fn problems(folder: &Path) -> Result<Vec<String>, KeysError> {
    let mut problems = Vec::new();
    for server in SERVERS {
        look_at_server(&folder.join(server), &mut problems)?;
    }
    for identity in IDENTITIES {
        look_at_own_key(&folder.join(identity), &mut problems)?;
    }
    let (seed, store) = (folder.join(SEED), folder.join(ECASH_STORE));
    if !is_there(&seed) && is_there(&store) {
        problems.push(format!(
            "{} is missing, and another would make the ecash in {} worthless: put it back from its copy",
            seed.display(),
            store.display()
        ));
    }
    Ok(problems)
}

fn look_at_server(folder: &Path, problems: &mut Vec<String>) -> Result<(), KeysError> {
    let authority_file = folder.join("authority.key");
    let static_file = folder.join("static.key");
    let certificate_file = folder.join("certificate.toml");
    let authority = Held::at(&authority_file)?;
    compare(&authority_file, &authority, problems);
    let server = look_at_own_key(&static_file, problems)?;
    let certificate = certificate_file.display();
    if !is_there(&certificate_file) {
        if authority.secret.is_none() && authority.public.is_some() {
            problems.push(format!(
                "{certificate} is missing, and {} is elsewhere: sign it there with `winze keys certificate`",
                authority_file.display()
            ));
        }
        return Ok(());
    }
    let signed = keyfile::read_certificate(&certificate_file)?;
    match server.any() {
        None => problems.push(format!(
            "{} is missing, and {certificate} is for that key alone: put it back, or remove the certificate to have \
             another made",
            static_file.display()
        )),
        Some(key) if key != signed.static_key => problems.push(format!(
            "{certificate} is not for {}: remove it to have another made",
            static_file.display()
        )),
        Some(_) => {}
    }
    if authority
        .any()
        .is_some_and(|key| key != signed.authority_key)
    {
        problems.push(format!(
            "{certificate} is not signed by {}: remove it to have another made, or put the authority back",
            authority_file.display()
        ));
    }
    Ok(())
}

/// A key that its server cannot do without.
fn look_at_own_key(secret_file: &Path, problems: &mut Vec<String>) -> Result<Held, KeysError> {
    let held = Held::at(secret_file)?;
    compare(secret_file, &held, problems);
    if held.secret.is_none() && held.public.is_some() {
        let public_file = public_path(secret_file)?;
        problems.push(format!(
            "{} is missing, and {} may be in others' hands: put the key back, or remove the public key to have both \
             made anew",
            secret_file.display(),
            public_file.display()
        ));
    }
    Ok(held)
}

fn compare(secret_file: &Path, held: &Held, problems: &mut Vec<String>) {
    if let (Some(secret), Some(public)) = (held.secret, held.public)
        && secret != public
    {
        problems.push(format!(
            "{} belongs to the public key {secret}, and the file beside it says {public}: remove the one that is not \
             in use",
            secret_file.display()
        ));
    }
}
