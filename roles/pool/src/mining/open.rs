//! Opening, changing and closing channels.

use bitcoin::Target;
use stratum_core::binary_sv2::B032Owned;
use stratum_core::binary_sv2::U256Owned;
use stratum_core::channels_sv2::server::error::{ExtendedChannelError, StandardChannelError};
use stratum_core::channels_sv2::server::extended::ExtendedChannel;
use stratum_core::channels_sv2::server::standard::StandardChannel;
use stratum_core::mining_sv2::{
    CloseChannel, CloseChannelOwned,
    ERROR_CODE_OPEN_MINING_CHANNEL_CHANNEL_CAPACITY_EXHAUSTED as CAPACITY_EXHAUSTED,
    ERROR_CODE_OPEN_MINING_CHANNEL_EXTENDED_CHANNELS_NOT_SUPPORTED_FOR_STANDARD_JOBS as STANDARD_ONLY,
    ERROR_CODE_OPEN_MINING_CHANNEL_MIN_EXTRANONCE_SIZE_TOO_LARGE as EXTRANONCE_TOO_LARGE,
    ERROR_CODE_OPEN_MINING_CHANNEL_UNKNOWN_USER as UNKNOWN_USER,
    ERROR_CODE_UPDATE_CHANNEL_INVALID_CHANNEL_ID as INVALID_CHANNEL_ID, MESSAGE_TYPE_CLOSE_CHANNEL,
    MESSAGE_TYPE_OPEN_EXTENDED_MINING_CHANNEL_SUCCESS, MESSAGE_TYPE_OPEN_MINING_CHANNEL_ERROR,
    MESSAGE_TYPE_OPEN_STANDARD_MINING_CHANNEL_SUCCESS, MESSAGE_TYPE_UPDATE_CHANNEL_ERROR,
    OpenExtendedMiningChannel, OpenExtendedMiningChannelSuccessOwned, OpenMiningChannelErrorOwned,
    OpenStandardMiningChannel, OpenStandardMiningChannelSuccessOwned, UpdateChannel,
    UpdateChannelErrorOwned,
};
use winze_transport::Frame;

use super::channel::{Install, Kind, MiningChannel};
use super::connection::{GROUP_CHANNEL_ID, MiningConnection};
use super::extranonce::NoPrefix;
use super::wire::{self, Malformed};
use super::{Action, Intake, codes};
use crate::identity::MinerIdentity;
use crate::limits::PAST_JOBS_MAX;
use crate::template::feed::Work;

/// Acknowledgements are batched by the connection as commits come in, so `channels_sv2` need not.
const LIBRARY_BATCH: usize = 1;

/// What the two requests to open have in common.
struct Request<'a> {
    request_id: u32,
    user_identity: &'a [u8],
    nominal_hash_rate: f32,
    max_target: Target,
}

/// A channel that may be opened, and its first jobs.
type Opened = (MiningChannel, Vec<Frame>);

impl MiningConnection {
    pub(super) fn open_standard(
        &mut self,
        payload: &mut [u8],
        intake: Intake,
        now_ms: u64,
        out: &mut Vec<Action>,
    ) -> Result<(), Malformed> {
        let message: OpenStandardMiningChannel = wire::decode(payload)?;
        let request = Request {
            request_id: message.request_id,
            user_identity: message.user_identity.as_bytes(),
            nominal_hash_rate: message.nominal_hash_rate,
            max_target: Target::from_le_bytes(*message.max_target.as_array()),
        };
        let opened = self.admit(&request, intake).and_then(|(miner, work)| {
            let prefix = self
                .shared
                .extranonces
                .standard()
                .ok_or(CAPACITY_EXHAUSTED)?;
            let channel = StandardChannel::new_for_pool(
                self.next_channel_id,
                String::from_utf8_lossy(request.user_identity).into_owned(),
                prefix,
                self.easiest(request.max_target),
                request.nominal_hash_rate,
                LIBRARY_BATCH,
                self.shared.rules.shares_per_minute,
                self.shared.rules.coinbase_tag.clone(),
                Some(PAST_JOBS_MAX),
            )
            .map_err(|error| match error {
                StandardChannelError::OpenChannelInvalidNominalHashrate(code)
                | StandardChannelError::OpenChannelInvalidMaxTarget(code) => code,
                error => unexpected(&error),
            })?;
            self.start(Kind::Standard(Box::new(channel)), miner, &work, now_ms)
        });
        let success = |channel_id, channel: &MiningChannel| {
            let answer = OpenStandardMiningChannelSuccessOwned {
                request_id: request.request_id,
                channel_id,
                target: U256Owned::from(channel.target().to_le_bytes()),
                extranonce_prefix: prefix_field(channel),
                group_channel_id: GROUP_CHANNEL_ID,
            };
            wire::frame(MESSAGE_TYPE_OPEN_STANDARD_MINING_CHANNEL_SUCCESS, answer)
        };
        self.answer(request.request_id, opened, success, out);
        Ok(())
    }

