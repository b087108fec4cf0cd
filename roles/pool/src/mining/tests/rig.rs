//! A miner for tests: it speaks the protocol from the frames it gets and grinds real hashes.

use std::sync::Arc;

use bitcoin::block::{Header, Version};
use bitcoin::hashes::{Hash as _, sha256d};
use bitcoin::{BlockHash, CompactTarget, ScriptBuf, Target, TxMerkleNode};
use stratum_core::binary_sv2::{Encodable, GetSize};
use stratum_core::common_messages_sv2::*;
use stratum_core::mining_sv2::*;
use winze_transport::{CHANNEL_BIT, Frame};

use crate::mining::extranonce::Extranonces;
use crate::mining::{
    AcceptedShare, Action, Hangup, Intake, MiningConnection, Recorded, Rules, Shared, wire,
};
use crate::template::Template;
use crate::template::feed::Work;
use crate::work::MinimumWork;

pub const ALICE: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798.rig1";

/// A network target that no test finds by chance.
pub const HARD: u32 = 0x1d00_ffff;
/// Regtest's.
pub const EASY: u32 = 0x207f_ffff;

pub fn rules(zero_bits: u8) -> Rules {
    Rules {
        minimum: MinimumWork::new(zero_bits),
        shares_per_minute: 1.0,
        channels_max: 4,
        coinbase_tag: "winze-test".to_owned(),
        idle_timeout_ms: 600_000,
    }
}

pub fn template(tip: u8, bits: u32, start_time_unix_s: u32) -> Template {
    // The commitment of a block without other transactions, as BIP 141 has it.
    let commitment = sha256d::Hash::hash(&[0; 64]);
    let mut script = vec![0x6a, 0x24, 0xaa, 0x21, 0xa9, 0xed];
    script.extend_from_slice(commitment.as_byte_array());
    Template {
        prev_hash: BlockHash::from_byte_array([tip; 32]),
        bits: CompactTarget::from_consensus(bits),
        version: 0x2000_0000,
        height: 840_000,
        start_time_unix_s,
        coinbase_value_sat: 312_500_000,
        payout: ScriptBuf::from_bytes(vec![0x51]),
        witness_commitment: ScriptBuf::from_bytes(script),
        transactions: Vec::new(),
        merkle_path: Vec::new(),
    }
}

pub fn work(template_id: u64, template: Template) -> Work {
    Work {
        template_id,
        template: Arc::new(template),
        fetched: std::time::Instant::now(),
    }
}

/// A job as the miner understood it.
#[derive(Clone, Debug)]
pub struct Job {
    pub job_id: u32,
    pub version: u32,
    /// For a standard job.
    merkle_root: [u8; 32],
    /// For an extended one.
    coinbase: Option<(Vec<u8>, Vec<u8>)>,
}

/// Both ends of one connection.
pub struct Rig {
    pub pool: MiningConnection,
    pub intake: Intake,
    pub now_ms: u64,
    pub channel_id: u32,
    pub target: Target,
    extranonce_prefix: Vec<u8>,
    rolled_bytes: usize,
    pub future: Vec<Job>,
    pub job: Option<Job>,
    prev_hash: [u8; 32],
    bits: u32,
    pub ntime: u32,
    pub sequence_number: u32,
}

impl Rig {
    /// A connection that is set up, with `first` to mine on.
    pub fn connected(zero_bits: u8, first: Work) -> Rig {
        let mut rig = Rig::silent(rules(zero_bits), first);
        let answers = rig.send(MESSAGE_TYPE_SETUP_CONNECTION, setup(0));
        assert_eq!(
            sent(&answers)[0].msg_type,
            MESSAGE_TYPE_SETUP_CONNECTION_SUCCESS
        );
        rig
    }

