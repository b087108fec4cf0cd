//! The hub over real sockets: who gets in, what bad input costs, what the operator sees.

mod bad_input;
mod bad_timing;
mod common;
mod identity;
mod operator;
mod reference_client;
mod reload;
