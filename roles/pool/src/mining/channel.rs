//! One mining channel, standard or extended: its jobs, its target, its shares.

use std::sync::Arc;

use bitcoin::Target;
use stratum_core::binary_sv2::U256Owned;
use stratum_core::channels_sv2::server::extended::ExtendedChannel;
use stratum_core::channels_sv2::server::share_accounting::{
    ShareAccounting, ShareValidationError, ShareValidationResult,
};
use stratum_core::channels_sv2::server::standard::StandardChannel;
use stratum_core::channels_sv2::{Vardiff, VardiffState};
use stratum_core::mining_sv2::{
    ERROR_CODE_SUBMIT_SHARES_INVALID_SHARE, MESSAGE_TYPE_MINING_SET_NEW_PREV_HASH,
    MESSAGE_TYPE_NEW_EXTENDED_MINING_JOB, MESSAGE_TYPE_NEW_MINING_JOB, MESSAGE_TYPE_SET_TARGET,
    SetNewPrevHashOwned, SetTargetOwned, SubmitSharesExtendedOwned, SubmitSharesStandardOwned,
};
use thiserror::Error;
use winze_transport::Frame;

use super::wire;
use crate::identity::MinerIdentity;
use crate::limits::{RETARGET_INTERVAL_MS, VARDIFF_INTERVAL_MS};
use crate::template::TemplateError;
use crate::template::feed::Work;

/// A channel and whom it works for.
pub struct MiningChannel {
    id: u32,
    /// Whom its shares are paid to.
    pub miner: Arc<MinerIdentity>,
    kind: Kind,
    vardiff: VardiffState,
    vardiff_due_ms: u64,
    /// The target that the miner was told last.
    told: Target,
    /// When the next target may be told.
    retarget_from_ms: u64,
    /// Shares that wait for their commit.
    pub in_flight: u32,
    /// Set when the pool is about to close the channel, with the reason.
    pub closing: Option<&'static str>,
}

/// What `channels_sv2` keeps of a channel. Boxed: connections hold many, and the two differ in size.
pub enum Kind {
    /// Fixed extranonce: the miner rolls header fields alone.
    Standard(Box<StandardChannel>),
    /// The miner rolls a part of the extranonce too.
    Extended(Box<ExtendedChannel>),
}

/// How a template becomes a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Install {
    /// The previous block, or its start time, is new: a future job, and the message that makes it the only one.
    NewTip,
    /// The previous block is as before: a job to be taken up at once; earlier ones stay valid.
    SameTip,
}

/// A share that `channels_sv2` found right.
pub struct ValidShare {
    /// Double SHA-256 of the header, as the hash function gives it.
    pub header_hash: [u8; 32],
    /// Difficulty of the target it was checked against.
    pub difficulty: f64,
    /// Where it meets the network's target: the template's number and the whole coinbase.
    pub block: Option<(u64, Vec<u8>)>,
}

/// A share that is refused.
pub enum Refusal {
    /// With this code.
    Code(&'static str),
    /// Because the channel remembers as many shares as it may.
    SeenSharesExhausted,
}

/// The pool's own failure to make a job.
#[derive(Debug, Error)]
pub enum JobError {
    /// The template does not fit the wire.
    #[error(transparent)]
    Template(#[from] TemplateError),
    /// `channels_sv2` refuses; its words.
    #[error("channels_sv2: {0}")]
    Library(String),
}

impl MiningChannel {
    /// A channel without work yet. `shares_per_minute` and the minimum's hashes bound how slow a miner variable
    /// difficulty will believe in.
    pub fn new(id: u32, miner: MinerIdentity, kind: Kind, hashrate_min: f32, now_ms: u64) -> Self {
        let vardiff = VardiffState::new_with_min(hashrate_min).unwrap_or(VardiffState {
            // Fails on a clock before 1970; from there on the library starts its window anew.
            shares_since_last_update: 0,
            timestamp_of_last_update: 0,
            min_allowed_hashrate: hashrate_min,
        });
        let told = match &kind {
            Kind::Standard(channel) => *channel.get_target(),
            Kind::Extended(channel) => *channel.get_target(),
        };
        MiningChannel {
            id,
            miner: Arc::new(miner),
            kind,
            vardiff,
            vardiff_due_ms: now_ms + VARDIFF_INTERVAL_MS,
            told,
            retarget_from_ms: now_ms,
            in_flight: 0,
            closing: None,
        }
    }

    /// The target that new jobs have.
    pub fn target(&self) -> Target {
        match &self.kind {
            Kind::Standard(channel) => *channel.get_target(),
            Kind::Extended(channel) => *channel.get_target(),
        }
    }

    /// The bytes that the extranonce starts with.
    pub fn extranonce_prefix(&self) -> &[u8] {
        match &self.kind {
            Kind::Standard(channel) => channel.get_extranonce_prefix(),
            Kind::Extended(channel) => channel.get_extranonce_prefix(),
        }
    }

