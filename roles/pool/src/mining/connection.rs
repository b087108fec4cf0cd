//! The state machine of one miner's connection.

use std::collections::{BTreeMap, VecDeque};

use stratum_core::common_messages_sv2::MESSAGE_TYPE_SETUP_CONNECTION;
use stratum_core::extensions_sv2::MESSAGE_TYPE_REQUEST_EXTENSIONS;
use stratum_core::mining_sv2::{
    ERROR_CODE_SET_CUSTOM_MINING_JOB_JD_NOT_SUPPORTED as JD_NOT_SUPPORTED,
    MESSAGE_TYPE_CLOSE_CHANNEL, MESSAGE_TYPE_OPEN_EXTENDED_MINING_CHANNEL,
    MESSAGE_TYPE_OPEN_STANDARD_MINING_CHANNEL, MESSAGE_TYPE_SET_CUSTOM_MINING_JOB,
    MESSAGE_TYPE_SET_CUSTOM_MINING_JOB_ERROR, MESSAGE_TYPE_SUBMIT_SHARES_EXTENDED,
    MESSAGE_TYPE_SUBMIT_SHARES_STANDARD, MESSAGE_TYPE_UPDATE_CHANNEL, SetCustomMiningJob,
    SetCustomMiningJobErrorOwned,
};
use winze_transport::Frame;

use super::channel::{Install, MiningChannel};
use super::notice::{self, QuoteNotice};
use super::wire::{self, CORE, EXTENSIONS_NEGOTIATION, Malformed};
use super::{Action, Hangup, Intake, Shared, codes, setup};
use crate::limits::{CHANNEL_OPEN_TIMEOUT_MS, TEMPLATES_KEPT, TIP_RESTAMP_S};
use crate::template::feed::Work;

/// The group that all channels of a connection belong to. Channel ids come after it, from one namespace (Sv2
/// specification 5.2.3).
pub(super) const GROUP_CHANNEL_ID: u32 = 1;

/// One miner's connection after the Noise handshake.
pub struct MiningConnection {
    pub(super) shared: Shared,
    pub(super) channels: BTreeMap<u32, MiningChannel>,
    pub(super) next_channel_id: u32,
    /// Templates on the present previous block, the newest last; at most [`TEMPLATES_KEPT`].
    pub(super) templates: VecDeque<Work>,
    pub(super) requires_standard_jobs: bool,
    /// Start time that the present previous block was first handed out with, Unix seconds.
    tip_start_unix_s: u32,
    set_up: bool,
    pub(super) quotes_agreed: bool,
    hung_up: bool,
    opened_ms: u64,
    heard_ms: u64,
    had_channel: bool,
}

impl MiningConnection {
    /// A connection whose handshake ended at `now_ms` (any clock that only rises).
    pub fn new(shared: Shared, now_ms: u64) -> MiningConnection {
        MiningConnection {
            shared,
            channels: BTreeMap::new(),
            next_channel_id: GROUP_CHANNEL_ID + 1,
            templates: VecDeque::new(),
            requires_standard_jobs: false,
            tip_start_unix_s: 0,
            set_up: false,
            quotes_agreed: false,
            hung_up: false,
            opened_ms: now_ms,
            heard_ms: now_ms,
            had_channel: false,
        }
    }

    /// How many channels are open.
    pub fn channel_count(&self) -> usize {
        self.channels.len()
    }

    /// Takes one frame from the miner.
    pub fn handle(&mut self, mut frame: Frame, intake: Intake, now_ms: u64, out: &mut Vec<Action>) {
        if self.hung_up {
            return;
        }
        self.heard_ms = now_ms;
        let outcome = match frame.extension() {
            CORE => self.core(frame.msg_type, &mut frame.payload, intake, now_ms, out),
            EXTENSIONS_NEGOTIATION if self.set_up => self.negotiation(&mut frame, out),
            // Before the setup nothing else is allowed; after it an unknown extension is ignored (3.4.1), and of
            // the mint-quote family a miner has nothing to send.
            _ if self.set_up => Ok(()),
            _ => self.unexpected(frame.msg_type, out),
        };
        if let Err(error) = outcome {
            let message = format!(
                "message {:#04x} of extension {:#06x}: {error}",
                frame.msg_type,
                frame.extension()
            );
            self.hang_up(Hangup::Protocol(message), out);
        }
        self.had_channel |= !self.channels.is_empty();
    }

    fn core(
        &mut self,
        msg_type: u8,
        payload: &mut [u8],
        intake: Intake,
        now_ms: u64,
        out: &mut Vec<Action>,
    ) -> Result<(), Malformed> {
        match (msg_type, self.set_up) {
            (MESSAGE_TYPE_SETUP_CONNECTION, false) => self.setup(payload, out),
            (_, false) => self.unexpected(msg_type, out),
            (MESSAGE_TYPE_OPEN_STANDARD_MINING_CHANNEL, true) => {
                self.open_standard(payload, intake, now_ms, out)
            }
            (MESSAGE_TYPE_OPEN_EXTENDED_MINING_CHANNEL, true) => {
                self.open_extended(payload, intake, now_ms, out)
            }
            (MESSAGE_TYPE_SUBMIT_SHARES_STANDARD, true) => {
                self.submit_standard(payload, intake, out)
            }
            (MESSAGE_TYPE_SUBMIT_SHARES_EXTENDED, true) => {
                self.submit_extended(payload, intake, out)
            }
            (MESSAGE_TYPE_UPDATE_CHANNEL, true) => self.update_channel(payload, now_ms, out),
            (MESSAGE_TYPE_CLOSE_CHANNEL, true) => self.close_channel(payload, out),
            (MESSAGE_TYPE_SET_CUSTOM_MINING_JOB, true) => refuse_custom_job(payload, out),
            (_, true) => self.unexpected(msg_type, out),
        }
    }

