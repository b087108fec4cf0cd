//! What the hub has counted since its start.

use std::collections::BTreeMap;

use winze_transport::Frame;

use super::credit::Totals;
use super::event::EndCause;
use super::reasons::{OpenRefusal, RejectReason};

/// Which way a frame went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Flow {
    /// From a client.
    In,
    /// To a client.
    Out,
}

/// Counters that only rise.
#[derive(Clone, Debug, Default)]
pub struct Counters {
    /// Frames of authenticated clients by extension (without the channel bit), type and way. Only messages of the table
    /// and extensions of the configuration are here, so that no client can make this grow.
    pub frames: BTreeMap<(u16, u8, Flow), Totals>,
    /// Frames that were ignored: without the channel bit, of an unknown extension.
    pub ignored: u64,
    /// Channel messages that were not delivered, by reason.
    pub rejects: BTreeMap<RejectReason, u64>,
    /// Messages that were purged because an end of their channel had gone.
    pub purged: Totals,
    /// Channels that were not opened, by reason.
    pub open_refusals: BTreeMap<OpenRefusal, u64>,
    /// Connections that ended, by cause.
    pub ends: BTreeMap<EndCause, u64>,
    /// Connections that were authenticated.
    pub authenticated: u64,
}

impl Counters {
    pub(super) fn received(&mut self, frame: &Frame) {
        self.frame(frame, Flow::In);
    }

    pub(super) fn sent(&mut self, frame: &Frame) {
        self.frame(frame, Flow::Out);
    }

    pub(super) fn rejected(&mut self, reason: RejectReason) {
        *self.rejects.entry(reason).or_default() += 1;
    }

    pub(super) fn open_refused(&mut self, reason: OpenRefusal) {
        *self.open_refusals.entry(reason).or_default() += 1;
    }

    pub(super) fn ended(&mut self, cause: EndCause) {
        *self.ends.entry(cause).or_default() += 1;
    }

    fn frame(&mut self, frame: &Frame, flow: Flow) {
        let key = (frame.extension(), frame.msg_type, flow);
        let totals = self.frames.entry(key).or_default();
        *totals = totals.plus(Totals::one(frame.payload.len()));
    }
}