    pub(super) fn open_extended(
        &mut self,
        payload: &mut [u8],
        intake: Intake,
        now_ms: u64,
        out: &mut Vec<Action>,
    ) -> Result<(), Malformed> {
        let message: OpenExtendedMiningChannel = wire::decode(payload)?;
        let request = Request {
            request_id: message.request_id,
            user_identity: message.user_identity.as_bytes(),
            nominal_hash_rate: message.nominal_hash_rate,
            max_target: Target::from_le_bytes(*message.max_target.as_array()),
        };
        let rolled_bytes = self.shared.extranonces.rolled_bytes();
        let opened = self.admit(&request, intake).and_then(|(miner, work)| {
            if self.requires_standard_jobs {
                return Err(STANDARD_ONLY);
            }
            let prefix = self
                .shared
                .extranonces
                .extended(message.min_extranonce_size)
                .map_err(|error| match error {
                    NoPrefix::RolledTooLong => EXTRANONCE_TOO_LARGE,
                    NoPrefix::Exhausted => CAPACITY_EXHAUSTED,
                })?;
            let channel = ExtendedChannel::new_for_pool(
                self.next_channel_id,
                String::from_utf8_lossy(request.user_identity).into_owned(),
                prefix,
                self.easiest(request.max_target),
                request.nominal_hash_rate,
                true,
                rolled_bytes,
                LIBRARY_BATCH,
                self.shared.rules.shares_per_minute,
                self.shared.rules.coinbase_tag.clone(),
                Some(PAST_JOBS_MAX),
            )
            .map_err(|error| match error {
                ExtendedChannelError::OpenChannelInvalidNominalHashrate(code)
                | ExtendedChannelError::OpenChannelInvalidMaxTarget(code) => code,
                error => unexpected(&error),
            })?;
            self.start(Kind::Extended(Box::new(channel)), miner, &work, now_ms)
        });
        let success = |channel_id, channel: &MiningChannel| {
            let answer = OpenExtendedMiningChannelSuccessOwned {
                request_id: request.request_id,
                channel_id,
                target: U256Owned::from(channel.target().to_le_bytes()),
                extranonce_size: rolled_bytes,
                extranonce_prefix: prefix_field(channel),
                group_channel_id: GROUP_CHANNEL_ID,
            };
            wire::frame(MESSAGE_TYPE_OPEN_EXTENDED_MINING_CHANNEL_SUCCESS, answer)
        };
        self.answer(request.request_id, opened, success, out);
        Ok(())
    }

