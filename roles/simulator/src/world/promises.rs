//! What must hold after every step.

use std::collections::BTreeSet;

use winze_client::session::ChannelEnd;
use winze_hub::core::reasons::CloseReason;
use winze_hub::core::{ConnId, EndCause};
use winze_messages::{EXT_COMMON, EXT_MINT_QUOTE};
use winze_transport::Frame;

use super::World;
use crate::cast::{MINT, limits};
use crate::client::View;
use crate::net::Who;
use crate::pool::WINDOW;

impl World {
    pub(super) fn check(&mut self) -> Result<(), String> {
        let rejects_park = !self.is_honest;
        for place in 0..self.pools.len() {
            let pool = &mut self.pools[place];
            if std::mem::take(&mut pool.is_dirty) || self.step.is_multiple_of(100) {
                let (name, truth) = (pool.name, &mut self.truth);
                let mut outcome = Ok(());
                let read = pool.disk.read(|db| {
                    outcome = truth.check_pool(name, db, rejects_park);
                    Ok(())
                });
                outcome.and(read.map_err(|error| error.to_string()))?;
            }
        }
        if std::mem::take(&mut self.mint.is_dirty) {
            self.truth.check_mint()?;
            self.check_mints_notices()?;
        }
        self.check_memory()?;
        self.check_group()?;
        self.check_presence(false)
    }

    /// Hub, sessions and requesters hold no more than their windows.
    pub(super) fn check_memory(&mut self) -> Result<(), String> {
        for who in Who::honest() {
            let Some(client) = self.client(who) else {
                continue;
            };
            let (load, bound) = (client.session.load(), client.session.load_max());
            if !load.is_within(&bound) {
                return Err(format!(
                    "memory: the session of {who:?} holds {load:?}, {bound:?} is the bound"
                ));
            }
        }
        for pool in &self.pools {
            let in_flight = pool.in_flight(self.now());
            if in_flight > WINDOW {
                return Err(format!(
                    "memory: {} has {in_flight} requests under way, {WINDOW} is the bound",
                    pool.name
                ));
            }
        }
        let Some(hub) = &self.hub else {
            return Ok(());
        };
        let load = hub.load();
        let limits = limits();
        let directions = 2 * load.channels as u64;
        let (messages_max, bytes_max) = (
            directions * limits.window_messages,
            directions * limits.window_bytes,
        );
        match load.queued.messages <= messages_max && load.queued.bytes <= bytes_max {
            true => Ok(()),
            false => Err(format!(
                "memory: the hub holds {:?} for {} channels, {messages_max} messages and \
                 {bytes_max} bytes are the bound",
                load.queued, load.channels
            )),
        }
    }

    /// Every change of a far end is told: where nothing is on its way, each end knows who is there.
    pub(super) fn check_presence(&mut self, at_the_end: bool) -> Result<(), String> {
        if !self.is_honest || self.hub.is_none() {
            return Ok(());
        }
        for who in Who::honest() {
            if !self.is_settled(who) {
                if at_the_end && self.client(who).is_none_or(|client| client.conn.is_none()) {
                    return Err(format!("{who:?} has no connection after the quiet period"));
                }
                return Ok(());
            }
        }
        for who in Who::honest() {
            let Some(client) = self.client(who) else {
                continue;
            };
            let views: Vec<_> = client
                .views
                .iter()
                .map(|(key, view)| (*key, *view))
                .collect();
            for (key, view) in views {
                let Some((name, end)) = self.client(who).and_then(|client| client.name(key)) else {
                    continue;
                };
                let truth = self.present.get(&name.peer).map(|(_, instance)| *instance);
                match view {
                    View::Present(told) if truth != Some(told) => {
                        return Err(format!(
                            "not told: {who:?} believes {} to be there as instance {told}, and it is \
                             {truth:?}",
                            name.peer
                        ));
                    }
                    View::Away | View::Closed
                        if at_the_end
                            && end == ChannelEnd::Opener
                            && name.extension == EXT_MINT_QUOTE =>
                    {
                        return Err(format!(
                            "not told: {who:?} believes {MINT} to be away after the quiet period, and it \
                             is {truth:?}"
                        ));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// Whether nothing is on its way to or from a client.
    pub(super) fn is_settled(&mut self, who: Who) -> bool {
        let Some(client) = self.client(who) else {
            return false;
        };
        let Some(conn) = client.conn else {
            return false;
        };
        if client.has_woken() || client.session.wants_to_transmit() || !client.session.is_ready() {
            return false;
        }
        if self.has_more.contains(&conn) {
            return false;
        }
        if self.hub.as_mut().is_some_and(|hub| {
            let ready = hub.take_ready();
            let is_ready = ready.contains(&conn);
            self.has_more.extend(ready);
            is_ready
        }) {
            return false;
        }
        self.link(conn).is_some_and(|link| {
            link.up.is_empty() && link.down.is_empty() && link.hub_open && !link.is_dead
        })
    }

    pub(super) fn is_all_answered(&self) -> Result<bool, String> {
        for pool in &self.pools {
            if pool.waiting().map_err(|error| error.to_string())? > 0 {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// After the quiet period every pool goes by the keyset that the mint has announced last.
    pub(super) fn check_keysets(&self) -> Result<(), String> {
        let announced = self.mint.announced();
        for pool in &self.pools {
            let keyset = pool.keyset().map_err(|error| error.to_string())?;
            if keyset != announced {
                return Err(format!(
                    "not told: {} goes by the keyset {keyset:?}, and the mint by {announced:?}",
                    pool.name
                ));
            }
        }
        Ok(())
    }

    /// An honest client at an honest hub breaks no rule.
    pub(super) fn check_end(
        &self,
        conn: ConnId,
        peer: Option<String>,
        cause: EndCause,
    ) -> Result<(), String> {
        let link = self.links.iter().find(|link| link.conn == conn);
        let is_evil = link.is_none_or(|link| link.who == Who::Evil);
        let is_fault_of_client = matches!(
            cause,
            EndCause::SetupRefused(_)
                | EndCause::ExtensionsRefused
                | EndCause::Closed(
                    CloseReason::Malformed
                        | CloseReason::NotAuthenticated
                        | CloseReason::UnknownMessage
                        | CloseReason::PayloadTooLong
                        | CloseReason::CreditExceeded
                        | CloseReason::ControlOverflow
                )
        );
        match is_fault_of_client && !is_evil && self.is_honest {
            true => Err(format!(
                "{} kept every rule and was closed: {}",
                peer.unwrap_or_else(|| "a client".to_owned()),
                cause.as_str()
            )),
            false => Ok(()),
        }
    }

    /// Channels take turns: while one has a message and credit, none of the others is served twice.
    pub(super) fn check_turns(
        &mut self,
        conn: ConnId,
        had_work: &BTreeSet<u32>,
        frame: &Frame,
    ) -> Result<(), String> {
        let waiting = self.passed_over.entry(conn).or_default();
        waiting.retain(|channel_id, _| had_work.contains(channel_id));
        if !frame.is_channel_msg() || frame.extension() == EXT_COMMON {
            return Ok(());
        }
        let served = frame.channel_id().unwrap_or(0);
        for channel_id in had_work {
            let others = waiting.entry(*channel_id).or_default();
            if *channel_id == served {
                others.clear();
            } else if !others.insert(served) {
                return Err(format!(
                    "starved: channel {channel_id} of connection {} had a message and credit while \
                     channel {served} had two turns",
                    conn.0
                ));
            }
        }
        Ok(())
    }
}