    /// Makes a job of a template; the frames tell the miner, and before it the target where that is news. `job_number`
    /// keeps its search space apart from that of every other job, see [`Template::to_new_template`].
    ///
    /// [`Template::to_new_template`]: crate::template::Template::to_new_template
    pub fn install(
        &mut self,
        work: &Work,
        job_number: u32,
        how: Install,
    ) -> Result<Vec<Frame>, JobError> {
        let mut frames = Vec::new();
        if self.target() != self.told {
            self.told = self.target();
            frames.push(self.set_target());
        }
        frames.extend(self.job(work, job_number, how)?);
        Ok(frames)
    }

    /// Whether there is a target to tell and it is time to: with a job under it, since a target holds for later jobs
    /// alone (5.3.21). Saying yes begins [`RETARGET_INTERVAL_MS`] anew.
    pub fn retarget_is_due(&mut self, now_ms: u64) -> bool {
        if self.target() == self.told || now_ms < self.retarget_from_ms {
            return false;
        }
        self.retarget_from_ms = now_ms + RETARGET_INTERVAL_MS;
        true
    }

    fn job(&mut self, work: &Work, job_number: u32, how: Install) -> Result<Vec<Frame>, JobError> {
        let template = &work.template;
        let is_future = how == Install::NewTip;
        let message = template.to_new_template(work.template_id, job_number, is_future)?;
        let outputs = template.payout_outputs();
        match &mut self.kind {
            Kind::Standard(channel) => channel
                .on_new_template(message, outputs)
                .map_err(|error| JobError::Library(format!("{error:?}")))?,
            Kind::Extended(channel) => channel
                .on_new_template(message, outputs)
                .map_err(|error| JobError::Library(format!("{error:?}")))?,
        }
        match how {
            Install::SameTip => Ok(vec![self.active_job()?]),
            Install::NewTip => {
                let (job_id, job) = self.future_job(work.template_id)?;
                let tip = template.to_set_new_prev_hash(work.template_id);
                let announcement = SetNewPrevHashOwned {
                    channel_id: self.id,
                    job_id,
                    prev_hash: tip.prev_hash.clone(),
                    min_ntime: tip.header_timestamp,
                    nbits: tip.n_bits,
                };
                match &mut self.kind {
                    Kind::Standard(channel) => channel
                        .on_set_new_prev_hash(tip)
                        .map_err(|error| JobError::Library(format!("{error:?}")))?,
                    Kind::Extended(channel) => channel
                        .on_set_new_prev_hash(tip)
                        .map_err(|error| JobError::Library(format!("{error:?}")))?,
                }
                let announcement =
                    wire::channel_frame(MESSAGE_TYPE_MINING_SET_NEW_PREV_HASH, announcement);
                Ok(vec![job, announcement])
            }
        }
    }

    fn active_job(&self) -> Result<Frame, JobError> {
        match &self.kind {
            Kind::Standard(channel) => channel.get_active_job().map(|job| {
                wire::channel_frame(MESSAGE_TYPE_NEW_MINING_JOB, job.get_job_message().clone())
            }),
            Kind::Extended(channel) => channel.get_active_job().map(|job| {
                let message = job.get_job_message().clone();
                wire::channel_frame(MESSAGE_TYPE_NEW_EXTENDED_MINING_JOB, message)
            }),
        }
        .ok_or_else(|| JobError::Library("the new job is not active".to_owned()))
    }

    fn future_job(&self, template_id: u64) -> Result<(u32, Frame), JobError> {
        match &self.kind {
            Kind::Standard(channel) => channel
                .get_future_job_id_from_template_id(template_id)
                .and_then(|job_id| channel.get_future_job(job_id))
                .map(|job| {
                    let message = job.get_job_message().clone();
                    let frame = wire::channel_frame(MESSAGE_TYPE_NEW_MINING_JOB, message);
                    (job.get_job_id(), frame)
                }),
            Kind::Extended(channel) => channel
                .get_future_job_id_from_template_id(template_id)
                .and_then(|job_id| channel.get_future_job(job_id))
                .map(|job| {
                    let message = job.get_job_message().clone();
                    let frame = wire::channel_frame(MESSAGE_TYPE_NEW_EXTENDED_MINING_JOB, message);
                    (job.get_job_id(), frame)
                }),
        }
        .ok_or_else(|| JobError::Library("the future job was not kept".to_owned()))
    }

    /// Checks a share of a standard channel.
    pub fn submit_standard(
        &mut self,
        share: SubmitSharesStandardOwned,
    ) -> Result<ValidShare, Refusal> {
        let before = self.accounting().get_share_work_sum();
        let verdict = match &mut self.kind {
            Kind::Standard(channel) => channel.validate_share(share),
            Kind::Extended(_) => return Err(Refusal::Code(ERROR_CODE_SUBMIT_SHARES_INVALID_SHARE)),
        };
        self.judge(verdict, before)
    }

