//! The body of a DATA record.

use thiserror::Error;

use crate::sample::Batch;

/// Why bytes are not a batch.
#[derive(Debug, Error)]
pub enum CodecError {
    /// Placeholder until the codec lands.
    #[error("batch is damaged")]
    Damaged,
}

/// Encodes a batch.
///
/// # Errors
/// When the batch breaks its own rules (order, duplicates, limits).
pub fn encode(_batch: &Batch) -> Result<Vec<u8>, CodecError> {
    Err(CodecError::Damaged)
}

/// Decodes a batch.
pub fn decode(_body: &[u8]) -> Result<Batch, CodecError> {
    Err(CodecError::Damaged)
}
