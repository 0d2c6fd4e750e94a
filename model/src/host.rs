//! The rim: how a program asks for the time and for chance, so that a simulation can own both (INV-10).

use std::time::Duration;

use crate::time::Timestamp;

/// The wall clock and a clock that never jumps.
pub trait Clock: Send + Sync {
    /// The wall clock; may step in either direction.
    fn now(&self) -> Timestamp;
    /// Time since some fixed moment of this run; never steps.
    fn monotonic(&self) -> Duration;
}

/// A source of random bytes.
pub trait Entropy: Send + Sync {
    /// Fills `bytes`.
    fn fill(&self, bytes: &mut [u8]);
}
