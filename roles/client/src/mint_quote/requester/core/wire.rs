//! Between a requester and the mint's channel: requests go out, answers come in.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use winze_messages::Unsealed;
use winze_messages::families::mint_quote::{MintQuoteError, MintQuoteRequest};

use super::QuoteRequesterCore;
use crate::delivery::{Now, RejectKind, SendChannel};
use crate::limits::{SEALED_AHEAD_MAX, SETTLEMENTS_WAITING_MAX};
use crate::mint_quote::StoreExchange;
use crate::mint_quote::requester::answer::{Dropped, Judged, judge};
use crate::mint_quote::requester::held::HeldRequest;
use crate::mint_quote::requester::settlement::{Settlement, refusal_text};
use crate::session::{ChannelEvent, Credit, SendError};

/// Sealed requests, in the order in which they are sent. One piece of memory for all of them: the
/// channel copies what it takes.
#[derive(Default)]
struct SealedAhead {
    bytes: Vec<u8>,
    requests: VecDeque<(u64, Range<usize>)>,
}

impl SealedAhead {
    fn clear(&mut self) {
        self.bytes.clear();
        self.requests.clear();
    }

    fn add(&mut self, sequence: u64, body: &[u8], authenticator: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(body);
        self.bytes.extend_from_slice(authenticator);
        self.requests.push_back((sequence, start..self.bytes.len()));
    }

    /// `None` where this one is not the next.
    fn take(&mut self, sequence: u64) -> Option<&[u8]> {
        if self.requests.front()?.0 != sequence {
            return None;
        }
        let (_, range) = self.requests.pop_front()?;
        self.bytes.get(range)
    }
}

impl QuoteRequesterCore {
    /// Sends what is due within credit and window.
    pub fn send_what_is_due(&mut self, channel: &mut impl SendChannel, now: Now) {
        let exchanged = self
            .exchange
            .send(&[&self.keys], channel, now.ms, &mut *self.rng);
        // The channel says when to go on.
        if exchanged.is_err() || !self.is_mint_known() {
            return;
        }
        let mut sealed = SealedAhead::default();
        loop {
            let credit = channel.send_credit();
            let Some(sequence) = self.core.next_to_send(credit) else {
                return;
            };
            let Some(request) = self.held.get(sequence).cloned() else {
                self.core.forget(sequence);
                continue;
            };
            let bytes = match sealed.take(sequence) {
                Some(bytes) => bytes,
                None => {
                    self.seal_ahead(credit, &mut sealed);
                    // It is the first that is to be sent, so it is the first that was sealed.
                    let Some(bytes) = sealed.take(sequence) else {
                        return;
                    };
                    bytes
                }
            };
            match channel.try_send(MintQuoteRequest::MSG_TYPE, bytes) {
                Ok(ordinal) => {
                    self.core.sent(sequence, ordinal, now.ms);
                    let attempts = request.count_attempt(now.unix_ms);
                    self.counts.sent += 1;
                    self.counts.sent_again += u64::from(attempts > 1);
                }
                Err(SendError::TooLong { .. }) => {
                    self.park(&request, "longer than what the hub takes".to_owned(), now);
                }
                // The channel says when to go on.
                Err(
                    SendError::NotOpen
                    | SendError::Away
                    | SendError::EventsUnread
                    | SendError::NoCredit
                    | SendError::Unsent,
                ) => return,
            }
        }
    }

    /// Seals what is to be sent next within `credit`.
    fn seal_ahead(&self, credit: Credit, sealed: &mut SealedAhead) {
        let to_send = self.core.all_to_send(credit).take(SEALED_AHEAD_MAX);
        let requests: Vec<_> = to_send
            .filter_map(|sequence| self.held.get(sequence))
            .map(|request| (request, request.renamed_when_sent_again()))
            .collect();
        sealed.clear();
        let messages = requests.iter().map(|(request, renamed)| Unsealed {
            msg_type: MintQuoteRequest::MSG_TYPE,
            body: renamed.as_deref().unwrap_or(&request.body),
            sequence: request.sequence,
            request_digest: None,
        });
        self.keys.seal_all(messages, |message, authenticator| {
            sealed.add(message.sequence, message.body, &authenticator);
        });
    }

    /// Whether it takes events: they stay with the channel, whose credit bounds them, while much
    /// waits to be recorded.
    pub fn takes_events(&self) -> bool {
        self.settlements.len() < SETTLEMENTS_WAITING_MAX
    }

