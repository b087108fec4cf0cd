//! What goes wrong in a step.

use rand::Rng;

use super::World;
use crate::cast::{EVIL, MEMBERS, OPENER, POOLS};
use crate::fault::Fault;
use crate::net::Who;

impl World {
    pub(super) fn make_faults(&mut self) {
        let now_ms = self.now_ms;
        if let Some(rng) = self.chances.draw(Fault::CrashPool) {
            let place = rng.gen_range(0..self.pools.len());
            let back_ms = now_ms + rng.gen_range(20..2_500);
            self.pools[place].crash(back_ms);
            self.client_died(Who::Pool(place));
            self.tell(|| format!("{} is killed", POOLS[place]));
        }
        if let Some(rng) = self.chances.draw(Fault::CrashMint) {
            let back_ms = now_ms + rng.gen_range(20..2_500);
            self.mint.crash(back_ms);
            self.client_died(Who::Mint);
            self.tell(|| "the mint is killed".to_owned());
        }
        if let Some(rng) = self.chances.draw(Fault::CrashHub)
            && self.hub.is_some()
        {
            self.hub_starts_at_ms = now_ms + rng.gen_range(20..2_000);
            self.hub_died();
            self.tell(|| "the hub is killed".to_owned());
        }
        if self.chances.draw(Fault::StopHub).is_some()
            && let Some(hub) = &mut self.hub
            && self.hub_stops_at_ms.is_none()
        {
            hub.shut_down(300);
            self.hub_stops_at_ms = Some(now_ms + 400);
            self.tell(|| "the hub is stopped".to_owned());
        }
        if let Some(rng) = self.chances.draw(Fault::Disconnect)
            && !self.links.is_empty()
        {
            let place = rng.gen_range(0..self.links.len());
            let conn = self.links[place].conn;
            let who = self.links[place].who;
            self.break_link(conn);
            self.tell(|| format!("connection {} of {who:?} breaks", conn.0));
        }
        if let Some(rng) = self.chances.draw(Fault::HalfOpen)
            && !self.links.is_empty()
        {
            let place = rng.gen_range(0..self.links.len());
            let link = &mut self.links[place];
            link.is_dead = true;
            link.up.cut();
            link.down.cut();
            let (conn, who) = (link.conn, link.who);
            self.tell(|| {
                format!(
                    "connection {} of {who:?} is dead, and nobody notices",
                    conn.0
                )
            });
        }
        if let Some(rng) = self.chances.draw(Fault::SlowDisk) {
            let until_ms = now_ms + rng.gen_range(200..3_000);
            match rng.gen_range(0..=self.pools.len()) {
                place if place < self.pools.len() => {
                    self.pools[place].disk.slow_until_ms = until_ms
                }
                _ => self.mint.disk.slow_until_ms = until_ms,
            }
        }
        if let Some(rng) = self.chances.draw(Fault::FullDisk) {
            let until_ms = now_ms + rng.gen_range(200..3_000);
            let place = rng.gen_range(0..=self.pools.len());
            match place < self.pools.len() {
                true => self.pools[place].disk.full_until_ms = until_ms,
                false => self.mint.disk.full_until_ms = until_ms,
            }
            self.tell(|| format!("disk {place} is full until {until_ms} ms"));
        }
        if let Some(rng) = self.chances.draw(Fault::BrokenEffect) {
            let place = rng.gen_range(0..self.pools.len());
            self.pools[place].break_effect();
            self.tell(|| format!("the next effect of {} fails", POOLS[place]));
        }
        if let Some(rng) = self.chances.draw(Fault::SlowReader) {
            let until_ms = now_ms + rng.gen_range(100..2_000);
            let all: Vec<Who> = Who::honest().collect();
            let who = all[rng.gen_range(0..all.len())];
            if let Some(client) = self.client(who) {
                client.reads_again_ms = until_ms;
            }
            self.tell(|| format!("{who:?} does not read until {until_ms} ms"));
        }
        if let Some(rng) = self.chances.draw(Fault::StrikeOff)
            && self.struck_off.is_empty()
        {
            let name = [POOLS[1], EVIL, OPENER, MEMBERS[1]][rng.gen_range(0..4)];
            self.struck_off.push(name);
            self.relists_at_ms = now_ms + rng.gen_range(300..3_000);
            self.reload();
            self.tell(|| format!("{name} is struck off the list"));
        }
        self.make_backup_faults();
        self.make_group_faults();
        self.make_enemies();
    }

    /// From now on nothing goes wrong.
    pub(super) fn calm_down(&mut self) {
        self.tell(|| "from here on nothing goes wrong".to_owned());
        if self.liar.take().is_some() {
            // An honest hub takes its place: what a liar has said, no honest one would take back.
            self.hub_died();
            self.hub_starts_at_ms = self.now_ms;
        }
        for evil in std::mem::take(&mut self.evil) {
            self.break_link(evil.conn);
        }
        self.calm_since_ms = Some(self.now_ms);
        self.relists_at_ms = 0;
        self.regroups_at_ms = 0;
        for member in &mut self.members {
            member.rests_until_ms = 0;
        }
        let now = self.now();
        for pool in &mut self.pools {
            pool.disk.full_until_ms = 0;
            pool.disk.slow_until_ms = 0;
            pool.mend(now);
        }
        for disk in [&mut self.mint.disk, &mut self.mint.quotes.disk] {
            disk.full_until_ms = 0;
            disk.slow_until_ms = 0;
        }
    }
}
