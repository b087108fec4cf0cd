//! A mint that issues a quote for whatever it is asked for.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use winze_client::{
    ANSWERS_SCHEMA, HubClient, HubClientConfig, Identity, QuoteIssuer, QuoteOutcome,
    QuoteResponder, QuoteResponderConfig, Store,
};
use winze_messages::PeerName;
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteRequest, MintQuoteResponse, QuoteErrorCode, QuoteState,
};
use winze_runtime::keyfile;
use winze_transport::PublicKey;

use super::{KEYSET_ID, World};

pub struct TestMint {
    hub: HubClient,
    responder: QuoteResponder,
}

struct Issuer {
    refuse: bool,
}

#[async_trait]
impl QuoteIssuer for Issuer {
    async fn issue(
        &self,
        _: &PeerName,
        _: &PublicKey,
        requests: Vec<MintQuoteRequest>,
    ) -> Vec<QuoteOutcome> {
        let outcome = |request: MintQuoteRequest| {
            assert_eq!(request.keyset_id, KEYSET_ID);
            if self.refuse {
                return QuoteOutcome::Refused {
                    code: QuoteErrorCode::UnitNotAllowed,
                    message: "not this pool".to_owned(),
                };
            }
            QuoteOutcome::Issued(MintQuoteResponse {
                quote_id: hex::encode(&request.header_hash[..8]),
                header_hash: request.header_hash,
                amount: request.amount,
                unit: request.unit,
                expires_at_unix_s: 0,
                state: QuoteState::Paid,
            })
        };
        requests.into_iter().map(outcome).collect()
    }
}

impl TestMint {
    pub async fn start(world: &World, hub: SocketAddr, refuse: bool) -> TestMint {
        let key = keyfile::read_secret(world.at("mint.key")).unwrap();
        let pool = keyfile::read_secret(world.at("pool.key")).unwrap();
        let identity = Identity::new("mint", "main", key).unwrap();
        let config = HubClientConfig::new(hub.to_string(), world.authority);
        let hub = HubClient::start(config, identity);
        let store = Store::open(&world.at("mint.sqlite"), &[ANSWERS_SCHEMA]).unwrap();
        let pools = vec![("pool/main".parse().unwrap(), pool.public_key())];
        let config = QuoteResponderConfig::new(pools);
        let issuer = Arc::new(Issuer { refuse });
        let responder = QuoteResponder::start(&hub, store, config, issuer).unwrap();
        let mut keys = vec![(1, [2; 33])];
        keys.sort_unstable();
        let keyset = KeysetAnnouncement {
            unit: "hash".to_owned(),
            keyset_id: KEYSET_ID.to_vec(),
            keys,
        };
        responder.announce(keyset).await.unwrap();
        TestMint { hub, responder }
    }

    pub async fn stop(self) {
        self.responder.shutdown().await;
        self.hub.shutdown().await;
    }
}
