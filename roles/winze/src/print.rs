//! What a command says: results on standard output, messages on standard error.

use std::fmt::Display;
use std::io::{self, Write};

/// Writes a line of the result. Whoever started the command must hear that it is not there.
///
/// # Errors
/// Standard output is closed or full.
pub(crate) fn result(line: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    writeln!(out, "{line}")?;
    out.flush()
}

/// Writes a line that is not the result. One that cannot be written (the terminal was closed, the disk is full) is lost,
/// and the command goes on.
pub(crate) fn message(line: impl Display) {
    let _ = writeln!(io::stderr().lock(), "{line}");
}
