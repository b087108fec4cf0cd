//! `winze keys init`: every key and certificate that the files in config/ name, for hub, pool and mint on one
//! machine.
//!
//! ```text
//! DIR/hub/   authority.key .pub   static.key .pub   certificate.toml
//! DIR/pool/  authority.key .pub   static.key .pub   certificate.toml   identity.key .pub
//! DIR/mint/  identity.key .pub    seed
//! ```
//!
//! Run again, it makes only what is missing: the second machine's files, or a certificate that was removed to be
//! renewed.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use rand::RngCore;
use rand::rngs::OsRng;
use winze_runtime::keyfile;
use winze_transport::keys::{PublicKey, SecretKey};
use zeroize::Zeroizing;

use super::{KeysError, certify, public_path};

/// Bytes of the mint's seed.
const SEED_BYTES: usize = 32;

pub(super) fn run(folder: &Path, days: u32) -> Result<(), KeysError> {
    for role in ["hub", "pool", "mint"] {
        make_folder(&folder.join(role))?;
    }
    server(&folder.join("hub"), days)?;
    server(&folder.join("pool"), days)?;
    key(&folder.join("pool/identity.key"))?;
    key(&folder.join("mint/identity.key"))?;
    seed(&folder.join("mint/seed"))?;
    println!(
        "The authority keys sign certificates and nothing else: away from the servers is where they belong."
    );
    Ok(())
}

/// An authority, a static key, and the one's certificate for the other.
fn server(folder: &Path, days: u32) -> Result<(), KeysError> {
    let authority_file = folder.join("authority.key");
    key(&authority_file)?;
    let server = key(&folder.join("static.key"))?;
    let certificate = folder.join("certificate.toml");
    if !kept(&certificate) {
        let authority = keyfile::read_secret(&authority_file)?;
        keyfile::write_certificate(&certificate, &certify(&authority, server, days))?;
        made(&certificate, &format!("valid for {days} days"));
    }
    Ok(())
}

/// A secret key with its public key beside it.
fn key(secret_file: &Path) -> Result<PublicKey, KeysError> {
    let public_file = public_path(secret_file)?;
    let public = if kept(secret_file) {
        keyfile::read_secret(secret_file)?.public_key()
    } else {
        let key = SecretKey::generate(&mut OsRng);
        keyfile::write_secret(secret_file, &key)?;
        made(secret_file, "secret");
        key.public_key()
    };
    if !kept(&public_file) {
        keyfile::write_public(&public_file, &public)?;
        made(&public_file, &public.to_string());
    }
    Ok(public)
}

/// The mint's seed: 32 random bytes in hexadecimal.
fn seed(file: &Path) -> Result<(), KeysError> {
    if kept(file) {
        return Ok(());
    }
    let mut bytes = Zeroizing::new([0; SEED_BYTES]);
    OsRng.fill_bytes(bytes.as_mut());
    keyfile::write_secret_text(file, &Zeroizing::new(hex::encode(bytes.as_slice())))?;
    made(
        file,
        "secret; whoever has it can make this mint's ecash: keep a copy in a safe place",
    );
    Ok(())
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

fn kept(file: &Path) -> bool {
    // A dangling link counts as there: writing through it is not for us to decide.
    let there = file.symlink_metadata().is_ok();
    if there {
        println!("kept {}", file.display());
    }
    there
}

fn made(file: &Path, what: &str) {
    println!("made {} ({what})", file.display());
}
