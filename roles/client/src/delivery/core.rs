use std::collections::{BTreeMap, BTreeSet};

use rand::RngCore;

use crate::backoff::{backoff_ms, with_jitter_ms};
use crate::sabotage::{Rule, is_broken};
use crate::session::Credit;

/// The settings of a schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Schedule {
    /// Requests sent and not answered, at most.
    pub window: usize,
    /// Requests held, at most: those above, and those that wait for credit or for a delay to end.
    pub held_max: usize,
    /// The first time-out without progress, in milliseconds.
    pub timeout_ms: u64,
    /// To which it grows, in milliseconds; also after how long a request is sent again while others
    /// are answered, and the longest delay after an answer that could not be recorded.
    pub timeout_max_ms: u64,
    /// Requests that one time-out sends again, at most.
    pub resend_max: usize,
    /// The first delay of a request that was put off, in milliseconds, and the shortest that a peer
    /// may ask for.
    pub delay_ms: u64,
    /// To which it grows, in milliseconds, and the longest that a peer may ask for.
    pub delay_max_ms: u64,
    /// After how many [`RejectKind::Lasting`] rejects a request is to be parked.
    pub rejects_max: u32,
}

/// What a reject says about trying again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RejectKind {
    /// The far end was not there: presence tells when to try again.
    Passing,
    /// The hub does not take this message; a later try may find another hub or configuration.
    Lasting,
}

/// What became of a rejected request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// Which one.
    pub sequence: u64,
    /// It was rejected too often: whoever holds the core is to park it and
    /// [`forget`](RequesterCore::forget) it.
    pub park: bool,
}

/// Decides which request is sent when. Requests are named by their numbers; their bytes, keys and
/// proofs are the shell's.
///
/// A request that was [`hold`](Self::hold)ed leaves only by [`committed`](Self::committed) or
/// [`forget`](Self::forget): until then it is due, sent and not answered, put off, or its answer is
/// being recorded.
pub struct RequesterCore {
    schedule: Schedule,
    held: BTreeMap<u64, Held>,
    due: BTreeSet<u64>,
    unanswered: BTreeSet<u64>,
    delayed: BTreeSet<(u64, u64)>,
    /// Requests by the ordinal of their latest sending on the channel as it is now.
    by_ordinal: BTreeMap<u64, u64>,
    instance: Option<u64>,
    /// When to give up waiting for progress; `None` while nothing is unanswered.
    give_up_at_ms: Option<u64>,
    /// Time-outs since the last progress.
    timeouts: u32,
    /// When the far end was last found to be at work again, after time-outs.
    at_work_since_ms: u64,
}

struct Held {
    payload_bytes: u64,
    state: State,
    /// How often it was put off since it was taken up: a delay that nobody asked for grows with it.
    put_offs: u32,
    lasting_rejects: u32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Due,
    Unanswered {
        ordinal: u64,
        sent_at_ms: u64,
    },
    /// `until_presence`: also over when the far end is there anew.
    Delayed {
        until_ms: u64,
        until_presence: bool,
    },
    Recording,
}

impl RequesterCore {
    /// Holds nothing, and knows of no far end.
    pub fn new(schedule: Schedule) -> RequesterCore {
        RequesterCore {
            schedule,
            held: BTreeMap::new(),
            due: BTreeSet::new(),
            unanswered: BTreeSet::new(),
            delayed: BTreeSet::new(),
            by_ordinal: BTreeMap::new(),
            instance: None,
            give_up_at_ms: None,
            timeouts: 0,
            at_work_since_ms: 0,
        }
    }

    // ---- getters

    /// How many more requests may be held.
    pub fn room(&self) -> usize {
        self.schedule.held_max.saturating_sub(self.held.len())
    }

    /// How many requests are held.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    /// Whether this request is held.
    pub fn holds(&self, sequence: u64) -> bool {
        self.held.contains_key(&sequence)
    }

    /// Requests sent and not answered.
    pub fn unanswered(&self) -> usize {
        self.unanswered.len()
    }

