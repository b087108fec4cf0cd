//! What was sent to a group and to its members alone, and what became of it at each member: beside
//! the parties, who cannot see it.

use std::collections::BTreeMap;

use crate::cast::MEMBERS;

/// One message: its number in the run, over which channel to the group it went, and for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addressed {
    /// Rises with every message, and is never used again.
    pub serial: u64,
    /// Which of the opener's channels to the group.
    pub label: u8,
    /// The one member that it is for, by its place; `None`: all.
    pub only_for: Option<u8>,
}

/// How a member looked to the opener when it sent something.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    /// The member had credit for it.
    pub has_credit: bool,
    /// The instance that was there.
    pub instance: Option<u64>,
    /// Since when, at the latest, the channel to it was open, in milliseconds.
    pub open_since_ms: u64,
}

/// What is so at the hub when the opener hears that something was not delivered.
#[derive(Clone, Copy, Debug)]
pub struct Standing {
    /// The instance of the member that is there.
    pub instance: Option<u64>,
    /// When the hub has read its list for the last time, in milliseconds.
    pub listed_at_ms: u64,
    /// The hub takes no more from openers.
    pub is_hub_leaving: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// Nothing is known.
    Sent,
    /// The member, or its channel, has changed since: it need not arrive, nor be told.
    MaybeLost,
    /// The member got a later one on the same channel: the opener must hear that it did not get
    /// this one.
    Owed,
    Received,
    Told,
}

/// What went over one channel to one member.
#[derive(Default)]
struct Course {
    entries: BTreeMap<u64, (Fate, Seen)>,
    /// The last that the member got on each of its channels.
    last: BTreeMap<u64, u64>,
}

/// See the [module](self).
#[derive(Default)]
pub struct Ledger {
    last_serial: u64,
    courses: BTreeMap<(usize, u8), Course>,
    owed: u64,
    /// Messages that members got.
    pub received: u64,
    /// Messages of which the opener heard that a member did not get them.
    pub told: u64,
}

impl Addressed {
    /// Without the channel id.
    pub fn to_bytes(self, filler_bytes: usize) -> Vec<u8> {
        let mut bytes = self.serial.to_le_bytes().to_vec();
        bytes.extend([self.label, self.only_for.map_or(u8::MAX, |place| place)]);
        bytes.resize(bytes.len() + filler_bytes, 0);
        bytes
    }

    /// What [`Self::to_bytes`] gave.
    pub fn read(bytes: &[u8]) -> Option<Addressed> {
        let (serial, rest) = bytes.split_first_chunk()?;
        let [label, only_for] = *rest.first_chunk()?;
        Some(Addressed {
            serial: u64::from_le_bytes(*serial),
            label,
            only_for: (only_for != u8::MAX).then_some(only_for),
        })
    }
}

impl Ledger {
    /// The number of the next message.
    pub fn next_serial(&mut self) -> u64 {
        self.last_serial += 1;
        self.last_serial
    }

    /// A message counts on a member's channel.
    pub fn sent(&mut self, place: usize, label: u8, serial: u64, seen: Seen) {
        let course = self.courses.entry((place, label)).or_default();
        course.entries.entry(serial).or_insert((Fate::Sent, seen));
    }

    /// A member got a message, on its channel number `session`.
    pub fn received(
        &mut self,
        place: usize,
        label: &str,
        message: Addressed,
        session: u64,
    ) -> Result<(), String> {
        self.received += 1;
        let Addressed { serial, .. } = message;
        let member = MEMBERS[place];
        if message
            .only_for
            .is_some_and(|only| usize::from(only) != place)
            || message.label.to_string() != label
        {
            return Err(format!(
                "to a stranger: {member} got {message:?} on its channel {label:?}"
            ));
        }
        let course = self.courses.entry((place, message.label)).or_default();
        if let Some(last) = course.last.insert(session, serial) {
            if serial <= last {
                return Err(format!("{member} got {message:?} after number {last}"));
            }
            for (_, (fate, _)) in course.entries.range_mut(last + 1..serial) {
                if matches!(fate, Fate::Sent | Fate::MaybeLost) {
                    *fate = Fate::Owed;
                    self.owed += 1;
                }
            }
        }
        let entry = course.entries.entry(serial);
        let (fate, _) = entry.or_insert((Fate::Sent, Seen::default()));
        match std::mem::replace(fate, Fate::Received) {
            Fate::Told => Err(format!(
                "the opener was told that {member} did not get {message:?}, and it did"
            )),
            Fate::Received => Err(format!("{member} got {message:?} twice")),
            Fate::Owed => {
                self.owed -= 1;
                Err(format!("{member} got {message:?} behind a later one"))
            }
            Fate::Sent | Fate::MaybeLost => Ok(()),
        }
    }

