//! A miner that is led by the test, share by share.

use std::collections::VecDeque;
use std::net::SocketAddr;

use winze_messages::families::mint_quote::MintQuoteNotification;
use winze_miner::finder::find_one;
use winze_miner::{
    ChannelKind, ChannelTerms, ChannelWork, ClientError, ConnectConfig, Incoming, MiningClient,
    OpenChannel, Share, Target,
};
use winze_transport::PublicKey;

use super::within;

pub const ALICE: &str = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798";

pub struct Miner {
    pub client: MiningClient,
    pub terms: ChannelTerms,
    work: ChannelWork,
    sequence_number: u32,
    answers: VecDeque<Answer>,
    pub quotes: Vec<MintQuoteNotification>,
}

/// What the pool said to shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Accepted { last: u32, count: u32 },
    Refused { sequence_number: u32, code: String },
    Closed(String),
}

pub async fn connect(pool: SocketAddr, authority: PublicKey) -> MiningClient {
    let config = ConnectConfig {
        address: pool.to_string(),
        authority,
        standard_jobs_only: false,
        quotes: true,
    };
    within(MiningClient::connect(&config)).await.unwrap()
}

impl Miner {
    pub async fn start(pool: SocketAddr, authority: PublicKey, kind: ChannelKind) -> Miner {
        let mut client = connect(pool, authority).await;
        let terms = open(&mut client, ALICE, kind).await.unwrap();
        Miner {
            work: ChannelWork::new(terms.clone()),
            client,
            terms,
            sequence_number: 0,
            answers: VecDeque::new(),
            quotes: Vec::new(),
        }
    }

    async fn hear(&mut self) {
        let message = within(self.client.receive()).await.unwrap();
        match &message {
            Incoming::SharesAccepted(success) => self.answers.push_back(Answer::Accepted {
                last: success.last_sequence_number,
                count: success.new_submits_accepted_count,
            }),
            Incoming::ShareRefused {
                sequence_number,
                error_code,
                ..
            } => self.answers.push_back(Answer::Refused {
                sequence_number: *sequence_number,
                code: error_code.clone(),
            }),
            Incoming::ChannelClosed { reason_code, .. } => {
                self.answers.push_back(Answer::Closed(reason_code.clone()));
            }
            Incoming::Quote(channel_id, quote) => {
                assert_eq!(*channel_id, self.terms.channel_id);
                self.quotes.push(quote.clone());
            }
            _ => {}
        }
        self.work.apply(&message).unwrap();
    }

    /// A share on the present job.
    pub async fn find(&mut self) -> Share {
        loop {
            if let Some(share) = self.work.assignment().and_then(|work| find_one(work)) {
                return share;
            }
            self.hear().await;
        }
    }

    pub async fn submit(&mut self, share: &Share) -> u32 {
        self.sequence_number += 1;
        let (kind, channel_id) = (self.terms.kind, self.terms.channel_id);
        let sent = self
            .client
            .submit(kind, channel_id, self.sequence_number, share);
        within(sent).await.unwrap();
        self.sequence_number
    }

    pub async fn answer(&mut self) -> Answer {
        loop {
            if let Some(answer) = self.answers.pop_front() {
                return answer;
            }
            self.hear().await;
        }
    }

    /// Submits and waits; the code where it is refused.
    pub async fn ask(&mut self, share: &Share) -> Result<(), String> {
        let number = self.submit(share).await;
        match self.answer().await {
            Answer::Accepted { last, count: 1 } if last == number => Ok(()),
            Answer::Refused {
                sequence_number,
                code,
            } if sequence_number == number => Err(code),
            other => panic!("{other:?} to share {number}"),
        }
    }

    pub async fn wait_for_quotes(&mut self, count: usize) {
        while self.quotes.len() < count {
            self.hear().await;
        }
    }
}

pub async fn open(
    client: &mut MiningClient,
    user_identity: &str,
    kind: ChannelKind,
) -> Result<ChannelTerms, ClientError> {
    let open = OpenChannel {
        kind,
        request_id: 1,
        user_identity: user_identity.to_owned(),
        nominal_hash_rate: 1.0,
        max_target: Target::MAX,
        extranonce_bytes_min: 4,
    };
    within(client.open_channel(&open)).await
}