    /// Whether the far end is there.
    pub fn is_peer_present(&self) -> bool {
        self.instance.is_some()
    }

    /// When [`Self::handle_timeout`] is to be called next.
    pub fn next_timeout_ms(&self) -> Option<u64> {
        let delay = self.delayed.first().map(|(until_ms, _)| *until_ms);
        let overdue = self.oldest_unanswered().map(|(at_ms, _)| at_ms);
        delay
            .into_iter()
            .chain(self.give_up_at_ms)
            .chain(overdue)
            .min()
    }

    // ---- requests

    /// Takes up a waiting request; `payload_bytes` is what it costs in credit. One that is held
    /// already, or for which there is no [`room`](Self::room), is left alone.
    pub fn hold(&mut self, sequence: u64, payload_bytes: u64) -> bool {
        if self.room() == 0 || self.holds(sequence) {
            return false;
        }
        self.held.insert(
            sequence,
            Held {
                payload_bytes,
                state: State::Due,
                put_offs: 0,
                lasting_rejects: 0,
            },
        );
        self.due.insert(sequence);
        true
    }

    /// The request to send now, within `credit` and the window: the oldest that is due.
    pub fn next_to_send(&self, credit: Credit) -> Option<u64> {
        self.all_to_send(credit).next()
    }

    /// That one, and those that are to follow it once each has been sent.
    pub fn all_to_send(&self, credit: Credit) -> impl Iterator<Item = u64> {
        let room = match self.instance {
            Some(_) => self.schedule.window.saturating_sub(self.unanswered.len()),
            None => 0,
        };
        let messages = usize::try_from(credit.messages).unwrap_or(usize::MAX);
        let mut bytes_left = credit.bytes;
        let is_within = move |sequence: &u64| {
            let payload_bytes = self.held.get(sequence).map(|held| held.payload_bytes);
            let left = payload_bytes.and_then(|bytes| bytes_left.checked_sub(bytes));
            bytes_left = left.unwrap_or(0);
            left.is_some()
        };
        let due = self.due.iter().copied().take(room.min(messages));
        due.take_while(is_within)
    }

    /// It was sent, as the channel's message with this ordinal.
    pub fn sent(&mut self, sequence: u64, ordinal: u64, now_ms: u64) {
        if !self.due.contains(&sequence) {
            return;
        }
        let sent_at_ms = now_ms;
        self.set_state(
            sequence,
            State::Unanswered {
                ordinal,
                sent_at_ms,
            },
        );
        if self.give_up_at_ms.is_none() {
            self.give_up_at_ms = Some(now_ms.saturating_add(self.schedule.timeout_ms));
        }
    }

    /// Its answer has come and is authentic. True where it is to be recorded now: until
    /// [`committed`](Self::committed) or [`not_committed`](Self::not_committed) the request is
    /// neither sent nor answered again.
    pub fn answered(&mut self, sequence: u64, now_ms: u64) -> bool {
        match self.held.get(&sequence).map(|held| held.state) {
            None | Some(State::Recording) => false,
            Some(_) => {
                self.set_state(sequence, State::Recording);
                self.progress(now_ms);
                true
            }
        }
    }

    /// The answer is on disk.
    pub fn committed(&mut self, sequence: u64) {
        self.forget(sequence);
    }

    /// The answer could not be recorded: it is asked for again after a delay.
    pub fn not_committed(&mut self, sequence: u64, now_ms: u64, rng: &mut dyn RngCore) {
        // The trouble is our own: nobody says when it is over, and what has an answer is not to
        // wait for as long as what was refused.
        let delay_max_ms = self.schedule.timeout_max_ms;
        let pause_ms = self.own_pause_ms(sequence, delay_max_ms, rng);
        self.delay(sequence, pause_ms, false, now_ms);
    }

