//! A hub that lies: what passes through it is withheld, altered, sent again, or made up.

use rand::Rng;
use winze_messages::families::common::Reconnect;
use winze_messages::families::hub::{HubMessage, Presence, Reject};
use winze_messages::{EXT_COMMON, EXT_HUB};
use winze_transport::Frame;

use crate::fault::{Chances, Fault};

/// Frames that it remembers.
const KEPT_MAX: usize = 40;

/// See the [module](self).
#[derive(Default)]
pub struct Liar {
    kept: Vec<Frame>,
}

impl Liar {
    /// What it makes of a frame, in either direction. What sets a connection up it leaves alone:
    /// a hub that lets nobody in cannot lie to anybody.
    pub fn tell(&mut self, mut frame: Frame, chances: &mut Chances) -> Vec<Frame> {
        if !frame.is_channel_msg() {
            return self.invent(frame, chances);
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
