//! A pool made of the reference crates' channels: it validates shares by its own lights.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::VecDeque;
use std::net::SocketAddr;

use rand::rngs::OsRng;
use stratum_core::binary_sv2::{self, Encodable, GetSize, Seq064K};
use stratum_core::bitcoin::{Amount, ScriptBuf, Target as BitcoinTarget, TxOut};
use stratum_core::channels_sv2::extranonce_manager::ExtranonceAllocator;
use stratum_core::channels_sv2::server::extended::ExtendedChannel;
use stratum_core::channels_sv2::server::share_accounting::{
    ShareValidationError, ShareValidationResult,
};
use stratum_core::channels_sv2::server::standard::StandardChannel;
use stratum_core::common_messages_sv2::SetupConnectionSuccess;
use stratum_core::extensions_sv2::RequestExtensionsSuccess;
use stratum_core::mining_sv2::{
    OpenExtendedMiningChannelSuccess, OpenMiningChannelError, OpenStandardMiningChannelSuccess,
    SetNewPrevHash as MiningPrevHash, SubmitSharesError, SubmitSharesExtended,
    SubmitSharesStandard, SubmitSharesSuccess,
};
use stratum_core::template_distribution_sv2::{NewTemplate, SetNewPrevHash as TemplatePrevHash};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use winze_messages::EXT_MINT_QUOTE;
use winze_miner::{ChannelKind, ChannelTerms, Incoming, Share, Target};
use winze_transport::{
    CHANNEL_BIT, Certificate, Frame, FrameReader, FrameWriter, Limits, PublicKey, SecretKey,
    ServerIdentity, respond,
};

/// The channel that the reference pool opens, and its group.
pub const CHANNEL_ID: u32 = 7;
pub const GROUP_ID: u32 = 3;
/// Regtest's `nBits`: every other hash is a block.
pub const NBITS_REGTEST: u32 = 0x207f_ffff;
/// Difficulty 1: no test ever finds a block.
pub const NBITS_MAINNET: u32 = 0x1d00_ffff;
const NTIME: u32 = 1_790_000_000;
const REWARD_SAT: u64 = 50_0000_0000;

/// A server channel of `channels_sv2`, standard or extended.
pub enum ReferenceChannel {
    Standard(Box<StandardChannel>),
    Extended(Box<ExtendedChannel>),
}

impl ReferenceChannel {
    /// A channel whose shares need `zero_bits` leading zero bits.
    pub fn open(kind: ChannelKind, zero_bits: u32) -> Self {
        let mut allocator = ExtranonceAllocator::new(vec![1, 2, 3, 4], 16, 16).unwrap();
        let easiest = BitcoinTarget::from_le_bytes([0xff; 32]);
        let target = BitcoinTarget::from_le_bytes(Target::from_zero_bits(zero_bits).to_le_bytes());
        let user = "alice".to_owned();
        let tag = "reference".to_owned();
        match kind {
            ChannelKind::Standard => {
                let prefix = allocator.allocate_standard().unwrap();
                let mut channel = StandardChannel::new_for_pool(
                    CHANNEL_ID, user, prefix, easiest, 1000.0, 1, 60.0, tag, None,
                )
                .unwrap();
                channel.set_target(target).unwrap();
                Self::Standard(Box::new(channel))
            }
            ChannelKind::Extended => {
                let prefix = allocator.allocate_extended(4).unwrap();
                let rollable = u16::from(allocator.rollable_extranonce_size());
                let mut channel = ExtendedChannel::new_for_pool(
                    CHANNEL_ID, user, prefix, easiest, 1000.0, true, rollable, 1, 60.0, tag, None,
                )
                .unwrap();
                channel.set_target(target).unwrap();
                Self::Extended(Box::new(channel))
            }
        }
    }

    /// What the miner was told at the opening.
    pub fn terms(&self) -> ChannelTerms {
        let (kind, target, prefix, extranonce_bytes) = match self {
            Self::Standard(channel) => (
                ChannelKind::Standard,
                *channel.get_target(),
                channel.get_extranonce_prefix().to_vec(),
                0,
            ),
            Self::Extended(channel) => (
                ChannelKind::Extended,
                *channel.get_target(),
                channel.get_extranonce_prefix().to_vec(),
                usize::from(channel.get_rollable_extranonce_size()),
            ),
        };
        ChannelTerms {
            kind,
            channel_id: CHANNEL_ID,
            group_channel_id: GROUP_ID,
            target: Target::from_le_bytes(target.to_le_bytes()),
            extranonce_prefix: prefix,
            extranonce_bytes,
        }
    }

