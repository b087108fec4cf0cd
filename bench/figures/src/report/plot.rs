//! The plot: one panel of bars for each comparison, in an SVG of its own.

use std::fmt::Write as _;

use crate::ceilings::RELAY;
use crate::outcome::{Case, Outcome, Table};

/// Pixels: the width of the whole, of the names, and of the values behind the bars.
const WIDTH: f64 = 760.0;
const NAMES: f64 = 150.0;
const VALUES: f64 = 70.0;
/// Pixels from one bar to the next, and from one panel to the next.
const ROW: f64 = 20.0;
const GAP: f64 = 26.0;
/// What is ours stands out; the rest is one colour.
const OURS: &str = "#c2571a";
const OTHERS: &str = "#8a949e";

/// What is shown: workload, parameter, metric, and what the bars are.
const PANELS: [(&str, u64, &str, &str); 10] = [
    (
        "pairs",
        200,
        "cpu_us",
        "32 pairs: server CPU per message, us (less is better)",
    ),
    (
        "bulk",
        200,
        "cpu_us",
        "one pair, bulk: server CPU per message, us (less is better)",
    ),
    (
        "bulk",
        200,
        "k_per_s",
        "one pair, bulk: thousand messages/s (more is better)",
    ),
    (
        "fanout",
        200,
        "cpu_us",
        "one to 64: server CPU per delivery, us (less is better)",
    ),
    (
        "rtt1",
        200,
        "p50_us",
        "round trip, 1 in flight: p50, us (less is better)",
    ),
    (
        "rtt256",
        200,
        "cpu_us",
        "256 in flight: server CPU per round trip, us (less is better)",
    ),
    (
        "idle",
        2_000,
        "kib",
        "idle connections: server memory each, KiB (less is better)",
    ),
    (
        "durable",
        0,
        "k_per_s",
        "durable requests: thousands/s (more is better)",
    ),
    (
        "pipeline",
        0,
        "k_per_s",
        "shares to answered quotes: thousands/s (more is better)",
    ),
    (
        "bridge",
        0,
        "k_per_s",
        "entries off a legacy pool's list: thousands/s (more is better)",
    ),
];

/// The plot of what was measured, as SVG.
pub fn svg(outcome: &Outcome) -> String {
    let mut y = 0.0;
    let mut panels = String::new();
    for (name, parameter, metric, title) in PANELS {
        let table = outcome.tables.iter().find(|table| table.name == name);
        let bars = table.map_or_else(Vec::new, |table| bars(outcome, table, parameter, metric));
        if !bars.is_empty() {
            y = panel(&mut panels, y + GAP, title, &bars);
        }
    }
    let height = y + GAP;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n{panels}</svg>\n"
    )
}

fn bars(
    outcome: &Outcome,
    table: &Table,
    parameter: u64,
    metric: &str,
) -> Vec<(&'static str, f64)> {
    let here = table
        .cases
        .iter()
        // The relay is no choice that anybody has.
        .filter(|case| case.parameter == parameter && case.system != RELAY);
    let bar = |case: &Case| {
        let median = outcome.medians.of(table.name, case, metric)?;
        Some((case.system, median.value))
    };
    here.filter_map(bar).collect()
}

/// Draws one panel from `y` down, and gives where it ends.
fn panel(out: &mut String, y: f64, title: &str, bars: &[(&str, f64)]) -> f64 {
    let most = bars.iter().map(|(_, value)| *value).fold(0.0, f64::max);
    let room = WIDTH - NAMES - VALUES;
    // Writing to a String does not fail.
    let _ = writeln!(
        out,
        "<text x=\"8\" y=\"{y}\" font-weight=\"bold\" fill=\"#222222\">{title}</text>"
    );
    let mut top = y + 8.0;
    for (system, value) in bars {
        let length = if most > 0.0 { value / most * room } else { 0.0 };
        let colour = match system.starts_with("hub") {
            true => OURS,
            false => OTHERS,
        };
        let text_y = top + 13.0;
        let digits = if *value < 100.0 { 2 } else { 0 };
        let _ = writeln!(
            out,
            "<text x=\"{names}\" y=\"{text_y}\" text-anchor=\"end\" fill=\"#222222\">{system}</text>\
             <rect x=\"{NAMES}\" y=\"{bar_y}\" width=\"{length:.1}\" height=\"14\" fill=\"{colour}\"/>\
             <text x=\"{value_x:.1}\" y=\"{text_y}\" fill=\"#222222\">{value:.digits$}</text>",
            names = NAMES - 6.0,
            bar_y = top + 2.0,
            value_x = NAMES + length + 6.0,
        );
        top += ROW;
    }
    top
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::example;

    #[test]
    fn the_longest_bar_is_the_largest_figure_and_the_others_are_its_parts() {
        let outcome = example::outcome(&[
            ("pairs", "hub", 200, "cpu_us", 1.0),
            ("pairs", "nats", 200, "cpu_us", 4.0),
            ("pairs", "relay", 200, "cpu_us", 8.0),
            ("pairs", "naive", 64, "cpu_us", 9.0),
        ]);
        let svg = svg(&outcome);
        let room = WIDTH - NAMES - VALUES;
        assert!(svg.contains(&format!("width=\"{room:.1}\"")), "{svg}");
        assert!(
            svg.contains(&format!("width=\"{:.1}\"", room / 4.0)),
            "{svg}"
        );
        assert!(
            !svg.contains("naive"),
            "another payload is another comparison"
        );
    }
}
