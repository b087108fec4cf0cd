//! The hub, and what passes between it and the sockets.

use rand::Rng;
use winze_hub::core::reasons::CloseReason;
use winze_hub::core::{ConnId, Event, Transmit};
use winze_transport::Transcript;

use super::World;
use crate::cast::limits;
use crate::client::Client;
use crate::fault::Fault;
use crate::net::{Link, Who};

impl World {
    pub(super) fn dial(&mut self, who: Who) -> Option<(ConnId, Transcript)> {
        if self.hub_stops_at_ms.is_some() {
            return None;
        }
        let hub = self.hub.as_mut()?;
        self.last_conn += 1;
        let conn = ConnId(self.last_conn);
        let transcript = Transcript::from_bytes(self.rng.r#gen());
        hub.connected(conn, transcript, self.now_ms);
        self.links.push(Link::new(conn, who));
        Some((conn, transcript))
    }

    pub(super) fn client(&mut self, who: Who) -> Option<&mut Client> {
        match who {
            Who::Pool(place) => {
                let process = self.pools.get_mut(place)?.process.as_mut()?;
                Some(&mut process.client)
            }
            Who::Mint => Some(&mut self.mint.process.as_mut()?.client),
            Who::Opener => Some(&mut self.opener.process.as_mut()?.client),
            Who::Member(place) => {
                let process = self.members.get_mut(place)?.process.as_mut()?;
                Some(&mut process.client)
            }
            Who::Evil => None,
        }
    }

    pub(super) fn link(&mut self, conn: ConnId) -> Option<&mut Link> {
        self.links.iter_mut().find(|link| link.conn == conn)
    }

    /// A process is gone: its socket is closed by its system, and the hub hears of it.
    pub(super) fn client_died(&mut self, who: Who) {
        let ended: Vec<ConnId> = self
            .links
            .iter()
            .filter(|link| link.who == who && link.client_open)
            .map(|link| link.conn)
            .collect();
        for conn in ended {
            self.close_client_end(conn);
        }
    }

    pub(super) fn close_client_end(&mut self, conn: ConnId) {
        let Some(link) = self.link(conn) else {
            return;
        };
        link.client_open = false;
        link.down.cut();
        if !link.is_dead {
            link.hub_open = false;
            self.hub_lost(conn);
        }
    }

    /// Both ends notice.
    pub(super) fn break_link(&mut self, conn: ConnId) {
        let Some(link) = self.link(conn) else {
            return;
        };
        link.up.cut();
        link.down.cut();
        link.hub_open = false;
        self.hub_lost(conn);
    }

    pub(super) fn hub_lost(&mut self, conn: ConnId) {
        if let Some(hub) = &mut self.hub {
            hub.closed(conn);
        }
        self.has_more.remove(&conn);
        self.passed_over.remove(&conn);
    }

    pub(super) fn hub_died(&mut self) {
        self.hub = None;
        self.hub_stops_at_ms = None;
        self.has_more.clear();
        self.passed_over.clear();
        self.present.clear();
        for link in &mut self.links {
            link.hub_open = false;
            link.up.cut();
        }
    }

    pub(super) fn latency_ms(&mut self) -> u64 {
        let short_ms = self.rng.gen_range(0..15);
        match self.chances.draw(Fault::Delay) {
            Some(rng) if self.step <= self.plan.steps => short_ms + rng.gen_range(50..1_200),
            _ => short_ms,
        }
    }

    pub(super) fn carry_up(&mut self) {
        let now_ms = self.now_ms;
        for place in 0..self.links.len() {
            let link = &mut self.links[place];
            let mut frames = link.up.arrived(now_ms);
            if frames.is_empty() || !link.hub_open || link.is_dead {
                continue;
            }
            let conn = link.conn;
            if let Some(hub) = &mut self.hub {
                hub.frames(conn, &mut frames, now_ms);
            }
        }
    }

    pub(super) fn tick_hub(&mut self) {
        if let Some(hub) = &mut self.hub
            && self.now_ms >= self.hub_ticked_ms + 50
        {
            self.hub_ticked_ms = self.now_ms;
            hub.tick(self.now_ms);
        }
    }

    pub(super) fn hear_of_hub(&mut self) -> Result<(), String> {
        let Some(hub) = &mut self.hub else {
            return Ok(());
        };
        let events = hub.take_events();
        for event in events {
            match event {
                Event::Authenticated {
                    conn,
                    peer,
                    instance,
                } => {
                    let older = self.present.insert(peer.to_string(), (conn, instance));
                    if let Some((older, _)) = older
                        && let Some(hub) = &self.hub
                        && hub.is_open(older)
                    {
                        return Err(format!(
                            "taken over: {peer} has connection {}, and {} is still served",
                            conn.0, older.0
                        ));
                    }
                    self.tell(|| {
                        format!("{peer} is in: connection {}, instance {instance}", conn.0)
                    });
                }
                Event::Ended {
                    conn,
                    peer,
                    cause,
                    detail,
                } => {
                    self.present.retain(|_, (of, _)| *of != conn);
                    self.tell(|| {
                        format!(
                            "the hub ends connection {}: {} ({detail})",
                            conn.0,
                            cause.as_str()
                        )
                    });
                    self.check_end(conn, peer.as_ref().map(ToString::to_string), cause)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn carry_down(&mut self) -> Result<(), String> {
        let Some(hub) = &mut self.hub else {
            return Ok(());
        };
        self.has_more.append(&mut hub.take_ready());
        for conn in self.has_more.clone() {
            self.transmit(conn)?;
        }
        // Sockets that take nothing for too long.
        let now_ms = self.now_ms;
        let timeout_ms = limits().write_timeout_ms;
        let stuck: Vec<ConnId> = self
            .links
            .iter()
            .filter(|link| {
                link.hub_open
                    && !link.is_dead
                    && link
                        .unread_since_ms
                        .is_some_and(|since| since + timeout_ms <= now_ms)
            })
            .map(|link| link.conn)
            .collect();
        for conn in stuck {
            if let Some(hub) = &mut self.hub {
                hub.close(
                    conn,
                    CloseReason::Unread,
                    "its socket takes nothing".to_owned(),
                );
                let mut last_words = Vec::new();
                while hub.poll_transmit(conn, 1 << 20, &mut last_words) == Transmit::More {}
                for frame in &last_words {
                    self.coverage.saw(frame, true);
                }
            }
            if let Some(link) = self.link(conn) {
                link.hub_open = false;
            }
            self.hub_lost(conn);
        }
        Ok(())
    }

    pub(super) fn transmit(&mut self, conn: ConnId) -> Result<(), String> {
        loop {
            let now_ms = self.now_ms;
            let Some(link) = self.links.iter_mut().find(|link| link.conn == conn) else {
                self.has_more.remove(&conn);
                return Ok(());
            };
            if link.down.is_full() && !link.is_dead {
                link.unread_since_ms.get_or_insert(now_ms);
                return Ok(());
            }
            link.unread_since_ms = None;
            let Some(hub) = &mut self.hub else {
                return Ok(());
            };
            let had_work = hub.deliverable(conn);
            let mut frames = Vec::new();
            let left = hub.poll_transmit(conn, 1, &mut frames);
            for frame in frames {
                self.coverage.saw(&frame, true);
                self.check_turns(conn, &had_work, &frame)?;
                let due_ms = self.now_ms + self.latency_ms();
                let told = match (&mut self.liar, self.step <= self.plan.steps) {
                    (Some(liar), true) => liar.tell(frame, &mut self.chances),
                    _ => vec![frame],
                };
                for frame in told {
                    self.coverage.saw(&frame, false);
                    if let Some(link) = self.link(conn)
                        && !link.is_dead
                    {
                        link.down.push(frame, due_ms);
                    }
                }
            }
            match left {
                Transmit::More => {}
                Transmit::Drained => {
                    self.has_more.remove(&conn);
                    return Ok(());
                }
                Transmit::Last => {
                    self.hub_lost(conn);
                    if let Some(link) = self.link(conn) {
                        link.hub_open = false;
                    }
                    return Ok(());
                }
            }
        }
    }
}
