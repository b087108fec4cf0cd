use rusqlite::Connection;
use tokio::sync::oneshot;

use super::StoreError;
use super::savepoint::{caught, in_savepoint};

/// How a job went.
pub(super) enum Ran {
    Succeeded,
    /// For a reason of its own.
    Failed,
    /// For a reason of the disk's, as text.
    DiskFailed(String),
}

/// What undoes a job that fails.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Undo {
    /// A savepoint of its own, which is released when it succeeds. SQLite keeps what every page was that is
    /// changed in one, so it costs as much as small changes themselves.
    Savepoint,
    /// Whoever runs it.
    Caller,
}

/// A closure that waits for its turn, with whoever waits for its result.
pub(super) trait Job: Send {
    /// Whether it may be run again, where what it did was undone.
    fn is_repeatable(&self) -> bool;

    /// Runs it. To be called once, where it is not repeatable.
    fn run(&mut self, connection: &Connection, undo: Undo) -> Ran;

    /// Answers: with the closure's result when the transaction was committed, else with its error.
    fn finish(self: Box<Self>, transaction: Result<(), StoreError>);
}

/// A closure that is run once.
pub(super) struct Once<F>(Option<F>);

/// A closure that may be run more than once.
pub(super) struct Repeatable<F>(F);

pub(super) trait Closure<T>: Send {
    const IS_REPEATABLE: bool;

    fn call(&mut self, connection: &Connection) -> Result<T, StoreError>;
}

impl<T, F> Closure<T> for Once<F>
where
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send,
{
    const IS_REPEATABLE: bool = false;

    fn call(&mut self, connection: &Connection) -> Result<T, StoreError> {
        self.0.take().ok_or(StoreError::Closed)?(connection)
    }
}

impl<T, F> Closure<T> for Repeatable<F>
where
    F: FnMut(&Connection) -> Result<T, StoreError> + Send,
{
    const IS_REPEATABLE: bool = true;

    fn call(&mut self, connection: &Connection) -> Result<T, StoreError> {
        (self.0)(connection)
    }
}

impl<F> Once<F> {
    pub(super) fn new(closure: F) -> Once<F> {
        Once(Some(closure))
    }
}

impl<F> Repeatable<F> {
    pub(super) fn new(closure: F) -> Repeatable<F> {
        Repeatable(closure)
    }
}

pub(super) struct TypedJob<T, C> {
    closure: C,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, C> TypedJob<T, C> {
    pub(super) fn new(closure: C, reply: oneshot::Sender<Result<T, StoreError>>) -> Self {
        TypedJob {
            closure,
            result: None,
            reply,
        }
    }
}

impl<T, C> Job for TypedJob<T, C>
where
    T: Send + 'static,
    C: Closure<T>,
{
    fn is_repeatable(&self) -> bool {
        C::IS_REPEATABLE
    }

    fn run(&mut self, connection: &Connection, undo: Undo) -> Ran {
        let closure = &mut self.closure;
        let result = match undo {
            Undo::Savepoint => in_savepoint(connection, || closure.call(connection)),
            Undo::Caller => caught(|| closure.call(connection)),
        };
        let ran = match &result {
            Ok(_) => Ran::Succeeded,
            Err(error) if error.is_the_disks() => Ran::DiskFailed(error.to_string()),
            Err(_) => Ran::Failed,
        };
        self.result = Some(result);
        ran
    }

    fn finish(self: Box<Self>, transaction: Result<(), StoreError>) {
        let result = match (self.result, transaction) {
            // The job's own error says more than what became of the transaction around it.
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (None, Ok(())) => Err(StoreError::Closed),
        };
        // Whoever asked may have gone meanwhile.
        let _ = self.reply.send(result);
    }
}
