//! `winze keys init`: every key and certificate that the files in config/ name, for hub, pool and mint on one
//! machine.
//!
//! ```text
//! DIR/hub/   authority.key .pub   static.key .pub   certificate.toml
//! DIR/pool/  authority.key .pub   static.key .pub   certificate.toml   identity.key .pub
//! DIR/mint/  identity.key .pub    seed
//! DIR/bridge/  identity.key .pub
//! ```
//!
//! Run again, it makes only what is missing: the second machine's files, or a certificate that was removed to be
//! renewed. What would not match what is there is not made: a key whose public key others were given, a seed for ecash
//! that exists. Files that contradict each other are told before anything is made ([`survey`]).

mod survey;

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rand::RngCore;
use rand::rngs::OsRng;
use winze_runtime::keyfile;
use winze_transport::keys::{PublicKey, SecretKey};
use zeroize::Zeroizing;

use super::{KeysError, certify, public_path};
use crate::print;
use survey::{Held, is_there};

/// Bytes of the mint's seed.
const SEED_BYTES: usize = 32;
/// Folders of servers, which have a certificate.
const SERVERS: [&str; 2] = ["hub", "pool"];
/// Secret keys of identities at the hub.
const IDENTITIES: [&str; 3] = [
    "pool/identity.key",
    "mint/identity.key",
    "bridge/identity.key",
];
const SEED: &str = "mint/seed";
/// The mint's ecash store, as config/mint.toml names it.
const ECASH_STORE: &str = "mint/ecash.sqlite";

pub(super) fn run(folder: &Path, days: u32) -> Result<(), KeysError> {
    let problems = survey::problems(folder)?;
    if !problems.is_empty() {
        return Err(KeysError::Unmatched(problems));
    }
    for role in ["hub", "pool", "mint", "bridge"] {
        make_folder(&folder.join(role))?;
    }
    for server_folder in SERVERS {
        server(&folder.join(server_folder), days)?;
    }
    for identity in IDENTITIES {
        key(&folder.join(identity))?;
    }
    seed(&folder.join(SEED))?;
    print::result(
        "The authority keys sign certificates and nothing else: away from the servers is where they belong.",
    )?;
    Ok(())
}

/// An authority, a static key, and the one's certificate for the other.
fn server(folder: &Path, days: u32) -> Result<(), KeysError> {
    let authority_file = folder.join("authority.key");
    let certificate = folder.join("certificate.toml");
    let signed = is_there(&certificate)
        .then(|| keyfile::read_certificate(&certificate))
        .transpose()?;
    match (&signed, Held::at(&authority_file)?.any()) {
        (Some(signed), None) => {
            // Its secret key was moved away with its public key; the certificate names it.
            let public_file = public_path(&authority_file)?;
            keyfile::write_public(&public_file, &signed.authority_key)?;
            made(&public_file, &signed.authority_key.to_string())?;
        }
        (_, _) => {
            key(&authority_file)?;
        }
    }
    let server = key(&folder.join("static.key"))?;
    if signed.is_some() {
        return kept(&certificate);
    }
    let authority = keyfile::read_secret(&authority_file)?;
    keyfile::write_certificate(&certificate, &certify(&authority, server, days))?;
    made(&certificate, &format!("valid for {days} days"))
}

/// A secret key with its public key beside it. No key is made where its public key is known already.
fn key(secret_file: &Path) -> Result<PublicKey, KeysError> {
    let public_file = public_path(secret_file)?;
    let held = Held::at(secret_file)?;
    let public = match (held.secret, held.public) {
        (Some(public), _) => {
            kept(secret_file)?;
            public
        }
        (None, Some(public)) => {
            let (secret, public_file) = (secret_file.display(), public_file.display());
            print::result(format_args!(
                "left {secret} (it is elsewhere: {public_file} is there, and no other key fits it)"
            ))?;
            public
        }
        (None, None) => {
            let key = SecretKey::generate(&mut OsRng);
            keyfile::write_secret(secret_file, &key)?;
            made(secret_file, "secret")?;
            key.public_key()
        }
    };
    if held.public.is_some() {
        kept(&public_file)?;
    } else {
        keyfile::write_public(&public_file, &public)?;
        made(&public_file, &public.to_string())?;
    }
    Ok(public)
}

/// The mint's seed: 32 random bytes in hexadecimal.
fn seed(file: &Path) -> Result<(), KeysError> {
    if is_there(file) {
        return kept(file);
    }
    let mut bytes = Zeroizing::new([0; SEED_BYTES]);
    OsRng.fill_bytes(bytes.as_mut());
    keyfile::write_secret_text(file, &Zeroizing::new(hex::encode(bytes.as_slice())))?;
    made(
        file,
        "secret; whoever has it can make this mint's ecash: keep a copy in a safe place",
    )
}

fn make_folder(folder: &Path) -> Result<(), KeysError> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(folder)
        .map_err(|source| KeysError::Folder {
            folder: PathBuf::from(folder),
            source,
        })
}

fn kept(file: &Path) -> Result<(), KeysError> {
    Ok(print::result(format_args!("kept {}", file.display()))?)
}

fn made(file: &Path, what: &str) -> Result<(), KeysError> {
    Ok(print::result(format_args!(
        "made {} ({what})",
        file.display()
    ))?)
}
