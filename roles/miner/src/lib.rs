//! A CPU miner that speaks Sv2.
