use std::collections::VecDeque;

use crate::limits::DIRECT_RUNS_KEPT_MAX;

/// Which of the ordinals of a member's channel were sent to its group, and as which of the group's: what a `Reject` on
/// that channel is about. Kept as runs of what was sent to this member alone, so that what goes to all costs nothing.
#[derive(Debug)]
pub(super) struct Ordinals {
    /// The group's messages before the member's first.
    group_messages: u64,
    /// Sent to this member alone, the oldest first. At most [`DIRECT_RUNS_KEPT_MAX`]; then the oldest is forgotten.
    runs: VecDeque<Run>,
    /// The last ordinal of the runs that were forgotten.
    forgotten: u64,
}

#[derive(Clone, Copy, Debug)]
struct Run {
    first: u64,
    last: u64,
    /// Messages to this member alone before the run.
    before: u64,
}

/// What an ordinal of a member's channel stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sent {
    /// A message to the group, with its ordinal there.
    ToAll(u64),
    /// A message to this member alone.
    ToOne,
    /// Too long ago to say.
    Unknown,
}

impl Ordinals {
    /// For a member that joined after so many messages to the group.
    pub(super) fn after(group_messages: u64) -> Ordinals {
        Ordinals {
            group_messages,
            runs: VecDeque::new(),
            forgotten: 0,
        }
    }

    pub(super) fn messages_before(&self) -> u64 {
        self.group_messages
    }

    /// The message with this ordinal was for this member alone. Ordinals rise.
    pub(super) fn sent_to_one(&mut self, ordinal: u64) {
        let before = match self.runs.back_mut() {
            Some(run) if run.last + 1 == ordinal => {
                run.last = ordinal;
                return;
            }
            Some(run) => run.before + (run.last - run.first + 1),
            None => 0,
        };
        if self.runs.len() >= DIRECT_RUNS_KEPT_MAX
            && let Some(oldest) = self.runs.pop_front()
        {
            self.forgotten = oldest.last;
        }
        self.runs.push_back(Run {
            first: ordinal,
            last: ordinal,
            before,
        });
    }

    pub(super) fn what_was(&self, ordinal: u64) -> Sent {
        if ordinal <= self.forgotten {
            return Sent::Unknown;
        }
        let begun = self.runs.partition_point(|run| run.first <= ordinal);
        let to_one = match begun.checked_sub(1).and_then(|last| self.runs.get(last)) {
            Some(run) if run.last >= ordinal => return Sent::ToOne,
            Some(run) => run.before + (run.last - run.first + 1),
            // Before the oldest run that is kept, and after those that are not.
            None => self.runs.front().map_or(0, |run| run.before),
        };
        Sent::ToAll(self.group_messages + (ordinal - to_one))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every third message goes to all, after ten that the member did not get; the record holds what is recent.
    #[test]
    fn what_went_to_all_is_told_from_what_went_to_one_as_far_back_as_is_kept() {
        let mut ordinals = Ordinals::after(10);
        let mut sent = vec![Sent::Unknown];
        let mut to_all = 10;
        let messages = 3 * DIRECT_RUNS_KEPT_MAX as u64 + 300;
        for ordinal in 1..=messages {
            if ordinal % 3 == 0 {
                to_all += 1;
                sent.push(Sent::ToAll(to_all));
            } else {
                ordinals.sent_to_one(ordinal);
                sent.push(Sent::ToOne);
            }
        }
        let kept_from = messages - 3 * DIRECT_RUNS_KEPT_MAX as u64;
        for ordinal in 1..=messages {
            let expected = match ordinal < kept_from {
                true => Sent::Unknown,
                false => sent[ordinal as usize],
            };
            assert_eq!(ordinals.what_was(ordinal), expected, "{ordinal}");
        }
    }
}