    /// A connection on which nothing was said yet.
    pub fn silent(rules: Rules, first: Work) -> Rig {
        let shared = Shared {
            rules: Arc::new(rules),
            extranonces: Extranonces::new([9; 8]),
        };
        let mut pool = MiningConnection::new(shared, 0);
        pool.new_work(first, &mut Vec::new());
        Rig {
            pool,
            intake: Intake::Open,
            now_ms: 0,
            channel_id: 0,
            target: Target::ZERO,
            extranonce_prefix: Vec::new(),
            rolled_bytes: 0,
            future: Vec::new(),
            job: None,
            prev_hash: [0; 32],
            bits: 0,
            ntime: 0,
            sequence_number: 0,
        }
    }

    pub fn send_frame(&mut self, frame: Frame) -> Vec<Action> {
        let mut out = Vec::new();
        self.pool.handle(frame, self.intake, self.now_ms, &mut out);
        self.listen(&out);
        out
    }

    pub fn send<T: Encodable + GetSize>(&mut self, msg_type: u8, message: T) -> Vec<Action> {
        self.send_frame(wire::frame(msg_type, message))
    }

    pub fn new_work(&mut self, work: Work) -> Vec<Action> {
        let mut out = Vec::new();
        self.pool.new_work(work, &mut out);
        self.listen(&out);
        out
    }

    pub fn recorded(&mut self, outcomes: Vec<(AcceptedShare, Recorded)>) -> Vec<Action> {
        let mut out = Vec::new();
        self.pool.recorded(outcomes, &mut out);
        self.listen(&out);
        out
    }

    pub fn tick(&mut self, now_ms: u64) -> Vec<Action> {
        let mut out = Vec::new();
        self.pool.tick(now_ms, &mut out);
        self.listen(&out);
        out
    }

    pub fn open_standard(&mut self, user: &str, nominal_hash_rate: f32) -> Vec<Action> {
        self.send(
            MESSAGE_TYPE_OPEN_STANDARD_MINING_CHANNEL,
            OpenStandardMiningChannelOwned {
                request_id: 7,
                user_identity: user.try_into().unwrap(),
                nominal_hash_rate,
                max_target: [0xff; 32].into(),
            },
        )
    }

    pub fn open_extended(&mut self, user: &str, min_extranonce_size: u16) -> Vec<Action> {
        self.send(
            MESSAGE_TYPE_OPEN_EXTENDED_MINING_CHANNEL,
            OpenExtendedMiningChannelOwned {
                request_id: 7,
                user_identity: user.try_into().unwrap(),
                nominal_hash_rate: 1.0,
                max_target: [0xff; 32].into(),
                min_extranonce_size,
            },
        )
    }