    fn setup(&mut self, payload: &mut [u8], out: &mut Vec<Action>) -> Result<(), Malformed> {
        match setup::setup_connection(payload)? {
            Ok(accepted) => {
                self.set_up = true;
                self.requires_standard_jobs = accepted.requires_standard_jobs;
                out.push(Action::Send(accepted.answer));
            }
            Err((answer, code)) => {
                out.push(Action::Send(answer));
                self.hang_up(Hangup::SetupRefused(code), out);
            }
        }
        Ok(())
    }

    fn negotiation(&mut self, frame: &mut Frame, out: &mut Vec<Action>) -> Result<(), Malformed> {
        if frame.msg_type != MESSAGE_TYPE_REQUEST_EXTENSIONS {
            return self.unexpected(frame.msg_type, out);
        }
        let (answer, agreed) = setup::request_extensions(&mut frame.payload)?;
        self.quotes_agreed = agreed;
        out.push(Action::Send(answer));
        Ok(())
    }

    fn unexpected(&mut self, msg_type: u8, out: &mut Vec<Action>) -> Result<(), Malformed> {
        let at = if self.set_up {
            "is none that a miner sends"
        } else {
            "came before SetupConnection"
        };
        let message = format!("message {msg_type:#04x} {at}");
        self.hang_up(Hangup::Protocol(message), out);
        Ok(())
    }

    fn hang_up(&mut self, why: Hangup, out: &mut Vec<Action>) {
        if !self.hung_up {
            self.hung_up = true;
            out.push(Action::Hangup(why));
        }
    }

    /// Takes a new template and hands each channel its job.
    pub fn new_work(&mut self, work: Work, out: &mut Vec<Action>) {
        let how = match self.templates.back() {
            Some(last)
                if last.template.prev_hash == work.template.prev_hash
                    && last.template.bits == work.template.bits
                    && !self.restamp_is_due(&work) =>
            {
                Install::SameTip
            }
            _ => {
                self.templates.clear();
                self.tip_start_unix_s = work.template.start_time_unix_s;
                Install::NewTip
            }
        };
        if self.templates.len() == TEMPLATES_KEPT {
            self.templates.pop_front();
        }
        self.templates.push_back(work.clone());
        let mut failed = Vec::new();
        for (channel_id, channel) in &mut self.channels {
            let job_number = self.shared.extranonces.next_job();
            match channel.install(&work, job_number, how) {
                Ok(frames) => out.extend(frames.into_iter().map(Action::Send)),
                Err(error) => {
                    tracing::error!(%error, channel_id, "no job can be made for a channel");
                    failed.push(*channel_id);
                }
            }
        }
        for channel_id in failed {
            self.close(channel_id, codes::JOB_FAILED, out);
        }
    }

    /// Shares are taken up to two hours after the start time of the tip that they were handed out with. Where a tip
    /// lasts, it has to be handed out again.
    fn restamp_is_due(&self, work: &Work) -> bool {
        let age_s = work
            .template
            .start_time_unix_s
            .saturating_sub(self.tip_start_unix_s);
        age_s >= TIP_RESTAMP_S
    }

    /// Tells the miner what became of a share's quote, if the extension was agreed on and the channel is open.
    pub fn notify(&mut self, channel_id: u32, quote: &QuoteNotice, out: &mut Vec<Action>) {
        if self.quotes_agreed && self.channels.contains_key(&channel_id) {
            match notice::frame(channel_id, quote) {
                Ok(frame) => out.push(Action::Send(frame)),
                Err(error) => tracing::warn!(%error, "a quote notice cannot be written"),
            }
        }
    }

    /// Looks at the clocks. To be called about once a second.
    pub fn tick(&mut self, now_ms: u64, out: &mut Vec<Action>) {
        if self.hung_up {
            return;
        }
        if !self.had_channel && now_ms.saturating_sub(self.opened_ms) >= CHANNEL_OPEN_TIMEOUT_MS {
            return self.hang_up(Hangup::NoChannel, out);
        }
        if now_ms.saturating_sub(self.heard_ms) >= self.shared.rules.idle_timeout_ms {
            return self.hang_up(Hangup::Idle, out);
        }
        let shares_per_minute = self.shared.rules.shares_per_minute;
        let mut due = Vec::new();
        for (channel_id, channel) in &mut self.channels {
            channel.adjust_difficulty(shares_per_minute, now_ms);
            if channel.retarget_is_due(now_ms) {
                due.push(*channel_id);
            }
        }
        for channel_id in due {
            self.announce_target(channel_id, out);
        }
    }
}

/// Jobs are the pool's: the miner was told so when it set up the connection, and is told again.
fn refuse_custom_job(payload: &mut [u8], out: &mut Vec<Action>) -> Result<(), Malformed> {
    let message: SetCustomMiningJob = wire::decode(payload)?;
    let answer = SetCustomMiningJobErrorOwned {
        channel_id: message.channel_id,
        request_id: message.request_id,
        error_code: wire::code(JD_NOT_SUPPORTED),
    };
    let answer = wire::channel_frame(MESSAGE_TYPE_SET_CUSTOM_MINING_JOB_ERROR, answer);
    out.push(Action::Send(answer));
    Ok(())
}
