//! `winze demo --legacy`: an old pool and an old mint, which talk through a Redis list, are moved over to Winze under load,
//! the mint first, then the pool.
//!
//! The old ones are stand-ins out of `winze-testbed`; Redis, hub, bridge, mint, pool, miners and wallets are real. What a
//! stage shows and when it is over is in [`stages`], what is started and ended for it in [`course`], and the account at
//! the end in [`tally`].

mod configs;
mod course;
mod redis;
mod report;
mod roles;
mod stages;
mod tally;

use std::process::ExitCode;

use super::report::Asked;
use super::view::View;
use crate::print;
use course::Course;

/// The run, until it is done or `stop` interrupts it. Whatever ends this future ends the children: they belong to what it
/// owns.
pub(super) async fn show(
    asked: Asked,
    json: bool,
    stop: impl Future<Output = ()>,
) -> Result<ExitCode, String> {
    tokio::pin!(stop);
    let mut view = View::new(asked.shares);
    let interrupted = || Err("interrupted; all processes were stopped".to_owned());
    let started = tokio::select! {
        () = &mut stop => return interrupted(),
        started = Course::start(asked, &mut view) => started,
    };
    let mut course = started.map_err(|error| error.to_string())?;
    let outcome = tokio::select! {
        () = &mut stop => {
            view.erase();
            return interrupted();
        }
        outcome = course.run(&mut view) => outcome,
    };
    view.erase();
    let said = match json {
        true => {
            print::message(outcome.summary());
            print::result(outcome.json())
        }
        false => print::result(outcome.summary()),
    };
    let success = outcome.problems.is_empty();
    if !success {
        let folder = course.keep_folder();
        print::message(format_args!(
            "configuration, stores and logs are left in {}",
            folder.display()
        ));
    }
    course.end().await.map_err(|error| error.to_string())?;
    said.map_err(|error| format!("cannot write: {error}"))?;
    Ok(match success {
        true => ExitCode::SUCCESS,
        false => ExitCode::FAILURE,
    })
}
