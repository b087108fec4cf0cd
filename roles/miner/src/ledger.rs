//! Which submitted share an answer is about.
//!
//! `SubmitShares.Error` names one share. `SubmitShares.Success` does not: it says how many more were
//! accepted and the highest sequence number among them (Sv2 specification 5.3.13), so the ledger
//! works out which ones these are, and waits where a refusal that is still on its way has to tell.

use std::collections::BTreeMap;

use crate::work::Share;

/// The submits of one channel that have no answer yet.
#[derive(Debug, Default)]
pub struct Ledger {
    next_sequence: u32,
    open: BTreeMap<u32, Share>,
    /// Accepted according to the pool, but not yet told apart from others that were refused.
    owed: u64,
    /// Highest sequence number that a success named.
    reached: Option<u32>,
}

/// An answer that cannot be true of what was submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LedgerError {
    /// More shares were accepted than were open.
    #[error(
        "the pool accepted {counted} shares up to sequence number {last_sequence_number}, of which only {open} were open"
    )]
    CountedTooMany {
        /// What the pool counted, together with what it had counted before and is unexplained.
        counted: u64,
        /// What was open up to that number.
        open: u64,
        /// The sequence number of the answer.
        last_sequence_number: u32,
    },
    /// A refusal of a share that is not open.
    #[error("the pool refused sequence number {sequence_number}, which is not open")]
    NotOpen {
        /// The sequence number of the answer.
        sequence_number: u32,
    },
}

impl Ledger {
    /// Gives the share its sequence number and keeps it until it is answered.
    pub fn submit(&mut self, share: Share) -> u32 {
        let sequence_number = self.next_sequence;
        self.next_sequence = self.next_sequence.wrapping_add(1);
        self.open.insert(sequence_number, share);
        sequence_number
    }

    /// Shares without an answer.
    pub fn open_count(&self) -> usize {
        self.open.len()
    }

    /// `SubmitShares.Success`: gives the shares that are now known to be accepted, oldest first.
    ///
    /// # Errors
    /// [`LedgerError::CountedTooMany`]; the shares in question stay open.
    pub fn success(
        &mut self,
        last_sequence_number: u32,
        new_submits_accepted_count: u32,
    ) -> Result<Vec<Share>, LedgerError> {
        let reached = self
            .reached
            .map_or(last_sequence_number, |at| at.max(last_sequence_number));
        let counted = self.owed + u64::from(new_submits_accepted_count);
        let open = self.open.range(..=reached).count() as u64;
        if counted > open {
            return Err(LedgerError::CountedTooMany {
                counted,
                open,
                last_sequence_number,
            });
        }
        self.reached = Some(reached);
        self.owed = counted;
        Ok(self.settle())
    }

    /// `SubmitShares.Error`: gives the refused share, and those of which it is now clear that an
    /// earlier success meant them.
    ///
    /// # Errors
    /// [`LedgerError::NotOpen`].
    pub fn refusal(&mut self, sequence_number: u32) -> Result<(Share, Vec<Share>), LedgerError> {
        let refused = self
            .open
            .remove(&sequence_number)
            .ok_or(LedgerError::NotOpen { sequence_number })?;
        Ok((refused, self.settle()))
    }

    /// Ends the ledger: what was never answered, oldest first.
    pub fn into_unanswered(self) -> impl Iterator<Item = Share> {
        self.open.into_values()
    }

    fn settle(&mut self) -> Vec<Share> {
        let Some(reached) = self.reached else {
            return Vec::new();
        };
        if self.owed == 0 || self.open.range(..=reached).count() as u64 != self.owed {
            return Vec::new();
        }
        self.owed = 0;
        let mut accepted = Vec::new();
        while let Some(entry) = self.open.first_entry() {
            if *entry.key() > reached {
                break;
            }
            accepted.push(entry.remove());
        }
        accepted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(nonce: u32) -> Share {
        Share {
            job_id: 1,
            nonce,
            ntime: 0,
            version: 0,
            extranonce: Vec::new(),
            header_hash: [nonce as u8; 32],
            zero_bits: 0,
            meets_network_target: false,
        }
    }

    fn nonces(shares: &[Share]) -> Vec<u32> {
        shares.iter().map(|share| share.nonce).collect()
    }

    fn with_open(count: u32) -> Ledger {
        let mut ledger = Ledger::default();
        for nonce in 0..count {
            assert_eq!(ledger.submit(share(nonce)), nonce);
        }
        ledger
    }

    #[test]
    fn one_success_accepts_a_batch_and_leaves_what_came_after() {
        let mut ledger = with_open(5);
        assert_eq!(nonces(&ledger.success(2, 3).unwrap()), [0, 1, 2]);
        assert_eq!(nonces(&ledger.success(4, 2).unwrap()), [3, 4]);
        assert_eq!(ledger.open_count(), 0);
    }

    #[test]
    fn a_refusal_that_overtakes_its_batch_and_one_that_comes_late_are_both_told_apart() {
        let mut ledger = with_open(4);
        let (refused, accepted) = ledger.refusal(1).unwrap();
        assert_eq!((refused.nonce, accepted.len()), (1, 0));
        assert!(ledger.success(3, 2).unwrap().is_empty(), "0, 2 or 3?");
        let (refused, accepted) = ledger.refusal(2).unwrap();
        assert_eq!(refused.nonce, 2);
        assert_eq!(nonces(&accepted), [0, 3], "now it is clear");
    }

    #[test]
    fn answers_that_cannot_be_true_change_nothing() {
        let mut ledger = with_open(2);
        assert!(matches!(
            ledger.success(1, 3),
            Err(LedgerError::CountedTooMany {
                counted: 3,
                open: 2,
                ..
            })
        ));
        assert_eq!(
            ledger.refusal(7),
            Err(LedgerError::NotOpen { sequence_number: 7 })
        );
        assert_eq!(nonces(&ledger.success(1, 2).unwrap()), [0, 1]);
        assert!(matches!(
            ledger.refusal(0),
            Err(LedgerError::NotOpen { .. })
        ));
    }

    #[test]
    fn what_was_never_answered_is_handed_back() {
        let mut ledger = with_open(3);
        ledger.success(0, 1).unwrap();
        let lost: Vec<Share> = ledger.into_unanswered().collect();
        assert_eq!(nonces(&lost), [1, 2]);
    }
}
