//! Helpers for writing values of foreign types as JSON. Must never read anything.

use std::fmt::Display;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// Writes a value as its text, or null.
#[expect(clippy::ref_option, reason = "serde hands fields over like this")]
pub(crate) fn option_text<T: Display, S: Serializer>(
    value: &Option<T>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ToString::to_string).serialize(serializer)
}

/// Writes a value as its text.
pub(crate) fn text<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

/// Writes shared values like owned ones.
pub(crate) fn arcs<T: Serialize, S: Serializer>(
    values: &[Arc<T>],
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_seq(values.iter().map(AsRef::as_ref))
}