    /// A new template for a block after `prev_hash`: the future job and its activation, as sent.
    pub fn next_block(&mut self, template_id: u64, prev_hash: [u8; 32], nbits: u32) -> [Frame; 2] {
        let template = NewTemplate {
            template_id,
            future_template: true,
            version: 0x2000_0000,
            coinbase_tx_version: 2,
            coinbase_prefix: [0x52, 0].as_slice().try_into().unwrap(),
            coinbase_tx_input_sequence: u32::MAX,
            coinbase_tx_value_remaining: REWARD_SAT,
            coinbase_tx_outputs_count: 0,
            coinbase_tx_outputs: [].as_slice().try_into().unwrap(),
            coinbase_tx_locktime: 0,
            merkle_path: vec![(&[5; 32]).into(), (&[6; 32]).into()]
                .try_into()
                .unwrap(),
        }
        .into_owned();
        let outputs = vec![TxOut {
            value: Amount::from_sat(REWARD_SAT),
            script_pubkey: ScriptBuf::from(vec![0x51]),
        }];
        let tip = TemplatePrevHash {
            template_id,
            prev_hash: (&prev_hash).into(),
            header_timestamp: NTIME,
            n_bits: nbits,
            target: (&[0xff; 32]).into(),
        }
        .into_owned();
        let (job_id, job) = match self {
            Self::Standard(channel) => {
                channel.on_new_template(template, outputs).unwrap();
                let id = channel
                    .get_future_job_id_from_template_id(template_id)
                    .unwrap();
                let job = channel
                    .get_future_job(id)
                    .unwrap()
                    .get_job_message()
                    .clone();
                channel.on_set_new_prev_hash(tip).unwrap();
                (id, frame(true, 0x15, job))
            }
            Self::Extended(channel) => {
                channel.on_new_template(template, outputs).unwrap();
                let id = channel
                    .get_future_job_id_from_template_id(template_id)
                    .unwrap();
                let job = channel
                    .get_future_job(id)
                    .unwrap()
                    .get_job_message()
                    .clone();
                channel.on_set_new_prev_hash(tip).unwrap();
                (id, frame(true, 0x1f, job))
            }
        };
        let tip = MiningPrevHash {
            channel_id: CHANNEL_ID,
            job_id,
            prev_hash: (&prev_hash).into(),
            min_ntime: NTIME,
            nbits,
        };
        [job, frame(true, 0x20, tip)]
    }

    /// What the reference crates say of a share.
    pub fn validate(&mut self, sequence_number: u32, share: &Share) -> Result<Verdict, String> {
        let outcome = match self {
            Self::Standard(channel) => channel.validate_share(SubmitSharesStandard {
                channel_id: CHANNEL_ID,
                sequence_number,
                job_id: share.job_id,
                nonce: share.nonce,
                ntime: share.ntime,
                version: share.version,
            }),
            Self::Extended(channel) => channel.validate_share(
                SubmitSharesExtended {
                    channel_id: CHANNEL_ID,
                    sequence_number,
                    job_id: share.job_id,
                    nonce: share.nonce,
                    ntime: share.ntime,
                    version: share.version,
                    extranonce: share.extranonce.as_slice().try_into().unwrap(),
                }
                .into_owned(),
            ),
        };
        verdict(outcome)
    }
}

/// A share that the reference crates accept.
#[derive(Debug, PartialEq, Eq)]
pub struct Verdict {
    pub header_hash: [u8; 32],
    pub is_block: bool,
}

fn verdict(
    outcome: Result<ShareValidationResult, ShareValidationError>,
) -> Result<Verdict, String> {
    match outcome {
        Ok(ShareValidationResult::Valid(hash)) => Ok(Verdict {
            header_hash: *hash.as_ref(),
            is_block: false,
        }),
        Ok(ShareValidationResult::BlockFound(hash, ..)) => Ok(Verdict {
            header_hash: *hash.as_ref(),
            is_block: true,
        }),
        Err(
            ShareValidationError::Stale(code)
            | ShareValidationError::InvalidJobId(code)
            | ShareValidationError::DoesNotMeetTarget(code)
            | ShareValidationError::DuplicateShare(code)
            | ShareValidationError::Invalid(code),
        ) => Err(code.to_owned()),
        Err(other) => Err(format!("{other:?}")),
    }
}

/// A message as the reference crates write it.
pub fn frame<T: Encodable + GetSize>(on_channel: bool, msg_type: u8, message: T) -> Frame {
    Frame {
        extension_type: if on_channel { CHANNEL_BIT } else { 0 },
        msg_type,
        payload: binary_sv2::to_bytes(message).unwrap(),
    }
}

/// A frame as the miner understands it.
pub fn heard(frame: Frame) -> Incoming {
    Incoming::decode(frame).unwrap()
}

/// A listener with a certificate.
pub struct ReferencePool {
    pub listener: TcpListener,
    pub authority: PublicKey,
    identity: ServerIdentity,
}

