//! Between the task and the mint's channel: requests go out, answers come in.

use std::sync::Arc;

use rand::rngs::OsRng;
use winze_messages::families::mint_quote::{MintQuoteError, MintQuoteRequest};

use super::Task;
use crate::delivery::RejectKind;
use crate::limits::{EVENTS_PER_TURN_MAX, SETTLEMENTS_WAITING_MAX};
use crate::mint_quote::requester::answer::{Dropped, Judged, judge};
use crate::mint_quote::requester::held::HeldRequest;
use crate::mint_quote::requester::settlement::{Settlement, refusal_text};
use crate::session::{ChannelEvent, SendError};

impl Task {
    pub(super) fn send_what_is_due(&mut self) {
        loop {
            let credit = self.channel.send_credit();
            let Some(sequence) = self.core.next_to_send(credit) else {
                return;
            };
            let Some(request) = self.held.get(sequence).cloned() else {
                self.core.forget(sequence);
                continue;
            };
            let sealed = self.keys.seal(
                MintQuoteRequest::MSG_TYPE,
                &request.body,
                request.sequence,
                None,
            );
            match self.channel.try_send(MintQuoteRequest::MSG_TYPE, &sealed) {
                Ok(ordinal) => {
                    let now_ms = self.now_ms();
                    self.core.sent(sequence, ordinal, now_ms);
                    let attempts = request.count_attempt();
                    self.count(|counts| {
                        counts.sent += 1;
                        counts.sent_again += u64::from(attempts > 1);
                    });
                    if attempts > 1 {
                        self.note(&request, None);
                    }
                }
                Err(SendError::TooLong { .. }) => {
                    self.park(&request, "longer than what the hub takes".to_owned());
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

    /// Events stay with the channel, whose credit bounds them, while much waits to be recorded.
    pub(super) fn takes_events(&self) -> bool {
        self.settlements.len() < SETTLEMENTS_WAITING_MAX
    }

    pub(super) fn take_events(&mut self) {
        let mut events = std::mem::take(&mut self.events);
        self.channel.take_events(&mut events, EVENTS_PER_TURN_MAX);
        for event in events.drain(..) {
            self.take_event(event);
        }
        self.events = events;
    }

    fn take_event(&mut self, event: ChannelEvent) {
        let now_ms = self.now_ms();
        match event {
            ChannelEvent::Present { instance } => self.core.presence(Some(instance)),
            ChannelEvent::Away => self.core.presence(None),
            ChannelEvent::Lost => self.core.lost(),
            ChannelEvent::Closed { code, detail } => {
                self.core.lost();
                tracing::warn!(mint = %self.mint, ?code, ?detail, "no channel to the mint");
            }
            ChannelEvent::Message { msg_type, bytes } => self.take_message(msg_type, &bytes),
            ChannelEvent::Reject {
                ordinal,
                code,
                detail,
            } => self.rejected(ordinal, &code, &detail),
            ChannelEvent::RejectsOverflowed => {
                self.core.rejects_overflowed(now_ms, &mut OsRng);
            }
        }
    }

    fn take_message(&mut self, msg_type: u8, bytes: &[u8]) {
        let now_ms = self.now_ms();
        match judge(&self.keys, &self.held, msg_type, bytes) {
            Judged::Issued(request, response) => match self.core.answered(request.sequence, now_ms)
            {
                true => self.settlements.push(Settlement::Issued(request, response)),
                false => self.count(|counts| counts.stale += 1),
            },
            Judged::Refused(request, error) => match self.core.answered(request.sequence, now_ms) {
                true => self.settlements.push(Settlement::Refused(request, error)),
                false => self.count(|counts| counts.stale += 1),
            },
            Judged::PutOff(request, error) => self.put_off(&request, &error),
            Judged::Contradiction(request, error) => {
                self.count(|counts| counts.nonsense += 1);
                tracing::error!(
                    mint = %self.mint, header_hash = request.header_hash_text(), error,
                    "the mint contradicts itself"
                );
                self.park(&request, error);
            }
            Judged::Keyset { serial, keyset } => {
                self.settlements.push(Settlement::Keyset { serial, keyset });
            }
            Judged::Dropped(dropped) => {
                self.count(|counts| match dropped {
                    Dropped::Unauthentic => counts.unauthentic += 1,
                    Dropped::Stale => counts.stale += 1,
                    Dropped::Malformed => counts.nonsense += 1,
                });
                tracing::debug!(mint = %self.mint, msg_type, ?dropped, "a message without effect");
            }
        }
    }

    fn put_off(&mut self, request: &Arc<HeldRequest>, error: &MintQuoteError) {
        let now_ms = self.now_ms();
        let asked_ms = u64::from(error.retry_after_ms);
        if self
            .core
            .put_off(request.sequence, asked_ms, now_ms, &mut OsRng)
        {
            self.count(|counts| counts.put_off += 1);
            self.note(request, Some(refusal_text(error)));
        }
    }

    fn rejected(&mut self, ordinal: u64, code: &str, detail: &str) {
        self.count(|counts| counts.rejected += 1);
        let kind = match code {
            "peer-away" | "unknown-channel" => RejectKind::Passing,
            _ => RejectKind::Lasting,
        };
        let now_ms = self.now_ms();
        let Some(rejected) = self.core.rejected(ordinal, kind, now_ms, &mut OsRng) else {
            return;
        };
        let Some(request) = self.held.get(rejected.sequence).cloned() else {
            return;
        };
        let error = format!("the hub rejects it: {code:?} ({detail:?})");
        tracing::debug!(header_hash = request.header_hash_text(), error);
        match rejected.park {
            true => self.park(&request, error),
            false => self.note(&request, Some(error)),
        }
    }

    /// Puts a request aside for the operator.
    pub(super) fn park(&mut self, request: &HeldRequest, error: String) {
        let now_ms = self.now_ms();
        if self.core.answered(request.sequence, now_ms) {
            self.settlements.push(Settlement::Parked {
                sequence: request.sequence,
                key: request.request.header_hash.to_vec(),
                error,
            });
        }
    }
}