    /// The opener hears that a member did not get a message.
    pub fn told(
        &mut self,
        place: usize,
        label: u8,
        serial: u64,
        code: &str,
        standing: Standing,
    ) -> Result<(), String> {
        self.told += 1;
        let member = MEMBERS[place];
        let course = self.courses.entry((place, label)).or_default();
        let Some((fate, seen)) = course.entries.get_mut(&serial) else {
            return Ok(());
        };
        let before = std::mem::replace(fate, Fate::Told);
        self.owed -= u64::from(before == Fate::Owed);
        let is_same = seen.instance.is_some()
            && seen.instance == standing.instance
            && standing.listed_at_ms < seen.open_since_ms
            && !standing.is_hub_leaving;
        match code {
            _ if before == Fate::Received => Err(format!(
                "{member} got number {serial}, and the opener was told that it did not"
            )),
            "no-credit" if seen.has_credit => Err(format!(
                "{member} had credit for number {serial}, and was left out for having none"
            )),
            "peer-away" if is_same => Err(format!(
                "{member} was there all the time, and was left out of number {serial} as away"
            )),
            "no-credit" | "peer-away" => Ok(()),
            _ => Err(format!("number {serial} was refused to {member}: {code}")),
        }
    }

    /// The opener hears that nobody gets a message.
    pub fn told_for_all(&mut self, label: u8, serial: u64) -> Result<(), String> {
        for ((place, of), course) in &mut self.courses {
            let Some((fate, _)) = course.entries.get_mut(&serial).filter(|_| *of == label) else {
                continue;
            };
            match std::mem::replace(fate, Fate::Told) {
                Fate::Received => {
                    return Err(format!(
                        "{} got number {serial}, and the opener was told that nobody did",
                        MEMBERS[*place]
                    ));
                }
                Fate::Owed => self.owed -= 1,
                _ => {}
            }
        }
        Ok(())
    }

    /// The opener hears that a member has changed: what it sent before may be lost.
    pub fn may_be_lost(&mut self, place: usize, label: u8) {
        let course = self.courses.entry((place, label)).or_default();
        for (fate, _) in course.entries.values_mut() {
            if *fate == Fate::Sent {
                *fate = Fate::MaybeLost;
            }
        }
    }

    /// The channel to a member has ended: nothing more is told of what was sent on it.
    pub fn ended(&mut self, place: usize, label: u8) {
        let course = self.courses.entry((place, label)).or_default();
        course.entries.retain(|_, (fate, _)| {
            self.owed -= u64::from(*fate == Fate::Owed);
            matches!(fate, Fate::Received | Fate::Told)
        });
    }

    /// Whether the opener has yet to hear of something.
    pub fn owes(&self) -> bool {
        self.owed > 0
    }

    /// Once nothing is on its way and everybody takes what comes, no fate is open.
    pub fn check_settled(&self, at_the_end: bool) -> Result<(), String> {
        for ((place, label), course) in &self.courses {
            for (serial, (fate, seen)) in &course.entries {
                if *fate == Fate::Owed || at_the_end && *fate == Fate::Sent {
                    return Err(format!(
                        "not told: number {serial} on channel {label} neither reached {} nor came \
                         back ({fate:?}, {seen:?})",
                        MEMBERS[*place]
                    ));
                }
            }
        }
        Ok(())
    }
}