    fn listen(&mut self, actions: &[Action]) {
        for frame in sent(actions) {
            let mut payload = frame.payload;
            match frame.msg_type {
                MESSAGE_TYPE_OPEN_STANDARD_MINING_CHANNEL_SUCCESS => {
                    let opened: OpenStandardMiningChannelSuccess =
                        wire::decode(&mut payload).unwrap();
                    self.channel_id = opened.channel_id;
                    self.target = Target::from_le_bytes(*opened.target.as_array());
                    self.extranonce_prefix = opened.extranonce_prefix.as_bytes().to_vec();
                }
                MESSAGE_TYPE_OPEN_EXTENDED_MINING_CHANNEL_SUCCESS => {
                    let opened: OpenExtendedMiningChannelSuccess =
                        wire::decode(&mut payload).unwrap();
                    self.channel_id = opened.channel_id;
                    self.target = Target::from_le_bytes(*opened.target.as_array());
                    self.extranonce_prefix = opened.extranonce_prefix.as_bytes().to_vec();
                    self.rolled_bytes = usize::from(opened.extranonce_size);
                }
                MESSAGE_TYPE_NEW_MINING_JOB => {
                    let job: NewMiningJob = wire::decode(&mut payload).unwrap();
                    let job = job.into_owned();
                    let min_ntime = job.min_ntime.clone().into_inner();
                    self.take_job(
                        min_ntime,
                        Job {
                            job_id: job.job_id,
                            version: job.version,
                            merkle_root: job.merkle_root.to_array(),
                            coinbase: None,
                        },
                    );
                }
                MESSAGE_TYPE_NEW_EXTENDED_MINING_JOB => {
                    let job: NewExtendedMiningJob = wire::decode(&mut payload).unwrap();
                    let job = job.into_owned();
                    assert!(job.version_rolling_allowed);
                    let min_ntime = job.min_ntime.clone().into_inner();
                    self.take_job(
                        min_ntime,
                        Job {
                            job_id: job.job_id,
                            version: job.version,
                            merkle_root: [0; 32],
                            coinbase: Some((
                                job.coinbase_tx_prefix.to_owned_bytes(),
                                job.coinbase_tx_suffix.to_owned_bytes(),
                            )),
                        },
                    );
                }
                MESSAGE_TYPE_MINING_SET_NEW_PREV_HASH => {
                    let tip: SetNewPrevHash = wire::decode(&mut payload).unwrap();
                    let tip = tip.into_owned();
                    let at = self.future.iter().position(|job| job.job_id == tip.job_id);
                    self.job = Some(
                        self.future
                            .remove(at.expect("a prev hash for a known future job")),
                    );
                    self.future.clear();
                    self.prev_hash = tip.prev_hash.to_array();
                    self.bits = tip.nbits;
                    self.ntime = tip.min_ntime;
                }
                MESSAGE_TYPE_SET_TARGET => {
                    let target: SetTarget = wire::decode(&mut payload).unwrap();
                    let target = target.into_owned();
                    self.target = Target::from_le_bytes(target.maximum_target.to_array());
                }
                _ => {}
            }
        }
    }

    fn take_job(&mut self, min_ntime: Option<u32>, job: Job) {
        match min_ntime {
            None => self.future.push(job),
            Some(ntime) => {
                self.ntime = ntime;
                self.job = Some(job);
            }
        }
    }

    /// Grinds the active job from `nonce` on until `wanted` says yes; gives the nonce and the hash.
    pub fn grind(&self, nonce: u32, wanted: impl Fn(Target) -> bool) -> (u32, [u8; 32]) {
        let job = self.job.as_ref().expect("there is a job");
        let merkle_root = match &job.coinbase {
            None => job.merkle_root,
            Some((prefix, suffix)) => {
                let rolled = vec![0; self.rolled_bytes];
                let whole = [&prefix[..], &self.extranonce_prefix, &rolled, suffix].concat();
                sha256d::Hash::hash(&whole).to_byte_array()
            }
        };
        let mut header = Header {
            version: Version::from_consensus(job.version as i32),
            prev_blockhash: BlockHash::from_byte_array(self.prev_hash),
            merkle_root: TxMerkleNode::from_byte_array(merkle_root),
            time: self.ntime,
            bits: CompactTarget::from_consensus(self.bits),
            nonce,
        };
        loop {
            let hash = header.block_hash().to_byte_array();
            if wanted(Target::from_le_bytes(hash)) {
                return (header.nonce, hash);
            }
            header.nonce += 1;
        }
    }

    /// Submits a nonce of the active job on the channel opened last.
    pub fn submit(&mut self, nonce: u32) -> Vec<Action> {
        let job = self.job.clone().expect("there is a job");
        self.submit_job(&job, nonce)
    }

    pub fn submit_job(&mut self, job: &Job, nonce: u32) -> Vec<Action> {
        self.sequence_number += 1;
        let (channel_id, sequence_number) = (self.channel_id, self.sequence_number);
        let (job_id, version, ntime) = (job.job_id, job.version, self.ntime);
        let frame = if job.coinbase.is_some() {
            let message = SubmitSharesExtendedOwned {
                channel_id,
                sequence_number,
                job_id,
                nonce,
                ntime,
                version,
                extranonce: vec![0; self.rolled_bytes].try_into().unwrap(),
            };
            wire::channel_frame(MESSAGE_TYPE_SUBMIT_SHARES_EXTENDED, message)
        } else {
            let message = SubmitSharesStandard {
                channel_id,
                sequence_number,
                job_id,
                nonce,
                ntime,
                version,
            };
            wire::channel_frame(MESSAGE_TYPE_SUBMIT_SHARES_STANDARD, message)
        };
        self.send_frame(frame)
    }