impl ReferencePool {
    pub async fn listen() -> Self {
        let authority = SecretKey::generate(&mut OsRng);
        let static_key = SecretKey::generate(&mut OsRng);
        let now = now_unix_s();
        let certificate = Certificate::sign(
            &authority,
            static_key.public_key(),
            now - 60,
            now + 3600,
            &[7; 32],
        );
        ReferencePool {
            listener: TcpListener::bind("127.0.0.1:0").await.unwrap(),
            authority: authority.public_key(),
            identity: ServerIdentity::new(static_key, certificate).unwrap(),
        }
    }

    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Takes one miner up to the point where it asks for a channel.
    pub async fn accept(&self) -> MinerConnection {
        let (mut tcp, _) = self.listener.accept().await.unwrap();
        let session = respond(&mut tcp, &self.identity, &mut OsRng).await.unwrap();
        let limits = Limits {
            payload_bytes_max: 64 * 1024,
        };
        let (read_half, write_half) = TcpStream::into_split(tcp);
        let mut connection = MinerConnection {
            reader: FrameReader::new(read_half, session.opener, limits),
            writer: FrameWriter::new(write_half, session.sealer, limits),
            frames: VecDeque::new(),
        };
        assert_eq!(
            connection.receive().await.unwrap().msg_type,
            0x00,
            "SetupConnection"
        );
        let success = SetupConnectionSuccess {
            used_version: 2,
            flags: 0,
        };
        connection.send(&[frame(false, 0x01, success)]).await;
        let request = connection.receive().await.unwrap();
        assert_eq!(
            (request.extension(), request.msg_type),
            (1, 0),
            "RequestExtensions"
        );
        let success = RequestExtensionsSuccess {
            request_id: 0,
            supported_extensions: Seq064K::new(vec![EXT_MINT_QUOTE]).unwrap(),
        };
        let mut answer = frame(false, 0x01, success);
        answer.extension_type = 1;
        connection.send(&[answer]).await;
        connection
    }
}

/// The pool's end of a mining connection.
pub struct MinerConnection {
    reader: FrameReader<OwnedReadHalf>,
    writer: FrameWriter<OwnedWriteHalf>,
    frames: VecDeque<Frame>,
}

impl MinerConnection {
    pub async fn send(&mut self, frames: &[Frame]) {
        for frame in frames {
            self.writer.push(frame).unwrap();
        }
        self.writer.flush().await.unwrap();
    }

    /// The next frame, or `None` where the miner is gone.
    pub async fn receive(&mut self) -> Option<Frame> {
        if self.frames.is_empty() {
            let mut batch = Vec::new();
            self.reader.read_batch(&mut batch, 64).await.ok()?;
            self.frames.extend(batch);
        }
        self.frames.pop_front()
    }

    /// Answers the request for a channel, which has to come next, and sends its first job.
    pub async fn open(&mut self, channel: &mut ReferenceChannel, tip: [u8; 32]) {
        let request = self.receive().await.unwrap();
        let request_id = u32::from_le_bytes(*request.payload.first_chunk().unwrap());
        let terms = channel.terms();
        let target = terms.target.to_le_bytes();
        let opened = match terms.kind {
            ChannelKind::Standard => {
                assert_eq!(request.msg_type, 0x10);
                frame(
                    false,
                    0x11,
                    OpenStandardMiningChannelSuccess {
                        request_id,
                        channel_id: terms.channel_id,
                        target: (&target).into(),
                        extranonce_prefix: terms.extranonce_prefix.as_slice().try_into().unwrap(),
                        group_channel_id: terms.group_channel_id,
                    },
                )
            }
            ChannelKind::Extended => {
                assert_eq!(request.msg_type, 0x13);
                frame(
                    false,
                    0x14,
                    OpenExtendedMiningChannelSuccess {
                        request_id,
                        channel_id: terms.channel_id,
                        target: (&target).into(),
                        extranonce_size: u16::try_from(terms.extranonce_bytes).unwrap(),
                        extranonce_prefix: terms.extranonce_prefix.as_slice().try_into().unwrap(),
                        group_channel_id: terms.group_channel_id,
                    },
                )
            }
        };
        self.send(&[opened]).await;
        self.send(&channel.next_block(1, tip, NBITS_MAINNET)).await;
    }

    /// Refuses the request for a channel, which has to come next.
    pub async fn refuse_open(&mut self, error_code: &str) {
        let request = self.receive().await.unwrap();
        let refusal = OpenMiningChannelError {
            request_id: u32::from_le_bytes(*request.payload.first_chunk().unwrap()),
            error_code: error_code.try_into().unwrap(),
        };
        self.send(&[frame(false, 0x12, refusal)]).await;
    }

    /// The next submit on a standard channel, or `None` where the miner is gone.
    pub async fn submit(&mut self) -> Option<SubmitSharesStandard> {
        let mut frame = self.receive().await?;
        assert_eq!((frame.msg_type, frame.is_channel_msg()), (0x1a, true));
        Some(binary_sv2::from_bytes(&mut frame.payload).unwrap())
    }

    pub async fn accept_shares(&mut self, last_sequence_number: u32, count: u32) {
        let success = SubmitSharesSuccess {
            channel_id: CHANNEL_ID,
            last_sequence_number,
            new_submits_accepted_count: count,
            new_shares_sum: u64::from(count),
        };
        self.send(&[frame(true, 0x1c, success)]).await;
    }

    pub async fn refuse_share(&mut self, sequence_number: u32, error_code: &str) {
        let refusal = SubmitSharesError {
            channel_id: CHANNEL_ID,
            sequence_number,
            error_code: error_code.try_into().unwrap(),
        };
        self.send(&[frame(true, 0x1d, refusal)]).await;
    }
}

pub fn now_unix_s() -> u32 {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    u32::try_from(since.as_secs()).unwrap()
}
