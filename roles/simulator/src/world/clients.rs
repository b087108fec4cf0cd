//! Those who keep the rules: their sessions, their owners, and what they send.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use winze_client::session::SessionError;

use super::World;
use crate::net::Who;

impl World {
    pub(super) fn run_clients(&mut self) -> Result<(), String> {
        for who in Who::honest() {
            self.run_session(who)?;
            self.run_owner(who)?;
            self.send_up(who);
        }
        Ok(())
    }

    pub(super) fn run_session(&mut self, who: Who) -> Result<(), String> {
        let now_ms = self.now_ms;
        let Some(client) = self.client(who) else {
            return Ok(());
        };
        let Some(conn) = client.conn else {
            if client.dial_at_ms <= now_ms {
                self.dial_client(who);
            }
            return Ok(());
        };
        let reads = client.reads_again_ms <= now_ms;
        let Some(link) = self.link(conn) else {
            return self.session_ended(who, None);
        };
        let frames = match reads && !link.is_dead {
            true => link.down.arrived(now_ms),
            false => Vec::new(),
        };
        let is_over = !link.hub_open && link.down.is_empty() && !link.is_dead && reads;
        let Some(client) = self.client(who) else {
            return Ok(());
        };
        match client.drive(frames, now_ms) {
            Err(error) => self.session_ended(who, Some(error)),
            Ok(()) if is_over => self.session_ended(who, None),
            Ok(()) => Ok(()),
        }
    }

    pub(super) fn dial_client(&mut self, who: Who) {
        let now_ms = self.now_ms;
        let dialled = self.dial(who);
        let aux_rand = self.rng.r#gen();
        let mut rng = ChaCha8Rng::seed_from_u64(self.rng.r#gen());
        let Some(client) = self.client(who) else {
            return;
        };
        match dialled {
            Some((conn, transcript)) => {
                client.conn = Some(conn);
                if client
                    .session
                    .connected(&transcript, aux_rand, now_ms)
                    .is_err()
                {
                    client.ended(None, now_ms, &mut rng);
                }
            }
            None => client.ended(None, now_ms, &mut rng),
        }
    }

    pub(super) fn session_ended(
        &mut self,
        who: Who,
        error: Option<SessionError>,
    ) -> Result<(), String> {
        let now_ms = self.now_ms;
        let mut rng = ChaCha8Rng::seed_from_u64(self.rng.r#gen());
        let Some(client) = self.client(who) else {
            return Ok(());
        };
        let conn = client.conn;
        client.ended(error.as_ref(), now_ms, &mut rng);
        if let Some(conn) = conn {
            self.close_client_end(conn);
        }
        if let Some(error) = &error {
            self.tell(|| format!("{who:?} ends its connection: {error}"));
        }
        match error {
            Some(SessionError::Misbehaved(error)) if self.is_honest => Err(format!(
                "an honest hub broke the protocol towards {who:?}: {error}"
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn run_owner(&mut self, who: Who) -> Result<(), String> {
        let now = self.now();
        let is_honest = self.is_honest;
        match who {
            Who::Pool(place) => self.pools[place].turn(now, &mut self.rng, is_honest),
            Who::Mint => {
                let (rng, truth) = (&mut self.rng, &mut self.truth);
                self.mint.turn(now, rng, self.step, truth, is_honest)
            }
            Who::Opener => {
                let standings = self.standings();
                let ledger = &mut self.ledger;
                self.opener.turn(ledger, &standings, now.ms, is_honest)
            }
            Who::Member(place) => {
                let ledger = &mut self.ledger;
                self.members[place].turn(ledger, now.ms, is_honest)
            }
            Who::Evil => Ok(()),
        }
    }

    pub(super) fn send_up(&mut self, who: Who) {
        loop {
            let Some(conn) = self.client(who).and_then(|client| client.conn) else {
                return;
            };
            match self.link(conn) {
                Some(link) if link.up.is_full() && !link.is_dead => return,
                Some(_) => {}
                None => return,
            }
            let Some(frame) = self.client(who).and_then(|c| c.session.poll_transmit()) else {
                return;
            };
            self.coverage.saw(&frame, false);
            let due_ms = self.now_ms + self.latency_ms();
            let told = match (&mut self.liar, self.step <= self.plan.steps) {
                (Some(liar), true) => liar.tell(frame, &mut self.chances),
                _ => vec![frame],
            };
            for frame in told {
                if let Some(link) = self.link(conn)
                    && !link.is_dead
                    && link.hub_open
                {
                    link.up.push(frame, due_ms);
                }
            }
        }
    }
}
