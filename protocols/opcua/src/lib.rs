//! OPC UA: subscribes to the points of a server, reads back what the server remembers, and keeps its source times. Must
//! never know the spool, MQTT or what a point means.
//!
//! Each `[[port]]` is one server with one session and one subscription. Whatever goes wrong with it, the whole session
//! is thrown away and built again: there is one way to become well, and it is the way of the first connection. (The
//! library could mend a session itself, but version 0.19 sends no Publish request after that and is silent for ever.)

#![cfg_attr(
    test,
    allow(clippy::disallowed_methods, reason = "tests run on the real clock and on real sockets")
)]

mod address;
mod client;
mod codec;
mod complaints;
mod driver;
mod error;
mod history {
    pub(crate) use ::driver::history::*;
}
mod identity;
mod inbox;
mod login;
mod port;
mod request;
mod session;
mod settings;
mod standing;
mod transport;
mod trust;

pub use driver::OpcUa;

#[cfg(test)]
mod tests;
