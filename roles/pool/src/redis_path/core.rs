//! What is pushed when, and what is looked for, without IO.

use winze_client::delivery::Now;

use crate::limits::{
    REDIS_LOOK_PAUSE_MS, REDIS_PUSH_AGAIN_MS_MAX, REDIS_PUSH_PAUSE_MS, REDIS_PUSHES_MAX,
    REDIS_STORE_PAUSE_MS, REDIS_TICK_MS,
};

/// When requests are pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Only while the hub, or the mint behind it, has been away for so long, in milliseconds; `None`: always.
    pub while_away_for_ms: Option<u64>,
    /// After how long without a quote a request is pushed again for the first time, in milliseconds; then each time after twice
    /// as long, up to [`REDIS_PUSH_AGAIN_MS_MAX`].
    pub push_again_after_ms: u64,
}

impl Rules {
    /// How long a request waits after it was pushed so often.
    fn pause_ms(&self, times: u32) -> u64 {
        let doublings = times.saturating_sub(1).min(63);
        let pause_ms = self.push_again_after_ms.saturating_mul(1 << doublings);
        pause_ms.min(REDIS_PUSH_AGAIN_MS_MAX.max(self.push_again_after_ms))
    }
}

/// What to do now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Push waiting requests with numbers above this one, as [`RedisPathCore::select`] picks them.
    Push {
        /// The number.
        after: u64,
    },
    /// Look for the quotes of pushed requests with numbers above this one.
    Look {
        /// The number.
        after: u64,
    },
    /// Nothing before this moment, or before something happens.
    Wait {
        /// On the clock that is never set, in milliseconds.
        until_ms: u64,
    },
}

/// A waiting request, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Its number.
    pub sequence: u64,
    /// The last time that it was pushed.
    pub pushed: Option<SeenPush>,
    /// It can be read, and is not asked again for the sake of the mint's own record.
    pub may_go: bool,
}

/// The last time that a request was pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SeenPush {
    /// When, in Unix milliseconds.
    pub unix_ms: u64,
    /// How often it was pushed so far.
    pub times: u32,
    /// The keyset in Redis is the one that was there then: so the mint is the same.
    pub is_same_keyset: bool,
}

/// Places of those of a page that are to be pushed now.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selected {
    /// For the first time.
    pub new: Vec<usize>,
    /// Once more: no quote came in time.
    pub again: Vec<usize>,
    /// No quote came of them, and they are not pushed any more: they were [`REDIS_PUSHES_MAX`] times, or there is perhaps
    /// another mint now, which would make a second quote.
    pub over: Vec<usize>,
}

/// Goes through the waiting requests from the first to the last, again and again: once for what is new, and from the
/// start when the first of those pushed is due again. Between that it looks for what came of them, a page at a time in
/// turn. Holds no request, however many wait.
#[derive(Debug)]
pub struct RedisPathCore {
    rules: Rules,
    /// Since when the hub or the mint is away; `None` while both are there.
    away_since_ms: Option<u64>,
    /// Up to where requests were gone through.
    cursor: u64,
    /// There may be waiting requests above the cursor.
    is_more: bool,
    push_at_ms: u64,
    /// When the first of those that were passed on the way here is due again. In Unix time, as it is on disk.
    first_due_unix_ms: Option<u64>,
    /// When to start from the first request again.
    sweep_at_ms: Option<u64>,
    look_cursor: u64,
    look_at_ms: u64,
    look_pause_ms: u64,
    /// Something was pushed and its quote not found.
    is_open: bool,
    /// What came last was a push: looking comes first.
    has_pushed: bool,
}

impl RedisPathCore {
    /// Knows nothing of what an earlier life has pushed: it goes through all. The hub counts as away until it is there.
    pub fn new(rules: Rules, now: Now) -> RedisPathCore {
        RedisPathCore {
            rules,
            away_since_ms: Some(now.ms),
            cursor: 0,
            is_more: true,
            push_at_ms: now.ms,
            first_due_unix_ms: None,
            sweep_at_ms: None,
            look_cursor: 0,
            look_at_ms: now.ms,
            look_pause_ms: REDIS_LOOK_PAUSE_MS.0,
            is_open: true,
            has_pushed: false,
        }
    }

    /// New requests were written down.
    pub fn nudged(&mut self) {
        self.is_more = true;
    }

    /// Whether the hub and the mint behind it are there.
    pub fn hub(&mut self, is_there: bool, now: Now) {
        match is_there {
            true => self.away_since_ms = None,
            false => _ = self.away_since_ms.get_or_insert(now.ms),
        }
    }

