//! Shares: from the miner's message to the record, and from the record to the answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use bitcoin::BlockHash;
use bitcoin::hashes::Hash as _;
use stratum_core::mining_sv2::{
    ERROR_CODE_SUBMIT_SHARES_DIFFICULTY_TOO_LOW as DIFFICULTY_TOO_LOW,
    ERROR_CODE_SUBMIT_SHARES_DUPLICATE_SHARE as DUPLICATE_SHARE,
    ERROR_CODE_SUBMIT_SHARES_INVALID_CHANNEL_ID as INVALID_CHANNEL_ID,
    MESSAGE_TYPE_SUBMIT_SHARES_ERROR, MESSAGE_TYPE_SUBMIT_SHARES_SUCCESS, SubmitSharesErrorOwned,
    SubmitSharesExtended, SubmitSharesStandard, SubmitSharesSuccess,
};

use super::channel::{MiningChannel, Refusal, ValidShare};
use super::connection::MiningConnection;
use super::wire::{self, Malformed};
use super::{Action, Intake, Recorded, codes};
use crate::identity::MinerIdentity;
use crate::template::block::{FoundBlock, HeaderChoice};

/// A share that is right and worth a quote, and is not yet on disk.
#[derive(Clone, Debug)]
pub struct AcceptedShare {
    /// The channel it came on.
    pub channel_id: u32,
    /// The miner's number for it, on that channel.
    pub sequence_number: u32,
    /// Double SHA-256 of its header, as the hash function gives it.
    pub header_hash: [u8; 32],
    /// What it is worth, in ehash.
    pub amount: u64,
    /// Whom it is paid to.
    pub miner: Arc<MinerIdentity>,
    /// Difficulty of the target it was checked against.
    pub difficulty: f64,
}

/// What one `SubmitShares.Success` will say.
#[derive(Default)]
struct Batch {
    last_sequence_number: u32,
    accepted: u32,
    difficulty: f64,
}

impl MiningConnection {
    pub(super) fn submit_standard(
        &mut self,
        payload: &mut [u8],
        intake: Intake,
        out: &mut Vec<Action>,
    ) -> Result<(), Malformed> {
        let share: SubmitSharesStandard = wire::decode(payload)?;
        let choice = HeaderChoice {
            version: share.version,
            time_unix_s: share.ntime,
            nonce: share.nonce,
        };
        let (channel_id, sequence_number) = (share.channel_id, share.sequence_number);
        let check = |channel: &mut MiningChannel| channel.submit_standard(share);
        self.submit((channel_id, sequence_number), choice, intake, check, out);
        Ok(())
    }

    pub(super) fn submit_extended(
        &mut self,
        payload: &mut [u8],
        intake: Intake,
        out: &mut Vec<Action>,
    ) -> Result<(), Malformed> {
        let share: SubmitSharesExtended = wire::decode(payload)?;
        let choice = HeaderChoice {
            version: share.version,
            time_unix_s: share.ntime,
            nonce: share.nonce,
        };
        let (channel_id, sequence_number) = (share.channel_id, share.sequence_number);
        let check = |channel: &mut MiningChannel| channel.submit_extended(share.into_owned());
        self.submit((channel_id, sequence_number), choice, intake, check, out);
        Ok(())
    }

    /// What is the same for both kinds of share: `check` is the channel's word on it.
    fn submit(
        &mut self,
        (channel_id, sequence_number): (u32, u32),
        choice: HeaderChoice,
        intake: Intake,
        check: impl FnOnce(&mut MiningChannel) -> Result<ValidShare, Refusal>,
        out: &mut Vec<Action>,
    ) {
        let verdict = match self.channels.get_mut(&channel_id) {
            None => Err(Refusal::Code(INVALID_CHANNEL_ID)),
            Some(channel) if channel.closing.is_some() => {
                Err(Refusal::Code(codes::CHANNEL_CLOSING))
            }
            Some(channel) => check(channel),
        };
        let share = match verdict {
            Ok(share) => share,
            Err(Refusal::Code(code)) => return refuse(channel_id, sequence_number, code, out),
            Err(Refusal::SeenSharesExhausted) => {
                refuse(channel_id, sequence_number, codes::CHANNEL_CLOSING, out);
                return self.begin_closing(channel_id, codes::SEEN_SHARES_EXHAUSTED, out);
            }
        };
        // A block is worth handing over whatever becomes of the share.
        if let Some((template_id, coinbase)) = &share.block {
            self.found_block(*template_id, coinbase, choice, &share.header_hash, out);
        }
        if intake == Intake::TemplateOutdated {
            let code = codes::BLOCK_TEMPLATE_OUTDATED;
            return refuse(channel_id, sequence_number, code, out);
        }
        // Only where the network's target is easier than our minimum can a share come here and be worth nothing.
        let Some(amount) = self.shared.rules.minimum.amount(&share.header_hash) else {
            return refuse(channel_id, sequence_number, DIFFICULTY_TOO_LOW, out);
        };
        let Some(channel) = self.channels.get_mut(&channel_id) else {
            return;
        };
        channel.in_flight += 1;
        let exhausted = channel.seen_shares_exhausted();
        out.push(Action::Record(AcceptedShare {
            channel_id,
            sequence_number,
            header_hash: share.header_hash,
            amount,
            miner: Arc::clone(&channel.miner),
            difficulty: share.difficulty,
        }));
        if exhausted {
            self.begin_closing(channel_id, codes::SEEN_SHARES_EXHAUSTED, out);
        }
    }