    /// Finds the next share from `nonce` on and submits it.
    pub fn find_and_submit(&mut self, nonce: u32) -> (u32, Vec<Action>) {
        let target = self.target;
        let (nonce, _) = self.grind(nonce, |hash| hash <= target);
        (nonce, self.submit(nonce))
    }
}

pub fn setup(flags: u32) -> SetupConnectionOwned {
    SetupConnectionOwned {
        protocol: Protocol::MiningProtocol,
        min_version: 2,
        max_version: 2,
        flags,
        endpoint_host: "pool".try_into().unwrap(),
        endpoint_port: 1,
        vendor: "test".try_into().unwrap(),
        hardware_version: "".try_into().unwrap(),
        firmware: "".try_into().unwrap(),
        device_id: "".try_into().unwrap(),
    }
}

pub fn sent(actions: &[Action]) -> Vec<Frame> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Send(frame) => Some(frame.clone()),
            _ => None,
        })
        .collect()
}

pub fn types(actions: &[Action]) -> Vec<u8> {
    sent(actions).iter().map(|frame| frame.msg_type).collect()
}

pub fn records(actions: &[Action]) -> Vec<AcceptedShare> {
    actions
        .iter()
        .filter_map(|action| match action {
            Action::Record(share) => Some(share.clone()),
            _ => None,
        })
        .collect()
}

pub fn hangup(actions: &[Action]) -> Option<Hangup> {
    actions.iter().find_map(|action| match action {
        Action::Hangup(why) => Some(why.clone()),
        _ => None,
    })
}

/// The error code of the first `SubmitShares.Error`, `OpenMiningChannel.Error` and the like.
pub fn error_code(actions: &[Action]) -> Option<String> {
    sent(actions).into_iter().find_map(|frame| {
        let mut payload = frame.payload;
        let code = match frame.msg_type {
            MESSAGE_TYPE_SUBMIT_SHARES_ERROR => {
                let error: SubmitSharesError = wire::decode(&mut payload).unwrap();
                error.error_code.as_bytes().to_vec()
            }
            MESSAGE_TYPE_OPEN_MINING_CHANNEL_ERROR => {
                let error: OpenMiningChannelError = wire::decode(&mut payload).unwrap();
                error.error_code.as_bytes().to_vec()
            }
            MESSAGE_TYPE_UPDATE_CHANNEL_ERROR => {
                let error: UpdateChannelError = wire::decode(&mut payload).unwrap();
                error.error_code.as_bytes().to_vec()
            }
            MESSAGE_TYPE_SETUP_CONNECTION_ERROR => {
                let error: SetupConnectionError = wire::decode(&mut payload).unwrap();
                error.error_code.as_bytes().to_vec()
            }
            _ => return None,
        };
        Some(String::from_utf8(code).unwrap())
    })
}

/// `last_sequence_number` and `new_submits_accepted_count` of each `SubmitShares.Success`.
pub fn successes(actions: &[Action]) -> Vec<(u32, u32)> {
    sent(actions)
        .into_iter()
        .filter(|frame| frame.msg_type == MESSAGE_TYPE_SUBMIT_SHARES_SUCCESS)
        .map(|mut frame| {
            assert_eq!(frame.extension_type, CHANNEL_BIT);
            let message: SubmitSharesSuccess = wire::decode(&mut frame.payload).unwrap();
            (
                message.last_sequence_number,
                message.new_submits_accepted_count,
            )
        })
        .collect()
}
