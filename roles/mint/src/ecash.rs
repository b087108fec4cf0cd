//! The ecash itself: cdk's mint over its SQLite store, set up for units that are paid for by shares.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bitcoin::Network;
use bitcoin::bip32::Xpriv;
use cdk::cdk_database::{MintDatabase, MintKeysDatabase};
use cdk::mint::{MintBuilder, MintMeltLimits, UnitConfig};
use cdk::nuts::{
    CurrencyUnit, Id, KeySet, MintInfo, MintKeySet, MintVersion, PaymentMethod, nut05,
};
use cdk_sqlite::MintSqliteDatabase;
use rusqlite::{Connection, OpenFlags};

use crate::limits::{DENOMINATIONS, KEYSET_REFRESH_INTERVAL, NUT29_QUOTES_MAX};
use crate::processor::{MINING_SHARE, SharePayments};
use crate::seed::Seed;

/// cdk's store, as its own functions want it.
pub(crate) type QuoteStore = Arc<dyn MintDatabase<cdk::cdk_database::Error> + Send + Sync>;

/// What an [`Ecash`] is made from.
#[derive(Debug, Clone)]
pub(crate) struct EcashConfig {
    /// cdk's SQLite file; made if missing.
    pub(crate) store: PathBuf,
    /// The units to issue, in their canonical form.
    pub(crate) units: Vec<CurrencyUnit>,
    /// The largest amount of one quote, told to wallets (NUT-04).
    pub(crate) amount_max: u64,
    /// What a wallet pays per input of a swap, in thousandths of the unit. Another value than
    /// before rotates the keyset.
    pub(crate) input_fee_ppk: u64,
    /// The mint's name for wallets (NUT-06).
    pub(crate) name: Option<String>,
    /// A line about the mint for wallets (NUT-06).
    pub(crate) description: Option<String>,
    /// Where wallets reach the NUT API (NUT-06).
    pub(crate) urls: Vec<String>,
}

/// A running cdk mint and the units that it issues.
#[derive(Clone)]
pub(crate) struct Ecash {
    mint: Arc<cdk::Mint>,
    units: Arc<[CurrencyUnit]>,
    input_fee_ppk: u64,
}

