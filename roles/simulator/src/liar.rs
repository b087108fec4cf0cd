//! A hub that lies: what passes through it is withheld, altered, sent again, or made up.

use rand::Rng;
use winze_messages::families::common::Reconnect;
use winze_messages::families::hub::{HubMessage, Presence, Reject};
use winze_messages::families::mint_quote::StoreState;
use winze_messages::{EXT_COMMON, EXT_HUB, EXT_MINT_QUOTE};
use winze_transport::Frame;

use crate::fault::{Chances, Fault};

/// Frames that it remembers.
const KEPT_MAX: usize = 40;

/// See the [module](self).
#[derive(Default)]
pub struct Liar {
    kept: Vec<Frame>,
    /// What was said of stores.
    states: Vec<Frame>,
}

impl Liar {
    /// What it makes of a frame, in either direction. What sets a connection up it leaves alone:
    /// a hub that lets nobody in cannot lie to anybody.
    pub fn tell(&mut self, mut frame: Frame, chances: &mut Chances) -> Vec<Frame> {
        if !frame.is_channel_msg() {
            return self.invent(frame, chances);
        }
        let is_state = frame.msg_type == StoreState::MSG_TYPE;
        if frame.extension() == EXT_MINT_QUOTE && is_state {
            let older = self.older_state(&frame, chances);
            if self.states.len() < KEPT_MAX {
                self.states.push(frame.clone());
            }
            if let Some(older) = older {
                return vec![older];
            }
        }
        if let Some(rng) = chances.draw(Fault::Replayed) {
            if !self.kept.is_empty() {
                let mut again = self.kept[rng.gen_range(0..self.kept.len())].clone();
                if again.extension() == frame.extension() {
                    again.set_channel_id(frame.channel_id().unwrap_or(0));
                }
                return vec![frame, again];
            }
        } else if chances.draw(Fault::Withheld).is_some() {
            return Vec::new();
        } else if let Some(rng) = chances.draw(Fault::Altered)
            && frame.payload.len() > 4
        {
            let place = rng.gen_range(4..frame.payload.len());
            frame.payload[place] ^= 1 << rng.gen_range(0..8);
            return vec![frame];
        }
        match self.kept.len() < KEPT_MAX {
            true => self.kept.push(frame.clone()),
            false => {
                let oldest = self.kept.remove(0);
                drop(oldest);
                self.kept.push(frame.clone());
            }
        }
        vec![frame]
    }

    /// What was said of a store before, by either end, in place of what is said now.
    fn older_state(&self, state: &Frame, chances: &mut Chances) -> Option<Frame> {
        let rng = chances.draw(Fault::OldState)?;
        let of_same = |older: &&Frame| sealed_with(older) == sealed_with(state);
        let older: Vec<&Frame> = self.states.iter().filter(of_same).collect();
        let place = rng.gen_range(0..older.len().max(1));
        let mut older = (*older.get(place)?).clone();
        older.set_channel_id(state.channel_id().unwrap_or(0));
        Some(older)
    }

    fn invent(&mut self, frame: Frame, chances: &mut Chances) -> Vec<Frame> {
        let sets_up = frame.extension() != EXT_HUB || frame.msg_type < 0x09;
        if sets_up || frame.extension() == EXT_COMMON {
            return vec![frame];
        }
        let Some(rng) = chances.draw(Fault::Invented) else {
            return vec![frame];
        };
        let channel_id = rng.gen_range(1..6);
        let invented = match rng.gen_range(0..8) {
            0..3 => HubMessage::Reject(Reject {
                channel_id,
                ordinal: rng.gen_range(1..40),
                error_code: "malformed".to_owned(),
                detail: String::new(),
            })
            .to_frame(),
            3..6 => HubMessage::Presence(Presence {
                channel_id,
                present: rng.r#gen(),
                instance: rng.gen_range(1..9),
            })
            .to_frame(),
            6 => Reconnect {
                new_host: String::new(),
                new_port: 0,
            }
            .to_frame(),
            _ => {
                return self
                    .kept
                    .last()
                    .cloned()
                    .into_iter()
                    .chain([frame])
                    .collect();
            }
        };
        let mut told = vec![frame];
        told.extend(invented);
        told
    }
}

/// Which key says that a state is its sender's: one of each pair and direction.
fn sealed_with(state: &Frame) -> Option<&[u8]> {
    let authenticator = state.payload.len().checked_sub(48)?;
    state.payload.get(authenticator..authenticator + 8)
}
