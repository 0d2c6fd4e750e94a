//! Open gaps: what the register showed on both sides, and why the energy between them is not known.

use jiff::tz::TimeZone;
use model::{Localized, Timestamp, text};
use serde::Serialize;

use super::Index;
use crate::number::Number;
use crate::period::local_text;
use crate::validate::Knot;

/// Why the energy between two readings is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GapCause {
    /// The register fell, and no rollover, reset or replacement explains it.
    Fell,
    /// It rose by more than the bound allows.
    Implausible,
    /// It rose, and a reset or a change of ratio in between leaves open by how much.
    Unclear,
}

/// Energy that is unknown between two readings.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OpenGap {
    /// The last trusted reading.
    #[serde(serialize_with = "crate::serial::text")]
    pub from: Timestamp,
    /// The first reading of another way.
    #[serde(serialize_with = "crate::serial::text")]
    pub to: Timestamp,
    /// The register before it, in the meter's unit before the ratio.
    pub from_reading: Number,
    /// The register after it.
    pub to_reading: Number,
    /// Why.
    pub cause: GapCause,
}

impl Index {
    /// The gap between two knots that follow one another.
    pub(super) fn gap(&self, before: &Knot, after: &Knot) -> OpenGap {
        let rise = after.raw_before - before.raw;
        let micros = i128::from(after.time.micros_since(before.time));
        let cause = if rise < 0 {
            GapCause::Fell
        } else if after.implausible || !self.register.allows(rise, before.time, micros) {
            GapCause::Implausible
        } else {
            GapCause::Unclear
        };
        OpenGap {
            from: before.time,
            to: after.time,
            from_reading: self.reading(before.raw),
            to_reading: self.reading(after.raw_before),
            cause,
        }
    }
}

impl OpenGap {
    /// The readings on both sides and the cause, with times of the plant's zone.
    #[must_use]
    pub fn note(&self, zone: &TimeZone) -> Localized {
        let (from, to) = (local_text(self.from, zone), local_text(self.to, zone));
        let (before, after) = (&self.from_reading, &self.to_reading);
        match self.cause {
            GapCause::Fell => text!(
                en: "open gap from {from} to {to}: the register fell from {before} to {after}",
                zh: "缺口 {from} 至 {to}：表码由 {before} 降至 {after}",
            ),
            GapCause::Implausible => text!(
                en: "open gap from {from} to {to}: the register rose from {before} to {after}, more than is plausible",
                zh: "缺口 {from} 至 {to}：表码由 {before} 升至 {after}，超出合理范围",
            ),
            GapCause::Unclear => text!(
                en: "open gap from {from} to {to}: the register went from {before} to {after}, and how much it counted is not clear",
                zh: "缺口 {from} 至 {to}：表码由 {before} 到 {after}，用量无法确定",
            ),
        }
    }
}
