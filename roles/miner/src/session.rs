//! One connection's life with one channel: work in, shares out, answers settled.

use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout_at};
use winze_messages::families::mint_quote::{MintQuoteFailure, MintQuoteNotification};

use crate::budget::ShareBudget;
use crate::client::{ClientError, MiningClient};
use crate::finder::{Finder, Found};
use crate::incoming::Incoming;
use crate::ledger::{Ledger, LedgerError};
use crate::limits::{ANSWER_TIMEOUT, STOP_TIMEOUT, SUBMITS_IN_FLIGHT_MAX};
use crate::work::{ChannelTerms, ChannelWork, Share, WorkError};

/// What a miner's owner hears.
#[derive(Clone, Debug)]
pub enum MinerEvent {
    /// A channel is open.
    Connected {
        /// What the pool fixed for it.
        terms: ChannelTerms,
        /// Whether quotes will be heard of on this connection.
        quotes: bool,
    },
    /// The pool accepted a share.
    Accepted(Share),
    /// The pool refused a share.
    Refused {
        /// The share.
        share: Share,
        /// The pool's reason.
        error_code: String,
    },
    /// A share was submitted, but the connection went before the answer came: it may or may not have
    /// been accepted.
    InDoubt(Share),
    /// An accepted share became a mint quote.
    Quote(MintQuoteNotification),
    /// An accepted share will not become one.
    QuoteFailed(MintQuoteFailure),
    /// The connection could not be made, or ended. The miner dials again, if it may.
    Disconnected {
        /// Why.
        reason: String,
    },
}

/// Why a session ended.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SessionEnd {
    #[error("the miner was stopped")]
    Stopped,
    #[error("the pool asked to reconnect")]
    Reconnect,
    #[error("the pool closed the channel: {0}")]
    ChannelClosed(String),
    #[error("no answer to a submitted share for {} s", ANSWER_TIMEOUT.as_secs())]
    NoAnswer,
    #[error(transparent)]
    Client(#[from] ClientError),
    #[error("the pool broke the protocol: {0}")]
    Work(#[from] WorkError),
    #[error("the pool broke the protocol: {0}")]
    Ledger(#[from] LedgerError),
}

/// What a session shares with the miner that runs it.
pub(crate) struct Surroundings<'a> {
    pub finder: &'a mut Finder,
    pub budget: &'a ShareBudget,
    pub events: &'a mpsc::Sender<MinerEvent>,
    pub stop: &'a mut watch::Receiver<bool>,
}

/// Mines on an open channel until something ends it. Shares without an answer are reported as in
/// doubt before it returns.
pub(crate) async fn run(
    client: MiningClient,
    terms: ChannelTerms,
    around: Surroundings<'_>,
) -> SessionEnd {
    let mut session = Session {
        client,
        work: ChannelWork::new(terms),
        ledger: Ledger::default(),
        waiting_since: None,
        around,
    };
    let end = session.mine().await;
    session.around.finder.set_work(None);
    let Session { ledger, around, .. } = session;
    for share in ledger.into_unanswered() {
        around.budget.in_doubt();
        emit(around.events, MinerEvent::InDoubt(share)).await;
    }
    end
}

/// Waits until the miner is stopped, or gone.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    // An error means that the miner itself is gone.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Sends an event; where the owner dropped its end nobody wants to know any more.
pub(crate) async fn emit(events: &mpsc::Sender<MinerEvent>, event: MinerEvent) {
    let _ = events.send(event).await;
}

struct Session<'a> {
    client: MiningClient,
    work: ChannelWork,
    ledger: Ledger,
    /// When the pool last answered, or was first asked after it had answered all.
    waiting_since: Option<Instant>,
    around: Surroundings<'a>,
}

