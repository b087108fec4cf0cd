//! The table on standard output, and the lines of progress.

use crate::ceilings;
use crate::outcome::{Case, Outcome, Sample, Table};
use crate::ratios;

/// A case's name in a line of progress.
pub fn title(table: &Table, case: &Case) -> String {
    match table.parameter {
        "" => format!("{} {}", table.name, case.system),
        parameter => format!(
            "{} {} ({} {parameter})",
            table.name, case.system, case.parameter
        ),
    }
}

/// A sample in a line of progress.
pub fn sample(table: &Table, sample: &Sample) -> String {
    let shown = table.metrics.iter().filter_map(|metric| {
        let value = sample.0.get(metric.key)?;
        Some(format!("{} {value:.*}", metric.title, metric.decimals))
    });
    shown.collect::<Vec<_>>().join(" | ")
}

/// `--list`.
pub fn list(tables: &[Table]) {
    for table in tables {
        println!("{:<10} {}", table.name, table.about);
        let mut systems: Vec<&str> = Vec::new();
        for case in &table.cases {
            if !systems.contains(&case.system) {
                systems.push(case.system);
            }
        }
        println!("{:<10}   {}", "", systems.join(", "));
    }
}

/// Medians with their spread, then the bounds.
pub fn print(outcome: &Outcome) {
    for table in &outcome.tables {
        println!("\n{}: {}", table.name, table.about);
        for line in lines(outcome, table) {
            println!("  {line}");
        }
    }
    println!();
    for ratio in ratios::ALL {
        if let Some(value) = ratio.value(&outcome.medians) {
            let said = if ratio.bound.holds(value) {
                "holds"
            } else {
                "MISSED"
            };
            println!(
                "{:<34} {value:>8.3}  {:<8} {said}",
                ratio.key,
                ratio.bound.to_string()
            );
        }
    }
    for ceiling in ceilings::of_missed(outcome) {
        println!("{}: in reach? {}", ceiling.key, ceiling.said());
    }
    for (system, problem) in &outcome.missing {
        println!("not measured: {system} is not there: {problem}");
    }
    for problem in &outcome.failed {
        println!("failed: {problem}");
    }
}

/// One row for each case, its columns aligned.
fn lines(outcome: &Outcome, table: &Table) -> Vec<String> {
    let mut rows = vec![header(table)];
    for case in &table.cases {
        let cells = table.metrics.iter().map(|metric| {
            let median = outcome.medians.of(table.name, case, metric.key)?;
            let digits = metric.decimals;
            Some(format!(
                "{:.digits$} ({:.digits$}..{:.digits$})",
                median.value, median.min, median.max
            ))
        });
        let cells: Vec<Option<String>> = cells.collect();
        if cells.iter().all(Option::is_none) {
            continue;
        }
        let mut row = vec![case.system.to_owned()];
        if !table.parameter.is_empty() {
            row.push(case.parameter.to_string());
        }
        row.extend(cells.into_iter().map(Option::unwrap_or_default));
        rows.push(row);
    }
    let width = |column: usize| {
        let widths = rows
            .iter()
            .map(|row| row.get(column).map_or(0, String::len));
        widths.max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate();
        let cells = cells.map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        cells.collect::<Vec<_>>().join("  ")
    };
    rows.iter().map(line).collect()
}

/// The titles of the columns: system, parameter where there is one, and metrics.
pub fn header(table: &Table) -> Vec<String> {
    let mut header = vec!["system".to_owned()];
    if !table.parameter.is_empty() {
        header.push(table.parameter.to_owned());
    }
    header.extend(table.metrics.iter().map(|metric| metric.title.to_owned()));
    header
}
