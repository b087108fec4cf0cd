//! A pool by hand: it asks for quotes as a pool does, or as none should.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use winze_messages::authenticator::PairKeys;
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteMessage, MintQuoteRequest, MintQuoteResponse,
    StoreQuery, StoreState,
};
use winze_messages::{EXT_MINT_QUOTE, Side, channel_frame, request_digest};
use winze_transport::{Frame, PublicKey};

use crate::peer::Peer;
use crate::world::Keys;

/// A pool with an open channel to its mint, whose keyset it knows.
pub struct ScriptedPool {
    pub peer: Peer,
    pub channel_id: u32,
    pub keyset: KeysetAnnouncement,
    keys: PairKeys,
    sequence: u64,
}

/// What a mint says to a request, its authenticator verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Quote(MintQuoteResponse),
    Refused(MintQuoteError),
}

impl Answer {
    #[track_caller]
    pub fn quote(self) -> MintQuoteResponse {
        match self {
            Answer::Quote(quote) => quote,
            Answer::Refused(error) => panic!("refused: {error:?}"),
        }
    }

    #[track_caller]
    pub fn refused(self) -> MintQuoteError {
        match self {
            Answer::Refused(error) => error,
            Answer::Quote(quote) => panic!("a quote: {quote:?}"),
        }
    }

    fn header_hash(&self) -> [u8; 32] {
        match self {
            Answer::Quote(quote) => quote.header_hash,
            Answer::Refused(error) => error.header_hash,
        }
    }
}

impl ScriptedPool {
    /// Connects as `pool/main` and waits for the keyset.
    pub async fn connect(hub: SocketAddr, authority: PublicKey, keys: &Keys) -> ScriptedPool {
        let name = "pool/main".parse().unwrap();
        let mut peer = Peer::connect(hub, authority, &name, &keys.pool).await;
        let channel_id = peer.open("mint/main").await;
        let keys = pair_keys(keys);
        let keyset = loop {
            let frame = peer.receive_on_channel().await;
            answer_store_query(&mut peer, &keys, channel_id, &frame).await;
            if frame.msg_type == KeysetAnnouncement::MSG_TYPE {
                let opened = keys
                    .open(frame.msg_type, &frame.payload[4..], None)
                    .unwrap();
                break KeysetAnnouncement::decode_body(opened.body).unwrap();
            }
        };
        ScriptedPool {
            peer,
            channel_id,
            keyset,
            keys,
            sequence: 0,
        }
    }

    /// A request that the mint has no reason to refuse.
    pub fn request(&self, number: u8, amount: u64, locking_key: &[u8; 33]) -> MintQuoteRequest {
        MintQuoteRequest {
            amount,
            unit: self.keyset.unit.clone(),
            header_hash: header_hash(number),
            description: None,
            locking_key: *locking_key,
            keyset_id: self.keyset.keyset_id.clone(),
        }
    }

    /// The request as the bytes that go on the wire.
    pub fn seal(&mut self, request: &MintQuoteRequest) -> Frame {
        self.sequence += 1;
        let mut body = Vec::new();
        request.encode_body(&mut body).unwrap();
        let sealed = self
            .keys
            .seal(MintQuoteRequest::MSG_TYPE, &body, self.sequence, None);
        channel_frame(
            EXT_MINT_QUOTE,
            MintQuoteRequest::MSG_TYPE,
            self.channel_id,
            &sealed,
        )
    }

    /// Asks, and waits for the answer to this request.
    pub async fn ask(&mut self, request: &MintQuoteRequest) -> Answer {
        let frame = self.seal(request);
        self.peer.send(frame).await;
        self.next_answer(std::slice::from_ref(request)).await
    }

    /// Asks for all at once; the answers by header hash.
    pub async fn ask_all(&mut self, requests: &[MintQuoteRequest]) -> BTreeMap<[u8; 32], Answer> {
        for request in requests {
            let frame = self.seal(request);
            self.peer.send(frame).await;
        }
        let mut answers = BTreeMap::new();
        while answers.len() < requests.len() {
            let answer = self.next_answer(requests).await;
            let again = answers.insert(answer.header_hash(), answer);
            assert_eq!(again, None, "one answer each");
        }
        answers
    }

    /// The next answer, verified against that one of `requests` which it says it is for.
    pub async fn next_answer(&mut self, requests: &[MintQuoteRequest]) -> Answer {
        let (frame, header_hash) = self.next_answer_frame().await;
        let request = requests
            .iter()
            .find(|request| request.header_hash == header_hash);
        let request = request.unwrap_or_else(|| panic!("an answer to none of the requests"));
        self.verify(&frame, request)
            .expect("an answer of the mint's own hand")
    }

    /// The next answer, whoever made it, and the header hash that it names.
    pub async fn next_answer_frame(&mut self) -> (Frame, [u8; 32]) {
        loop {
            let frame = self.peer.receive_on_channel().await;
            answer_store_query(&mut self.peer, &self.keys, self.channel_id, &frame).await;
            let sealed =
                winze_messages::authenticator::Unverified::split(&frame.payload[4..]).unwrap();
            match MintQuoteMessage::decode_body(frame.msg_type, sealed.body).unwrap() {
                MintQuoteMessage::Response(response) => return (frame, response.header_hash),
                MintQuoteMessage::Error(error) => return (frame, error.header_hash),
                MintQuoteMessage::Keyset(_) | MintQuoteMessage::StoreQuery(_) => {}
                other => panic!("a mint does not say this: {other:?}"),
            }
        }
    }

    /// The answer, if the mint made it for exactly this request.
    pub fn verify(&self, frame: &Frame, request: &MintQuoteRequest) -> Option<Answer> {
        let mut body = Vec::new();
        request.encode_body(&mut body).unwrap();
        let digest = request_digest(EXT_MINT_QUOTE, MintQuoteRequest::MSG_TYPE, &body);
        let opened = self
            .keys
            .open(frame.msg_type, &frame.payload[4..], Some(digest))
            .ok()?;
        Some(
            match MintQuoteMessage::decode_body(frame.msg_type, opened.body).unwrap() {
                MintQuoteMessage::Response(response) => Answer::Quote(response),
                MintQuoteMessage::Error(error) => Answer::Refused(error),
                other => panic!("no answer: {other:?}"),
            },
        )
    }
}

/// A mint that asks how far the pool's store has come hears that it never did anything.
async fn answer_store_query(peer: &mut Peer, keys: &PairKeys, channel_id: u32, frame: &Frame) {
    if frame.msg_type != StoreQuery::MSG_TYPE {
        return;
    }
    let query = keys
        .open(frame.msg_type, &frame.payload[4..], None)
        .unwrap();
    let digest = request_digest(EXT_MINT_QUOTE, frame.msg_type, query.body);
    let state = StoreState {
        requests: 0,
        answers: 0,
    };
    let mut body = Vec::new();
    state.encode_body(&mut body).unwrap();
    let sealed = keys.seal(StoreState::MSG_TYPE, &body, 0, Some(digest));
    peer.send(channel_frame(
        EXT_MINT_QUOTE,
        StoreState::MSG_TYPE,
        channel_id,
        &sealed,
    ))
    .await;
}

/// The keys of pool and mint for each other, the pool's side.
fn pair_keys(keys: &Keys) -> PairKeys {
    PairKeys::derive(
        &keys.pool,
        &keys.mint.public_key(),
        EXT_MINT_QUOTE,
        Side::Requester,
        "pool",
        "mint",
    )
}

/// A header hash with a look of its own.
pub fn header_hash(number: u8) -> [u8; 32] {
    let mut hash = [number; 32];
    hash[31] = 0;
    hash
}
