//! What can be seen while it runs, on standard error: redrawn in place on a terminal, otherwise a line now and then.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use winze_testbed::Account;

/// How often a log gets a line at most.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// Characters of the bar.
const BAR_WIDTH: u64 = 40;
/// Terminal sequence: what does not fit a line is cut off. A line that wrapped would be two to go up over.
const CLIP_LINES: &str = "\x1b[?7l";
/// Terminal sequence: as terminals usually are.
const WRAP_LINES: &str = "\x1b[?7h";

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
        eprintln!("[{:>3} s] {line}", self.begun.elapsed().as_secs());
    }

    /// Shows the account as it is now.
    pub(crate) fn show(&mut self, account: &Account) {
        if self.terminal {
            self.redraw(account);
        } else if self.line_at.is_none_or(|at| at.elapsed() >= LINE_EVERY) {
            let line = one_line(account, self.shares_asked);
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

    fn redraw(&mut self, account: &Account) {
        let lines = picture(account, self.shares_asked, self.begun.elapsed());
        let mut drawing = erasing(self.drawn_lines);
        drawing.push_str(CLIP_LINES);
        for line in &lines {
            drawing.push_str(line);
            drawing.push('\n');
        }
        drawing.push_str(WRAP_LINES);
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

fn picture(account: &Account, shares_asked: u64, elapsed: Duration) -> Vec<String> {
    let row = |name: &str, count: u64, more: String| {
        let filled = (count.min(shares_asked) * BAR_WIDTH) / shares_asked.max(1);
        let bar = "#".repeat(filled as usize);
        format!(
            "  {name:<9}{count:>7}  {bar:<width$}  {more}",
            width = BAR_WIDTH as usize
        )
    };
    let latency = match (account.quote_latency_ms(50), account.quote_latency_ms(99)) {
        (Some(p50), Some(p99)) => format!("after {p50} ms (p50), {p99} ms (p99)"),
        _ => String::new(),
    };
    let seconds = elapsed.as_secs();
    vec![
        row(
            "accepted",
            account.shares_accepted(),
            format!("of {shares_asked} shares, {seconds} s{}", aside(account)),
        ),
        row("quoted", account.quotes_issued(), latency),
        row(
            "redeemed",
            account.quotes_redeemed(),
            format!("{} hash expected", account.ecash_expected()),
        ),
    ]
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
