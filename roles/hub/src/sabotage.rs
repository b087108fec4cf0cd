//! Rules that the simulator can break on purpose, to show that it would notice. In a build without the feature
//! `sabotage` every rule holds, and there is no switch.

/// A rule of this crate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    /// A newer connection of an identity ends the older one.
    OneConnectionPerIdentity,
    /// A client gets no more than it has given credit for.
    Credit,
    /// Channels take turns.
    Turns,
    /// An end is told when its far end changes.
    ChangeIsTold,
    /// What is for one member of a group goes to no other.
    MemberAlone,
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
