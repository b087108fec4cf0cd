//! What goes wrong in a run, kind by kind. Each kind has a source of chance of its own, so that a
//! run without one of them is the same run otherwise.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

macro_rules! faults {
    ($($(#[$meta:meta])* $variant:ident = $name:literal, 1 in $steps:literal;)+) => {
        /// A kind of fault.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Fault { $($(#[$meta])* $variant,)+ }

        impl Fault {
            /// Every kind.
            pub const ALL: &'static [Fault] = &[$(Fault::$variant,)+];

            /// Its name in reports.
            pub fn name(self) -> &'static str {
                match self { $(Fault::$variant => $name,)+ }
            }

            /// In how many steps, or for messages in how many of them, it happens once.
            fn one_in(self) -> u32 {
                match self { $(Fault::$variant => $steps,)+ }
            }
        }
    };
}

faults! {
    /// A message takes long.
    Delay = "delay", 1 in 25;
    /// A connection breaks, and both ends notice.
    Disconnect = "disconnect", 1 in 300;
    /// A connection swallows everything, and neither end notices.
    HalfOpen = "half-open connection", 1 in 900;
    /// A pool is killed.
    CrashPool = "crash of a pool", 1 in 400;
    /// The mint is killed.
    CrashMint = "crash of the mint", 1 in 500;
    /// The hub is killed.
    CrashHub = "crash of the hub", 1 in 700;
    /// The hub is stopped in good order, and started again.
    StopHub = "stop of the hub", 1 in 1500;
    /// A disk takes long.
    SlowDisk = "slow disk", 1 in 150;
    /// A disk takes nothing.
    FullDisk = "full disk", 1 in 150;
    /// The effect of an answer cannot be written.
    BrokenEffect = "effect that fails", 1 in 60;
    /// A party takes nothing from its socket for a while.
    SlowReader = "reader that rests", 1 in 120;
    /// A connection that breaks the rules.
    HostilePeer = "hostile peer", 1 in 70;
    /// A second instance of a pool.
    Twin = "second instance", 1 in 700;
    /// More strangers than the hub has places.
    Crowd = "crowd of strangers", 1 in 1500;
    /// The hub's list loses an entry for a while.
    StrikeOff = "peer struck off", 1 in 700;
    /// A member of the group, or its opener, is killed.
    CrashMember = "crash of a group's member or opener", 1 in 350;
    /// A member of the group takes nothing off its channels.
    RestingMember = "group member that rests", 1 in 120;
    /// The group has other members for a while.
    Regroup = "change of a group", 1 in 350;
    /// A pool's store is an older one when it starts again.
    RestoredPool = "restored backup of a pool", 1 in 900;
    /// The mint's record of answers, its quotes, or both are older ones when it starts again.
    RestoredMint = "restored backup of the mint", 1 in 900;
    /// A hostile hub keeps a message to itself.
    Withheld = "message withheld", 1 in 40;
    /// A hostile hub alters a message.
    Altered = "message altered", 1 in 40;
    /// A hostile hub sends a message again, perhaps on another channel.
    Replayed = "message replayed", 1 in 60;
    /// A hostile hub says what is not true.
    Invented = "message invented", 1 in 40;
    /// A hostile hub tells of a store what was told of it before.
    OldState = "state of a store replaced by an older one", 1 in 3;
}

/// Which kinds happen at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Allowed(u32);

impl Allowed {
    /// All of them.
    pub fn all() -> Allowed {
        Allowed(u32::MAX)
    }

    /// All of these but one.
    pub fn without(self, fault: Fault) -> Allowed {
        Allowed(self.0 & !(1 << fault as u32))
    }

    fn has(self, fault: Fault) -> bool {
        self.0 & (1 << fault as u32) != 0
    }
}

/// The chances of a run.
pub struct Chances {
    allowed: Allowed,
    by_kind: Vec<ChaCha8Rng>,
    /// How often each kind has happened, in the order of [`Fault::ALL`].
    pub counts: Vec<u64>,
}

impl Chances {
    /// Those of a seed.
    pub fn new(seed: u64, allowed: Allowed) -> Chances {
        let stream = |kind: usize| {
            let mut rng = ChaCha8Rng::seed_from_u64(seed);
            rng.set_stream(kind as u64 + 1);
            rng
        };
        Chances {
            allowed,
            by_kind: (0..Fault::ALL.len()).map(stream).collect(),
            counts: vec![0; Fault::ALL.len()],
        }
    }

    /// Whether a fault of this kind happens now; its own source of chance for the rest of it.
    pub fn draw(&mut self, fault: Fault) -> Option<&mut ChaCha8Rng> {
        let rng = self.by_kind.get_mut(fault as usize)?;
        let happens = rng.gen_ratio(1, fault.one_in());
        if !happens || !self.allowed.has(fault) {
            return None;
        }
        if let Some(count) = self.counts.get_mut(fault as usize) {
            *count += 1;
        }
        Some(rng)
    }
}