    fn found_block(
        &self,
        template_id: u64,
        coinbase: &[u8],
        choice: HeaderChoice,
        header_hash: &[u8; 32],
        out: &mut Vec<Action>,
    ) {
        let Some(work) = self
            .templates
            .iter()
            .find(|work| work.template_id == template_id)
        else {
            tracing::error!(template_id, "a block was found on a template that is gone");
            return;
        };
        let share_hash = BlockHash::from_byte_array(*header_hash);
        match FoundBlock::assemble(&work.template, coinbase, choice, share_hash) {
            Ok(block) => out.push(Action::Submit(Box::new(block))),
            Err(error) => tracing::error!(%error, "a found block could not be put together"),
        }
    }

    /// No further shares; `CloseChannel` when those on the way to the disk are answered.
    fn begin_closing(&mut self, channel_id: u32, reason: &'static str, out: &mut Vec<Action>) {
        let Some(channel) = self.channels.get_mut(&channel_id) else {
            return;
        };
        channel.closing = Some(reason);
        if channel.in_flight == 0 {
            self.close(channel_id, reason, out);
        }
    }

    /// Answers shares whose writes have ended, in the order in which they were given out as
    /// [`Action::Record`]. Those of one channel that were stored share one `SubmitShares.Success`; it comes after
    /// the errors, so that every share up to its `last_sequence_number` has its answer by then.
    pub fn recorded(
        &mut self,
        outcomes: impl IntoIterator<Item = (AcceptedShare, Recorded)>,
        out: &mut Vec<Action>,
    ) {
        let mut batches: BTreeMap<u32, Batch> = BTreeMap::new();
        let mut answered: Vec<u32> = Vec::new();
        for (share, outcome) in outcomes {
            // A channel that was closed meanwhile hears no more (5.3.9); its shares are on disk all the same.
            let Some(channel) = self.channels.get_mut(&share.channel_id) else {
                continue;
            };
            channel.in_flight = channel.in_flight.saturating_sub(1);
            answered.push(share.channel_id);
            let code = match outcome {
                Recorded::Stored => {
                    let batch = batches.entry(share.channel_id).or_default();
                    batch.last_sequence_number = share.sequence_number;
                    batch.accepted += 1;
                    batch.difficulty += share.difficulty;
                    continue;
                }
                Recorded::Duplicate => DUPLICATE_SHARE,
                Recorded::BacklogFull => codes::QUOTE_BACKLOG_FULL,
                Recorded::MinerBacklogFull => codes::MINER_BACKLOG_FULL,
                Recorded::Failed => codes::STORAGE_FAILED,
            };
            refuse(share.channel_id, share.sequence_number, code, out);
        }
        for (channel_id, batch) in batches {
            let answer = SubmitSharesSuccess {
                channel_id,
                last_sequence_number: batch.last_sequence_number,
                new_submits_accepted_count: batch.accepted,
                // The wire has whole numbers: a batch of very easy shares sums up to 0.
                new_shares_sum: batch.difficulty as u64,
            };
            let answer = wire::channel_frame(MESSAGE_TYPE_SUBMIT_SHARES_SUCCESS, answer);
            out.push(Action::Send(answer));
        }
        for channel_id in answered {
            let closing = self
                .channels
                .get(&channel_id)
                .filter(|channel| channel.in_flight == 0)
                .and_then(|channel| channel.closing);
            if let Some(reason) = closing {
                self.close(channel_id, reason, out);
            }
        }
    }
}

fn refuse(channel_id: u32, sequence_number: u32, code: &'static str, out: &mut Vec<Action>) {
    let answer = SubmitSharesErrorOwned {
        channel_id,
        sequence_number,
        error_code: wire::code(code),
    };
    let answer = wire::channel_frame(MESSAGE_TYPE_SUBMIT_SHARES_ERROR, answer);
    out.push(Action::Send(answer));
    out.push(Action::Refused(code));
}
