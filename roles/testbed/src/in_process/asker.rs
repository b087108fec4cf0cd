//! Who asks a mint for quotes, as a pool does, without miners.

use std::sync::Arc;

use rusqlite::Connection;
use tokio::sync::mpsc;
use tokio::time::timeout;
use winze_client::{
    HubClient, NewRequest, OUTBOX_SCHEMA, QuoteAnswers, QuoteEvent, QuoteRequester,
    QuoteRequesterConfig, RequesterStatus, Store, StoreError, outbox,
};
use winze_messages::EXT_MINT_QUOTE;
use winze_messages::families::mint_quote::{
    KeysetAnnouncement, MintQuoteError, MintQuoteRequest, MintQuoteResponse,
};
use winze_runtime::clock;
use winze_transport::PublicKey;

use super::HubSite;
use super::hub::failed;
use crate::error::TestbedError;
use crate::limits::{ASKER_EVENTS_MAX, ASKER_PATIENCE};

/// An outbox with its requester, and what that has heard.
pub struct Asker {
    name: String,
    mint: String,
    store: Store,
    requester: QuoteRequester,
    events: mpsc::Receiver<QuoteEvent>,
    _hub: HubClient,
}

impl Asker {
    /// Connects as `peer`, to ask `mint`, whose key it takes to be `mint_key`. What it asked earlier is in the site's file
    /// `<role>-<name>.sqlite`.
    ///
    /// # Errors
    /// `peer` is none of the hub's, `mint` is no name, or the store does not open.
    pub fn start(
        site: &HubSite,
        peer: &str,
        mint: &str,
        mint_key: PublicKey,
    ) -> Result<Asker, TestbedError> {
        let hub = site.connect(peer)?;
        let file = site.key_file(peer).with_extension("sqlite");
        let store = Store::open(&file, &[OUTBOX_SCHEMA]).map_err(failed(peer))?;
        let config = QuoteRequesterConfig::new(mint.parse().map_err(failed(peer))?, mint_key);
        let (told, events) = mpsc::channel(ASKER_EVENTS_MAX);
        let requester = QuoteRequester::start(&hub, store.clone(), config, Arc::new(Told(told)));
        Ok(Asker {
            name: peer.to_owned(),
            mint: mint.to_owned(),
            store,
            requester: requester.map_err(failed(peer))?,
            events,
            _hub: hub,
        })
    }

    /// Puts requests in the outbox, all or none of them.
    ///
    /// # Errors
    /// One does not fit a message, or the store fails.
    pub async fn ask(
        &self,
        requests: impl IntoIterator<Item = MintQuoteRequest>,
    ) -> Result<(), TestbedError> {
        let mut bodies = Vec::new();
        for request in requests {
            let mut body = Vec::new();
            let encoded = request.encode_body(&mut body);
            encoded.map_err(failed(&self.name))?;
            bodies.push((request.header_hash, body));
        }
        let mint = self.mint.clone();
        let asked = self.store.write(move |tx| {
            bodies.iter().try_for_each(|(header_hash, body)| {
                let new = NewRequest {
                    peer: &mint,
                    extension: EXT_MINT_QUOTE,
                    key: header_hash,
                    msg_type: MintQuoteRequest::MSG_TYPE,
                    body,
                };
                outbox::enqueue(tx, &new, clock::now_unix_ms()).map(drop)
            })
        });
        asked.await.map_err(failed(&self.name))?;
        self.requester.nudge();
        Ok(())
    }

    /// The next event; [`ASKER_EVENTS_MAX`] of them are kept until they are asked for, and what comes beyond is lost.
    ///
    /// # Errors
    /// [`TestbedError::Deadline`] where none comes within [`ASKER_PATIENCE`].
    pub async fn event(&mut self) -> Result<QuoteEvent, TestbedError> {
        match timeout(ASKER_PATIENCE, self.events.recv()).await {
            Ok(Some(event)) => Ok(event),
            Ok(None) => Err(failed(&self.name)("its requester has ended")),
            Err(_) => Err(TestbedError::Deadline {
                what: format!("event of {}", self.name),
                within: ASKER_PATIENCE,
                state: format!("{:?}", self.requester.status()),
            }),
        }
    }

    /// The next event that is about a request. A keyset may be told again at any time.
    ///
    /// # Errors
    /// Those of [`Self::event`].
    pub async fn answer(&mut self) -> Result<QuoteEvent, TestbedError> {
        loop {
            match self.event().await? {
                QuoteEvent::Keyset(_) => {}
                answer => return Ok(answer),
            }
        }
    }

    /// The next keyset, which is to come before anything else.
    ///
    /// # Errors
    /// Those of [`Self::event`], and where something else comes.
    pub async fn keyset(&mut self) -> Result<KeysetAnnouncement, TestbedError> {
        match self.event().await? {
            QuoteEvent::Keyset(keyset) => Ok(keyset),
            other => Err(self.unexpected("keyset", &other)),
        }
    }

    /// The next answer, which is to be a quote.
    ///
    /// # Errors
    /// Those of [`Self::event`], and where it is something else.
    pub async fn issued(&mut self) -> Result<MintQuoteResponse, TestbedError> {
        match self.answer().await? {
            QuoteEvent::Issued { response, .. } => Ok(response),
            other => Err(self.unexpected("quote", &other)),
        }
    }

    /// No answer has come that was not asked for; keysets do not count, and are passed over.
    pub fn has_no_answer(&mut self) -> bool {
        let mut events = std::iter::from_fn(|| self.events.try_recv().ok());
        events.all(|event| matches!(event, QuoteEvent::Keyset(_)))
    }

    /// How its requester gets on.
    pub fn status(&self) -> RequesterStatus {
        self.requester.status()
    }

    fn unexpected(&self, expected: &str, event: &QuoteEvent) -> TestbedError {
        failed(&self.name)(format_args!("expected a {expected}, got {event:?}"))
    }
}

/// Keeps nothing of an answer but its event.
struct Told(mpsc::Sender<QuoteEvent>);

impl QuoteAnswers for Told {
    fn on_response(
        &self,
        _: &Connection,
        _: &MintQuoteRequest,
        _: &MintQuoteResponse,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn on_refusal(
        &self,
        _: &Connection,
        _: &MintQuoteRequest,
        _: &MintQuoteError,
    ) -> Result<(), StoreError> {
        Ok(())
    }

    fn on_keyset(&self, _: &Connection, _: &KeysetAnnouncement) -> Result<(), StoreError> {
        Ok(())
    }

    fn committed(&self, events: &[QuoteEvent]) {
        for event in events {
            // Who is dropped hears nothing.
            let _ = self.0.try_send(event.clone());
        }
    }
}
