//! The payment processor that cdk asks about the method `mining_share`.
//!
//! cdk wants one behind every method that it serves. Here there is nothing to ask: a quote for a share is
//! paid from the moment it exists, because the share is the payment. So this one promises nothing, pays
//! nothing, and refuses to make a request for payment: should a request for a new quote ever get past the
//! API's gate, it ends here.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use async_trait::async_trait;
use cdk::Stream;
use cdk::cdk_payment::{
    CreateIncomingPaymentResponse, Error, Event, IncomingPaymentOptions, MakePaymentResponse,
    MintPayment, OutgoingPaymentOptions, PaymentIdentifier, PaymentQuoteResponse, SettingsResponse,
    WaitPaymentResponse,
};
use cdk::nuts::CurrencyUnit;

/// The name of the payment method under which quotes for shares are listed (NUT-04 custom method).
pub const MINING_SHARE: &str = "mining_share";

/// See the module's documentation. One per unit.
pub(crate) struct SharePayments {
    unit: CurrencyUnit,
    listening: AtomicBool,
}

impl SharePayments {
    pub(crate) fn new(unit: CurrencyUnit) -> Self {
        Self {
            unit,
            listening: AtomicBool::new(false),
        }
    }
}

/// A stream that never has an item and never ends: cdk connects again, in a loop, to one that ends.
struct Silence;

impl Stream for Silence {
    type Item = Event;

    fn poll_next(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Event>> {
        Poll::Pending
    }
}

#[async_trait]
impl MintPayment for SharePayments {
    type Err = Error;

    async fn get_settings(&self) -> Result<SettingsResponse, Error> {
        Ok(SettingsResponse {
            unit: self.unit.to_string(),
            bolt11: None,
            bolt12: None,
            onchain: None,
            custom: HashMap::from([(MINING_SHARE.to_owned(), "{}".to_owned())]),
        })
    }

    async fn create_incoming_payment_request(
        &self,
        _: IncomingPaymentOptions,
    ) -> Result<CreateIncomingPaymentResponse, Error> {
        Err(Error::UnsupportedPaymentOption)
    }

    async fn get_payment_quote(
        &self,
        _: &CurrencyUnit,
        _: OutgoingPaymentOptions,
    ) -> Result<PaymentQuoteResponse, Error> {
        Err(Error::UnsupportedPaymentOption)
    }

    async fn make_payment(
        &self,
        _: &CurrencyUnit,
        _: OutgoingPaymentOptions,
    ) -> Result<MakePaymentResponse, Error> {
        Err(Error::UnsupportedPaymentOption)
    }

    async fn wait_payment_event(&self) -> Result<Pin<Box<dyn Stream<Item = Event> + Send>>, Error> {
        self.listening.store(true, Ordering::Relaxed);
        Ok(Box::pin(Silence))
    }

    fn is_payment_event_stream_active(&self) -> bool {
        self.listening.load(Ordering::Relaxed)
    }

    fn cancel_payment_event_stream(&self) {
        self.listening.store(false, Ordering::Relaxed);
    }

    async fn check_incoming_payment_status(
        &self,
        _: &PaymentIdentifier,
    ) -> Result<Vec<WaitPaymentResponse>, Error> {
        // What was paid is in the quote since it was made; there is never anything to add.
        Ok(Vec::new())
    }

    async fn check_outgoing_payment(
        &self,
        _: &PaymentIdentifier,
    ) -> Result<MakePaymentResponse, Error> {
        Err(Error::UnsupportedPaymentOption)
    }
}
