//! What stands between a client and the embedded broker: who may connect, what it may write and read, and how much of a
//! packet it may leave unfinished. Must never know ingest, a store, or what a message means.
//!
//! ```text
//! socket ─▶ connect: CONNECT read, bounded ─▶ rights ─▶ guarded (framer, half_read): packets bounded ─▶ broker
//! ```

mod authority;
pub mod connect;
mod framer;
mod guarded;
mod half_read;
mod rights;

pub use connect::{ConnectError, KEEP_ALIVE_MAX};
pub use framer::{FrameError, Framer};
pub use guarded::{Guarded, PACKET_TIME_MAX};
pub use half_read::{GivenUp, HALF_READ_BYTES_MAX, HalfRead, Share};
pub use rights::{Denied, Rights, Subscription, may_publish, subscription};
