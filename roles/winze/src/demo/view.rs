//! What can be seen while it runs, on standard error: redrawn in place on a terminal, otherwise a line now and then.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use super::report::Percentiles;
use super::tally::{Tally, display};

/// How often a terminal is redrawn at most.
const REDRAW_EVERY: Duration = Duration::from_millis(100);
/// How often a log gets a line at most.
const LINE_EVERY: Duration = Duration::from_secs(2);
/// Miners that are shown each; of more, the last line tells the number.
const MINERS_SHOWN_MAX: usize = 16;

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
    shown_at: Option<Instant>,
    shown: String,
}

impl View {
    /// Of a run that begins now.
    pub(crate) fn new(shares_asked: u64) -> Self {
        View {
            begun: Instant::now(),
            shares_asked,
            terminal: io::stderr().is_terminal(),
            drawn_lines: 0,
            shown_at: None,
            shown: String::new(),
        }
    }

    /// A line that stays, as "starting the hub".
    pub(crate) fn say(&mut self, line: &str) {
        self.erase();
        eprintln!("{line}");
    }

    /// Shows the count as it is now, if it is time to.
    pub(crate) fn show(&mut self, tally: &Tally) {
        let every = if self.terminal { REDRAW_EVERY } else { LINE_EVERY };
        if self.shown_at.is_none_or(|at| at.elapsed() >= every) {
            self.show_now(tally);
        }
    }

    /// Shows the count as it is now.
    pub(crate) fn show_now(&mut self, tally: &Tally) {
        self.shown_at = Some(Instant::now());
        let seconds = self.begun.elapsed().as_secs();
        let headline = headline(tally, self.shares_asked);
        if !self.terminal {
            // The time alone is no news.
            if headline != self.shown {
                eprintln!("[{seconds:>4} s] {headline}");
                self.shown = headline;
            }
            return;
        }
        let mut lines = vec![format!("[{seconds:>4} s] {headline}")];
        lines.extend(miner_lines(tally));
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

    /// Takes the redrawn part away.
    pub(crate) fn erase(&mut self) {
        if self.drawn_lines > 0 {
            draw(&erasing(self.drawn_lines));
            self.drawn_lines = 0;
        }
    }
}

fn headline(tally: &Tally, shares_asked: u64) -> String {
    let latency = Percentiles::of(tally.latencies_ms());
    let mut line = format!(
        "{}/{shares_asked} shares accepted, {} quotes, {} redeemed: {} hash",
        tally.accepted(),
        tally.quotes(),
        tally.redeemed(),
        tally.miners().iter().map(|miner| miner.ecash).sum::<u64>(),
    );
    if let (Some(p50), Some(p99)) = (latency.p50, latency.p99) {
        line.push_str(&format!("; share to quote {p50} ms (p50), {p99} ms (p99)"));
    }
    let refused: u64 = tally.miners().iter().map(|miner| miner.refused).sum();
    let in_doubt: u64 = tally.miners().iter().map(|miner| miner.in_doubt).sum();
    if refused > 0 {
        line.push_str(&format!("; {refused} refused"));
    }
    if in_doubt > 0 {
        line.push_str(&format!("; {in_doubt} in doubt"));
    }
    line
}

fn miner_lines(tally: &Tally) -> Vec<String> {
    let mut lines: Vec<String> = tally
        .miners()
        .iter()
        .enumerate()
        .take(MINERS_SHOWN_MAX)
        .map(|(number, miner)| {
            let state = if miner.connected { "mining" } else { "away  " };
            let newest = miner.newest.map_or(String::new(), |(bits, hash)| {
                let hash = display(&hash);
                format!("  {}.. ({bits} zero bits)", hash.get(..16).unwrap_or(&hash))
            });
            format!(
                "  miner {:<2} {state} {:>4} shares -> {:>4} quotes -> {:>6} hash{newest}",
                number + 1,
                miner.accepted,
                miner.quotes,
                miner.ecash,
            )
        })
        .collect();
    let more = tally.miners().len().saturating_sub(MINERS_SHOWN_MAX);
    if more > 0 {
        lines.push(format!("  and {more} more"));
    }
    lines
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
    use winze_miner::Share;

    #[test]
    fn the_headline_tells_what_flowed_and_what_did_not() {
        let mut tally = Tally::new(1, 8);
        let share = Share {
            job_id: 1,
            nonce: 0,
            ntime: 0,
            version: 0,
            extranonce: Vec::new(),
            header_hash: [1; 32],
            zero_bits: 10,
            meets_network_target: false,
        };
        let now = Instant::now();
        tally.share_refused(0);
        tally.share_accepted(0, &share, now);
        tally.quote(0, share.header_hash, "q", 4, now + Duration::from_millis(12));
        tally.quote_redeemed(0, "q", 4);
        assert_eq!(
            headline(&tally, 5),
            "1/5 shares accepted, 1 quotes, 1 redeemed: 4 hash; \
             share to quote 12 ms (p50), 12 ms (p99); 1 refused"
        );
        assert!(miner_lines(&tally)[0].contains("(10 zero bits)"));
    }
}