impl Session<'_> {
    async fn mine(&mut self) -> SessionEnd {
        match self.mine_until_stopped().await {
            Ok(()) => match self.finish().await {
                Ok(()) => SessionEnd::Stopped,
                Err(end) => end,
            },
            Err(end) => end,
        }
    }

    async fn mine_until_stopped(&mut self) -> Result<(), SessionEnd> {
        let mut budget = self.around.budget.watch();
        loop {
            let has_room = budget.borrow_and_update().has_room();
            let may_submit = has_room && self.ledger.open_count() < SUBMITS_IN_FLIGHT_MAX;
            self.set_finder(has_room);
            let no_answer_at = self.waiting_since.map(|since| since + ANSWER_TIMEOUT);
            tokio::select! {
                // What the pool says may make a found share worthless, so it goes first.
                biased;
                () = stopped(self.around.stop) => return Ok(()),
                message = self.client.receive() => self.take(message?).await?,
                _ = budget.changed() => {}
                found = self.around.finder.found(), if may_submit => self.submit(found).await?,
                () = sleep_until(no_answer_at.unwrap_or_else(Instant::now)), if no_answer_at.is_some() => {
                    return Err(SessionEnd::NoAnswer);
                }
            }
        }
    }

    /// Waits for the answers that are still due, then closes the channel in good order.
    async fn finish(&mut self) -> Result<(), SessionEnd> {
        self.around.finder.set_work(None);
        let until = Instant::now() + STOP_TIMEOUT;
        while self.ledger.open_count() > 0 {
            match timeout_at(until, self.client.receive()).await {
                Ok(message) => self.take(message?).await?,
                Err(_) => return Err(SessionEnd::NoAnswer),
            }
        }
        let channel_id = self.work.terms().channel_id;
        Ok(self
            .client
            .close_channel(channel_id, "miner-stopped")
            .await?)
    }

    /// Work for the finder while there is something to spend it on.
    fn set_finder(&mut self, has_room: bool) {
        let wanted = if has_room {
            self.work.assignment()
        } else {
            None
        };
        self.around.finder.set_work(wanted);
    }

    async fn submit(&mut self, found: Found) -> Result<(), SessionEnd> {
        let Found { work, share } = found;
        let is_current = self.work.assignment().is_some_and(|current| {
            current.is_same_job(&work) && current.target().is_met_by(&share.header_hash)
        });
        // What was found just before the job, the target or the connection changed is not worth an
        // error.
        if !is_current || !self.around.budget.reserve() {
            return Ok(());
        }
        let kind = self.work.terms().kind;
        let channel_id = self.work.terms().channel_id;
        self.waiting_since.get_or_insert_with(Instant::now);
        let sequence_number = self.ledger.submit(share.clone());
        Ok(self
            .client
            .submit(kind, channel_id, sequence_number, &share)
            .await?)
    }

    async fn take(&mut self, message: Incoming) -> Result<(), SessionEnd> {
        let own = self.work.terms().channel_id;
        let group = self.work.terms().group_channel_id;
        match message {
            Incoming::SharesAccepted(success) if success.channel_id == own => {
                let accepted = self.ledger.success(
                    success.last_sequence_number,
                    success.new_submits_accepted_count,
                )?;
                self.settled(accepted).await;
            }
            Incoming::ShareRefused {
                channel_id,
                sequence_number,
                error_code,
            } if channel_id == own => {
                let (share, accepted) = self.ledger.refusal(sequence_number)?;
                self.around.budget.refused();
                let refused = MinerEvent::Refused { share, error_code };
                emit(self.around.events, refused).await;
                self.settled(accepted).await;
            }
            Incoming::Quote(channel_id, quote) if channel_id == own => {
                emit(self.around.events, MinerEvent::Quote(quote)).await;
            }
            Incoming::QuoteFailed(channel_id, failure) if channel_id == own => {
                emit(self.around.events, MinerEvent::QuoteFailed(failure)).await;
            }
            Incoming::ChannelClosed {
                channel_id,
                reason_code,
            } if channel_id == own || channel_id == group => {
                return Err(SessionEnd::ChannelClosed(reason_code));
            }
            Incoming::Reconnect => return Err(SessionEnd::Reconnect),
            other => {
                if !self.work.apply(&other)? {
                    tracing::debug!(message = ?other, "no new work in this message");
                }
            }
        }
        Ok(())
    }

    async fn settled(&mut self, accepted: Vec<Share>) {
        self.waiting_since = (self.ledger.open_count() > 0).then(Instant::now);
        for share in accepted {
            self.around.budget.accepted();
            emit(self.around.events, MinerEvent::Accepted(share)).await;
        }
    }
}
