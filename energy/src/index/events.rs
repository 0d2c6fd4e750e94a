//! Whether the replacements that were typed in the plant file fit the readings on both sides, and where they fit if not
//! there. The readings are the evidence: an event of another meter, another day or with a slipped digit must not become
//! energy.
//!
//! 810 600 at 10:00, 810 615 at 10:15, typed at 10:07 `912345 → 12` → the register goes on without it: not applied.
//! 500 at 10:00, 3 at 10:15, typed for 13:00 `503 → 1` → fits between these two readings only: placed there.
//!
//! What readings cannot tell: an index that is wrong by less than the bound allows, and which of two meters of the same
//! level an event belongs to.

use jiff::tz::TimeZone;
use model::{Language, Localized, Timestamp, text};
use serde::Serialize;

use super::plausible::Limit;
use crate::number::Number;
use crate::period::{Span, local_text};
use crate::readings::Register;
use crate::validate::Point;

/// Places that are kept for an event: with more than one it is not clear which is meant.
const PLACES_MAX: usize = 3;

/// A reading that decided on an event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Shown {
    /// When.
    #[serde(serialize_with = "crate::serial::text")]
    pub at: Timestamp,
    /// What the register showed, before the ratio.
    pub value: Number,
}

/// What became of a replacement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// The readings fit it at another time alone: it counts there.
    Placed,
    /// The register goes on as if nothing had happened, and fits neither index: it does not count.
    NotApplied,
    /// The readings contradict it on one side or both, and fit it nowhere: what it would add is an open gap.
    Contradicted,
}

/// A replacement that the readings do not fit where it was typed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EventFinding {
    /// When it was typed to be.
    #[serde(serialize_with = "crate::serial::text")]
    pub typed: Timestamp,
    /// The last index of the old meter, as typed.
    pub old_final: Number,
    /// The first index of the new one, as typed.
    pub new_initial: Number,
    /// What became of it.
    pub verdict: Verdict,
    /// When it counts from, where it was placed.
    #[serde(serialize_with = "crate::serial::option_text")]
    pub placed: Option<Timestamp>,
    /// The last reading before it, where it was typed or placed.
    pub before: Option<Shown>,
    /// The first one after it.
    pub after: Option<Shown>,
}

/// Two readings between which an event fits, and by how much the register rose on both sides of it together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    rise: i128,
    before: Point,
    after: Point,
    /// In the middle between the two, or before what was read as zero between them.
    at: Timestamp,
}

/// One event while readings come.
#[derive(Debug)]
struct Tracked {
    event: (Timestamp, i128, i128),
    /// How far a reading may be above a last index that was typed in whole units.
    fraction: i128,
    /// The last reading before the time that was typed, and the first one after it.
    before: Option<Point>,
    after: Option<Point>,
    /// Where else it fits, the closest first.
    places: Vec<Place>,
    /// The newest reading that may be the old meter's, and when zero was read first since then.
    last: Option<Point>,
    zero: Option<Timestamp>,
}

/// All events of one meter while readings come, in the order of time.
#[derive(Debug, Default)]
pub(super) struct Events(Vec<Tracked>);

/// Replacements as the readings say, and what is to be said of those that were typed otherwise.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Decided {
    pub(super) replacements: Vec<(Timestamp, i128, i128)>,
    pub(super) findings: Vec<EventFinding>,
}

impl Events {
    pub(super) fn of(register: &Register) -> Self {
        let track = |event: &(Timestamp, i128, i128)| Tracked {
            event: *event,
            fraction: register.fraction(event.1),
            before: None,
            after: None,
            places: Vec::new(),
            last: None,
            zero: None,
        };
        Self(register.replacements.iter().map(track).collect())
    }

    /// Takes the next reading.
    pub(super) fn push(&mut self, point: Point) {
        // The other events bound where one can lie.
        let typed: Vec<Timestamp> = self.0.iter().map(|one| one.event.0).collect();
        for (index, one) in self.0.iter_mut().enumerate() {
            let previous = index.checked_sub(1).and_then(|before| typed.get(before));
            if previous.is_none_or(|at| *at < point.0)
                && typed.get(index + 1).is_none_or(|at| point.0 < *at)
            {
                one.push(point);
            }
        }
    }

    /// What the readings say of the events, once all were taken.
    pub(super) fn decide(&self, register: &Register, limit: Option<&Limit>) -> Decided {
        let mut decided = Decided::default();
        for one in &self.0 {
            let (event, finding) = one.decide(register, limit);
            decided.replacements.extend(event);
            decided.findings.extend(finding);
        }
        decided.replacements.sort_by_key(|event| event.0);
        decided
    }
}

impl Tracked {
    fn push(&mut self, point: Point) {
        let (at, old_final, new_initial) = self.event;
        // While a meter is exchanged zero is read: it is neither the old one's nor the new one's.
        if point.1 == 0 && new_initial > 0 {
            self.zero.get_or_insert(point.0);
            return;
        }
        if point.0 < at {
            self.before = Some(point);
        } else if point.0 > at && self.after.is_none() {
            self.after = Some(point);
        }
        let zero = self.zero.take();
        if let Some(last) = self.last.replace(point)
            && last.1 - self.fraction <= old_final
            && new_initial <= point.1
        {
            let rise = (old_final - last.1).max(0) + (point.1 - new_initial);
            let at = middle(last.0, zero.unwrap_or(point.0));
            self.places.push(Place { rise, before: last, after: point, at });
            self.places.sort_unstable();
            self.places.truncate(PLACES_MAX);
        }
    }