    /// What both kinds are asked first.
    fn admit(
        &self,
        request: &Request<'_>,
        intake: Intake,
    ) -> Result<(MinerIdentity, Work), &'static str> {
        let miner = MinerIdentity::parse(request.user_identity).map_err(|error| {
            tracing::debug!(%error, "channel refused");
            UNKNOWN_USER
        })?;
        if self.channels.len() >= self.shared.rules.channels_max {
            return Err(CAPACITY_EXHAUSTED);
        }
        if intake == Intake::KeysetUnknown {
            return Err(codes::MINT_KEYSET_UNKNOWN);
        }
        if intake == Intake::TemplateOutdated {
            return Err(codes::BLOCK_TEMPLATE_OUTDATED);
        }
        let work = self.templates.back().ok_or(codes::NO_BLOCK_TEMPLATE)?;
        Ok((miner, work.clone()))
    }

    /// The easiest target the channel may have: neither the miner's nor ours is exceeded.
    fn easiest(&self, asked: Target) -> Target {
        asked.min(self.shared.rules.minimum.target())
    }

    fn start(
        &self,
        kind: Kind,
        miner: MinerIdentity,
        work: &Work,
        now_ms: u64,
    ) -> Result<Opened, &'static str> {
        let rules = &self.shared.rules;
        // A little below the hash rate at which the easiest target gives the wanted rate of shares: the library's
        // rounding must not keep a slow miner from that target.
        let shares_per_second = f64::from(rules.shares_per_minute) / 60.0;
        let hashrate_min = (rules.minimum.hashes() * shares_per_second * 0.99) as f32;
        let mut channel =
            MiningChannel::new(self.next_channel_id, miner, kind, hashrate_min, now_ms);
        let jobs = channel
            .install(work, self.shared.extranonces.next_job(), Install::NewTip)
            .map_err(|error| unexpected(&error))?;
        Ok((channel, jobs))
    }

    /// Answers a request to open: with the refusal, or with `success` and the first jobs of a channel that is the
    /// connection's from now on.
    fn answer(
        &mut self,
        request_id: u32,
        opened: Result<Opened, &'static str>,
        success: impl FnOnce(u32, &MiningChannel) -> Frame,
        out: &mut Vec<Action>,
    ) {
        let (channel, jobs) = match opened {
            Ok(opened) => opened,
            Err(code) => {
                out.push(refuse(request_id, code));
                return out.push(Action::ChannelRefused(code));
            }
        };
        let channel_id = self.next_channel_id;
        out.push(Action::Send(success(channel_id, &channel)));
        self.next_channel_id = self.next_channel_id.wrapping_add(1);
        out.extend(jobs.into_iter().map(Action::Send));
        out.push(Action::Opened {
            channel_id,
            locking_key: channel.miner.locking_key,
            wants_quotes: self.quotes_agreed,
        });
        self.channels.insert(channel_id, channel);
    }

    pub(super) fn update_channel(
        &mut self,
        payload: &mut [u8],
        now_ms: u64,
        out: &mut Vec<Action>,
    ) -> Result<(), Malformed> {
        let message: UpdateChannel = wire::decode(payload)?;
        let channel_id = message.channel_id;
        let asked = Target::from_le_bytes(*message.maximum_target.as_array());
        let easiest = self.easiest(asked);
        let refused = match self.channels.get_mut(&channel_id) {
            None => Some(INVALID_CHANNEL_ID),
            Some(channel) => {
                let outcome = channel.retarget(message.nominal_hash_rate, Some(easiest));
                if channel.retarget_is_due(now_ms) {
                    self.announce_target(channel_id, out);
                }
                outcome.err()
            }
        };
        if let Some(code) = refused {
            let answer = UpdateChannelErrorOwned {
                channel_id,
                error_code: wire::code(code),
            };
            let answer = wire::channel_frame(MESSAGE_TYPE_UPDATE_CHANNEL_ERROR, answer);
            out.push(Action::Send(answer));
        }
        Ok(())
    }

    /// Tells a new target and hands out a job under it.
    pub(super) fn announce_target(&mut self, channel_id: u32, out: &mut Vec<Action>) {
        let Some(work) = self.templates.back().cloned() else {
            return;
        };
        let Some(channel) = self.channels.get_mut(&channel_id) else {
            return;
        };
        let job_number = self.shared.extranonces.next_job();
        match channel.install(&work, job_number, Install::SameTip) {
            Ok(jobs) => out.extend(jobs.into_iter().map(Action::Send)),
            Err(error) => {
                unexpected(&error);
                self.close(channel_id, codes::JOB_FAILED, out);
            }
        }
    }

    pub(super) fn close_channel(
        &mut self,
        payload: &mut [u8],
        out: &mut Vec<Action>,
    ) -> Result<(), Malformed> {
        let message: CloseChannel = wire::decode(payload)?;
        let closed: Vec<u32> = if message.channel_id == GROUP_CHANNEL_ID {
            self.channels.keys().copied().collect()
        } else {
            vec![message.channel_id]
        };
        for channel_id in closed {
            if self.channels.remove(&channel_id).is_some() {
                out.push(Action::Closed { channel_id });
            }
        }
        Ok(())
    }

    /// Closes a channel from our side.
    pub(super) fn close(&mut self, channel_id: u32, reason: &'static str, out: &mut Vec<Action>) {
        if self.channels.remove(&channel_id).is_none() {
            return;
        }
        let message = CloseChannelOwned {
            channel_id,
            reason_code: wire::code(reason),
        };
        let frame = wire::channel_frame(MESSAGE_TYPE_CLOSE_CHANNEL, message);
        out.push(Action::Send(frame));
        out.push(Action::Closed { channel_id });
    }
}

fn refuse(request_id: u32, code: &'static str) -> Action {
    let answer = OpenMiningChannelErrorOwned {
        request_id,
        error_code: wire::code(code),
    };
    Action::Send(wire::frame(MESSAGE_TYPE_OPEN_MINING_CHANNEL_ERROR, answer))
}

fn prefix_field(channel: &MiningChannel) -> B032Owned {
    channel
        .extranonce_prefix()
        .to_vec()
        .try_into()
        .expect("limits.rs asserts that an extranonce is at most 32 bytes")
}

fn unexpected(error: &dyn std::fmt::Debug) -> &'static str {
    tracing::error!(?error, "no job can be made for a channel");
    codes::JOB_FAILED
}