    /// The far end puts it off; `retry_after_ms` is what it asks for, 0 where it leaves that to us.
    pub fn put_off(
        &mut self,
        sequence: u64,
        retry_after_ms: u64,
        now_ms: u64,
        rng: &mut dyn RngCore,
    ) -> bool {
        match self.held.get(&sequence).map(|held| held.state) {
            None | Some(State::Recording) => return false,
            Some(_) => {}
        }
        let (delay_ms, delay_max_ms) = (self.schedule.delay_ms, self.schedule.delay_max_ms);
        let pause_ms = match retry_after_ms {
            0 => self.own_pause_ms(sequence, delay_max_ms, rng),
            // Whoever names a delay knows its own trouble: growing it would keep requests away for
            // long after that is over.
            _ => with_jitter_ms(retry_after_ms.max(delay_ms).min(delay_max_ms), rng),
        };
        self.delay(sequence, pause_ms, false, now_ms);
        self.progress(now_ms);
        true
    }

    /// The hub has rejected the message with this ordinal. `None` where that says nothing about
    /// any request: it was sent again since, or answered.
    pub fn rejected(
        &mut self,
        ordinal: u64,
        kind: RejectKind,
        now_ms: u64,
        rng: &mut dyn RngCore,
    ) -> Option<Rejected> {
        let sequence = *self.by_ordinal.get(&ordinal)?;
        let rejects_max = self.schedule.rejects_max;
        let held = self.held.get_mut(&sequence)?;
        if kind == RejectKind::Lasting {
            held.lasting_rejects += 1;
        }
        let park = held.lasting_rejects >= rejects_max;
        let pause_ms = self.own_pause_ms(sequence, self.schedule.delay_max_ms, rng);
        self.delay(sequence, pause_ms, kind == RejectKind::Passing, now_ms);
        Some(Rejected { sequence, park })
    }

    /// Any message without an answer may have been rejected.
    pub fn rejects_overflowed(&mut self, now_ms: u64, rng: &mut dyn RngCore) {
        for sequence in std::mem::take(&mut self.unanswered) {
            let pause_ms = self.own_pause_ms(sequence, self.schedule.delay_max_ms, rng);
            self.delay(sequence, pause_ms, true, now_ms);
        }
    }

    /// Lets go of a request: it was parked, or is not waiting any longer.
    pub fn forget(&mut self, sequence: u64) {
        self.leave_state(sequence);
        self.held.remove(&sequence);
        self.stop_waiting_when_idle();
    }

    // ---- the channel

    /// What is known of the far end. When it is another instance than before, or away, what was
    /// sent and has no answer is due again.
    pub fn presence(&mut self, instance: Option<u64>) {
        if instance == self.instance {
            return;
        }
        self.instance = instance;
        if is_broken(Rule::Resend) {
            return;
        }
        let again = std::mem::take(&mut self.unanswered);
        for sequence in again {
            self.set_state(sequence, State::Due);
        }
        if instance.is_some() {
            let over: Vec<u64> = self
                .held
                .iter()
                .filter(|(_, held)| {
                    matches!(
                        held.state,
                        State::Delayed {
                            until_presence: true,
                            ..
                        }
                    )
                })
                .map(|(sequence, _)| *sequence)
                .collect();
            for sequence in over {
                self.set_state(sequence, State::Due);
            }
        }
        self.timeouts = 0;
        self.give_up_at_ms = None;
    }

    /// The channel is gone; its ordinals will start anew.
    pub fn lost(&mut self) {
        self.presence(None);
        self.by_ordinal.clear();
    }

    /// Time has passed: delays end, and without any progress the oldest unanswered requests are due
    /// again. True where it was for lack of progress. While there is progress, a request that was
    /// passed over for the longest time-out is due again alone: it alone was lost.
    pub fn handle_timeout(&mut self, now_ms: u64, rng: &mut dyn RngCore) -> bool {
        while let Some((until_ms, sequence)) = self.delayed.first().copied()
            && until_ms <= now_ms
        {
            self.set_state(sequence, State::Due);
        }
        if is_broken(Rule::Resend) {
            self.give_up_at_ms = None;
            return false;
        }
        while let Some((at_ms, sequence)) = self.oldest_unanswered()
            && at_ms <= now_ms
        {
            self.set_state(sequence, State::Due);
            self.stop_waiting_when_idle();
        }
        if self.give_up_at_ms.is_none_or(|at_ms| now_ms < at_ms) {
            return false;
        }
        let oldest: Vec<u64> = self
            .unanswered
            .iter()
            .take(self.schedule.resend_max)
            .copied()
            .collect();
        for sequence in oldest {
            self.set_state(sequence, State::Due);
        }
        self.timeouts = self.timeouts.saturating_add(1);
        // Half of a back-off is its shortest: twice the first time-out, and so never below it.
        let pause_ms = backoff_ms(
            self.timeouts.saturating_add(1),
            self.schedule.timeout_ms,
            self.schedule.timeout_max_ms,
            rng,
        );
        self.give_up_at_ms = Some(now_ms.saturating_add(pause_ms));
        true
    }

