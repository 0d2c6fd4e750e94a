//! What the crate promises to the outside: bytes that stay readable, and a size.
#![expect(clippy::unwrap_used, reason = "a test may panic")]

mod golden;
mod size;