    /// Whether requests are pushed at present.
    pub fn pushes(&self, now: Now) -> bool {
        match (self.rules.while_away_for_ms, self.away_since_ms) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(away_ms), Some(since_ms)) => now.ms.saturating_sub(since_ms) >= away_ms,
        }
    }

    /// What to do now.
    pub fn next(&mut self, now: Now) -> Next {
        if self.sweep_at_ms.is_some_and(|at_ms| at_ms <= now.ms) {
            self.sweep_at_ms = None;
            self.cursor = 0;
            self.is_more = true;
        }
        let wants_push = self.is_more && self.pushes(now);
        let push = wants_push && self.push_at_ms <= now.ms;
        let look = self.is_open && self.look_at_ms <= now.ms;
        if push && !(look && self.has_pushed) {
            self.has_pushed = true;
            return Next::Push { after: self.cursor };
        }
        if look {
            self.has_pushed = false;
            let after = self.look_cursor;
            return Next::Look { after };
        }
        let until_ms = [
            wants_push.then_some(self.push_at_ms),
            self.is_open.then_some(self.look_at_ms),
            self.sweep_at_ms,
            Some(now.ms.saturating_add(REDIS_TICK_MS)),
        ];
        let until_ms = until_ms.into_iter().flatten().min().unwrap_or(now.ms);
        Next::Wait { until_ms }
    }

    /// Which of a page's requests are to be pushed.
    pub fn select(&self, page: &[Seen], now: Now) -> Selected {
        let mut selected = Selected::default();
        for (place, seen) in page.iter().enumerate() {
            match seen.pushed {
                _ if !seen.may_go => {}
                None => selected.new.push(place),
                Some(last) if !self.is_due(&last, now) => {}
                Some(last) if last.is_same_keyset && last.times < REDIS_PUSHES_MAX => {
                    selected.again.push(place);
                }
                Some(_) => selected.over.push(place),
            }
        }
        selected
    }

    /// The page was dealt with, and that is on disk: of those that are new the first `new_pushed` were pushed, the others
    /// had no room. `is_last`: no further request waits.
    pub fn pushed(
        &mut self,
        page: &[Seen],
        selected: &Selected,
        new_pushed: usize,
        is_last: bool,
        now: Now,
    ) {
        let again_at = now.unix_ms.saturating_add(self.rules.push_again_after_ms);
        let passed = page
            .iter()
            .filter_map(|seen| seen.pushed)
            .filter(|last| !self.is_due(last, now))
            .map(|last| self.due_unix_ms(&last));
        let any = new_pushed > 0 || !selected.again.is_empty();
        let first = self.first_due_unix_ms.into_iter().chain(passed);
        self.first_due_unix_ms = first.chain(any.then_some(again_at)).min();
        if any {
            self.is_open = true;
            self.look_pause_ms = REDIS_LOOK_PAUSE_MS.0;
            self.look_at_ms = self.look_at_ms.min(now.ms + REDIS_LOOK_PAUSE_MS.0);
        }
        let no_room = selected.new.get(new_pushed).and_then(|at| page.get(*at));
        if let Some(first) = no_room {
            self.cursor = first.sequence.saturating_sub(1);
            self.push_at_ms = now.ms.saturating_add(REDIS_PUSH_PAUSE_MS);
            return;
        }
        if let Some(last) = page.last() {
            self.cursor = last.sequence;
        }
        if is_last {
            self.is_more = false;
            let due = self.first_due_unix_ms.take().unwrap_or(again_at);
            let in_ms = due
                .saturating_sub(now.unix_ms)
                .min(self.rules.push_again_after_ms);
            let at_ms = now.ms.saturating_add(in_ms);
            self.sweep_at_ms = Some(self.sweep_at_ms.map_or(at_ms, |known| known.min(at_ms)));
        }
    }

    /// Redis did not take them, or not all.
    pub fn push_failed(&mut self, now: Now) {
        self.is_open = true;
        self.push_at_ms = now.ms.saturating_add(REDIS_PUSH_PAUSE_MS);
    }

    /// A page of those that were pushed was looked at: its last number, `None` where it was empty; whether something came
    /// of it; whether it was the last one.
    pub fn looked(&mut self, last: Option<u64>, has_news: bool, is_last: bool, now: Now) {
        let was_first = self.look_cursor == 0;
        self.look_cursor = match last {
            Some(sequence) if !is_last => sequence,
            _ => 0,
        };
        if last.is_none() && was_first {
            self.is_open = false;
        }
        let (least_ms, most_ms) = REDIS_LOOK_PAUSE_MS;
        let pause_ms = match (has_news, is_last) {
            (true, false) => 0,
            (true, true) => least_ms,
            (false, false) => least_ms,
            (false, true) => self.look_pause_ms,
        };
        self.look_pause_ms = match (has_news, is_last) {
            (true, _) => least_ms,
            (false, true) => (self.look_pause_ms * 2).min(most_ms),
            (false, false) => self.look_pause_ms,
        };
        self.look_at_ms = now.ms.saturating_add(pause_ms);
    }

    /// Redis did not say.
    pub fn look_failed(&mut self, now: Now) {
        self.look_at_ms = now.ms.saturating_add(REDIS_PUSH_PAUSE_MS);
    }

    /// The own store failed: nothing for a while.
    pub fn store_failed(&mut self, now: Now) {
        let at_ms = now.ms.saturating_add(REDIS_STORE_PAUSE_MS);
        self.push_at_ms = at_ms;
        self.look_at_ms = at_ms;
    }

    /// Also where the clock was set back since.
    fn is_due(&self, last: &SeenPush, now: Now) -> bool {
        now.unix_ms < last.unix_ms || now.unix_ms >= self.due_unix_ms(last)
    }

    fn due_unix_ms(&self, last: &SeenPush) -> u64 {
        last.unix_ms.saturating_add(self.rules.pause_ms(last.times))
    }
}

#[cfg(test)]
mod tests;
