//! Ingest as a whole: a real broker in this process, a real MQTT client as gateway, a real table on disk. Must never
//! sleep for a fixed time where it can wait for a condition.

#![expect(clippy::disallowed_methods, reason = "tests run on the real clock and on real sockets")]
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clients;
mod external;
mod gateway;
mod rows;
mod whole;
