use rusqlite::Connection;
use tokio::sync::oneshot;

use super::StoreError;
use super::savepoint::in_savepoint;

/// How a job went.
pub(super) enum Ran {
    Succeeded,
    /// For a reason of its own.
    Failed,
    /// For a reason of the disk's, as text.
    DiskFailed(String),
}

/// A closure that waits for its turn, with whoever waits for its result.
pub(super) trait Job: Send {
    /// Runs it in a savepoint, which is released when it succeeds and rolled back when not. To be
    /// called once.
    fn run(&mut self, connection: &Connection) -> Ran;
    /// Answers: with the closure's result when the transaction was committed, else with its error.
    fn finish(self: Box<Self>, transaction: Result<(), StoreError>);
}

pub(super) struct TypedJob<T, F> {
    closure: Option<F>,
    result: Option<Result<T, StoreError>>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> TypedJob<T, F> {
    pub(super) fn new(closure: F, reply: oneshot::Sender<Result<T, StoreError>>) -> Self {
        TypedJob {
            closure: Some(closure),
            result: None,
            reply,
        }
    }
}

impl<T, F> Job for TypedJob<T, F>
where
    T: Send + 'static,
    F: FnOnce(&Connection) -> Result<T, StoreError> + Send + 'static,
{
    fn run(&mut self, connection: &Connection) -> Ran {
        let Some(closure) = self.closure.take() else {
            return Ran::Failed;
        };
        let result = in_savepoint(connection, || closure(connection));
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
