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
    /// Puts down what was tallied, and empties the tally.
    pub(super) fn add(&mut self, flow: Flow, tally: &mut Tally) {
        if let Some(((extension, msg_type), counted)) = tally.run.take() {
            let totals = self.frames.entry((extension, msg_type, flow)).or_default();
            *totals = totals.plus(counted);
        }
    }

    pub(super) fn sent<'f>(&mut self, frames: impl Iterator<Item = &'f Frame>) {
        let mut tally = Tally::default();
        for frame in frames {
            if !tally.add(frame) {
                self.add(Flow::Out, &mut tally);
                tally.begin(frame);
            }
        }
        self.add(Flow::Out, &mut tally);
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
}

/// A run of frames of one extension and type, which are looked up and put down together.
#[derive(Debug, Default)]
pub(super) struct Tally {
    run: Option<((u16, u8), Totals)>,
}

impl Tally {
    /// Whether a frame is one more of the run.
    pub(super) fn goes_on_with(&self, frame: &Frame) -> bool {
        let of = (frame.extension(), frame.msg_type);
        self.run.as_ref().is_some_and(|(run_of, _)| *run_of == of)
    }

    /// Counts a frame that goes on with the run. False for any other.
    pub(super) fn add(&mut self, frame: &Frame) -> bool {
        if !self.goes_on_with(frame) {
            return false;
        }
        if let Some((_, totals)) = &mut self.run {
            *totals = totals.plus(Totals::one(frame.payload.len()));
        }
        true
    }

    /// Begins a run with its first frame, where there is none.
    pub(super) fn begin(&mut self, frame: &Frame) {
        let of = (frame.extension(), frame.msg_type);
        self.run = Some((of, Totals::one(frame.payload.len())));
    }
}
