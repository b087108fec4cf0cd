//! What a channel has to work on: jobs, the block before, the target (Sv2 specification 5.3).
//!
//! Pure: messages in, assignments out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bitcoin::hashes::{Hash, HashEngine, sha256d};
use stratum_core::mining_sv2::{NewExtendedMiningJobOwned, NewMiningJobOwned, SetNewPrevHashOwned};

use crate::incoming::Incoming;
use crate::limits::{CHUNK_NONCES, FUTURE_JOBS_MAX};
use crate::proof::{OpenHeader, Target, zero_bits};

/// Whether a channel's owner may change the coinbase (Sv2 specification 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ChannelKind {
    /// Header-only mining: the merkle root comes with the job.
    #[default]
    Standard,
    /// The miner rolls an extranonce of its own.
    Extended,
}

/// What the pool fixed when it opened the channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelTerms {
    /// Standard or extended.
    pub kind: ChannelKind,
    /// The channel, on this connection.
    pub channel_id: u32,
    /// The group that jobs and previous hashes may be addressed to instead.
    pub group_channel_id: u32,
    /// First target.
    pub target: Target,
    /// The pool's part of the extranonce, at most 32 bytes.
    pub extranonce_prefix: Vec<u8>,
    /// The miner's part of the extranonce in bytes, at most 32; 0 on a standard channel.
    pub extranonce_bytes: usize,
}

/// One share: what is submitted, and what it hashes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    /// The job it was found on.
    pub job_id: u32,
    /// Header field.
    pub nonce: u32,
    /// Header field, seconds since 1970.
    pub ntime: u32,
    /// Header field, in full.
    pub version: u32,
    /// The miner's part of the extranonce; empty on a standard channel.
    pub extranonce: Vec<u8>,
    /// The block hash, internal byte order (a block explorer shows it reversed).
    pub header_hash: [u8; 32],
    /// Leading zero bits of the hash.
    pub zero_bits: u32,
    /// Whether the hash meets the network's target too: then the share is a block.
    pub meets_network_target: bool,
}

/// A pool that broke the protocol on this channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WorkError {
    /// A job to be mined at once, before any previous hash.
    #[error("job {job_id} is to be mined at once, but no SetNewPrevHash came before it")]
    NoPrevHash {
        /// The job.
        job_id: u32,
    },
    /// A previous hash for a job that was never sent as a future job.
    #[error("SetNewPrevHash names job {job_id}, which is not among the future jobs")]
    UnknownJob {
        /// The job.
        job_id: u32,
    },
}

/// The work of one open channel.
#[derive(Debug)]
pub struct ChannelWork {
    terms: ChannelTerms,
    target: Target,
    extranonce_prefix: Vec<u8>,
    future: VecDeque<Job>,
    chain_tip: Option<ChainTip>,
    active: Option<Arc<Assignment>>,
}

#[derive(Clone, Copy, Debug)]
struct ChainTip {
    prev_hash: [u8; 32],
    nbits: u32,
}

#[derive(Clone, Debug)]
struct Job {
    job_id: u32,
    version: u32,
    merkle: Merkle,
}

#[derive(Clone, Debug)]
enum Merkle {
    Root([u8; 32]),
    /// The coinbase up to the miner's own extranonce, what follows it, and the path to the root.
    Coinbase {
        head: Vec<u8>,
        tail: Vec<u8>,
        path: Vec<[u8; 32]>,
    },
}

impl ChannelWork {
    /// The work of a channel that was just opened: none yet.
    pub fn new(terms: ChannelTerms) -> Self {
        ChannelWork {
            target: terms.target,
            extranonce_prefix: terms.extranonce_prefix.clone(),
            future: VecDeque::new(),
            chain_tip: None,
            active: None,
            terms,
        }
    }

    /// What the pool fixed at the opening.
    pub fn terms(&self) -> &ChannelTerms {
        &self.terms
    }

    /// The target of jobs that start from now on.
    pub fn target(&self) -> Target {
        self.target
    }

    /// What is to be worked on now, if anything.
    pub fn assignment(&self) -> Option<&Arc<Assignment>> {
        self.active.as_ref()
    }

    /// Takes a message; true where there is something else to work on now. Messages that are about
    /// other channels, or not about work, change nothing.
    ///
    /// # Errors
    /// [`WorkError`] where the pool broke the protocol; the work is as it was before.
    pub fn apply(&mut self, message: &Incoming) -> Result<bool, WorkError> {
        match message {
            Incoming::NewMiningJob(job) if job.channel_id == self.terms.channel_id => {
                let min_ntime = job.min_ntime.clone().into_inner();
                self.add(standard_job(job), min_ntime)
            }
            Incoming::NewExtendedMiningJob(job) if self.is_addressed(job.channel_id) => {
                let min_ntime = job.min_ntime.clone().into_inner();
                self.add(extended_job(job, &self.extranonce_prefix), min_ntime)
            }
            Incoming::SetNewPrevHash(tip) if self.is_addressed(tip.channel_id) => self.tip(tip),
            Incoming::SetTarget(set) if self.is_addressed(set.channel_id) => {
                Ok(self.retarget(Target::from_le_bytes(set.maximum_target.to_array())))
            }
            Incoming::SetExtranoncePrefix(set) if set.channel_id == self.terms.channel_id => {
                self.extranonce_prefix = set.extranonce_prefix.as_bytes().to_vec();
                Ok(false)
            }
            Incoming::SetGroupChannel(set)
                if set
                    .channel_ids
                    .iter()
                    .any(|id| *id == self.terms.channel_id) =>
            {
                self.terms.group_channel_id = set.group_channel_id;
                Ok(false)
            }
            _ => Ok(false),
        }
    }

