//! What can be seen while it runs, on standard error: redrawn in place on a terminal, otherwise a line now and then.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use rustix::termios::tcgetwinsize;
use winze_testbed::Account;

use crate::print;

/// How often a log gets a line at most.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// Characters of the bar at most.
const BAR_WIDTH_MAX: usize = 40;
/// Characters in front of the bar, and between it and what follows.
const BAR_FROM: usize = 20;
/// What a line must have room for behind the bar.
const MORE_WIDTH: usize = 30;
/// Columns where the terminal does not say.
const COLUMNS_USUAL: usize = 80;

/// The live view.
pub(crate) struct View {
    begun: Instant,
    shares_asked: u64,
    terminal: bool,
    drawn_lines: usize,
    line_at: Option<Instant>,
    line: String,
}

impl View {
    /// How often [`Self::show`] is worth calling.
    pub(crate) const REDRAW_EVERY: Duration = Duration::from_millis(200);

    /// Of a run that begins now.
    pub(crate) fn new(shares_asked: u64) -> Self {
        View {
            begun: Instant::now(),
            shares_asked,
            terminal: io::stderr().is_terminal(),
            drawn_lines: 0,
            line_at: None,
            line: String::new(),
        }
    }

    /// A line that stays.
    pub(crate) fn say(&mut self, line: &str) {
        self.erase();
        let seconds = self.begun.elapsed().as_secs();
        print::message(format_args!("[{seconds:>3} s] {line}"));
    }

    /// Shows the account as it is now.
    pub(crate) fn show(&mut self, account: &Account) {
        let (shares, elapsed) = (self.shares_asked, self.begun.elapsed());
        self.show_as(
            |columns| picture(account, shares, elapsed, columns),
            || one_line(account, shares),
        );
    }

    /// Shows what `picture` gives for a terminal of so many columns, or `line` in a log.
    pub(crate) fn show_as(
        &mut self,
        picture: impl FnOnce(usize) -> Vec<String>,
        line: impl FnOnce() -> String,
    ) {
        if self.terminal {
            self.redraw(&picture(columns()));
        } else if self.line_at.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            let line = line();
            // The time alone is no news.
            if line != self.line {
                self.say(&line);
                self.line = line;
                self.line_at = Some(Instant::now());
            }
        }
    }

    /// Takes the redrawn part away.
    pub(crate) fn erase(&mut self) {
        if self.drawn_lines > 0 {
            draw(&erasing(self.drawn_lines));
            self.drawn_lines = 0;
        }
    }

    fn redraw(&mut self, lines: &[String]) {
        let mut drawing = erasing(self.drawn_lines);
        for line in lines {
            drawing.push_str(line);
            drawing.push('\n');
        }
        self.drawn_lines = lines.len();
        draw(&drawing);
    }
}

impl Drop for View {
    fn drop(&mut self) {
        self.erase();
    }
}

fn one_line(account: &Account, shares_asked: u64) -> String {
    format!(
        "{}/{shares_asked} shares accepted, {} quotes, {} redeemed{}",
        account.shares_accepted(),
        account.quotes_issued(),
        account.quotes_redeemed(),
        aside(account),
    )
}

/// What there usually is none of.
fn aside(account: &Account) -> String {
    let mut aside = String::new();
    if account.shares_refused() > 0 {
        aside.push_str(&format!(", {} shares refused", account.shares_refused()));
    }
    if account.shares_in_doubt() > 0 {
        aside.push_str(&format!(", {} in doubt", account.shares_in_doubt()));
    }
    aside
}

/// Three lines, each shorter than `columns`: one that wrapped would be two to go up over.
fn picture(account: &Account, shares_asked: u64, elapsed: Duration, columns: usize) -> Vec<String> {
    let room = columns.saturating_sub(1);
    let bar_width = room
        .saturating_sub(BAR_FROM + 2 + MORE_WIDTH)
        .min(BAR_WIDTH_MAX);
    let row = |name: &str, count: u64, more: String| {
        let filled = bar_width as u64 * count.min(shares_asked) / shares_asked.max(1);
        let bar = "#".repeat(filled as usize);
        let line = match bar_width {
            0 => format!("  {name:<9}{count:>7}  {more}"),
            _ => format!("  {name:<9}{count:>7}  {bar:<bar_width$}  {more}"),
        };
        let cut: String = line.chars().take(room).collect();
        cut.trim_end().to_owned()
    };
    let latency = match (account.quote_latency_ms(50), account.quote_latency_ms(99)) {
        (Some(p50), Some(p99)) => format!("p50 {p50} ms, p99 {p99} ms"),
        _ => String::new(),
    };
    let seconds = elapsed.as_secs();
    vec![
        row(
            "accepted",
            account.shares_accepted(),
            format!("of {shares_asked}, {seconds} s{}", aside(account)),
        ),
        row("quoted", account.quotes_issued(), latency),
        row(
            "redeemed",
            account.quotes_redeemed(),
            format!("of {} hash", account.ecash_expected()),
        ),
    ]
}

/// Of the terminal at standard error.
fn columns() -> usize {
    match tcgetwinsize(io::stderr()) {
        Ok(size) if size.ws_col > 0 => usize::from(size.ws_col),
        _ => COLUMNS_USUAL,
    }
}

/// The terminal's sequences for: up that many lines, and clear from there on.
fn erasing(lines: usize) -> String {
    match lines {
        0 => String::new(),
        lines => format!("\x1b[{lines}A\x1b[J"),
    }
}

/// A view that cannot be drawn is no reason to stop.
fn draw(text: &str) {
    let mut stderr = io::stderr().lock();
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_fits_terminals_wide_and_narrow() {
        let account = Account::new(20);
        let seconds = Duration::from_secs(1_234);
        for columns in [20, 40, 80, 200] {
            let lines = picture(&account, 100_000, seconds, columns);
            assert_eq!(lines.len(), 3);
            for line in &lines {
                assert!(line.chars().count() < columns, "{columns}: {line:?}");
            }
            if columns >= 40 {
                assert!(lines[0].ends_with("of 100000, 1234 s"), "{lines:?}");
            }
        }
    }
}
