//! The client over real sockets, against a hub that a test plays by hand.

mod connection;
mod party;
mod requester;
mod responder;
mod scripted_hub;
mod set_back;
