//! A meter against those behind it: they count a part of what it counts. A wrong `parent`, ratio or role shows here.
//!
//! `main` 1 000 kWh, behind it `a` 700 and `b` 900 → they count 1 600, more than it.

use model::{Localized, text};

use super::Inputs;
use crate::fact::Flow;
use crate::number::Number;
use crate::period::Span;
use crate::plant::{EnergyKind, Meter};

/// Percent of what a meter counts that those behind it may count: accuracy of both, and readings of other minutes.
const PERCENT_MAX: i64 = 105;
/// Shortest time that is compared, in microseconds: in a day a step of a register with a large ratio is too much of it.
const SPAN_MIN_MICROS: i64 = 28 * 24 * 60 * 60 * 1_000_000;

impl Inputs<'_> {
    /// What is doubtful where the meters behind one count more than it; nothing where energy from elsewhere may reach them.
    pub(super) fn behind(&self, kind: &EnergyKind, meter: &Meter, span: Span) -> Option<Localized> {
        let enterprise = &self.plant.enterprise;
        let elsewhere =
            [Flow::Generated, Flow::Own].iter().any(|flow| self.has(enterprise, *flow, kind));
        if elsewhere || span.to.micros_since(span.from) < SPAN_MIN_MICROS {
            return None;
        }
        let energy = |meter: &Meter| {
            let energy = self.meters.index(&meter.id)?.energy(span);
            let factor = kind.factor_from(meter.unit)?;
            Some((&energy.energy? * &factor, energy.complete))
        };
        let whole = energy(meter).filter(|(_, complete)| *complete)?.0;
        let meters = self.plant.meters.iter();
        let behind = meters.filter(|one| one.parent.as_ref() == Some(&meter.id));
        // Of a part of the time it is a part all the same.
        let parts: Vec<(&Meter, Number)> =
            behind.filter_map(|one| Some((one, energy(one)?.0))).collect();
        let sum: Number = parts.iter().map(|(_, part)| part).sum();
        if &sum * &Number::from(100) <= &whole * &Number::from(PERCENT_MAX) {
            return None;
        }
        let names: Vec<&str> = parts.iter().map(|(one, _)| one.id.as_str()).collect();
        let (names, id, unit) = (names.join("`, `"), &meter.id, kind.unit);
        Some(text!(
            en: "meter `{id}` counts {whole} {unit}, and those behind it, `{names}`, count {sum} {unit}: check `parent`, ratios and roles",
            zh: "计量表 `{id}` 为 {whole} {unit}，其下级 `{names}` 合计 {sum} {unit}：请核对 `parent`、倍率和 `role`"
        ))
    }
}