    fn is_addressed(&self, channel_id: u32) -> bool {
        channel_id == self.terms.channel_id || channel_id == self.terms.group_channel_id
    }

    fn add(&mut self, job: Job, min_ntime: Option<u32>) -> Result<bool, WorkError> {
        let Some(min_ntime) = min_ntime else {
            if self.future.len() == FUTURE_JOBS_MAX {
                self.future.pop_front();
            }
            self.future.push_back(job);
            return Ok(false);
        };
        let tip = self
            .chain_tip
            .ok_or(WorkError::NoPrevHash { job_id: job.job_id })?;
        self.start(job, tip, min_ntime, false);
        Ok(true)
    }

    fn tip(&mut self, message: &SetNewPrevHashOwned) -> Result<bool, WorkError> {
        let job_id = message.job_id;
        let job = self
            .future
            .iter()
            .find(|job| job.job_id == job_id)
            .cloned()
            .ok_or(WorkError::UnknownJob { job_id })?;
        self.future.clear();
        let tip = ChainTip {
            prev_hash: message.prev_hash.to_array(),
            nbits: message.nbits,
        };
        self.chain_tip = Some(tip);
        self.start(job, tip, message.min_ntime, true);
        Ok(true)
    }

    fn start(&mut self, job: Job, tip: ChainTip, min_ntime: u32, follows_target: bool) {
        self.active = Some(Arc::new(Assignment {
            job,
            tip,
            min_ntime,
            target: self.target,
            network_target: Target::from_nbits(tip.nbits),
            extranonce_bytes: self.terms.extranonce_bytes,
            follows_target,
            chunks_taken: Arc::new(AtomicU64::new(0)),
        }));
    }

    /// A new target is for later jobs, and for those that came without a time (5.3.21). Servers
    /// differ in whether a job that was already activated is meant, so it takes over a harder target
    /// and not an easier one: that satisfies both.
    fn retarget(&mut self, target: Target) -> bool {
        self.target = target;
        let Some(active) = &self.active else {
            return false;
        };
        let harder = active.target.harder(target);
        if !active.follows_target || harder == active.target {
            return false;
        }
        let mut assignment = Assignment::clone(active);
        assignment.target = harder;
        self.active = Some(Arc::new(assignment));
        true
    }
}

fn standard_job(job: &NewMiningJobOwned) -> Job {
    Job {
        job_id: job.job_id,
        version: job.version,
        merkle: Merkle::Root(job.merkle_root.to_array()),
    }
}

fn extended_job(job: &NewExtendedMiningJobOwned, extranonce_prefix: &[u8]) -> Job {
    let mut head = job.coinbase_tx_prefix.as_bytes().to_vec();
    head.extend_from_slice(extranonce_prefix);
    Job {
        job_id: job.job_id,
        version: job.version,
        merkle: Merkle::Coinbase {
            head,
            tail: job.coinbase_tx_suffix.as_bytes().to_vec(),
            path: job.merkle_path.iter().map(|node| node.to_array()).collect(),
        },
    }
}

/// One job that is being mined, and how much of its search space is taken.
#[derive(Clone, Debug)]
pub struct Assignment {
    job: Job,
    tip: ChainTip,
    min_ntime: u32,
    target: Target,
    network_target: Target,
    extranonce_bytes: usize,
    follows_target: bool,
    /// Shared by all copies of one job, so that a change of target repeats no work.
    chunks_taken: Arc<AtomicU64>,
}

/// A stretch of the search space that nobody else searches.
#[derive(Clone, Debug)]
pub struct Chunk {
    /// The header, its nonce open.
    pub header: OpenHeader,
    /// The miner's extranonce that the header's merkle root stands for.
    pub extranonce: Vec<u8>,
    /// First of [`CHUNK_NONCES`] nonces.
    pub nonce_start: u32,
}

impl Assignment {
    /// The job.
    pub fn job_id(&self) -> u32 {
        self.job.job_id
    }

    /// What a share's hash has to meet.
    pub fn target(&self) -> Target {
        self.target
    }

    /// Whether both are one job of one channel, perhaps with another target.
    pub fn is_same_job(&self, other: &Assignment) -> bool {
        Arc::ptr_eq(&self.chunks_taken, &other.chunks_taken)
    }

