use tokio::sync::watch;
use tokio::task::JoinHandle;
use winze_messages::families::hub::{HubMessage, Pong};
use winze_messages::families::mint_quote::{MintQuoteRequest, MintQuoteResponse, QuoteState};
use winze_messages::{EXT_HUB, EXT_MINT_QUOTE, PairKeys, Side, channel_frame, request_digest};
use winze_transport::Frame;

use super::peer::quote_body;
use super::{GOOD_MINT, GOOD_POOL, Peer, TestHub, key_of, soon};

/// A pool and a mint that exchange one authenticated quote after another, and take any disturbance for a failure.
pub struct Exchange {
    stop_pool: watch::Sender<bool>,
    stop_mint: watch::Sender<bool>,
    quotes: watch::Receiver<u64>,
    pool: JoinHandle<Peer>,
    mint: JoinHandle<()>,
}

impl Exchange {
    pub async fn start(hub: &TestHub) -> Exchange {
        let mut mint = Peer::connect(hub, GOOD_MINT).await;
        let mut pool = Peer::connect(hub, GOOD_POOL).await;
        let opened = pool.open(EXT_MINT_QUOTE, GOOD_MINT).await;
        let offer = mint.accept().await;
        assert_eq!(offer.peer, GOOD_POOL);
        pool.wait_for_peer().await;

        let (stop_pool, pool_stopped) = watch::channel(false);
        let (stop_mint, mint_stopped) = watch::channel(false);
        let (count, quotes) = watch::channel(0);
        let mut exchange = Exchange {
            stop_pool,
            stop_mint,
            quotes,
            pool: tokio::spawn(ask(pool, opened.channel_id, count, pool_stopped)),
            mint: tokio::spawn(answer(mint, offer.channel_id, mint_stopped)),
        };
        exchange.more_quotes().await;
        exchange
    }

    async fn more_quotes(&mut self) {
        let enough = *self.quotes.borrow() + 5;
        let more = self.quotes.wait_for(|quotes| *quotes >= enough);
        let more = soon("quotes of the good pair", more).await.is_ok();
        assert!(more, "the good pool was disturbed");
    }

    /// Fails if either was closed, refused, told of a change, or has stopped getting answers.
    pub async fn was_undisturbed(mut self) {
        self.more_quotes().await;
        self.stop_pool.send(true).unwrap();
        // The pool stays connected until the mint has stopped, which would be told of its going.
        let _pool = soon("the good pool", self.pool).await.unwrap();
        self.stop_mint.send(true).unwrap();
        soon("the good mint", self.mint).await.unwrap();
    }
}

/// A channel message, or `None` for the hub's own that change nothing.
async fn channel_message(peer: &mut Peer, frame: Frame) -> Option<Frame> {
    if frame.extension_type != EXT_HUB {
        return Some(frame);
    }
    match HubMessage::decode(&frame).unwrap() {
        HubMessage::Ping(ping) => peer.say(Pong { nonce: ping.nonce }).await,
        HubMessage::Credit(_) => {}
        other => panic!("the good pair was disturbed: {other:?}"),
    }
    None
}

async fn ask(
    mut pool: Peer,
    channel_id: u32,
    count: watch::Sender<u64>,
    stopped: watch::Receiver<bool>,
) -> Peer {
    let mint_key = key_of(GOOD_MINT).public_key();
    let keys = PairKeys::derive(
        &key_of(GOOD_POOL),
        &mint_key,
        EXT_MINT_QUOTE,
        Side::Requester,
        "pool",
        "mint",
    );
    let mut share = 0;
    while !*stopped.borrow() {
        share += 1;
        let body = quote_body(share);
        let sealed = keys.seal(MintQuoteRequest::MSG_TYPE, &body, share, None);
        let frame = channel_frame(
            EXT_MINT_QUOTE,
            MintQuoteRequest::MSG_TYPE,
            channel_id,
            &sealed,
        );
        pool.send(frame).await;
        let answer = loop {
            let frame = pool.expect().await;
            if let Some(answer) = channel_message(&mut pool, frame).await {
                break answer;
            }
        };
        assert_eq!(answer.channel_id(), Some(channel_id));
        let digest = request_digest(EXT_MINT_QUOTE, MintQuoteRequest::MSG_TYPE, &body);
        let opened = keys
            .open(answer.msg_type, &answer.payload[4..], Some(digest))
            .unwrap();
        let response = MintQuoteResponse::decode_body(opened.body).unwrap();
        assert_eq!(response.header_hash[..8], share.to_le_bytes());
        count.send_replace(share);
    }
    pool
}

async fn answer(mut mint: Peer, channel_id: u32, mut stopped: watch::Receiver<bool>) {
    let pool_key = key_of(GOOD_POOL).public_key();
    let keys = PairKeys::derive(
        &key_of(GOOD_MINT),
        &pool_key,
        EXT_MINT_QUOTE,
        Side::Responder,
        "pool",
        "mint",
    );
    loop {
        let frame = tokio::select! {
            frame = mint.next() => frame.expect("the good mint stays connected"),
            _ = stopped.wait_for(|stopped| *stopped) => return,
        };
        let Some(request) = channel_message(&mut mint, frame).await else {
            continue;
        };
        assert_eq!(request.channel_id(), Some(channel_id));
        let opened = keys
            .open(request.msg_type, &request.payload[4..], None)
            .unwrap();
        let asked = MintQuoteRequest::decode_body(opened.body).unwrap();
        let response = MintQuoteResponse {
            quote_id: "q".to_owned(),
            header_hash: asked.header_hash,
            amount: asked.amount,
            unit: asked.unit,
            expires_at_unix_s: 0,
            state: QuoteState::Paid,
        };
        let mut body = Vec::new();
        response.encode_body(&mut body).unwrap();
        let digest = request_digest(EXT_MINT_QUOTE, request.msg_type, opened.body);
        let msg_type = MintQuoteResponse::MSG_TYPE;
        let sealed = keys.seal(msg_type, &body, opened.sequence, Some(digest));
        mint.send(channel_frame(EXT_MINT_QUOTE, msg_type, channel_id, &sealed))
            .await;
    }
}