/// Why the ecash mint cannot be opened or changed.
#[derive(Debug, thiserror::Error)]
pub enum EcashError {
    /// The store has keysets that do not follow from the seed.
    #[error(
        "keyset {keyset} in {store} does not come from this seed: the seed file or the store is another mint's"
    )]
    WrongSeed {
        /// The first keyset that does not fit, in hex.
        keyset: String,
        /// cdk's SQLite file.
        store: PathBuf,
    },
    /// The ecash store is gone, and the mint has issued: a new store would take ecash that was spent already for good.
    #[error(
        "{store} is missing or empty, but {issued} says that this mint has issued: put the ecash store back from its backup", store = store.display(), issued = issued.display()
    )]
    Lost {
        /// cdk's SQLite file.
        store: PathBuf,
        /// The role's own store.
        issued: PathBuf,
    },
    /// The file holds the messages of a role; cdk would put its tables beside them.
    #[error("ecash_store_file {store} is the store of a Winze role; ecash needs a file of its own", store = store.display())]
    RoleStore {
        /// What was configured as cdk's SQLite file.
        store: PathBuf,
    },
    /// There is no mint of which a keyset could be rotated.
    #[error("{store} is missing or empty: no mint was ever started on it", store = store.display())]
    NoStore {
        /// cdk's SQLite file.
        store: PathBuf,
    },
    /// cdk's SQLite file cannot be opened or brought up to date.
    #[error("ecash store {store}: {source}")]
    Store {
        /// cdk's SQLite file.
        store: PathBuf,
        /// What cdk said.
        source: cdk::cdk_database::Error,
    },
    /// The seed's 32 bytes are no BIP32 seed: of all seeds 2^-127 are none.
    #[error("the seed cannot be used: {0}")]
    Seed(#[from] bitcoin::bip32::Error),
    /// cdk refused something.
    #[error("cdk: {0}")]
    Cdk(#[from] cdk::Error),
    /// A unit that this mint does not issue was asked for.
    #[error("unit {0:?} is not one of this mint's")]
    UnknownUnit(String),
}

impl Ecash {
    /// Opens the store, makes a keyset for each unit that has none, and starts cdk's background work. Only for the process
    /// that runs the mint: swaps that are under way are taken for those of one that was killed, and undone.
    pub(crate) async fn open(config: &EcashConfig, seed: &Seed) -> Result<Self, EcashError> {
        let (ecash, offered) = Self::build(config, seed).await?;
        // What the store remembers of an earlier start would win over the builder; the configuration decides.
        let stored = ecash.mint.mint_info().await?;
        let info = told_to_wallets(offered, stored, config);
        ecash.mint.set_mint_info(info).await?;
        ecash.mint.start().await?;
        Ok(ecash)
    }

    /// Opens the store on which a mint may be running in another process. Nothing is started, and what that one has
    /// under way is left alone.
    pub(crate) async fn open_beside(config: &EcashConfig, seed: &Seed) -> Result<Self, EcashError> {
        if is_missing(&config.store) {
            return Err(EcashError::NoStore {
                store: config.store.clone(),
            });
        }
        Ok(Self::build(config, seed).await?.0)
    }

    /// The mint as the configuration has it, and what its builder would tell wallets.
    async fn build(config: &EcashConfig, seed: &Seed) -> Result<(Self, MintInfo), EcashError> {
        let store_error = |source| EcashError::Store {
            store: config.store.clone(),
            source,
        };
        if is_role_store(&config.store) {
            return Err(EcashError::RoleStore {
                store: config.store.clone(),
            });
        }
        make_private(&config.store)
            .map_err(|error| store_error(cdk::cdk_database::Error::Internal(error.to_string())))?;
        let store = Arc::new(
            MintSqliteDatabase::new(&config.store)
                .await
                .map_err(store_error)?,
        );
        // Before cdk sees the store: it would add keysets of its own for units that have none.
        if let Some(keyset) = foreign_keyset(&store, seed, store_error).await? {
            return Err(EcashError::WrongSeed {
                keyset: keyset.to_string(),
                store: config.store.clone(),
            });
        }
        let mut builder = MintBuilder::new(store.clone())
            .with_keyset_refresh_interval(Some(KEYSET_REFRESH_INTERVAL))
            .with_batch_minting(Some(NUT29_QUOTES_MAX), Some(vec![MINING_SHARE.to_owned()]));
        for unit in &config.units {
            builder.configure_unit(
                unit.clone(),
                UnitConfig {
                    amounts: denominations(),
                    input_fee_ppk: config.input_fee_ppk,
                },
            )?;
            builder
                .add_payment_processor(
                    unit.clone(),
                    PaymentMethod::Custom(MINING_SHARE.to_owned()),
                    MintMeltLimits::new(1, config.amount_max),
                    Arc::new(SharePayments::new(unit.clone())),
                )
                .await?;
        }
        let offered = builder.current_mint_info();
        let mint = builder.build_with_seed(store, seed.as_bytes()).await?;

        let ecash = Self {
            mint: Arc::new(mint),
            units: config.units.clone().into(),
            input_fee_ppk: config.input_fee_ppk,
        };
        Ok((ecash, offered))
    }

    /// cdk's mint, for the NUT API.
    pub(crate) fn mint(&self) -> &Arc<cdk::Mint> {
        &self.mint
    }

    /// cdk's store, for the quotes.
    pub(crate) fn quote_store(&self) -> QuoteStore {
        self.mint.localstore()
    }

    /// The units that this mint issues.
    pub(crate) fn units(&self) -> &[CurrencyUnit] {
        &self.units
    }

    /// Every keyset that the mint has or had, with its unit.
    pub(crate) fn keysets(&self) -> HashSet<(CurrencyUnit, Id)> {
        self.mint
            .keysets()
            .keysets
            .into_iter()
            .map(|keyset| (keyset.unit, keyset.id))
            .collect()
    }

    /// The keyset that signs now for `unit`: `None` while cdk has none (expired, or a signer that is away).
    pub(crate) fn active_keyset(&self, unit: &CurrencyUnit) -> Option<KeySet> {
        self.mint
            .keysets()
            .keysets
            .iter()
            .find(|keyset| keyset.active && keyset.unit == *unit)
            .and_then(|keyset| self.mint.keyset(&keyset.id))
    }

    /// Makes a new active keyset for `unit`; the old one signs no more, and its ecash stays good.
    pub(crate) async fn rotate(&self, unit: &str) -> Result<Id, EcashError> {
        let unit = self
            .units
            .iter()
            .find(|known| known.to_string() == unit)
            .ok_or_else(|| EcashError::UnknownUnit(unit.to_owned()))?;
        let keyset = self
            .mint
            .rotate_keyset(
                unit.clone(),
                denominations(),
                self.input_fee_ppk,
                true,
                None,
            )
            .await?;
        Ok(keyset.id)
    }

    /// Ends cdk's background work.
    pub(crate) async fn stop(&self) -> Result<(), EcashError> {
        Ok(self.mint.stop().await?)
    }
}

/// A keyset in the store that does not follow from the seed, if there is one. Writes nothing.
async fn foreign_keyset(
    store: &MintSqliteDatabase,
    seed: &Seed,
    store_error: impl Fn(cdk::cdk_database::Error) -> EcashError,
) -> Result<Option<Id>, EcashError> {
    let mut transaction = MintKeysDatabase::begin_transaction(store)
        .await
        .map_err(&store_error)?;
    let stored = transaction.get_keyset_infos().await;
    transaction.rollback().await.map_err(&store_error)?;
    let stored = stored.map_err(&store_error)?;
    // As cdk derives its keys; the network only tells how the key would be written.
    let mut master = Xpriv::new_master(Network::Bitcoin, seed.as_bytes())?;
    let foreign = stored.into_iter().find(|keyset| {
        let derived = MintKeySet::generate_from_xpriv(
            &*cdk::SECP256K1,
            master,
            &keyset.amounts,
            keyset.unit.clone(),
            keyset.derivation_path.clone(),
            keyset.input_fee_ppk,
            keyset.final_expiry,
            keyset.id.get_version(),
        );
        derived.id != keyset.id
    });
    master.private_key.non_secure_erase();
    Ok(foreign.map(|keyset| keyset.id))
}

/// Rising powers of two from 1.
fn denominations() -> Vec<u64> {
    (0..DENOMINATIONS).map(|exponent| 1 << exponent).collect()
}

/// NUT-06 information: what the builder worked out and the configuration says, with the identity key that the
/// store keeps. Melting (NUT-05) is not offered: shares cannot be paid back.
fn told_to_wallets(offered: MintInfo, stored: MintInfo, config: &EcashConfig) -> MintInfo {
    let mut info = offered;
    info.pubkey = stored.pubkey;
    info.name = config.name.clone();
    info.description = config.description.clone();
    info.urls = (!config.urls.is_empty()).then(|| config.urls.clone());
    info.version = Some(MintVersion::new(
        "winze-mint".to_owned(),
        env!("CARGO_PKG_VERSION").to_owned(),
    ));
    info.nuts.nut05 = nut05::Settings {
        methods: Vec::new(),
        disabled: true,
    };
    info
}

/// Whether the store is not there, or was never written to.
pub(crate) fn is_missing(store: &Path) -> bool {
    std::fs::metadata(store).map_or(true, |file| file.len() == 0)
}

/// Whether a role keeps its messages there. What cannot be read is for cdk to report.
fn is_role_store(store: &Path) -> bool {
    let tables = "SELECT count(*) FROM sqlite_schema WHERE name = 'winze_schema'";
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    Connection::open_with_flags(store, flags)
        .and_then(|file| file.query_row(tables, [], |row| row.get::<_, u64>(0)))
        .is_ok_and(|tables| tables > 0)
}

/// Makes the file if it is missing, readable by its owner alone, before SQLite does: it names every quote there is.
/// SQLite gives the files beside it the same mode.
fn make_private(store: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::OpenOptionsExt;
    std::fs::OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(store)
        .map(drop)
}

#[cfg(test)]
mod tests;
