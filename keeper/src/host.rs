//! The rim: what a gateway uses of its machine.

use std::sync::Arc;

use model::host::{Clock, Entropy};

/// The rim: what a gateway uses of its machine.
#[derive(Clone)]
pub struct Host {
    /// The clocks.
    pub clock: Arc<dyn Clock>,
    /// Chance.
    pub entropy: Arc<dyn Entropy>,
}
