//! How much of a year is there of which some months were declared and others metered: months, and of those that lack
//! something the quarters of an hour that were read.

use jiff::tz::TimeZone;
use model::{Language, Localized, Timestamp, text};

use super::Quantity;
use crate::index::{Class, Coverage};
use crate::period::{Span, local_text};

/// How many months of a year are there, of which some were declared and others metered.
pub(super) struct Months {
    pub(super) coverage: Coverage,
    /// `2026-11: 0 of 2880 quarter hours`
    missing: Vec<Localized>,
}

impl Default for Months {
    fn default() -> Self {
        Self { coverage: Coverage { covered: 0, expected: 0 }, missing: Vec::new() }
    }
}

impl Months {
    /// Adds months that were declared or metered together. A month counts that is there to as large a part.
    pub(super) fn add(&mut self, months: u64, part: &Quantity, span: Span, zone: &TimeZone) {
        let Coverage { covered, expected } = part.coverage;
        self.coverage.expected += months;
        self.coverage.covered +=
            if part.value.is_some() { months * covered.min(expected) / expected.max(1) } else { 0 };
        if part.value.is_some() && part.coverage.is_full() {
            return;
        }
        let month = |at: Timestamp| local_text(at, zone).chars().take(7).collect::<String>();
        let (first, last) = (month(span.from), month(Timestamp(span.to.0 - 1)));
        let when = if first == last { first } else { format!("{first} … {last}") };
        self.missing.push(if part.class == Class::Declared || expected <= 1 {
            text!(en: "{when}: nothing", zh: "{when}：无数据")
        } else {
            text!(
                en: "{when}: {covered} of {expected} quarter hours",
                zh: "{when}：{expected} 个 15 分钟时段中有 {covered} 个",
            )
        });
    }

    /// What is missing, where something is.
    pub(super) fn note(&self) -> Option<Localized> {
        if self.missing.is_empty() {
            return None;
        }
        let Coverage { covered, expected } = self.coverage;
        let missing = Localized::join(&self.missing, ", ");
        let (english, chinese) = (missing.get(Language::English), missing.get(Language::Chinese));
        Some(text!(
            en: "{covered} of {expected} months; {english}",
            zh: "{expected} 个月中有 {covered} 个月；{chinese}",
        ))
    }
}
