//! Rules that the simulator can break on purpose, to show that it would notice. In a build without
//! the feature `sabotage` every rule holds, and there is no switch.

/// A rule of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A request is marked answered only together with its answer's effect.
    EffectWithRemoval,
    /// What may have been lost is sent again.
    Resend,
    /// What is sent again is the same, byte for byte.
    SameKeyAgain,
    /// What does not verify has no effect.
    Authenticator,
    /// A key that was used with other content is a conflict.
    ConflictOnOtherContent,
    /// An answer is on disk before it is sent.
    RecordBeforeAnswer,
    /// What was committed to an outbox is there after a restart.
    CommittedStays,
    /// A record that was set back, or may have been, has no new effects.
    NothingNewWhenSetBack,
    /// Every question how far a store has come is another one, so that no old answer fits.
    FreshQueries,
}

#[cfg(feature = "sabotage")]
thread_local! {
    static BROKEN: std::cell::Cell<Option<Rule>> = const { std::cell::Cell::new(None) };
}

/// Breaks a rule for whatever this thread does from now on; `None`: all rules hold.
#[cfg(feature = "sabotage")]
pub fn break_rule(rule: Option<Rule>) {
    BROKEN.with(|broken| broken.set(rule));
}

#[cfg(feature = "sabotage")]
pub(crate) fn is_broken(rule: Rule) -> bool {
    BROKEN.with(std::cell::Cell::get) == Some(rule)
}

#[cfg(not(feature = "sabotage"))]
pub(crate) const fn is_broken(_: Rule) -> bool {
    false
}
