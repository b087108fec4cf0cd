//! `winze keys`: makes keys and certificates. Nothing is ever overwritten.

mod init;

use std::path::{Path, PathBuf};

use clap::Subcommand;
use rand::RngCore;
use rand::rngs::OsRng;
use winze_runtime::clock::now_unix_s_u32;
use winze_runtime::keyfile::{self, KeyFileError};
use winze_transport::keys::{Certificate, PublicKey, SecretKey};

use crate::print;

/// Days that a certificate is valid when nothing is said.
const CERTIFICATE_DAYS: u32 = 365;
const SECONDS_PER_DAY: u32 = 24 * 60 * 60;

/// Make and show keys and certificates.
///
/// A secret is kept in a file that only its owner can read (mode 0600); such a file is refused when others can.
/// Public keys have the Sv2 text form, 51 characters that start with `9`.
#[derive(clap::Args, Debug)]
#[command(
    arg_required_else_help = true,
    after_help = "Examples:\n  \
    winze keys init winze-data\n  \
    winze keys authority authority.key\n  \
    winze keys identity pool.key\n  \
    winze keys certificate --authority authority.key --server static.pub --days 90 certificate.toml"
)]
pub(crate) struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// Make everything that the files in config/ name, in folder DIR; what is there already is kept
    ///
    /// A key whose public key or certificate is there is not made: it is elsewhere, as an authority's should be. Nothing at
    /// all is made where files contradict each other, or where ecash is there without its seed.
    Init {
        /// Folder to make the files in, made when missing. The files in config/ look for `winze-data` beside `config`
        #[arg(value_name = "DIR", default_value = "winze-data")]
        folder: PathBuf,
        /// Validity of the certificates from now on, in days
        #[arg(long, default_value_t = CERTIFICATE_DAYS, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
    },
    /// Make the key of an authority, which signs servers' certificates; keep it off the servers
    Authority(NewKey),
    /// Make the key of a role (its identity at the hub), or a server's static key
    Identity(NewKey),
    /// Sign a server's static public key into a certificate
    Certificate {
        /// The authority's secret key file
        #[arg(long, value_name = "FILE")]
        authority: PathBuf,
        /// The server's static public key: the key itself, or the file that holds it
        #[arg(long, value_name = "KEY|FILE")]
        server: String,
        /// Validity from now on, in days
        #[arg(long, default_value_t = CERTIFICATE_DAYS, value_parser = clap::value_parser!(u32).range(1..=36_500))]
        days: u32,
        /// File to write the certificate to
        #[arg(value_name = "OUT")]
        out: PathBuf,
    },
    /// Print the public key of a secret key file
    Public {
        /// The secret key file
        #[arg(value_name = "FILE")]
        secret: PathBuf,
    },
}

#[derive(clap::Args, Debug)]
struct NewKey {
    /// File to write the secret key to; the public key goes beside it, with the ending `.pub`
    #[arg(value_name = "FILE")]
    secret: PathBuf,
}

/// Why keys were not made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeysError {
    /// A file could not be read or written.
    #[error(transparent)]
    File(#[from] KeyFileError),
    /// A folder could not be made.
    #[error("{folder}: cannot make the folder: {source}", folder = folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// Keys that are there and keys that would be made do not belong together. Nothing was made.
    #[error("{}", .0.join("\nerror: "))]
    Unmatched(Vec<String>),
    /// `--server` is neither a key nor a file.
    #[error(
        "--server {text:?}: neither a public key (51 characters, the first a 9) nor a file that is there"
    )]
    Server {
        /// What was given.
        text: String,
    },
    /// Standard output is closed or full. What was made until then is there.
    #[error("cannot write: {0}")]
    Output(#[from] std::io::Error),
    /// The public key would be written over the secret one.
    #[error("{path}: a secret key file must not end in .pub, the public key's ending", path = path.display())]
    Ending {
        /// The file.
        path: PathBuf,
    },
}

pub(crate) fn run(args: &Args) -> Result<(), KeysError> {
    match &args.what {
        What::Init { folder, days } => init::run(folder, *days),
        What::Authority(new) | What::Identity(new) => {
            let public_file = public_path(&new.secret)?;
            let key = SecretKey::generate(&mut OsRng);
            // Both at once, so that no secret key is left beside the public key of another.
            for file in [&new.secret, &public_file] {
                if file.symlink_metadata().is_ok() {
                    return Err(KeysError::File(KeyFileError::Write {
                        path: file.clone(),
                        source: std::io::ErrorKind::AlreadyExists.into(),
                    }));
                }
            }
            keyfile::write_secret(&new.secret, &key)?;
            keyfile::write_public(&public_file, &key.public_key())?;
            Ok(print::result(key.public_key())?)
        }
        What::Certificate {
            authority,
            server,
            days,
            out,
        } => {
            let authority = keyfile::read_secret(authority)?;
            let server = match server.parse::<PublicKey>() {
                Ok(key) => key,
                Err(_) if Path::new(server).exists() => keyfile::read_public(server)?,
                Err(_) => {
                    return Err(KeysError::Server {
                        text: server.clone(),
                    });
                }
            };
            keyfile::write_certificate(out, &certify(&authority, server, *days))?;
            Ok(())
        }
        What::Public { secret } => {
            let key = keyfile::read_secret(secret)?;
            Ok(print::result(key.public_key())?)
        }
    }
}

/// A certificate for `days` from now.
fn certify(authority: &SecretKey, server: PublicKey, days: u32) -> Certificate {
    let now_s = now_unix_s_u32();
    let mut aux_rand = [0; 32];
    OsRng.fill_bytes(&mut aux_rand);
    Certificate::sign(
        authority,
        server,
        now_s,
        now_s.saturating_add(days.saturating_mul(SECONDS_PER_DAY)),
        &aux_rand,
    )
}

/// Where the public key of a secret key file goes: the same name with the ending `.pub`.
fn public_path(secret: &Path) -> Result<PathBuf, KeysError> {
    let public = secret.with_extension("pub");
    if public == secret {
        return Err(KeysError::Ending {
            path: secret.to_owned(),
        });
    }
    Ok(public)
}
