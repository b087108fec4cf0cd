//! The group: its opener, its members, and what must hold between them.

use rand::Rng;

use super::World;
use crate::cast::{MEMBERS, MEMBERS_USUALLY, OPENER, groups, limits, listed};
use crate::fault::Fault;
use crate::ledger::Standing;
use crate::net::Who;
use crate::opener::Standings;

/// How long the opener goes on after the last fault, in milliseconds.
const TALKS_ON_MS: u64 = 4_000;

impl World {
    /// What the opener and the members say unasked.
    pub(super) fn talk_in_group(&mut self) {
        if self
            .calm_since_ms
            .is_some_and(|since_ms| since_ms + TALKS_ON_MS <= self.now_ms)
        {
            return;
        }
        if self.rng.gen_ratio(1, 3) {
            let many = if self.rng.gen_ratio(1, 8) { 8 } else { 1 };
            for _ in 0..many {
                self.opener.say(&mut self.ledger, &mut self.rng);
            }
        }
        if self.rng.gen_ratio(1, 3) {
            let place = self.rng.gen_range(0..self.members.len());
            self.members[place].say(&mut self.rng);
        }
    }

    pub(super) fn make_group_faults(&mut self) {
        let now_ms = self.now_ms;
        if let Some(rng) = self.chances.draw(Fault::CrashMember) {
            let back_ms = now_ms + rng.gen_range(20..2_500);
            let who = match rng.gen_range(0..=self.members.len()) {
                place if place < self.members.len() => {
                    self.members[place].crash(back_ms);
                    Who::Member(place)
                }
                _ => {
                    self.opener.crash(back_ms, &mut self.ledger);
                    Who::Opener
                }
            };
            self.client_died(who);
            self.tell(|| format!("{who:?} is killed"));
        }
        if let Some(rng) = self.chances.draw(Fault::RestingMember) {
            let until_ms = now_ms + rng.gen_range(100..2_500);
            let place = rng.gen_range(0..self.members.len());
            self.members[place].rests_until_ms = until_ms;
            self.tell(|| format!("{} takes nothing until {until_ms} ms", MEMBERS[place]));
        }
        if let Some(rng) = self.chances.draw(Fault::Regroup) {
            let mut members = MEMBERS.to_vec();
            members.retain(|_| rng.gen_ratio(3, 4));
            // One of them may be struck off, and no group is empty.
            if members.len() < 2 {
                members = MEMBERS.to_vec();
            }
            self.regroups_at_ms = now_ms + rng.gen_range(300..4_000);
            self.tell(|| format!("the group is {members:?}"));
            self.group = members;
            self.reload();
        }
    }

    /// The group is again what it usually is.
    pub(super) fn regroup(&mut self) {
        self.group = MEMBERS[..MEMBERS_USUALLY].to_vec();
        self.reload();
    }

    /// The hub reads its configuration again.
    pub(super) fn reload(&mut self) {
        self.listed_at_ms = self.now_ms;
        let groups = groups(&self.group, &self.struck_off);
        if let Some(hub) = &mut self.hub {
            let reloaded = hub.reload(&listed(&self.struck_off), &groups, limits());
            assert!(reloaded.is_ok(), "the cast's list has no contradiction");
        }
    }

    /// What is so at the hub, for each who may be a member.
    pub(super) fn standings(&self) -> Standings {
        let standing = |name: &&str| Standing {
            instance: self.present.get(*name).map(|(_, instance)| *instance),
            listed_at_ms: self.listed_at_ms,
            is_hub_leaving: self.hub_stops_at_ms.is_some(),
        };
        MEMBERS.iter().map(standing).collect()
    }

    /// What the opener is owed it has got once nothing is on its way to it.
    pub(super) fn check_group(&mut self) -> Result<(), String> {
        if self.is_honest && self.ledger.owes() && self.is_settled(Who::Opener) {
            self.ledger.check_settled(false)?;
        }
        Ok(())
    }

    /// All members are there again.
    pub(super) fn is_group_whole(&self) -> bool {
        let present = self.opener.members_present();
        !present.is_empty() && present.iter().all(|count| *count == MEMBERS_USUALLY)
    }

    /// After the quiet period all members are there, and nothing that was sent is unaccounted for.
    pub(super) fn check_group_at_the_end(&self) -> Result<(), String> {
        if !self.is_group_whole() {
            return Err(format!(
                "not told: after the quiet period {OPENER} believes that {:?} members of the group \
                 are there",
                self.opener.members_present()
            ));
        }
        match self.is_honest {
            true => self.ledger.check_settled(true),
            false => Ok(()),
        }
    }
}