    /// Takes events of the channel, in their order.
    pub fn take_events(&mut self, events: impl IntoIterator<Item = ChannelEvent>, now: Now) {
        let events: Vec<_> = events.into_iter().collect();
        // Whose they are is found out about all of them at once. None of them makes another's author another; that one
        // may have ended the request of another is seen when that one's turn comes.
        let messages = events.iter().filter_map(|event| match event {
            ChannelEvent::Message { msg_type, bytes } if !StoreExchange::takes(*msg_type) => {
                Some((*msg_type, &bytes[..]))
            }
            _ => None,
        });
        let mut judged = judge(&self.keys, &self.held, messages).into_iter();
        for event in events {
            match event {
                ChannelEvent::Message { msg_type, .. } if !StoreExchange::takes(msg_type) => {
                    let judged = judged.next();
                    let judged = judged.unwrap_or(Judged::Dropped(Dropped::Unauthentic));
                    self.take_message(msg_type, judged, now);
                }
                event => self.take_event(event, now),
            }
        }
    }

    /// Of those that are not about a request.
    fn take_event(&mut self, event: ChannelEvent, now: Now) {
        match event {
            ChannelEvent::Present { instance } => {
                self.core.presence(Some(instance));
                self.exchange.present(instance, &mut *self.rng);
            }
            ChannelEvent::Away => {
                self.core.presence(None);
                self.exchange.away();
            }
            ChannelEvent::Lost => self.stopped(),
            ChannelEvent::Closed { code, detail } => {
                self.stopped();
                tracing::warn!(mint = %self.mint.name, ?code, ?detail, "no channel to the mint");
            }
            ChannelEvent::Message { msg_type, bytes } => self.take_exchanged(msg_type, &bytes),
            ChannelEvent::Reject {
                ordinal,
                code,
                detail,
            } => self.rejected(ordinal, &code, &detail, now),
            ChannelEvent::GroupReject { .. } | ChannelEvent::RejectsOverflowed => {
                self.core.rejects_overflowed(now.ms, &mut *self.rng);
            }
        }
    }

    fn take_message(&mut self, msg_type: u8, judged: Judged, now: Now) {
        match judged {
            Judged::Issued(request, response, number) => {
                let settlement = Settlement::Issued(Arc::clone(&request), response, number);
                self.settle(request.sequence, settlement, now);
            }
            Judged::Refused(request, error, number) => {
                let settlement = Settlement::Refused(Arc::clone(&request), error, number);
                self.settle(request.sequence, settlement, now);
            }
            Judged::PutOff(request, error) => self.put_off(&request, &error, now),
            Judged::Contradiction(request, error) => {
                self.counts.nonsense += 1;
                tracing::error!(
                    mint = %self.mint.name, header_hash = request.header_hash_text(), error,
                    "the mint contradicts itself"
                );
                self.park(&request, error, now);
            }
            Judged::Keyset { serial, keyset } => {
                self.settlements.push(Settlement::Keyset { serial, keyset });
            }
            Judged::Dropped(dropped) => {
                match dropped {
                    Dropped::Unauthentic => self.counts.unauthentic += 1,
                    Dropped::Stale => self.counts.stale += 1,
                    Dropped::Malformed => self.counts.nonsense += 1,
                }
                tracing::debug!(mint = %self.mint.name, msg_type, ?dropped, "a message without effect");
            }
        }
    }

    fn settle(&mut self, sequence: u64, settlement: Settlement, now: Now) {
        let is_held = self.core.answered(sequence, now.ms);
        if is_held
            || settlement
                .request()
                .is_some_and(|request| self.held.take_late(request))
        {
            self.settlements.push(settlement);
        } else {
            self.counts.stale += 1;
        }
    }

    fn put_off(&mut self, request: &Arc<HeldRequest>, error: &MintQuoteError, now: Now) {
        let asked_ms = u64::from(error.retry_after_ms);
        if self
            .core
            .put_off(request.sequence, asked_ms, now.ms, &mut *self.rng)
        {
            self.counts.put_off += 1;
            self.note(request, refusal_text(error));
        }
    }

    fn rejected(&mut self, ordinal: u64, code: &str, detail: &str, now: Now) {
        self.counts.rejected += 1;
        let kind = match code {
            "peer-away" | "unknown-channel" => RejectKind::Passing,
            _ => RejectKind::Lasting,
        };
        let Some(rejected) = self.core.rejected(ordinal, kind, now.ms, &mut *self.rng) else {
            return;
        };
        let Some(request) = self.held.get(rejected.sequence).cloned() else {
            return;
        };
        let error = format!("the hub rejects it: {code:?} ({detail:?})");
        tracing::debug!(header_hash = request.header_hash_text(), error);
        match rejected.park {
            true => self.park(&request, error, now),
            false => self.note(&request, error),
        }
    }

    /// Puts a request aside for the operator.
    pub(super) fn park(&mut self, request: &HeldRequest, error: String, now: Now) {
        if self.core.answered(request.sequence, now.ms) {
            self.settlements.push(Settlement::Parked {
                sequence: request.sequence,
                key: request.request.header_hash.to_vec(),
                note: request.take_note_of_sending(),
                error,
            });
        }
    }
}
