//! What the parties do unasked: they start, take shares, and chat.

use rand::Rng;
use winze_hub::core::HubCore;
use winze_messages::families::mint_quote::MintQuoteRequest;

use super::World;
use crate::cast::{MEMBERS, OPENER, POOLS, groups, limits, listed};

impl World {
    pub(super) fn make_work(&mut self) {
        let now = self.now();
        if self.rng.gen_ratio(1, 4) {
            let place = self.rng.gen_range(0..self.pools.len());
            let known: Vec<[u8; 32]> = match self.rng.gen_ratio(1, 12) {
                true => self.truth.promised.keys().map(|(_, hash)| *hash).collect(),
                false => Vec::new(),
            };
            let header_hash = match known.is_empty() {
                true => self.rng.r#gen(),
                false => *known
                    .get(self.rng.gen_range(0..known.len()))
                    .unwrap_or(&[0; 32]),
            };
            let amounts = if self.rng.gen_ratio(1, 20) {
                0..1
            } else {
                1..90
            };
            let mut request = MintQuoteRequest {
                amount: self.rng.gen_range(amounts),
                unit: "hash".to_owned(),
                header_hash,
                description: None,
                locking_key: [2; 33],
                keyset_id: vec![1; 8],
            };
            for byte in request.locking_key.iter_mut().skip(1) {
                *byte = self.rng.r#gen();
            }
            let pool = &mut self.pools[place];
            let name = pool.name;
            if pool.accept_share(&request, now) {
                self.truth
                    .promised
                    .insert((name.to_owned(), header_hash), (request, self.step));
                self.tell(|| format!("{name} promises {}", hex::encode(&header_hash[..4])));
            }
        }
        if self.rng.gen_ratio(1, 150) {
            self.mint.rotate_keyset(now, &mut self.truth);
        }
        for place in 0..self.pools.len() {
            if self.rng.gen_ratio(1, 3)
                && let Some(process) = &mut self.pools[place].process
            {
                let which = self.rng.gen_range(0..process.chat_keys.len());
                let many = if self.rng.gen_ratio(1, 8) { 12 } else { 1 };
                for _ in 0..many {
                    let filler = self.rng.gen_range(0..900);
                    let key = process.chat_keys[which];
                    process.chat.say(&mut process.client, key, filler);
                }
            }
        }
        if self.rng.gen_ratio(1, 3)
            && let Some(process) = &mut self.mint.process
            && !process.chat_keys.is_empty()
        {
            let which = self.rng.gen_range(0..process.chat_keys.len());
            let key = process.chat_keys[which];
            for _ in 0..self.rng.gen_range(1..6) {
                process.chat.say(&mut process.client, key, 30);
            }
        }
    }

    pub(super) fn start_what_is_due(&mut self) {
        let now_ms = self.now_ms;
        if self.hub_stops_at_ms.is_some_and(|at_ms| at_ms <= now_ms) {
            self.hub_died();
            self.hub_starts_at_ms = now_ms + 200;
        }
        if self.hub.is_none() && self.hub_starts_at_ms <= now_ms {
            let groups = groups(&self.group, &self.struck_off);
            let hub = HubCore::new(&listed(&self.struck_off), &groups, limits());
            self.hub = Some(hub.expect("the cast's list has no contradiction"));
            self.hub_ticked_ms = now_ms;
            self.tell(|| "the hub starts".to_owned());
        }
        if !self.struck_off.is_empty() && self.relists_at_ms <= now_ms {
            self.struck_off.clear();
            self.reload();
        }
        if self.regroups_at_ms <= now_ms {
            self.regroups_at_ms = u64::MAX;
            self.regroup();
        }
        let now = self.now();
        for (place, name) in POOLS.into_iter().enumerate() {
            let pool = &mut self.pools[place];
            if pool.process.is_none() && pool.starts_at_ms <= now_ms {
                pool.start(now, &mut self.rng);
                self.tell(|| format!("{name} starts"));
            }
        }
        if self.opener.process.is_none() && self.opener.starts_at_ms <= now_ms {
            self.opener.start(now_ms);
            self.tell(|| format!("{OPENER} starts"));
        }
        for (place, name) in MEMBERS.into_iter().enumerate() {
            let member = &mut self.members[place];
            if member.process.is_none() && member.starts_at_ms <= now_ms {
                member.start(now_ms);
                self.tell(|| format!("{name} starts"));
            }
        }
        if self.mint.process.is_none() && self.mint.starts_at_ms <= now_ms {
            self.mint.start(now);
            if self.truth.keysets.is_empty() {
                self.mint.rotate_keyset(now, &mut self.truth);
            }
            self.tell(|| "the mint starts".to_owned());
        }
    }
}