    // ---- inside

    /// The request that was sent first and has no answer, with the time at which it has waited for
    /// too long although others were answered; `None` while nothing is.
    fn oldest_unanswered(&self) -> Option<(u64, u64)> {
        if self.timeouts > 0 {
            return None;
        }
        // Ordinals rise with the time of sending.
        let sequence = *self.by_ordinal.first_key_value()?.1;
        match self.held.get(&sequence)?.state {
            State::Unanswered { sent_at_ms, .. } => {
                let since_ms = sent_at_ms.max(self.at_work_since_ms);
                let at_ms = since_ms.saturating_add(self.schedule.timeout_max_ms);
                Some((at_ms, sequence))
            }
            _ => None,
        }
    }

    /// The far end is at work: patience starts anew.
    fn progress(&mut self, now_ms: u64) {
        if self.timeouts > 0 {
            self.at_work_since_ms = now_ms;
        }
        self.timeouts = 0;
        self.give_up_at_ms = Some(now_ms.saturating_add(self.schedule.timeout_ms));
        self.stop_waiting_when_idle();
    }

    /// With nothing sent and unanswered there is nothing to be impatient about. What a time-out has
    /// made due still counts as waited for until it is sent.
    fn stop_waiting_when_idle(&mut self) {
        if self.unanswered.is_empty() && (self.timeouts == 0 || self.due.is_empty()) {
            self.give_up_at_ms = None;
        }
    }

    /// A delay that nobody asked for: it doubles each time, up to `delay_max_ms`.
    fn own_pause_ms(&mut self, sequence: u64, delay_max_ms: u64, rng: &mut dyn RngCore) -> u64 {
        let put_offs = self.held.get_mut(&sequence).map_or(0, |held| {
            held.put_offs = held.put_offs.saturating_add(1);
            held.put_offs - 1
        });
        backoff_ms(put_offs, self.schedule.delay_ms, delay_max_ms, rng)
    }

    fn delay(&mut self, sequence: u64, pause_ms: u64, until_presence: bool, now_ms: u64) {
        let until_ms = now_ms.saturating_add(pause_ms);
        self.set_state(
            sequence,
            State::Delayed {
                until_ms,
                until_presence,
            },
        );
        self.stop_waiting_when_idle();
    }

    fn set_state(&mut self, sequence: u64, state: State) {
        self.leave_state(sequence);
        let Some(held) = self.held.get_mut(&sequence) else {
            return;
        };
        held.state = state;
        match state {
            State::Due => {
                self.due.insert(sequence);
            }
            State::Unanswered { ordinal, .. } => {
                self.unanswered.insert(sequence);
                self.by_ordinal.insert(ordinal, sequence);
            }
            State::Delayed { until_ms, .. } => {
                self.delayed.insert((until_ms, sequence));
            }
            State::Recording => {}
        }
    }

    fn leave_state(&mut self, sequence: u64) {
        let Some(held) = self.held.get(&sequence) else {
            return;
        };
        match held.state {
            State::Due => {
                self.due.remove(&sequence);
            }
            State::Unanswered { ordinal, .. } => {
                self.unanswered.remove(&sequence);
                self.by_ordinal.remove(&ordinal);
            }
            State::Delayed { until_ms, .. } => {
                self.delayed.remove(&(until_ms, sequence));
            }
            State::Recording => {}
        }
    }
}
