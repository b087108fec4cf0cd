//! Connections that keep no rules.

use rand::Rng;

use super::{EVIL_MAX, World};
use crate::evil::{Evil, SCRIPTS, Script};
use crate::fault::Fault;
use crate::net::Who;

impl World {
    pub(super) fn make_enemies(&mut self) {
        if let Some(rng) = self.chances.draw(Fault::HostilePeer) {
            let script = SCRIPTS[rng.gen_range(0..SCRIPTS.len())];
            let stays_ms = rng.gen_range(500..8_000);
            if script != Script::Twin {
                self.dial_evil(script, stays_ms);
            }
        }
        if let Some(rng) = self.chances.draw(Fault::Twin) {
            let stays_ms = rng.gen_range(200..3_000);
            self.dial_evil(Script::Twin, stays_ms);
        }
        if self.chances.draw(Fault::Crowd).is_some() {
            for _ in 0..EVIL_MAX {
                self.dial_evil(Script::Silent, 1_000);
            }
        }
    }

    pub(super) fn dial_evil(&mut self, script: Script, stays_ms: u64) {
        if self.evil.len() >= EVIL_MAX {
            return;
        }
        let Some((conn, transcript)) = self.dial(Who::Evil) else {
            return;
        };
        let leaves_at_ms = self.now_ms + stays_ms;
        let evil = Evil::new(script, conn, transcript, leaves_at_ms, &mut self.rng);
        self.evil.push(evil);
        self.tell(|| format!("connection {} will be {script:?}", conn.0));
    }

    pub(super) fn run_evil(&mut self) {
        let now_ms = self.now_ms;
        let mut evil = std::mem::take(&mut self.evil);
        evil.retain_mut(|evil| {
            let place = self.links.iter().position(|link| link.conn == evil.conn);
            let Some(link) = place.and_then(|place| self.links.get_mut(place)) else {
                return false;
            };
            if evil.leaves_at_ms <= now_ms || !link.hub_open {
                self.close_client_end(evil.conn);
                return false;
            }
            let frames = match evil.reads() && !link.is_dead {
                true => link.down.arrived(now_ms),
                false => Vec::new(),
            };
            if link.up.is_full() {
                return true;
            }
            for frame in evil.turn(frames, &mut self.rng, &mut self.truth) {
                self.coverage.saw(&frame, false);
                if !link.is_dead {
                    link.up.push(frame, now_ms + 3);
                }
            }
            true
        });
        self.evil = evil;
    }
}
