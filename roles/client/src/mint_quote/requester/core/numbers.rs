//! How far this store and the mint's have come, before anything is sent (specification, section
//! 6.1).

use rusqlite::Connection;
use winze_messages::EXT_MINT_QUOTE;

use super::QuoteRequesterCore;
use crate::delivery::Now;
use crate::limits::HOUSEKEEPING_MS;
use crate::mint_quote::exchange::{Exchanged, FarStore, StoreNumbers};
use crate::outbox::{self, Compared};
use crate::store::StoreError;

/// The outbox's numbers are to be read, and compared with the mint's where those are new.
pub struct NumbersWanted {
    mint: String,
    told: Option<FarStore>,
}

/// What [`NumbersWanted::look`] found, committed.
pub struct NumbersFound {
    numbers: StoreNumbers,
    compared: Option<(FarStore, Compared)>,
}

impl NumbersWanted {
    /// Looks, in a transaction that may write.
    pub fn look(
        self,
        connection: &Connection,
        now_unix_ms: u64,
    ) -> Result<NumbersFound, StoreError> {
        let compared = match self.told {
            None => None,
            Some(told) => {
                let (mint, family) = (&self.mint, EXT_MINT_QUOTE);
                let compared = outbox::compare(connection, mint, family, &told, now_unix_ms)?;
                Some((told, compared))
            }
        };
        Ok(NumbersFound {
            numbers: outbox::numbers(connection, &self.mint, EXT_MINT_QUOTE)?,
            compared,
        })
    }
}

impl QuoteRequesterCore {
    /// Whether requests may be sent: the instance of the mint that is there has told how far its
    /// store has come, and that was compared with this one.
    pub(super) fn is_mint_known(&self) -> bool {
        self.exchange.far().is_some() && self.compared == self.exchange.far()
    }

    /// Whether the mint has told what was not compared yet.
    pub(super) fn is_told_anew(&self) -> bool {
        self.exchange.far().is_some() && !self.is_mint_known()
    }

    /// What is to be looked up now, where something is and nothing is being looked up;
    /// [`Self::numbers_found`] is to be called with what became of it.
    pub fn numbers_wanted(&mut self, now: Now) -> Option<NumbersWanted> {
        if self.is_looking {
            return None;
        }
        let is_due = self.compare_again_at_ms.is_none_or(|at_ms| at_ms <= now.ms);
        let told = self
            .exchange
            .far()
            .filter(|_| is_due && self.is_told_anew());
        if !self.exchange.numbers_wanted(now.ms) && told.is_none() {
            return None;
        }
        self.is_looking = true;
        Some(NumbersWanted {
            mint: self.mint.name.clone(),
            told,
        })
    }

    /// It was looked up, or could not be.
    pub fn numbers_found(&mut self, found: Result<NumbersFound, StoreError>, now: Now) {
        self.is_looking = false;
        let found = match found {
            Ok(found) => found,
            Err(error) => {
                self.store_failed("comparing with the mint's store", &error);
                self.compare_again_at_ms = Some(now.ms.saturating_add(HOUSEKEEPING_MS));
                return self.exchange.numbers_read(None, now.ms, &mut *self.rng);
            }
        };
        let numbers = Some(found.numbers);
        self.exchange.numbers_read(numbers, now.ms, &mut *self.rng);
        if let Some((told, compared)) = found.compared {
            self.compared = Some(told);
            self.compare_again_at_ms = None;
            self.tell(&compared);
        }
    }

    /// The operator, once for each.
    fn tell(&mut self, compared: &Compared) {
        let mint = &self.mint.name;
        if let Some(own) = compared.own {
            tracing::error!(
                mint,
                has = own.had,
                mint_knows = own.known,
                "this store was set back: the mint has answered requests of which it knows nothing. \
                 Shares since then are forgotten here, their quotes exist"
            );
            self.backlog.set_back = Some(own);
        }
        if let Some(peer) = compared.peer {
            tracing::error!(
                mint,
                mint_has = peer.had,
                heard = peer.known,
                "the mint's store was set back: it has forgotten answers. What it answered since, \
                 as far as it is still here, is asked again"
            );
            self.backlog.peer_set_back = Some(peer);
        }
    }

    pub(super) fn take_exchanged(&mut self, msg_type: u8, bytes: &[u8]) {
        if self.exchange.take([&self.keys], msg_type, bytes) == Exchanged::Unauthentic {
            self.counts.unauthentic += 1;
            tracing::debug!(mint = %self.mint.name, msg_type, "a message without effect");
        }
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;
    use rand::rngs::StdRng;
    use winze_transport::SecretKey;

    use super::*;
    use crate::identity::Identity;
    use crate::mint_quote::QuoteRequesterConfig;
    use crate::session::ChannelEvent;

    fn secret(n: u8) -> SecretKey {
        SecretKey::from_bytes(&[n; 32]).unwrap()
    }

    #[test]
    fn a_store_that_failed_once_does_not_keep_the_requester_awake_while_the_mint_says_nothing() {
        let identity = Identity::new("pool", "main", secret(1)).unwrap();
        let mint = "mint/main".parse().unwrap();
        let config = QuoteRequesterConfig::new(mint, secret(2).public_key());
        let rng = Box::new(StdRng::seed_from_u64(1));
        let mut requester = QuoteRequesterCore::new(&identity, config, rng);
        let mut now = Now { ms: 0, unix_ms: 0 };
        requester.take_events([ChannelEvent::Present { instance: 1 }], now);
        assert!(requester.numbers_wanted(now).is_some());
        let failed = StoreError::Aborted {
            reason: "the disk is full".to_owned(),
        };
        requester.numbers_found(Err(failed), now);
        now.ms = requester.next_timeout_ms().unwrap();
        assert!(now.ms >= HOUSEKEEPING_MS);

        now.ms += HOUSEKEEPING_MS;
        assert!(requester.numbers_wanted(now).is_some());
        let found = NumbersFound {
            numbers: StoreNumbers::default(),
            compared: None,
        };
        requester.numbers_found(Ok(found), now);
        // The query waits for the channel, and then for the mint: nothing is left of the failure.
        assert_eq!(requester.next_timeout_ms(), None);
    }
}
