//! Rules that a run breaks on purpose: each must be noticed.

macro_rules! sabotages {
    ($($(#[$meta:meta])* $variant:ident = $name:literal,)+) => {
        /// A rule that is broken for a run.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Sabotage { $($(#[$meta])* $variant,)+ }

        impl Sabotage {
            /// Every one.
            pub const ALL: &'static [Sabotage] = &[$(Sabotage::$variant,)+];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Sabotage::$variant => $name,)+ }
            }
        }
    };
}

sabotages! {
    /// The mint answers, and commits later.
    AnswerBeforeCommit = "answer-before-commit",
    /// A request is removed although its answer's effect is not there.
    RemoveBeforeEffect = "remove-before-effect",
    /// What may have been lost is not sent again.
    ForgetToResend = "forget-to-resend",
    /// What is sent again has another key.
    ResendUnderNewKey = "resend-under-new-key",
    /// The older connection of an identity goes on.
    DeliverAfterTakeover = "deliver-after-takeover",
    /// The hub sends more than a client takes.
    IgnoreCredit = "ignore-credit",
    /// One channel is served while others wait.
    StarveChannel = "starve-channel",
    /// What does not verify has effects.
    SkipAuthenticator = "skip-authenticator",
    /// An end is not told that its far end went or changed.
    NoNoticeOfChange = "no-notice-of-change",
    /// The same key is answered alike for other content.
    AcceptOtherContent = "accept-other-content",
    /// A mint whose record was set back issues as before.
    IssueWhenSetBack = "issue-when-set-back",
    /// What was told of a store before is believed when it is told again.
    TrustStaleState = "trust-stale-state",
    /// What is for one member of a group goes to another.
    WrongMember = "wrong-member",
    /// A pool's store forgets its last requests in a crash.
    LoseTail = "lose-tail",
}

#[cfg(feature = "sabotage")]
impl Sabotage {
    /// Breaks the rule, for this thread.
    pub fn apply(self) {
        use winze_client::sabotage::Rule as Client;
        use winze_hub::sabotage::Rule as Hub;
        let (client, hub) = match self {
            Sabotage::AnswerBeforeCommit => (Some(Client::RecordBeforeAnswer), None),
            Sabotage::LoseTail => (Some(Client::CommittedStays), None),
            Sabotage::IssueWhenSetBack => (Some(Client::NothingNewWhenSetBack), None),
            Sabotage::TrustStaleState => (Some(Client::FreshQueries), None),
            Sabotage::RemoveBeforeEffect => (Some(Client::EffectWithRemoval), None),
            Sabotage::ForgetToResend => (Some(Client::Resend), None),
            Sabotage::ResendUnderNewKey => (Some(Client::SameKeyAgain), None),
            Sabotage::SkipAuthenticator => (Some(Client::Authenticator), None),
            Sabotage::AcceptOtherContent => (Some(Client::ConflictOnOtherContent), None),
            Sabotage::DeliverAfterTakeover => (None, Some(Hub::OneConnectionPerIdentity)),
            Sabotage::IgnoreCredit => (None, Some(Hub::Credit)),
            Sabotage::StarveChannel => (None, Some(Hub::Turns)),
            Sabotage::WrongMember => (None, Some(Hub::MemberAlone)),
            Sabotage::NoNoticeOfChange => (None, Some(Hub::ChangeIsTold)),
        };
        winze_client::sabotage::break_rule(client);
        winze_hub::sabotage::break_rule(hub);
    }
}

#[cfg(not(feature = "sabotage"))]
impl Sabotage {
    /// This build breaks no rule, and the command says so.
    pub fn apply(self) {}
}

/// All rules hold again, for this thread.
pub fn mend() {
    #[cfg(feature = "sabotage")]
    {
        winze_client::sabotage::break_rule(None);
        winze_hub::sabotage::break_rule(None);
    }
}
