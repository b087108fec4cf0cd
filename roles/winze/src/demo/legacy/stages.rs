//! The stages of moving over: when each has come to its end, and when it has come to a halt. No clock, no process.

use std::time::Duration;

/// Where the deployment is on its way. Each begins with the step that its [`Stage::title`] tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Stage {
    /// The old pool and the old mint, nothing else.
    OldAlone,
    /// Hub and mint run beside them, and have nothing to do; the old mint has ended, and requests pile up in the list.
    MintAway,
    /// The bridge carries the list to the mint.
    Bridged,
    /// The pool has begun with its miners, on both paths, while the old one goes on.
    BothPools,
    /// The old pool has ended.
    BothPaths,
    /// The pool uses the hub alone; the bridge has ended.
    HubAlone,
}

/// What can be counted while it runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Requests that the old pool has pushed.
    pub pushed: u64,
    /// Quotes that the old mint has made.
    pub old_quotes: u64,
    /// Quotes that the mint has made, for whomever.
    pub new_quotes: u64,
    /// Entries in the list.
    pub in_list: u64,
    /// Shares of the miners that were accepted.
    pub accepted: u64,
    /// Quotes that the miners know.
    pub quoted: u64,
}

/// Requests that pass in a stage of the old pool's: enough to see a stream, at its rate three seconds.
pub(super) const ENOUGH: u64 = 300;

impl Stage {
    /// All of them, in their order.
    pub(super) const ALL: [Stage; 6] = [
        Stage::OldAlone,
        Stage::MintAway,
        Stage::Bridged,
        Stage::BothPools,
        Stage::BothPaths,
        Stage::HubAlone,
    ];

    /// What happens, for whoever watches.
    pub(super) fn title(self) -> &'static str {
        match self {
            Stage::OldAlone => "the old pool and the old mint, over a Redis list",
            Stage::MintAway => "the old mint ends; the old pool goes on, and the list grows",
            Stage::Bridged => "the bridge carries the list over the hub to the new mint",
            Stage::BothPools => "the new pool begins beside the old one, on both paths",
            Stage::BothPaths => "the old pool ends; the new one goes on, on both paths",
            Stage::HubAlone => "the new pool goes over to the hub alone; the bridge ends",
        }
    }

    /// Whether it has shown what it is for: `begun` is what was seen before its step, `shares` what the miners are to find in
    /// all.
    pub(super) fn is_done(self, begun: &Seen, now: &Seen, shares: u64) -> bool {
        match self {
            Stage::OldAlone => now.old_quotes >= ENOUGH,
            // Some wait that nobody takes: this is what a change of the mint looks like to the old pool.
            Stage::MintAway => now.pushed >= begun.pushed + ENOUGH && now.in_list > 0,
            Stage::Bridged => {
                let arrived = now.new_quotes - begun.new_quotes.min(now.new_quotes);
                arrived >= begun.in_list + ENOUGH && now.in_list <= ENOUGH
            }
            Stage::BothPools => now.quoted >= shares.div_ceil(3),
            Stage::BothPaths => now.quoted >= (2 * shares).div_ceil(3),
            Stage::HubAlone => now.accepted >= shares && now.quoted >= shares,
        }
    }

    /// What has to rise while it lasts.
    pub(super) fn progress(self, now: &Seen) -> u64 {
        match self {
            Stage::OldAlone => now.old_quotes,
            Stage::MintAway => now.pushed,
            Stage::Bridged => now.new_quotes,
            Stage::BothPools | Stage::BothPaths | Stage::HubAlone => now.accepted + now.quoted,
        }
    }
}

/// Watches a stage: whether it is done, goes on, or has come to a halt.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    stage: Stage,
    shares: u64,
    begun: Seen,
    highest: u64,
    risen_at: Duration,
}

/// How a stage stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has shown what it is for.
    Done,
    /// It goes on.
    GoesOn,
    /// What has to rise has not risen for longer than [`Watch::HALT_AFTER`].
    Halted,
}

impl Watch {
    /// Every stage's counter rises several times a second. A start of a process on a busy machine takes some.
    pub(super) const HALT_AFTER: Duration = Duration::from_secs(30);

    /// Of a stage whose step was done at `now`, which is the time since the run began; `begun` was seen before it.
    pub(super) fn begin(stage: Stage, shares: u64, begun: Seen, now: Duration) -> Watch {
        Watch {
            stage,
            shares,
            begun,
            highest: stage.progress(&begun),
            risen_at: now,
        }
    }

    /// How it stands at `now`.
    pub(super) fn look(&mut self, seen: &Seen, now: Duration) -> Standing {
        if self.stage.is_done(&self.begun, seen, self.shares) {
            return Standing::Done;
        }
        let progress = self.stage.progress(seen);
        if progress > self.highest {
            self.highest = progress;
            self.risen_at = now;
        }
        match now.saturating_sub(self.risen_at) > Self::HALT_AFTER {
            true => Standing::Halted,
            false => Standing::GoesOn,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_bridge_is_not_done_before_what_piled_up_has_gone_through_it() {
        let begun = Seen {
            pushed: 1_000,
            in_list: 400,
            new_quotes: 0,
            ..Seen::default()
        };
        let mut watch = Watch::begin(Stage::Bridged, 50, begun, SECOND);
        let mut seen = Seen {
            pushed: 1_400,
            in_list: 0,
            new_quotes: 400 + ENOUGH - 1,
            ..begun
        };
        assert_eq!(watch.look(&seen, SECOND), Standing::GoesOn);
        seen.new_quotes += 1;
        seen.in_list = ENOUGH + 1;
        assert_eq!(
            watch.look(&seen, SECOND),
            Standing::GoesOn,
            "it does not keep up"
        );
        seen.in_list = 3;
        assert_eq!(watch.look(&seen, SECOND), Standing::Done);
    }

    #[test]
    fn an_old_pool_that_goes_on_pushing_hides_no_bridge_that_stands_still() {
        let begun = Seen::default();
        let mut watch = Watch::begin(Stage::Bridged, 50, begun, SECOND);
        let mut seen = begun;
        let mut now = SECOND;
        while now <= SECOND + Watch::HALT_AFTER {
            seen.pushed += 100;
            seen.in_list += 100;
            assert_eq!(watch.look(&seen, now), Standing::GoesOn);
            now += SECOND;
        }
        assert_eq!(watch.look(&seen, now), Standing::Halted);
    }

    #[test]
    fn a_few_shares_pass_through_every_stage_of_the_pools() {
        for shares in [1, 2, 50] {
            let mut seen = Seen::default();
            for stage in [Stage::BothPools, Stage::BothPaths, Stage::HubAlone] {
                let mut watch = Watch::begin(stage, shares, seen, SECOND);
                while watch.look(&seen, SECOND) == Standing::GoesOn {
                    assert!(seen.quoted < shares, "{shares}: {stage:?}");
                    seen.accepted += 1;
                    seen.quoted += 1;
                }
            }
            assert_eq!(seen.quoted, shares);
        }
    }
}
