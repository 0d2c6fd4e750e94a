//! The harness of the end-to-end tests: real programs, independent peers, one year of real readings. Must never know what
//! the programs do inside; it sees their files, sockets and output only.

#![expect(clippy::disallowed_methods, reason = "tests run on the real clock and on real sockets")]

pub mod fake_clock;
pub mod ours;
pub mod peers;
pub mod process;
pub mod programs;
pub mod skip;
pub mod steel;
pub mod wait;
pub mod wire;
