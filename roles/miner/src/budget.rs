//! How many shares may still be submitted, shared by any number of miners.
//!
//! A miner takes a slot before it submits. An accepted share uses its slot up; a refused one gives
//! it back. A share whose answer was lost gives its slot back too and is counted apart: whoever
//! asked for N accepted shares gets N that the pool is known to have accepted, and a list of those
//! of which nobody can tell.

use std::sync::Arc;

use tokio::sync::watch;

/// A shared allowance of shares. Clones share one allowance.
#[derive(Clone, Debug)]
pub struct ShareBudget {
    state: Arc<watch::Sender<BudgetState>>,
}

/// Where a budget stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BudgetState {
    /// Shares that were asked for; `None` for no end.
    pub asked: Option<u64>,
    /// Submitted and not yet answered.
    pub reserved: u64,
    /// Accepted by the pool.
    pub accepted: u64,
    /// Refused by the pool.
    pub refused: u64,
    /// Submitted, but the connection went before the answer came.
    pub in_doubt: u64,
}

impl BudgetState {
    /// Whether a further share may be submitted now.
    pub fn has_room(&self) -> bool {
        self.asked
            .is_none_or(|asked| self.accepted.saturating_add(self.reserved) < asked)
    }

    /// Whether everything that was asked for has been accepted.
    pub fn is_done(&self) -> bool {
        self.asked.is_some_and(|asked| self.accepted >= asked)
    }
}

impl ShareBudget {
    /// Exactly this many accepted shares.
    pub fn exactly(shares: u64) -> Self {
        Self::with(Some(shares))
    }

    /// As many as are found until the miner is stopped.
    pub fn unlimited() -> Self {
        Self::with(None)
    }

    fn with(asked: Option<u64>) -> Self {
        let (state, _) = watch::channel(BudgetState {
            asked,
            reserved: 0,
            accepted: 0,
            refused: 0,
            in_doubt: 0,
        });
        ShareBudget {
            state: Arc::new(state),
        }
    }

    /// Where it stands now.
    pub fn state(&self) -> BudgetState {
        *self.state.borrow()
    }

    /// Follows every change.
    pub fn watch(&self) -> watch::Receiver<BudgetState> {
        self.state.subscribe()
    }

    /// Waits until everything that was asked for is accepted; for ever where there is no end.
    pub async fn done(&self) {
        // The sender lives as long as `self`, so waiting cannot fail.
        let _ = self.watch().wait_for(BudgetState::is_done).await;
    }

    /// Takes a slot for one submit; false where there is none.
    pub(crate) fn reserve(&self) -> bool {
        let mut taken = false;
        self.state.send_if_modified(|state| {
            taken = state.has_room();
            if taken {
                state.reserved += 1;
            }
            taken
        });
        taken
    }

    pub(crate) fn accepted(&self) {
        self.settle(|state| state.accepted += 1);
    }

    pub(crate) fn refused(&self) {
        self.settle(|state| state.refused += 1);
    }

    pub(crate) fn in_doubt(&self) {
        self.settle(|state| state.in_doubt += 1);
    }

    fn settle(&self, count: impl FnOnce(&mut BudgetState)) {
        self.state.send_modify(|state| {
            state.reserved = state.reserved.saturating_sub(1);
            count(state);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_miners_never_submit_more_than_was_asked_and_lost_answers_are_made_good() {
        let alice = ShareBudget::exactly(2);
        let bob = alice.clone();
        assert!(alice.reserve() && bob.reserve());
        assert!(!alice.reserve(), "both slots are on their way to the pool");

        alice.accepted();
        bob.in_doubt();
        assert!(bob.reserve(), "a lost answer gives the slot back");
        bob.refused();
        assert!(bob.reserve(), "so does a refusal");
        bob.accepted();
        assert!(!alice.reserve());

        let state = alice.state();
        assert!(state.is_done());
        assert_eq!((state.accepted, state.refused, state.in_doubt), (2, 1, 1));
        assert_eq!(state.reserved, 0);
    }
}