    fn decide(
        &self,
        register: &Register,
        limit: Option<&Limit>,
    ) -> (Option<(Timestamp, i128, i128)>, Option<EventFinding>) {
        let (at, old_final, new_initial) = self.event;
        let fits = |from: Point, to: Point| {
            let rise = register.rise(from.1, to.1);
            let (ratio, micros) = (register.ratio_at(from.0), to.0.micros_since(from.0));
            let allowed =
                |rise| limit.is_none_or(|limit: &Limit| limit.allows(rise, ratio, micros));
            rise.is_some_and(allowed)
        };
        let ends = |last: Point, at| (at, register.final_index(last.1, old_final));
        let before = self.before.map(|before| fits(before, ends(before, at)));
        let after = self.after.map(|after| fits((at, new_initial), after));
        if before != Some(false) && after != Some(false) {
            return (Some(self.event), None);
        }
        let mut places = self.places.iter().filter(|place| {
            let Place { before, after, at: here, .. } = place;
            let typed_here = before.0 < at && at < after.0;
            !typed_here && fits(*before, ends(*before, *here)) && fits((*here, new_initial), *after)
        });
        if let (Some(place), None) = (places.next(), places.next()) {
            let placed = place.at;
            let event = (placed, old_final, new_initial);
            let sides = (Some(place.before), Some(place.after));
            let finding = self.finding(register, Verdict::Placed, Some(placed), sides);
            return (Some(event), Some(finding));
        }
        let sides = (self.before, self.after);
        let goes_on = sides.0.zip(sides.1).is_some_and(|(before, after)| fits(before, after));
        if (before, after) == (Some(false), Some(false)) && goes_on {
            return (None, Some(self.finding(register, Verdict::NotApplied, None, sides)));
        }
        (Some(self.event), Some(self.finding(register, Verdict::Contradicted, None, sides)))
    }

    fn finding(
        &self,
        register: &Register,
        verdict: Verdict,
        placed: Option<Timestamp>,
        (before, after): (Option<Point>, Option<Point>),
    ) -> EventFinding {
        let (typed, old_final, new_initial) = self.event;
        let number = |raw| Number::new(raw, i64::from(register.raw_exponent));
        let shown = |point: Point| Shown { at: point.0, value: number(point.1) };
        EventFinding {
            typed,
            old_final: number(old_final),
            new_initial: number(new_initial),
            verdict,
            placed,
            before: before.map(shown),
            after: after.map(shown),
        }
    }
}

/// An instant between two readings, never that of one of them.
fn middle(before: Timestamp, after: Timestamp) -> Timestamp {
    Timestamp(before.0 + after.micros_since(before) / 2)
}

impl EventFinding {
    /// What a reader of the figure must know, with times of the plant's zone.
    #[must_use]
    pub fn note(&self, zone: &TimeZone) -> Localized {
        let typed = local_text(self.typed, zone);
        let (old, new) = (&self.old_final, &self.new_initial);
        let shown = |side: &Option<Shown>| {
            let Some(Shown { at, value }) = side else {
                return text!(en: "nothing", zh: "无读数");
            };
            let at = local_text(*at, zone);
            text!(en: "{value} at {at}", zh: "{at} 读数 {value}")
        };
        let (before, after) = (shown(&self.before), shown(&self.after));
        let (before_zh, after_zh) = (before.get(Language::Chinese), after.get(Language::Chinese));
        match (self.verdict, self.placed) {
            (Verdict::Placed, Some(placed)) => {
                let placed = local_text(placed, zone);
                text!(
                    en: "the replacement typed for {typed} ({old}, then {new}) is counted at {placed}: the readings fit it only there, between {before} and {after}",
                    zh: "填写为 {typed} 的换表（旧表止码 {old}，新表起码 {new}）按 {placed} 计算：仅该处与读数相符（{before_zh}，{after_zh}）",
                )
            }
            (Verdict::NotApplied, _) => text!(
                en: "the replacement typed for {typed} ({old}, then {new}) is not applied: the register goes on without it, from {before} to {after}; correct or delete it",
                zh: "填写为 {typed} 的换表（旧表止码 {old}，新表起码 {new}）未采用：读数连续，无换表迹象（{before_zh}，{after_zh}）；请更正或删除",
            ),
            _ => text!(
                en: "the replacement typed for {typed} ({old}, then {new}) contradicts the readings {before} and {after}: what it would add is an open gap; correct its time or its indexes",
                zh: "填写为 {typed} 的换表（旧表止码 {old}，新表起码 {new}）与读数矛盾（{before_zh}，{after_zh}）：相应用量按缺口处理；请核对时间与表码",
            ),
        }
    }

    /// Whether it was typed or placed in a time.
    pub(super) fn touches(&self, span: Span) -> bool {
        let inside = |at: Timestamp| span.from <= at && at <= span.to;
        inside(self.typed) || self.placed.is_some_and(inside)
    }
}
