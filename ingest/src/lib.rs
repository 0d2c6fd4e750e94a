//! Between the broker and the store: admits what gateways send, commits it, and acknowledges what is durable. Must never
//! know a device, or which store it commits to.
//!
//! ```text
//! broker (embedded, or by URL) ──▶ inbox (bounded) ──▶ admit ──▶ one commit per interval ──▶ commit acks, live topics
//! ```

pub mod admit;
