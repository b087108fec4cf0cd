//! A miner's wallet: cdk's own, over the mint's HTTP API.

use std::collections::BTreeMap;
use std::str::FromStr;
use std::sync::Arc;

use cdk::amount::SplitTarget;
use cdk::mint_url::MintUrl;
use cdk::nuts::{CurrencyUnit, PaymentMethod, nut20};
use cdk::wallet::WalletBuilder;
use rand::RngCore;
use rand::rngs::OsRng;
use tokio::sync::Mutex;
use zeroize::Zeroizing;

use crate::error::TestbedError;

/// The NUT-04 method of quotes that shares pay for.
const MINING_SHARE: &str = "mining_share";

/// How many locking keys are tried for a quote. A wallet here has one.
const LOCKING_KEYS: u32 = 1;

/// A Cashu wallet whose quotes are locked to one key of its own (NUT-20). It lives in memory.
pub struct Wallet {
    cdk: cdk::Wallet,
    locking_key: [u8; 33],
    redemptions: Mutex<Redemptions>,
}

/// What this wallet has got for which quote. The mint's word that a quote was redeemed does not say by whom.
#[derive(Default)]
struct Redemptions {
    done: BTreeMap<String, u64>,
    /// The quote whose redemption failed in a way that may still turn out to have worked.
    interrupted: Option<String>,
}

impl Wallet {
    /// A new, empty wallet for ecash in `unit` of the mint at `mint_url`. The mint need not be there yet.
    ///
    /// # Errors
    /// [`TestbedError::Wallet`] for a URL that is none, and where the memory store cannot be made.
    pub async fn new(mint_url: &str, unit: &str) -> Result<Wallet, TestbedError> {
        let mut seed = Zeroizing::new([0; 64]);
        OsRng.fill_bytes(seed.as_mut_slice());
        let secret = nut20::derive_quote_locking_key(&seed, 0)
            .map_err(|error| cdk::Error::Custom(error.to_string()))?;
        let store = cdk_sqlite::wallet::memory::empty()
            .await
            .map_err(cdk::Error::from)?;
        let url = MintUrl::from_str(mint_url).map_err(cdk::Error::from)?;
        let unit = CurrencyUnit::from_str(unit).unwrap_or_else(|_| CurrencyUnit::custom(unit));
        let cdk = WalletBuilder::new()
            .mint_url(url)
            .unit(unit)
            .localstore(Arc::new(store))
            .seed(*seed)
            // The mint is on this machine, and ours.
            .without_rate_limiting()
            .build()?;
        Ok(Wallet {
            cdk,
            locking_key: secret.public_key().to_bytes(),
            redemptions: Mutex::default(),
        })
    }

    /// The compressed key that this wallet's quotes are to be locked to.
    pub fn locking_key(&self) -> &[u8; 33] {
        &self.locking_key
    }

    /// Turns a quote into ecash, with a NUT-20 signature, and gives what the wallet has got for it. It may be
    /// repeated: what an earlier call began and could not finish is finished, and nothing is redeemed twice.
    ///
    /// # Errors
    /// [`TestbedError::Wallet`] where the mint is away or refuses, or somebody else has redeemed it;
    /// [`TestbedError::Unfinished`] while an earlier redemption may still turn out either way; [`TestbedError::Redeemed`] where it gave another
    /// amount than the quote's.
    pub async fn redeem(&self, quote_id: &str) -> Result<u64, TestbedError> {
        let mut redemptions = self.redemptions.lock().await;
        self.finish_interrupted(&mut redemptions).await?;
        if let Some(redeemed) = redemptions.done.get(quote_id) {
            return Ok(*redeemed);
        }
        let method = PaymentMethod::Custom(MINING_SHARE.to_owned());
        let quote = self
            .cdk
            .fetch_mint_quote_with_key_search(quote_id, Some(method), LOCKING_KEYS)
            .await?;
        redemptions.interrupted = Some(quote_id.to_owned());
        let proofs = self.cdk.mint(quote_id, SplitTarget::None, None).await?;
        redemptions.interrupted = None;
        let redeemed = proofs.iter().map(|proof| u64::from(proof.amount)).sum();
        redemptions.done.insert(quote_id.to_owned(), redeemed);
        let worth = quote.amount.map_or(0, u64::from);
        if redeemed != worth {
            return Err(TestbedError::Redeemed {
                quote_id: quote_id.to_owned(),
                worth,
                redeemed,
            });
        }
        Ok(redeemed)
    }

    /// A mint that died in the middle of a redemption may have signed: then the signatures are asked for again.
    async fn finish_interrupted(&self, redemptions: &mut Redemptions) -> Result<(), TestbedError> {
        let Some(quote_id) = redemptions.interrupted.clone() else {
            return Ok(());
        };
        let before = self.balance().await?;
        let report = self.cdk.recover_incomplete_sagas().await?;
        if report.skipped + report.failed > 0 {
            // Another redemption now, and nobody could tell whose ecash a later recovery brings.
            return Err(TestbedError::Unfinished { quote_id });
        }
        let redeemed = self.balance().await?.saturating_sub(before);
        if redeemed > 0 {
            redemptions.done.insert(quote_id, redeemed);
        }
        redemptions.interrupted = None;
        Ok(())
    }

    /// What the wallet holds: the sum of its unspent ecash.
    ///
    /// # Errors
    /// [`TestbedError::Wallet`] where its store fails.
    pub async fn balance(&self) -> Result<u64, TestbedError> {
        Ok(u64::from(self.cdk.total_balance().await?))
    }

    /// The wallet itself, for what is not needed often.
    pub fn cdk(&self) -> &cdk::Wallet {
        &self.cdk
    }
}
