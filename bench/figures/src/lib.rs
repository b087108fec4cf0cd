//! From what was measured to what is reported. Nothing here starts, sends or waits.
//!
//! | start here | what |
//! |---|---|
//! | [`outcome`] | what a run gave: tables, cases, samples |
//! | [`median`] | the middle of the samples, and how far they are apart |
//! | [`processor`] | what processes cost: `/proc` |
//! | [`cost`] | what happened between two moments, for each message |
//! | [`window`] | how much a sender may send |
//! | [`ratios`] | what must hold between the medians |
//! | [`ceilings`] | which of that any hub could reach on this machine |
//! | [`profile`] | where processor time goes, by kind |
//! | [`report`] | table, JSON, BENCHMARKS.md and its plot |

pub mod ceilings;
pub mod cost;
pub mod median;
pub mod outcome;
pub mod processor;
pub mod profile;
pub mod ratios;
pub mod report;
pub mod window;

#[cfg(test)]
mod example;
