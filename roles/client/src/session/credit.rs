//! Credit of a channel, in both directions (specification, section 3.3): totals since the channel
//! id was given, in messages and in payload bytes (the channel id counts).

/// An amount of credit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Credit {
    /// Messages.
    pub messages: u64,
    /// Bytes of payload.
    pub bytes: u64,
}

impl Credit {
    /// What one message of so many bytes of payload counts.
    pub(super) fn one(bytes: u64) -> Credit {
        Credit { messages: 1, bytes }
    }
}

/// What we may send, as the hub says.
#[derive(Clone, Copy, Debug)]
pub(super) struct SendWindow {
    total: Credit,
    spent: Credit,
}

impl SendWindow {
    pub(super) fn new(total: Credit) -> SendWindow {
        SendWindow {
            total,
            spent: Credit::default(),
        }
    }

    /// Totals never fall: a smaller one than before is ignored.
    pub(super) fn raise(&mut self, total: Credit) {
        self.total.messages = self.total.messages.max(total.messages);
        self.total.bytes = self.total.bytes.max(total.bytes);
    }

    pub(super) fn left(&self) -> Credit {
        Credit {
            messages: self.total.messages.saturating_sub(self.spent.messages),
            bytes: self.total.bytes.saturating_sub(self.spent.bytes),
        }
    }

    /// Spends a message with so many bytes of payload and gives its ordinal; `None`, with nothing
    /// spent, where it is more than what is left.
    pub(super) fn spend(&mut self, payload_bytes: u64) -> Option<u64> {
        let left = self.left();
        if left.messages == 0 || left.bytes < payload_bytes {
            return None;
        }
        self.count(Credit::one(payload_bytes));
        Some(self.spent.messages)
    }

    /// Counts what was sent to all members of a group, whether or not there is credit left for this one.
    pub(super) fn count(&mut self, sent: Credit) {
        self.spent.messages = self.spent.messages.saturating_add(sent.messages);
        self.spent.bytes = self.spent.bytes.saturating_add(sent.bytes);
    }

    /// What was spent since the total was `earlier`; `None` where it never was that much.
    pub(super) fn spent_since(&self, earlier: Credit) -> Option<Credit> {
        Some(Credit {
            messages: self.spent.messages.checked_sub(earlier.messages)?,
            bytes: self.spent.bytes.checked_sub(earlier.bytes)?,
        })
    }

    /// The ordinal of the last message.
    pub(super) fn last_ordinal(&self) -> u64 {
        self.spent.messages
    }
}

/// What the hub may send to us, as we say.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReceiveWindow {
    window: Credit,
    granted: Credit,
    received: Credit,
    taken: Credit,
}

/// More came than was granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exceeded;

impl ReceiveWindow {
    /// `window` is what may wait. It is granted at once.
    ///
    /// In bytes it is to be twice the largest payload at least: credit is raised when half of the
    /// window was used, and the other half must hold any message.
    pub(super) fn new(window: Credit) -> ReceiveWindow {
        ReceiveWindow {
            window,
            granted: window,
            received: Credit::default(),
            taken: Credit::default(),
        }
    }

    pub(super) fn receive(&mut self, payload_bytes: u64) -> Result<(), Exceeded> {
        let received = Credit {
            messages: self.received.messages.saturating_add(1),
            bytes: self.received.bytes.saturating_add(payload_bytes),
        };
        if received.messages > self.granted.messages || received.bytes > self.granted.bytes {
            return Err(Exceeded);
        }
        self.received = received;
        Ok(())
    }

    /// A received message has left our hands.
    pub(super) fn take(&mut self, payload_bytes: u64) {
        self.taken.messages += 1;
        self.taken.bytes += payload_bytes;
    }

    /// Whether half of a window can be granted anew.
    pub(super) fn is_due(&self) -> bool {
        let next = self.next();
        next.messages - self.granted.messages >= (self.window.messages / 2).max(1)
            || next.bytes - self.granted.bytes >= (self.window.bytes / 2).max(1)
    }

    /// Grants a full window beyond what was taken and gives the new totals.
    pub(super) fn grant(&mut self) -> Credit {
        self.granted = self.next();
        self.granted
    }

    fn next(&self) -> Credit {
        Credit {
            messages: self.taken.messages.saturating_add(self.window.messages),
            bytes: self.taken.bytes.saturating_add(self.window.bytes),
        }
    }
}