    /// Checks a share of an extended channel.
    pub fn submit_extended(
        &mut self,
        share: SubmitSharesExtendedOwned,
    ) -> Result<ValidShare, Refusal> {
        let before = self.accounting().get_share_work_sum();
        let verdict = match &mut self.kind {
            Kind::Extended(channel) => channel.validate_share(share),
            Kind::Standard(_) => return Err(Refusal::Code(ERROR_CODE_SUBMIT_SHARES_INVALID_SHARE)),
        };
        self.judge(verdict, before)
    }

    fn judge(
        &mut self,
        verdict: Result<ShareValidationResult, ShareValidationError>,
        work_sum_before: f64,
    ) -> Result<ValidShare, Refusal> {
        let (hash, block) = match verdict {
            Ok(ShareValidationResult::Valid(hash)) => (hash, None),
            Ok(ShareValidationResult::BlockFound(hash, template_id, coinbase)) => {
                (hash, template_id.map(|id| (id, coinbase)))
            }
            Err(error) => return Err(refusal(error)),
        };
        self.vardiff.increment_shares_since_last_update();
        let header_hash: &[u8; 32] = hash.as_ref();
        Ok(ValidShare {
            header_hash: *header_hash,
            difficulty: self.accounting().get_share_work_sum() - work_sum_before,
            block,
        })
    }

    /// Whether no further share can be told from a duplicate.
    pub fn seen_shares_exhausted(&self) -> bool {
        self.accounting().is_seen_shares_budget_exhausted()
    }

    fn accounting(&self) -> &ShareAccounting {
        match &self.kind {
            Kind::Standard(channel) => channel.get_share_accounting(),
            Kind::Extended(channel) => channel.get_share_accounting(),
        }
    }

    /// Sets the target for another hash rate, and for another easiest target where the miner named one. An error is
    /// the code to answer with; the channel is then as before.
    pub fn retarget(&mut self, hashrate: f32, easiest: Option<Target>) -> Result<(), &'static str> {
        use stratum_core::channels_sv2::server::error::{
            ExtendedChannelError, StandardChannelError,
        };
        use stratum_core::mining_sv2::ERROR_CODE_UPDATE_CHANNEL_INVALID_NOMINAL_HASHRATE as OTHER;
        match &mut self.kind {
            Kind::Standard(channel) => {
                channel
                    .update_channel(hashrate, easiest)
                    .map_err(|error| match error {
                        StandardChannelError::UpdateChannelInvalidNominalHashrate(code)
                        | StandardChannelError::UpdateChannelInvalidMaxTarget(code) => code,
                        _ => OTHER,
                    })
            }
            Kind::Extended(channel) => {
                channel
                    .update_channel(hashrate, easiest)
                    .map_err(|error| match error {
                        ExtendedChannelError::UpdateChannelInvalidNominalHashrate(code)
                        | ExtendedChannelError::UpdateChannelInvalidMaxTarget(code) => code,
                        _ => OTHER,
                    })
            }
        }
    }

    /// Looks at the share rate when it is time to, and sets the target by it.
    pub fn adjust_difficulty(&mut self, shares_per_minute: f32, now_ms: u64) {
        if now_ms < self.vardiff_due_ms {
            return;
        }
        self.vardiff_due_ms = now_ms + VARDIFF_INTERVAL_MS;
        let before = self.target();
        let nominal = match &self.kind {
            Kind::Standard(channel) => channel.get_nominal_hashrate(),
            Kind::Extended(channel) => channel.get_nominal_hashrate(),
        };
        let estimate = self
            .vardiff
            .try_vardiff(nominal, &before, shares_per_minute);
        if let Ok(Some(hashrate)) = estimate
            && let Err(code) = self.retarget(hashrate, None)
        {
            tracing::debug!(channel_id = self.id, hashrate, code, "the target stays");
        }
    }

    /// As if variable difficulty had begun to count `seconds` ago and seen `shares` since.
    #[cfg(test)]
    pub(super) fn backdate_vardiff(&mut self, seconds: u64, shares: u32) {
        self.vardiff.timestamp_of_last_update -= seconds;
        self.vardiff.shares_since_last_update = shares;
    }

    fn set_target(&self) -> Frame {
        let message = SetTargetOwned {
            channel_id: self.id,
            maximum_target: U256Owned::from(self.target().to_le_bytes()),
        };
        wire::channel_frame(MESSAGE_TYPE_SET_TARGET, message)
    }
}

fn refusal(error: ShareValidationError) -> Refusal {
    use ShareValidationError as E;
    match error {
        E::Invalid(code)
        | E::Stale(code)
        | E::InvalidJobId(code)
        | E::DoesNotMeetTarget(code)
        | E::VersionRollingNotAllowed(code)
        | E::DuplicateShare(code)
        | E::BadExtranonceSize(code) => Refusal::Code(code),
        E::SeenSharesBudgetExhausted => Refusal::SeenSharesExhausted,
        E::InvalidCoinbase | E::NoChainTip => {
            tracing::error!(?error, "a share could not be checked");
            Refusal::Code(ERROR_CODE_SUBMIT_SHARES_INVALID_SHARE)
        }
    }
}