    /// The next stretch of work, or `None` where it is used up: for good on an extended channel,
    /// until a second has passed on a standard one. `elapsed_s` are the seconds since the job came:
    /// the specification (5.3.11) allows to roll the time as far.
    pub fn take_chunk(&self, elapsed_s: u32) -> Option<Chunk> {
        let chunks_per_round = (1_u64 << 32) / u64::from(CHUNK_NONCES);
        let mut round = 0;
        let taken = self
            .chunks_taken
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |taken| {
                round = taken / chunks_per_round;
                self.has_round(round, elapsed_s).then_some(taken + 1)
            })
            .ok()?;
        // Below 2^32, as it is a place within a round.
        let nonce_start = (taken % chunks_per_round) as u32 * CHUNK_NONCES;

        let mut ntime = self.min_ntime;
        let mut extranonce = vec![0; self.extranonce_bytes];
        if self.extranonce_bytes == 0 {
            // has_round() let it through, so it is at most elapsed_s.
            ntime = self.min_ntime.saturating_add(round as u32);
        } else {
            let low_bytes = self.extranonce_bytes.min(8);
            let at = self.extranonce_bytes - low_bytes;
            extranonce[at..].copy_from_slice(&round.to_be_bytes()[8 - low_bytes..]);
        }
        Some(Chunk {
            header: OpenHeader {
                version: self.job.version,
                prev_hash: self.tip.prev_hash,
                merkle_root: self.merkle_root(&extranonce),
                ntime,
                nbits: self.tip.nbits,
            },
            extranonce,
            nonce_start,
        })
    }

    /// Rounds are runs over all 2^32 nonces, each with a merkle root or a time of its own.
    fn has_round(&self, round: u64, elapsed_s: u32) -> bool {
        match self.extranonce_bytes {
            0 => round <= u64::from(elapsed_s),
            bytes if bytes < 8 => round < 1 << (8 * bytes),
            _ => true,
        }
    }

    fn merkle_root(&self, extranonce: &[u8]) -> [u8; 32] {
        match &self.job.merkle {
            Merkle::Root(root) => *root,
            Merkle::Coinbase { head, tail, path } => {
                let coinbase = hash_joined(&[head, extranonce, tail]);
                path.iter()
                    .fold(coinbase, |node, sibling| hash_joined(&[&node, sibling]))
            }
        }
    }

    /// The share that `nonce` makes of a chunk, given the hash of its header.
    pub fn share(&self, chunk: &Chunk, nonce: u32, header_hash: [u8; 32]) -> Share {
        Share {
            job_id: self.job.job_id,
            nonce,
            ntime: chunk.header.ntime,
            version: chunk.header.version,
            extranonce: chunk.extranonce.clone(),
            header_hash,
            zero_bits: zero_bits(&header_hash),
            meets_network_target: self.network_target.is_met_by(&header_hash),
        }
    }
}

/// Double SHA-256 over the parts, one after the other.
fn hash_joined(parts: &[&[u8]]) -> [u8; 32] {
    let mut engine = sha256d::Hash::engine();
    for part in parts {
        engine.input(part);
    }
    sha256d::Hash::from_engine(engine).to_byte_array()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A job of which `rounds` runs over all nonces are taken.
    fn used_up(extranonce_bytes: usize, rounds: u64) -> Assignment {
        let chunks = rounds * ((1 << 32) / u64::from(CHUNK_NONCES));
        Assignment {
            job: Job {
                job_id: 1,
                version: 0x2000_0000,
                merkle: Merkle::Coinbase {
                    head: vec![1],
                    tail: vec![2],
                    path: Vec::new(),
                },
            },
            tip: ChainTip {
                prev_hash: [3; 32],
                nbits: 0x1d00_ffff,
            },
            min_ntime: 1000,
            target: Target::MAX,
            network_target: Target::MAX,
            extranonce_bytes,
            follows_target: true,
            chunks_taken: Arc::new(AtomicU64::new(chunks)),
        }
    }

    #[test]
    fn a_standard_job_without_nonces_goes_on_only_as_time_passes() {
        let job = used_up(0, 1);
        assert!(job.take_chunk(0).is_none());
        let chunk = job.take_chunk(1).unwrap();
        assert_eq!((chunk.header.ntime, chunk.nonce_start), (1001, 0));
        assert_eq!(job.take_chunk(1).unwrap().nonce_start, CHUNK_NONCES);
    }

    #[test]
    fn an_extended_job_rolls_its_extranonce_and_ends_with_it() {
        let job = used_up(2, 0x0102);
        let chunk = job.take_chunk(0).unwrap();
        assert_eq!((chunk.header.ntime, chunk.extranonce), (1000, vec![1, 2]));
        assert_ne!(
            chunk.header.merkle_root,
            used_up(2, 0x0103).take_chunk(0).unwrap().header.merkle_root
        );
        assert!(used_up(2, 0x1_0000).take_chunk(9).is_none());
        assert_eq!(used_up(10, 1).take_chunk(0).unwrap().extranonce[9], 1);
    }
}
