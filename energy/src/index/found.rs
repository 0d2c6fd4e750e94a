//! The readings that there are where there is no energy, in words. Must never say that there is none where there is one.

use std::fmt;

use model::Timestamp;
use serde::Serialize;

use super::Index;
use crate::period::Span;
use crate::serial;

/// The readings in and around a period without energy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReadingsFound {
    /// The period.
    pub span: Span,
    /// The first reading in the period.
    #[serde(serialize_with = "serial::option_text")]
    pub first: Option<Timestamp>,
    /// The last reading in the period.
    #[serde(serialize_with = "serial::option_text")]
    pub last: Option<Timestamp>,
    /// The last reading before the period, as far as readings before it are looked at.
    #[serde(serialize_with = "serial::option_text")]
    pub before: Option<Timestamp>,
    /// The first reading after it.
    #[serde(serialize_with = "serial::option_text")]
    pub after: Option<Timestamp>,
}

impl fmt::Display for ReadingsFound {
    /// `one reading, at …: energy is the difference of two`
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.first.zip(self.last) {
            Some((only, last)) if only == last => {
                return write!(f, "one reading, at {only}: energy is the difference of two");
            }
            Some((first, last)) => {
                return write!(
                    f,
                    "readings from {first} to {last}, between which nothing is known"
                );
            }
            None => write!(f, "no reading from {} to {}", self.span.from, self.span.to)?,
        }
        if let Some(before) = self.before {
            write!(f, ", the last one before is at {before}")?;
        }
        if let Some(after) = self.after {
            write!(f, ", the first one after is at {after}")?;
        }
        Ok(())
    }
}

impl Index {
    /// What readings there are in and around a period; `None` where there is none at all.
    pub(super) fn found(&self, span: Span) -> Option<ReadingsFound> {
        let mut read = self.knots.iter().filter(|knot| !knot.estimated).map(|knot| knot.time);
        let inside = |time: &Timestamp| span.from <= *time && *time < span.to;
        let found = ReadingsFound {
            span,
            first: read.clone().find(inside),
            last: read.clone().rfind(inside),
            before: read.clone().rfind(|time| *time < span.from),
            after: read.find(|time| span.to <= *time),
        };
        let any = found.first.is_some() || found.before.is_some() || found.after.is_some();
        any.then_some(found)
    }
}
