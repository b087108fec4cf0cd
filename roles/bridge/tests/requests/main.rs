//! From a legacy pool's list to a mint at the hub, against a real redis-server and a real hub.

mod crash;
mod deployment;
mod entries;
mod finish;
mod poison;
mod refusals;
#[path = "../support/mod.rs"]
mod support;
